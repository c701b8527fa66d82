"""InceptionV3 for faces, learning in the two stages of the paper: its new top alone, then its last blocks as well.

The body is the one of ``keras.applications`` (Szegedy et al. 2015, arXiv:1512.00567) without its classifier. It knows
coloured pictures of at least 75 pixels, so a face is enlarged threefold, which leaves 3x3 places to the last blocks,
and given three times over.
"""

from __future__ import annotations

from typing import Any, Final

import keras
from keras import layers

from training.data import NUM_CLASSES, SIDE, DataError

BODY: Final = "inception_v3_body"
_ENLARGED: Final = 3
# The body's blocks are called mixed0 to mixed10.
_LAST_BLOCK: Final = 10


def inception_v3(dropout: float = 0.0) -> keras.Model:
    """InceptionV3 with random weights and a new top of 14,343 parameters on the mean of its features.

    As the other networks it takes ``(N, 48, 48, 1)`` grey pixels in 0..255 and returns ``(N, 7)`` logits.
    """
    face = keras.Input((SIDE, SIDE, 1), name="face")
    # What keras.applications.inception_v3.preprocess_input does: -1 to 1.
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="standardise")(face)
    x = layers.UpSampling2D(_ENLARGED, interpolation="bilinear", name="enlarge")(x)
    x = layers.Concatenate(name="colour")([x, x, x])
    x = _with_lasting_names(_imagenet_body(weights=None))(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Dense(NUM_CLASSES, name="logits")(x)
    return keras.Model(face, x, name="inception_v3")


def _imagenet_body(weights: str | None) -> keras.Model:
    side = _ENLARGED * SIDE
    return keras.applications.InceptionV3(include_top=False, weights=weights, input_shape=(side, side, 3))


def _with_lasting_names(body: keras.Model) -> keras.Model:
    """The body with its layers numbered from its own first.

    Keras numbers them through the whole process, so a checkpoint would not fit the next network of the same design.
    """
    names = {
        layer.name: layer.name if layer.name.startswith("mixed") else f"layer_{number}"
        for number, layer in enumerate(body.layers)
    }

    def renamed(layer: Any) -> Any:
        return type(layer).from_config({**layer.get_config(), "name": names[layer.name]})

    copy = keras.models.clone_model(body, clone_function=renamed)
    return keras.Model(copy.input, copy.output, name=BODY)


def load_imagenet(network: keras.Model) -> None:
    """Give the body of ``network`` the weights that it learnt on ImageNet, by Keras's own loader.

    Raises:
        DataError: if the network has no such body, or the weights are neither on this machine nor to be had.
    """
    if BODY not in {layer.name for layer in network.layers}:
        raise DataError(f"there are no ImageNet weights for {network.name}, only for inception_v3; use --weights none.")
    try:
        source = _imagenet_body(weights="imagenet")
    except Exception as error:  # Keras raises a bare Exception where a download fails
        raise DataError(
            f"the ImageNet weights of InceptionV3 cannot be had ({error}); connect this machine to the internet once, "
            "or train from random weights with --weights none."
        ) from error
    network.get_layer(BODY).set_weights(source.get_weights())


def freeze_body(network: keras.Model) -> None:
    """First stage: only what stands on the body learns; its normalisation keeps its statistics as well."""
    network.get_layer(BODY).trainable = False


def unfreeze_blocks(network: keras.Model, blocks: int) -> None:
    """Second stage: the last ``blocks`` inception blocks of the body learn too.

    Raises:
        ValueError: if there are not so many blocks.
    """
    body = network.get_layer(BODY)
    below = f"mixed{_LAST_BLOCK - blocks}"
    names = [layer.name for layer in body.layers]
    if below not in names:
        raise ValueError(f"{blocks} blocks are to be unfrozen; choose 1 to {_LAST_BLOCK}.")
    body.trainable = True
    for layer in body.layers[: names.index(below) + 1]:
        layer.trainable = False
