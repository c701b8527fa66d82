"""From a Keras network to a LiteRT file, with a check that both compute the same.

This is the one module that needs TensorFlow, which Keras has to be running on: only it can write the format.
"""

from __future__ import annotations

import contextlib
import io
from typing import Any, Final

import numpy as np
import numpy.typing as npt

# Largest difference of any logit on any face that is put down to the order of float32 additions.
TOLERANCE: Final = 1e-4


class ConversionError(RuntimeError):
    """The model cannot be delivered; the message says what did not hold."""


def to_litert(network: Any) -> bytes:
    """A float32 LiteRT model with a fixed batch of one and LiteRT's built-in operators only.

    Raises:
        ConversionError: if Keras does not run on TensorFlow, or an operator is not built in.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ConversionError(
            f"Keras runs on {keras.backend.backend()}, but only TensorFlow can write LiteRT files; "
            "set KERAS_BACKEND=tensorflow."
        )
    import tensorflow as tf

    face = keras.Input(batch_shape=(1, *network.input_shape[1:]), name="face")
    fixed = keras.Model(face, network(face, training=False), name=network.name)
    converter = tf.lite.TFLiteConverter.from_keras_model(fixed)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    # The converter prints hundreds of lines about every conversion that goes well.
    with contextlib.redirect_stdout(io.StringIO()):
        content: bytes = converter.convert()
    foreign = sorted(name for name in operators(content) if name.startswith(("Flex", "CUSTOM")))
    if foreign:
        raise ConversionError(f"the model needs operators that LiteRT does not have built in: {', '.join(foreign)}.")
    return content


def operators(content: bytes) -> list[str]:
    """The names of a LiteRT model's operators, in the order they run."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=content, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    return [str(details["op_name"]) for details in interpreter._get_ops_details()]


def largest_difference(network: Any, litert_logits: npt.NDArray[np.float32], faces: npt.NDArray[np.uint8]) -> float:
    """The largest difference of a logit between Keras and LiteRT.

    Args:
        network: the Keras model that was converted.
        litert_logits: ``(N, 7)`` what the converted model gave for ``faces``.
        faces: ``(N, 48, 48)`` grey faces.

    Raises:
        ConversionError: if it is above ``TOLERANCE``.
    """
    keras_logits = network.predict(faces[..., None].astype(np.float32), batch_size=256, verbose=0)
    difference = float(np.abs(keras_logits - litert_logits).max())
    if not difference <= TOLERANCE:
        raise ConversionError(
            f"Keras and LiteRT differ by {difference:.2e} in a logit over {len(faces)} faces; at most {TOLERANCE:.0e} "
            "is put down to rounding, so the conversion is not trusted."
        )
    return difference
