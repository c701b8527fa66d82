"""One frame, from bytes to what was read of it. Uses no broker, so that files are read by it too."""

import time
from typing import Any, Final

import cv2
import numpy as np
import threadpoolctl

from services.classifier.emotion import EmotionModel
from services.classifier.faces import Bgr, Detector, FaceBox, ReadFace, Reading
from services.classifier.quality import assess
from shared.errors import BadPicture
from shared.jpeg import check_picture
from shared.messages import MAX_FACES
from shared.vision import Floats, Grey

MAX_SIDE: Final = 32767
"""Longest side that a detection can name."""
_LOOK_SIDE: Final = 12
_OPENCV_THREADS: Final = 2


def decode(jpeg: bytes) -> Bgr:
    """Decode a JPEG after its header was checked.

    Raises:
        BadPicture: not a JPEG, damaged, cut off, or larger than what is accepted.
    """
    width, height = check_picture(jpeg)
    if max(width, height) > MAX_SIDE:
        raise BadPicture(f"picture of {width}x{height} pixels; a side may have at most {MAX_SIDE}")
    try:
        bgr: Any = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise BadPicture(f"damaged JPEG: {str(error).splitlines()[0]}") from None
    if bgr is None:
        raise BadPicture("damaged JPEG: its picture data cannot be decoded")
    result: Bgr = bgr
    return result


class FramePipeline:
    """Detector and model behind one call. Belongs to the thread that made it."""

    def __init__(self, detector: Detector, model: EmotionModel) -> None:
        """Set this process's OpenCV to two threads and BLAS to one.

        BLAS threads cost more than they give on matrices this small (5 ms a face where one takes 0.2 ms).
        """
        threadpoolctl.threadpool_limits(limits=1, user_api="blas")
        cv2.setNumThreads(_OPENCV_THREADS)
        self.detector = detector
        self.model = model

    def read(self, bgr: Bgr) -> Reading:
        """Find and classify all faces of `bgr` (H, W, 3); at most `MAX_FACES`, best first.

        Raises:
            BadPicture: OpenCV cannot work on this picture.
        """
        began = time.perf_counter()
        try:
            found = self.detector.detect(bgr)[:MAX_FACES]
            detected = time.perf_counter()
            faces = self._classify(bgr, found) if found else ()
        except cv2.error as error:
            raise BadPicture(
                f"picture of {bgr.shape[1]}x{bgr.shape[0]} cannot be worked on: {str(error).splitlines()[0]}"
            ) from None
        ended = time.perf_counter()
        timings = {"detect": 1000 * (detected - began), "classify": 1000 * (ended - detected)}
        return Reading((bgr.shape[1], bgr.shape[0]), faces, timings)

    def _classify(self, bgr: Bgr, found: list[FaceBox]) -> tuple[ReadFace, ...]:
        grey: Any = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
        crops = [self.model.crop(grey, face.box) for face in found]
        probabilities = self.model.classify_crops(crops)
        return tuple(
            ReadFace(face, row, assess(grey, face), _look(crop))
            for face, row, crop in zip(found, probabilities, crops, strict=True)
        )


def _look(crop: Grey) -> Floats:
    """A face's crop shrunk to what the tracker compares."""
    small: Any = cv2.resize(crop, (_LOOK_SIDE, _LOOK_SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)
