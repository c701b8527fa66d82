"""Edge: the emotion model, run by LiteRT."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter

from shared.emotions import EMOTIONS
from shared.errors import ModelError
from shared.messages import ModelRef
from shared.preset import Preset, load_model
from shared.probe import check_probe
from shared.vision import Box, Floats, Grey, calibrated, crop_face, to_input


class EmotionModel:
    """A model folder, ready to use. Belongs to the thread that made it.

    One thread and batches of one: for networks this small, more of either is slower, and a resized batch would set
    up XNNPACK again at each change of the number of faces.
    """

    def __init__(self, folder: Path) -> None:
        """Load and check `folder`.

        Raises:
            ModelError: the folder cannot be used; or its preset does not fit the model, by the tensors' shapes or by
                what the model gives for the probe's picture.
        """
        model = load_model(folder)
        self.preset: Preset = model.preset
        self.ref = ModelRef(name=model.preset.name, version=model.preset.version)
        try:
            self._interpreter: Any = Interpreter(model_path=str(model.path), num_threads=1)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ModelError(
                f"{model.path} is not a model that LiteRT can run ({str(error).splitlines()[0]}); "
                "export it again with `python -m training.export`"
            ) from None
        self._input, self._output = self._checked_tensors(folder)
        check_probe(self.preset, self._run)

    def _checked_tensors(self, folder: Path) -> tuple[int, int]:
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        mend = "export the folder again with `python -m training.export`"
        for kind, tensors in (("input", inputs), ("output", outputs)):
            if len(tensors) != 1:
                raise ModelError(f"model {folder}: expected one {kind} tensor, it has {len(tensors)}; {mend}")
            if tensors[0]["dtype"] is not np.float32:
                found = np.dtype(tensors[0]["dtype"]).name
                raise ModelError(f"model {folder}: expected a float32 {kind}, it has {found}; {mend}")
        shape = tuple(int(n) for n in inputs[0]["shape"])
        if shape != self.preset.input.shape:
            raise ModelError(
                f"model {folder}: preset {self.preset.name!r} expects the input {self.preset.input.shape}, "
                f"the model has {shape}; {mend}"
            )
        classes = tuple(int(n) for n in outputs[0]["shape"])
        if classes != (1, len(EMOTIONS)):
            raise ModelError(f"model {folder}: expected the output (1, {len(EMOTIONS)}), it has {classes}; {mend}")
        return int(inputs[0]["index"]), int(outputs[0]["index"])

    def crop(self, grey: Grey, box: Box) -> Grey:
        """The face in `box` as the model sees it: uint8 (height, width)."""
        return crop_face(grey, box, self.preset.crop, (self.preset.input.height, self.preset.input.width))

    def classify(self, grey: Grey, boxes: Sequence[Box]) -> npt.NDArray[np.float64]:
        """Calibrated probabilities (N, 7) of the faces in `boxes` of `grey` (H, W); rows sum to 1."""
        return self.classify_crops([self.crop(grey, box) for box in boxes])

    def classify_crops(self, crops: Sequence[Grey]) -> npt.NDArray[np.float64]:
        """Calibrated probabilities (N, 7) of faces that `crop` has cut."""
        outputs = np.empty((len(crops), len(EMOTIONS)), np.float32)
        for row, face in zip(outputs, crops, strict=True):
            row[:] = self._run(to_input(face, self.preset.input))[0]
        if not np.isfinite(outputs).all():
            raise ModelError(
                f"model {self.ref.name} {self.ref.version} gave numbers that are not finite; use another model"
            )
        return calibrated(outputs, self.preset.output, self.preset.temperature)

    def _run(self, tensor: Floats) -> Floats:
        """The output (1, 7) for one input tensor."""
        self._interpreter.set_tensor(self._input, tensor)
        self._interpreter.invoke()
        output: Floats = self._interpreter.get_tensor(self._output)
        return output
