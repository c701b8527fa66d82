"""The classifier: newest camera frame in; detections, live state and preview out. Composition root."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, get_args

from services.classifier.detector import open_detector
from services.classifier.emotion import EmotionModel
from services.classifier.frame_work import Arrival, FrameWork, Outcome, RejectedFrame, RejectReason, Wishes
from services.classifier.model_choice import ModelChoice
from services.classifier.outbox import Outbox, open_outbox
from services.classifier.pipeline import FramePipeline
from services.classifier.relay import Relay, UplinkStatus, uplink_will
from services.classifier.sampling import effective
from services.classifier.settings import ClassifierSettings, SamplingSettings
from services.classifier.stats import Latencies, Pace, Rate
from services.classifier.temperature import ZONES, hottest_c
from services.classifier.uplink import Uplink
from shared import logs, messages
from shared.errors import BadMessage
from shared.health import serve_health
from shared.messages import Desired, Detection, Problem, Status, StatusValue
from shared.metrics import Metrics
from shared.mqtt import MqttLink, NotConnected, Will
from shared.mqtt_metrics import measure_links
from shared.owned_thread import OwnedThread, owned_thread
from shared.settings import MqttSettings
from shared.slots import Newest, wait_at_most
from shared.topics import LEGACY_IMAGE, LEGACY_JSON

SERVICE: Final = "classifier"
OUTBOX_FILE: Final = "outbox.sqlite3"
_WRITES_WAITING: Final = 64
"""Detections made and not yet durable; when so many wait, frames are left to be superseded until the disk follows."""
_LAST_WORDS_S: Final = 1.5
_FLUSH_S: Final = 3.0
_TOLD_FOR_S: Final = 30.0
"""A rejected frame is named in the status for so long."""
_LOG_EVERY_S: Final = 10.0

log = logs.get(__name__)


def offline_status(device: str) -> Status:
    """The last will."""
    return Status(device=device, service=SERVICE, state="offline", at=datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class _Write:
    """A detection on its way to the outbox, and its picture where one is kept."""

    detection: Detection
    kept: bytes | None


class _Meters:
    """The service's metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self.classified = metrics.counter("frames_classified", "Frames read.")
        self.superseded = metrics.counter("frames_superseded", "Frames dropped because a newer one was there.")
        self.rejected = metrics.counter("frames_rejected", "Frames that could not be used.", ["reason"])
        self.paused = metrics.counter("frames_paused", "Frames left unread while paused.")
        self.faces = metrics.counter("faces", "Faces read.")
        self.detections = metrics.counter("detections", "Detections handed to the outbox and durable.")
        self.kept = metrics.counter("frames_kept", "Pictures handed to the outbox and durable.")
        self.not_published = metrics.counter("not_published", "Messages for screens that the broker did not take.")
        self.bad_messages = metrics.counter("bad_messages", "Messages that do not keep the contract.")
        self.stage = metrics.seconds("stage", "Time by stage of a frame.", ["stage"])
        for reason in get_args(RejectReason):
            self.rejected.labels(reason)


