"""Let models that are already there tell what they see in every Training face: ``python -m training.teach``.

A network that learns from a teacher's probabilities as well as from the label learns more from the same faces
(knowledge distillation, Hinton et al. 2015, arXiv:1503.02531). The teachers are asked once, not at every step, so a
run costs no more with them; several teachers, and several views of a face, are averaged.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from shared.vision import softmax
from training.augment import FloatArray, resample
from training.commands import ended
from training.data import NUM_CLASSES, read_faces
from training.predictors import LiteRtPredictor, Predictor, predict
from training.teaching import write_teaching

# As it is and turned a little either way, each also as its mirror image: scale, roll in degrees, shift in pixels.
_VIEWS: Final = ((1.0, 0.0, 0.0), (0.92, 4.0, 2.0), (1.08, -4.0, -2.0))


def views() -> list[FloatArray]:
    """``(2, 3)`` maps for ``resample`` of each way a teacher looks at a face."""
    maps = []
    for scale, degrees, shift in _VIEWS:
        sine, cosine = scale * np.sin(np.radians(degrees)), scale * np.cos(np.radians(degrees))
        maps += [
            np.array([[mirror * cosine, -sine, shift], [mirror * sine, cosine, 0]], np.float32) for mirror in (1, -1)
        ]
    return maps


def teach(predictors: list[Predictor], pixels: npt.NDArray[np.uint8]) -> FloatArray:
    """``(N, 7)`` mean of the teachers' calibrated probabilities over all views of ``(N, 48, 48)`` faces."""
    total = np.zeros((len(pixels), NUM_CLASSES), np.float64)
    for matrix in views():
        seen = np.rint(resample(pixels, np.tile(matrix, (len(pixels), 1, 1)))).astype(np.uint8)
        for predictor in predictors:
            total += softmax(predict(predictor, seen), predictor.temperature)
    mean: FloatArray = (total / (len(predictors) * len(views()))).astype(np.float32)
    return mean


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m training.teach", description=(__doc__ or "").split(":")[0])
    parser.add_argument("--model", type=Path, action="append", required=True, help="a model folder; may be repeated")
    parser.add_argument(
        "--data", type=Path, required=True, help="FER2013's CSV, plain, .gz or .xz, or a folder of class folders"
    )
    parser.add_argument("--out", type=Path, required=True, help="file to write, e.g. runs/teacher.npz")
    arguments = parser.parse_args(argv)

    def work() -> int:
        predictors: list[Predictor] = [LiteRtPredictor.from_folder(folder)[0] for folder in arguments.model]
        faces = read_faces(arguments.data).with_usage("Training")
        probabilities = teach(predictors, faces.pixels)
        write_teaching(arguments.out, faces, probabilities)
        agreement = float(np.mean(probabilities.argmax(axis=1) == faces.labels))
        print(f"{arguments.out}: {len(faces)} faces; the teachers give {100 * agreement:.1f}% of them their label")
        return 0

    return ended(work)


if __name__ == "__main__":
    sys.exit(main())
