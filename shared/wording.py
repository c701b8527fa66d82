"""What is said about a face, the same on the preview picture and on every page. Pure.

It says how a face looks, never how somebody is: a face does not show what someone feels.
"""

from typing import Final

from shared.emotions import Emotion

ADJECTIVES: Final[dict[Emotion, str]] = {
    "angry": "angry",
    "disgust": "disgusted",
    "fear": "afraid",
    "happy": "happy",
    "sad": "sad",
    "surprise": "surprised",
    "neutral": "neutral",
}
"""How a face looks. The emotions' own names, which are nouns for some, are those of the classes in data sets."""
LOOKS: Final[dict[Emotion, str]] = {emotion: f"looks {adjective}" for emotion, adjective in ADJECTIVES.items()}
NOT_SURE: Final = "not sure"


def about_percent(probability: float) -> int:
    """A probability in per cent, rounded down to a multiple of five: no precision is claimed that isn't there."""
    return min(100, int(probability * 100 + 1e-6) // 5 * 5)
