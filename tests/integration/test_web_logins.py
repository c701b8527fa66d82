"""Logging in, over a real Postgres: the first administrator, cookies, refusals, ends, and who is let in without."""

import re
import stat
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncEngine

import services.web.accounts.doorkeeper
from shared.db import audit
from shared.db.account_tables import logins, users
from shared.settings import DatabaseSettings, MqttSettings
from tests.integration.delivery import until
from tests.support.accounts import PASSWORD, add_person, log_in, logged_in
from tests.support.patience import WAIT_S
from tests.support.web import check_problem, records, running_web, web_settings

OWN = "four green lamps by the door"


@pytest.fixture
async def engine(database_settings: DatabaseSettings) -> AsyncIterator[AsyncEngine]:
    async with records(database_settings, datetime.now(UTC).date()) as engine:
        yield engine


@pytest.fixture
async def base(
    mqtt_settings: MqttSettings, database_settings: DatabaseSettings, engine: AsyncEngine
) -> AsyncIterator[str]:
    """A service that asks for a login, and knows anna, a viewer."""
    await add_person(engine, "anna", "viewer")
    async with running_web(web_settings(mqtt_settings, database_settings, login="required")) as base:
        yield base


async def test_the_first_administrator_is_told_once_and_can_do_nothing_before_a_password_of_their_own(
    mqtt_settings: MqttSettings,
    database_settings: DatabaseSettings,
    engine: AsyncEngine,
    capfd: pytest.CaptureFixture[str],
) -> None:
    settings = web_settings(mqtt_settings, database_settings, login="required")
    told = ""

    async def heard() -> bool:
        nonlocal told
        told += capfd.readouterr().err
        return "password" in told

    async with running_web(settings) as base, httpx.AsyncClient(base_url=base, timeout=60) as client:
        await until(heard)
        found = re.search(r"as admin with the password (\S+)\n", told)
        assert found is not None, told
        first = found[1]
        assert (await log_in(client, "admin", first)).json() == {
            "name": "admin",
            "role": "admin",
            "rights": [],
            "known_by": "login",
            "password_temporary": True,
            "login": "required",
        }
        check_problem(await client.get("/api/v1/devices"), 403, "password-temporary")
        page = await client.get("/?x=1")
        assert (page.status_code, page.headers["location"]) == (303, "/account?next=/%3Fx%3D1")
        assert (await client.get("/account")).status_code == 200
        for wrong, why in [("short", "at least 12"), ("admin" * 3, "the name"), (first, "the old one")]:
            answer = await client.post("/api/v1/password", json={"old": first, "new": wrong})
            assert why in check_problem(answer, 422, "bad-parameters")["errors"][0]["reason"]
        cookie = dict(client.cookies)
        changed = await client.post("/api/v1/password", json={"old": first, "new": OWN})
        assert changed.json()["rights"] == ["view", "label", "research", "admin"]
        assert dict(client.cookies) != cookie
        assert (await client.get("/api/v1/devices")).status_code == 200
        async with httpx.AsyncClient(base_url=base, cookies=cookie, timeout=WAIT_S) as old:
            check_problem(await old.get("/api/v1/me"), 401, "login-needed")
        check_problem(await log_in(client, "admin", first), 401, "wrong-login")
    async with running_web(settings) as base, logged_in(base, "admin", OWN):
        pass
    rest = capfd.readouterr()
    assert "first administrator" not in rest.err
    everything = told + rest.err + rest.out
    assert OWN not in everything
    assert everything.count(first) == 1
    assert not any(token in everything for token in cookie.values())
    async with engine.connect() as connection:
        lines = [(one.entry.who, one.entry.action) for one in await audit.newest(connection, 100)]
        kept = str((await connection.execute(text("SELECT * FROM users, logins, audit_log"))).all())
    for line in [("this service", "add person"), ("admin", "login"), ("admin", "change password")]:
        assert line in lines
    assert not any(secret in kept for secret in (first, OWN, *cookie.values()))


async def somebody_is_known(engine: AsyncEngine) -> bool:
    async with engine.connect() as connection:
        return bool(await connection.scalar(text("SELECT count(*) FROM users")))


