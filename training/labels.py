"""The seven classes of FER2013, in the order every part of the product uses."""

from __future__ import annotations

from typing import Final

LABELS: Final = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
NUM_CLASSES: Final = len(LABELS)
