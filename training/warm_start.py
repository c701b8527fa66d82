"""Go on from a model that was delivered: its weights become a new run's first weights.

That is how a model is retrained for a lab's own camera and people, and how a longer training builds on a shorter one.
A delivered model has its normalisation folded into the convolutions, so each normalisation is set up again from the
mean and variance that its input has over some faces, with the scale and offset that undo them; the network then
computes exactly what the delivered model computes, and learns on from there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt
from keras import layers

from shared.errors import ModelError
from training.blend import statistics
from training.data import DataError

Array = npt.NDArray[np.float32]

# Of the faces that are learnt from, how many set up the normalisations.
SET_UP_FACES: Final = 1024
# Below this a convolution's output does not vary, and there is nothing to undo.
_LEAST_VARIANCE: Final = 1e-6
_WEIGHTED: Final = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
# The network set up from a delivered file may differ from it by so much in a logit; bfloat16 has 8 bits.
_SAME: Final = 0.05
_SAME_IN_BFLOAT16: Final = 0.5
_COMPARED: Final = 16


@dataclass
class Folded:
    """What a delivered file holds of a network, by the layer's name.

    ``kernels`` have Keras's shapes: ``(h, w, in, out)`` of a convolution, ``(h, w, in, 1)`` and ``(1, 1, in, out)`` of
    a separable one, ``(in, out)`` of a dense layer. ``scales_inside`` is false where the converter has put the scaling
    of the picture into the first convolution.
    """

    kernels: dict[str, list[Array]] = field(default_factory=dict)
    biases: dict[str, Array] = field(default_factory=dict)
    scales_inside: bool = True


def design_of(folder: Path) -> str:
    """The name of the network that a delivered model is.

    Raises:
        DataError: if the folder is not a model that this project delivered.
    """
    preset = _load(folder).preset
    return str(preset.training.get("network") or preset.training.get("settings", {}).get("network") or preset.name)


def training_of(folder: Path) -> dict[str, Any]:
    """What a delivered model's preset says of its training.

    Raises:
        DataError: if the folder is not a model that this project delivered.
    """
    training: dict[str, Any] = _load(folder).preset.training
    return training


def _load(folder: Path) -> Any:
    # Only a run that starts from a delivered model needs these; training alone needs Keras and NumPy.
    from shared.preset import load_model

    try:
        return load_model(folder)
    except ModelError as error:
        raise DataError(f"{folder} cannot be started from: {error}") from error


def read_folded(content: bytes, names: set[str]) -> Folded:
    """Kernels and biases of a LiteRT file, of fp32 or fp16, for the layers ``names``.

    Raises:
        DataError: if its weights are rounded to whole numbers.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=content, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    interpreter.allocate_tensors()
    tensors = {tensor["index"]: tensor["name"] for tensor in interpreter.get_tensor_details()}
    steps = interpreter._get_ops_details()
    # fp16's weights are widened by a step of their own.
    narrow = {step["outputs"][0]: step["inputs"][0] for step in steps if step["op_name"] == "DEQUANTIZE"}

    def constant(index: int) -> npt.NDArray[Any]:
        return np.asarray(interpreter.get_tensor(narrow.get(index, index)))

    folded = Folded(scales_inside=any(step["op_name"] == "MUL" for step in steps))
    for step in steps:
        if step["op_name"] not in _WEIGHTED:
            continue
        _, kernel_at, bias_at = step["inputs"]
        # The converter's names are those of Keras's layers, numbered, with what was folded into them.
        words = [word.rsplit("_", 1)[0] for part in tensors[kernel_at].split(";") for word in part.split("/")]
        owner = next((word for word in words if word in names), None)
        if owner is None:
            continue
        kernel = constant(kernel_at)
        if not np.issubdtype(kernel.dtype, np.floating):
            raise DataError("its weights are rounded to 8 bits; start from the same model's fp32 or fp16 file.")
        kernel = kernel.T if kernel.ndim == 2 else kernel.transpose(1, 2, 3, 0)
        folded.kernels.setdefault(owner, []).append(np.ascontiguousarray(kernel, np.float32))
        # Of a separable convolution the second step's, since the first has none in Keras.
        folded.biases[owner] = constant(bias_at).astype(np.float32)
    return folded