async def test_a_temporary_password_ends_unless_it_was_changed_and_a_reset_gives_another(
    mqtt_settings: MqttSettings, database_settings: DatabaseSettings, engine: AsyncEngine
) -> None:
    ada = await add_person(engine, "ada", "admin")
    berta = await add_person(engine, "berta", "viewer", temporary=True)

    async def made(days: float) -> None:
        async with engine.begin() as connection:
            await connection.execute(update(users).values(password_set_at=datetime.now(UTC) - timedelta(days=days)))

    settings = web_settings(mqtt_settings, database_settings, login="required")
    async with running_web(settings) as base, httpx.AsyncClient(base_url=base, timeout=60) as client:
        await made(6.9)
        assert (await log_in(client, "berta")).status_code == 200
        await made(7.1)
        told = check_problem(await log_in(client, "berta"), 401, "password-ended")
        assert "7 days" in told["detail"]
        assert "emotion-edge user reset berta" in told["next_step"]
        check_problem(await log_in(client, "berta", "not the password"), 401, "wrong-login")
        async with logged_in(base, "ada") as admin:  # whose own does not end
            people = {one["id"]: one for one in (await admin.get("/api/v1/users")).json()["items"]}
            assert people[str(ada.id)]["password_ends_at"] is None
            assert datetime.fromisoformat(people[str(berta.id)]["password_ends_at"]) < datetime.now(UTC)
            reset = (await admin.post(f"/api/v1/users/{berta.id}/reset", json={})).json()
        assert datetime.fromisoformat(reset["person"]["password_ends_at"]) > datetime.now(UTC) + timedelta(days=6)
        password = reset["temporary_password"]
        assert (await log_in(client, "berta", password)).status_code == 200
        changed = await client.post("/api/v1/password", json={"old": password, "new": OWN})
        assert changed.status_code == 200
        await made(7.1)
        assert (await log_in(client, "berta", OWN)).status_code == 200


async def test_the_first_password_goes_to_a_file_that_only_the_service_reads(
    mqtt_settings: MqttSettings, database_settings: DatabaseSettings, engine: AsyncEngine, tmp_path: Path
) -> None:
    file = tmp_path / "first"
    settings = web_settings(mqtt_settings, database_settings, login="required", first_password_file=file)
    async with running_web(settings) as base:
        await until(lambda: file.exists() and bool(file.read_text()))
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        password = file.read_text().strip()
        await until(partial(somebody_is_known, engine))
        async with logged_in(base, "admin", password):
            pass


async def test_the_first_password_may_be_given_and_is_temporary_too(
    mqtt_settings: MqttSettings,
    database_settings: DatabaseSettings,
    engine: AsyncEngine,
    capfd: pytest.CaptureFixture[str],
) -> None:
    given = "as-the-setup-printed-it"
    settings = web_settings(mqtt_settings, database_settings, login="required", first_password=given)
    async with running_web(settings) as base, httpx.AsyncClient(base_url=base, timeout=60) as client:
        await until(partial(somebody_is_known, engine))
        assert (await log_in(client, "admin", given)).status_code == 200
        assert (await client.get("/api/v1/me")).json()["password_temporary"] is True
    said = capfd.readouterr()
    assert given not in said.out + said.err


async def test_a_cookie_is_out_of_reach_of_scripts_and_other_sites(base: str) -> None:
    async with httpx.AsyncClient(base_url=base, timeout=60) as client:
        plain = (await log_in(client, " Anna ")).headers["set-cookie"]
        secure = (
            await client.post(
                "/api/v1/login", json={"name": "anna", "password": PASSWORD}, headers={"X-Forwarded-Proto": "https"}
            )
        ).headers["set-cookie"]
        assert plain.startswith("emotion=")
        assert secure.startswith("__Host-emotion=")
        for cookie in (plain, secure):
            assert {"HttpOnly", "Path=/", "SameSite=lax"} <= set(cookie.split("; "))
        assert "Secure" in secure.split("; ")
        assert "domain" not in secure.lower()
        other = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
        body = {"name": "anna", "password": PASSWORD}
        check_problem(await client.post("/api/v1/login", json=body, headers=other), 403, "another-site")
        check_problem(await client.post("/api/v1/login", data=body), 415, "not-json")


async def test_refusals_tell_nobody_which_names_exist_and_come_slower_each_time(base: str, engine: AsyncEngine) -> None:
    await add_person(engine, "gone", "admin")
    async with engine.begin() as connection:
        await connection.execute(update(users).where(users.c.name == "gone").values(disabled_at=datetime.now(UTC)))
    async with httpx.AsyncClient(base_url=base, timeout=60) as client:
        answers = [
            await log_in(client, "anna", "wrong"),
            await log_in(client, "gone"),
            await log_in(client, "nobody"),
            await log_in(client, "my password, in the wrong field"),
        ]
        documents = [check_problem(answer, 401, "wrong-login") for answer in answers]
        assert all(document == documents[0] for document in documents)
        assert not any("set-cookie" in answer.headers for answer in answers)
        for _ in range(4):
            check_problem(await log_in(client, "anna", "wrong"), 401, "wrong-login")
        refused = await log_in(client, "anna", "wrong")
        while refused.status_code == 401:  # a slow machine took longer than it had to wait
            refused = await log_in(client, "anna", "wrong")
        check_problem(refused, 429, "too-many-tries")
        assert int(refused.headers["retry-after"]) >= 1
        assert (await client.get("/api/v1/me")).status_code == 401

        async def let_in() -> bool:
            return (await log_in(client, "anna")).status_code == 200

        await until(let_in)

    async def noted() -> bool:
        async with engine.connect() as connection:
            found = [one.entry for one in await audit.newest(connection, 100) if one.entry.action == "login refused"]
        whom = {entry.object for entry in found}
        assert whom <= {"person anna", "person gone", "somebody unknown"}
        return len(whom) == 3

    await until(noted)


