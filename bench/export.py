"""Exporting 50,000 faces from the web service: how fast, and how much memory its process takes at most."""

import asyncio
import hashlib
import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import numpy as np
import psutil
from PIL import Image
from sqlalchemy import insert, text

from bench.results import Result, against
from bench.servers import mosquitto, service
from services.embedded import embedded_postgres, free_port
from services.web.datasets.formats import FORMATS
from services.web.datasets.schemas import SPLITS, BuiltSummary, SplitCounts
from shared.db.engine import create_engine
from shared.db.migrate import upgrade
from shared.db.study_tables import datasets
from shared.settings import DatabaseSettings

FACES = 50_000
_PICTURES = 200
_SIDE = 112
_SPLITS = ((0.8, "train"), (0.9, "validation"), (1.0, "test"))

# Rows as a build leaves them; made in the database, since what is measured begins after them.
_ITEMS = """
INSERT INTO dataset_items
    (dataset_id, number, captured_at, event_id, face_index, frame_id, device, label, votes, agreement, split, person,
     width, height, sha256, fingerprint, image)
SELECT :dataset, n, CAST(:begin AS timestamptz) + n * interval '1 second', gen_random_uuid(), 0, gen_random_uuid(),
    'bench', (ARRAY['angry', 'disgust', 'fear', 'happy', 'sad', 'surprise', 'neutral'])[n % 7 + 1],
    jsonb_build_object('happy', 2, 'sad', 1), 0.6667,
    CASE WHEN n <= :train THEN 'train' WHEN n <= :validation THEN 'validation' ELSE 'test' END, 'person-' || n / 100,
    :side, :side, (CAST(:digests AS bytea[]))[n % :count + 1], n, (CAST(:images AS bytea[]))[n % :count + 1]
FROM generate_series(1, :faces) AS n
"""


def _pictures() -> list[bytes]:
    """PNGs of faces' size; noise that is blurred, so that they compress as faces do."""
    random = np.random.default_rng(0)
    made = []
    for _ in range(_PICTURES):
        small = Image.fromarray(random.integers(0, 255, (14, 14, 3)).astype(np.uint8))
        buffer = io.BytesIO()
        small.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC).save(buffer, "PNG")
        made.append(buffer.getvalue())
    return made


async def _fill(database: DatabaseSettings) -> UUID:
    images = _pictures()
    engine = create_engine(database, statement_timeout_s=None)
    dataset = uuid4()
    values = {
        "dataset": dataset,
        "begin": datetime(2026, 1, 1, tzinfo=UTC),
        "train": int(_SPLITS[0][0] * FACES),
        "validation": int(_SPLITS[1][0] * FACES),
        "side": _SIDE,
        "images": images,
        "digests": [hashlib.sha256(image).digest() for image in images],
        "count": _PICTURES,
        "faces": FACES,
    }
    # Its counts stand in every manifest, and nobody looks at them here.
    counts = BuiltSummary(
        items=FACES,
        labels={},
        persons=FACES // 100,
        sessions=0,
        pseudo_labels=0,
        agreement=0.6667,
        left_out={},
        splits={split: SplitCounts(items=0, persons=0, labels={}) for split in SPLITS},
        warnings=[],
        labellers=3,
        copies=0,
        near_copies=0,
        dropped_copies=0,
        bytes=0,
    )
    row = {"id": dataset, "name": "bench", "filter": {}, "split": {}, "state": "ready", "created_by": "bench"}
    built = {"summary": counts.model_dump(mode="json"), "manifest_sha256": bytes(32)}
    async with engine.begin() as connection:
        await connection.execute(insert(datasets).values(row | built))
        await connection.execute(text(_ITEMS), values)
    await engine.dispose()
    return dataset


@contextmanager
def _watched(pid: int) -> Iterator[list[int]]:
    """The most resident bytes of a process while the block runs, in a list of one."""
    most = [0]
    over = threading.Event()

    def watch() -> None:
        process = psutil.Process(pid)
        while not over.wait(0.02):
            most[0] = max(most[0], process.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()


def _export(base: str, dataset: UUID, form: str) -> tuple[float, int]:
    """Seconds that it took, and its bytes."""
    began = time.perf_counter()
    made = httpx.post(f"{base}/api/v1/datasets/{dataset}/exports", json={"format": form}, timeout=60)
    made.raise_for_status()
    while True:
        one = httpx.get(f"{base}/api/v1/exports/{made.json()['id']}", timeout=60).json()
        if one["state"] == "ready":
            return time.perf_counter() - began, one["bytes"]
        if one["state"] not in ("waiting", "running"):
            raise SystemExit(f"the export {one['state']}: {one['error']}")
        time.sleep(0.1)


def _download(base: str, dataset: UUID) -> None:
    exports = httpx.get(f"{base}/api/v1/datasets/{dataset}/exports", timeout=60).json()["items"]
    for one in exports:
        with httpx.stream("GET", base + one["file"], timeout=60) as answer:
            for _ in answer.iter_raw():
                pass


async def _measure(folder: Path) -> list[Result]:
    async with embedded_postgres(folder / "export-pg") as database:
        await upgrade(database)
        dataset = await _fill(database)
        return await asyncio.to_thread(_of_service, folder, database, dataset)


def _of_service(folder: Path, database: DatabaseSettings, dataset: UUID) -> list[Result]:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    results: list[Result] = []
    with mosquitto(folder) as mqtt:
        env = {
            "EMOTION_MQTT__PORT": str(mqtt.port),
            "EMOTION_DATABASE__URL": database.url.get_secret_value(),
            "EMOTION_PORT": str(port),
            "EMOTION_DATA_DIR": str(folder / "export-data"),
        }
        with service("web", env=env, ready=f"{base}/readyz") as process:
            httpx.get(f"{base}/api/v1/datasets", timeout=60).raise_for_status()
            idle = psutil.Process(process.pid).memory_info().rss / 1e6
            for form, one in FORMATS.items():
                if one.missing() is not None:
                    continue
                with _watched(process.pid) as most:
                    seconds, size = _export(base, dataset, form)
                speed = f"{seconds:.0f} s, {FACES / seconds:.0f} faces/s"
                note = f"{FACES:,} faces of {_SIDE} px, {size / 1e6:.0f} MB, {speed}"
                name = f"export as {form}: most resident memory of the web service"
                results.append(against(name, most[0] / 1e6, idle, "MB", f"{note}; baseline: before; goal: 300"))
            with _watched(process.pid) as most:
                _download(base, dataset)
            name = "download of all exports: most resident memory of the web service"
            results.append(against(name, most[0] / 1e6, idle, "MB", "baseline: before any export; goal: 300"))
    return results


def run(folder: Path) -> list[Result]:
    """Measure in `folder`, which is thrown away."""
    return asyncio.run(_measure(folder))
