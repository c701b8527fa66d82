"""Pure: gives each face a track id that stays with its person across frames, and never with two people.

Detections are assigned to tracks by least total cost (Kuhn's Hungarian method), as SORT does (Bewley et al. 2016,
arXiv:1602.00763), with a constant-velocity prediction. What differs is the preference in doubt: a person who gets a
second id costs a researcher little; two people under one id spoil the data. So where another assignment would be
almost as good, all who are part of the doubt get new ids. What no tracker can see from boxes alone, that one person
took another's place between two frames, is seen by comparing the faces' small pictures.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from shared.vision import Box

Floats = npt.NDArray[np.float64]
Look = npt.NDArray[np.float32]
"""A face's small grey picture, any equal shape. Compared between neighbouring frames only, never kept or sent."""

LOST_AFTER_S: Final = 1.0
"""A face unseen for longer comes back as a new track: by then another may stand there."""
GATE: Final = 0.7
"""Farthest step from the predicted centre, in face sizes."""
STRICT_GATE: Final = 0.2
"""The same for tracks that stand close together or were born in doubt, and for a while after: where two faces overlap
the detector gives one of them, now this and now that."""
STRICT_S: Final = 2.0
HIDDEN_S: Final = 30.0
"""The same for a track that may hide somebody: one born in doubt, or near one that was lost from sight."""
CLOSE: Final = 1.2
"""Tracks nearer to each other than this, in face sizes, stand close together."""
SIZE_RATIO: Final = 1.6
"""Largest change of size from one sight to the next."""
STRICT_SIZE_RATIO: Final = 1.15
MARGIN: Final = 0.3
"""An assignment is in doubt where another costs less than this more, in face sizes."""
LEAST_LIKENESS: Final = 0.45
"""Correlation below which two neighbouring sights are not of the same face: the picture was cut to another.

On recorded clips at 12.5 frames/s one face stays above 0.80, on the sample, where boxes jump more, above 0.51; two
people lie between -0.13 and 0.73."""
_HORIZON_S: Final = 0.3
"""A lost face is predicted this far only; then it is expected where it would be."""
_LEAST_STEP_S: Final = 0.005
_VELOCITY_GAIN: Final = 0.5
_SIZE_WEIGHT: Final = 0.5
_OVERLAP_WEIGHT: Final = 0.25
_FORBIDDEN: Final = 1e6


@dataclass(slots=True)
class _Track:
    track_id: int
    box: Floats  # centre x, centre y, w, h
    velocity: Floats  # px/s of the centre
    seen: float
    strict_until: float
    look: Look | None

    def predicted(self, now: float) -> Floats:
        ahead = min(max(0.0, now - self.seen), _HORIZON_S)
        result = self.box.copy()
        result[:2] += self.velocity * ahead
        return result

    def close_to(self, other: "_Track", now: float) -> bool:
        size = np.sqrt(np.sqrt(np.prod(self.box[2:]) * np.prod(other.box[2:])))
        return bool(np.hypot(*(self.predicted(now)[:2] - other.predicted(now)[:2])) < CLOSE * size)

    def saw(self, box: Floats, now: float, look: Look | None) -> None:
        step = now - self.seen
        if step >= _LEAST_STEP_S:
            self.velocity += _VELOCITY_GAIN * ((box[:2] - self.box[:2]) / step - self.velocity)
        self.box, self.seen, self.look = box, now, look


