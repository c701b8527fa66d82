"""What OpenCV's face detectors are set to, so that the classifier and training's tools find the same faces."""

from typing import Final

YUNET_SCORE: Final = 0.7
"""Least score at which YuNet's find counts as a face, unless the classifier is set otherwise."""
YUNET_NMS: Final = 0.3
YUNET_TOP_K: Final = 500
MAX_SIDE: Final = 480
"""Larger frames are scaled down to this side for detection, pixels, unless the classifier is set otherwise."""
LEAST_SIDE: Final = 16
"""Smaller pictures hold no face that could be read, and OpenCV's detectors do not accept them all."""
HAAR_SCALE: Final = 1.1
HAAR_NEIGHBOURS: Final = 5
HAAR_LEAST_FACE: Final = 30


def shrunk(width: int, height: int, max_side: int) -> tuple[int, int]:
    """The size (width, height) at which a picture is looked at."""
    shrink = min(1.0, max_side / max(width, height))
    if shrink == 1.0:
        return width, height
    return max(LEAST_SIDE, round(width * shrink)), max(LEAST_SIDE, round(height * shrink))
