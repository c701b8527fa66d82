"""People and keys over REST, over a real Postgres, and what the audit log then says."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

import services.web.accounts.doorkeeper
import services.web.routes.live
import services.web.trail
from shared.db import audit
from shared.settings import DatabaseSettings, MqttSettings
from tests.integration.delivery import until
from tests.support.accounts import add_person, log_in, logged_in
from tests.support.events import Events
from tests.support.patience import WAIT_S
from tests.support.web import check_problem, records, running_web, web_settings

OWN = "four green lamps by the door"


@pytest.fixture
async def engine(database_settings: DatabaseSettings) -> AsyncIterator[AsyncEngine]:
    async with records(database_settings, datetime.now(UTC).date()) as engine:
        yield engine


@pytest.fixture
async def base(
    mqtt_settings: MqttSettings,
    database_settings: DatabaseSettings,
    engine: AsyncEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[str]:
    """A service that asks for a login, and knows ada, an admin."""
    monkeypatch.setattr(services.web.trail, "WRITE_EVERY_S", 0.05)
    await add_person(engine, "ada", "admin")
    async with running_web(web_settings(mqtt_settings, database_settings, login="required")) as base:
        yield base


async def test_a_person_from_the_first_password_to_the_last_day(base: str, engine: AsyncEngine) -> None:
    async with logged_in(base, "ada") as ada, httpx.AsyncClient(base_url=base, timeout=60) as berta:
        made = await ada.post("/api/v1/users", json={"name": " Berta ", "role": "viewer"})
        assert made.status_code == 201
        person, password = made.json()["person"], made.json()["temporary_password"]
        assert (person["name"], person["password_temporary"]) == ("berta", True)
        check_problem(await ada.post("/api/v1/users", json={"name": "berta"}), 409, "name-taken")
        check_problem(await ada.post("/api/v1/users", json={"name": "not a name"}), 422, "bad-parameters")
        await log_in(berta, "berta", password)
        assert (await berta.post("/api/v1/password", json={"old": password, "new": OWN})).status_code == 200
        check_problem(await berta.get("/api/v1/users"), 403, "not-allowed")
        page = await berta.get("/people")
        assert page.status_code == 403
        assert "This page is not for your role" in page.text
        path = f"/api/v1/users/{person['id']}"
        assert (await ada.patch(path, json={"role": "researcher"})).json()["role"] == "researcher"
        assert (await berta.get("/api/v1/me")).json()["rights"] == ["view", "label", "research"]
        assert (await ada.post(f"{path}/logout", json={})).json() == {"ended": 1}
        check_problem(await berta.get("/api/v1/me"), 401, "login-needed")
        again = (await ada.post(f"{path}/reset", json={})).json()["temporary_password"]
        check_problem(await log_in(berta, "berta", OWN), 401, "wrong-login")
        assert (await log_in(berta, "berta", again)).json()["password_temporary"] is True
        assert (await ada.patch(path, json={"disabled": True})).json()["disabled_at"] is not None
        check_problem(await berta.get("/api/v1/me"), 401, "login-needed")
        check_problem(await log_in(berta, "berta", again), 401, "wrong-login")
        assert (await ada.patch(path, json={"disabled": False})).json()["disabled_at"] is None
        assert [each["name"] for each in (await ada.get("/api/v1/users")).json()["items"]] == ["ada", "berta"]
        nobody = f"/api/v1/users/{'0' * 8}-0000-4000-8000-{'0' * 12}"
        for answer in (
            await ada.patch(nobody, json={}),
            await ada.post(f"{nobody}/reset", json={}),
            await ada.post(f"{nobody}/logout", json={}),
        ):
            check_problem(answer, 404, "not-found")

        async def noted() -> bool:
            lines = (await ada.get("/api/v1/audit", params={"who": "ada"})).json()["items"]
            found = {(line["action"], line["object"]) for line in lines}
            return found >= {
                (action, "person berta")
                for action in ("add person", "change person", "log out everywhere", "reset password")
            }

        await until(noted)
    async with engine.connect() as connection:
        kept = str((await connection.execute(text("SELECT * FROM users, audit_log"))).all())
    assert not any(secret in kept for secret in (password, again, OWN))


async def test_the_last_administrator_stays_one(base: str, engine: AsyncEngine) -> None:
    async with logged_in(base, "ada") as ada:
        ids = {each["name"]: each["id"] for each in (await ada.get("/api/v1/users")).json()["items"]}
        for change in ({"role": "viewer"}, {"disabled": True}):
            check_problem(await ada.patch(f"/api/v1/users/{ids['ada']}", json=change), 409, "last-admin")
        other = await add_person(engine, "otto", "admin")
        assert (await ada.patch(f"/api/v1/users/{other.id}", json={"disabled": True})).status_code == 200
        check_problem(await ada.patch(f"/api/v1/users/{ids['ada']}", json={"role": "viewer"}), 409, "last-admin")
        assert (await ada.patch(f"/api/v1/users/{other.id}", json={"disabled": False})).status_code == 200
        assert (await ada.patch(f"/api/v1/users/{ids['ada']}", json={"role": "viewer"})).status_code == 200
        check_problem(await ada.get("/api/v1/users"), 403, "not-allowed")


async def test_a_key_may_do_what_its_scopes_and_its_owner_may_until_it_ends(
    base: str, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services.web.accounts.doorkeeper, "FRESH_S", 0.0)
    await add_person(engine, "rosa", "researcher")
    soon = (datetime.now(UTC) + timedelta(days=1)).isoformat()

    def program(token: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=base, headers={"Authorization": f"Bearer {token}"}, timeout=60)

    async with logged_in(base, "ada") as ada, logged_in(base, "rosa") as rosa:

        async def make(client: httpx.AsyncClient, **wish: Any) -> Any:
            answer = await client.post("/api/v1/tokens", json={"name": "a notebook", "scopes": ["view"], **wish})
            assert answer.status_code == 201, answer.text
            return answer.json()

        beyond = await rosa.post("/api/v1/tokens", json={"name": "x", "scopes": ["admin"]})
        assert "admin" in check_problem(beyond, 422, "bad-parameters")["detail"]
        made = await make(rosa, expires_at=soon)
        assert made["token"].startswith("ee_")
        async with program(made["token"]) as key:
            me = (await key.get("/api/v1/me")).json()
            assert (me["name"], me["rights"], me["known_by"]) == ("rosa", ["view"], "key")
            assert (await key.get("/api/v1/devices")).status_code == 200
            check_problem(await key.post("/api/v1/devices/x/pause", json={}), 403, "not-allowed")
            check_problem(await key.post("/api/v1/tokens", json={"name": "x", "scopes": ["view"]}), 403, "not-by-key")
            check_problem(await key.post("/api/v1/password", json={"old": "x", "new": OWN}), 403, "not-by-key")
            check_problem(await key.post("/api/v1/logout", json={}), 409, "no-login")
            listed = (await rosa.get("/api/v1/tokens")).json()["items"]
            assert [(each["id"], each["owner"]) for each in listed] == [(made["key"]["id"], "rosa")]
            assert listed[0]["last_used_at"] is not None
            assert "token" not in listed[0]
            async with engine.begin() as connection:
                await connection.execute(text("UPDATE api_tokens SET expires_at = now()"))
            check_problem(await key.get("/api/v1/me"), 401, "login-needed")
        wide = await make(rosa, scopes=["view", "research"])
        admins = await make(ada, scopes=["admin"])
        async with program(wide["token"]) as key:
            assert (await key.get("/api/v1/me")).json()["rights"] == ["view", "research"]
            async with engine.begin() as connection:
                await connection.execute(text("UPDATE users SET role = 'viewer' WHERE name = 'rosa'"))
            assert (await key.get("/api/v1/me")).json()["rights"] == ["view"]
            check_problem(await rosa.get("/api/v1/tokens?everybodys=true"), 403, "not-allowed")
            everybodys = (await ada.get("/api/v1/tokens?everybodys=true")).json()["items"]
            assert {each["owner"] for each in everybodys} == {"ada", "rosa"}
            others = f"/api/v1/tokens/{admins['key']['id']}"
            check_problem(await _delete(rosa, others), 404, "not-found")
            revoked = await _delete(ada, f"/api/v1/tokens/{wide['key']['id']}")
            assert revoked.json()["revoked_at"] is not None
            check_problem(await key.get("/api/v1/me"), 401, "login-needed")
        async with program("ee_" + "x" * 43) as stranger, program("no-key") as nobody:
            check_problem(await stranger.get("/api/v1/devices"), 401, "login-needed")
            check_problem(await nobody.get("/api/v1/devices"), 401, "login-needed")

        async def noted() -> bool:
            async with engine.connect() as connection:
                lines = {(one.entry.who, one.entry.action) for one in await audit.newest(connection, 200)}
            return lines >= {("rosa", "make key"), ("ada", "revoke key")}

        await until(noted)
    async with engine.connect() as connection:
        kept = str((await connection.execute(text("SELECT * FROM api_tokens, audit_log"))).all())
    assert not any(each["token"] in kept for each in (made, wide, admins))


async def test_an_open_stream_ends_with_what_let_its_reader_in(
    base: str, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services.web.routes.live, "HEARTBEAT_S", 0.2)
    monkeypatch.setattr(services.web.routes.live, "LOOK_AGAIN_S", 0.05)
    watcher = await add_person(engine, "walter", "viewer")
    path = f"/api/v1/users/{watcher.id}"
    async with logged_in(base, "ada") as ada:

        async def ends(client: httpx.AsyncClient, because: Callable[[], Awaitable[httpx.Response]]) -> None:
            """Its stream goes on while nothing happens, and ends after `because`; another's goes on meanwhile."""
            async with (
                ada.stream("GET", "/api/v1/live") as others,
                client.stream("GET", "/api/v1/live", timeout=WAIT_S) as answer,
            ):
                going_on, events = Events(others.aiter_lines()), Events(answer.aiter_lines())
                for _ in range(3):
                    await events.until("heartbeat")
                happened = await because()
                assert happened.is_success, happened.text
                await events.until_the_end()
                for _ in range(3):
                    await going_on.until("heartbeat")

        async with logged_in(base, "walter") as walter:
            await ends(walter, lambda: walter.post("/api/v1/logout", json={}))
        async with logged_in(base, "walter") as walter:
            key = (await walter.post("/api/v1/tokens", json={"name": "a wall", "scopes": ["view"]})).json()
            token = {"Authorization": f"Bearer {key['token']}"}
            async with httpx.AsyncClient(base_url=base, headers=token, timeout=60) as program:
                await ends(program, lambda: _delete(walter, f"/api/v1/tokens/{key['key']['id']}"))
            await ends(walter, lambda: ada.patch(path, json={"role": "labeller"}))
            await ends(walter, lambda: ada.patch(path, json={"disabled": True}))
        assert (await ada.patch(path, json={"disabled": False})).is_success
        async with logged_in(base, "walter") as walter:
            await ends(walter, lambda: ada.post(f"{path}/reset", json={}))


