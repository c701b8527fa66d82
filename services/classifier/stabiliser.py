"""Pure: from probabilities that flicker to a word that a person can follow; "not sure" is a normal answer.

Per track: an exponential mean of the probabilities, and hysteresis. A word appears when it is clear for a moment and
goes when it is unclear for longer; it stays long enough to be read.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from shared.emotions import EMOTIONS, Emotion
from shared.messages import Shown

Probabilities = npt.NDArray[np.float64]
State = Emotion | Literal["unsure"]

TIME_CONSTANT_S: Final = 0.3
"""Of the mean over time."""
ENTER: Final = 0.60
ENTER_COSTLY: Final = 0.75
COSTLY: Final[frozenset[Emotion]] = frozenset({"angry", "fear", "disgust"})
"""To name these wrongly does more harm than to be silent, so they must be clearer."""
MARGIN: Final = 0.15
"""Least lead over the second best to appear."""
ENTER_SAMPLES: Final = 3
ENTER_S: Final = 0.3
LEAVE: Final = 0.50
LEAVE_S: Final = 0.8
HOLD_S: Final = 1.5
"""A word stays at least so long, unless the face is lost."""
NO_DATA_S: Final = 2.0
"""Without a readable sight for so long, what was known is forgotten."""


@dataclass(slots=True)
class _State:
    mean: Probabilities
    state: State
    since: datetime
    entered: float
    updated: float
    candidate: Emotion | None = None
    candidate_since: float = 0.0
    candidate_samples: int = 0
    unclear_since: float | None = None


@dataclass(slots=True)
class Stabiliser:
    """The shown state of each track. Times are in seconds and never go back."""

    _tracks: dict[int, _State] = field(default_factory=dict)

    def update(
        self, track_id: int, probabilities: Probabilities, now: float, moment: datetime, *, readable: bool = True
    ) -> Shown:
        """Take one sight of a face into account: `probabilities` (7,) sum to 1; `moment` is the same time for people.

        A sight that is not `readable` adds nothing to the mean and counts as unclear.
        """
        known = self._tracks.get(track_id)
        if known is None or now - known.updated > NO_DATA_S:
            known = _State(np.array(probabilities, np.float64), "unsure", moment, now, now)
            self._tracks[track_id] = known
        elif readable:
            gain = 1.0 - float(np.exp(-(now - known.updated) / TIME_CONSTANT_S))
            known.mean = known.mean + gain * (probabilities - known.mean)
        if readable:
            known.updated = now
        self._weigh_candidate(known, now, readable=readable)
        self._decide(known, now, moment, readable=readable)
        return Shown(state=known.state, since=known.since)

    def mean(self, track_id: int) -> Probabilities:
        """The smoothed probabilities (7,) of a track that was updated.

        Raises:
            KeyError: for a track that is not known.
        """
        return self._tracks[track_id].mean.copy()

    def keep_only(self, track_ids: frozenset[int]) -> None:
        """Forget the tracks that are not among `track_ids`."""
        self._tracks = {key: value for key, value in self._tracks.items() if key in track_ids}

    def _weigh_candidate(self, known: _State, now: float, *, readable: bool) -> None:
        best = _clear_winner(known.mean) if readable else None
        if best is None or best == known.state:
            known.candidate = None
        elif best == known.candidate:
            known.candidate_samples += 1
        else:
            known.candidate, known.candidate_since, known.candidate_samples = best, now, 1

    def _decide(self, known: _State, now: float, moment: datetime, *, readable: bool) -> None:
        shows_word = known.state != "unsure"
        if shows_word and not (readable and known.mean[EMOTIONS.index(known.state)] >= LEAVE):
            if known.unclear_since is None:
                known.unclear_since = now
        else:
            known.unclear_since = None
        held = not shows_word or now - known.entered >= HOLD_S
        if not held:
            return
        if (
            known.candidate is not None
            and known.candidate_samples >= ENTER_SAMPLES
            and now - known.candidate_since >= ENTER_S
        ):
            self._enter(known, known.candidate, now, moment)
        elif known.unclear_since is not None and now - known.unclear_since >= LEAVE_S:
            self._enter(known, "unsure", now, moment)

    @staticmethod
    def _enter(known: _State, state: State, now: float, moment: datetime) -> None:
        known.state, known.since, known.entered = state, moment, now
        known.candidate, known.unclear_since = None, None


def _clear_winner(mean: Probabilities) -> Emotion | None:
    order = np.argsort(-mean, kind="stable")
    best = EMOTIONS[int(order[0])]
    first, second = float(mean[order[0]]), float(mean[order[1]])
    enough = ENTER_COSTLY if best in COSTLY else ENTER
    return best if first >= enough and first - second >= MARGIN else None
