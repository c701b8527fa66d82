"""How fast the first page of any filter of the history comes, over millions of detections in a real Postgres."""

import asyncio
import json
import random
import statistics
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from unittest import mock
from uuid import UUID

import asyncpg
import numpy as np
from sqlalchemy import exists, insert, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bench.results import Result, against, percentile
from services.embedded import embedded_postgres
from services.web import history_queries, queries, search, stats_queries
from services.web.schemas import Bucket, DetectionQuery, EpisodeQuery
from shared.db.engine import create_engine
from shared.db.migrate import downgrade, upgrade
from shared.db.partitions import ensure_day, partition_name
from shared.db.study_tables import study_sessions
from shared.db.tables import detections, devices, faces
from shared.emotions import EMOTIONS
from shared.settings import DatabaseSettings

DEVICES: Final = 50
DAYS: Final = 30
FACES_A_TRACK: Final = 50
SHARES: Final = (0.04, 0.01, 0.02, 0.25, 0.08, 0.05, 0.55)
"""How often each emotion is a person's main one, in the classes' order."""
VOTES: Final = 5_000
RUNS: Final = 40
BASELINE_RUNS: Final = 3
TIMEOUT_S: Final = 5
_PG_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
_TRAILER: Final = struct.pack(">h", -1)
_LATENCY: Final = b"\x01" + json.dumps({"total": 20.25}).encode()
_NO_TEXTS: Final = struct.pack(">iii", 0, 0, 25)
Rows = tuple[list[str], bytes]
"""Columns, and rows of COPY's binary form."""
BOOT: Final = UUID("01900000-0000-7000-8000-000000000001")


def _rows(count: int, fields: dict[str, Any]) -> Rows:
    """Each field is bytes (the same in every row), None, or a big-endian array with a value for each row."""
    layout: list[tuple[str, str]] = [("fields", ">i2")]
    for name, value in fields.items():
        layout.append((f"{name} length", ">i4"))
        if value is not None:
            layout.append((name, f"V{len(value)}" if isinstance(value, bytes) else value.dtype.str))
    table = np.zeros(count, dtype=layout)
    table["fields"] = len(fields)
    for name, value in fields.items():
        if value is None:
            table[f"{name} length"] = -1
            continue
        table[name] = np.void(value) if isinstance(value, bytes) else value
        table[f"{name} length"] = table.dtype[name].itemsize
    return list(fields), table.tobytes()


def _joined(parts: list[Rows]) -> Rows:
    return parts[0][0], b"".join(rows for _, rows in parts)