class Tracker:
    """Tracks of one boot. `now` is in seconds and never goes back."""

    def __init__(self, first_id: int = 1) -> None:
        self._next_id = first_id
        self._tracks: list[_Track] = []
        self._now = float("-inf")

    @property
    def active_ids(self) -> frozenset[int]:
        """Tracks that may still be continued."""
        return frozenset(track.track_id for track in self._tracks)

    def update(self, boxes: Sequence[Box], now: float, looks: Sequence[Look] | None = None) -> list[int]:
        """Track ids of the faces of one frame, in the order of `boxes` (x, y, w, h); all different.

        `looks`, where given, are the faces' small pictures, one for each box.
        """
        now = self._now = max(now, self._now)
        self._expire(now)
        found = np.array([(x + w / 2, y + h / 2, w, h) for x, y, w, h in boxes], np.float64).reshape(-1, 4)
        seen = list(looks) if looks is not None else [None] * len(found)
        costs, possible, replaced = self._costs(found, seen, now)
        pairs = assign(costs)
        doubtful_tracks, doubtful_boxes = _doubts(costs, possible, pairs)
        ids = [0] * len(found)
        for i, j in pairs:
            if j not in doubtful_boxes:
                self._tracks[i].saw(found[j], now, seen[j])
                ids[j] = self._tracks[i].track_id
        gone = doubtful_tracks | (replaced - {i for i, _ in pairs})
        self._tracks = [track for i, track in enumerate(self._tracks) if i not in gone]
        for j, track_id in enumerate(ids):
            if not track_id:
                ids[j] = self._begin(found[j], now, seen[j], in_doubt=j in doubtful_boxes)
        self._mark_close(now)
        return ids

    def _begin(self, box: Floats, now: float, look: Look | None, *, in_doubt: bool) -> int:
        strict_until = now + HIDDEN_S if in_doubt else now
        self._tracks.append(_Track(self._next_id, box, np.zeros(2), now, strict_until, look))
        self._next_id += 1
        return self._next_id - 1

    def _expire(self, now: float) -> None:
        expired = [track for track in self._tracks if now - track.seen > LOST_AFTER_S]
        self._tracks = [track for track in self._tracks if now - track.seen <= LOST_AFTER_S]
        for track in self._tracks:
            if any(track.close_to(gone, now) for gone in expired):
                track.strict_until = max(track.strict_until, now + HIDDEN_S)

    def _mark_close(self, now: float) -> None:
        for i, one in enumerate(self._tracks):
            for other in self._tracks[:i]:
                if one.close_to(other, now):
                    one.strict_until = max(one.strict_until, now + STRICT_S)
                    other.strict_until = max(other.strict_until, now + STRICT_S)

    def _costs(self, found: Floats, looks: Sequence[Look | None], now: float) -> tuple[Floats, Floats, set[int]]:
        """Costs (tracks, boxes), `inf` where a pair cannot be; the same for doubts; tracks whose face was replaced.

        For doubts it counts as possible, too, that a person stopped or turned back since the last sight: two who walk
        into each other and two who turn back in front of each other look alike.
        """
        costs = np.full((len(self._tracks), len(found)), np.inf)
        possible = costs.copy()
        replaced: set[int] = set()
        for i, track in enumerate(self._tracks):
            expected = track.predicted(now)
            strict = now < track.strict_until
            for j, box in enumerate(found):
                cost, cost_if_still = _cost(expected, box), _cost(track.box, box)
                if min(cost, cost_if_still) == np.inf:
                    continue
                look, other = track.look, looks[j]
                if look is not None and other is not None and likeness(look, other) < LEAST_LIKENESS:
                    replaced.add(i)
                    continue
                possible[i, j] = min(cost, cost_if_still)
                if not strict or _cost(expected, box, STRICT_GATE, STRICT_SIZE_RATIO) < np.inf:
                    costs[i, j] = cost
        return costs, possible, replaced


def _cost(expected: Floats, box: Floats, gate: float = GATE, size_ratio: float = SIZE_RATIO) -> float:
    """What it costs to take `box` for the face that is `expected`; `inf` where it cannot be."""
    size = float(np.sqrt(np.sqrt(box[2] * box[3] * expected[2] * expected[3])))
    ratio = float(np.sqrt(box[2] * box[3] / (expected[2] * expected[3])))
    distance = float(np.hypot(*(box[:2] - expected[:2]))) / size
    if distance > gate or not 1 / size_ratio <= ratio <= size_ratio:
        return float("inf")
    return distance + _SIZE_WEIGHT * abs(float(np.log(ratio))) + _OVERLAP_WEIGHT * (1 - _overlap(expected, box))


