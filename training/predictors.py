"""One way to ask any model for its logits: a delivered folder, a bare LiteRT file, or a Keras file."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from shared.emotions import EMOTIONS
from shared.paths import read_bytes, unusable
from shared.preset import CropSpec, InputSpec, Preset, load_model
from shared.probe import check_probe
from shared.vision import crop_face, to_input

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Latency:
    """Milliseconds for one face on one thread, from grey crop to output."""

    p50_ms: float
    p95_ms: float
    runs: int


@dataclass(frozen=True)
class Convention:
    """What no preset says of a file of somebody else: what goes in and what comes out.

    ``input = grey level * scale + offset``; ``output`` is "logits" or "probabilities"; ``classes`` are the names of the
    outputs in their order. Names beside the seven emotions, such as contempt, are scores that are left out.
    """

    scale: float = 1.0
    offset: float = 0.0
    output: str = "logits"
    classes: tuple[str, ...] = EMOTIONS

    def __post_init__(self) -> None:
        missing = [name for name in EMOTIONS if self.classes.count(name) != 1]
        if missing:
            raise ValueError(
                f"the classes {','.join(self.classes)} have to hold each of {', '.join(EMOTIONS)} once; "
                f"look at {', '.join(missing)}."
            )

    @property
    def order(self) -> list[int]:
        """Which output belongs to each class of FER2013."""
        return [self.classes.index(name) for name in EMOTIONS]


class Predictor(Protocol):
    """Anything that classifies grey faces.

    ``temperature`` is what the model's confidence is to be divided by, ``size_bytes`` the size of its file.
    """

    name: str
    temperature: float
    size_bytes: int
    input: InputSpec

    def run(self, tensor: Floats) -> Floats:
        """The output ``(1, 7)`` as logits for one input tensor."""


def as_tensor(face: npt.NDArray[np.uint8], spec: InputSpec) -> Floats:
    """A whole grey picture ``(H, W)`` as the model's input tensor, resized where the model wants another size."""
    size = (spec.height, spec.width)
    if face.shape != size:
        box = (0.0, 0.0, float(face.shape[1]), float(face.shape[0]))
        face = crop_face(face, box, CropSpec(scale=1.0), size)
    return to_input(face, spec)


def as_logits(output: Floats, kind: str) -> Floats:
    """A model's output as logits; for probabilities these are their logarithms."""
    return output if kind == "logits" else np.log(np.maximum(output, 1e-12))


def predict(predictor: Predictor, faces: npt.NDArray[np.uint8]) -> Floats:
    """``(N, 7)`` logits for ``(N, H, W)`` grey faces, one face at a time as in the product."""
    return np.concatenate([predictor.run(as_tensor(face, predictor.input)) for face in faces])


def measure_latency(predictor: Predictor, faces: npt.NDArray[np.uint8], runs: int = 1000, warm_up: int = 50) -> Latency:
    """Time single faces, in turn from ``faces``, after some that do not count."""
    times = []
    for number in range(warm_up + runs):
        face = faces[number % len(faces)]
        began = time.perf_counter()
        predictor.run(as_tensor(face, predictor.input))
        times.append(1000 * (time.perf_counter() - began))
    counted = statistics.quantiles(times[warm_up:], n=20)
    return Latency(round(counted[9], 4), round(counted[18], 4), runs)


def _picture(name: str, shape: tuple[int | None, ...], scores: int | None, convention: Convention) -> InputSpec:
    """The input of a file of somebody else, whose shapes are checked.

    Raises:
        ValueError: unless it takes one grey or colour picture and gives one score for each class.
    """
    try:
        _, height, width, channels = shape
        spec = InputSpec.model_validate(
            {"height": height, "width": width, "channels": channels, "scale": convention.scale}
            | {"offset": convention.offset}
        )
    except ValueError as error:
        raise ValueError(
            f"{name} takes {shape}; expected pictures of a fixed size of 16 to 512 pixels, "
            "(batch, height, width, 1 or 3)."
        ) from error
    if scores != len(convention.classes):
        raise ValueError(
            f"{name} gives {scores} scores for {len(convention.classes)} classes; say with --classes what its "
            f"outputs are, in their order, e.g. --classes {','.join(EMOTIONS)}"
        )
    return spec