class Classifier:
    """The service between its links, its thread and its outbox. Lives on one event loop."""

    def __init__(
        self,
        settings: ClassifierSettings,
        metrics: Metrics,
        thread: OwnedThread,
        work: FrameWork,
        outbox: Outbox,
        link: MqttLink,
        uplink: Uplink,
        *,
        detector: str,
        problems: tuple[Problem, ...] = (),
    ) -> None:
        self._settings = settings
        self._topics = settings.mqtt.topics
        self._meters = _Meters(metrics)
        self._thread = thread
        self._work = work
        self._outbox = outbox
        self._link = link
        self._uplink = uplink
        self._detector = detector
        self._lasting_problems = problems
        self._frames: Newest[Arrival] = Newest(1)
        self._writes: asyncio.Queue[_Write] = asyncio.Queue()
        self._room = asyncio.Event()
        self._room.set()
        self._desired: Desired | None = None
        self._tell = asyncio.Event()
        self.model = ModelChoice(settings.models_dir, settings.model, thread, work.use, self._tell.set)
        self._rate = Rate()
        self._latencies = Latencies()
        self._temperature_c: float | None = None
        self._counts = dict.fromkeys(("classified", "rejected", "paused", "faces", "detections", "kept"), 0)
        self._rejection: tuple[float, Problem] | None = None
        self._last_logged = float("-inf")
        self._preview_pace = Pace(settings.preview.max_fps)
        link.subscribe(self._topics.camera(settings.device), self._on_frame)
        link.subscribe(self._topics.desired(settings.device), self._on_desired, qos=1)
        link.on_connect(self._tell.set)

    # --- what arrives ---------------------------------------------------------------------------------------------

    def _on_frame(self, topic: str, payload: bytes) -> None:
        if self.paused:
            self._meters.paused.inc()
            self._counts["paused"] += 1
            return
        before = self._frames.dropped
        self._frames.put(Arrival(topic, self._settings.device, payload))
        self._meters.superseded.inc(self._frames.dropped - before)

    def _on_desired(self, topic: str, payload: bytes) -> None:
        if not payload:  # a retained message that was cleared
            self._desired = None
            self.model.wish(None)
            self._tell.set()
            return
        try:
            desired = _desired_of(topic, payload, self._settings.device)
        except BadMessage as error:
            self._meters.bad_messages.inc()
            log.warning("message refused", error=str(error))
            return
        before, self._desired = self._desired, desired
        self.model.wish(desired.model)
        if before is None or (before.paused, before.sampling) != (desired.paused, desired.sampling):
            log.info("desired state", paused=desired.paused, sampling=desired.sampling and desired.sampling.mode)
            self._tell.set()

    @property
    def paused(self) -> bool:
        return self._desired is not None and bool(self._desired.paused)

    def _wishes(self, now: float) -> Wishes:
        desired = self._desired
        watched = self._settings.always_preview or (
            desired is not None and desired.watch_until is not None and desired.watch_until > datetime.now(UTC)
        )
        fps = None if desired is None or self._settings.always_preview else desired.preview_fps
        due = watched and self._preview_pace.due(now, fps)
        return Wishes(
            rules=self._rules,
            preview_quality=self._settings.preview.jpeg_quality if due else None,
            # Where previews are always made, others than the page look at them.
            preview_clean=desired is not None and bool(desired.preview_clean) and not self._settings.always_preview,
            legacy=self._settings.legacy_topics,
            fps=self._rate.per_second(now),
        )

    # --- the frame loop -------------------------------------------------------------------------------------------

    async def read_frames(self) -> None:
        """Read the newest frame, again and again, until cancelled. A frame that is being read is finished first."""
        while True:
            await self._room.wait()
            arrival = await self._frames.get()
            working = self._thread.submit(self._work.process, arrival, self._wishes(time.monotonic()))
            try:
                outcome = await asyncio.shield(working)
            except asyncio.CancelledError:
                with contextlib.suppress(RejectedFrame):
                    self._note(await working)
                raise
            except RejectedFrame as error:
                self._note_rejected(error)
                continue
            self._note(outcome)
            await self._publish(outcome)

    def _note(self, outcome: Outcome) -> None:
        now = time.monotonic()
        self._rate.add(now)
        self._latencies.add(outcome.stages_ms["total"])
        self._meters.classified.inc()
        self._meters.faces.inc(outcome.faces)
        self._counts["classified"] += 1
        self._counts["faces"] += outcome.faces
        for stage, milliseconds in outcome.stages_ms.items():
            self._meters.stage.labels(stage).observe(milliseconds / 1000)
        if self._counts["classified"] == 1:
            self._tell.set()
        if outcome.detection is not None:
            self._writes.put_nowait(_Write(outcome.detection, outcome.kept))
            if self._writes.qsize() >= _WRITES_WAITING:
                self._room.clear()

    def _note_rejected(self, error: RejectedFrame) -> None:
        now = time.monotonic()
        self._meters.rejected.labels(error.reason).inc()
        self._counts["rejected"] += 1
        if now - self._last_logged >= _LOG_EVERY_S:
            self._last_logged = now
            log.warning("frame refused", reason=error.reason, error=str(error), so_far=self._counts["rejected"])
        if self._rejection is None:
            self._tell.set()
        problem = Problem(
            title="Some camera frames cannot be used",
            cause=str(error)[:512],
            next_step="Check the camera and the capture service of this device; other frames are read as usual.",
        )
        self._rejection = (now, problem)

    async def _publish(self, outcome: Outcome) -> None:
        device, topics = self._settings.device, self._topics
        for topic, payload in (
            (topics.live(device), outcome.live),
            (topics.preview(device), outcome.preview),
            (LEGACY_JSON, outcome.legacy_json),
            (LEGACY_IMAGE, outcome.legacy_image),
        ):
            if payload is None:
                continue
            try:
                await self._link.publish(topic, payload)
            except NotConnected:
                self._meters.not_published.inc()

    # --- to the outbox --------------------------------------------------------------------------------------------

    async def write_detections(self) -> None:
        """Put detections into the outbox, in order, until cancelled; one that is being written is finished first."""
        while True:
            write = await self._writes.get()
            writing = asyncio.ensure_future(self._write(write))
            try:
                await asyncio.shield(writing)
            except asyncio.CancelledError:
                await writing
                raise
            if self._writes.qsize() < _WRITES_WAITING // 2:
                self._room.set()

    async def _write(self, write: _Write) -> None:
        detection = write.detection
        if write.kept is not None and detection.frame_id is not None:
            if await self._outbox.put_frame(detection.frame_id, write.kept):
                self._meters.kept.inc()
                self._counts["kept"] += 1
            else:
                detection = detection.model_copy(update={"frame_id": None})
        if await self._outbox.put_detection(detection.event_id, detection.to_json()):
            self._meters.detections.inc()
            self._counts["detections"] += 1

    # --- how it is ------------------------------------------------------------------------------------------------

    async def tell_status(self) -> None:
        """Publish the status at each change and every few seconds, until cancelled."""
        while True:
            self._tell.clear()
            self._temperature_c = await asyncio.to_thread(hottest_c, ZONES)
            await self._say(self.status())
            await wait_at_most(self._tell, self._settings.status_interval_s)

    async def _say(self, status: Status) -> None:
        try:
            await self._link.publish(
                self._topics.status(self._settings.device, SERVICE), status.to_json(), qos=1, retain=True
            )
        except NotConnected as error:
            log.debug("status not published", error=str(error))

    def status(self) -> Status:
        """How the service is now."""
        now = time.monotonic()
        problems = self._problems(now)
        depth = self._outbox.depth()
        rules = self._rules
        values: dict[str, StatusValue] = {
            "fps": round(self._rate.per_second(now), 1),
            "latency_p50_ms": _rounded(self._latencies.percentile(0.5)),
            "latency_p95_ms": _rounded(self._latencies.percentile(0.95)),
            "temperature_c": _rounded(self._temperature_c),
            "frames_classified": self._counts["classified"],
            "frames_superseded": self._frames.dropped,
            "frames_rejected": self._counts["rejected"],
            "frames_paused": self._counts["paused"],
            "frames_kept": self._counts["kept"],
            "faces": self._counts["faces"],
            "detections": self._counts["detections"],
            "outbox_depth": depth.detections + depth.frames,
            "outbox_bytes": depth.bytes,
            "outbox_dropped": self._outbox.dropped_detections + self._outbox.dropped_frames,
            "detector": self._detector,
            "model": f"{self._work.model.name} {self._work.model.version}",
            **self.model.status_values(),
            "sampling": rules.mode,
            "sampling_every_s": rules.every_s,
            "sampling_daily_cap": rules.daily_cap,
            "recording": self.recording,
            **self._uplink.status_values(),
        }
        return Status(
            device=self._settings.device,
            service=SERVICE,
            state=self._state(problems),
            at=datetime.now(UTC),
            problems=problems,
            values=values,
        )

    def _state(self, problems: tuple[Problem, ...]) -> Literal["paused", "degraded", "online"]:
        if self.paused:
            return "paused"
        return "degraded" if problems else "online"

    @property
    def recording(self) -> bool:
        """Whether pictures are being stored."""
        return not self.paused and self._rules.mode == "on"

    @property
    def _rules(self) -> SamplingSettings:
        """Which frames are kept as pictures now."""
        return effective(self._settings.sampling, self._desired.sampling if self._desired is not None else None)

    def _problems(self, now: float) -> tuple[Problem, ...]:
        problems = [*self._lasting_problems, *self._uplink.problems()]
        if self.model.problem is not None:
            problems.append(self.model.problem)
        if self._rejection is not None:
            when, problem = self._rejection
            if now - when <= _TOLD_FOR_S:
                problems.append(problem)
            else:
                self._rejection = None
        return tuple(problems)

    def readiness(self) -> dict[str, str]:
        """What keeps it from working now."""
        missing = {}
        if not self._link.connected.is_set():
            missing["broker"] = f"no connection to {self._link.address}: {self._link.last_error}"
        if self._outbox.problem is not None:
            missing["outbox"] = self._outbox.problem
        refusal = self._uplink.refusal()
        if refusal is not None:
            missing["cloud"] = refusal
        return missing

    async def finish(self) -> None:
        """Flush what was made to the outbox."""
        try:
            async with asyncio.timeout(_FLUSH_S):
                while not self._writes.empty():
                    await self._write(self._writes.get_nowait())
        except TimeoutError:
            log.critical("stopped before the disk took all detections", lost=self._writes.qsize() + 1)


