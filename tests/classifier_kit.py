"""What tests of the classifier share: a models folder, frames as capture makes them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import cv2
import numpy as np

from services.classifier.faces import Bgr
from services.classifier.yunet_file import YUNET_PATH
from shared.jpeg import with_comment
from shared.messages import Emotions, Face, FrameInfo, Quality, Region, Shown, Source
from shared.preset import DEFAULT_MODEL
from tests.conftest import ROOT

T0 = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
GOOD = Quality(size_px=90, blur=40.0, brightness=110.0, yaw=0.0, ok=True)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def models_folder(folder: Path, yunet_file: Path | None) -> Path:
    """A models folder with this repository's model, and YuNet's file unless it is None."""
    (folder / DEFAULT_MODEL).symlink_to(ROOT / "models" / DEFAULT_MODEL)
    if yunet_file is not None:
        (folder / YUNET_PATH).parent.mkdir()
        (folder / YUNET_PATH).symlink_to(yunet_file)
    return folder


def pictures(clip: Path, size: tuple[int, int] = (640, 360), every: int = 1) -> list[Bgr]:
    """The clip's frames, scaled."""
    capture = cv2.VideoCapture(str(clip))
    found: list[Bgr] = []
    number = 0
    while True:
        more, picture = capture.read()
        if not more:
            capture.release()
            assert found, clip
            return found
        if number % every == 0:
            found.append(np.asarray(cv2.resize(picture, size), np.uint8))
        number += 1


def encoded(picture: Bgr) -> bytes:
    done, data = cv2.imencode(".jpg", picture)
    assert done
    out: Any = data
    return bytes(out.tobytes())


def frame(
    jpeg: bytes,
    *,
    number: int = 0,
    device: str = "lab",
    boot_id: UUID | None = None,
    captured_at: datetime | None = None,
) -> bytes:
    """A camera frame as capture publishes it."""
    info = FrameInfo(
        device=device,
        boot_id=boot_id or uuid4(),
        frame_number=number,
        captured_at=captured_at or datetime.now(UTC),
        source=Source(kind="file", name="clip.gif"),
    )
    return with_comment(jpeg, info.to_json())


def face(
    track_id: int = 1,
    *,
    state: str = "happy",
    confidence: float = 0.9,
    quality: Quality = GOOD,
    region: Region | None = None,
) -> Face:
    """A face that is read as happy with `confidence` and shown as `state`."""
    rest = round((1 - confidence) / 6, 6)
    values = dict.fromkeys(("angry", "disgust", "fear", "sad", "surprise", "neutral"), rest)
    return Face(
        track_id=track_id,
        region=region or Region(x=10, y=20, w=90, h=100),
        face_confidence=0.9,
        emotion=Emotions(happy=confidence, **values),
        dominant_emotion="happy",
        confidence=confidence,
        shown=Shown.model_validate({"state": state, "since": T0}),
        quality=quality,
    )