def likeness(one: Look, other: Look) -> float:
    """Pearson correlation of two small pictures, -1 to 1; 1 where one of them is flat and says nothing."""
    a, b = one.ravel() - one.mean(), other.ravel() - other.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else 1.0


def _overlap(one: Floats, other: Floats) -> float:
    """Intersection over union of two boxes (centre x, centre y, w, h)."""
    low = np.maximum(one[:2] - one[2:] / 2, other[:2] - other[2:] / 2)
    high = np.minimum(one[:2] + one[2:] / 2, other[:2] + other[2:] / 2)
    common = float(np.prod(np.maximum(0.0, high - low)))
    return common / float(one[2] * one[3] + other[2] * other[3] - common)


def _doubts(costs: Floats, possible: Floats, pairs: Sequence[tuple[int, int]]) -> tuple[set[int], set[int]]:
    """Tracks and boxes for which another assignment, at its `possible` cost, would be almost as good."""
    tracks: set[int] = set()
    boxes: set[int] = set()
    box_of = dict(pairs)
    taken = set(box_of.values())
    for i, j in pairs:
        for k in (int(other) for other in np.flatnonzero(np.isfinite(possible[:, j])) if other != i):
            if k not in box_of:  # another track might be the one that is seen here
                if possible[k, j] - costs[i, j] < MARGIN:
                    tracks |= {i, k}
                    boxes.add(j)
            elif np.isfinite(possible[i, box_of[k]]):  # the two might be swapped
                swapped = possible[k, j] + possible[i, box_of[k]]
                if swapped - costs[i, j] - costs[k, box_of[k]] < 2 * MARGIN:
                    tracks |= {i, k}
                    boxes |= {j, box_of[k]}
        for k in (int(other) for other in np.flatnonzero(np.isfinite(possible[i])) if other not in taken):
            if possible[i, k] - costs[i, j] < MARGIN:  # another box might be this track's
                tracks.add(i)
                boxes |= {j, k}
    return tracks, boxes


def assign(costs: Floats) -> list[tuple[int, int]]:
    """Pairs (row, column) of the assignment that matches most, and among those costs least; `inf` pairs never.

    Kuhn-Munkres with potentials, O(n² m).
    """
    rows, columns = costs.shape
    if rows == 0 or columns == 0:
        return []
    if rows > columns:
        return sorted((i, j) for j, i in assign(costs.T))
    cost = np.where(np.isfinite(costs), costs, _FORBIDDEN)
    row_potential, column_potential = np.zeros(rows + 1), np.zeros(columns + 1)
    row_of = np.zeros(columns + 1, np.intp)  # 1-based; column 0 stands for the row being placed
    for row in range(1, rows + 1):
        row_of[0] = row
        column = 0
        least = np.full(columns + 1, np.inf)
        came_from = np.zeros(columns + 1, np.intp)
        used = np.zeros(columns + 1, bool)
        while True:
            used[column] = True
            here = int(row_of[column])
            reduced = cost[here - 1] - row_potential[here] - column_potential[1:]
            better = ~used[1:] & (reduced < least[1:])
            least[1:][better] = reduced[better]
            came_from[1:][better] = column
            open_columns = np.where(used, np.inf, least)
            following = int(np.argmin(open_columns))
            delta = open_columns[following]
            row_potential[row_of[used]] += delta
            column_potential[used] -= delta
            least[~used] -= delta
            column = following
            if row_of[column] == 0:
                break
        while column:
            before = int(came_from[column])
            row_of[column] = row_of[before]
            column = before
    pairs = [(int(row_of[j]) - 1, j - 1) for j in range(1, columns + 1) if row_of[j]]
    return sorted((i, j) for i, j in pairs if np.isfinite(costs[i, j]))
