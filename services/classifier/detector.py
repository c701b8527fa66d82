"""Edge: face detectors of OpenCV behind one small interface."""

from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from services.classifier.faces import Bgr, Detector, FaceBox
from services.classifier.settings import DetectorChoice
from services.classifier.yunet_file import FETCH_COMMAND, YUNET_PATH, yunet_problem
from shared import logs
from shared.detection import (
    HAAR_LEAST_FACE,
    HAAR_NEIGHBOURS,
    HAAR_SCALE,
    LEAST_SIDE,
    YUNET_NMS,
    YUNET_TOP_K,
    shrunk,
)
from shared.errors import ModelError
from shared.messages import MAX_FACES, Problem

_MOST_OF_FRAME: Final = 2.0
"""A face's box is at most so many times as large, or so far out, as the frame's longer side."""
_HAAR_SCORE: Final = 0.5
"""The cascade gives no score; half says that it is not known to be good."""

log = logs.get(__name__)


class YuNet:
    """YuNet (Wu, Peng & Yu 2023, doi 10.1007/s11633-023-1423-y) by `cv2.FaceDetectorYN`."""

    name = "yunet"

    def __init__(self, file: Path, *, score: float, max_side: int) -> None:
        try:
            self._net: Any = cv2.FaceDetectorYN.create(str(file), "", (320, 320), score, YUNET_NMS, YUNET_TOP_K)
        except cv2.error as error:
            raise ModelError(
                f"{file} cannot be used by OpenCV {cv2.__version__} ({str(error).splitlines()[0]}); "
                f"fetch it again with `{FETCH_COMMAND}`"
            ) from None
        self._size = (320, 320)
        self._max_side = max_side

    def detect(self, bgr: Bgr) -> list[FaceBox]:
        height, width = bgr.shape[:2]
        if min(height, width) < LEAST_SIDE:
            return []
        picture: Any = bgr
        size = shrunk(width, height, self._max_side)
        if size != (width, height):
            picture = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
        if size != self._size:
            self._net.setInputSize(size)
            self._size = size
        found = self._net.detect(picture)[1]
        if found is None:
            return []
        rows = np.asarray(found, np.float32)
        # Sizes come out of an exponential: on odd input they can be anything.
        sane = (
            np.isfinite(rows).all(axis=1)
            & (rows[:, 2:4] >= 1).all(axis=1)
            & (rows[:, 2:4] <= _MOST_OF_FRAME * max(size)).all(axis=1)
        )
        rows = rows[sane & (np.abs(rows[:, :2]) <= _MOST_OF_FRAME * max(size)).all(axis=1)]
        rows = rows[np.argsort(-rows[:, 14], kind="stable")][:MAX_FACES]
        scale = np.array([width / size[0], height / size[1]], np.float32)
        faces = []
        for row in rows:
            x, y = row[0:2] * scale
            w, h = row[2:4] * scale
            marks = row[4:14].reshape(5, 2) * scale
            faces.append(FaceBox(float(x), float(y), float(w), float(h), min(1.0, max(0.0, float(row[14]))), marks))
        return faces


class Haar:
    """Viola and Jones's cascade, OpenCV's frontal face: the fallback that needs no file of its own."""

    name = "haar"

    def __init__(self, *, max_side: int) -> None:
        file = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"
        self._cascade: Any = cv2.CascadeClassifier(str(file))
        if self._cascade.empty():
            raise ModelError(
                f"OpenCV {cv2.__version__} has no cascade at {file}; expected opencv-python-headless 4.x, "
                f"or YuNet's file by `{FETCH_COMMAND}`"
            )
        self._max_side = max_side

    def detect(self, bgr: Bgr) -> list[FaceBox]:
        height, width = bgr.shape[:2]
        if min(height, width) < LEAST_SIDE:
            return []
        grey: Any = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
        size = shrunk(width, height, self._max_side)
        if size != (width, height):
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        across, down = width / grey.shape[1], height / grey.shape[0]
        found = self._cascade.detectMultiScale(
            cv2.equalizeHist(grey), HAAR_SCALE, HAAR_NEIGHBOURS, minSize=(HAAR_LEAST_FACE, HAAR_LEAST_FACE)
        )
        faces = [FaceBox(x * across, y * down, w * across, h * down, _HAAR_SCORE) for x, y, w, h in np.asarray(found)]
        return sorted(faces, key=lambda face: -face.w * face.h)[:MAX_FACES]


def open_detector(
    choice: DetectorChoice, models_dir: Path, *, score: float, max_side: int
) -> tuple[Detector, Problem | None]:
    """The detector to use, and what a person should know about it.

    Raises:
        ModelError: YuNet was asked for by name and its file cannot be used, or OpenCV has no cascade.
    """
    if choice == "haar":
        return Haar(max_side=max_side), None
    file = models_dir / YUNET_PATH
    cause = yunet_problem(file)
    if cause is None:
        return YuNet(file, score=score, max_side=max_side), None
    if choice == "yunet":
        raise ModelError(f"detector 'yunet': {cause}; fetch it with `{FETCH_COMMAND}`")
    log.warning("face detector YuNet is not there, using the Haar cascade", cause=cause, next_step=FETCH_COMMAND)
    problem = Problem(
        title="Faces that are turned or tilted will be missed",
        cause=f"The better face detector is not there: {cause}. The older Haar cascade is used instead.",
        next_step=f"Run `{FETCH_COMMAND}` on this device, then start the classifier again.",
    )
    return Haar(max_side=max_side), problem
