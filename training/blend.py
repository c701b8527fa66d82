"""Between where a run began and where it ended: weights that keep what both are good at.

A run that starts from a delivered model and learns under harder conditions (blur, noise, another camera) gains there
and may lose a little where the delivered model was at home. A share of the way between the two keeps most of both
(Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", arXiv:2109.01903). It works only between a model and
what was learnt from it, since only those lie in one valley of the loss.
"""

from __future__ import annotations

import keras
import numpy as np
import numpy.typing as npt
from keras import layers


def blend(network: keras.Model, start: keras.Model, share: float, faces: npt.NDArray[np.uint8]) -> None:
    """Move ``network`` towards ``start``, and set up its normalisations for what it then is.

    Args:
        network: what the run gave.
        start: the same design with the weights that the run began with.
        share: how much stays of ``network``, above 0 and at most 1.
        faces: ``(N, 48, 48)`` grey faces over which the normalisations' statistics are taken; some thousands do.

    Raises:
        ValueError: if the share is out of range.
    """
    if not 0 < share <= 1:
        raise ValueError(f"the share of the run's weights is {share}; it has to be above 0 and at most 1.")
    pairs = zip(start.get_weights(), network.get_weights(), strict=True)
    network.set_weights([begun + share * (ended - begun) for begun, ended in pairs])
    pixels = faces[..., None].astype(np.float32)
    # In the order of the graph, so that each sees what the ones before it, set up already, give.
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            mean, variance = statistics(keras.Model(network.input, layer.input), pixels)
            gamma, beta, *_ = layer.get_weights()
            layer.set_weights([gamma, beta, mean, variance])


def statistics(
    part: keras.Model, pixels: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and variance of each channel ``(C,)`` of what ``part`` gives for ``(N, 48, 48, 1)`` pixels."""
    total, squares, count = np.float64(0), np.float64(0), 0
    for first in range(0, len(pixels), 256):
        given = np.asarray(part.predict_on_batch(pixels[first : first + 256]), np.float64)
        total = total + given.sum(axis=(0, 1, 2))
        squares = squares + np.square(given).sum(axis=(0, 1, 2))
        count += given[..., 0].size
    mean = np.asarray(total / count)
    return mean, np.maximum(np.asarray(squares / count) - np.square(mean), 0)
