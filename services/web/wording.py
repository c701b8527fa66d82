"""What a page says about a face, from what was read of it. Pure.

It says how a face looks, never how somebody is. Numbers stand beside words because bracketed numbers raised correct
interpretation from 32% to 66% (Wintle et al. 2019, doi 10.1371/journal.pone.0213522).
"""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from shared.emotions import Emotion
from shared.messages import Emotions, Face, LiveFace, Quality
from shared.wording import LOOKS, NOT_SURE, about_percent

LIKELY: Final = 80
"""Per cent from which on a reading is called likely."""
SURE_ENOUGH: Final = 50
"""Per cent below which a single frame's reading is called not sure."""

_WHY: Final = {
    "small": "far away",
    "blurred": "blurred",
    "dark": "in the dark",
    "bright": "lit too brightly",
    "turned": "turned away",
}


class Words(BaseModel):
    """A reading in words. Where it is not sure, `certainty` and `percent` are null and `why` says why."""

    model_config = ConfigDict(frozen=True)

    state: Emotion | Literal["unsure"]
    headline: str
    certainty: Literal["likely", "maybe"] | None = None
    percent: int | None = None
    why: str | None = None


def _not_sure(quality: Quality) -> Words:
    reasons = " and ".join(_WHY[reason] for reason in quality.reasons)
    why = f"the face is {reasons}" if reasons else "no expression is clear enough"
    return Words(state="unsure", headline=NOT_SURE.capitalize(), why=why)


def _looks(state: Emotion, emotions: Emotions) -> Words:
    percent = about_percent(getattr(emotions, state))
    return Words(
        state=state,
        headline=LOOKS[state].capitalize(),
        certainty="likely" if percent >= LIKELY else "maybe",
        percent=percent,
    )


def live_words(face: LiveFace) -> Words:
    """Words for a stabilised face: the edge decided what is shown, so that words do not flicker."""
    if face.shown.state == "unsure":
        return _not_sure(face.quality)
    return _looks(face.shown.state, face.emotion)


def detection_words(face: Face) -> Words:
    """Words for a face of one frame: what the screen said then, with this frame's probability.

    Where the edge does not stabilise, the frame speaks for itself.
    """
    if face.shown is not None:
        if face.shown.state == "unsure":
            return _not_sure(face.quality)
        words = _looks(face.shown.state, face.emotion)
        # What is shown outlasts a frame that reads otherwise; its number would contradict the word.
        return words if (words.percent or 0) >= SURE_ENOUGH else words.model_copy(update={"percent": None})
    if not face.quality.ok or about_percent(face.confidence) < SURE_ENOUGH:
        return _not_sure(face.quality)
    return _looks(face.dominant_emotion, face.emotion)