def warm_start(network: keras.Model, folder: Path, faces: npt.NDArray[np.uint8]) -> None:
    """Give ``network`` the weights of a delivered model of the same design.

    Args:
        network: freshly built; every normalisation stands directly behind a convolution.
        folder: the delivered model.
        faces: ``(N, 48, 48)`` grey faces over which the normalisations are set up; some hundreds do.

    Raises:
        DataError: if the folder is not a delivered model, or one of another design, or one that cannot be undone.
    """
    name = design_of(folder)
    if name != network.name:
        raise DataError(f"{folder} is a {name}, the run trains a {network.name}; choose --network {name}.")
    if any(isinstance(layer, keras.Model) for layer in network.layers):
        raise DataError(
            f"{name} cannot be started from a delivered file, since its body comes from Keras as a whole; "
            "go on with its run (--resume), or give --weights imagenet."
        )
    weighted = [layer for layer in network.layers if layer.weights]
    own = [layer for layer in weighted if not isinstance(layer, layers.BatchNormalization)]
    try:
        folded = read_folded(_load(folder).path.read_bytes(), {layer.name for layer in own})
    except DataError as error:
        raise DataError(f"{folder} cannot be started from: {error}") from error
    if not folded.scales_inside:
        _take_scaling_out(network, own[0].name, folded)
    pixels = faces[..., None].astype(np.float32)
    for layer in weighted:
        if isinstance(layer, layers.BatchNormalization):
            owner = next(other for other in own if other.output is layer.input)
            _undo(network, layer, owner, folded, pixels)
        else:
            _set(layer, folded)
    _compare(network, folder, faces[:_COMPARED])


def _take_scaling_out(network: keras.Model, first: str, folded: Folded) -> None:
    """Undo that the first convolution, which has no padding, takes grey levels instead of standardised ones."""
    standardise = next(layer for layer in network.layers if isinstance(layer, layers.Rescaling))
    if first in folded.kernels:
        kernel = folded.kernels[first][0] / standardise.scale
        folded.kernels[first] = [kernel.astype(np.float32)]
        folded.biases[first] = folded.biases[first] - standardise.offset * kernel.sum(axis=(0, 1, 2))


def _set(layer: Any, folded: Folded) -> None:
    values = [*folded.kernels.get(layer.name, [])]
    if layer.use_bias and layer.name in folded.biases:
        values.append(folded.biases[layer.name])
    shapes = [tuple(w.shape) for w in layer.weights]
    if [value.shape for value in values] != shapes:
        raise DataError(f"the delivered model has no layer {layer.name!r} of shape {shapes}; it is of another design.")
    layer.set_weights(values)


def _undo(network: keras.Model, layer: Any, owner: Any, folded: Folded, pixels: Array) -> None:
    """Let the normalisation give what it is given plus the folded offset, by undoing what it takes away."""
    mean, variance = statistics(keras.Model(network.input, layer.input), pixels)
    variance = np.maximum(variance, _LEAST_VARIANCE)
    # A convolution that has a bias of its own was given the folded offset already.
    offset = mean if owner.use_bias else mean + folded.biases[owner.name]
    layer.set_weights([np.sqrt(variance + layer.epsilon), offset, mean, variance])


def _compare(network: keras.Model, folder: Path, faces: npt.NDArray[np.uint8]) -> None:
    """Refuse a network that does not compute what the file computes, whatever the converter did to it."""
    from training.predictors import LiteRtPredictor, predict

    predictor, _ = LiteRtPredictor.from_folder(folder)
    rebuilt = np.asarray(network.predict_on_batch(faces[..., None].astype(np.float32)), np.float32)
    difference = float(np.abs(rebuilt - predict(predictor, faces)).max())
    if not difference <= (_SAME if network.compute_dtype == "float32" else _SAME_IN_BFLOAT16):
        raise DataError(
            f"the network set up from {folder} differs from it by {difference:.3f} in a logit; it was converted "
            "in a way that cannot be undone. Go on with its run instead (runs/NAME)."
        )
