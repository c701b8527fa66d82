"""The seven emotions in FER2013's order, the only order used anywhere."""

from typing import Final, Literal, get_args

Emotion = Literal["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]

EMOTIONS: Final[tuple[Emotion, ...]] = get_args(Emotion)
"""FER2013's classes 0-6. Names are those that users of face libraries know (DeepFace, FER)."""
