"""From a Keras network to a LiteRT file, with a check that both compute the same.

This is the one module that needs TensorFlow, which Keras has to be running on: only it can write the format.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from training import metrics

Precision = Literal["fp32", "fp16", "int8"]
PRECISIONS: Final[tuple[Precision, ...]] = get_args(Precision)

# Largest difference of any logit on any face that is put down to rounding: for fp32 to the order of additions, for
# fp16 to weights of 11 bits, for int8 to weights and activations of 8 bits.
TOLERANCES: Final[dict[Precision, float]] = {"fp32": 1e-4, "fp16": 2e-2, "int8": 1.5}
# A smaller file ships only if it costs at most this share of the held-out faces.
MOST_LOSS: Final = 0.005
CALIBRATION_FACES: Final = 500


class ConversionError(RuntimeError):
    """The model cannot be delivered; the message says what did not hold."""


def to_litert(network: Any, precision: Precision = "fp32", calibration: npt.NDArray[np.uint8] | None = None) -> bytes:
    """A LiteRT model with a fixed batch of one and LiteRT's built-in operators only.

    Input and output are float32 at every precision, so that who runs it need not know: the file itself rounds.

    Args:
        network: the Keras model.
        precision: of its weights; at int8 also of what flows between its layers.
        calibration: ``(N, 48, 48)`` faces that were learnt from, for the ranges that int8 needs.

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
    if precision != "fp32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "fp16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        if calibration is None or len(calibration) == 0:
            raise ConversionError("int8 needs faces of the training split to find the ranges of its numbers.")
        faces = calibration[:, None, :, :, None].astype(np.float32)

        def samples() -> Iterator[list[npt.NDArray[np.float32]]]:
            return ([face] for face in faces)

        converter.representative_dataset = samples
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
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


def largest_difference(
    network: Any, litert_logits: npt.NDArray[np.float32], faces: npt.NDArray[np.uint8], precision: Precision = "fp32"
) -> float:
    """The largest difference of a logit between Keras and LiteRT.

    Args:
        network: the Keras model that was converted.
        litert_logits: ``(N, 7)`` what the converted model gave for ``faces``.
        faces: ``(N, 48, 48)`` grey faces.
        precision: of the converted model.

    Raises:
        ConversionError: if it is above the precision's ``TOLERANCES``.
    """
    keras_logits = network.predict(faces[..., None].astype(np.float32), batch_size=256, verbose=0)
    difference = float(np.abs(keras_logits - litert_logits).max())
    if not difference <= TOLERANCES[precision]:
        raise ConversionError(
            f"Keras and LiteRT ({precision}) differ by {difference:.2e} in a logit over {len(faces)} faces; at most "
            f"{TOLERANCES[precision]:.0e} is put down to rounding, so the conversion is not trusted."
        )
    return difference


def lost_accuracy(
    fp32_logits: npt.NDArray[np.float32],
    logits: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    precision: Precision,
) -> float:
    """The share of faces that the smaller file costs against fp32, on the same faces; negative where it gains.

    Raises:
        ConversionError: if it is above ``MOST_LOSS``.
    """
    lost = metrics.accuracy(fp32_logits, labels) - metrics.accuracy(logits, labels)
    if lost > MOST_LOSS + 1e-9:  # a share of faces is not exact in binary
        raise ConversionError(
            f"{precision} loses {100 * lost:.2f} points of accuracy on {len(labels)} held-out faces; at most "
            f"{100 * MOST_LOSS:.1f} are accepted. Deliver fp32, or fp16 if it is int8 that loses them."
        )
    return lost
