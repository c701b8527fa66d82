"""Messages of the contract, made up for tests."""

from datetime import UTC, datetime
from uuid import UUID

import cv2
import numpy as np
import uuid_utils

from shared.emotions import EMOTIONS, Emotion
from shared.jpeg import with_comment
from shared.messages import (
    Detection,
    Emotions,
    Face,
    FrameInfo,
    Live,
    LiveFace,
    ModelRef,
    Problem,
    Quality,
    Region,
    Shown,
    Source,
    Status,
)

BOOT = UUID("01900000-0000-7000-8000-000000000001")
SOURCE = Source(kind="sample", name="sample")


def new_id() -> UUID:
    return UUID(str(uuid_utils.uuid7()))


def emotions(dominant: Emotion, probability: float) -> Emotions:
    """`probability` for one, the rest shared by the others."""
    rest = (1.0 - probability) / (len(EMOTIONS) - 1)
    return Emotions(**{name: probability if name == dominant else rest for name in EMOTIONS})


GOOD = Quality(size_px=120, blur=300.0, brightness=128.0, yaw=3.0, ok=True)
SMALL_AND_DARK = Quality(size_px=30, blur=200.0, brightness=20.0, ok=False, reasons=("small", "dark"))


def live_face(track_id: int = 1, state: Emotion = "happy", probability: float = 0.84, *, x: int = 200) -> LiveFace:
    return LiveFace(
        track_id=track_id,
        region=Region(x=x, y=80, w=120, h=128),
        emotion=emotions(state, probability),
        shown=Shown(state=state, since=datetime.now(UTC)),
        quality=GOOD,
    )


def unsure_face(track_id: int = 2) -> LiveFace:
    return LiveFace(
        track_id=track_id,
        region=Region(x=400, y=60, w=30, h=32),
        emotion=emotions("neutral", 0.3),
        shown=Shown(state="unsure", since=datetime.now(UTC)),
        quality=SMALL_AND_DARK,
    )


def live(device: str = "camera-1", *faces: LiveFace, number: int = 1, recording: bool = False) -> Live:
    return Live(
        device=device,
        captured_at=datetime.now(UTC),
        boot_id=BOOT,
        source=SOURCE,
        frame_number=number,
        frame_size=(640, 360),
        faces=faces,
        recording=recording,
        fps=14.9,
        latency_ms=41.3,
    )


def face(track_id: int = 1, dominant: Emotion = "happy", confidence: float = 0.84) -> Face:
    return Face(
        track_id=track_id,
        region=Region(x=200, y=80, w=120, h=128),
        face_confidence=0.97,
        emotion=emotions(dominant, confidence),
        dominant_emotion=dominant,
        confidence=confidence,
        shown=Shown(state=dominant, since=datetime(2026, 3, 1, tzinfo=UTC)),
        quality=GOOD,
    )


def detection(
    device: str = "camera-1",
    *faces: Face,
    captured_at: datetime | None = None,
    seq: int = 0,
    event_id: UUID | None = None,
    frame_id: UUID | None = None,
) -> Detection:
    return Detection(
        event_id=event_id or new_id(),
        device=device,
        boot_id=BOOT,
        seq=seq,
        captured_at=captured_at or datetime.now(UTC),
        source=SOURCE,
        frame_number=seq,
        frame_id=frame_id,
        frame_size=(640, 360),
        model=ModelRef(name="slim_resnet", version="1.0.0"),
        faces=faces,
        latency_ms={"detect": 7.5, "total": 20.25},
    )


READINGS = {
    "frames_classified": 1234,
    "detections": 1234,
    "frames_superseded": 3,
    "outbox_depth": 12,
    "recording": False,
}


def status(device: str = "camera-1", service: str = "classifier", state: str = "online", *problems: Problem) -> Status:
    return Status.model_validate(
        {
            "device": device,
            "service": service,
            "state": state,
            "at": datetime.now(UTC),
            "problems": problems,
            "values": READINGS if service == "classifier" else {"fps": 15.0, "source": "sample"},
        }
    )


def picture(
    width: int = 640,
    height: int = 360,
    device: str | None = None,
    box_x: int = 200,
    *,
    number: int = 1,
    drawn: bool | None = None,
) -> bytes:
    """A JPEG with a box, and what belongs to it where a device is named."""
    image = np.full((height, width, 3), (150, 140, 120), np.uint8)
    cv2.rectangle(image, (0, height // 2), (width, height), (110, 120, 130), -1)
    cv2.circle(image, (box_x + 60, 144), 55, (170, 190, 225), -1)
    cv2.rectangle(image, (box_x, 80), (box_x + 120, 208), (255, 255, 255), 2)
    cv2.putText(image, "looks happy", (box_x, 72), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 2)
    done, encoded = cv2.imencode(".jpg", image)
    assert done
    jpeg = encoded.tobytes()
    if device is None:
        return jpeg
    info = FrameInfo(
        device=device,
        boot_id=BOOT,
        frame_number=number,
        captured_at=datetime.now(UTC),
        source=SOURCE,
        drawn=drawn,
    )
    return with_comment(jpeg, info.to_json())
