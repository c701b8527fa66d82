"""Pure: which frames are kept as pictures, and which frames without a face are recorded."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal

from services.classifier.settings import SamplingSettings
from shared.messages import Face, Sampling

Why = Literal["change", "low_confidence", "interval"]


def effective(configured: SamplingSettings, desired: Sampling | None) -> SamplingSettings:
    """The rules in force: what a person wants of the device wins over its configuration, field by field."""
    if desired is None:
        return configured
    return configured.model_copy(
        update={
            "mode": desired.mode,
            "every_s": configured.every_s if desired.every_s is None else desired.every_s,
            "daily_cap": configured.daily_cap if desired.daily_cap is None else desired.daily_cap,
        }
    )


@dataclass(frozen=True, slots=True)
class Kept:
    """How many pictures were kept on a day (UTC)."""

    day: date
    count: int


class FrameSampler:
    """Says of each frame whether its picture is kept, and why. A frame without a face never is."""

    def __init__(self, kept: Kept | None = None) -> None:
        self.kept = kept
        self._last_kept: float | None = None
        self._shown: dict[int, str] = {}
        self._change_waits = False

    def decide(self, rules: SamplingSettings, faces: Sequence[Face], now: float, moment: datetime) -> Why | None:
        """Decide on one frame; a yes counts against the day's cap.

        `now` is in seconds and never goes back; `moment` is the same time of day.
        """
        changed = self._note_changes(faces)
        if rules.mode == "off":
            self._change_waits = False
            return None
        # A change within the pause after a kept frame is caught up by the first frame after it.
        self._change_waits = rules.on_change and (self._change_waits or changed)
        today = moment.astimezone(UTC).date()
        if self.kept is None or self.kept.day != today:
            self.kept = Kept(today, 0)
        since = None if self._last_kept is None else now - self._last_kept
        if not faces or self.kept.count >= rules.daily_cap or (since is not None and since < rules.min_interval_s):
            return None
        why = self._reason(rules, faces, since)
        if why is not None:
            self.kept = Kept(today, self.kept.count + 1)
            self._last_kept = now
            self._change_waits = False
        return why

    def _reason(self, rules: SamplingSettings, faces: Sequence[Face], since: float | None) -> Why | None:
        if self._change_waits:
            return "change"
        least = rules.low_confidence
        if least is not None and any(face.quality.ok and face.confidence < least for face in faces):
            return "low_confidence"
        if rules.every_s is not None and (since is None or since >= rules.every_s):
            return "interval"
        return None

    def _note_changes(self, faces: Sequence[Face]) -> bool:
        """Whether a word appeared or changed for a face. That one goes away is no change to learn from."""
        changed = False
        shown: dict[int, str] = {}
        for face in faces:
            state: str = face.shown.state if face.shown is not None else face.dominant_emotion
            before = self._shown.get(face.track_id, "unsure")
            if state == "unsure":
                state = before
            elif state != before:
                changed = True
            shown[face.track_id] = state
        if shown:
            self._shown = shown
        return changed


class EmptyFrames:
    """Records a stretch of frames without a face by its first and then every `interval_s` seconds."""

    def __init__(self, interval_s: float) -> None:
        self._interval = interval_s
        self._last: float | None = None

    def record(self, *, has_faces: bool, now: float) -> bool:
        """Whether this frame becomes a detection."""
        if has_faces:
            self._last = None
            return True
        if self._last is None or now - self._last >= self._interval:
            self._last = now
            return True
        return False
