"""Pure: from single readings to people over time: tracks, steadied words, messages."""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from services.classifier.faces import FaceBox, Reading
from services.classifier.stabiliser import Stabiliser
from services.classifier.tracker import Tracker
from shared.messages import Emotions, Face, LiveFace, Region

_FARTHEST: Final = 32767


class SceneClock:
    """Seconds since the first frame by the frames' own times; stands still where the device's clock jumps back."""

    def __init__(self) -> None:
        self._last: datetime | None = None
        self._seconds = 0.0

    def advance(self, moment: datetime) -> float:
        if self._last is not None:
            self._seconds += max(0.0, (moment - self._last).total_seconds())
        self._last = moment
        return self._seconds


@dataclass(frozen=True, slots=True)
class Scene:
    """The faces after one frame: as they were read (`faces`) and as a screen shows them (`live`), in one order.

    `now` is the scene's own time in seconds, which never goes back.
    """

    faces: tuple[Face, ...]
    live: tuple[LiveFace, ...]
    now: float


class SceneReader:
    """The people of one boot. Feed it the readings of its frames in their order."""

    def __init__(self) -> None:
        self._clock = SceneClock()
        self._tracker = Tracker()
        self._stabiliser = Stabiliser()

    def read(self, reading: Reading, captured_at: datetime) -> Scene:
        """Continue with one frame."""
        now = self._clock.advance(captured_at)
        ids = self._tracker.update([face.found.box for face in reading.faces], now, [f.look for f in reading.faces])
        faces: list[Face] = []
        live: list[LiveFace] = []
        for track_id, read in zip(ids, reading.faces, strict=True):
            shown = self._stabiliser.update(track_id, read.probabilities, now, captured_at, readable=read.quality.ok)
            region = region_of(read.found)
            emotion = emotions_of(read.probabilities)
            dominant = emotion.dominant()
            faces.append(
                Face(
                    track_id=track_id,
                    region=region,
                    face_confidence=round(read.found.score, 4),
                    emotion=emotion,
                    dominant_emotion=dominant,
                    confidence=getattr(emotion, dominant),
                    shown=shown,
                    quality=read.quality,
                )
            )
            live.append(
                LiveFace(
                    track_id=track_id,
                    region=region,
                    emotion=emotions_of(self._stabiliser.mean(track_id)),
                    shown=shown,
                    quality=read.quality,
                )
            )
        self._stabiliser.keep_only(self._tracker.active_ids)
        return Scene(tuple(faces), tuple(live), now)


def region_of(face: FaceBox) -> Region:
    """The box in whole pixels: all that it touches, as far as a region can say."""
    x, y = (max(-_FARTHEST, min(_FARTHEST - 1, math.floor(v))) for v in (face.x, face.y))
    w, h = math.ceil(face.x + face.w) - x, math.ceil(face.y + face.h) - y
    return Region(x=x, y=y, w=max(1, min(_FARTHEST, w)), h=max(1, min(_FARTHEST, h)))


def emotions_of(probabilities: npt.NDArray[np.float64]) -> Emotions:
    """Probabilities (7,) as a message, to five decimals."""
    angry, disgust, fear, happy, sad, surprise, neutral = (round(float(p), 5) for p in probabilities)
    return Emotions(angry=angry, disgust=disgust, fear=fear, happy=happy, sad=sad, surprise=surprise, neutral=neutral)
