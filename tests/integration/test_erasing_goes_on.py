"""An erasure that was accepted is carried out, whatever stops in between; two at once do not confuse each other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ingest.store import Store
from services.web import eraser
from shared.db.audit import newest
from shared.db.erasure import Wish, erase, unfinished, write_down
from shared.db.places import Scope
from shared.db.tables import detections, erasures, faces
from shared.messages import Detection
from shared.settings import DatabaseSettings, MqttSettings
from tests.integration.delivery import until
from tests.support import scenes
from tests.support.patience import WAIT_S
from tests.support.web import accepted, check_problem, ingested, records, running_web, web_settings

NOW = datetime.now(UTC).replace(microsecond=0)
BEGUN = NOW - timedelta(minutes=30)


@pytest.fixture
async def engine(database_settings: DatabaseSettings) -> AsyncIterator[AsyncEngine]:
    async with records(database_settings, (NOW - timedelta(hours=1)).date(), NOW.date()) as engine:
        yield engine


@asynccontextmanager
async def web(mqtt: MqttSettings, database: DatabaseSettings) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        running_web(web_settings(mqtt, database)) as base,
        httpx.AsyncClient(base_url=base, timeout=WAIT_S) as client,
    ):
        yield client


def seen(device: str, *seconds: int) -> list[Detection]:
    return [
        scenes.detection(device, scenes.face(), captured_at=BEGUN + timedelta(seconds=second), seq=second)
        for second in seconds
    ]


async def left(engine: AsyncEngine) -> set[Any]:
    async with engine.connect() as connection:
        return set(await connection.scalars(select(detections.c.event_id)))


async def told(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get("/api/v1/erasures")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def all_finished(client: httpx.AsyncClient) -> bool:
    found = await told(client)
    return not found["at_work"] and all(one["finished_at"] for one in found["items"])


def names(found: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [tuple(one[name] for name in ("device", "session", "item", "requested_by")) for one in found["at_work"]]


async def test_what_was_accepted_holds_at_once_and_is_carried_out_after_a_restart(
    mqtt_settings: MqttSettings, database_settings: DatabaseSettings, engine: AsyncEngine
) -> None:
    first, of_session, one, kept = (seen(device, 0, 1, 2) for device in ("first", "of-session", "one", "kept"))
    await ingested(engine, [*first, *of_session, *one, *kept])
    item = str(one[0].event_id)
    async with engine.begin() as holding:
        # Nothing can be counted, so the first erasure is at work for as long, and the others wait.
        await holding.execute(text("LOCK TABLE dead_letters"))
        async with web(mqtt_settings, database_settings) as client:
            times = {"started_at": BEGUN.isoformat(), "ended_at": (BEGUN + timedelta(minutes=1)).isoformat()}
            new = {"participant": "P1", "devices": ["of-session"], **times}
            session = (await client.post("/api/v1/sessions", json=new)).json()["id"]
            for named in ({"device": "first", "to": NOW.isoformat()}, {"session": session}, {"item": item}):
                answer = await client.post("/api/v1/erasures", json={**named, "confirm": "erase"})
                assert answer.status_code == 202, answer.text
            late = [*seen("first", 9), *seen("of-session", 9), one[0], *seen("kept", 9)]
            saved = await Store(engine, dead_letter_bytes=1000).save([accepted(each) for each in late])
            assert (saved.stored, saved.erased) == (1, 3), "ingest refuses what waits, too"
            waiting = names(await told(client))
            assert [each[:3] for each in waiting] == [("first", None, None), (None, session, None), (None, None, item)]
        async with web(mqtt_settings, database_settings) as client:
            assert names(await told(client)) == waiting
            await holding.rollback()
            await until(lambda: all_finished(client))
            found = await told(client)
            check_problem(await client.get(f"/api/v1/sessions/{session}"), 404, "not-found")
    assert (found["failed"], len(found["items"])) == (None, 4)
    assert not any(sum(each["rows_after"].values()) for each in found["items"])
    assert await left(engine) == {each.event_id for each in [*kept, late[-1], *one[1:]]}


@pytest.mark.parametrize("when", ["before the service starts", "while it runs"])
async def test_what_the_command_line_left_unfinished_is_taken_up(
    mqtt_settings: MqttSettings,
    database_settings: DatabaseSettings,
    engine: AsyncEngine,
    monkeypatch: pytest.MonkeyPatch,
    when: str,
) -> None:
    monkeypatch.setattr(eraser, "_LOOK_EVERY_S", 0.05)
    gone, kept = seen("gone", 0, 1), seen("kept", 0)
    await ingested(engine, [*gone, *kept])

    async def cut_off() -> Wish:
        """Written down and counted, and one of its two detections removed."""
        async with engine.begin() as connection:
            wish = await write_down(connection, [Scope("gone", None, NOW)], "anna (command line)")
            counted = update(erasures).values(rows_before={"detections": 2, "faces": 2})
            await connection.execute(counted.where(erasures.c.id == wish.number))
            await connection.execute(delete(faces).where(faces.c.event_id == gone[0].event_id))
            await connection.execute(delete(detections).where(detections.c.event_id == gone[0].event_id))
        return wish

    early = await cut_off() if when == "before the service starts" else None
    async with web(mqtt_settings, database_settings) as client:
        wish = early or await cut_off()
        await until(lambda: all_finished(client))
        (proof,) = (await told(client))["items"]
    assert (proof["id"], proof["requested_by"]) == (wish.number, "anna (command line)")
    assert proof["rows_before"] == {"detections": 2, "faces": 2}, "what there was at first"
    assert not any(proof["rows_after"].values())
    assert await left(engine) == {kept[0].event_id}
    async with engine.connect() as connection:
        (line,) = await newest(connection, 1, "erase")
    assert line.entry.who == "anna (command line)"


async def test_two_who_erase_the_same_at_once_do_not_take_each_other_s_rows_for_gone(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.db.erasure.BATCH", 3)
    await ingested(engine, seen("gone", *range(60)))
    scope = Scope("gone", None, NOW)
    first, second = await asyncio.gather(erase(engine, scope, "anna"), erase(engine, scope, "ben"))
    assert {first[0]["detections"], second[0]["detections"]} == {60, 0}
    assert await left(engine) == set()
    async with engine.connect() as connection:
        assert await unfinished(connection) == []


async def test_too_many_that_wait_are_refused_and_not_written_down(
    mqtt_settings: MqttSettings,
    database_settings: DatabaseSettings,
    engine: AsyncEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(eraser, "_MAX_UNFINISHED", 2)
    async with engine.begin() as holding, web(mqtt_settings, database_settings) as client:
        await holding.execute(text("LOCK TABLE dead_letters"))
        wish = {"device": "camera-1", "to": NOW.isoformat(), "confirm": "erase"}
        answers = await asyncio.gather(*(client.post("/api/v1/erasures", json=wish) for _ in range(5)))
        assert sorted(answer.status_code for answer in answers) == [202, 202, 503, 503, 503]
        for answer in answers:
            if answer.status_code == 503:
                check_problem(answer, 503, "too-many-erasures")
        assert len((await told(client))["items"]) == 2
        await holding.rollback()
        await until(lambda: all_finished(client))
        assert (await client.post("/api/v1/erasures", json=wish)).status_code == 202
