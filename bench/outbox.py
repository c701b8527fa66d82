"""How long a detection waits until it is durable on this disk, beside the bare write and flush of as many bytes."""

import asyncio
import os
import time
from pathlib import Path

from bench.ingest import detections
from bench.results import Result, against, percentile
from services.classifier.delivery_settings import OutboxSettings
from services.classifier.outbox import open_outbox
from shared.metrics import Metrics
from shared.settings import MqttSettings

COUNT = 600
EVERY_S = 1 / 60
"""Seconds between two detections: four cameras at 15 frames/s."""


async def _measure(folder: Path) -> Result:
    messages = list(detections(MqttSettings(), COUNT))
    took: list[float] = []
    async with open_outbox(folder / "outbox.sqlite3", OutboxSettings(), Metrics("bench")) as outbox:
        for event, _, payload in messages:
            began = time.perf_counter()
            assert await outbox.put_detection(event, payload)
            took.append(time.perf_counter() - began)
            await asyncio.sleep(max(0.0, EVERY_S - took[-1]))
    bare = await asyncio.to_thread(_bare, folder / "bare", [payload for _, _, payload in messages])
    return against(
        "outbox: p95 until a detection is durable",
        percentile(took, 95) * 1000,
        percentile(bare, 95) * 1000,
        "ms",
        f"p50 {percentile(took, 50) * 1000:.2g} ms; baseline: append and fdatasync; goal: under 10 ms",
    )


def _bare(path: Path, payloads: list[bytes]) -> list[float]:
    took = []
    with path.open("ab", buffering=0) as file:
        for payload in payloads:
            began = time.perf_counter()
            file.write(payload)
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
            time.sleep(max(0.0, EVERY_S - took[-1]))
    return took


def run(folder: Path) -> list[Result]:
    """Measure in `folder`, which is thrown away: on the disk that holds it."""
    return [asyncio.run(_measure(folder))]
