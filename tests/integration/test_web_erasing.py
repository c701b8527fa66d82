"""Erasing over REST, over a real Postgres, and what is known of retention."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

import services.web.forgetting
from services.web import eraser
from shared.db import audit
from shared.db.erasure import erase
from shared.db.places import Scope
from shared.db.retention import RetentionSettings, run_pass
from shared.mqtt import MqttLink
from shared.settings import DatabaseSettings, MqttSettings
from tests.integration.delivery import until
from tests.integration.test_web_live import connected, watching
from tests.support import scenes
from tests.support.web import check_problem, records, running_web, store, store_frame, web_settings

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
async def engine(database_settings: DatabaseSettings) -> AsyncIterator[AsyncEngine]:
    async with records(database_settings, (NOW - timedelta(hours=2)).date(), NOW.date()) as engine:
        yield engine


async def test_what_is_named_is_erased_and_proven_and_nothing_else(
    mqtt_settings: MqttSettings, database_settings: DatabaseSettings, engine: AsyncEngine
) -> None:
    old, new = NOW - timedelta(hours=2), NOW - timedelta(minutes=1)
    kept = [scenes.detection("camera-1", scenes.face(), captured_at=at, seq=seq) for seq, at in enumerate((old, new))]
    other = scenes.detection("camera-2", scenes.face(), captured_at=old, seq=9)
    await store(engine, [*kept, other])
    await store_frame(engine, kept[0].event_id, scenes.picture(64, 36), old)
    async with (
        running_web(web_settings(mqtt_settings, database_settings)) as base,
        httpx.AsyncClient(base_url=base, timeout=60) as client,
    ):
        named = {"device": "camera-1", "to": (NOW - timedelta(hours=1)).isoformat()}
        rows = (await client.get("/api/v1/erasures/preview", params=named)).json()["rows"]
        assert {table: number for table, number in rows.items() if number} == {"detections": 1, "faces": 1, "frames": 1}
        check_problem(await client.post("/api/v1/erasures", json=named), 422, "bad-parameters")
        check_problem(await client.post("/api/v1/erasures", json={**named, "confirm": "yes"}), 422, "bad-parameters")
        backwards = {**named, "from": NOW.isoformat(), "confirm": "erase"}
        check_problem(await client.post("/api/v1/erasures", json=backwards), 422, "bad-parameters")
        assert (await client.get("/api/v1/erasures")).json() == {"at_work": [], "failed": None, "items": []}
        assert (await client.post("/api/v1/erasures", json={**named, "confirm": "erase"})).status_code == 202

        async def done() -> bool:
            found = (await client.get("/api/v1/erasures")).json()
            return bool(found["items"]) and found["items"][0]["finished_at"] is not None and not found["at_work"]

        await until(done)
        (proof,) = (await client.get("/api/v1/erasures")).json()["items"]
        assert (proof["device"], proof["requested_by"]) == ("camera-1", "somebody at this machine")
        assert proof["rows_before"]["detections"] == 1
        assert not any(proof["rows_after"].values())
        left = {item["event_id"] for item in (await client.get("/api/v1/detections")).json()["items"]}
        assert left == {str(kept[1].event_id), str(other.event_id)}
        assert (await client.get(f"/api/v1/frames/{kept[0].event_id}.jpg")).status_code == 404
    async with engine.connect() as connection:
        actions = {one.entry.action for one in await audit.newest(connection, 100)}
    assert {"ask to erase", "erase begins", "erase"} <= actions


async def test_a_session_or_one_item_is_erased_as_named(
    mqtt_settings: MqttSettings, database_settings: DatabaseSettings, engine: AsyncEngine
) -> None:
    begun, ended = NOW - timedelta(minutes=30), NOW - timedelta(minutes=20)
    times = {"before": begun - timedelta(minutes=1), "within": begun + timedelta(minutes=1), "after": ended}
    made = {
        (device, when): scenes.detection(device, scenes.face(), captured_at=at, seq=seq)
        for device in ("camera-1", "camera-2")
        for seq, (when, at) in enumerate(times.items())
    }
    await store(engine, list(made.values()))
    async with (
        running_web(web_settings(mqtt_settings, database_settings)) as base,
        httpx.AsyncClient(base_url=base, timeout=60) as client,
    ):
        new = {"participant": "P1", "devices": ["camera-1"], "started_at": begun.isoformat()}
        session = (await client.post("/api/v1/sessions", json=new)).json()["id"]
        named = {"session": session}
        goes_on = check_problem(await client.get("/api/v1/erasures/preview", params=named), 422, "bad-parameters")
        assert "goes on; end it first" in goes_on["errors"][0]["reason"]
        await client.patch(f"/api/v1/sessions/{session}", json={"ended_at": ended.isoformat()})
        rows = (await client.get("/api/v1/erasures/preview", params=named)).json()["rows"]
        assert (rows["detections"], rows["study_sessions"]) == (1, 1)
        asked = await client.post("/api/v1/erasures", json={**named, "confirm": "erase"})
        assert (asked.status_code, asked.json()["session"], asked.json()["device"]) == (202, session, None)
        one = made["camera-2", "before"]
        item = {"item": str(one.event_id)}
        assert (await client.get("/api/v1/erasures/preview", params=item)).json()["rows"]["faces"] == 1
        assert (await client.post("/api/v1/erasures", json={**item, "confirm": "erase"})).status_code == 202

        async def done() -> bool:
            return not (await client.get("/api/v1/erasures")).json()["at_work"]

        await until(done)
        found = (await client.get("/api/v1/erasures")).json()
        assert found["failed"] is None
        assert all(entry["finished_at"] for entry in found["items"])
        left = {each["event_id"] for each in (await client.get("/api/v1/detections")).json()["items"]}
        gone = {made["camera-1", "within"].event_id, one.event_id}
        assert left == {str(each.event_id) for each in made.values() if each.event_id not in gone}
        check_problem(await client.get(f"/api/v1/sessions/{session}"), 404, "not-found")


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        ({}, "name one of device, session and item"),
        ({"device": "camera-1"}, "to is missing"),
        ({"device": "camera-1", "to": "2026-03-01T12:00:00Z", "item": str(scenes.new_id())}, "name one of"),
        ({"session": str(scenes.new_id()), "to": "2026-03-01T12:00:00Z"}, "from and to go with device"),
        ({"session": str(scenes.new_id())}, "there is no session"),
        ({"item": "the last one"}, "expected an id such as"),
    ],
)
async def test_what_is_not_named_well_is_refused_with_the_reason(
    mqtt_settings: MqttSettings,
    database_settings: DatabaseSettings,
    engine: AsyncEngine,
    named: dict[str, str],
    reason: str,
) -> None:
    async with (
        running_web(web_settings(mqtt_settings, database_settings)) as base,
        httpx.AsyncClient(base_url=base, timeout=60) as client,
    ):
        for answer in (
            await client.get("/api/v1/erasures/preview", params=named),
            await client.post("/api/v1/erasures", json={**named, "confirm": "erase"}),
        ):
            problem = check_problem(answer, 422, "bad-parameters")
            assert reason in str(problem["errors"])
        assert (await client.get("/api/v1/erasures")).json()["items"] == []


@pytest.mark.parametrize("when", ["by itself", "with the next"])
async def test_an_erasure_that_fails_is_told_and_is_tried_again(
    mqtt_settings: MqttSettings,
    database_settings: DatabaseSettings,
    engine: AsyncEngine,
    monkeypatch: pytest.MonkeyPatch,
    when: str,
) -> None:
    if when == "by itself":
        monkeypatch.setattr(eraser, "_LOOK_EVERY_S", 0.05)
    await store(engine, [scenes.detection("camera-1", scenes.face(), captured_at=NOW, seq=1)])
    wish = {"device": "camera-1", "to": (NOW + timedelta(hours=1)).isoformat(), "confirm": "erase"}
    async with (
        running_web(web_settings(mqtt_settings, database_settings)) as base,
        httpx.AsyncClient(base_url=base, timeout=60) as client,
    ):
        async with engine.begin() as connection:
            await connection.execute(text("ALTER TABLE dead_letters RENAME TO hidden"))
        await client.post("/api/v1/erasures", json=wish)

        async def failed() -> bool:
            return (await client.get("/api/v1/erasures")).json()["failed"] is not None

        await until(failed)
        preview = {name: value for name, value in wish.items() if name != "confirm"}
        check_problem(await client.get("/api/v1/erasures/preview", params=preview), 503, "not-counted")
        async with engine.begin() as connection:
            await connection.execute(text("ALTER TABLE hidden RENAME TO dead_letters"))
        if when == "with the next":
            await client.post("/api/v1/erasures", json=wish)

        async def done() -> bool:
            found = (await client.get("/api/v1/erasures")).json()
            return all(one["finished_at"] for one in found["items"]) and found["failed"] is None

        await until(done)
        assert (await client.get("/api/v1/detections")).json()["items"] == []


async def test_retention_shows_what_the_database_knows(
    mqtt_settings: MqttSettings, database_settings: DatabaseSettings, engine: AsyncEngine
) -> None:
    async with (
        running_web(web_settings(mqtt_settings, database_settings)) as base,
        httpx.AsyncClient(base_url=base, timeout=60) as client,
    ):
        nothing = {"in_force": None, "last": None, "oldest_detection": None, "oldest_frame": None}
        assert (await client.get("/api/v1/retention")).json() == nothing
        await store(engine, [scenes.detection("camera-1", captured_at=NOW, seq=1)])
        async with engine.begin() as connection:
            detail = {"dropped": [], "rows_deleted": {}, "days": {"frames_days": 30}}
            await audit.write(connection, [audit.Entry("retention", "retention", "what expired", detail)])
        await run_pass(engine, RetentionSettings(detections_days=400), NOW)
        await run_pass(engine, RetentionSettings(detections_days=365), NOW)
        known = (await client.get("/api/v1/retention")).json()
        days = {"detections_days": 365, "frames_days": 0, "dead_letters_days": 30, "audit_days": 1095}
        assert (known["in_force"]["days"], datetime.fromisoformat(known["in_force"]["at"])) == (days, NOW)
        assert known["last"]["days"] == {"frames_days": 30}
        assert datetime.fromisoformat(known["oldest_detection"]) == NOW


@pytest.mark.parametrize("by", ["a page", "the command line"])
async def test_live_readings_that_are_remembered_go_with_what_is_erased(
    mqtt_settings: MqttSettings,
    database_settings: DatabaseSettings,
    engine: AsyncEngine,
    monkeypatch: pytest.MonkeyPatch,
    by: str,
) -> None:
    monkeypatch.setattr(services.web.forgetting, "LOOK_EVERY_S", 0.05)
    topics = mqtt_settings.topics
    async with (
        running_web(web_settings(mqtt_settings, database_settings)) as base,
        connected(MqttLink(mqtt_settings)) as edge,
        httpx.AsyncClient(base_url=base, timeout=60) as client,
        watching(base, "?wall=true&large=camera-1") as looks,
    ):
        for device in ("camera-1", "camera-2"):
            status = scenes.status(device, "capture").to_json()
            await edge.publish(topics.status(device, "capture"), status, qos=1, retain=True)
            await edge.publish(topics.live(device), scenes.live(device, scenes.live_face()).to_json(), qos=1)
        while (await looks.until("live"))["device"] != "camera-2":
            pass
        for device in ("camera-1", "camera-2"):
            async with watching(base, f"?wall=true&large={device}") as events:
                recent = await events.until("recent")
                assert (recent["device"], len(recent["readings"])) == (device, 1)
        now = datetime.now(UTC)
        if by == "a page":
            wish = {"device": "camera-1", "to": now.isoformat(), "confirm": "erase"}
            assert (await client.post("/api/v1/erasures", json=wish)).status_code == 202
        else:
            await erase(engine, Scope("camera-1", end=now), "somebody")
        assert await looks.until("recent") == {"device": "camera-1", "readings": []}
        for device, left in (("camera-1", []), ("camera-2", ["recent", "live"])):
            async with watching(base, f"?wall=true&device={device}&large={device}") as events:
                kinds = []
                while (kind := (await events.next())[0]) != "status":
                    kinds.append(kind)
                while left and kinds[-1] != "live":
                    kinds.append((await events.next())[0])
            assert [kind for kind in kinds if kind not in ("heartbeat", "broker")] == left
