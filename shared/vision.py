"""Pure image functions that training and the classifier share, so that a face is cut and scaled in one way only.

numpy arrays in, new numpy arrays out; inputs are never modified. Resizing is area-averaged when shrinking and
bilinear when growing, which is what both sides see.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:  # training cuts faces too, on machines that have NumPy but not what settings are checked with
    from shared.preset import CropSpec, InputSpec

Grey = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Box = tuple[float, float, float, float]
"""x, y, width, height in pixels; x and y of the upper left corner, may lie outside the picture."""


# OpenCV's whole-number weights of red, green and blue (ITU-R BT.601), which sum to 2 ** 15; Pillow's differ by a level.
_GREY_WEIGHTS = np.array([9798, 19235, 3735], np.uint32)


def grey_of_rgb(rgb: npt.NDArray[np.uint8]) -> Grey:
    """A picture (H, W, 3), red first, in grey as OpenCV turns it grey; (H, W) uint8."""
    grey: Grey = ((rgb.astype(np.uint32) @ _GREY_WEIGHTS + (1 << 14)) >> 15).astype(np.uint8)
    return grey


def crop_square(box: Box, crop: CropSpec) -> tuple[float, float, float]:
    """The square to cut for a detector's box: x and y of its upper left corner, and its side, in pixels."""
    x, y, w, h = box
    if w <= 0 or h <= 0:
        raise ValueError(f"expected a box with a positive size, got {w}x{h}")
    unit = float(np.sqrt(w * h))
    side = crop.scale * unit
    centre_x = x + w / 2 + crop.shift_x * unit
    centre_y = y + h / 2 + crop.shift_y * unit
    return centre_x - side / 2, centre_y - side / 2, side


def crop_face(grey: Grey, box: Box, crop: CropSpec, size: tuple[int, int]) -> Grey:
    """Cut the face in `box` out of `grey` (H, W) and scale it to `size` (height, width); uint8.

    Parts of the square outside the picture repeat its border.
    """
    return cut_square(grey, crop_square(box, crop), size)


def cut_square(grey: Grey, square: tuple[float, float, float], size: tuple[int, int]) -> Grey:
    """The `square` (left, top, side) of `grey` (H, W) scaled to `size` (height, width); uint8.

    Parts outside the picture repeat its border. Each output pixel is the mean of bilinear samples on a grid fine enough
    that no input pixel is skipped.
    """
    if grey.ndim != 2 or grey.dtype != np.uint8:
        raise ValueError(f"expected a grey uint8 picture (H, W), got shape {grey.shape} of {grey.dtype}")
    left, top, side = square
    height, width = size
    across = _axis_weights(left, side, width, grey.shape[1])
    down = _axis_weights(top, side, height, grey.shape[0])
    x0, x1 = across[1]
    y0, y1 = down[1]
    part = grey[y0:y1, x0:x1].astype(np.float32)
    result = down[0] @ part @ across[0].T
    return np.clip(np.rint(result), 0, 255).astype(np.uint8)


def _axis_weights(start: float, length: float, count: int, available: int) -> tuple[Floats, tuple[int, int]]:
    """Weights (count, n) of the input pixels [first, last) for `count` output pixels over [start, start + length)."""
    step = length / count
    samples = max(1, int(np.ceil(step)))
    offsets = (np.arange(count * samples, dtype=np.float64) + 0.5) * (step / samples)
    positions = np.clip(start + offsets - 0.5, 0.0, available - 1.0)
    low = np.minimum(np.floor(positions).astype(np.intp), available - 1)
    high = np.minimum(low + 1, available - 1)
    fraction = positions - low
    first, last = int(low.min()), int(high.max()) + 1
    weights: Floats = np.zeros((count, last - first), np.float32)
    rows = np.repeat(np.arange(count), samples)
    np.add.at(weights, (rows, low - first), ((1.0 - fraction) / samples).astype(np.float32))
    np.add.at(weights, (rows, high - first), (fraction / samples).astype(np.float32))
    return weights, (first, last)


def to_input(face: Grey, spec: InputSpec) -> Floats:
    """A face (height, width) as the model's input tensor: float32, (1, height, width, channels)."""
    if face.shape != (spec.height, spec.width):
        raise ValueError(f"expected a face of {(spec.height, spec.width)}, got {face.shape}")
    tensor = face.astype(np.float32) * np.float32(spec.scale) + np.float32(spec.offset)
    return np.repeat(tensor[None, :, :, None], spec.channels, axis=3)


def softmax(logits: npt.NDArray[Any], temperature: float = 1.0) -> npt.NDArray[np.float64]:
    """Probabilities over the last axis of `logits / temperature`; float64, sums to 1."""
    scaled = np.asarray(logits, np.float64) / temperature
    exponentials: npt.NDArray[np.float64] = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    result: npt.NDArray[np.float64] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return result


def calibrated(output: npt.NDArray[Any], kind: str, temperature: float) -> npt.NDArray[np.float64]:
    """A model's output (…, 7) as calibrated probabilities (Guo et al. 2017, arXiv:1706.04599).

    For a model that ends in a softmax, log-probabilities serve as logits: they differ by a constant only.
    """
    logits = np.asarray(output, np.float64) if kind == "logits" else np.log(np.maximum(output, 1e-12))
    return softmax(logits, temperature)
