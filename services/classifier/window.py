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
    sendings: int = 0
    handed_over: bool = False
    """It is being sent on this connection and the broker has not taken it yet."""
    broken: int = 0
    """Connections that ended when this alone had been handed over."""


class Window:
    """Bounds what is unconfirmed, and says what must be sent again.

    Pictures may use half of the bytes and a quarter of the places, so that they never hold up detections.

    Something that is not confirmed in time is sent again. While nothing at all is confirmed (the cloud is away), only
    one at a time is, as a probe: the window is not sent over and over to nobody. It is the one that waits longest, so
    that each has its turn and no single one that is never confirmed stands before all.
    """

    def __init__(self, max_items: int, max_bytes: int, resend_after_s: float) -> None:
        self._max_items = max_items
        self._max_bytes = {Kind.FRAME: max_bytes // 2, Kind.DETECTION: max_bytes - max_bytes // 2}
        self._max_frames = max(1, max_items // 4)
        self._resend_after_s = resend_after_s
        self._flights: dict[UUID, Flight] = {}
        self._counts = {Kind.FRAME: 0, Kind.DETECTION: 0}
        self._bytes = {Kind.FRAME: 0, Kind.DETECTION: 0}
        self._confirmed_at = float("-inf")
        self.confirmations = 0
        self._probed_at = float("-inf")

    def __len__(self) -> int:
        return len(self._flights)

    def __contains__(self, item_id: UUID) -> bool:
        return item_id in self._flights

    def has_room_for(self, item: Item) -> bool:
        """Whether `item` may be sent now. One of its kind always may, however large, while there is a place."""
        kind = item.kind
        if len(self._flights) >= self._max_items:
            return False
        if self._counts[kind] == 0:
            return True
        if kind is Kind.FRAME and self._counts[kind] >= self._max_frames:
            return False
        return self._bytes[kind] + len(item.payload) <= self._max_bytes[kind]

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

    def confirm(self, ids: Iterable[UUID], now: float) -> int:
        """The cloud has stored these; return how many were on their way."""
        known = 0
        for item_id in ids:
            flight = self._flights.get(item_id)
            if flight is not None:
                self.take_out(flight)
                known += 1
        self._confirmed_at = now
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
            flight.handed_over = False
        return again

    def take_out(self, flight: Flight) -> None:
        """Give up the place of something that is not to be sent for now."""
        if self._flights.pop(flight.item.id, None) is not None:
            self._counts[flight.item.kind] -= 1
            self._bytes[flight.item.kind] -= len(flight.item.payload)

    def due(self, now: float) -> list[Flight]:
        """What must be sent again now, oldest first."""
        late = [
            flight
            for flight in self._flights.values()
            if flight.since is not None and now - flight.since >= self._resend_after_s
        ]
        if not late:
            return []
        late.sort(key=lambda flight: flight.item.seq)
        if self._is_silent(now):
            if now - self._probed_at < self._resend_after_s:
                return []
            late.sort(key=lambda flight: (flight.since, flight.item.seq))
            late = late[:1]
            self._probed_at = now
        for flight in late:
            flight.since = None
        return late

    def next_due_in(self, now: float) -> float | None:
        """Seconds until it is worth asking `due`; None while nothing is on its way."""
        if not self._flights:
            return None
        since = [flight.since for flight in self._flights.values() if flight.since is not None]
        if not since:
            return self._resend_after_s
        at = min(since) + self._resend_after_s
        if self._is_silent(max(now, at)):
            at = max(at, self._probed_at + self._resend_after_s)
        return max(0.0, at - now)

    def waiting_s(self, now: float) -> float:
        """Seconds since the cloud last confirmed something that it was sent; 0 while nothing waits."""
        since = [flight.since for flight in self._flights.values() if flight.since is not None]
        return max(0.0, now - max(min(since), self._confirmed_at)) if since else 0.0

    def _is_silent(self, now: float) -> bool:
        return now - self._confirmed_at >= self._resend_after_s
