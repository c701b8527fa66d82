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

from training.data import NUM_CLASSES, SIDE
from training.transfer import inception_v3

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
    """The project's own network for the edge: a residual net of 736,423 parameters.

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


def mini_xception(dropout: float = 0.0) -> keras.Model:
    """mini-Xception of 58,423 parameters (Arriaga et al. 2017, arXiv:1710.07557): separable residual modules.

    ``dropout`` goes before the scoring convolution; the original has none.
    """
    face, x = _face()
    for number in (1, 2):
        x = layers.Conv2D(8, 3, use_bias=False, name=f"base{number}_conv")(x)
        x = layers.BatchNormalization(name=f"base{number}_bn")(x)
        x = layers.ReLU(name=f"base{number}_relu")(x)
    for filters in (16, 32, 64, 128):
        name = f"m{filters}"
        shortcut = layers.Conv2D(filters, 1, strides=2, padding="same", use_bias=False, name=f"{name}_short_conv")(x)
        shortcut = layers.BatchNormalization(name=f"{name}_short_bn")(shortcut)
        x = layers.SeparableConv2D(filters, 3, padding="same", use_bias=False, name=f"{name}_a_conv")(x)
        x = layers.BatchNormalization(name=f"{name}_a_bn")(x)
        x = layers.ReLU(name=f"{name}_a_relu")(x)
        x = layers.SeparableConv2D(filters, 3, padding="same", use_bias=False, name=f"{name}_b_conv")(x)
        x = layers.BatchNormalization(name=f"{name}_b_bn")(x)
        x = layers.MaxPooling2D(3, strides=2, padding="same", name=f"{name}_pool")(x)
        x = layers.Add(name=f"{name}_add")([x, shortcut])
    if dropout > 0:
        x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Conv2D(NUM_CLASSES, 3, padding="same", name="score")(x)
    x = layers.GlobalAveragePooling2D(name="logits")(x)
    return keras.Model(face, x, name="mini_xception")


# Filters, kernel side and layer numbers of the blocks of the paper's appendix A.2.
_SIMPLE_CNN_BLOCKS: Final = ((16, 7), (32, 5), (64, 3), (128, 3))


def simple_cnn(dropout: float = 0.5) -> keras.Model:
    """The CNN of the paper's appendix A.2, layer by layer: 642,935 parameters, 641,463 of them trainable.

    Two things differ from the table, neither with a parameter: the picture is scaled inside the graph, and what
    comes out are logits, so the final softmax is left to the caller.
    """
    face, x = _face()
    for block, (filters, kernel) in enumerate(_SIMPLE_CNN_BLOCKS, start=1):
        first, second = 2 * block - 2, 2 * block - 1
        name = "image_array" if first == 0 else f"conv2d_{first}"
        x = layers.Conv2D(filters, kernel, padding="same", name=name)(x)
        x = layers.BatchNormalization(name=f"batch_normalization_{first + 1}")(x)
        x = layers.Conv2D(filters, kernel, padding="same", name=f"conv2d_{second}")(x)
        x = layers.BatchNormalization(name=f"batch_normalization_{second + 1}")(x)
        x = layers.Activation("relu", name=f"activation_{block}")(x)
        x = layers.AveragePooling2D(2, padding="same", name=f"average_pooling2d_{block}")(x)
        x = layers.Dropout(dropout, name=f"dropout_{block}")(x)
    x = layers.Conv2D(256, 3, padding="same", name="conv2d_8")(x)
    x = layers.BatchNormalization(name="batch_normalization_9")(x)
    x = layers.Conv2D(NUM_CLASSES, 3, padding="same", name="conv2d_9")(x)
    x = layers.GlobalAveragePooling2D(name="global_average_pooling2d_1")(x)
    return keras.Model(face, x, name="simple_cnn")


NETWORKS: Final[dict[str, Callable[[float], keras.Model]]] = {
    "slim_resnet": slim_resnet,
    "mini_xception": mini_xception,
    "simple_cnn": simple_cnn,
    "inception_v3": inception_v3,
}


def build_network(name: str, dropout: float) -> keras.Model:
    """A freshly initialised network by its name in ``NETWORKS``.

    Raises:
        ValueError: if there is no network of that name.
    """
    if name not in NETWORKS:
        raise ValueError(f"there is no network {name!r}; choose one of {', '.join(sorted(NETWORKS))}.")
    return NETWORKS[name](dropout)
