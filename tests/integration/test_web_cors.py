"""What pages of other sites may do: nothing unless a site is named, and then only with a key."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.web.settings import WebSettings
from shared.errors import SettingsError
from shared.settings import DatabaseSettings, MqttSettings, load
from tests.support.accounts import add_person, logged_in
from tests.support.web import check_problem, records, running_web, web_settings

SITE = "https://lab.example.org"
ASKS_BEFORE = {
    "Origin": SITE,
    "Sec-Fetch-Site": "cross-site",
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}
SESSION = {"participant": "P07", "devices": []}


@pytest.fixture
async def engine(database_settings: DatabaseSettings) -> AsyncIterator[AsyncEngine]:
    async with records(database_settings, datetime.now(UTC).date()) as engine:
        await add_person(engine, "ada", "researcher")
        yield engine


def granted(answer: httpx.Response) -> set[str]:
    return {name for name in answer.headers if name.startswith("access-control-")}


async def key_of(person: httpx.AsyncClient) -> dict[str, str]:
    made = await person.post("/api/v1/tokens", json={"name": "site", "scopes": ["view", "research"]})
    assert made.status_code == 201, made.text
    return {"Authorization": f"Bearer {made.json()['token']}"}


async def test_nothing_is_granted_by_itself(
    mqtt_settings: MqttSettings, database_settings: DatabaseSettings, engine: AsyncEngine
) -> None:
    settings = web_settings(mqtt_settings, database_settings, login="required")
    async with running_web(settings) as base, logged_in(base, "ada") as ada:
        key = await key_of(ada)
        async with httpx.AsyncClient(base_url=base, timeout=60) as page:
            before = await page.options("/api/v1/sessions", headers=ASKS_BEFORE)
            check_problem(before, 405, "method-not-allowed")
            read = await page.get("/api/v1/sessions", headers={"Origin": SITE, **key})
            changed = await page.post("/api/v1/sessions", headers={"Origin": SITE, **key}, json=SESSION)
            check_problem(changed, 403, "another-site")
            assert granted(before) | granted(read) | granted(changed) == set()


async def test_a_named_sites_pages_are_let_in_by_a_key_and_never_by_a_login(
    mqtt_settings: MqttSettings, database_settings: DatabaseSettings, engine: AsyncEngine
) -> None:
    settings = web_settings(
        mqtt_settings, database_settings, login="required", cors_origins=f"{SITE}, http://localhost:3000"
    )
    async with running_web(settings) as base, logged_in(base, "ada") as ada:
        key = await key_of(ada)
        from_site = {"Origin": SITE, "Sec-Fetch-Site": "cross-site"}
        async with httpx.AsyncClient(base_url=base, timeout=60) as page:
            before = await page.options("/api/v1/sessions", headers=ASKS_BEFORE)
            assert before.status_code == 200
            assert before.headers["access-control-allow-origin"] == SITE
            assert "Authorization" in before.headers["access-control-allow-headers"]
            read = await page.get("/api/v1/sessions", headers=from_site | key)
            assert (read.status_code, read.headers["access-control-allow-origin"]) == (200, SITE)
            # As far as the question whether such a session may be.
            changed = await page.post("/api/v1/sessions", headers=from_site | key, json=SESSION)
            check_problem(changed, 422, "bad-parameters")
            refused = await page.get("/api/v1/sessions", headers=from_site)
            check_problem(refused, 401, "login-needed")
            assert refused.headers["access-control-allow-origin"] == SITE, "the page can read why"

            # Others get nothing, and pages are not for other sites.
            for origin in ("https://evil.example", "null", SITE + ".evil.example", "http://lab.example.org"):
                asked = await page.options("/api/v1/sessions", headers=ASKS_BEFORE | {"Origin": origin})
                assert asked.status_code == 400, origin
                got = await page.get("/api/v1/sessions", headers={"Origin": origin} | key)
                posted = await page.post("/api/v1/sessions", headers={"Origin": origin} | key, json=SESSION)
                check_problem(posted, 403, "another-site")
                for answer in (asked, got, posted):
                    assert "access-control-allow-origin" not in answer.headers, origin
            assert granted(await page.get("/login", headers=from_site)) == set()

        # A login is not taken, whatever a browser sends.
        assert (await ada.get("/api/v1/me")).status_code == 200
        check_problem(await ada.get("/api/v1/me", headers=from_site), 401, "login-needed")
        check_problem(await ada.post("/api/v1/sessions", headers=from_site, json=SESSION), 403, "another-site")
        asked = await ada.options("/api/v1/sessions", headers=ASKS_BEFORE)
        assert "access-control-allow-credentials" not in granted(asked) | granted(read)


@pytest.mark.parametrize(
    "wrong",
    [
        "*",
        "https://*.example.org",
        "null",
        "lab.example.org",
        "https://lab.example.org/",
        "https://lab.example.org/app",
        "https://Lab.example.org",
        "https://lab.example.org:443",
        "http://lab.example.org:80",
        "http://lab.example.org:70000",
        "https://ada@lab.example.org",
        "ftp://lab.example.org",
        f"{SITE} https://other.example.org",
    ],
)
def test_only_exact_origins_are_taken(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("EMOTION_LOGIN", "required")
    monkeypatch.setenv("EMOTION_CORS_ORIGINS", f"{SITE},{wrong}")
    with pytest.raises(SettingsError) as told:
        load(WebSettings)
    assert "EMOTION_CORS_ORIGINS" in str(told.value)
    assert f"{wrong!r} is no exact origin; expected as https://lab.example.org" in str(told.value)


@pytest.mark.parametrize(
    ("variables", "takes"),
    [
        ({}, False),  # on this machine alone, where no login is asked for
        ({"EMOTION_LOGIN": "off", "EMOTION_HOST": "0.0.0.0"}, False),
        ({"EMOTION_ROLE": "edge", "EMOTION_HOST": "0.0.0.0"}, False),
        ({"EMOTION_HOST": "0.0.0.0"}, True),
        ({"EMOTION_LOGIN": "required"}, True),
    ],
)
def test_sites_are_named_only_where_keys_are_needed(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], *, takes: bool
) -> None:
    for name, value in {**variables, "EMOTION_CORS_ORIGINS": f"{SITE},https://[::1]:8443"}.items():
        monkeypatch.setenv(name, value)
    if takes:
        assert load(WebSettings).origins == {SITE, "https://[::1]:8443"}
        return
    with pytest.raises(SettingsError, match=r"EMOTION_CORS_ORIGINS.*Set EMOTION_LOGIN=required"):
        load(WebSettings)
