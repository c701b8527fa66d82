"""Augmentation of whole batches in NumPy: one resampling per face, nothing in Python per pixel or per face.

The crop a detector gives differs from FER2013's in margin, place and roll, so faces are scaled, shifted and turned as
they will be behind the detector; light, mirror images and hidden parts are varied as usual. Blur and noise are those
of a small face in a dim room.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class AugmentConfig:
    """Strength of each change.

    Lengths are shares of the picture's side, angles degrees, light and noise in grey levels, the blur's sigma in
    pixels; ``flip``, ``blur``, ``noise`` and ``erase`` are the shares of faces that are changed so. With
    ``scale_sides_apart`` width and height are each scaled by their own draw from ``scale``, as Keras's
    ``ImageDataGenerator`` does, and ``aspect`` is not used.
    """

    scale: tuple[float, float] = (0.8, 1.2)
    aspect: float = 0.08
    scale_sides_apart: bool = False
    shift: float = 0.12
    rotation: float = 12.0
    flip: float = 0.5
    gain: tuple[float, float] = (0.7, 1.3)
    bias: float = 25.0
    blur: float = 0.25
    blur_sigma: tuple[float, float] = (0.3, 1.6)
    noise: float = 0.25
    noise_sigma: tuple[float, float] = (0.0, 20.0)
    erase: float = 0.5
    erase_side: tuple[float, float] = (0.12, 0.45)


def _uniform(random: np.random.Generator, limits: tuple[float, float], shape: tuple[int, ...]) -> FloatArray:
    low, high = limits
    values: FloatArray = (low + (high - low) * random.random(shape)).astype(np.float32)
    return values


def resample(faces: npt.NDArray[np.uint8], matrices: FloatArray) -> FloatArray:
    """Bilinear resampling of each face through its own affine map; beyond the border the border pixel is repeated.

    Args:
        faces: ``(N, H, W)`` grey levels.
        matrices: ``(N, 2, 3)``; a row maps an output pixel ``(x, y, 1)``, measured from the picture's centre, to the
            input ``x`` or ``y`` to read there.

    Returns:
        ``(N, H, W)`` float32 in the range of the input.
    """
    count, height, width = faces.shape
    centre_y, centre_x = (height - 1) / 2, (width - 1) / 2
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    grid = np.stack([xs.ravel() - centre_x, ys.ravel() - centre_y, np.ones(height * width, np.float32)])
    source = matrices.astype(np.float32) @ grid.astype(np.float32)
    x = np.clip(source[:, 0] + np.float32(centre_x), 0, width - 1)
    y = np.clip(source[:, 1] + np.float32(centre_y), 0, height - 1)
    left = np.minimum(x.astype(np.int32), width - 2)
    top = np.minimum(y.astype(np.int32), height - 2)
    x -= left
    y -= top
    index = top * width + left + (np.arange(count, dtype=np.int32) * (height * width))[:, None]
    flat = faces.reshape(-1).astype(np.float32)
    upper = flat[index]
    upper += (flat[index + 1] - upper) * x
    index += width
    lower = flat[index]
    lower += (flat[index + 1] - lower) * x
    upper += (lower - upper) * y
    result: FloatArray = upper.reshape(count, height, width)
    return result


def random_matrices(count: int, side: int, config: AugmentConfig, random: np.random.Generator) -> FloatArray:
    """``(count, 2, 3)`` random maps for ``resample``: scale, aspect, roll, mirror and shift."""
    if config.scale_sides_apart:
        scale_x, scale_y = random.uniform(*config.scale, (2, count))
    else:
        log_scale = random.uniform(np.log(config.scale[0]), np.log(config.scale[1]), count)
        log_aspect = random.uniform(-config.aspect, config.aspect, count)
        scale_x, scale_y = np.exp(log_scale + log_aspect), np.exp(log_scale - log_aspect)
    angle = np.radians(random.uniform(-config.rotation, config.rotation, count))
    mirror = np.where(random.random(count) < config.flip, -1.0, 1.0)
    shift = random.uniform(-config.shift, config.shift, (count, 2)) * side
    matrices = np.empty((count, 2, 3), np.float32)
    matrices[:, 0, 0] = mirror * np.cos(angle) * scale_x
    matrices[:, 0, 1] = -np.sin(angle) * scale_y
    matrices[:, 1, 0] = mirror * np.sin(angle) * scale_x
    matrices[:, 1, 1] = np.cos(angle) * scale_y
    matrices[:, :, 2] = shift
    return matrices


def blur(faces: FloatArray, config: AugmentConfig, random: np.random.Generator) -> None:
    """Gaussian blur of some faces, each by its own sigma, in place; the border is repeated."""
    chosen = np.flatnonzero(random.random(len(faces)) < config.blur)
    sigma = _uniform(random, config.blur_sigma, (len(chosen), 1))
    radius = int(np.ceil(2.5 * config.blur_sigma[1]))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1, dtype=np.float32) / sigma) ** 2)
    kernel /= kernel.sum(axis=1, keepdims=True)
    for axis in (1, 2):
        padding = [(0, 0), (0, 0), (0, 0)]
        padding[axis] = (radius, radius)
        padded = np.pad(faces[chosen], padding, "edge")
        side = faces.shape[axis]
        faces[chosen] = sum(
            kernel[:, place, None, None] * np.take(padded, range(place, place + side), axis)
            for place in range(2 * radius + 1)
        )


def noise(faces: FloatArray, config: AugmentConfig, random: np.random.Generator) -> None:
    """Gaussian noise on some faces, each of its own strength, in place."""
    chosen = np.flatnonzero(random.random(len(faces)) < config.noise)
    sigma = _uniform(random, config.noise_sigma, (len(chosen), 1, 1))
    faces[chosen] += sigma * random.standard_normal((len(chosen), *faces.shape[1:]), np.float32)


def erase(faces: FloatArray, config: AugmentConfig, random: np.random.Generator) -> None:
    """Hide a rectangle of some faces behind one grey level, in place (Zhong et al. 2017, arXiv:1708.04896)."""
    count, height, width = faces.shape
    size = _uniform(random, config.erase_side, (count, 2)) * np.array([height, width], np.float32)
    start = random.random((count, 2)) * (np.array([height, width]) - size)
    grey = _uniform(random, (0, 255), (count,))
    chosen = random.random((count,)) < config.erase
    ys, xs = np.arange(height)[None], np.arange(width)[None]
    rows = (ys >= start[:, :1]) & (ys < start[:, :1] + size[:, :1]) & chosen[:, None]
    columns = (xs >= start[:, 1:]) & (xs < start[:, 1:] + size[:, 1:])
    hidden = rows[:, :, None] & columns[:, None, :]
    np.copyto(faces, grey[:, None, None], where=hidden)


def augment(
    faces: npt.NDArray[np.uint8], config: AugmentConfig, random: np.random.Generator, *, erasing: bool = True
) -> FloatArray:
    """A randomly changed copy of each face.

    Args:
        faces: ``(N, S, S)`` grey levels.
        config: how strong the changes are.
        random: the source of all randomness; the same state gives the same result.
        erasing: whether parts may be hidden.

    Returns:
        ``(N, S, S)`` float32 within 0..255.
    """
    count, side, _ = faces.shape
    changed = resample(faces, random_matrices(count, side, config, random))
    gain = _uniform(random, config.gain, (count, 1, 1))
    bias = _uniform(random, (-config.bias, config.bias), (count, 1, 1))
    mean = changed.mean(axis=(1, 2), keepdims=True)
    changed -= mean
    changed *= gain
    changed += mean + bias
    blur(changed, config, random)
    noise(changed, config, random)
    np.clip(changed, 0, 255, out=changed)
    if erasing:
        erase(changed, config, random)
    return changed


def mixup(
    inputs: FloatArray, targets: list[FloatArray], alpha: float, random: np.random.Generator
) -> tuple[FloatArray, list[FloatArray]]:
    """Blend each face, and its targets alike, with another of the batch (Zhang et al. 2017, arXiv:1710.09412).

    Args:
        inputs: ``(N, ...)`` pictures.
        targets: arrays ``(N, C)``.
        alpha: of the Beta distribution that the blend is drawn from; 0 leaves everything as it is.
    """
    if alpha <= 0:
        return inputs, targets
    count = len(inputs)
    share = random.beta(alpha, alpha, count).astype(np.float32)
    share = np.maximum(share, 1 - share)
    partner = random.permutation(count)
    picture_share = share.reshape(count, *([1] * (inputs.ndim - 1)))
    mixed = inputs * picture_share + inputs[partner] * (1 - picture_share)
    blended = [target * share[:, None] + target[partner] * (1 - share[:, None]) for target in targets]
    return mixed, blended
