"""How far labellers agree beyond chance. Pure.

A kappa is 1 where they always agree, 0 where they agree as often as chance would, and negative where less often. It is
None where it is not defined: no face in common, or everybody gives one and the same label throughout.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations

Pairs = Mapping[tuple[str, str], int]
"""How many faces the first labeller called one thing and the second another: a contingency table."""


class Tally:
    """Votes, counted as the kappas need them: what this holds grows with labellers, not with faces."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._place = {label: place for place, label in enumerate(labels)}
        self._judged: Counter[tuple[int, ...]] = Counter()
        self.labellers: Counter[str] = Counter()
        """Votes of each."""
        self.tables: dict[tuple[str, str], Counter[tuple[str, str]]] = {}
        """A contingency table of each two labellers with a face in common."""

    def add(self, said: Sequence[tuple[str, str]], times: int) -> None:
        """Take what each labeller said of a face, in an order of labellers that is always the same; `times` faces have
        just these votes."""
        counts = [0] * len(self._place)
        for labeller, label in said:
            self.labellers[labeller] += times
            counts[self._place[label]] += 1
        if len(said) > 1:
            self._judged[tuple(counts)] += times
        for (first, heard), (second, other) in combinations(said, 2):
            self.tables.setdefault((first, second), Counter())[heard, other] += times

    @property
    def judged(self) -> list[tuple[tuple[int, ...], int]]:
        """Votes by label, and how many faces have just these; of faces with two votes or more."""
        return list(self._judged.items())


def _kappa(observed: float, expected: float) -> float | None:
    # Where only one label occurs, chance agrees always and nothing can be said.
    return None if math.isclose(expected, 1.0) else (observed - expected) / (1.0 - expected)


def observed_agreement(pairs: Pairs) -> float | None:
    """The share of faces that two labellers called the same; None without a face in common."""
    total = sum(pairs.values())
    return sum(n for (one, other), n in pairs.items() if one == other) / total if total else None


def cohens_kappa(pairs: Pairs) -> float | None:
    """Agreement of two labellers on the faces that both labelled.

    kappa = (p_o - p_e) / (1 - p_e), where p_o is the share of faces on which they agree and p_e = sum over labels k of
    p_1k * p_2k, the share on which they would if each gave labels at random as often as they do (Cohen 1960, "A
    coefficient of agreement for nominal scales", doi 10.1177/001316446002000104).
    """
    observed = observed_agreement(pairs)
    if observed is None:
        return None
    total = sum(pairs.values())
    first: dict[str, int] = {}
    second: dict[str, int] = {}
    for (one, other), n in pairs.items():
        first[one] = first.get(one, 0) + n
        second[other] = second.get(other, 0) + n
    expected = math.fsum(first[label] * second.get(label, 0) for label in first) / total**2
    return _kappa(observed, expected)


def fleiss_kappa(faces: Sequence[tuple[Sequence[int], int]]) -> float | None:
    """Agreement of several labellers, not the same on every face.

    With n_ij of the n_i votes on face i for label j: P_i = (sum over j of n_ij^2 - n_i) / (n_i (n_i - 1)), the share
    of pairs of votes that agree; P_o its mean over the faces; P_e = sum over j of p_j^2 with p_j the share of label j
    among all votes; kappa = (P_o - P_e) / (1 - P_e) (Fleiss 1971, "Measuring nominal scale agreement among many
    raters", doi 10.1037/h0031619). Fleiss has as many votes on every face; where they differ, P_i is taken over the
    votes that a face has, which is the same where they do not.

    Args:
        faces: (votes by label, how many faces have just these); faces with fewer than two votes are left out.
    """
    judged = [(votes, times) for votes, times in faces if sum(votes) >= 2 and times > 0]
    if not judged:
        return None
    count = sum(times for _, times in judged)
    agreeing = math.fsum(
        times * (sum(n * n for n in votes) - sum(votes)) / (sum(votes) * (sum(votes) - 1)) for votes, times in judged
    )
    by_label = [
        sum(n * times for n, times in zip(column, [t for _, t in judged], strict=True))
        for column in zip(*(votes for votes, _ in judged), strict=True)
    ]
    total = sum(by_label)
    return _kappa(agreeing / count, math.fsum((n / total) ** 2 for n in by_label))
