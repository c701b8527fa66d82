"""All work on one arriving frame, up to the bytes to send. Blocking; runs on the thread that the classifier owns."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal
from uuid import UUID

import cv2
from uuid_utils.compat import uuid7

from services.classifier.annotate import annotate
from services.classifier.boots import Boots, OldBoot
from services.classifier.emotion import EmotionModel
from services.classifier.faces import Bgr
from services.classifier.legacy import legacy_image, legacy_json
from services.classifier.memory import Memory
from services.classifier.pipeline import FramePipeline, decode
from services.classifier.sampling import EmptyFrames, FrameSampler
from services.classifier.scene import Scene, SceneReader
from services.classifier.settings import SamplingSettings
from shared import jpeg as jpegs
from shared import messages
from shared.errors import BadMessage, BadPicture, EmotionEdgeError
from shared.messages import Detection, FrameInfo, Live, ModelRef

RejectReason = Literal["picture", "comment", "device", "clock", "boot"]
_LEGACY_QUALITY: Final = 90
_FIRST_MOMENT: Final = datetime(2000, 1, 1, tzinfo=UTC)
_LAST_MOMENT: Final = datetime(2101, 1, 1, tzinfo=UTC)
"""What a detection can carry."""


class RejectedFrame(EmotionEdgeError):
    """A frame that cannot be used. `reason` is its kind, for counting; the text says what is wrong."""

    def __init__(self, reason: RejectReason, text: str) -> None:
        self.reason: RejectReason = reason
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A frame as it came from the broker."""

    topic: str
    device: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is wanted of a frame besides its reading."""

    rules: SamplingSettings
    preview_quality: int | None = None
    """None: no preview of this frame."""
    preview_clean: bool = False
    """Without boxes and words."""
    legacy: bool = False
    fps: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a frame led to. Payloads are ready to send; None where there is nothing to send."""

    faces: int
    live: bytes
    stages_ms: dict[str, float]
    detection: Detection | None = None
    kept: bytes | None = None
    preview: bytes | None = None
    legacy_json: bytes | None = None
    legacy_image: bytes | None = None


