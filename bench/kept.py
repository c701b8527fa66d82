"""What episodes and hourly totals cost ingest: the same detections stored with and without them, in turn."""

import asyncio
import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from unittest import mock

import uuid_utils.compat as uuid_utils

from bench.results import Result, against
from services.embedded import embedded_postgres
from services.ingest import episodes
from services.ingest.store import Store
from services.ingest.validate import Accepted, Arrival, validate
from shared.db import hourly
from shared.db.engine import create_engine
from shared.db.migrate import upgrade
from shared.messages import Detection
from shared.topics import Topics

CAMERAS: Final = 10
BATCH: Final = 200
BATCHES: Final = 15
ROUNDS: Final = 6
A_PERSON: Final = 50
"""Frames of a camera before another person comes."""
GOLDEN: Final = Path(__file__).resolve().parents[1] / "tests" / "golden" / "detection.json"


def _batches(seconds: int) -> Iterator[list[Accepted]]:
    """Two faces a frame, of ten cameras at 15 frames/s, from so many seconds ago on."""
    sample = Detection.model_validate(json.loads(GOLDEN.read_text()))
    topics = Topics()
    began = datetime.now(UTC) - timedelta(seconds=seconds)
    boot = uuid_utils.uuid7()
    number = 0
    for _ in range(BATCHES):
        batch = []
        for _ in range(BATCH):
            turn, camera = divmod(number, CAMERAS)
            tracks = (2 * (turn // A_PERSON), 2 * (turn // A_PERSON) + 1)
            one = sample.model_copy(
                update={
                    "event_id": uuid_utils.uuid7(),
                    "device": f"bench-{camera}",
                    "boot_id": boot,
                    "seq": number,
                    "frame_number": number,
                    "frame_id": None,
                    "captured_at": began + timedelta(seconds=turn / 15),
                    "faces": tuple(sample.faces[0].model_copy(update={"track_id": track}) for track in tracks),
                }
            )
            judged = validate(topics, Arrival(topics.detections(one.device), one.to_json()))
            if not isinstance(judged, Accepted):
                raise TypeError(judged.text)
            batch.append(judged)
            number += 1
        yield batch


async def _measure(folder: Path) -> list[Result]:
    without: dict[str, Callable[[], AbstractContextManager[object]]] = {
        "": nullcontext,
        "episodes": lambda: mock.patch.object(episodes, "gather", return_value=[]),
        "hourly totals": lambda: mock.patch.object(hourly, "gather", return_value=[]),
    }
    rates: dict[str, list[float]] = {name: [] for name in without}
    turns = len(without) * ROUNDS
    async with embedded_postgres(folder / "kept") as settings:
        await upgrade(settings)
        engine = create_engine(settings)
        store = Store(engine, dead_letter_bytes=1000)
        for turn, (name, left_out) in zip(range(-len(without), turns), itertools.cycle(without.items()), strict=False):
            batches = list(_batches(100 * (turns - turn)))
            began = time.perf_counter()
            with left_out():
                for batch in batches:
                    await store.save(batch)
            if turn >= 0:
                rates[name].append(BATCH * BATCHES / (time.perf_counter() - began))
        await engine.dispose()
    median = {name: statistics.median(found) for name, found in rates.items()}
    return [
        against(
            f"ingest: detections stored, with {name}",
            median[""],
            median[name],
            "1/s",
            f"validated already, batches of {BATCH}, one connection; baseline: the same without {name}, in turn",
        )
        for name in without
        if name
    ]


def run(folder: Path) -> list[Result]:
    """Measure in `folder`, which is thrown away."""
    return asyncio.run(_measure(folder))
