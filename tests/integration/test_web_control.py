"""Pausing devices over REST, and what the audit log then says of its viewers."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

import services.web.database
import services.web.trail
from services.web.trail import Trail
from shared.db import audit
from shared.db.audit import Entry
from shared.messages import MOST_TEXT, Desired, Sampling, decode
from shared.metrics import Metrics
from shared.mqtt import MqttLink
from shared.settings import DatabaseSettings, MqttSettings
from tests.integration.delivery import until
from tests.support import scenes
from tests.support.patience import WAIT_S
from tests.support.web import check_problem, records, running_web, store_frame, web_settings

JSON = {"Content-Type": "application/json"}
DEVICE = "camera-1"


class Edge:
    """A device that the broker knows, and what it is wished."""

    def __init__(self, mqtt: MqttSettings) -> None:
        self.topics = mqtt.topics
        self.link = MqttLink(mqtt)
        self.wishes: list[Desired] = []
        self.link.subscribe(
            self.topics.desired(DEVICE), lambda topic, payload: self.wishes.append(decode(Desired, topic, payload))
        )

    async def wish(self, wish: dict[str, Any]) -> None:
        await self.link.publish(self.topics.desired(DEVICE), json.dumps(wish).encode(), qos=1, retain=True)


@asynccontextmanager
async def a_device(mqtt: MqttSettings) -> AsyncIterator[Edge]:
    edge = Edge(mqtt)
    task = asyncio.create_task(edge.link.run())
    await edge.link.connected.wait()
    status = scenes.status(DEVICE, "capture", "online").to_json()
    await edge.link.publish(edge.topics.status(DEVICE, "capture"), status, qos=1, retain=True)
    try:
        yield edge
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def settled(api: httpx.AsyncClient, verb: str = "resume") -> None:
    """Until the service has heard what the broker retains."""

    async def answers() -> bool:
        return (await api.post(f"/api/v1/devices/{DEVICE}/{verb}", json={})).status_code == 202

    await until(answers)


async def test_a_wish_is_published_beside_what_else_is_wished(mqtt_settings: MqttSettings) -> None:
    async with a_device(mqtt_settings) as edge:
        await edge.wish({"schema": 1, "device": DEVICE, "sampling": {"mode": "on"}, "from_the_future": 1})
        async with (
            running_web(web_settings(mqtt_settings)) as base,
            httpx.AsyncClient(base_url=base, timeout=WAIT_S) as api,
        ):
            await settled(api, "pause")
            await until(lambda: bool(edge.wishes) and edge.wishes[-1].paused is True)
            assert edge.wishes[-1].sampling is not None
            (entry,) = (await api.get("/api/v1/devices")).json()["items"]
            assert entry["desired"]["from_the_future"] == 1
            answer = await api.post(f"/api/v1/devices/{DEVICE}/resume", json={})
            assert (answer.status_code, answer.json()) == (202, {"device": DEVICE, "paused": False})
            await until(lambda: edge.wishes[-1].paused is False)


FORGED: list[tuple[dict[str, str], bytes, int, str]] = [
    ({"Content-Type": "text/plain"}, b"{}", 415, "not-json"),
    ({"Content-Type": "application/x-www-form-urlencoded"}, b"a=b", 415, "not-json"),
    ({}, b"", 415, "not-json"),
    ({**JSON, "Origin": "http://evil.example"}, b"{}", 403, "another-site"),
    ({**JSON, "Origin": "null"}, b"{}", 403, "another-site"),
    ({**JSON, "Sec-Fetch-Site": "cross-site"}, b"{}", 403, "another-site"),
    ({**JSON, "Sec-Fetch-Site": "same-site"}, b"{}", 403, "another-site"),
    (JSON, b'{"paused": true}', 422, "bad-parameters"),
    (JSON, b"[]", 422, "bad-parameters"),
    (JSON, b"not json", 422, "bad-parameters"),
]


async def test_what_another_sites_page_can_send_is_refused_and_changes_nothing(mqtt_settings: MqttSettings) -> None:
    async with (
        a_device(mqtt_settings) as edge,
        running_web(web_settings(mqtt_settings)) as base,
        httpx.AsyncClient(base_url=base, timeout=WAIT_S) as api,
    ):
        await settled(api)
        for headers, body, status, kind in FORGED:
            answer = await api.post(f"/api/v1/devices/{DEVICE}/pause", headers=headers, content=body)
            check_problem(answer, status, kind)
        check_problem(await api.get(f"/api/v1/devices/{DEVICE}/pause"), 405, "method-not-allowed")
        own = {**JSON, "Origin": base, "Sec-Fetch-Site": "same-origin"}
        assert (await api.post(f"/api/v1/devices/{DEVICE}/pause", headers=own, content=b"{}")).status_code == 202
        await until(lambda: bool(edge.wishes) and edge.wishes[-1].paused is True)
        assert [wish.paused for wish in edge.wishes if wish.paused] == [True]


async def test_sampling_and_model_are_wished_taken_back_and_listed(mqtt_settings: MqttSettings) -> None:
    path = f"/api/v1/devices/{DEVICE}/desired"
    async with (
        a_device(mqtt_settings) as edge,
        running_web(web_settings(mqtt_settings)) as base,
        httpx.AsyncClient(base_url=base, timeout=WAIT_S) as api,
    ):
        status = scenes.status(DEVICE)
        values = {**status.values, "model": "slim_resnet 1.1.0", "models": "other, slim_resnet"}
        status = status.model_copy(update={"values": values})
        await edge.link.publish(edge.topics.status(DEVICE, "classifier"), status.to_json(), qos=1, retain=True)
        await settled(api)
        change = {"sampling": {"mode": "on", "every_s": 5}, "model": "other"}
        answer = await api.patch(path, json=change)
        assert answer.status_code == 202
        assert answer.json()["desired"]["model"] == "other"
        await until(lambda: bool(edge.wishes) and edge.wishes[-1].model == "other")
        assert edge.wishes[-1].sampling == Sampling(mode="on", every_s=5.0)
        assert (await api.patch(path, json={"model": None})).status_code == 202
        await until(lambda: edge.wishes[-1].model is None)
        assert edge.wishes[-1].sampling == Sampling(mode="on", every_s=5.0), "what is not named stays"
        refused = check_problem(await api.patch(path, json={"model": "nope"}), 422, "bad-parameters")
        assert refused["errors"] == [
            {
                "parameter": "model",
                "reason": "the device camera-1 does not have the model nope; it has other, slim_resnet",
            }
        ]
        for bad in ({"model": "../x"}, {"sampling": {"mode": "on", "every_s": 0}}, {"watch_until": None}):
            check_problem(await api.patch(path, json=bad), 422, "bad-parameters")
        check_problem(await api.patch("/api/v1/devices/camera-9/desired", json={}), 404, "not-found")

        async def listed() -> bool:
            return len((await api.get("/api/v1/models")).json()["items"]) == 2

        await until(listed)
        other, used = (await api.get("/api/v1/models")).json()["items"]
        assert (other["name"], other["version"], other["present_on"]) == ("other", None, [DEVICE])
        assert (used["version"], used["in_use_by"], used["present_on"]) == ("1.1.0", [DEVICE], [DEVICE])


@pytest.mark.parametrize("told", [None, "", ", ".join(f"model-{number:03}" for number in range(99))[:MOST_TEXT]])
async def test_a_model_is_taken_where_the_device_does_not_tell_all_that_it_has(
    mqtt_settings: MqttSettings, told: str | None
) -> None:
    async with (
        a_device(mqtt_settings) as edge,
        running_web(web_settings(mqtt_settings)) as base,
        httpx.AsyncClient(base_url=base, timeout=WAIT_S) as api,
    ):
        status = scenes.status(DEVICE)
        status = status.model_copy(update={"values": {**status.values, "models": told}})
        await edge.link.publish(edge.topics.status(DEVICE, "classifier"), status.to_json(), qos=1, retain=True)
        await settled(api)
        assert (await api.patch(f"/api/v1/devices/{DEVICE}/desired", json={"model": "nope"})).status_code == 202


async def test_when_a_status_came_and_how_far_its_clock_is_ahead_are_told(mqtt_settings: MqttSettings) -> None:
    async with (
        a_device(mqtt_settings) as edge,
        running_web(web_settings(mqtt_settings)) as base,
        httpx.AsyncClient(base_url=base, timeout=WAIT_S) as api,
    ):
        began = datetime.now(UTC)

        async def heard(service: str) -> dict[str, Any]:
            (entry,) = (await api.get("/api/v1/devices")).json()["items"] or [{"statuses": {}}]
            return dict(entry["statuses"].get(service, {}))

        async def told(service: str, ahead_s: float) -> bool:
            status = scenes.status(DEVICE, service)
            status = status.model_copy(update={"at": status.at + timedelta(seconds=ahead_s)})
            await edge.link.publish(edge.topics.status(DEVICE, service), status.to_json(), qos=1, retain=True)
            return (await heard(service)).get("clock_skew_s") is not None

        await until(lambda: told("classifier", 90))
        await until(lambda: told("capture", -90))
        classifier, capture = await heard("classifier"), await heard("capture")
        assert classifier["clock_skew_s"] == pytest.approx(90, abs=30)
        assert capture["clock_skew_s"] == pytest.approx(-90, abs=30)
        for status in (classifier, capture):
            assert began < datetime.fromisoformat(status["received_at"]) <= datetime.now(UTC)
            sent = datetime.fromisoformat(status["at"]) - datetime.fromisoformat(status["received_at"])
            assert abs(sent.total_seconds()) > 60, "`at` stays as the device said it"


async def test_an_unknown_device_and_a_broker_that_is_away_are_told(mqtt_settings: MqttSettings) -> None:
    async with (
        a_device(mqtt_settings),
        running_web(web_settings(mqtt_settings)) as base,
        httpx.AsyncClient(base_url=base, timeout=WAIT_S) as api,
    ):
        await settled(api)
        check_problem(await api.post("/api/v1/devices/camera-9/pause", json={}), 404, "not-found")
        check_problem(await api.post("/api/v1/devices/Not a name/pause", json={}), 422, "bad-parameters")


@pytest.fixture
async def engine(database_settings: DatabaseSettings) -> AsyncIterator[AsyncEngine]:
    async with records(database_settings, datetime.now(UTC).date()) as engine:
        yield engine


async def test_who_saw_what_is_in_the_log_when_the_service_has_stopped(
    mqtt_settings: MqttSettings, database_settings: DatabaseSettings, engine: AsyncEngine, quiet_trail: None
) -> None:
    ids = [scenes.new_id() for _ in range(3)]
    for frame_id in ids:
        await store_frame(engine, frame_id, scenes.picture(64, 36), datetime.now(UTC))
    async with (
        a_device(mqtt_settings),
        running_web(web_settings(mqtt_settings, database_settings)) as base,
        httpx.AsyncClient(base_url=base, headers={"X-Request-ID": "r-1"}, timeout=WAIT_S) as api,
    ):
        await settled(api)
        for frame_id in [*ids, ids[0]]:
            assert (await api.get(f"/api/v1/frames/{frame_id}.jpg")).status_code == 200
        assert (await api.get(f"/api/v1/frames/{scenes.new_id()}.jpg")).status_code == 404
        await api.get("/api/v1/detections", params={"device": DEVICE, "emotion": "sad", "limit": 3})
        await api.get("/api/v1/devices")  # names of machines only
    async with engine.connect() as connection:
        entries = {one.entry.object: one.entry for one in await audit.newest(connection, 100)}
    assert set(entries) == {"device camera-1", "pictures", "detections"}
    assert {entry.who for entry in entries.values()} == {"somebody at this machine"}
    pictures = entries["pictures"]
    assert (pictures.action, pictures.detail["times"], pictures.request_id) == ("view", 4, "r-1")
    assert pictures.detail["items"] == [str(frame_id) for frame_id in ids]
    assert entries["detections"].detail["query"] == {"device": DEVICE, "emotion": "sad"}
    assert entries["device camera-1"].action == "resume"


async def test_lines_wait_for_a_database_that_is_away(
    mqtt_settings: MqttSettings,
    database_settings: DatabaseSettings,
    engine: AsyncEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(services.web.trail, "WRITE_EVERY_S", 0.05)
    refused = asyncio.Event()

    async def watched(*arguments: Any) -> None:
        try:
            await audit.write(*arguments)
        except DBAPIError:
            refused.set()
            raise

    monkeypatch.setattr(services.web.database, "write", watched)
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE audit_log RENAME TO hidden"))
    async with (
        running_web(web_settings(mqtt_settings, database_settings)) as base,
        httpx.AsyncClient(base_url=base, timeout=WAIT_S) as api,
    ):
        await api.get("/api/v1/detections")

        await refused.wait()
        assert "emotion_web_audit_written_total 0.0" in (await api.get("/metrics")).text
        async with engine.begin() as connection:
            await connection.execute(text("ALTER TABLE hidden RENAME TO audit_log"))

        async def written() -> bool:
            return "emotion_web_audit_written_total 1.0" in (await api.get("/metrics")).text

        await until(written)
    async with engine.connect() as connection:
        assert [one.entry.object for one in await audit.newest(connection, 10)] == ["detections"]


class _Request:
    """What of a request is looked at."""

    def __init__(self, host: str | None = "192.0.2.7", headers: dict[str, str] | None = None) -> None:
        self.client = type("Client", (), {"host": host})() if host else None
        self.headers = headers or {}
        self.state = object()


async def test_lines_are_bounded_and_what_finds_no_room_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services.web.trail, "_MAX_LINES", 3)
    monkeypatch.setattr(services.web.trail, "_ITEMS_A_LINE", 2)
    saved: list[Entry] = []
    away = True

    async def save(entries: Any) -> None:
        if away:
            raise OSError("away")
        saved.extend(entries)

    metrics = Metrics("web")
    trail = Trail(save, metrics)

    def note(what: str, item: str | None = None) -> None:
        trail.note(_Request(), "view", what, item=item)  # type: ignore[arg-type]  # a stand-in

    for item in "abc":  # two to a line
        note("pictures", item)
    note("detections")
    note("statistics")  # no room
    note("detections")  # a line that is there already has
    await trail._write()
    away = False
    await trail.write_last()
    assert [(entry.object, entry.detail["times"], entry.detail.get("items")) for entry in saved] == [
        ("pictures", 2, ["a", "b"]),
        ("pictures", 1, ["c"]),
        ("detections", 2, None),
    ]
    assert {entry.who for entry in saved} == {"unknown at 192.0.2.7"}
    assert "emotion_web_audit_dropped_total 1.0" in metrics.render().decode()


async def test_what_the_database_never_took_is_counted_at_the_end() -> None:
    async def save(_: Any) -> None:
        raise OSError("away")

    metrics = Metrics("web")
    trail = Trail(save, metrics)
    for _ in range(3):
        trail.note(_Request(None), "view", "pictures")  # type: ignore[arg-type]  # a stand-in
    await trail.write_last()
    assert "emotion_web_audit_dropped_total 3.0" in metrics.render().decode()
