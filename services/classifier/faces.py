"""What a face detector finds, and what a detector is."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

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
