"""The OpenAPI document's examples: each body and answer has one that fits, and the service takes the bodies."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from services.web.examples import NoExample, contents, example
from shared.settings import DatabaseSettings, MqttSettings
from tests.support import scenes
from tests.support.web import records, running_web, store, web_settings

MISFITS = (400, 413, 415, 422, 500)


@pytest.fixture
async def api(mqtt_settings: MqttSettings, database_settings: DatabaseSettings) -> AsyncIterator[httpx.AsyncClient]:
    """A service that asks for no login and knows the device camera-1."""
    async with records(database_settings, datetime.now(UTC).date()) as engine:
        await store(engine, [scenes.detection("camera-1", scenes.face())])
        settings = web_settings(mqtt_settings, database_settings)
        async with running_web(settings) as base, httpx.AsyncClient(base_url=base, timeout=60) as client:
            yield client


async def test_every_body_and_answer_has_an_example_that_fits(api: httpx.AsyncClient) -> None:
    spec = (await api.get("/api/v1/openapi.json")).json()
    with_json = [
        f"{method} {path}"
        for path, operations in spec["paths"].items()
        for method, operation in operations.items()
        if "application/json" in str(operation.get("requestBody", {}).get("content", {}).keys())
    ]
    found = contents(spec)
    assert len([name for name in found if name.endswith(" body")]) == len(with_json) > 15
    assert len(found) - len(with_json) > 40
    wrong = []
    for name, content in found.items():
        if "example" not in content:
            with pytest.raises(NoExample) as missing:
                example(content["schema"], spec["components"]["schemas"])
            wrong.append(f"{name}: nothing says what is typical of {missing.value}; give that field an example")
            continue
        validator: Any = Draft202012Validator(
            content["schema"] | {"components": spec["components"]},
            format_checker=Draft202012Validator.FORMAT_CHECKER,
        )
        wrong += [f"{name}: {error.json_path} {error.message}" for error in validator.iter_errors(content["example"])]
    assert not wrong, "\n".join(wrong)
    told = {word: found[f"POST /api/v1/devices/{{device}}/{word} 202"]["example"] for word in ("pause", "resume")}
    assert told == {
        "pause": {"device": "camera-1", "paused": True},
        "resume": {"device": "camera-1", "paused": False},
    }


async def test_the_service_takes_every_body_of_an_example(api: httpx.AsyncClient) -> None:
    spec = (await api.get("/api/v1/openapi.json")).json()
    nobody = "6f1c1c1e-3a60-4f0e-9a3e-0d0f6f2b6c55"
    for name, content in contents(spec).items():
        method, path, kind = name.split(" ")
        if kind == "body":
            address = re.sub(r"\{\w+\}", nobody, path.replace("{device}", "camera-1"))
            answer = await api.request(method, address, json=content["example"])
            assert answer.status_code not in MISFITS, f"{name}: {answer.text}"


def test_a_part_of_which_nothing_says_what_is_typical_is_named() -> None:
    schemas: dict[str, Any] = {
        "Thing": {
            "properties": {"peculiar": {"type": "string"}, "device": {"type": "string"}},
            "required": ["peculiar", "device"],
            "type": "object",
        }
    }
    with pytest.raises(NoExample, match=r"^Thing\.peculiar$"):
        example({"$ref": "#/components/schemas/Thing"}, schemas)
    schemas["Thing"]["properties"]["peculiar"]["examples"] = ["odd"]
    assert example({"$ref": "#/components/schemas/Thing"}, schemas) == {"peculiar": "odd", "device": "camera-1"}
