"""What class and split folders are called, and how names of others are shown."""

from __future__ import annotations

from typing import Final

from shared.emotions import EMOTIONS, Emotion

_SYNONYMS: Final[dict[Emotion, tuple[str, ...]]] = {
    "angry": ("anger",),
    "disgust": ("disgusted",),
    "fear": ("fearful", "afraid", "scared"),
    "happy": ("happiness", "joy", "joyful"),
    "sad": ("sadness",),
    "surprise": ("surprised",),
    "neutral": (),
}
# No numbers: FER2013 counts its classes from 0 and others from 1, in another order.
_LABELS: Final = {name: label for label, emotion in enumerate(EMOTIONS) for name in (emotion, *_SYNONYMS[emotion])}
_USAGES: Final = {
    "train": "Training",
    "training": "Training",
    "val": "PublicTest",
    "valid": "PublicTest",
    "validation": "PublicTest",
    "dev": "PublicTest",
    "publictest": "PublicTest",
    "test": "PrivateTest",
    "testing": "PrivateTest",
    "privatetest": "PrivateTest",
}


def label_of(name: str) -> int | None:
    """The class that a name stands for, or None."""
    return _LABELS.get(name.strip().casefold())


def usage_of(name: str) -> str | None:
    """The usage that the name of a split stands for, or None."""
    return _USAGES.get(name.strip().casefold())


def printable(name: str) -> str:
    """A name without what would confuse a terminal or cannot be written as UTF-8."""
    return name if name.isprintable() else ascii(name)[1:-1]
