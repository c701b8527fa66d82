"""Dealing faces out into splits, so that nothing that belongs together stands in two. Pure.

Whatever links two faces (the same person, session or picture) puts them in one group, and so does a chain of links.
Groups are dealt out whole, the large ones first, each to the split that lacks most of what it holds. The seed decides
the order among groups of like size; the same faces, shares and seed always give the same splits.
"""

import hashlib
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Group:
    """Faces that must stand together. `key` is the smallest of their names, by which the seed mixes the groups."""

    key: str
    labels: Counter[str] = field(default_factory=Counter)
    members: list[int] = field(default_factory=list)

    @property
    def size(self) -> int:
        """How many faces it has."""
        return self.labels.total()


def linked(links: Iterable[Sequence[Hashable]]) -> list[int]:
    """A number for each row, the same for rows that share a link or are connected by others that do.

    Args:
        links: for each row what it is linked by; None links nothing.
    """
    parent: list[int] = []
    first: dict[tuple[int, Hashable], int] = {}

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = row = parent[parent[row]]
        return row

    for row, of_row in enumerate(links):
        parent.append(row)
        for kind, link in enumerate(of_row):
            if link is not None:
                one, other = root(row), root(first.setdefault((kind, link), row))
                parent[max(one, other)] = min(one, other)
    return [root(row) for row in range(len(parent))]


def deal(groups: Iterable[Group], shares: Mapping[str, int], seed: int) -> dict[str, str]:
    """The split of each group, by its key.

    Args:
        groups: with unlike keys.
        shares: per cent by split, 100 together; a split with 0 gets nothing.
        seed: mixes groups of like size.
    """
    wanted = {split: share / 100 for split, share in shares.items() if share}
    waiting = sorted(groups, key=lambda group: (-group.size.bit_length(), _mixed(seed, group.key)))
    total: Counter[str] = Counter()
    for group in waiting:
        total.update(group.labels)
    have: dict[str, Counter[str]] = {split: Counter() for split in wanted}
    dealt: dict[str, str] = {}
    for group in waiting:

        def lack(split: str, group: Group = group) -> float:
            # How far it is behind its share of the labels that the group brings, weighed by how many it brings.
            return sum(
                count * (1 - have[split][label] / (wanted[split] * total[label]))
                for label, count in group.labels.items()
            )

        best = max(wanted, key=lambda split: (lack(split), wanted[split]))
        dealt[group.key] = best
        have[best].update(group.labels)
    return dealt


def _mixed(seed: int, key: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{key}".encode()).digest()
