"""The whole demo at 15 frames/s: how old is what is stored and shown, does a queue grow, how much memory."""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil

from bench.results import Result, percentile
from bench.servers import mosquitto, service
from services.embedded import free_port

SETTLE_S = 20
MEMORY_S = 30


class Ages:
    """How many seconds after its capture each thing was seen."""

    def __init__(self) -> None:
        self.shown: list[float] = []
        self.stored: list[float] = []
        self.outbox: list[float] = []
        self._captured: dict[str, float] = {}

    def see(self, event: str, data: dict[str, Any]) -> None:
        now = time.time()
        if event == "live":
            self.shown.append(now - _seconds(data["captured_at"]))
        elif event == "detection":
            self._captured[data["event_id"]] = _seconds(data["captured_at"])
        elif event == "stored":
            ages = (self._captured.pop(ident, None) for ident in data["ids"])
            self.stored += [now - captured for captured in ages if captured is not None]
        elif event == "status" and data["service"] == "classifier":
            self.outbox.append(float(data["values"]["outbox_depth"]))


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).astimezone(UTC).timestamp()


async def _listen(page: str, see: Callable[[str, dict[str, Any]], None], seconds: float) -> None:
    async with (
        asyncio.timeout(seconds + SETTLE_S + 30),
        httpx.AsyncClient(timeout=None) as client,  # the stream has no end
        client.stream("GET", f"{page}/api/v1/live") as response,
    ):
        until = time.monotonic() + SETTLE_S + seconds
        settled = time.monotonic() + SETTLE_S
        event = ""
        async for line in response.aiter_lines():
            if line.startswith("event:"):
                event = line.removeprefix("event:").strip()
            elif line.startswith("data:") and time.monotonic() > settled:
                see(event, json.loads(line.removeprefix("data:")))
            if time.monotonic() > until:
                return


def run_demo(folder: Path, minutes: float, env: dict[str, str]) -> list[Result]:
    """The demo with its sample at 15 frames/s, watched over the stream that browsers use."""
    port = free_port()
    page = f"http://127.0.0.1:{port}"
    ages = Ages()
    arguments = ("demo", "--port", str(port), "--data", str(folder / "demo"))
    with service(*arguments, env=env, ready=f"{page}/readyz"):
        asyncio.run(_listen(page, ages.see, minutes * 60))
    note = f"{minutes:g} min at 15 frames/s, {len(ages.shown)} frames shown, {len(ages.stored)} rows"
    shown_ms, stored_ms = 1000 * percentile(ages.shown, 95), 1000 * percentile(ages.stored, 95)
    tenth = max(1, len(ages.stored) // 10)
    growth = percentile(ages.stored[-tenth:], 50) / percentile(ages.stored[:tenth], 50)
    return [
        Result("demo: capture to browser event, p95", shown_ms, "ms", note=f"{note}; goal: 250"),
        Result("demo: capture to stored row, p95", stored_ms, "ms", note=f"{note}; goal: 500"),
        Result("demo: age of stored rows, last tenth / first tenth", growth, "", note="near 1: no queue grows"),
        Result("demo: outbox depth, most", max(ages.outbox, default=float("nan")), "messages", note=note),
    ]


def run_memory(folder: Path, clip: Path, env: dict[str, str]) -> list[Result]:
    """Resident memory of capture and classifier as on an edge device, a clip in a loop."""
    with ExitStack() as stack:
        mqtt = stack.enter_context(mosquitto(folder))
        ports = {name: free_port() for name in ("classifier", "capture")}
        processes = {}
        for name, port in ports.items():
            own = env | {
                "EMOTION_MQTT__PORT": str(mqtt.port),
                "EMOTION_DATA_DIR": str(folder / name),
                "EMOTION_SOURCE": str(clip),
                "EMOTION_LOOP": "true",
                "EMOTION_HEALTH__PORT": str(port),
            }
            ready = f"http://127.0.0.1:{port}/readyz"
            processes[name] = stack.enter_context(service(name, env=own, ready=ready))
        time.sleep(MEMORY_S)  # what is measured here is time
        sizes = {name: psutil.Process(process.pid).memory_info().rss / 2**20 for name, process in processes.items()}
    note = ", ".join(f"{name} {size:.0f} MiB" for name, size in sizes.items()) + "; goal: 450"
    return [Result("edge: capture + classifier resident", sum(sizes.values()), "MiB", note=note)]
