"""From a clip to Postgres, REST, the SSE stream and the paper's topics: exactly the frames that went in."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from services.embedded import free_port
from shared.jpeg import check_picture, read_comment
from shared.messages import FrameInfo, decode
from shared.mqtt import MqttLink
from shared.settings import MqttSettings
from shared.topics import LEGACY_IMAGE, LEGACY_JSON
from tests.conftest import Mosquitto
from tests.e2e.conftest import Env, Program
from tests.support.patience import STOPS_WITHIN_S, WAIT_S

HEAD_POSE_FRAMES = 56
FACES_IN_EACH = 2
PAUSE = timedelta(seconds=0.25)
"""Between two frames that follow at once: longer than reading one takes, and shorter than a lost track is kept."""

pytestmark = pytest.mark.timeout(300)


class Watcher:
    """Everything that outsiders see while a clip plays."""

    def __init__(self, mqtt: MqttSettings) -> None:
        self.legacy: list[dict[str, Any]] = []
        self.pictures: list[bytes] = []
        self.events: dict[str, list[Any]] = {}
        self._link = MqttLink(mqtt)
        self._link.subscribe(LEGACY_JSON, lambda _, payload: self.legacy.append(json.loads(payload)))
        self._link.subscribe(LEGACY_IMAGE, lambda _, payload: self.pictures.append(base64.b64decode(payload)))

    @asynccontextmanager
    async def watching(self, page: str) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            link = group.create_task(self._link.run())
            opened = asyncio.Event()
            stream = group.create_task(self._read_stream(page, opened))
            await self._link.connected.wait()
            await opened.wait()
            try:
                yield
            finally:
                link.cancel()
                stream.cancel()

    def stored_ids(self) -> set[str]:
        """Every id that the stream called stored."""
        return {item for event in self.events.get("stored", []) for item in event["ids"]}

    async def _read_stream(self, page: str, opened: asyncio.Event) -> None:
        async with (
            httpx.AsyncClient(timeout=None) as client,  # the stream never ends
            client.stream("GET", f"{page}/api/v1/live") as response,
        ):
            assert response.headers["content-type"].startswith("text/event-stream")
            opened.set()
            event = "message"
            async for line in response.aiter_lines():
                if line.startswith("event:"):
                    event = line.removeprefix("event:").strip()
                elif line.startswith("data:"):
                    self.events.setdefault(event, []).append(json.loads(line.removeprefix("data:")))


async def until(condition: Callable[[], Any], what: str, timeout_s: float = 120) -> Any:
    """Wait for a state of something outside this process."""
    async with asyncio.timeout(timeout_s):
        while True:
            result = condition()
            if asyncio.iscoroutine(result):
                result = await result
            if result:
                return result
            await asyncio.sleep(0.05)
    raise AssertionError(what)


async def all_pages(page: str, path: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor: str | None = None
    async with httpx.AsyncClient(timeout=WAIT_S) as client:
        while True:
            answer = await client.get(f"{page}{path}", params={"limit": 10} | ({"cursor": cursor} if cursor else {}))
            assert answer.status_code == 200, answer.text
            body = answer.json()
            items += body["items"]
            cursor = body["next_cursor"]
            if cursor is None:
                return items


async def test_servers_and_services_one_by_one_keep_exactly_the_frames_of_a_clip(
    own_mosquitto: Mosquitto,
    debian_postgres: str,
    database: Any,
    head_pose_clip: Path,
    models_dir: Path,
    tmp_path: Path,
    start: Callable[..., Program],
) -> None:
    page_port = free_port()
    ports = {name: free_port() for name in ("capture", "classifier", "ingest")}
    page = f"http://127.0.0.1:{page_port}"
    env: Env = {
        "EMOTION_DEVICE": "lab-1",
        "EMOTION_MQTT__PORT": str(own_mosquitto.settings.port),
        "EMOTION_DATABASE__URL": debian_postgres,
        "EMOTION_DATA_DIR": str(tmp_path / "data"),
        "EMOTION_MODELS_DIR": str(models_dir),
        "EMOTION_SOURCE": str(head_pose_clip),
        "EMOTION_PACE": "fast",
        "EMOTION_LEGACY_TOPICS": "true",
        "EMOTION_EMPTY_INTERVAL_S": "0",
        "EMOTION_SAMPLING__MODE": "on",
        "EMOTION_SAMPLING__EVERY_S": "0.5",
        "EMOTION_SAMPLING__MIN_INTERVAL_S": "0.1",
        "EMOTION_LOG__LEVEL": "info",
        "EMOTION_PORT": str(page_port),
    }

    def service(name: str) -> Program:
        health = f"http://127.0.0.1:{ports.get(name, page_port)}"
        return start(name, env=env | {"EMOTION_HEALTH__PORT": str(ports.get(name, 0))}, health=health)

    migrated = start("migrate", env=env)
    assert await asyncio.to_thread(migrated.process.wait, 60) == 0, migrated.log.read_text()
    services = {name: service(name) for name in ("ingest", "web", "classifier")}
    for program in services.values():
        await asyncio.to_thread(program.wait_ready)

    watcher = Watcher(own_mosquitto.settings)
    async with watcher.watching(page):
        services["capture"] = service("capture")
        await asyncio.to_thread(services["capture"].wait_ready)

        async def stored() -> bool:
            return bool(await database.fetchval("SELECT count(*) FROM detections") >= HEAD_POSE_FRAMES)

        await until(stored, "all frames stored")
        rows = await database.fetch("SELECT * FROM detections ORDER BY frame_number")
        ids = {str(row["event_id"]) for row in rows}
        await until(lambda: watcher.stored_ids() >= ids, "the stream has told of all that was stored")

        # Postgres: each frame once, two faces in each.
        assert [row["frame_number"] for row in rows] == list(range(HEAD_POSE_FRAMES))
        assert [row["seq"] for row in rows] == list(range(HEAD_POSE_FRAMES))
        assert {row["face_count"] for row in rows} == {FACES_IN_EACH}
        assert {row["device"] for row in rows} == {"lab-1"}
        assert await database.fetchval("SELECT count(*) FROM faces") == HEAD_POSE_FRAMES * FACES_IN_EACH
        # One track each; where this machine made a pause between two frames, each may come back as a new one.
        tracks = await database.fetchval("SELECT count(DISTINCT track_id) FROM faces")
        pauses = sum(after["captured_at"] - before["captured_at"] > PAUSE for before, after in pairwise(rows))
        assert FACES_IN_EACH <= tracks <= FACES_IN_EACH * (1 + pauses)
        assert await database.fetchval("SELECT count(*) FROM dead_letters") == 0

        # Kept pictures: clean JPEGs that say where they came from, joined to their detections.
        kept = await database.fetch("SELECT * FROM frames ORDER BY frame_number")
        assert kept
        by_id = {row["event_id"]: row for row in rows}
        for picture in kept:
            info = decode(FrameInfo, "frames", read_comment(picture["jpeg"]))
            assert check_picture(picture["jpeg"]) == (480, 270)
            assert by_id[picture["event_id"]]["frame_id"] == picture["frame_id"] == info.frame_id
            assert info.frame_number == picture["frame_number"] == by_id[picture["event_id"]]["frame_number"]

        # REST, page by page, and one picture as a browser gets it.
        listed = await all_pages(page, "/api/v1/detections")
        assert {item["event_id"] for item in listed} == ids
        assert len(listed) == HEAD_POSE_FRAMES
        async with httpx.AsyncClient(base_url=page, timeout=WAIT_S) as client:
            answer = await client.get(f"/api/v1/frames/{kept[0]['frame_id']}.jpg")
            assert answer.headers["content-type"] == "image/jpeg"
            assert answer.content == kept[0]["jpeg"]
            devices = (await client.get("/api/v1/devices")).json()
            assert [device["device"] for device in devices["items"]] == ["lab-1"]

        # The stream and the paper's topics saw the same frames.
        await until(lambda: len(watcher.legacy) >= HEAD_POSE_FRAMES, "the paper's readings")
        await until(lambda: len(watcher.pictures) >= HEAD_POSE_FRAMES, "the paper's pictures")
        assert sorted(event["frame_number"] for event in watcher.events["detection"]) == list(range(HEAD_POSE_FRAMES))
        assert {event["event_id"] for event in watcher.events["detection"]} == ids
        assert sorted(item["frame_number"] for item in watcher.legacy) == list(range(HEAD_POSE_FRAMES))
        assert all(item["video_file"] == head_pose_clip.name for item in watcher.legacy)
        assert len(watcher.pictures) == HEAD_POSE_FRAMES
        shown = cv2.imdecode(np.frombuffer(watcher.pictures[0], np.uint8), cv2.IMREAD_COLOR)
        assert shown is not None
        assert shown.shape == (270, 480, 3)

    for name in ("capture", "classifier", "ingest", "web"):
        code, seconds = await asyncio.to_thread(services[name].stop)
        assert code == 0, f"{name} ended with {code}: {services[name].log.read_text()}"
        assert seconds < STOPS_WITHIN_S, f"{name} took {seconds:.1f} s to stop"
        assert "Traceback" not in services[name].log.read_text()
