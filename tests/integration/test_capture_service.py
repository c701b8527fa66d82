"""The capture service against a real Mosquitto: every kind of trouble that a source can have."""

import asyncio
import functools
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from blockbuster import blockbuster_ctx

from services.capture.encode import encode
from services.capture.frames import FrameSource, Reading, SourceTrouble
from services.capture.main import run
from services.capture.pause import AFAR, HERE, set_mark
from services.capture.settings import CaptureSettings
from services.capture.sources import Opener, open_source
from services.embedded import free_port
from shared.errors import SettingsError
from shared.jpeg import check_picture, read_comment
from shared.messages import Desired, FrameInfo, Live, Source, Status, decode
from shared.mqtt import MqttLink
from shared.settings import HealthSettings, MqttSettings
from tests.conftest import Mosquitto
from tests.integration.delivery import until
from tests.support.patience import STOPS_WITHIN_S, WAIT_S

DEVICE = "cam-1"


@pytest.fixture(autouse=True)
def loop_guard() -> Iterator[None]:
    """Fails a test whose service blocks the event loop."""
    with blockbuster_ctx(["services.capture", "shared"]):
        yield


@pytest.fixture(autouse=True)
def own_data_dir(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Marks of a pause are of one test."""
    monkeypatch.setenv("EMOTION_DATA_DIR", str(tmp_path_factory.mktemp("data")))


def settings(mqtt: MqttSettings, source: str | Path, **values: Any) -> CaptureSettings:
    # They look for files of secrets, which `main` lets them do before there is a loop.
    with ThreadPoolExecutor(1) as before_the_loop:
        return before_the_loop.submit(
            lambda: CaptureSettings(device=DEVICE, mqtt=mqtt, source=str(source), **values)
        ).result()


class Watcher:
    """Sees what a classifier and a dashboard would."""

    def __init__(self, mqtt: MqttSettings) -> None:
        self.topics = mqtt.topics
        self.link = MqttLink(mqtt)
        self.frames: asyncio.Queue[tuple[FrameInfo, bytes]] = asyncio.Queue()
        self.statuses: list[Status] = []
        self._told = asyncio.Event()
        self._next = 0
        self.link.subscribe(self.topics.camera(DEVICE), self._on_frame)
        self.link.subscribe(self.topics.status(DEVICE, "capture"), self._on_status, qos=1)

    def _on_frame(self, topic: str, payload: bytes) -> None:
        self.frames.put_nowait((decode(FrameInfo, topic, read_comment(payload)), payload))

    def _on_status(self, topic: str, payload: bytes) -> None:
        self.statuses.append(decode(Status, topic, payload))
        self._told.set()

    async def status(self, wanted: Callable[[Status], bool], timeout_s: float = WAIT_S) -> Status:
        """The next status that is as wanted, from the one that was asked for last on."""
        async with asyncio.timeout(timeout_s):
            while True:
                while self._next < len(self.statuses):
                    if wanted(self.statuses[self._next]):
                        return self.statuses[self._next]
                    self._next += 1
                self._told.clear()
                await self._told.wait()

    async def state(self, state: str) -> Status:
        return await self.status(lambda status: status.state == state)

    async def frame(self) -> FrameInfo:
        async with asyncio.timeout(WAIT_S):
            return (await self.frames.get())[0]

    async def all_frames_until(self, state: str) -> list[tuple[FrameInfo, bytes]]:
        await self.state(state)
        return [self.frames.get_nowait() for _ in range(self.frames.qsize())]

    async def wish(self, **values: Any) -> None:
        desired = Desired(device=DEVICE, **values)
        await self.link.publish(self.topics.desired(DEVICE), desired.to_json(), qos=1, retain=True)


@asynccontextmanager
async def watching(mqtt: MqttSettings) -> AsyncIterator[Watcher]:
    watcher = Watcher(mqtt)
    task = asyncio.create_task(watcher.link.run())
    await watcher.link.connected.wait()
    try:
        yield watcher
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def capturing(what: CaptureSettings, opener: Opener = open_source) -> AsyncIterator[Watcher]:
    """Capture running, seen by a watcher; then cancelled, which has to end it."""
    async with watching(what.mqtt) as watcher:
        task = asyncio.create_task(run(what, open_source=opener))
        try:
            yield watcher
        finally:
            task.cancel()
            async with asyncio.timeout(STOPS_WITHIN_S):
                outcome = (await asyncio.gather(task, return_exceptions=True))[0]
        assert isinstance(outcome, asyncio.CancelledError), outcome
        await watcher.state("offline")


class FakeCamera:
    """The hardware: gives JPEGs as fast as told, hangs or vanishes when told."""

    live = True
    source = Source(kind="camera", name="fake")

    def __init__(self) -> None:
        self.openings = 0
        self.closed = threading.Event()
        self.hang = threading.Event()
        self.hang_once = threading.Event()
        """The next read hangs, and no other."""
        self.hanging = threading.Event()
        self.let_go = threading.Event()
        self.gone = threading.Event()
        self.period_s = 0.02
        self.pictures: Iterator[bytes] = itertools.cycle(
            encode(np.full((48, 64, 3), n * 20, np.uint8), 85) for n in range(10)
        )

    def open(self, *_: object) -> FrameSource:
        if self.gone.is_set():
            raise SourceTrouble("There is no camera 0", "it was unplugged", "Plug it in")
        self.openings += 1
        self.closed.clear()
        return self

    def read(self) -> Reading:
        if self.hang.is_set() or self.hang_once.is_set():
            self.hang_once.clear()
            self.hanging.set()
            self.let_go.wait(60)
            return Reading(b"this comes too late")
        if self.gone.is_set():
            raise SourceTrouble("camera 0 gives no pictures", "it was unplugged", "Plug it in")
        self.closed.wait(self.period_s)
        return Reading(next(self.pictures))

    def abort(self) -> None:
        """A driver cannot be interrupted."""

    def close(self) -> None:
        self.closed.set()


@pytest.fixture
def camera() -> Iterator[FakeCamera]:
    fake = FakeCamera()
    yield fake
    fake.let_go.set()


async def test_a_clip_is_played_at_its_own_pace_and_every_frame_arrives(
    mqtt_settings: MqttSettings, head_pose_clip: Path
) -> None:
    async with capturing(settings(mqtt_settings, head_pose_clip)) as watcher:
        frames = await watcher.all_frames_until("finished")
        status = watcher.statuses[-1]
    infos = [info for info, _ in frames]
    assert [info.frame_number for info in infos] == list(range(56))
    assert len({info.boot_id for info in infos}) == 1
    assert {(info.device, info.source.kind, info.source.name) for info in infos} == {
        (DEVICE, "file", head_pose_clip.name)
    }
    lasted = infos[-1].captured_at - infos[0].captured_at
    # 4.6 s; after a pause of this machine the first frames come late, and the others in time.
    assert timedelta(seconds=3.5) < lasted < timedelta(seconds=STOPS_WITHIN_S)
    assert check_picture(frames[0][1]) == (480, 270)
    picture = cv2.imdecode(np.frombuffer(frames[0][1], np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (270, 480, 3)
    assert status.values["frames_sent"] == 56
    assert status.values["frames_dropped"] == 0


async def test_fast_pace_sends_the_next_frame_when_the_last_was_classified(
    mqtt_settings: MqttSettings, head_pose_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.capture.pacing.CONFIRM_S", WAIT_S)
    async with capturing(settings(mqtt_settings, head_pose_clip, pace="fast")) as watcher:
        infos: list[FrameInfo] = []
        for _ in range(56):
            infos.append(await watcher.frame())
            assert watcher.frames.qsize() == 0
            live = Live(
                device=DEVICE,
                captured_at=infos[-1].captured_at,
                boot_id=infos[-1].boot_id,
                source=infos[-1].source,
                frame_number=infos[-1].frame_number,
                frame_size=(480, 270),
                faces=(),
                recording=False,
                fps=0,
                latency_ms=1,
            )
            await watcher.link.publish(watcher.topics.live(DEVICE), live.to_json())
        status = await watcher.state("finished")
    assert [info.frame_number for info in infos] == list(range(56))
    assert status.values["unconfirmed"] == 0


async def test_fast_pace_without_a_classifier_goes_on_and_says_so(mqtt_settings: MqttSettings, tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"{number}.jpg").write_bytes(encode(np.full((48, 64, 3), 90, np.uint8), 85))
    async with capturing(settings(mqtt_settings, tmp_path, pace="fast")) as watcher:
        frames = await watcher.all_frames_until("finished")
        status = watcher.statuses[-1]
    assert len(frames) == 2
    assert status.values["unconfirmed"] == 1
    assert status.problems[0].title == "No classifier confirms the frames"


async def test_bad_pictures_of_a_folder_are_counted_and_told_and_the_others_sent(
    mqtt_settings: MqttSettings, tmp_path: Path
) -> None:
    good = encode(np.full((48, 64, 3), 90, np.uint8), 85)
    huge = bytearray(good)
    at = huge.find(b"\xff\xc0")
    huge[at + 5 : at + 9] = (20_000).to_bytes(2, "big") * 2
    contents = [good, good[: len(good) // 2], encode(np.zeros((1, 1, 3), np.uint8), 85), bytes(huge), b"text", good]
    for number, content in enumerate(contents):
        (tmp_path / f"{number}.jpg").write_bytes(content)
    async with capturing(settings(mqtt_settings, tmp_path, fps=30)) as watcher:
        frames = await watcher.all_frames_until("finished")
        status = watcher.statuses[-1]
    assert [info.frame_number for info, _ in frames] == [0, 5]
    assert status.values["frames_rejected"] == 4
    assert status.values["frames_read"] == 6
    assert status.problems[0].title == "A picture was left out"
    assert "4.jpg" in status.problems[0].cause


async def test_a_text_file_called_mp4_does_not_end_the_service_and_is_told(
    mqtt_settings: MqttSettings, tmp_path: Path
) -> None:
    path = tmp_path / "diary.mp4"
    path.write_text("Dear diary,\n" * 100)
    async with capturing(settings(mqtt_settings, path)) as watcher:
        status = await watcher.state("degraded")
        assert "diary.mp4 cannot be read" in status.problems[0].title
        await watcher.status(lambda status: bool(status.values.get("reopens")))


async def test_a_file_that_appears_later_is_played_then(mqtt_settings: MqttSettings, tmp_path: Path) -> None:
    path = tmp_path / "late"
    async with capturing(settings(mqtt_settings, path)) as watcher:
        status = await watcher.state("degraded")
        assert "There is no file" in status.problems[0].title
        beside = tmp_path / "beside"
        beside.mkdir()
        (beside / "1.jpg").write_bytes(encode(np.full((48, 64, 3), 90, np.uint8), 85))
        beside.rename(path)
        status = await watcher.state("finished")
        assert status.problems == ()
        assert status.values["kind"] == "folder"


async def test_the_sample_is_built_and_played(mqtt_settings: MqttSettings, tmp_path: Path) -> None:
    async with capturing(settings(mqtt_settings, "sample", data_dir=tmp_path)) as watcher:
        infos = [await watcher.frame() for _ in range(3)]
        status = await watcher.state("online")
    assert [info.frame_number for info in infos] == [0, 1, 2]
    assert infos[0].source == Source(kind="sample", name="sample")
    assert status.values["passthrough"] is True


async def test_of_a_camera_the_newest_frame_wins_and_every_drop_is_counted(
    mqtt_settings: MqttSettings, camera: FakeCamera
) -> None:
    camera.period_s = 0
    async with capturing(settings(mqtt_settings, "0"), camera.open) as watcher:
        for _ in range(20):
            await watcher.frame()
        status = await watcher.status(lambda status: bool(status.values.get("frames_dropped")))
        values = status.values
    counts = [values[f"frames_{name}"] for name in ("read", "sent", "dropped", "unsent", "rejected")]
    read, *outcomes = [count for count in counts if isinstance(count, int)]
    # One may be on its way and one held; drops are counted after each frame sent.
    assert sum(outcomes) <= read
    assert values["kind"] == "camera"
    assert values["passthrough"] is True


async def test_a_camera_that_hangs_is_left_behind_and_opened_again(
    mqtt_settings: MqttSettings, camera: FakeCamera
) -> None:
    async with capturing(settings(mqtt_settings, "0", stall_s=1.0), camera.open) as watcher:
        await watcher.frame()
        camera.hang_once.set()
        status = await watcher.state("degraded")
        assert status.problems[0].title == "The source stopped giving frames"
        status = await watcher.status(lambda status: status.state == "online" and bool(status.values["reopens"]))
        # More than once where this machine itself stopped for so long.
        assert status.values["stuck_reads"]
        assert camera.openings >= 2


async def test_a_camera_that_hangs_for_ever_is_not_opened_for_ever(
    mqtt_settings: MqttSettings, camera: FakeCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.capture.session.MAX_STUCK", 1)
    camera.hang.set()
    async with capturing(settings(mqtt_settings, "0", stall_s=1.0), camera.open) as watcher:
        await watcher.status(lambda status: any("driver hangs" in problem.title for problem in status.problems))
        assert camera.openings == 1


async def test_stopping_while_a_read_hangs_takes_less_than_five_seconds(
    mqtt_settings: MqttSettings, camera: FakeCamera
) -> None:
    async with capturing(settings(mqtt_settings, "0", stall_s=60), camera.open) as watcher:
        await watcher.frame()
        camera.hang.set()


async def test_an_unplugged_camera_is_told_and_comes_back(mqtt_settings: MqttSettings, camera: FakeCamera) -> None:
    async with capturing(settings(mqtt_settings, "0"), camera.open) as watcher:
        first = await watcher.frame()
        camera.gone.set()
        status = await watcher.state("degraded")
        assert status.problems[0].next_step == "Plug it in"
        camera.gone.clear()
        await watcher.state("online")
        while watcher.frames.qsize():
            watcher.frames.get_nowait()
        again = await watcher.frame()
        assert again.boot_id == first.boot_id
        assert again.frame_number > first.frame_number


async def test_a_driver_that_fails_in_an_unknown_way_does_not_end_the_service(
    mqtt_settings: MqttSettings, camera: FakeCamera
) -> None:
    pictures = camera.pictures
    async with capturing(settings(mqtt_settings, "0"), camera.open) as watcher:
        await watcher.frame()
        camera.pictures = iter([])
        status = await watcher.state("degraded")
        assert status.problems[0].title == "The source failed unexpectedly"
        camera.pictures = pictures
        await watcher.state("online")


async def test_what_an_abandoned_read_gives_later_is_not_sent(mqtt_settings: MqttSettings, camera: FakeCamera) -> None:
    async with capturing(settings(mqtt_settings, "0", stall_s=1.0), camera.open) as watcher:
        await watcher.frame()
        camera.hang_once.set()
        await watcher.status(lambda status: bool(status.values.get("stuck_reads")))
        await watcher.state("online")
        camera.let_go.set()
        await asyncio.to_thread(camera.closed.wait)  # the old thread closed its source and is gone
        await watcher.link.publish(watcher.topics.desired(DEVICE), b"tell the status now", qos=1)
        status = await watcher.status(lambda status: status.values.get("desired_rejected") == 1)
    assert status.values["stuck_reads"]
    assert status.values["frames_rejected"] == 0


async def test_a_pause_from_afar_releases_the_camera_before_it_is_told_and_resuming_opens_it(
    mqtt_settings: MqttSettings, camera: FakeCamera
) -> None:
    async with capturing(settings(mqtt_settings, "0"), camera.open) as watcher:
        await watcher.state("online")
        await watcher.wish(paused=True)
        status = await watcher.state("paused")
        assert camera.closed.is_set()
        assert status.values["paused_by"] == "dashboard"
        await watcher.wish(paused=False)
        status = await watcher.state("online")
        assert status.values["paused_by"] is None
        assert camera.openings == 2
    # In this order; what lasts shorter than a status takes may be left out.
    states = [state for state, _ in itertools.groupby(status.state for status in watcher.statuses)]
    assert [state for state in states if state != "starting"] == ["online", "paused", "online", "offline"]
    assert len({status.values["frames_read"] for status in watcher.statuses if status.state == "paused"}) == 1


async def test_a_pause_at_the_device_cannot_be_undone_from_afar(
    mqtt_settings: MqttSettings, camera: FakeCamera
) -> None:
    what = settings(mqtt_settings, "0")
    async with capturing(what, camera.open) as watcher:
        await watcher.frame()
        await asyncio.to_thread(set_mark, what.data_dir, HERE, there=True)
        status = await watcher.state("paused")
        assert camera.closed.is_set()
        assert status.values["paused_by"] == "device"
        await watcher.wish(paused=True)
        await watcher.status(lambda status: status.values["paused_by"] == "device and dashboard")
        await watcher.wish(paused=False)
        status = await watcher.status(lambda status: status.values["paused_by"] == "device")
        assert status.state == "paused"
        assert camera.openings == 1
        await asyncio.to_thread(set_mark, what.data_dir, HERE, there=False)
        await watcher.state("online")
    assert camera.openings == 2


async def test_a_pause_from_afar_cannot_be_undone_at_the_device(
    mqtt_settings: MqttSettings, camera: FakeCamera
) -> None:
    what = settings(mqtt_settings, "0")
    async with capturing(what, camera.open) as watcher:
        await watcher.frame()
        await watcher.wish(paused=True)
        await watcher.state("paused")
        await asyncio.to_thread(set_mark, what.data_dir, HERE, there=True)
        await watcher.status(lambda status: status.values["paused_by"] == "device and dashboard")
        await asyncio.to_thread(set_mark, what.data_dir, HERE, there=False)
        status = await watcher.status(lambda status: status.values["paused_by"] == "dashboard")
        assert status.state == "paused"
        assert camera.openings == 1


@pytest.mark.parametrize("mark", [HERE, AFAR])
async def test_a_pause_outlives_capture_and_a_broker_that_forgot_it(
    mqtt_settings: MqttSettings, camera: FakeCamera, mark: str
) -> None:
    what = settings(mqtt_settings, "0")
    async with capturing(what, camera.open) as watcher:
        await watcher.frame()
        if mark == AFAR:
            await watcher.wish(paused=True)
        else:
            await asyncio.to_thread(set_mark, what.data_dir, HERE, there=True)
        await watcher.state("paused")
        await until((what.data_dir / mark).exists)
    forgetful = mqtt_settings.model_copy(update={"topic_prefix": mqtt_settings.topic_prefix + "-new"})
    async with capturing(settings(forgetful, "0"), camera.open) as watcher:
        await watcher.state("paused")
        # A wish about something else leaves it as it is.
        await watcher.wish(watch_until=datetime.now(UTC))
        await watcher.link.publish(watcher.topics.desired(DEVICE), b"answer", qos=1)
        status = await watcher.status(lambda status: status.values.get("desired_rejected") == 1)
        assert status.state == "paused"
        assert camera.openings == 1


async def test_a_paused_camera_whose_driver_hangs_is_told_as_maybe_on_until_it_lets_go(
    mqtt_settings: MqttSettings, camera: FakeCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.capture.session._TELL_EVERY_S", 0.1)
    async with capturing(settings(mqtt_settings, "0", stall_s=60), camera.open) as watcher:
        await watcher.frame()
        camera.hang.set()
        await asyncio.to_thread(camera.hanging.wait)
        await watcher.wish(paused=True)
        status = await watcher.status(lambda status: status.state == "paused" and bool(status.problems))
        assert status.problems[0].title == "The camera may still be on"
        camera.let_go.set()
        status = await watcher.status(lambda status: status.state == "paused" and not status.problems)
        assert camera.closed.is_set()


async def test_a_pause_that_cannot_be_kept_holds_and_is_told(
    mqtt_settings: MqttSettings, camera: FakeCamera, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    folder.write_text("a file in the way")
    async with capturing(settings(mqtt_settings, "0", data_dir=folder), camera.open) as watcher:
        await watcher.frame()
        await watcher.wish(paused=True)
        status = await watcher.status(lambda status: status.state == "paused" and bool(status.problems))
        assert status.problems[0].title == "A pause might not be kept"
        folder.unlink()
        await watcher.status(lambda status: status.state == "paused" and not status.problems)
        assert (folder / AFAR).exists()


async def test_a_device_that_was_paused_before_it_started_never_opens_its_camera(
    mqtt_settings: MqttSettings, camera: FakeCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.capture.session.SETTLE_S", 0.01)  # what the broker had kept has been sent by then
    async with watching(mqtt_settings) as earlier:
        await earlier.wish(paused=True)
    async with capturing(settings(mqtt_settings, "0"), camera.open) as watcher:
        await watcher.state("paused")
    assert camera.openings == 0


async def test_a_paused_recording_goes_on_where_it_was(mqtt_settings: MqttSettings, tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number:02}.jpg").write_bytes(encode(np.full((48, 64, 3), 90, np.uint8), 85))
    async with capturing(settings(mqtt_settings, tmp_path, fps=10)) as watcher:
        await watcher.frame()
        await watcher.wish(paused=True)
        await watcher.state("paused")
        await watcher.wish(paused=False)
        frames = await watcher.all_frames_until("finished")
    assert [info.frame_number for info, _ in frames] == list(range(1, 40))


@pytest.mark.parametrize(
    "payload",
    [
        b"not json",
        b'{"schema": 1, "device": "cam-1", "paused": NaN}',
        b'{"schema": 2, "device": "cam-1"}',
        b'{"schema": 1, "device": "other", "paused": true}',
    ],
)
async def test_a_wish_that_cannot_be_read_is_counted_and_changes_nothing(
    mqtt_settings: MqttSettings, camera: FakeCamera, payload: bytes
) -> None:
    async with capturing(settings(mqtt_settings, "0"), camera.open) as watcher:
        await watcher.state("online")
        await watcher.link.publish(watcher.topics.desired(DEVICE), payload, qos=1)
        status = await watcher.status(lambda status: status.values.get("desired_rejected") == 1)
        assert status.state == "online"
        assert status.problems[0].title == "A message with wishes could not be read"


async def test_a_broker_that_is_not_there_at_the_start_and_goes_away_is_waited_for(
    own_mosquitto: Mosquitto, head_pose_clip: Path
) -> None:
    mqtt = own_mosquitto.settings
    await asyncio.to_thread(own_mosquitto.kill)
    task = asyncio.create_task(run(settings(mqtt, head_pose_clip, loop=True)))
    try:
        await asyncio.to_thread(own_mosquitto.start)
        async with watching(mqtt) as watcher:
            before = await watcher.frame()
        await asyncio.to_thread(own_mosquitto.kill)
        await asyncio.to_thread(own_mosquitto.start)
        async with watching(mqtt) as watcher:
            after = await watcher.frame()
            assert after.boot_id == before.boot_id
            assert (await watcher.state("online")).values["frames_unsent"] == 0
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class MjpegServer:
    """A small IP camera over HTTP that can be switched off and on at one port."""

    def __init__(self) -> None:
        self.port = free_port()
        self.requests: list[bytes] = []
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", self.port)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self.requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n")
        jpeg = encode(np.full((48, 64, 3), 90, np.uint8), 85)
        while not writer.is_closing():
            writer.write(b"--b\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(jpeg), jpeg))
            await asyncio.sleep(0.02)


async def test_a_http_stream_that_is_cut_and_comes_back_is_opened_again(mqtt_settings: MqttSettings) -> None:
    server = MjpegServer()
    await server.start()
    url = f"http://admin:hunter2@127.0.0.1:{server.port}/stream?pwd=hunter2"
    async with capturing(settings(mqtt_settings, url)) as watcher:
        info = await watcher.frame()
        assert info.source == Source(kind="url", name=f"http://127.0.0.1:{server.port}/stream")
        await server.stop()
        status = await watcher.state("degraded")
        assert "stopped" in status.problems[0].title or "does not answer" in status.problems[0].title
        await server.start()
        status = await watcher.status(lambda status: status.state == "online" and bool(status.values["reopens"]))
        assert status.values["passthrough"] is True
        assert not any(b"hunter2" in status.to_json() for status in watcher.statuses)
    assert server.requests[0].startswith(b"GET /stream?pwd=hunter2 ")
    await server.stop()


async def test_a_video_file_at_a_http_address_is_played_as_a_recording(
    mqtt_settings: MqttSettings, tmp_path: Path
) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 20, (64, 48))
    for number in range(10):
        writer.write(np.full((48, 64, 3), number * 20, np.uint8))
    writer.release()
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}/clip.avi"
        async with capturing(settings(mqtt_settings, url)) as watcher:
            frames = await watcher.all_frames_until("finished")
        server.shutdown()
    assert [info.frame_number for info, _ in frames] == list(range(10))
    assert frames[0][0].source.kind == "url"


async def test_readiness_follows_the_frames(mqtt_settings: MqttSettings, camera: FakeCamera) -> None:
    health = HealthSettings(port=free_port())
    camera.gone.set()
    async with (
        capturing(settings(mqtt_settings, "0", health=health), camera.open) as watcher,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{health.port}", timeout=WAIT_S) as client,
    ):
        await watcher.state("degraded")
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["missing"] == {"source": "There is no camera 0"}
        camera.gone.clear()
        await watcher.state("online")
        assert (await client.get("/readyz")).status_code == 200
        assert "emotion_capture_frames_total" in (await client.get("/metrics")).text


async def test_a_source_that_is_none_ends_the_service_at_once(mqtt_settings: MqttSettings) -> None:
    with pytest.raises(SettingsError, match="begins with ftp://"):
        await run(settings(mqtt_settings, "ftp://host/file"))
