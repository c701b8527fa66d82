"""The networks, in Keras 3 that runs alike on its TensorFlow, JAX and torch backends.

Every network takes ``(N, 48, 48, 1)`` float grey pixels in 0..255 (scaling is the graph's own first step, so a caller
cannot get it wrong) and returns ``(N, 7)`` logits in FER2013's class order. Batch normalisation always follows a
convolution directly, so that the converter can fold it away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import keras
from keras import layers

from training.data import SIDE
from training.labels import NUM_CLASSES

# Grey levels over the rows that are trained on: mean 129.4, standard deviation 65.0.
_PIXEL_MEAN: Final = 129.4
_PIXEL_STD: Final = 65.0


def _face() -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """The input, and the same standardised inside the graph."""
    face = keras.Input((SIDE, SIDE, 1), name="face")
    return face, layers.Rescaling(1.0 / _PIXEL_STD, offset=-_PIXEL_MEAN / _PIXEL_STD, name="standardise")(face)


def _conv_bn(
    x: keras.KerasTensor, filters: int, name: str, *, kernel: int = 3, stride: int = 1, relu: bool = True
) -> keras.KerasTensor:
    """Convolution without bias, batch normalisation, and optionally ReLU."""
    x = layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if relu else x


def _residual(x: keras.KerasTensor, filters: int, stride: int, name: str) -> keras.KerasTensor:
    """Basic residual block of two 3x3 convolutions (He et al. 2015, arXiv:1512.03385)."""
    shortcut = x
    if stride != 1 or x.shape[-1] != filters:
        shortcut = _conv_bn(x, filters, f"{name}_short", kernel=1, stride=stride, relu=False)
    x = _conv_bn(x, filters, f"{name}_a", stride=stride)
    x = _conv_bn(x, filters, f"{name}_b", relu=False)
    x = layers.Add(name=f"{name}_add")([x, shortcut])
    return layers.ReLU(name=f"{name}_out")(x)


def slim_resnet(dropout: float = 0.2) -> keras.Model:
    """The project's own network for the edge: a residual net of 736,423 parameters and 39 million multiplications.

    The stem halves the picture at once, which is where a small computer's time would go; the last two stages keep
    6x6 places, because the parts of a face that tell an expression are small.
    """
    face, x = _face()
    x = _conv_bn(x, 32, "stem", stride=2)
    x = _residual(x, 32, 1, "s1b1")
    x = _residual(x, 64, 2, "s2b1")
    x = _residual(x, 64, 1, "s2b2")
    x = _residual(x, 96, 2, "s3b1")
    x = _residual(x, 96, 1, "s3b2")
    x = _residual(x, 128, 1, "s4b1")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Dense(NUM_CLASSES, name="logits")(x)
    return keras.Model(face, x, name="slim_resnet")


NETWORKS: Final[dict[str, Callable[[float], keras.Model]]] = {"slim_resnet": slim_resnet}


def build_network(name: str, dropout: float) -> keras.Model:
    """A freshly initialised network by its name in ``NETWORKS``.

    Raises:
        ValueError: if there is no network of that name.
    """
    if name not in NETWORKS:
        raise ValueError(f"there is no network {name!r}; choose one of {', '.join(sorted(NETWORKS))}.")
    return NETWORKS[name](dropout)
