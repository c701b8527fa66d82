"""Erasing on a real Postgres: all of it, nothing else, and it does not come back."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import Table, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.embedded import free_port
from services.ingest.store import Store
from services.ingest.validate import Accepted, Arrival, validate
from shared.db import audit
from shared.db.account_tables import users
from shared.db.engine import create_engine
from shared.db.erasure import INGEST_LOCK, ErasureError, count, erase, erase_all
from shared.db.migrate import upgrade
from shared.db.places import PLACES, WITHOUT_PERSONAL_DATA, Scope
from shared.db.session_scopes import NoSuchSession, session_scopes
from shared.db.study_tables import dataset_items, datasets, session_markers, study_sessions, votes
from shared.db.tables import dead_letters, detections, erasures, faces, frames, metadata
from shared.messages import Detection
from shared.settings import DatabaseSettings, HealthSettings, MqttSettings
from shared.topics import Topics
from tests.integration.delivery import detection, edge, frame, ingest, ingest_settings, until
from tests.support.patience import WAIT_S
from tests.support.scenes import new_id
from tests.support.web import accepted, waits_for_a_lock

TOPICS = Topics()
T0 = datetime(2026, 3, 29, 12, tzinfo=UTC)


@pytest.fixture
async def engine(database_settings: DatabaseSettings) -> AsyncIterator[AsyncEngine]:
    await upgrade(database_settings)
    made = create_engine(database_settings, statement_timeout_s=None)
    yield made
    await made.dispose()


def accepted_frame(device: str = "edge-1") -> Accepted:
    frame_id, jpeg = frame(device, size=10)
    judged = validate(TOPICS, Arrival(TOPICS.frames(device, frame_id), jpeg))
    assert isinstance(judged, Accepted)
    return judged


async def fill(engine: AsyncEngine) -> list[Detection]:
    """A minute of two devices, a detection with two faces a second, and a picture of each device (captured now)."""
    store = Store(engine, dead_letter_bytes=1000)
    found = [
        detection(second, device=device, captured_at=T0 + timedelta(seconds=second))
        for device in ("edge-1", "edge-2")
        for second in range(60)
    ]
    await store.save([*(accepted(one) for one in found), accepted_frame("edge-1"), accepted_frame("edge-2")])
    return found


async def events(engine: AsyncEngine) -> set[UUID]:
    async with engine.connect() as connection:
        # Both at one moment, though ingest may be at work.
        await connection.execution_options(isolation_level="REPEATABLE READ")
        stored = set(await connection.scalars(select(detections.c.event_id)))
        assert stored == set(await connection.scalars(select(faces.c.event_id)))
        return stored


def counts(**found: int) -> dict[str, int]:
    """Rows by table, none in those that are not named."""
    return {place.table.name: 0 for place in PLACES} | found


def test_every_table_says_what_it_holds() -> None:
    known = {place.table.name for place in PLACES} | set(WITHOUT_PERSONAL_DATA)
    assert users.name in metadata.tables
    assert set(metadata.tables) - known == set(), "say in shared/db/places.py what these tables hold"
    assert not {place.table.name for place in PLACES} & set(WITHOUT_PERSONAL_DATA)


async def test_every_table_that_migrations_make_says_what_it_holds(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        made = await connection.scalars(
            text("SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'm') AND NOT relispartition "
                 "AND relnamespace = 'public'::regnamespace")
        )  # fmt: skip
        assert set(made) == {place.table.name for place in PLACES} | set(WITHOUT_PERSONAL_DATA)


async def test_a_time_of_a_device_goes_with_its_bounds_and_nothing_else(engine: AsyncEngine) -> None:
    found = await fill(engine)
    scope = Scope("edge-1", T0 + timedelta(seconds=10), T0 + timedelta(seconds=20))
    assert await count(engine, scope) == counts(faces=20, detections=10)
    before, after = await erase(engine, scope, "tester")
    assert before == counts(faces=20, detections=10)
    assert set(after.values()) == {0}
    gone = {one.event_id for one in found if one.device == "edge-1" and 10 <= one.seq < 20}
    assert await events(engine) == {one.event_id for one in found} - gone


async def test_a_device_goes_with_its_pictures_and_refused_messages_in_batches(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.db.erasure.BATCH", 7)
    found = await fill(engine)
    letters: list[dict[str, object]] = [
        {"device": "edge-1", "topic": TOPICS.detections("edge-1"), "payload": b"not json"},
        {"device": "edge-2", "topic": TOPICS.detections("edge-2"), "payload": b'{"device":"edge-1"}'},
        {"device": "edge-2", "topic": TOPICS.detections("edge-2"), "payload": b'{"device":"edge-10"}'},
        {"device": None, "topic": "x", "payload": b"\xff\xfe"},
    ]
    async with engine.begin() as connection:
        rows = [
            row | {"reason": str(number), "digest": bytes([number]), "payload_bytes": 1}
            for number, row in enumerate(letters)
        ]
        await connection.execute(insert(dead_letters), rows)
    removed: list[tuple[str, int]] = []
    before, after = await erase(
        engine, Scope("edge-1", None, datetime.now(UTC)), "tester", lambda table, rows: removed.append((table, rows))
    )
    assert before == counts(faces=120, episodes=2, frames=1, detections=60, hourly_totals=1, dead_letters=2)
    assert set(after.values()) == {0}
    assert max(rows for _, rows in removed) == 7
    assert sum(rows for table, rows in removed if table == "faces") == 120
    assert await events(engine) == {one.event_id for one in found if one.device == "edge-2"}
    async with engine.connect() as connection:
        assert set(await connection.scalars(select(frames.c.device))) == {"edge-2"}
        assert set(await connection.scalars(select(dead_letters.c.reason))) == {"2", "3"}
        row = (await connection.execute(select(erasures))).one()
        assert (row.requested_by, row.rows_before, row.rows_after) == ("tester", before, after)
        assert row.finished_at is not None
        written = [one.entry for one in await audit.newest(connection, 10)]
    assert [(one.action, one.object) for one in written] == [
        ("erase begins", str(Scope("edge-1", None, row.captured_to))),
        ("erase", str(Scope("edge-1", None, row.captured_to))),
    ]


async def test_one_detection_goes_with_its_picture_and_one_picture_alone(engine: AsyncEngine) -> None:
    store = Store(engine, dead_letter_bytes=1000)
    picture, other = accepted_frame(), accepted_frame()
    event_id = picture.content.info.event_id  # type: ignore[union-attr]  # it is a picture
    assert event_id is not None
    await store.save([accepted(detection(event_id=event_id)), accepted(detection()), picture, other])
    before, _ = await erase(engine, Scope(item_id=event_id), "tester")
    # The two episodes, for which it stands, go on without it.
    assert before == counts(faces=2, episodes=2, frames=1, detections=1)
    before, _ = await erase(engine, Scope(item_id=other.id), "tester")
    assert before == counts(frames=1)
    # And neither comes back when it is sent again.
    saved = await store.save([accepted(detection(event_id=event_id)), picture, other])
    assert (saved.stored, saved.erased) == (0, 3)
    assert len(await events(engine)) == 1


def row_of(table: Table, **given: Any) -> dict[str, Any]:
    """A row that has what is given, and whatever the other columns cannot do without."""
    fillers: dict[type, Any] = {str: "x", bytes: b"x", int: 1, float: 0.5, datetime: T0, object: {}, UUID: new_id()}
    needed = [column for column in table.columns if not column.nullable and column.server_default is None]
    return {column.name: fillers[column.type.python_type] for column in needed if column.name not in given} | given


async def add(engine: AsyncEngine, table: Table, *rows: dict[str, Any]) -> None:
    async with engine.begin() as connection:
        await connection.execute(insert(table), [row_of(table, **row) for row in rows])


def of_a_face(one: Detection) -> dict[str, Any]:
    return {"event_id": one.event_id, "face_index": 0, "captured_at": one.captured_at, "device": one.device}


async def test_a_session_goes_with_what_was_made_of_it_and_nothing_else(engine: AsyncEngine) -> None:
    found = await fill(engine)
    session, other, dataset = new_id(), new_id(), new_id()
    ten, twenty, thirty = (T0 + timedelta(seconds=seconds) for seconds in (10, 20, 30))
    await add(
        engine,
        study_sessions,
        {"id": session, "devices": ["edge-2", "edge-1"], "started_at": ten, "ended_at": twenty},
        {"id": other, "devices": ["edge-1"], "started_at": twenty, "ended_at": thirty},
    )
    await add(engine, session_markers, {"session_id": session}, {"session_id": session}, {"session_id": other})
    await add(engine, votes, *({**of_a_face(one), "label": "happy"} for one in found))
    await add(engine, datasets, {"id": dataset, "state": "ready"})
    await add(
        engine,
        dataset_items,
        *(
            {**of_a_face(one), "dataset_id": dataset, "number": number, "split": "train"}
            for number, one in enumerate(found)
        ),
    )
    scopes = await session_scopes(engine, session)
    everything = counts(dataset_items=20, votes=20, faces=40, detections=20, session_markers=2, study_sessions=1)
    assert await count(engine, *scopes) == everything
    before, after = await erase_all(engine, scopes, "tester")
    assert before == everything
    assert set(after.values()) == {0}
    assert await events(engine) == {one.event_id for one in found if not 10 <= one.seq < 20}
    async with engine.connect() as connection:
        assert list(await connection.scalars(select(study_sessions.c.id))) == [other]
        assert list(await connection.scalars(select(session_markers.c.session_id))) == [other]
        for table in (votes, dataset_items):
            assert await connection.scalar(select(func.count()).select_from(table)) == 100
        proofs = (await connection.execute(select(erasures).order_by(erasures.c.id))).all()
    assert [(row.device, row.captured_from, row.captured_to, row.item_id) for row in proofs] == [
        ("edge-1", ten, twenty, None),
        ("edge-2", ten, twenty, None),
        (None, None, None, session),
    ]
    assert all(row.finished_at is not None for row in proofs)
    late = [detection(captured_at=ten, device=device) for device in ("edge-1", "edge-2", "edge-3")]
    saved = await Store(engine, dead_letter_bytes=1000).save([accepted(one) for one in late])
    assert (saved.stored, saved.erased) == (1, 2)


async def test_a_session_that_goes_on_or_is_none_is_not_erased(engine: AsyncEngine) -> None:
    session = new_id()
    await add(engine, study_sessions, {"id": session, "devices": ["edge-1"]})
    with pytest.raises(NoSuchSession, match=f"session {session} goes on; end it first"):
        await session_scopes(engine, session)
    with pytest.raises(NoSuchSession, match="there is no session"):
        await session_scopes(engine, new_id())


async def test_a_picture_goes_from_datasets_too(engine: AsyncEngine) -> None:
    picture, other, dataset = new_id(), new_id(), new_id()
    await add(engine, datasets, {"id": dataset, "state": "ready"})
    items = (
        {"dataset_id": dataset, "split": "test", "event_id": new_id(), "frame_id": one} for one in (picture, other)
    )
    await add(engine, dataset_items, *({**item, "number": number} for number, item in enumerate(items)))
    before, _ = await erase(engine, Scope(item_id=picture), "tester")
    assert before == counts(dataset_items=1)
    async with engine.connect() as connection:
        assert list(await connection.scalars(select(dataset_items.c.frame_id))) == [other]


async def test_what_comes_late_is_counted_and_not_stored_and_its_neighbours_are(engine: AsyncEngine) -> None:
    store = Store(engine, dead_letter_bytes=1000)
    await erase(engine, Scope("edge-1", T0, T0 + timedelta(seconds=10)), "tester")
    micro = timedelta(microseconds=1)
    inside = [detection(captured_at=T0), detection(captured_at=T0 + timedelta(seconds=10) - micro)]
    outside = [
        detection(captured_at=T0 - micro),
        detection(captured_at=T0 + timedelta(seconds=10)),
        detection(captured_at=T0, device="edge-2"),
    ]
    saved = await store.save([accepted(one) for one in [*inside, *outside]])
    assert (saved.stored, saved.duplicates, saved.erased, saved.refused) == (3, 0, 2, [])
    assert await events(engine) == {one.event_id for one in outside}
    again = await store.save([accepted(one) for one in [*inside, *outside]])
    assert (again.stored, again.duplicates, again.erased) == (0, 3, 2)


async def test_a_range_without_an_end_is_refused(engine: AsyncEngine) -> None:
    with pytest.raises(ValueError, match="needs an end"):
        await erase(engine, Scope("edge-1"), "tester")
    async with engine.connect() as connection:
        assert await connection.scalar(select(func.count()).select_from(erasures)) == 0


async def test_a_batch_that_did_not_know_of_the_erasure_is_waited_for_and_erased(engine: AsyncEngine) -> None:
    one = accepted(detection(captured_at=T0))
    async with engine.connect() as storing:
        # As far as ingest is when it has looked for erasures and found none.
        await storing.execute(text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": INGEST_LOCK})
        erasing = asyncio.create_task(erase(engine, Scope("edge-1", None, datetime.now(UTC)), "tester"))
        await until(lambda: waits_for_a_lock(engine))
        await storing.execute(
            text(
                "INSERT INTO detections (captured_at, event_id, device, boot_id, seq, source_kind, source_name, "
                "frame_number, frame_width, frame_height, model_name, model_version, face_count, latency_ms) "
                "VALUES (:at, :id, 'edge-1', :id, 0, 'file', 'x', 0, 1, 1, 'm', '1', 0, '{}')"
            ),
            {"at": T0, "id": one.id},
        )
        await storing.commit()
    before, after = await erasing
    assert before["detections"] == 1
    assert after["detections"] == 0


async def test_the_proof_is_written_without_holding_what_who_makes_partitions_waits_for(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing to the audit log waits for who makes a partition, who waits for readers of the default one."""
    await fill(engine)
    held: dict[str, list[str]] = {}

    async def spied(connection: AsyncConnection, entries: list[audit.Entry]) -> None:
        mine = text(
            "SELECT relation::regclass::text FROM pg_locks WHERE pid = pg_backend_pid() AND relation::regclass::text "
            "IN ('detections_default', 'faces_default', 'frames_default')"
        )
        held[entries[0].action] = list(await connection.scalars(mine))
        await audit.write(connection, entries)

    monkeypatch.setattr("shared.db.erasure.write", spied)
    await erase(engine, Scope("edge-1", None, datetime.now(UTC)), "tester")
    assert held == {"erase begins": [], "erase": []}