async def test_one_person_cannot_take_every_place_of_viewers(
    mqtt_settings: MqttSettings, database_settings: DatabaseSettings, engine: AsyncEngine
) -> None:
    for name in ("walter", "wilma"):
        await add_person(engine, name, "viewer")
    settings = web_settings(
        mqtt_settings, database_settings, login="required", max_viewers=3, max_viewers_each=2, requests_per_s=1000
    )
    async with (
        running_web(settings) as base,
        logged_in(base, "walter") as walter,
        logged_in(base, "walter") as phone,
        logged_in(base, "wilma") as wilma,
    ):
        key = (await walter.post("/api/v1/tokens", json={"name": "a wall", "scopes": ["view"]})).json()["token"]
        by_key = {"Authorization": f"Bearer {key}"}
        live = ("GET", "/api/v1/live")
        async with walter.stream(*live) as first, phone.stream(*live) as second:
            assert (first.status_code, second.status_code) == (200, 200)
            for _ in range(3):  # refusals take no place
                for client, headers in ((walter, {}), (phone, {}), (walter, by_key)):
                    answer = await client.get("/api/v1/live", headers=headers)
                    problem = check_problem(answer, 429, "too-many-streams")
                    assert "EMOTION_MAX_VIEWERS_EACH" in problem["next_step"]
                    assert answer.headers["retry-after"] == "10"
            async with wilma.stream(*live) as third:
                assert third.status_code == 200
                check_problem(await wilma.get("/api/v1/live"), 503, "too-many-viewers")

        async def both_places_are_free() -> bool:
            async with walter.stream(*live) as first, phone.stream(*live) as second:
                return (first.status_code, second.status_code) == (200, 200)

        await until(both_places_are_free)


async def _delete(client: httpx.AsyncClient, path: str) -> httpx.Response:
    return await client.request("DELETE", path, json={})


async def test_the_audit_log_goes_back_page_by_page(base: str, engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await audit.write(connection, [audit.Entry("old", "counted", str(number)) for number in range(7)])
    seen: list[str] = []
    async with logged_in(base, "ada") as ada:
        query = {"action": "counted", "limit": "3"}
        while True:
            page = (await ada.get("/api/v1/audit", params=query)).json()
            seen += [line["object"] for line in page["items"]]
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]
        check_problem(await ada.get("/api/v1/audit?who=%00"), 422, "bad-parameters")
    assert sorted(seen) == [str(number) for number in range(7)]
