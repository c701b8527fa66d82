"""The classifier as a whole: real broker, real detector and model, real clips, real outbox."""

import asyncio
import base64
import functools
import json
import shutil
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import cv2
import httpx
import numpy as np
import pytest
from blockbuster import blockbuster_ctx

from services.classifier.main import OUTBOX_FILE, run
from services.classifier.outbox import Outbox, open_outbox
from services.classifier.outbox_file import Kind
from services.classifier.pipeline import decode
from services.classifier.settings import ClassifierSettings, SamplingSettings
from services.embedded import free_port
from shared import messages
from shared.errors import ModelError
from shared.jpeg import picture_size, read_comment
from shared.messages import Desired, Detection, FrameInfo, Live, Sampling, Status
from shared.metrics import Metrics
from shared.mqtt import MqttLink
from shared.settings import HealthSettings, MqttSettings
from shared.topics import LEGACY_IMAGE, LEGACY_JSON
from tests.classifier_kit import encoded, frame, models_folder, pictures
from tests.conftest import Mosquitto
from tests.support.patience import STOPS_WITHIN_S, WAIT_S

DEVICE = "lab"


@pytest.fixture
def models_dir(tmp_path: Path, yunet_file: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return models_folder(folder, yunet_file)


@pytest.fixture
def settings(tmp_path: Path, models_dir: Path, mqtt_settings: MqttSettings) -> ClassifierSettings:
    return ClassifierSettings(
        device=DEVICE,
        mqtt=mqtt_settings,
        data_dir=tmp_path / "data",
        models_dir=models_dir,
        status_interval_s=0.2,
    )


class World:
    """Everything that a broker sees of one device, and a way to send as its capture does."""

    def __init__(self, mqtt: MqttSettings) -> None:
        self.topics = mqtt.topics
        self.link = MqttLink(mqtt)
        self.seen: dict[str, list[bytes]] = defaultdict(list)
        self._changed = asyncio.Event()
        for topic in (f"{mqtt.topic_prefix}/#", LEGACY_JSON, LEGACY_IMAGE):
            self.link.subscribe(topic, self._on_message, qos=1)

    def _on_message(self, topic: str, payload: bytes) -> None:
        self.seen[topic].append(payload)
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def send(self, payload: bytes) -> None:
        await self.link.publish(self.topics.camera(DEVICE), payload)

    async def desire(self, **wishes: object) -> None:
        desired = Desired.model_validate({"schema": 1, "device": DEVICE, **wishes})
        await self.link.publish(self.topics.desired(DEVICE), desired.to_json(), qos=1, retain=True)

    @property
    def lives(self) -> list[Live]:
        return [messages.decode(Live, "live", payload) for payload in self.seen[self.topics.live(DEVICE)]]

    @property
    def statuses(self) -> list[Status]:
        topic = self.topics.status(DEVICE, "classifier")
        return [messages.decode(Status, topic, payload) for payload in self.seen[topic]]

    @property
    def detections(self) -> list[Detection]:
        """What the uplink has sent, each once, in the order of the device's count."""
        sent = (messages.decode(Detection, "d", payload) for payload in self.seen[self.topics.detections(DEVICE)])
        return sorted({item.event_id: item for item in sent}.values(), key=lambda item: (item.captured_at, item.seq))

    @property
    def frames(self) -> dict[str, bytes]:
        prefix = self.topics.frames(DEVICE, "")
        return {topic.removeprefix(prefix): sent[0] for topic, sent in self.seen.items() if topic.startswith(prefix)}

    async def read_one(self, payload: bytes) -> Live:
        """Send a frame and wait until it was read."""
        before = len(self.lives)
        await self.send(payload)
        await self.until(lambda: len(self.lives) > before)
        return self.lives[-1]


@asynccontextmanager
async def world(settings: ClassifierSettings, *, classifier: bool = True) -> AsyncIterator[World]:
    here = World(settings.mqtt)
    tasks = [asyncio.create_task(here.link.run())]
    await here.link.connected.wait()
    try:
        if classifier:
            tasks.append(asyncio.create_task(run(settings)))
            await until_online(here, tasks[-1])
        yield here
    finally:
        for task in reversed(tasks):
            task.cancel()
            async with asyncio.timeout(STOPS_WITHIN_S):
                with pytest.raises(asyncio.CancelledError):
                    await task


async def until_online(here: World, task: asyncio.Task[None]) -> None:
    ready = asyncio.create_task(here.until(lambda: any(status.state != "offline" for status in here.statuses)))
    done, _ = await asyncio.wait({ready, task}, return_when=asyncio.FIRST_COMPLETED)
    if task in done:
        ready.cancel()
        task.result()


async def test_every_frame_of_a_clip_is_read_with_both_faces_under_two_track_ids(
    settings: ClassifierSettings, head_pose_clip: Path
) -> None:
    boot, began = uuid4(), datetime.now(UTC)
    clip = pictures(head_pose_clip)
    async with world(settings) as here:
        for number, picture in enumerate(clip):
            live = await here.read_one(
                frame(
                    encoded(picture), number=number, boot_id=boot, captured_at=began + timedelta(seconds=number / 12.5)
                )
            )
            assert live.frame_number == number
        await here.until(lambda: len(here.detections) == len(clip))
        detections = here.detections
    assert [d.frame_number for d in detections] == list(range(len(clip)))
    assert [d.seq for d in detections] == list(range(len(clip)))
    assert {d.boot_id for d in detections} == {boot}
    assert {tuple(sorted(f.track_id for f in d.faces)) for d in detections} == {(1, 2)}
    assert detections[0].frame_size == (640, 360)
    assert detections[0].model.name == "slim_resnet"
    assert set(detections[0].latency_ms) == {"queue", "decode", "detect", "classify", "total"}
    assert all(d.frame_id is None for d in detections), "privacy mode keeps no pictures"
    assert here.frames == {}
    assert not here.seen[here.topics.preview(DEVICE)], "nobody watched"


async def test_the_event_loop_is_never_blocked(settings: ClassifierSettings, head_pose_clip: Path) -> None:
    jpeg = encoded(pictures(head_pose_clip, every=60)[0])
    with blockbuster_ctx():
        async with world(settings) as here:
            for number in range(3):
                await here.read_one(frame(jpeg, number=number))


async def test_newest_frame_wins_and_superseded_ones_are_counted(
    settings: ClassifierSettings, head_pose_clip: Path
) -> None:
    boot = uuid4()
    jpeg = encoded(pictures(head_pose_clip, every=60)[0])
    async with world(settings) as here:
        for number in range(60):
            await here.send(frame(jpeg, number=number, boot_id=boot))
        await here.until(lambda: bool(here.lives) and here.lives[-1].frame_number == 59)
        read = len(here.lives)

        def all_accounted_for() -> bool:
            values = here.statuses[-1].values
            return (values["frames_superseded"], values["frames_classified"]) == (60 - read, read)

        await here.until(all_accounted_for)
        await here.until(lambda: len(here.detections) == read)
    assert read < 60
    assert [d.seq for d in here.detections] == list(range(read)), "the count of detections has no gaps"


async def test_legacy_topics_carry_what_the_paper_describes(settings: ClassifierSettings, head_pose_clip: Path) -> None:
    settings = settings.model_copy(update={"legacy_topics": True})
    async with world(settings) as here:
        await here.read_one(frame(encoded(pictures(head_pose_clip, every=60)[0]), number=7))
        await here.until(lambda: bool(here.seen[LEGACY_JSON]) and bool(here.seen[LEGACY_IMAGE]))
    said = json.loads(here.seen[LEGACY_JSON][-1])
    assert set(said) == {"video_file", "frame_number", "emotion_probability", "emotion_text", "timestamp"}
    assert (said["video_file"], said["frame_number"]) == ("clip.gif", 7)
    assert picture_size(base64.b64decode(here.seen[LEGACY_IMAGE][-1])) == (640, 360)


async def test_sampled_frames_leave_clean_and_point_to_their_detection(
    settings: ClassifierSettings, head_pose_clip: Path
) -> None:
    rules = SamplingSettings(mode="on", low_confidence=1.0, min_interval_s=0.0)
    jpeg = encoded(pictures(head_pose_clip, every=60)[0])
    async with world(settings.model_copy(update={"sampling": rules})) as here:
        live = await here.read_one(frame(jpeg))
        assert live.recording
        await here.until(lambda: len(here.frames) == 1 and len(here.detections) == 1)
    ((frame_id, picture),) = here.frames.items()
    detection = here.detections[0]
    assert str(detection.frame_id) == frame_id
    info = messages.decode(FrameInfo, "f", read_comment(picture))
    assert (info.frame_id, info.event_id) == (detection.frame_id, detection.event_id)
    assert picture.endswith(jpeg[-5000:]), "the pixels are those that came"


async def test_the_status_says_how_hot_the_device_is_where_it_tells(
    settings: ClassifierSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zones = tmp_path / "thermal"
    monkeypatch.setattr("services.classifier.main.ZONES", zones)
    async with world(settings) as here:
        assert here.statuses[-1].values["temperature_c"] is None
        zone = zones / "thermal_zone0"
        zone.mkdir(parents=True)
        (zone / "type").write_text("CPU-therm\n")
        (zone / "temp").write_text("61250\n")
        await here.desire(paused=True)  # which makes it tell again
        await here.until(lambda: here.statuses[-1].values["temperature_c"] == 61.2)


async def test_desired_state_pauses_records_and_shows_the_preview(
    settings: ClassifierSettings, head_pose_clip: Path
) -> None:
    jpeg = encoded(pictures(head_pose_clip, every=60)[0])
    async with world(settings) as here:
        soon = datetime.now(UTC) + timedelta(minutes=1)
        await here.desire(watch_until=soon.isoformat(), sampling=Sampling(mode="on", every_s=0.001).model_dump())
        await here.until(lambda: here.statuses[-1].values["recording"] is True)
        assert (await here.read_one(frame(jpeg))).recording
        await here.until(lambda: len(here.seen[here.topics.preview(DEVICE)]) == 1)
        preview = here.seen[here.topics.preview(DEVICE)][0]
        assert picture_size(preview) == (640, 360)
        assert messages.decode(FrameInfo, "p", read_comment(preview)).event_id is not None
        assert messages.decode(FrameInfo, "p", read_comment(preview)).drawn is True
        await here.desire(watch_until=soon.isoformat(), preview_clean=True, sampling={"mode": "on", "every_s": 7.0})
        await here.until(lambda: here.statuses[-1].values["sampling_every_s"] == 7.0)
        await here.read_one(frame(jpeg, number=1))
        await here.until(lambda: len(here.seen[here.topics.preview(DEVICE)]) == 2)
        clean = here.seen[here.topics.preview(DEVICE)][1]
        assert messages.decode(FrameInfo, "p", read_comment(clean)).drawn is False
        changed = cv2.absdiff(decode(jpeg), decode(clean))
        assert changed.max() < 60, "no box is drawn: only what JPEG itself changes"
        await here.desire(paused=True)
        await here.until(lambda: here.statuses[-1].state == "paused")
        assert here.statuses[-1].values["recording"] is False
        read = len(here.lives)
        await here.send(frame(jpeg))
        await here.until(lambda: here.statuses[-1].values["frames_paused"] == 1)
        assert len(here.lives) == read
        await here.link.publish(here.topics.desired(DEVICE), b"", qos=1, retain=True)
        await here.until(lambda: here.statuses[-1].state == "online")


async def test_frames_that_cannot_be_used_are_counted_and_told_and_the_next_is_read(
    settings: ClassifierSettings, head_pose_clip: Path
) -> None:
    good = encoded(pictures(head_pose_clip, every=60)[0])
    huge = bytearray(good)
    start = huge.find(b"\xff\xc0")
    huge[start + 5 : start + 9] = (20000).to_bytes(2, "big") * 2
    bad = [
        b"",
        b"not a picture",
        good,  # no comment
        frame(good)[:-3000],
        frame(bytes(huge)),
        frame(good, device="another"),
        frame(good).replace(b'"schema":1', b'"schema":9'),
        frame(good).replace(b'"frame_number":0', b'"frame_number":NaN'),
    ]
    async with world(settings) as here:
        for number, payload in enumerate(bad, 1):
            await here.send(payload)
            await here.until(lambda number=number: here.statuses[-1].values["frames_rejected"] == number)  # type: ignore[misc]  # mypy cannot infer a lambda's default
        assert here.statuses[-1].state == "degraded"
        assert here.statuses[-1].problems[0].title == "Some camera frames cannot be used"
        await here.link.publish(here.topics.desired(DEVICE), b'{"schema": 2}', qos=1)
        await here.link.publish(here.topics.desired(DEVICE), b"\xff", qos=1)
        live = await here.read_one(frame(good, number=3))
    assert live.frame_number == 3
    assert len(live.faces) == 2


async def test_a_stretch_without_faces_is_recorded_by_its_first_frame(settings: ClassifierSettings) -> None:
    boot, began = uuid4(), datetime.now(UTC)
    empty = encoded(np.full((360, 640, 3), 90, np.uint8))
    async with world(settings) as here:
        for number in range(25):
            await here.read_one(
                frame(empty, number=number, boot_id=boot, captured_at=began + timedelta(seconds=number))
            )
        await here.until(lambda: len(here.detections) == 3)
    assert [d.frame_number for d in here.detections] == [0, 10, 20]
    assert [d.seq for d in here.detections] == [0, 1, 2]


async def test_stopping_says_offline_and_keeps_every_detection(
    settings: ClassifierSettings, head_pose_clip: Path
) -> None:
    boot = uuid4()
    jpeg = encoded(pictures(head_pose_clip, every=60)[0])
    async with world(settings, classifier=False) as here:
        service = asyncio.create_task(run(settings))
        await until_online(here, service)
        for number in range(5):
            await here.read_one(frame(jpeg, number=number, boot_id=boot))
        service.cancel()
        async with asyncio.timeout(STOPS_WITHIN_S):
            with pytest.raises(asyncio.CancelledError):
                await service
        await here.until(lambda: here.statuses[-1].state == "offline")
        first = {d.event_id for d in here.detections}
        again = asyncio.create_task(run(settings))
        await here.until(lambda: here.statuses[-1].state != "offline")
        await here.read_one(frame(jpeg, number=5, boot_id=boot))
        await here.until(lambda: len(here.detections) == 6)
        again.cancel()
        await asyncio.gather(again, return_exceptions=True)
    boots = {d.boot_id for d in here.detections}
    assert first <= {d.event_id for d in here.detections}
    assert len(boots) == 2, "after a restart of the classifier alone, numbers are counted under a new id"
    assert len({(d.boot_id, d.seq) for d in here.detections}) == 6


async def test_a_broker_that_dies_is_waited_for(
    settings: ClassifierSettings, own_mosquitto: Mosquitto, head_pose_clip: Path
) -> None:
    settings = settings.model_copy(update={"mqtt": own_mosquitto.settings})
    jpeg = encoded(pictures(head_pose_clip, every=60)[0])
    async with world(settings) as here:
        await here.read_one(frame(jpeg))
        await asyncio.to_thread(own_mosquitto.kill)
        await asyncio.to_thread(own_mosquitto.start)
        await here.link.connected.wait()
        before = len(here.statuses)
        await here.until(lambda: len(here.statuses) > before and here.statuses[-1].state != "offline")
        await here.read_one(frame(jpeg, number=1))


async def test_without_its_file_the_cascade_is_used_and_that_is_told(
    settings: ClassifierSettings, tmp_path: Path
) -> None:
    folder = tmp_path / "bare"
    folder.mkdir()
    settings = settings.model_copy(update={"models_dir": models_folder(folder, None)})
    async with world(settings) as here:
        status = here.statuses[-1]
    assert status.values["detector"] == "haar"
    assert status.state == "degraded"
    assert "emotion-edge models fetch" in status.problems[0].next_step


async def test_the_wanted_model_reads_on_and_one_that_does_not_fit_is_told_while_the_configured_one_reads(
    settings: ClassifierSettings, models_dir: Path, head_pose_clip: Path
) -> None:
    jpeg = encoded(pictures(head_pose_clip, every=60)[0])
    other = models_dir / "other"
    shutil.copytree(models_dir / settings.model, other)
    preset = json.loads((other / "preset.json").read_text())
    (other / "preset.json").write_text(json.dumps({**preset, "name": "other", "version": "9.9"}))
    broken = models_dir / "broken"
    shutil.copytree(other, broken)
    (broken / "model.tflite").write_bytes(b"not a model")
    async with world(settings) as here:

        def values(number: int = -1) -> dict[str, object]:
            return dict(here.statuses[number].values)

        def told(title: str) -> bool:
            return title in [problem.title for problem in here.statuses[-1].problems]

        await here.until(lambda: values().get("models") == "broken, other, slim_resnet")
        await here.desire(model="other")
        await here.until(lambda: values()["model_folder"] == "other")
        assert values()["model"] == "other 9.9"
        await here.read_one(frame(jpeg))
        await here.until(lambda: bool(here.detections))
        assert here.detections[-1].model.name == "other"
        for name in ("broken", "absent", ".."):
            await here.desire(model=name)
            await here.until(functools.partial(told, f"The model {name} cannot be used here"))
            status = here.statuses[-1]
            assert status.state == "degraded"
            assert "other" in status.problems[-1].next_step
            assert values()["model_folder"] == "slim_resnet"
        await here.desire()
        await here.until(lambda: here.statuses[-1].state == "online")
        await here.read_one(frame(jpeg, number=1))


async def test_a_broken_model_ends_the_service_with_one_clear_error(
    settings: ClassifierSettings, tmp_path: Path
) -> None:
    settings = settings.model_copy(update={"models_dir": tmp_path / "nowhere"})
    with pytest.raises(ModelError, match=r"preset\.json cannot be read"):
        await run(settings)


async def test_health_says_what_is_missing(settings: ClassifierSettings) -> None:
    port = free_port()
    nowhere = settings.mqtt.model_copy(update={"port": free_port()})
    service = asyncio.create_task(
        run(settings.model_copy(update={"health": HealthSettings(port=port), "mqtt": nowhere}))
    )
    async with (
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=WAIT_S) as client,
        asyncio.timeout(WAIT_S),
    ):
        while True:
            try:
                reply = await client.get("/readyz")
            except httpx.ConnectError:
                await asyncio.wait({service}, timeout=0.05)
                continue
            break
        assert reply.status_code == 503
        assert "broker" in reply.json()["missing"]
        assert "emotion_classifier_frames_superseded_total" in (await client.get("/metrics")).text
    service.cancel()
    with pytest.raises(asyncio.CancelledError):
        await service


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """The outbox's disk takes detections only while this is set."""
    works = asyncio.Event()
    put = Outbox.put_detection

    async def put_when_it_works(self: Outbox, event_id: UUID, payload: bytes) -> bool:
        await works.wait()
        return await put(self, event_id, payload)

    monkeypatch.setattr(Outbox, "put_detection", put_when_it_works)
    return works


async def kept_in(settings: ClassifierSettings) -> list[Detection]:
    async with open_outbox(settings.data_dir / OUTBOX_FILE, settings.outbox, Metrics("test")) as outbox:
        items = await outbox.after(Kind.DETECTION, 0, 1000, 10**9)
    return [messages.decode(Detection, "d", item.payload) for item in items]


async def test_a_slow_disk_holds_up_no_frame_and_stopping_waits_for_it(
    settings: ClassifierSettings, head_pose_clip: Path, disk: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.classifier.main._FLUSH_S", STOPS_WITHIN_S / 2)
    boot = uuid4()
    jpeg = encoded(pictures(head_pose_clip, every=60)[0])
    async with world(settings, classifier=False) as here:
        service = asyncio.create_task(run(settings))
        await until_online(here, service)
        for number in range(5):
            await here.read_one(frame(jpeg, number=number, boot_id=boot))
        service.cancel()
        asyncio.get_running_loop().call_later(0.2, disk.set)
        with pytest.raises(asyncio.CancelledError):
            await service
    assert [d.seq for d in await kept_in(settings)] == [0, 1, 2, 3, 4]


async def test_when_the_disk_does_not_follow_frames_are_superseded_and_memory_does_not_grow(
    settings: ClassifierSettings, disk: asyncio.Event
) -> None:
    boot = uuid4()
    empty = encoded(np.full((90, 160, 3), 90, np.uint8))
    async with world(settings.model_copy(update={"empty_interval_s": 0.0})) as here:
        for number in range(65):  # 64 that wait, and the one that is being written
            await here.read_one(frame(empty, number=number, boot_id=boot))
        for number in range(65, 68):
            await here.send(frame(empty, number=number, boot_id=boot))
        await here.until(lambda: here.statuses[-1].values["frames_superseded"] == 2)
        assert here.statuses[-1].values["frames_classified"] == 65
        disk.set()
        await here.until(lambda: len(here.lives) == 66)
        await here.until(lambda: here.statuses[-1].values["detections"] == 66)
    assert [d.seq for d in await kept_in(settings)] == list(range(66))


async def test_a_detection_names_no_picture_that_found_no_room(
    settings: ClassifierSettings, head_pose_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_room(self: Outbox, frame_id: UUID, payload: bytes) -> bool:
        return False

    monkeypatch.setattr(Outbox, "put_frame", no_room)
    rules = SamplingSettings(mode="on", low_confidence=1.0, min_interval_s=0.0)
    async with world(settings.model_copy(update={"sampling": rules})) as here:
        await here.read_one(frame(encoded(pictures(head_pose_clip, every=60)[0])))
        await here.until(lambda: len(here.detections) == 1)
    assert here.detections[0].frame_id is None


async def test_with_a_broker_in_the_cloud_it_gets_what_screens_and_ingest_need_and_the_camera_stays_at_home(
    settings: ClassifierSettings, own_mosquitto: Mosquitto, head_pose_clip: Path
) -> None:
    cloud_mqtt = own_mosquitto.settings.model_copy(update={"topic_prefix": "lab-net"})
    settings = settings.model_copy(update={"cloud": cloud_mqtt, "always_preview": True})
    jpeg = encoded(pictures(head_pose_clip, every=60)[0])
    async with (
        world(settings, classifier=False) as home,
        world(settings.model_copy(update={"mqtt": cloud_mqtt}), classifier=False) as cloud,
    ):
        service = asyncio.create_task(run(settings))
        await until_online(home, service)
        await cloud.until(lambda: bool(cloud.statuses))
        await home.read_one(frame(jpeg))
        topics = cloud.topics
        await cloud.until(lambda: all(cloud.seen[t] for t in (topics.live(DEVICE), topics.preview(DEVICE))))
        await cloud.until(lambda: len(cloud.detections) == 1)
        await cloud.desire(paused=True)
        await cloud.until(lambda: cloud.statuses[-1].state == "paused")
        service.cancel()
        with pytest.raises(asyncio.CancelledError):
            await service
        await cloud.until(lambda: cloud.statuses[-1].state == "offline")
        await home.until(lambda: home.statuses[-1].state == "offline")
    assert not cloud.seen[topics.camera(DEVICE)]
    assert not home.detections