class LiteRtPredictor:
    """A ``.tflite`` file on one thread of LiteRT's interpreter; whole-number inputs and outputs are converted."""

    def __init__(
        self,
        name: str,
        content: bytes,
        spec: InputSpec | None,
        output: str,
        temperature: float,
        convention: Convention | None = None,
    ) -> None:
        """Open the model; ``convention`` is that of a file without a preset, which has no ``spec`` either.

        Raises:
            ValueError: if LiteRT cannot run it, or its tensors are not those that were expected.
        """
        from ai_edge_litert.interpreter import Interpreter

        self.name = name
        self.temperature = temperature
        self.size_bytes = len(content)
        self._output = output
        self._order = (convention or Convention()).order
        try:
            self._interpreter: Any = Interpreter(model_content=content, num_threads=1)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ValueError(
                f"{name} cannot be run by LiteRT ({str(error).splitlines()[0]}); give a LiteRT file."
            ) from error
        self._entry = self._interpreter.get_input_details()[0]
        self._result = self._interpreter.get_output_details()[0]
        found = tuple(int(side) for side in self._entry["shape"])
        if spec is None:
            spec = _picture(name, found, int(self._result["shape"][-1]), convention or Convention())
        elif found != spec.shape:
            raise ValueError(f"{name}: the model wants an input of {found}, the preset says {spec.shape}.")
        self.input = spec

    @classmethod
    def from_folder(cls, folder: Path) -> tuple[LiteRtPredictor, Preset]:
        """The model of a folder with ``preset.json``.

        Raises:
            shared.errors.ModelError: if the folder is not a complete, unchanged model that its preset fits.
        """
        model = load_model(folder)
        preset = model.preset
        predictor = cls(preset.name, model.path.read_bytes(), preset.input, preset.output, preset.temperature)
        check_probe(preset, predictor.ask)
        return predictor, preset

    @classmethod
    def from_file(cls, path: Path, convention: Convention) -> LiteRtPredictor:
        """A ``.tflite`` file without a preset.

        Raises:
            ValueError: if it is not a model of one picture with a score for each class.
        """
        return cls(path.name, read_bytes(path), None, convention.output, 1.0, convention)

    def run(self, tensor: Floats) -> Floats:
        """The output ``(1, 7)`` as logits for one input tensor."""
        return as_logits(self.ask(tensor), self._output)

    def ask(self, tensor: Floats) -> Floats:
        """The output ``(1, 7)`` as the file gives it, in the order of the seven emotions."""
        self._interpreter.set_tensor(self._entry["index"], _quantised(tensor, self._entry))
        self._interpreter.invoke()
        output = _dequantised(self._interpreter.get_tensor(self._result["index"]), self._result)
        return output.reshape(1, -1)[:, self._order]


def _quantised(values: Floats, tensor: dict[str, Any]) -> npt.NDArray[Any]:
    if tensor["dtype"] is np.float32:
        return values
    scale, zero = tensor["quantization"]
    limits = np.iinfo(tensor["dtype"])
    levels = np.rint(values / scale + zero) if scale else np.rint(values)
    return np.clip(levels, limits.min, limits.max).astype(tensor["dtype"])


def _dequantised(levels: npt.NDArray[Any], tensor: dict[str, Any]) -> Floats:
    if tensor["dtype"] is np.float32:
        return np.asarray(levels, np.float32)
    scale, zero = tensor["quantization"]
    return np.asarray((levels.astype(np.float32) - zero) * (scale or 1.0), np.float32)


class KerasPredictor:
    """A Keras file, or a model in memory."""

    def __init__(self, name: str, model: Any, convention: Convention, size_bytes: int = 0) -> None:
        """Wrap a Keras model.

        Raises:
            ValueError: if it is not a model of one picture with a score for each class.
        """
        self.name = name
        self.temperature = 1.0
        self.size_bytes = size_bytes
        self.input = _picture(name, tuple(model.input_shape), model.output_shape[-1], convention)
        self._convention = convention
        self._call: Callable[[Floats], Any] = model.predict_on_batch

    @classmethod
    def from_file(cls, path: Path, convention: Convention | None = None) -> KerasPredictor:
        """A ``.keras``, ``.h5`` or ``.hdf5`` file, also one that Keras 2 wrote.

        Raises:
            ValueError: if it cannot be read as a Keras model of one picture with a score for each class.
        """
        import keras

        try:
            model = keras.saving.load_model(path, custom_objects=_of_keras_2(), compile=False)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ValueError(unusable(path, error, "give a Keras model.")) from error
        return cls(path.name, model, convention or Convention(), path.stat().st_size)

    def run(self, tensor: Floats) -> Floats:
        """The output ``(1, 7)`` as logits for one input tensor."""
        output = np.asarray(self._call(tensor), dtype=np.float32)
        return as_logits(output[:, self._convention.order], self._convention.output)


def _of_keras_2() -> dict[str, Any]:
    """Layers that take what Keras 2 wrote and Keras 3 refuses: a separable convolution's unused settings."""
    from keras import layers

    class SeparableConv2D(layers.SeparableConv2D):  # type: ignore[misc]  # Keras ships no types
        @classmethod
        def from_config(cls, config: dict[str, Any]) -> Any:
            unused = ("groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint")
            return super().from_config({key: value for key, value in config.items() if key not in unused})

    class DepthwiseConv2D(layers.DepthwiseConv2D):  # type: ignore[misc]  # Keras ships no types
        @classmethod
        def from_config(cls, config: dict[str, Any]) -> Any:
            return super().from_config({key: value for key, value in config.items() if key != "groups"})

    return {"SeparableConv2D": SeparableConv2D, "DepthwiseConv2D": DepthwiseConv2D}
