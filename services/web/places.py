"""How many live streams may be open at once, all together and of one person. In memory; pure."""

from collections import Counter


class NoPlace(Exception):
    """No more streams are let in: `most` are open already, of one's own or of everybody's."""

    def __init__(self, most: int, *, own: bool) -> None:
        super().__init__(f"{most} live streams are open already")
        self.most = most
        self.own = own


class Places:
    """Places of viewers. Whoever took one gives it back."""

    def __init__(self, most: int, most_each: int) -> None:
        self._most = most
        self._most_each = most_each
        self._taken: Counter[str | None] = Counter()

    def take(self, person: str | None) -> None:
        """Take one for a person; None where nobody logs in, for then nobody can be told from anybody.

        Raises:
            NoPlace: if there is none.
        """
        if person is not None and self._taken[person] >= self._most_each:
            raise NoPlace(self._most_each, own=True)
        if self._taken.total() >= self._most:
            raise NoPlace(self._most, own=False)
        self._taken[person] += 1

    def give_back(self, person: str | None) -> None:
        """One that was taken is free again."""
        self._taken[person] -= 1
        if self._taken[person] <= 0:
            del self._taken[person]
