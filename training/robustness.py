"""How much of a model's accuracy is left when the picture is worse or the crop is off.

Each change has five strengths and its own fixed seed, so that two models are measured on the same pictures. The idea,
not the exact strengths, is that of Hendrycks & Dietterich 2019 (arXiv:1903.12261), set here for faces of 48 pixels.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from training import metrics
from training.augment import FloatArray, resample
from training.data import Faces
from training.predictors import Predictor, predict

Pictures = npt.NDArray[np.uint8]
Change = Callable[[Pictures, float], Pictures]


def _levels(values: npt.NDArray[Any]) -> Pictures:
    levels: Pictures = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return levels


def blur(faces: Pictures, sigma: float) -> Pictures:
    """Gaussian blur of ``sigma`` pixels; the border is repeated."""
    radius = int(np.ceil(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    blurred = faces.astype(np.float64)
    for axis in (1, 2):
        padding = [(0, 0), (0, 0), (0, 0)]
        padding[axis] = (radius, radius)
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(blurred, padding, "edge"), len(kernel), axis=axis)
        blurred = windows @ kernel
    return _levels(blurred)


def noise(faces: Pictures, deviation: float) -> Pictures:
    """Gaussian noise of that standard deviation, in grey levels."""
    return _levels(faces + np.random.default_rng(0).normal(0, deviation, faces.shape))


def darken(faces: Pictures, share: float) -> Pictures:
    """Light reduced to ``share`` of what it was."""
    return _levels(faces * share)


def brighten(faces: Pictures, added: float) -> Pictures:
    """``added`` grey levels on top; what is above white stays white."""
    return _levels(faces.astype(np.float64) + added)


def jpeg(faces: Pictures, quality: float) -> Pictures:
    """Through a JPEG of that quality, 1 to 100."""
    from PIL import Image

    def one(face: Pictures) -> Pictures:
        buffer = io.BytesIO()
        Image.fromarray(face).save(buffer, "JPEG", quality=int(quality))
        return np.asarray(Image.open(buffer), dtype=np.uint8)

    return np.stack([one(face) for face in faces])


def occlude(faces: Pictures, side: float) -> Pictures:
    """A grey square, its side that share of the picture's, at a random place of each face."""
    random = np.random.default_rng(1)
    hidden = faces.copy()
    length = round(side * faces.shape[1])
    for face, (y, x) in zip(hidden, random.integers(0, faces.shape[1] - length + 1, (len(faces), 2)), strict=True):
        face[y : y + length, x : x + length] = 128
    return hidden


def _mapped(faces: Pictures, matrix: list[list[float]]) -> Pictures:
    matrices: FloatArray = np.tile(np.array(matrix, np.float32), (len(faces), 1, 1))
    return _levels(resample(faces, matrices))


def shift_right(faces: Pictures, share: float) -> Pictures:
    """The crop moved to the right by that share of its side."""
    return _mapped(faces, [[1, 0, share * faces.shape[2]], [0, 1, 0]])


def shift_down(faces: Pictures, share: float) -> Pictures:
    """The crop moved down by that share of its side."""
    return _mapped(faces, [[1, 0, 0], [0, 1, share * faces.shape[1]]])


def scale(faces: Pictures, factor: float) -> Pictures:
    """The crop's side multiplied by ``factor``: above 1 the face gets smaller in it."""
    return _mapped(faces, [[factor, 0, 0], [0, factor, 0]])


def roll(faces: Pictures, degrees: float) -> Pictures:
    """The head turned in the picture's plane."""
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    return _mapped(faces, [[cosine, -sine, 0], [sine, cosine, 0]])


CHANGES: Final[dict[str, tuple[Change, tuple[float, ...]]]] = {
    "blur, sigma in pixels": (blur, (0.5, 0.8, 1.2, 1.6, 2.0)),
    "noise, grey levels": (noise, (4, 8, 16, 24, 32)),
    "JPEG quality": (jpeg, (70, 50, 30, 20, 10)),
    "darkened to": (darken, (0.8, 0.6, 0.4, 0.25, 0.15)),
    "brightened by": (brighten, (20, 40, 60, 80, 100)),
    "occluded, share of side": (occlude, (0.1, 0.2, 0.3, 0.4, 0.5)),
    "crop shifted right": (shift_right, (-0.15, -0.08, 0.04, 0.08, 0.15)),
    "crop shifted down": (shift_down, (-0.15, -0.08, 0.04, 0.08, 0.15)),
    "crop scaled": (scale, (0.8, 0.9, 1.1, 1.2, 1.3)),
    "rolled, degrees": (roll, (-15, -8, 4, 8, 15)),
}


def robustness(predictor: Predictor, faces: Faces) -> dict[str, dict[str, float]]:
    """Accuracy for each change and strength."""
    return {
        name: {
            f"{strength:g}": round(
                metrics.accuracy(predict(predictor, change(faces.pixels, strength)), faces.labels), 4
            )
            for strength in strengths
        }
        for name, (change, strengths) in CHANGES.items()
    }