def _desired_of(topic: str, payload: bytes, device: str) -> Desired:
    desired = messages.decode(Desired, topic, payload)
    if desired.device != device:
        raise BadMessage(topic, "device", f"{desired.device!r} is not this device, {device!r}")
    return desired


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


async def run(settings: ClassifierSettings) -> None:
    """Classify until cancelled; what was made is durable when it returns.

    Raises:
        ModelError: the model folder or the face detector that was asked for cannot be used.
        SettingsError: a setting, the outbox's file or the health port cannot be used.
    """
    metrics = Metrics(SERVICE)
    device = settings.device
    async with AsyncExitStack() as stack:
        thread = await stack.enter_async_context(owned_thread(SERVICE))
        work, detector, problems = await thread.submit(_open_work, settings)
        outbox = await stack.enter_async_context(open_outbox(settings.data_dir / OUTBOX_FILE, settings.outbox, metrics))
        link = MqttLink(settings.mqtt, will=_will(settings.mqtt, device))
        brokers = [(link, settings.mqtt)]
        between: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {}
        if settings.cloud is None:
            uplink = Uplink(settings.uplink, outbox, link, settings.mqtt.topics, device, metrics)
        else:
            topics = settings.cloud.topics
            cloud = MqttLink(settings.cloud, will=uplink_will(topics, device))
            uplink = Uplink(settings.uplink, outbox, cloud, topics, device, metrics)
            relay = Relay(link, cloud, settings.mqtt.topics, topics, device, metrics)
            uplink_status = UplinkStatus(uplink, cloud, topics, device, relay.status_values)
            brokers.append((cloud, settings.cloud))
            between = {"relay": relay.run, "uplink status": uplink_status.run}
        measure_links(metrics, dict(zip(("edge", "cloud"), (each for each, _ in brokers), strict=False)))
        service = Classifier(
            settings,
            metrics,
            thread,
            work,
            outbox,
            link,
            uplink,
            detector=detector,
            problems=problems,
        )
        log.info("classifier ready", device=device, detector=detector, model=work.model.name, broker=link.address)
        # Two floors: the links stay until the work above them has said its last words.
        async with asyncio.TaskGroup() as connections:
            connecting = [connections.create_task(each.run(), name=f"broker {each.address}") for each, _ in brokers]
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(service.read_frames(), name="frames")
                    tasks.create_task(service.write_detections(), name="writes")
                    tasks.create_task(service.tell_status(), name="status")
                    tasks.create_task(service.model.run(), name="model")
                    tasks.create_task(uplink.run(), name="uplink")
                    tasks.create_task(serve_health(settings.health, metrics, service.readiness), name="health")
                    for name, function in between.items():
                        tasks.create_task(function(), name=name)
            finally:
                await service.finish()
                await asyncio.gather(*(_say_offline(each, _will(mqtt, device)) for each, mqtt in brokers))
                for task in connecting:
                    task.cancel()


def _will(mqtt: MqttSettings, device: str) -> Will:
    return Will(mqtt.topics.status(device, SERVICE), offline_status(device).to_json())


async def _say_offline(link: MqttLink, will: Will) -> None:
    """Say goodbye, if the broker is there: after an orderly end it does not publish the last will."""
    with contextlib.suppress(TimeoutError, NotConnected):
        async with asyncio.timeout(_LAST_WORDS_S):
            await link.publish(will.topic, will.payload, qos=1, retain=True)


def _open_work(settings: ClassifierSettings) -> tuple[FrameWork, str, tuple[Problem, ...]]:
    model = EmotionModel(settings.models_dir / settings.model)
    detector, problem = open_detector(
        settings.detector, settings.models_dir, score=settings.detector_score, max_side=settings.detector_max_side
    )
    work = FrameWork(FramePipeline(detector, model), settings.data_dir, empty_interval_s=settings.empty_interval_s)
    return work, detector.name, () if problem is None else (problem,)
