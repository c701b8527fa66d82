"""What a detector is, what it finds, and what was read of one frame."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from shared.messages import Quality
from shared.vision import Box

Bgr = npt.NDArray[np.uint8]
"""A picture (H, W, 3), blue first, as OpenCV decodes it."""


@dataclass(frozen=True, slots=True)
class FaceBox:
    """A found face: upper left corner and size in pixels of the frame, score 0-1.

    `landmarks` (5, 2) in pixels: the eye on the picture's left, the other eye, nose tip, the mouth corner on the
    picture's left, the other corner; None where the detector gives none.
    """

    x: float
    y: float
    w: float
    h: float
    score: float
    landmarks: npt.NDArray[np.float32] | None = None

    @property
    def box(self) -> Box:
        return self.x, self.y, self.w, self.h


class Detector(Protocol):
    """Finds faces. Used from one thread only."""

    name: str

    def detect(self, bgr: Bgr) -> list[FaceBox]:
        """The faces in `bgr`, at most `MAX_FACES`."""
        ...


@dataclass(frozen=True, slots=True)
class ReadFace:
    """One face of one frame, before it is known whose it is.

    `probabilities` (7,) are calibrated and sum to 1; `look` is a small grey picture for the tracker's comparison of
    neighbouring frames.
    """

    found: FaceBox
    probabilities: npt.NDArray[np.float64]
    quality: Quality
    look: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of one frame; `size` is (width, height) in pixels, `timings_ms` by stage."""

    size: tuple[int, int]
    faces: tuple[ReadFace, ...]
    timings_ms: dict[str, float] = field(default_factory=dict)