class FrameWork:
    """The classifier's state from frame to frame. Made and used on one thread."""

    def __init__(
        self,
        pipeline: FramePipeline,
        data_dir: Path,
        *,
        empty_interval_s: float,
        utc_now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._pipeline = pipeline
        self._memory = Memory(data_dir)
        self._boots = Boots(self._memory.capture_boot)
        self._empty_interval = empty_interval_s
        self._utc_now = utc_now
        self._begin_boot(FrameSampler(self._memory.kept))

    @property
    def model(self) -> ModelRef:
        """Which model reads the faces."""
        return self._pipeline.model.ref

    def use(self, model: EmotionModel) -> None:
        """Read the faces of the next frames with `model`, which was made on this thread."""
        self._pipeline.model = model

    def _begin_boot(self, sampler: FrameSampler) -> None:
        self._scene = SceneReader()
        self._sampler = sampler
        self._empty = EmptyFrames(self._empty_interval)
        self._seq = 0

    def process(self, arrival: Arrival, wishes: Wishes) -> Outcome:
        """Read one frame.

        Raises:
            RejectedFrame: the frame cannot be used; nothing was changed by it.
        """
        began = time.perf_counter()
        started = self._utc_now()
        info = _info(arrival)
        try:
            bgr = decode(arrival.payload)
            decoded = time.perf_counter()
            reading = self._pipeline.read(bgr)
        except BadPicture as error:
            raise RejectedFrame("picture", str(error)) from None
        boot_id = self._enter(info)
        scene = self._scene.read(reading, info.captured_at)
        stages = {
            "queue": _milliseconds(started - info.captured_at),
            "decode": 1000 * (decoded - began),
            **reading.timings_ms,
        }
        stages["total"] = _milliseconds(self._utc_now() - info.captured_at)
        detection, frame_id = self._detection(info, boot_id, reading.size, scene, stages, wishes)
        recorded = self._empty.record(has_faces=bool(scene.faces), now=scene.now)
        if recorded:
            self._seq += 1
        comment = info.model_copy(
            update={"boot_id": boot_id, "event_id": detection.event_id, "frame_id": None, "drawn": False}
        )
        preview = annotated = None
        if wishes.legacy or (wishes.preview_quality is not None and not wishes.preview_clean):
            quality = _LEGACY_QUALITY if wishes.preview_quality is None else wishes.preview_quality
            annotated = _encoded(annotate(bgr, scene.live), quality, comment.model_copy(update={"drawn": True}))
        if wishes.preview_quality is not None:
            preview = _encoded(bgr, wishes.preview_quality, comment) if wishes.preview_clean else annotated
        return Outcome(
            faces=len(scene.faces),
            live=self._live(info, boot_id, reading.size, scene, stages["total"], wishes),
            stages_ms=stages,
            detection=detection if recorded else None,
            kept=_kept(arrival.payload, info, boot_id, detection) if frame_id is not None else None,
            preview=preview,
            legacy_json=legacy_json(detection) if wishes.legacy else None,
            legacy_image=legacy_image(annotated) if wishes.legacy and annotated is not None else None,
        )

    def _enter(self, info: FrameInfo) -> UUID:
        try:
            boot_id, anew = self._boots.enter(info.boot_id)
        except OldBoot:
            raise RejectedFrame(
                "boot",
                f"frame {info.frame_number} is of an earlier start of capture; if this goes on, two captures send as "
                f"device {info.device!r}: give each its own name",
            ) from None
        if anew:
            kept = self._sampler.kept
            self._begin_boot(FrameSampler(kept))
            self._memory.save(self._boots.capture, kept)
        return boot_id

    def _detection(
        self,
        info: FrameInfo,
        boot_id: UUID,
        size: tuple[int, int],
        scene: Scene,
        stages: dict[str, float],
        wishes: Wishes,
    ) -> tuple[Detection, UUID | None]:
        why = self._sampler.decide(wishes.rules, scene.faces, scene.now, info.captured_at)
        frame_id: UUID | None = None
        if why is not None:
            frame_id = uuid7()
            self._memory.save(self._boots.capture, self._sampler.kept)
        detection = Detection(
            event_id=uuid7(),
            device=info.device,
            boot_id=boot_id,
            seq=self._seq,
            captured_at=info.captured_at,
            source=info.source,
            frame_number=info.frame_number,
            frame_id=frame_id,
            frame_size=size,
            model=self.model,
            faces=scene.faces,
            latency_ms={stage: round(value, 2) for stage, value in stages.items()},
        )
        return detection, frame_id

    def _live(
        self, info: FrameInfo, boot_id: UUID, size: tuple[int, int], scene: Scene, latency_ms: float, wishes: Wishes
    ) -> bytes:
        return Live(
            device=info.device,
            captured_at=info.captured_at,
            boot_id=boot_id,
            source=info.source,
            frame_number=info.frame_number,
            frame_size=size,
            faces=scene.live,
            recording=wishes.rules.mode == "on",
            fps=round(wishes.fps, 1),
            latency_ms=round(latency_ms, 2),
        ).to_json()


def _milliseconds(time: timedelta) -> float:
    """As a message can carry it: a clock that was set while a frame waited makes any number of it, for years."""
    return min(messages.MOST_READING, max(0.0, 1000 * time.total_seconds()))


def _encoded(bgr: Bgr, quality: int, comment: FrameInfo) -> bytes:
    done, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise RejectedFrame("picture", f"picture of {bgr.shape[1]}x{bgr.shape[0]} cannot be written as JPEG")
    data: Any = encoded
    return jpegs.with_comment(data.tobytes(), comment.to_json())


def _info(arrival: Arrival) -> FrameInfo:
    try:
        comment = jpegs.read_comment(arrival.payload)
    except BadPicture as error:
        raise RejectedFrame("picture", str(error)) from None
    if comment is None:
        raise RejectedFrame(
            "comment",
            "the picture has no comment that says where it came from; expected frames of `emotion-edge capture`",
        )
    try:
        info = messages.decode(FrameInfo, arrival.topic, comment)
    except BadMessage as error:
        reason: RejectReason = "clock" if error.field == "captured_at" else "comment"
        raise RejectedFrame(reason, f"the picture's comment does not keep the contract: {error}") from None
    if info.device != arrival.device:
        raise RejectedFrame(
            "device",
            f"the picture says it is of device {info.device!r}, but it came on the topic of {arrival.device!r}",
        )
    if not _FIRST_MOMENT <= info.captured_at < _LAST_MOMENT:
        raise RejectedFrame(
            "clock",
            f"the picture says it was captured at {info.captured_at.isoformat()}; expected a time from 2000 to 2100: "
            "set the clock of the device that captures",
        )
    return info


def _kept(payload: bytes, info: FrameInfo, boot_id: UUID, detection: Detection) -> bytes:
    """The clean picture as it came, its pixels untouched, with the ids that lead to its detection."""
    stored = info.model_copy(
        update={"boot_id": boot_id, "event_id": detection.event_id, "frame_id": detection.frame_id, "drawn": None}
    )
    return jpegs.with_comment(payload, stored.to_json())
