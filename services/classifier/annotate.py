"""Pure: draws boxes and words on a copy of a frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np

from services.classifier.faces import Bgr
from shared.messages import LiveFace
from shared.wording import LOOKS, NOT_SURE, about_percent

_COLOURS: Final[dict[str, tuple[int, int, int]]] = {  # blue, green, red
    "angry": (0, 94, 213),
    "disgust": (115, 158, 0),
    "fear": (167, 121, 204),
    "happy": (66, 228, 240),
    "sad": (178, 114, 0),
    "surprise": (0, 159, 230),
    "neutral": (233, 180, 86),
    "unsure": (190, 190, 190),
}
"""Okabe and Ito's palette, told apart with any colour vision (2008); the word says it too."""
_DARK: Final = (20, 20, 20)
_LIGHT: Final = (255, 255, 255)
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
_TEXT_AT_HEIGHT: Final = 360 / 0.55
"""Frame height for each unit of font scale: at 640x360 letters are about 12 px high."""


@dataclass(frozen=True, slots=True)
class Label:
    """What is written at a face."""

    text: str
    state: str


def label(face: LiveFace) -> Label:
    """The words for a face: what is shown for it, with its smoothed probability; else that it is not sure."""
    state = face.shown.state
    if state == "unsure":
        return Label(NOT_SURE, state)
    return Label(f"{LOOKS[state]} {about_percent(getattr(face.emotion, state))}%", state)


def annotate(bgr: Bgr, faces: Sequence[LiveFace]) -> Bgr:
    """A copy of `bgr` (H, W, 3) with each face's box and words."""
    canvas: Any = np.ascontiguousarray(bgr).copy()
    height, width = canvas.shape[:2]
    scale = max(0.4, height / _TEXT_AT_HEIGHT)
    thin = max(1, round(scale * 2))
    for face in faces:
        shown = label(face)
        colour = _COLOURS[shown.state]
        left, top = face.region.x, face.region.y
        right, bottom = left + face.region.w, top + face.region.h
        cv2.rectangle(canvas, (left, top), (right, bottom), _DARK, thin + 2, cv2.LINE_AA)
        cv2.rectangle(canvas, (left, top), (right, bottom), colour, thin, cv2.LINE_AA)
        (text_width, text_height), base = cv2.getTextSize(shown.text, _FONT, scale, thin)
        x = int(np.clip(left, 2, max(2, width - text_width - 2)))
        above, below = top - base - thin, bottom + text_height + base + thin
        y = above if above - text_height >= 2 else min(below, height - base - 2)
        cv2.putText(canvas, shown.text, (x, y), _FONT, scale, _DARK, thin + 3, cv2.LINE_AA)
        cv2.putText(canvas, shown.text, (x, y), _FONT, scale, _LIGHT, thin, cv2.LINE_AA)
    result: Bgr = canvas
    return result
