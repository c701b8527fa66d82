"""How often one may ask, over a real Postgres: made-up logins and keys gain nothing and take nothing from others."""

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

import services.web.accounts.doorkeeper
import services.web.app
import services.web.main
import services.web.rate
from services.web.accounts import queries, secret_tokens
from services.web.rate import Allowance, LimitRequests
from shared.settings import DatabaseSettings, MqttSettings
from tests.support.accounts import add_person, logged_in
from tests.support.web import check_problem, records, running_web, web_settings

PER_S = 0.5
SAVED = 5
"""Requests that can be saved up at this rate."""


@pytest.fixture
async def engine(database_settings: DatabaseSettings) -> AsyncIterator[AsyncEngine]:
    async with records(database_settings, datetime.now(UTC).date()) as engine:
        for name in ("anna", "ben", "carla"):
            await add_person(engine, name, "viewer")
        yield engine


@asynccontextmanager
async def service(mqtt: MqttSettings, database: DatabaseSettings) -> AsyncIterator[tuple[str, httpx.AsyncClient]]:
    """A service that asks for a login, and a client that nobody knows, at an address of its own."""
    settings = web_settings(mqtt, database, login="required", requests_per_s=PER_S)
    async with (
        running_web(settings) as base,
        httpx.AsyncClient(base_url=base, timeout=60, headers={"X-Forwarded-For": "192.0.2.9"}) as stranger,
    ):
        yield base, stranger


def made_up(number: int) -> dict[str, str]:
    """Headers that anybody can make up, another one each time."""
    cookie, key = secret_tokens.new_login(), secret_tokens.new_key()
    return [
        {"Cookie": f"emotion={cookie}"},
        {"Authorization": f"Bearer {key}"},
        {"Cookie": f"theme={secrets.token_hex()}"},
        {"Authorization": f"Basic {secrets.token_hex()}"},
    ][number % 4]


async def test_made_up_logins_and_keys_share_their_addresss_allowance_and_its_look_ups(
    mqtt_settings: MqttSettings,
    database_settings: DatabaseSettings,
    engine: AsyncEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # No time passes, however slow this machine is.
    monkeypatch.setattr(services.web.app, "LimitRequests", partial(LimitRequests, clock=lambda: 0.0))
    monkeypatch.setattr(services.web.main, "Allowance", partial(Allowance, clock=lambda: 0.0))
    looked_up: list[bytes] = []
    of_login, of_key = queries.user_of_login, queries.owner_of_key

    async def user_of_login(connection: AsyncConnection, digest: bytes, idle: timedelta) -> object:
        looked_up.append(digest)
        return await of_login(connection, digest, idle)

    async def owner_of_key(connection: AsyncConnection, digest: bytes) -> object:
        looked_up.append(digest)
        return await of_key(connection, digest)

    monkeypatch.setattr(queries, "user_of_login", user_of_login)
    monkeypatch.setattr(queries, "owner_of_key", owner_of_key)
    async with service(mqtt_settings, database_settings) as (_, stranger):
        for path, refused_on_a_page in (("/api/v1/me", False), ("/", True)):
            looked_up.clear()
            answers = [await stranger.get(path, headers=made_up(number)) for number in range(60)]
            assert len(looked_up) <= SAVED, path
            refused = [answer for answer in answers if answer.status_code == 429]
            # A page is shown to whoever asks for it; what is bounded is how often the database is asked who that is.
            assert len(refused) >= (30 if refused_on_a_page else 60) - SAVED, path
            if refused_on_a_page:
                assert "Too many requests" in refused[-1].text
            else:
                document = check_problem(refused[-1], 429, "too-many-requests")
                assert "address" in document["detail"]
                assert int(refused[-1].headers["retry-after"]) >= 1


async def test_people_behind_one_address_are_neither_each_others_limit_nor_that_of_who_floods_it(
    mqtt_settings: MqttSettings,
    database_settings: DatabaseSettings,
    engine: AsyncEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # No time passes, however slow this machine is.
    monkeypatch.setattr(services.web.app, "LimitRequests", partial(LimitRequests, clock=lambda: 0.0))
    async with service(mqtt_settings, database_settings) as (base, stranger), AsyncExitStack() as stack:
        people = [await stack.enter_async_context(logged_in(base, name)) for name in ("anna", "ben", "carla")]
        for person in people:
            person.headers["X-Forwarded-For"] = "192.0.2.9"
            assert (await person.get("/api/v1/me")).status_code == 200
        used_up = [await stranger.get("/api/v1/me", headers=made_up(number)) for number in range(40)]
        check_problem(used_up[-1], 429, "too-many-requests")
        for person in people:
            assert [(await person.get("/api/v1/me")).status_code for _ in range(SAVED - 1)] == [200] * (SAVED - 1)
        answers = [await people[0].get("/api/v1/me") for _ in range(30)]
        document = check_problem(answers[-1], 429, "too-many-requests")
        assert "login or key" in document["detail"]
        assert (await people[1].get("/api/v1/me")).status_code == 200


async def test_what_is_made_up_pushes_nobody_out_of_what_is_remembered(
    mqtt_settings: MqttSettings,
    database_settings: DatabaseSettings,
    engine: AsyncEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(services.web.accounts.doorkeeper, "_BOUND", 3)
    monkeypatch.setattr(services.web.rate, "_BOUND", 3)
    async with service(mqtt_settings, database_settings) as (base, stranger), logged_in(base, "anna") as anna:
        while (await anna.get("/api/v1/me")).status_code != 429:
            pass
        used_up = time.monotonic()
        for number in range(30):
            headers = made_up(number) | {"X-Forwarded-For": f"198.51.100.{number}"}
            assert (await stranger.get("/api/v1/me", headers=headers)).status_code == 401
        allowed = [(await anna.get("/api/v1/me")).status_code for _ in range(30)].count(200)
        assert allowed <= (time.monotonic() - used_up) * PER_S + 1
