"""Two hundred viewers of one device: how late what it sends reaches each, with and without one that does not read."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

from bench.results import Result, against, percentile
from bench.servers import mosquitto, service
from services.embedded import free_port
from shared.messages import Emotions, Live, LiveFace, Quality, Region, Shown, Source
from shared.mqtt import MqttLink
from shared.settings import MqttSettings

VIEWERS: Final = 200
FPS: Final = 15
SECONDS: Final = 10
FACES: Final = 2
DEVICE: Final = "bench"


@dataclass
class Viewer:
    """What one viewer saw."""

    ages_s: list[float] = field(default_factory=list)
    lost: int = 0


def _live(number: int) -> bytes:
    now = datetime.now(UTC)
    rest = dict.fromkeys(("angry", "disgust", "fear", "sad", "surprise", "neutral"), 0.02)
    face = LiveFace(
        track_id=1,
        region=Region(x=200, y=80, w=120, h=128),
        emotion=Emotions(happy=0.88, **rest),
        shown=Shown(state="happy", since=now),
        quality=Quality(size_px=120, blur=300.0, brightness=128.0, ok=True),
    )
    return Live(
        device=DEVICE,
        captured_at=now,
        boot_id=uuid4(),
        source=Source(kind="sample", name="bench"),
        frame_number=number,
        frame_size=(640, 360),
        faces=tuple(face.model_copy(update={"track_id": n}) for n in range(FACES)),
        recording=False,
        fps=FPS,
        latency_ms=0.0,
    ).to_json()


async def _open(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /api/v1/live?previews=false HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    await writer.drain()
    return reader, writer


async def _view(port: int, viewer: Viewer, begun: asyncio.Semaphore) -> None:
    reader, writer = await _open(port)
    begun.release()
    event = b""
    try:
        while line := await reader.readline():
            if line.startswith(b"event:"):
                event = line[6:].strip()
            elif line.startswith(b"data:") and event == b"live":
                begin = line.index(b'"captured_at":"') + 15
                captured = datetime.fromisoformat(line[begin : line.index(b'"', begin)].decode())
                viewer.ages_s.append((datetime.now(UTC) - captured).total_seconds())
            elif line.startswith(b"data:") and event == b"heartbeat":
                viewer.lost = json.loads(line[5:])["lost"]
    finally:
        writer.close()


@asynccontextmanager
async def _one_that_does_not_read(port: int) -> AsyncIterator[None]:
    """A connection with a small window that asks for the stream and then never reads."""
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_connect(deaf, ("127.0.0.1", port))
        await loop.sock_sendall(deaf, b"GET /api/v1/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        yield
    finally:
        deaf.close()


async def _watched(mqtt: MqttSettings, port: int, *, slow: bool) -> list[Viewer]:
    link = MqttLink(mqtt)
    viewers = [Viewer() for _ in range(VIEWERS)]
    begun = asyncio.Semaphore(0)
    connection = asyncio.create_task(link.run())
    await link.connected.wait()
    watching = [asyncio.create_task(_view(port, viewer, begun)) for viewer in viewers]
    for _ in viewers:
        await begun.acquire()
    async with _one_that_does_not_read(port) if slow else contextlib.nullcontext():
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in range(FPS * SECONDS):
            await asyncio.sleep(max(0.0, began + number / FPS - loop.time()))
            await link.publish(mqtt.topics.live(DEVICE), _live(number))
        await asyncio.sleep(6.0)  # until the heartbeat that tells what was lost
    for task in (*watching, connection):
        task.cancel()
    await asyncio.gather(*watching, connection, return_exceptions=True)
    return viewers


def run(folder: Path) -> list[Result]:
    """All viewers, broker and web service on this machine."""
    port = free_port()
    with ExitStack() as stack:
        mqtt = stack.enter_context(mosquitto(folder))
        env = {"EMOTION_ROLE": "edge", "EMOTION_PORT": str(port), "EMOTION_MQTT__PORT": str(mqtt.port)}
        stack.enter_context(service("web", env=env, ready=f"http://127.0.0.1:{port}/readyz"))
        alone = asyncio.run(_watched(mqtt, port, slow=False))
        beside = asyncio.run(_watched(mqtt, port, slow=True))
    p95 = [1000 * percentile([age for viewer in each for age in viewer.ages_s], 95) for each in (beside, alone)]
    seen = sum(len(viewer.ages_s) for viewer in beside)
    note = (
        f"{VIEWERS} viewers, {FPS} live states of {FACES} faces a second for {SECONDS} s, {seen} seen; "
        "baseline: without one more that does not read"
    )
    return [
        against(f"live: {VIEWERS} viewers, captured to seen, p95", p95[0], p95[1], "ms", note),
        Result(f"live: events that the {VIEWERS} lost", float(sum(viewer.lost for viewer in beside)), "", note=note),
    ]