async def test_a_login_ends_unused_and_at_last_and_when_its_person_leaves(
    base: str, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services.web.accounts.doorkeeper, "FRESH_S", 0.0)
    ends: list[Any] = [
        update(logins).values(seen_at=text("now() - interval '13 hours'")),
        update(logins).values(expires_at=text("now()")),
        update(users).values(disabled_at=text("now()")),
    ]
    for end in ends:
        async with logged_in(base, "anna") as client:
            assert (await client.get("/api/v1/me")).json()["name"] == "anna"
            async with engine.begin() as connection:
                await connection.execute(end)
            check_problem(await client.get("/api/v1/me"), 401, "login-needed")
            page = await client.get("/")
            assert (page.status_code, page.headers["location"]) == (303, "/login?next=/")


async def test_logging_out_ends_one_browser_or_all(base: str) -> None:
    async with logged_in(base, "anna") as one, logged_in(base, "anna") as two, logged_in(base, "anna") as three:
        cookie = dict(one.cookies)
        assert (await one.post("/api/v1/logout", json={})).json() == {"ended": 1}
        assert not one.cookies
        async with httpx.AsyncClient(base_url=base, cookies=cookie, timeout=WAIT_S) as again:
            check_problem(await again.get("/api/v1/me"), 401, "login-needed")
        assert (await two.post("/api/v1/logout", json={"everywhere": True})).json() == {"ended": 2}
        check_problem(await three.get("/api/v1/me"), 401, "login-needed")


async def test_who_is_known_stays_known_while_the_database_is_away(
    base: str, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with logged_in(base, "anna") as client, httpx.AsyncClient(base_url=base, timeout=WAIT_S) as stranger:
        assert (await client.get("/")).status_code == 200
        monkeypatch.setattr(services.web.accounts.doorkeeper, "FRESH_S", 0.0)
        async with engine.begin() as connection:
            await connection.execute(text("ALTER TABLE logins RENAME TO hidden"))
        assert (await client.get("/")).status_code == 200
        assert (await stranger.get("/")).status_code == 303
        stranger.cookies.set("emotion", "x" * 43)
        page = await stranger.get("/")
        assert page.status_code == 503
        assert "The database does not answer" in page.text
        check_problem(await stranger.get("/api/v1/me"), 503, "database-unavailable")


async def test_after_a_login_nobody_is_sent_to_another_site(base: str) -> None:
    async with httpx.AsyncClient(base_url=base, timeout=WAIT_S) as client:
        for address in (
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "/\t/evil.example",
            "javascript:x",
            "",
        ):
            assert 'data-next="/"' in (await client.get("/login", params={"next": address})).text, address
        assert 'data-next="/people?a=b"' in (await client.get("/login", params={"next": "/people?a=b"})).text


async def test_without_a_login_only_this_machine_is_let_in_unless_somebody_said_so(
    mqtt_settings: MqttSettings, database_settings: DatabaseSettings, engine: AsyncEngine
) -> None:
    passed_on = {"X-Forwarded-For": "192.0.2.7"}
    async with (
        running_web(web_settings(mqtt_settings, database_settings)) as base,
        httpx.AsyncClient(base_url=base, timeout=WAIT_S) as client,
    ):
        me = (await client.get("/api/v1/me")).json()
        assert (me["name"], me["login"], me["known_by"]) == ("somebody at this machine", "off", None)
        assert "Nobody logs in here" in (await client.get("/")).text
        check_problem(await log_in(client, "anna"), 409, "no-login")
        check_problem(await client.get("/api/v1/devices", headers=passed_on), 403, "login-undecided")
        assert "Not from another machine" in (await client.get("/", headers=passed_on)).text
    async with (
        running_web(web_settings(mqtt_settings, database_settings, login="off")) as base,
        httpx.AsyncClient(base_url=base, timeout=WAIT_S) as client,
    ):
        assert (await client.get("/api/v1/devices", headers=passed_on)).status_code == 200
