"""YuNet over faces that were already cut out, to see them as they will come from the product's detector."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from shared.paths import read_bytes
from shared.preset import CropSpec
from shared.vision import crop_face
from training.data import SIDE, DataError

# YuNet was made for faces of 10 to 300 pixels with some background around them.
UPSCALED: Final = 160
_BORDER: Final = 48
MIN_SCORE: Final = 0.8


def open_yunet(
    file: Path, size: tuple[int, int], least_score: float, overlap: float = 0.3, candidates: int = 5000
) -> Any:
    """OpenCV's detector with YuNet.

    Args:
        file: ``face_detection_yunet_2023mar.onnx`` (fp32: the int8 file finds nothing in current OpenCV).
        size: width and height of the pictures, in pixels.
        least_score: of a face that is found.
        overlap: of two boxes that are taken for one face (OpenCV's own choice).
        candidates: most boxes that are compared (OpenCV's own choice).

    Raises:
        DataError: if the file is missing or OpenCV cannot open it.
    """
    import cv2

    if not file.is_file():
        raise DataError(f"{file} is not a file; give YuNet's face_detection_yunet_2023mar.onnx with --yunet.")
    # Read here, since OpenCV does not say why it cannot.
    content = np.frombuffer(read_bytes(file), np.uint8)
    try:
        return cv2.FaceDetectorYN.create("onnx", content, np.zeros(0, np.uint8), size, least_score, overlap, candidates)
    except cv2.error as error:
        raise DataError(f"{file} cannot be opened as YuNet ({error.err}); fetch the file again.") from error


class CutFaceDetector:
    """YuNet for ``(48, 48)`` faces, enlarged and with their border repeated around them."""

    def __init__(self, model: Path) -> None:
        """Open ``face_detection_yunet_2023mar.onnx``.

        Raises:
            DataError: as of ``open_yunet``.
        """
        size = UPSCALED + 2 * _BORDER
        self._detector = open_yunet(model, (size, size), MIN_SCORE)
        self.name = model.name

    def box(self, face: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64] | None:
        """The best box as ``x, y, width, height``, in pixels of the face enlarged to 160; None where there is none."""
        import cv2

        framed = cv2.copyMakeBorder(_enlarged(face), _BORDER, _BORDER, _BORDER, _BORDER, cv2.BORDER_REPLICATE)
        _, found = self._detector.detect(cv2.cvtColor(framed, cv2.COLOR_GRAY2BGR))
        if found is None:
            return None
        best = found[found[:, -1].argmax()]
        box: npt.NDArray[np.float64] = best[:4].astype(np.float64) - np.array([_BORDER, _BORDER, 0, 0])
        return box

    def cut(self, face: npt.NDArray[np.uint8], crop: CropSpec) -> npt.NDArray[np.uint8] | None:
        """The ``(48, 48)`` face as the classifier would cut it around its box; None where there is no box."""
        box = self.box(face)
        if box is None:
            return None
        x, y, width, height = (float(value) for value in box)
        return crop_face(_enlarged(face), (x, y, width, height), crop, (SIDE, SIDE))


def _enlarged(face: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    import cv2

    return np.asarray(cv2.resize(face, (UPSCALED, UPSCALED), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
