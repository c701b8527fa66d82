"""How FER2013's crops lie around the boxes of the detector that the product uses.

FER2013's faces were cut out by another detector than YuNet. ``python -m training.crop_margin`` runs YuNet over them
and finds the crop that, cut around YuNet's box, gives most nearly what the model was trained on: the medians of the
crop's side and of the offset of its centre, in units of the box's size. The exporter writes them into the preset.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from shared.paths import unusable
from shared.preset import CropSpec
from training.commands import ended
from training.data import SIDE, DataError, read_faces
from training.yunet import MIN_SCORE, UPSCALED, CutFaceDetector

FER2013_CROP: Final = Path(__file__).with_name("fer2013_crop.json")


def read_crop(path: Path = FER2013_CROP) -> CropSpec:
    """The crop that an earlier measurement wrote; by default the one of FER2013 behind YuNet.

    Raises:
        DataError: if the file is not one of this program.
    """
    try:
        return CropSpec(**json.loads(path.read_text())["crop"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(unusable(path, error, "write it with python -m training.crop_margin.")) from error


def box_to_crop(boxes: npt.NDArray[np.float64], side: float) -> npt.NDArray[np.float64]:
    """The square ``(0, 0, side, side)`` as seen from each box.

    Args:
        boxes: ``(N, 4)`` of ``x, y, width, height`` in pixels.
        side: of the square, in pixels.

    Returns:
        ``(N, 3)`` of the square's side and the offset of its centre in x and y, in units of ``sqrt(width * height)``.
    """
    unit = np.sqrt(boxes[:, 2] * boxes[:, 3])
    centre = boxes[:, :2] + boxes[:, 2:] / 2
    return np.column_stack([side / unit, (side / 2 - centre) / unit[:, None]])


def measure(faces: npt.NDArray[np.uint8], detector: CutFaceDetector) -> dict[str, Any]:
    """Medians and quartiles of the crop around YuNet's boxes in ``(N, 48, 48)`` faces.

    Raises:
        DataError: if it finds no face.
    """
    boxes = [box for face in faces if (box := detector.box(face)) is not None]
    if not boxes:
        raise DataError(f"{detector.name} found no face in {len(faces)} pictures; is it the fp32 model of 2023mar?")
    quartiles = np.percentile(box_to_crop(np.stack(boxes), UPSCALED), [25, 50, 75], axis=0)
    names = ("scale", "shift_x", "shift_y")
    return {
        "crop": {name: round(float(quartiles[1, i]), 4) for i, name in enumerate(names)},
        "quartiles": {name: [round(float(q), 4) for q in quartiles[:, i]] for i, name in enumerate(names)},
        "faces": len(faces),
        "detected": len(boxes),
        "detector": detector.name,
        "method": f"median over FER2013 Training faces upscaled {SIDE} to {UPSCALED} pixels, score >= {MIN_SCORE}",
    }


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m training.crop_margin", description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--data", type=Path, required=True, help="FER2013's CSV, plain, .gz or .xz, or a folder of class folders"
    )
    parser.add_argument("--yunet", type=Path, required=True, help="face_detection_yunet_2023mar.onnx")
    parser.add_argument("--faces", type=int, default=4000, help="how many Training faces to use (default 4000)")
    parser.add_argument("--seed", type=int, default=0, help="of their choice")
    parser.add_argument("--out", type=Path, help="JSON file to write; without it, the result is printed only")
    arguments = parser.parse_args(argv)

    def work() -> int:
        training = read_faces(arguments.data).with_usage("Training")
        random = np.random.default_rng(arguments.seed)
        rows = random.permutation(len(training))[: arguments.faces]
        result = measure(training.pixels[rows], CutFaceDetector(arguments.yunet))
        text = json.dumps(result, indent=2) + "\n"
        print(text, end="")
        if arguments.out is not None:
            arguments.out.write_text(text)
        return 0

    return ended(work)


if __name__ == "__main__":
    sys.exit(main())
