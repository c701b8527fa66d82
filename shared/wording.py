"""What is said about a face, the same on the preview picture and on every page. Pure.

It says how a face looks, never how somebody is: a face does not show what someone feels.
"""

from typing import Final

from shared.emotions import Emotion

LOOKS: Final[dict[Emotion, str]] = {
    "angry": "looks angry",
    "disgust": "looks disgusted",
    "fear": "looks afraid",
    "happy": "looks happy",
    "sad": "looks sad",
    "surprise": "looks surprised",
    "neutral": "looks neutral",
}
NOT_SURE: Final = "not sure"


def about_percent(probability: float) -> int:
    """A probability in per cent, rounded down to a multiple of five: no precision is claimed that isn't there."""
    return min(100, int(probability * 100 + 1e-6) // 5 * 5)