async def test_what_something_else_goes_on_writing_is_told(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        # A trigger that keeps a row, as a program that writes past ingest would.
        await connection.execute(
            text("CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
        )
        await connection.execute(
            text("CREATE TRIGGER keep BEFORE DELETE ON dead_letters FOR EACH ROW EXECUTE FUNCTION keep()")
        )
        row = {"device": "edge-1", "topic": "t", "payload": b"", "reason": "r", "digest": b"", "payload_bytes": 0}
        await connection.execute(insert(dead_letters), [row])
    with pytest.raises(ErasureError, match="1 in dead_letters"):
        await erase(engine, Scope("edge-1", None, datetime.now(UTC)), "tester")
    async with engine.connect() as connection:
        assert await connection.scalar(select(erasures.c.finished_at)) is None
        assert (await audit.newest(connection, 1))[0].entry.action == "erase failed"


@pytest.mark.parametrize("when", ["before it was sent", "while it is sent"])
async def test_what_waits_in_an_outbox_is_acknowledged_and_does_not_come_back(
    mqtt_settings: MqttSettings,
    database_settings: DatabaseSettings,
    engine: AsyncEngine,
    tmp_path: Path,
    when: str,
) -> None:
    health = HealthSettings(port=free_port())
    settings = ingest_settings(mqtt_settings, database_settings, health=health)
    async with edge(mqtt_settings, tmp_path) as outbox:
        made = [detection(number) for number in range(300)]
        frame_id, jpeg = frame(size=100)
        end = datetime.now(UTC) + timedelta(seconds=60)
        if when == "before it was sent":
            await erase(engine, Scope("edge-1", None, end), "tester")
        for one in made[:150]:
            await outbox.put_detection(one.event_id, one.to_json())
        async with ingest(settings), httpx.AsyncClient(timeout=WAIT_S) as client:
            if when == "while it is sent":

                async def some() -> bool:
                    return bool(await events(engine))

                await until(some)
                await erase(engine, Scope("edge-1", None, end), "tester")
            for one in made[150:]:
                await outbox.put_detection(one.event_id, one.to_json())
            await outbox.put_frame(frame_id, jpeg)
            later = detection(captured_at=end)
            await outbox.put_detection(later.event_id, later.to_json())
            await until(lambda: outbox.depth().detections + outbox.depth().frames == 0)
            answer = await client.get(f"http://127.0.0.1:{health.port}/metrics")
    assert await events(engine) == {later.event_id}
    async with engine.connect() as connection:
        assert await connection.scalar(select(func.count()).select_from(frames)) == 0
        assert await connection.scalar(select(func.count()).select_from(dead_letters)) == 0
    counted = samples_of(answer.text, "emotion_ingest_erased_total")
    assert set(counted) == {'{kind="detection"}', '{kind="frame"}'}
    assert min(counted.values()) >= 1  # more where it was sent again, because the answer took its time


def samples_of(metrics: str, name: str) -> dict[str, float]:
    """The values of a metric by its labels."""
    lines = (line.removeprefix(name).split(" ") for line in metrics.splitlines() if line.startswith(name + "{"))
    return {labels: float(value) for labels, value in lines}
