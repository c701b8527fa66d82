"""What the OpenAPI document says of who may ask and of what is answered, against a service that runs."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

import services.web.rate
from services.web.gate import RIGHTS
from shared.settings import DatabaseSettings, MqttSettings
from tests.support.accounts import add_person, logged_in
from tests.support.patience import WAIT_S
from tests.support.web import records, running_web, web_settings

ASKS_NOBODY = {"POST /api/v1/login"}
PLACE = "0195532e-8b70-7c3e-9d0a-2f6b7a1c4d5e"


@pytest.fixture
async def engine(database_settings: DatabaseSettings) -> AsyncIterator[AsyncEngine]:
    async with records(database_settings, datetime.now(UTC).date()) as engine:
        await add_person(engine, "anna", "admin")
        yield engine


def operations(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in spec["paths"].items()
        for method, operation in methods.items()
    }


async def test_who_may_ask_is_told_and_held(
    mqtt_settings: MqttSettings, database_settings: DatabaseSettings, engine: AsyncEngine
) -> None:
    settings = web_settings(mqtt_settings, database_settings, login="required")
    async with running_web(settings) as base, logged_in(base, "anna") as anna:
        spec = (await anna.get("/api/v1/openapi.json")).json()
        schemes = spec["components"]["securitySchemes"]
        assert (schemes["key"]["type"], schemes["key"]["scheme"]) == ("http", "bearer")
        assert (schemes["login"]["type"], schemes["login"]["in"]) == ("apiKey", "cookie")
        assert anna.cookies.get(schemes["login"]["name"]), "the cookie that a login gives is named"
        found = operations(spec)
        assert {name for name, operation in found.items() if "security" not in operation} == ASKS_NOBODY
        # A key of each right: refused for the want of a right exactly where the document says that it is needed.
        async with httpx.AsyncClient(base_url=base, timeout=60) as program:
            for right in RIGHTS:
                wish = {"name": right, "scopes": [right]}
                made = await anna.post("/api/v1/tokens", json=wish)
                assert made.status_code == 201, made.text
                headers = {"Authorization": f"Bearer {made.json()['token']}"}
                for name, operation in found.items():
                    if name in ASKS_NOBODY or name == "GET /api/v1/live":  # that stream does not end
                        continue
                    (key, login) = operation["security"]
                    assert key["key"] == login["login"]
                    method, path = name.split(" ")
                    body: dict[str, Any] = {} if method == "GET" else {"json": {}}
                    answer = await program.request(method, _address(path), headers=headers, **body)
                    lacks = bool(set(key["key"]) - {right})
                    refused = answer.status_code == 403 and answer.json()["type"].endswith(":not-allowed")
                    assert refused is lacks, f"{name} with a key that may {right}: {answer.text[:200]}"
                    assert str(answer.status_code) in operation["responses"], name


async def test_nobody_has_to_be_known_where_no_login_is_required(mqtt_settings: MqttSettings) -> None:
    async with (
        running_web(web_settings(mqtt_settings)) as base,
        httpx.AsyncClient(base_url=base, timeout=WAIT_S) as client,
    ):
        spec = (await client.get("/api/v1/openapi.json")).json()
        for name, operation in operations(spec).items():
            assert operation["security"][0] == {}, name
            assert len(operation["security"]) == 3, name
        assert "asks nobody who they are" in (await client.get("/api/v1/docs")).text


async def test_each_operation_says_what_it_answers_to_a_body_that_is_too_long(
    mqtt_settings: MqttSettings, database_settings: DatabaseSettings, engine: AsyncEngine
) -> None:
    async with (
        running_web(web_settings(mqtt_settings, database_settings)) as base,
        httpx.AsyncClient(base_url=base, timeout=60) as client,
    ):
        spec = (await client.get("/api/v1/openapi.json")).json()
        for name, operation in operations(spec).items():
            method, path = name.split(" ")
            headers = {"Content-Type": "application/json"}
            answer = await client.request(method, _address(path), content=bytes(2_000_000), headers=headers)
            assert answer.status_code in (413, 415), name
            assert str(answer.status_code) in operation["responses"], name


async def test_each_operation_says_what_any_of_them_can_answer(
    mqtt_settings: MqttSettings,
    database_settings: DatabaseSettings,
    engine: AsyncEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(services.web.rate, "_SAVED_S", 1e4)  # one request, and no second however slow this machine is
    settings = web_settings(mqtt_settings, database_settings, requests_per_s=1e-4)
    async with running_web(settings) as base, httpx.AsyncClient(base_url=base, timeout=60) as client:
        spec = (await client.get("/api/v1/openapi.json")).json()
        found = operations(spec)
        assert len(found) > 50
        for name, operation in found.items():
            method, path = name.split(" ")
            headers = {"Host": "evil.example"}
            wrong_host = await client.request(method, _address(path), headers=headers)
            too_many = await client.request(method, _address(path))
            for answer, status in ((wrong_host, 421), (too_many, 429)):
                assert answer.status_code == status, name
                media_type = answer.headers["content-type"]
                assert media_type in operation["responses"][str(status)]["content"], name
            assert int(too_many.headers["retry-after"]) >= 1
            assert "Retry-After" in operation["responses"]["429"]["headers"]
            assert "503" in operation["responses"], name


def _address(path: str) -> str:
    """`path` with something in its places."""
    return re.sub(r"\{\w+\}", PLACE, path.replace("{device}", "camera-1").replace("{face_index}", "0"))
