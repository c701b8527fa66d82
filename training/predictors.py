"""One way to ask any model for its logits: a model folder run by LiteRT, or a Keras file."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from shared.preset import CropSpec, InputSpec, Preset, load_model
from shared.vision import crop_face, to_input

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Latency:
    """Milliseconds for one face on one thread, from grey crop to output."""

    p50_ms: float
    p95_ms: float
    runs: int


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


class LiteRtPredictor:
    """A ``.tflite`` file on one thread of LiteRT's interpreter."""

    def __init__(self, name: str, content: bytes, spec: InputSpec, output: str, temperature: float) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.name = name
        self.temperature = temperature
        self.size_bytes = len(content)
        self.input = spec
        self._output = output
        self._interpreter: Any = Interpreter(model_content=content, num_threads=1)
        self._interpreter.allocate_tensors()
        entry, result = self._interpreter.get_input_details()[0], self._interpreter.get_output_details()[0]
        if tuple(entry["shape"]) != spec.shape:
            raise ValueError(
                f"{name}: the model wants an input of {tuple(entry['shape'])}, the preset says {spec.shape}."
            )
        self._entry, self._result = entry["index"], result["index"]

    @classmethod
    def from_folder(cls, folder: Path) -> tuple[LiteRtPredictor, Preset]:
        """The model of a folder with ``preset.json``.

        Raises:
            shared.errors.ModelError: if the folder is not a complete, unchanged model.
        """
        model = load_model(folder)
        preset = model.preset
        predictor = cls(preset.name, model.path.read_bytes(), preset.input, preset.output, preset.temperature)
        return predictor, preset

    def run(self, tensor: Floats) -> Floats:
        """The output ``(1, 7)`` as logits for one input tensor."""
        self._interpreter.set_tensor(self._entry, tensor)
        self._interpreter.invoke()
        return as_logits(self._interpreter.get_tensor(self._result), self._output)


class KerasPredictor:
    """A Keras file, or a model in memory."""

    def __init__(self, name: str, model: Any, scale: float, offset: float, output: str, size_bytes: int = 0) -> None:
        _, height, width, channels = model.input_shape
        self.name = name
        self.temperature = 1.0
        self.size_bytes = size_bytes
        self.input = InputSpec(height=height, width=width, channels=channels, scale=scale, offset=offset)
        self._output = output
        self._call: Callable[[Floats], Any] = model.predict_on_batch

    @classmethod
    def from_file(cls, path: Path, scale: float, offset: float, output: str) -> KerasPredictor:
        """A ``.keras`` or ``.h5`` file, its grey input scaled as told.

        Raises:
            ValueError: if it cannot be read as a Keras model of one picture with seven scores.
        """
        import keras

        try:
            model = keras.saving.load_model(path, compile=False)
        except (OSError, ValueError, TypeError) as error:
            raise ValueError(f"{path} cannot be read as a Keras model: {error}") from error
        if len(model.input_shape) != 4 or model.output_shape[-1] != 7:
            raise ValueError(
                f"{path} takes {model.input_shape} and gives {model.output_shape}; expected one picture "
                "(None, height, width, channels) and seven scores (None, 7)."
            )
        return cls(path.name, model, scale, offset, output, path.stat().st_size)

    def run(self, tensor: Floats) -> Floats:
        """The output ``(1, 7)`` as logits for one input tensor."""
        return as_logits(np.asarray(self._call(tensor), dtype=np.float32), self._output)
