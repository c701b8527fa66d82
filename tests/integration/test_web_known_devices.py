"""A name that no device has is refused wherever records are asked for; one whose records are gone is not."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from sqlalchemy import delete, text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.web.hub import Event, Hub
from services.web.known_devices import KnownDevices
from services.web.problems import ApiProblem
from shared.db.tables import detections, faces
from shared.settings import DatabaseSettings, MqttSettings
from tests.integration.delivery import until
from tests.support import scenes
from tests.support.browser import Device
from tests.support.web import check_problem, ingested, records

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ASKED = (
    "detections",
    "frames",
    "stats",
    "episodes",
    "timeline",
    "labels/queue",
    "labels",
    "labels/agreement",
)


@pytest.fixture
async def engine(database_settings: DatabaseSettings) -> AsyncIterator[AsyncEngine]:
    async with records(database_settings, NOON.date()) as engine:
        yield engine


async def asked(api: httpx.AsyncClient, path: str, device: str) -> httpx.Response:
    labeller = {"labeller": "ada"} if path == "labels/queue" else {}
    return await api.get(f"/api/v1/{path}", params={"device": device, **labeller})


async def answers(api: httpx.AsyncClient, device: str) -> list[int]:
    return [(await asked(api, path, device)).status_code for path in ASKED]


async def test_a_name_that_nobody_knows_is_refused_everywhere_with_where_to_look(
    api: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    one = scenes.detection("camera-1", scenes.face(), captured_at=NOON)
    await ingested(engine, [one])
    (episode,) = (await api.get("/api/v1/episodes")).json()["items"]
    for path in (*ASKED, f"detections/{one.event_id}/neighbours", f"episodes/{episode['id']}/neighbours"):
        (error,) = check_problem(await asked(api, path, "nosuch"), 422, "bad-parameters")["errors"]
        assert error["parameter"] == "device", path
        assert error["reason"] == "no device nosuch is known; the list of devices has those that are", path
    for path, more in (("preview", {}), ("", {"name": "lab"})):
        body: dict[str, Any] = {"filter": {"device": "nosuch"}, **more}
        (error,) = check_problem(
            await api.post(f"/api/v1/datasets/{path}".rstrip("/"), json=body), 422, "bad-parameters"
        )["errors"]
        assert error["parameter"] == "filter.device"
    (error,) = check_problem(
        await api.post("/api/v1/sessions", json={"participant": "P1", "devices": ["camera-1", "nosuch"]}),
        422,
        "bad-parameters",
    )["errors"]
    assert (error["parameter"], error["reason"].split(";")[0]) == ("devices", "no device nosuch is known")


async def test_a_device_whose_records_were_erased_and_one_that_stored_nothing_yet_are_known(
    api: httpx.AsyncClient, engine: AsyncEngine, mqtt_settings: MqttSettings
) -> None:
    await ingested(engine, [scenes.detection("camera-1", scenes.face(), captured_at=NOON)])
    async with engine.begin() as connection:
        await connection.execute(delete(faces))
        await connection.execute(delete(detections))
    assert set(await answers(api, "camera-1")) == {200}
    assert set(await answers(api, "camera-2")) == {422}
    async with Device(mqtt_settings, "camera-2").linked() as device:
        await device.status("capture")

        async def known() -> bool:
            return set(await answers(api, "camera-2")) == {200}

        await until(known)


async def test_the_database_is_asked_only_of_a_device_that_the_broker_does_not_tell_of(engine: AsyncEngine) -> None:
    hub = Hub()
    hub.publish(Event("status", "camera-1", "{}"), keep="status/capture")
    known = KnownDevices(hub)
    await ingested(engine, [scenes.detection("camera-2", scenes.face(), captured_at=NOON)])
    async with engine.connect() as connection:
        scans = text("SELECT seq_scan + idx_scan FROM pg_stat_xact_user_tables WHERE relname = 'devices'")
        before = await connection.scalar(scans)
        await known.check(connection, "camera-1", None)
        assert await connection.scalar(scans) == before
        await known.check(connection, "camera-2")
        with pytest.raises(ApiProblem, match="no device camera-3, camera-4 is known"):
            await known.check(connection, "camera-4", "camera-2", "camera-3", "camera-1")
