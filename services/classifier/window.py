"""What is on its way to the cloud and not yet confirmed. Pure: time is handed in."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from services.classifier.outbox_file import Item, Kind


@dataclass(slots=True)
class Flight:
    """One item on its way. `since`: when the broker took it; None while it is being sent."""

    item: Item
    since: float | None = None
    first_taken: float | None = None
    """When the broker took it first on this connection, however often it was sent again."""
    sendings: int = 0
    handed_over: bool = False
    """It is being sent on this connection and the broker has not taken it yet."""
    broken: int = 0
    """Connections that ended when this alone had been handed over."""
    overtaken: int = 0
    """How often on this connection it was late while one of its kind that the broker took later was confirmed."""


class Window:
    """Bounds what is unconfirmed, and says what must be sent again.

    Pictures may use half of the bytes and a quarter of the places, so that they never hold up detections.

    Something that is not confirmed in time is sent again. While nothing of its kind is confirmed (the cloud is away, or
    the broker throws that kind away), only one at a time is, as a probe: the window is not sent over and over to
    nobody. It is the one that waits longest, so that each has its turn and no single one that is never confirmed stands
    before all.
    """

    def __init__(self, max_items: int, max_bytes: int, resend_after_s: float) -> None:
        self._max_items = max_items
        self._max_bytes = {Kind.FRAME: max_bytes // 2, Kind.DETECTION: max_bytes - max_bytes // 2}
        self._max_frames = max(1, max_items // 4)
        self._resend_after_s = resend_after_s
        self._flights: dict[UUID, Flight] = {}
        self._counts = {Kind.FRAME: 0, Kind.DETECTION: 0}
        self._bytes = {Kind.FRAME: 0, Kind.DETECTION: 0}
        self._confirmed_at = dict.fromkeys(Kind, float("-inf"))
        self._confirmed_taken_at = dict.fromkeys(Kind, float("-inf"))
        """When the broker took the newest of what was confirmed."""
        self.confirmations = 0
        self._probed_at = dict.fromkeys(Kind, float("-inf"))

    def __len__(self) -> int:
        return len(self._flights)

    def __contains__(self, item_id: UUID) -> bool:
        return item_id in self._flights

    def has_room_for(self, kind: Kind, size: int) -> bool:
        """Whether an item of `size` bytes may be sent now. One of a kind always may while there is a place."""
        if len(self._flights) >= self._max_items:
            return False
        if self._counts[kind] == 0:
            return True
        if kind is Kind.FRAME and self._counts[kind] >= self._max_frames:
            return False
        return self._bytes[kind] + size <= self._max_bytes[kind]

    def add(self, item: Item) -> Flight:
        """Put `item` on its way."""
        flight = Flight(item)
        self._flights[item.id] = flight
        self._counts[item.kind] += 1
        self._bytes[item.kind] += len(item.payload)
        return flight

    def taken(self, flight: Flight, now: float) -> None:
        """The broker has it: the time to its confirmation runs from now."""
        flight.since = now
        flight.handed_over = False
        if flight.first_taken is None:
            flight.first_taken = now

    def confirm(self, ids: Iterable[UUID], now: float) -> int:
        """The cloud has stored these; return how many were on their way."""
        known = unknown = 0
        for item_id in ids:
            flight = self._flights.get(item_id)
            if flight is None:
                unknown += 1
                continue
            self.take_out(flight)
            known += 1
            kind = flight.item.kind
            self._confirmed_at[kind] = now
            if flight.first_taken is not None:  # which of its copies was stored is not known
                self._confirmed_taken_at[kind] = max(self._confirmed_taken_at[kind], flight.first_taken)
        if unknown:  # sent before this program was started again: of which kind is not known any more
            self._confirmed_at = dict.fromkeys(Kind, now)
        self.confirmations += known
        return known

    def all_again(self) -> list[Flight]:
        """After a reconnect: everything that is unconfirmed, oldest first; what was sent before may not have come."""
        again = sorted(self._flights.values(), key=lambda flight: flight.item.seq)
        handed_over = [flight for flight in again if flight.handed_over]
        if len(handed_over) == 1:
            handed_over[0].broken += 1
        for flight in again:
            flight.since = None
            flight.first_taken = None
            flight.handed_over = False
            flight.overtaken = 0
        return again

    def take_out(self, flight: Flight) -> None:
        """Give up the place of something that is not to be sent for now."""
        if self._flights.pop(flight.item.id, None) is not None:
            self._counts[flight.item.kind] -= 1
            self._bytes[flight.item.kind] -= len(flight.item.payload)

    def due(self, now: float) -> list[Flight]:
        """What must be sent again now, oldest first."""
        again: list[Flight] = []
        for kind in Kind:
            late = self._late(kind, now)
            if late and self._is_silent(kind, now):
                if now - self._probed_at[kind] < self._resend_after_s:
                    continue
                late = [min(late, key=lambda flight: (flight.since, flight.item.seq))]
                self._probed_at[kind] = now
            again += late
        for flight in again:
            if flight.since is not None and flight.since < self._confirmed_taken_at[flight.item.kind]:
                flight.overtaken += 1
            flight.since = None
        return sorted(again, key=lambda flight: flight.item.seq)

    def next_due_in(self, now: float) -> float | None:
        """Seconds until it is worth asking `due`; None while nothing is on its way."""
        if not self._flights:
            return None
        waits = [self._next_of(kind, now) for kind in Kind]
        return min((wait for wait in waits if wait is not None), default=self._resend_after_s)

    def waiting_s(self, kind: Kind, now: float) -> float:
        """Seconds since the cloud last confirmed something of `kind` that it was sent; 0 while nothing waits."""
        since = [
            flight.first_taken
            for flight in self._flights.values()
            if flight.item.kind is kind and flight.first_taken is not None
        ]
        return max(0.0, now - max(min(since), self._confirmed_at[kind])) if since else 0.0

    def _late(self, kind: Kind, now: float) -> list[Flight]:
        return [
            flight
            for flight in self._flights.values()
            if flight.item.kind is kind and flight.since is not None and now - flight.since >= self._resend_after_s
        ]

    def _next_of(self, kind: Kind, now: float) -> float | None:
        since = [f.since for f in self._flights.values() if f.item.kind is kind and f.since is not None]
        if not since:
            return None
        at = min(since) + self._resend_after_s
        if self._is_silent(kind, max(now, at)):
            at = max(at, self._probed_at[kind] + self._resend_after_s)
        return max(0.0, at - now)

    def _is_silent(self, kind: Kind, now: float) -> bool:
        return now - self._confirmed_at[kind] >= self._resend_after_s