class Day:
    """The detections and faces of one day, in the order of time."""

    def __init__(self, day: date, number: int, count: int, chance: np.random.Generator) -> None:
        each = count // DEVICES
        begin = int((datetime(day.year, day.month, day.day, tzinfo=UTC) - _PG_EPOCH).total_seconds()) * 10**6
        times = np.sort(chance.integers(0, 86_400 * 10**6, (DEVICES, each)), axis=1) + begin
        track = np.broadcast_to(np.arange(each) // FACES_A_TRACK, (DEVICES, each)) + number * 10_000
        main = chance.choice(len(EMOTIONS), (DEVICES, each // FACES_A_TRACK + 1), p=SHARES)
        of_track = np.repeat(main, FACES_A_TRACK, axis=1)[:, :each]
        order = np.argsort(times, axis=None, kind="stable")
        self.count = order.size
        self.at = times.ravel()[order].astype(">i8")
        self.device = np.repeat(np.arange(DEVICES), each)[order]
        self.track = track.ravel()[order].astype(">i8")
        self.main = of_track.ravel()[order]
        unix_ms = self.at.astype(np.int64) // 1000 + int(_PG_EPOCH.timestamp()) * 1000
        ids = chance.integers(0, 256, (self.count, 16), dtype=np.uint8)
        ids[:, :6] = unix_ms.astype(">u8").view(np.uint8).reshape(-1, 8)[:, 2:]
        ids[:, 6] = (ids[:, 6] & 15) | 0x70
        ids[:, 8] = (ids[:, 8] & 63) | 0x80
        self.ids = ids
        self.names = np.array([f"camera-{n:02d}".encode() for n in range(DEVICES)], dtype="S9").astype("V9")
        self.version = b"1.0.0" if number < DAYS * 2 // 3 else b"1.1.0"
        self.trial = number == DAYS // 2
        self.chance = chance

    def detections(self) -> Rows:
        """Every hundredth keeps a picture; one device tries another model on one day."""
        kept = self.chance.random(self.count) < 0.01
        trial = (self.device == 7) & self.trial
        parts = []
        for with_frame in (False, True):
            for other in (False, True):
                this = (kept == with_frame) & (trial == other)
                ids = self._ids(this)
                parts.append(
                    _rows(
                        int(this.sum()),
                        {
                            "captured_at": self.at[this],
                            "event_id": ids,
                            "device": self.names[self.device[this]],
                            "boot_id": BOOT.bytes,
                            "seq": np.flatnonzero(this).astype(">i8"),
                            "source_kind": b"camera",
                            "source_name": b"0",
                            "frame_number": np.flatnonzero(this).astype(">i8"),
                            "frame_id": ids if with_frame else None,
                            "frame_width": struct.pack(">i", 640),
                            "frame_height": struct.pack(">i", 360),
                            "model_name": b"trial_model" if other else b"slim_resnet",
                            "model_version": self.version,
                            "face_count": struct.pack(">h", 1),
                            "latency_ms": _LATENCY,
                        },
                    )
                )
        return _joined(parts)

    def faces(self) -> Rows:
        """One in each frame, in every fifth frame a second one."""
        second = np.flatnonzero(self.chance.random(self.count) < 0.2)
        return _joined([self._faces(np.arange(self.count), 0), self._faces(second, 1)])

    def _faces(self, where: np.ndarray[Any, Any], index: int) -> Rows:
        main = np.roll(self.main[where], index)
        swayed = self.chance.random(where.size) < 0.3
        emotion = np.where(swayed, self.chance.choice(len(EMOTIONS), where.size, p=SHARES), main)
        confidence = self.chance.beta(5, 3, where.size).astype(">f4")
        ok = (self.chance.random(where.size) < 0.85).astype("u1")
        parts = []
        for number, name in enumerate(EMOTIONS):
            this = emotion == number
            rest = ((1 - confidence[this].astype(float)) / (len(EMOTIONS) - 1)).astype(">f4")
            parts.append(
                _rows(
                    int(this.sum()),
                    {
                        "captured_at": self.at[where[this]],
                        "event_id": self._ids(where[this]),
                        "face_index": struct.pack(">h", index),
                        "device": self.names[self.device[where[this]]],
                        "track_id": (self.track[where[this]] + index * 5_000).astype(">i8"),
                        **{side: struct.pack(">i", 100) for side in "xywh"},
                        "face_confidence": struct.pack(">f", 0.97),
                        **{each: confidence[this] if each == name else rest for each in EMOTIONS},
                        "dominant_emotion": name.encode(),
                        "confidence": confidence[this],
                        "quality_size_px": struct.pack(">i", 100),
                        "quality_blur": struct.pack(">f", 300),
                        "quality_brightness": struct.pack(">f", 128),
                        "quality_ok": ok[this],
                        "quality_reasons": _NO_TEXTS,
                    },
                )
            )
        return _joined(parts)

    def _ids(self, which: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.ascontiguousarray(self.ids[which]).view("V16").ravel()


async def _fill(engine: AsyncEngine, settings: DatabaseSettings, count: int, last: date) -> None:
    chance = np.random.default_rng(0)
    raw = await asyncpg.connect(settings.url.get_secret_value())
    await raw.execute("SET synchronous_commit = off")
    for number in range(DAYS):
        day = last - timedelta(days=DAYS - 1 - number)
        async with engine.begin() as connection:
            for table in ("detections", "faces", "frames"):
                await ensure_day(connection, table, day)
        made = Day(day, number, count // DAYS, chance)
        for table, columns, rows in (
            ("detections", *made.detections()),
            ("faces", *made.faces()),
        ):
            await raw.copy_to_table(
                partition_name(table, day), source=_pieces(rows), columns=columns, format="binary", timeout=None
            )
        print(f"day {number + 1} of {DAYS}", flush=True)
    await raw.close()


async def _pieces(rows: bytes) -> AsyncIterator[bytes]:
    yield _HEADER
    for start in range(0, len(rows), 1 << 20):
        yield rows[start : start + (1 << 20)]
    yield _TRAILER


async def _people(engine: AsyncEngine, last: date) -> UUID:
    """Votes on some faces, and a study session of two devices; returns its id."""
    async with engine.begin() as connection:
        first = datetime(last.year, last.month, last.day, tzinfo=UTC)
        names = [f"camera-{n:02d}" for n in range(DEVICES)]
        await connection.execute(insert(devices), [{"device": name} for name in names])
        await connection.execute(
            text(
                "INSERT INTO votes (event_id, face_index, labeller, captured_at, device, label) "
                "SELECT event_id, face_index, 'bench', captured_at, device, dominant_emotion FROM ("
                "SELECT * FROM faces TABLESAMPLE SYSTEM (1) ORDER BY random() LIMIT :votes) AS chosen"
            ),
            {"votes": VOTES},
        )
        session = await connection.scalar(
            insert(study_sessions)
            .values(
                participant="P1",
                devices=names[3:5],
                started_at=first - timedelta(days=11),
                ended_at=first - timedelta(days=11) + timedelta(hours=1),
                created_by="bench",
            )
            .returning(study_sessions.c.id)
        )
    assert isinstance(session, UUID)
    return session


def _filters(session: UUID) -> dict[str, dict[str, str]]:
    return {
        "nothing": {},
        "device": {"device": "camera-07"},
        "emotion, frequent": {"emotion": "happy"},
        "emotion, rare": {"emotion": "disgust"},
        "device and rare emotion": {"device": "camera-07", "emotion": "disgust"},
        "confidence, rare": {"min_confidence": "0.97"},
        "rare emotion, rare confidence": {"emotion": "disgust", "min_confidence": "0.97"},
        "not good enough": {"ok": "false"},
        "labelled": {"labelled": "true"},
        "labelled, device and emotion": {"labelled": "true", "device": "camera-07", "emotion": "sad"},
        "not labelled": {"labelled": "false"},
        "model, rare": {"model": "trial_model"},
        "model and confidence": {"model": "slim_resnet@1.0.0", "min_confidence": "0.97"},
        "picture kept": {"has_frame": "true"},
        "session": {"session": str(session)},
        "session and rare emotion": {"session": str(session), "emotion": "disgust"},
        "nothing fits": {"emotion": "disgust", "min_confidence": "1", "has_frame": "true", "labelled": "true"},
    }


Page = Callable[[AsyncConnection, dict[str, str]], Awaitable[object]]


async def _detections(connection: AsyncConnection, asked: dict[str, str]) -> object:
    return await queries.detection_page(connection, DetectionQuery.model_validate(asked | {"limit": "50"}))


async def _episodes(connection: AsyncConnection, asked: dict[str, str]) -> object:
    return await history_queries.episode_page(connection, EpisodeQuery.model_validate(asked | {"limit": "50"}))


async def _timeline(connection: AsyncConnection, asked: dict[str, str]) -> object:
    query = EpisodeQuery.model_validate(asked)
    return await history_queries.timeline(connection, query, datetime.now(UTC))


async def _plain(connection: AsyncConnection, asked: dict[str, str]) -> object:
    """The baseline: the same detections by the plainest statement, without a bound on the work."""
    query = DetectionQuery.model_validate(asked)
    wanted = await search.resolve(connection, query)
    statement = select(detections).where(*wanted.within(detections), *search.of_model(detections, query))
    if wanted.of_face:
        same = (faces.c.captured_at == detections.c.captured_at, faces.c.event_id == detections.c.event_id)
        statement = statement.where(exists().where(*same, *search.of_face(query)))
    statement = statement.order_by(detections.c.captured_at.desc(), detections.c.event_id.desc()).limit(50)
    return (await connection.execute(statement)).all()


async def _times(engine: AsyncEngine, page: Page, asked: dict[str, str], ends: list[str | None]) -> list[float]:
    """Milliseconds of each page; what is cut off counts as the time after which it was."""
    times = []
    for end in ends:
        this = asked | ({"to": end} if end is not None else {})
        async with engine.connect() as connection:
            await connection.execute(text(f"SET LOCAL statement_timeout = '{TIMEOUT_S}s'"))
            began = time.perf_counter()
            try:
                await page(connection, this)
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) != "57014":
                    raise
            times.append(1000 * (time.perf_counter() - began))
    return times


async def _measure(folder: Path, count: int) -> list[Result]:
    last = datetime.now(UTC).date() - timedelta(days=1)
    results = []
    async with embedded_postgres(folder / "history") as settings:
        await upgrade(settings)
        await downgrade(settings, "0003")  # episodes are made of the faces once they are there
        engine = create_engine(settings, statement_timeout_s=None)
        began = time.perf_counter()
        await _fill(engine, settings, count, last)
        filled = time.perf_counter() - began
        session = await _people(engine, last)
        began = time.perf_counter()
        await upgrade(settings)
        migrated = time.perf_counter() - began
        await downgrade(settings, "0008")
        began = time.perf_counter()
        await upgrade(settings)
        added_up = time.perf_counter() - began
        raw = await asyncpg.connect(settings.url.get_secret_value())
        await raw.execute("VACUUM ANALYZE")
        there = {
            name: await raw.fetchval(f"SELECT count(*) FROM {name}") for name in ("detections", "faces", "episodes")
        }
        await raw.close()
        size = ", ".join(f"{rows:,} {name}" for name, rows in there.items())
        results.append(Result("history: rows copied in", sum(list(there.values())[:2]) / filled, "1/s", note=size))
        title = "history: migrations that make episodes of all faces, label them, and add them up by the hour"
        results.append(Result(title, migrated, "s", note=size))
        results.append(Result("history: the last of these alone", added_up, "s", note=size))
        chance = random.Random(0)
        until = datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=1)
        ends = [
            None if run % 2 else (until - timedelta(seconds=chance.randrange(29 * 86_400))).isoformat()
            for run in range(RUNS)
        ]
        for kind, page in (("detections", _detections), ("episodes", _episodes), ("timeline", _timeline)):
            every: list[float] = []
            for name, asked in _filters(session).items():
                await _times(engine, page, asked, ends[:2])
                times = await _times(engine, page, asked, ends)
                every += times
                title = f"history: {kind}, first page by {name}, p95"
                note = f"p50 {statistics.median(times):.0f} ms, most {max(times):.0f} ms; goal: 150 ms"
                if kind == "detections":
                    plain = await _times(engine, _plain, asked, ends[:BASELINE_RUNS])
                    note += f"; baseline: the plain statement without a bound, cut off at {TIMEOUT_S} s"
                    results.append(against(title, percentile(times, 95), percentile(plain, 95), "ms", note))
                else:
                    results.append(Result(title, percentile(times, 95), "ms", note=note))
                print(f"{title}: {results[-1].value:.0f} ms ({note})", flush=True)
            results.append(
                Result(f"history: {kind}, all filters, p95", percentile(every, 95), "ms", note=f"of {len(every)} pages")
            )
        results += await _stats(engine, until)
        await engine.dispose()
    return results


async def _stats(engine: AsyncEngine, until: datetime) -> list[Result]:
    """Statistics of all days by day, and of the same time but for half an hour at each end; beside all rows read."""

    def asking(bucket: Bucket, device: str | None, slack: timedelta) -> Page:
        begin, end = until - timedelta(days=DAYS) + slack, until - slack
        return lambda connection, _: stats_queries.stats(connection, device, begin, end, bucket)

    results = []
    asked: list[tuple[Bucket, str | None]] = [("1d", None), ("1h", None), ("1d", "camera-07")]
    for bucket, device in asked:
        for slack in (timedelta(), timedelta(minutes=30)):
            page = asking(bucket, device, slack)
            times = (await _times(engine, page, {}, [None] * (RUNS + 2)))[2:]
            with mock.patch.object(stats_queries, "split", lambda begin, end, _: (None, [(begin, end)])):
                plain = await _times(engine, page, {}, [None] * BASELINE_RUNS)
            title = (
                f"history: stats, {DAYS} days by {bucket} of {device or 'all devices'}{', ragged ends' * bool(slack)}"
            )
            note = f"p50 {statistics.median(times):.0f} ms; baseline: all rows read, cut off at {TIMEOUT_S} s"
            results.append(against(f"{title}, p95", percentile(times, 95), percentile(plain, 95), "ms", note))
            print(f"{title}: {results[-1].value:.0f} ms ({note})", flush=True)
    return results


def run(folder: Path, count: int) -> list[Result]:
    """Measure over `count` detections in `folder`, which is thrown away."""
    return asyncio.run(_measure(folder, count))
