"""Fan-out of what the broker tells to those who look. Pure: knows neither HTTP nor MQTT.

A viewer that reads slowly loses its oldest events, counted, and never slows another viewer or the feed.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from services.web.recent import Recent
from shared.messages import Live
from shared.slots import Newest

Kind = Literal["broker", "status", "recent", "live", "preview", "detection", "stored"]

QUEUE_SIZE: Final = 256
"""Events that wait for one viewer: some five seconds of one busy device."""
MAX_DEVICES: Final = 256
"""Devices remembered; more than this is a broker that lets anyone publish anything."""
MAX_KEPT: Final = 16
"""Events remembered of one device: its live state, its preview, and a status for each of its services."""
MAX_PICTURE_BYTES: Final = 128 * 1024 * 1024
"""All previews together; beyond it the oldest go."""

WALL_FPS: Final = 1.0
"""Pictures a second of a small tile."""
_WALL_EVERY_S: Final[dict[Kind, float]] = {"live": 0.5, "preview": 0.8 / WALL_FPS}

PREVIEW: Final = "preview"
"""The key under which a device's newest preview is kept."""
LIVE: Final = "live"
"""The key under which a device's newest live state is kept."""


class TooManyDevices(Exception):
    """A new device's state cannot be kept: the hub already remembers as many as it may."""


class TooManyKept(Exception):
    """One more kind of event of a device cannot be kept: the hub already remembers as many as it may."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `device` is None where it concerns everybody; `data` is JSON text."""

    kind: Kind
    device: str | None
    data: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A device's newest preview; `number` grows by one with each."""

    number: int
    jpeg: bytes
    at: float


@dataclass(slots=True)
class _Device:
    kept: dict[str, Event] = field(default_factory=dict)
    picture: Picture | None = None
    pictures: int = 0
    recent: Recent = field(default_factory=Recent)


@dataclass(frozen=True, slots=True)
class View:
    """What a viewer looks at.

    Attributes:
        device: only this one's events.
        previews: pictures too.
        wall: of each device but `large`, pictures and live states come now and then only.
        large: the one that is seen large on a wall; of it the last minutes come first.
    """

    device: str | None = None
    previews: bool = True
    wall: bool = False
    large: str | None = None

    def sees_all_of(self, device: str) -> bool:
        """Whether every picture of this device is wanted."""
        return not self.wall or device == self.large

    def sees_recent_of(self, device: str) -> bool:
        """Whether this device's last minutes are wanted: where they are drawn and somebody looks."""
        return self.previews and device == self.large and self.device in (None, device)


class Subscription:
    """One viewer's view: first the latest state, then events as they come."""

    def __init__(self, view: View, size: int) -> None:
        self.view = view
        self._passed: dict[tuple[str, Kind], float] = {}
        self._backlog: deque[Event] = deque()
        self._queue: Newest[Event | None] = Newest(size)

    @property
    def dropped(self) -> int:
        """Events this viewer lost because it read too slowly."""
        return self._queue.dropped

    def wants(self, event: Event) -> bool:
        """Whether this viewer asked for such events."""
        if event.kind == "preview" and not self.view.previews:
            return False
        if event.kind == "recent":
            return event.device is not None and self.view.sees_recent_of(event.device)
        return self.view.device is None or event.device is None or event.device == self.view.device

    def is_due(self, event: Event, now: float) -> bool:
        """Whether a wall shows this event of a small tile, or leaves it to a later one. Counts it as shown."""
        every_s = _WALL_EVERY_S.get(event.kind)
        if every_s is None or event.device is None or self.view.sees_all_of(event.device):
            return True
        key = (event.device, event.kind)
        if now - self._passed.get(key, float("-inf")) < every_s:
            return False
        self._passed[key] = now
        return True

    def begin_with(self, events: Iterable[Event]) -> None:
        """Have those of `events` that are wanted come first; they do not count against the queue's size."""
        self._backlog.extend(event for event in events if self.wants(event))

    def put(self, event: Event | None) -> int:
        """Add an event (None ends the stream); returns how many were dropped for it."""
        before = self._queue.dropped
        self._queue.put(event)
        return self._queue.dropped - before

    async def next(self) -> Event | None:
        """The next event; None when the hub closed."""
        if self._backlog:
            return self._backlog.popleft()
        return await self._queue.get()


class Hub:
    """Passes events to all subscriptions and remembers the latest state per device for newcomers."""

    def __init__(
        self,
        *,
        queue_size: int = QUEUE_SIZE,
        max_devices: int = MAX_DEVICES,
        max_picture_bytes: int = MAX_PICTURE_BYTES,
        clock: Callable[[], float] = time.monotonic,
        on_drop: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._queue_size = queue_size
        self._max_devices = max_devices
        self._max_picture_bytes = max_picture_bytes
        self._clock = clock
        self._on_drop = on_drop
        self._devices: dict[str, _Device] = {}
        self._general: dict[str, Event] = {}
        self._subscriptions: set[Subscription] = set()
        self._closed = False
        self.watchers_came = asyncio.Event()
        """Set whenever somebody begins to watch previews; whoever waits on it clears it."""

    @property
    def viewers(self) -> int:
        """Open subscriptions."""
        return len(self._subscriptions)

    @property
    def devices(self) -> frozenset[str]:
        """Devices whose state is remembered."""
        return frozenset(self._devices)

    def latest(self, device: str) -> dict[str, Event]:
        """The kept events of a device by key; empty where it is unknown."""
        known = self._devices.get(device)
        return dict(known.kept) if known else {}

    def watched(self) -> frozenset[str]:
        """Known devices whose previews somebody wants now."""
        wanted: set[str] = set()
        for subscription in self._subscriptions:
            if not subscription.view.previews:
                continue
            if subscription.view.device is None:
                return self.devices
            wanted.add(subscription.view.device)
        return self.devices & wanted

    def views_of(self, device: str) -> list[View]:
        """The views in which pictures of this device are wanted now."""
        views = (subscription.view for subscription in self._subscriptions)
        return [view for view in views if view.previews and view.device in (None, device)]

    def publish(self, event: Event, *, keep: str | None = None) -> None:
        """Pass an event on; with `keep`, remember it under that key for those who come later.

        Raises:
            TooManyDevices: if it were to be kept for one device too many; it is not passed on then.
            TooManyKept: if its device has too many kinds of kept events; it is not passed on then.
        """
        if keep is not None:
            if event.device is None:
                self._general[keep] = event
            else:
                kept = self._device(event.device).kept
                if keep not in kept and len(kept) >= MAX_KEPT:
                    raise TooManyKept(keep)
                kept[keep] = event
        for subscription in self._subscriptions:
            if subscription.wants(event) and subscription.is_due(event, self._clock()):
                self._put(subscription, event)

    def forget(self, device: str, key: str) -> None:
        """Remember a kept event no longer; a device without any is forgotten."""
        known = self._devices.get(device)
        if known is None:
            return
        known.kept.pop(key, None)
        if not known.kept:
            del self._devices[device]

    def remember(self, live: Live, received_at: datetime) -> None:
        """Keep a live state among the last minutes of its device; see `Recent`.

        Raises:
            TooManyDevices: as `publish`.
        """
        self._device(live.device).recent.add(self._clock(), received_at, live)

    def drop_old_readings(self) -> None:
        """Let go of readings that no timeline shows any more."""
        for known in self._devices.values():
            known.recent.drop_old(self._clock())

    def forget_readings(self, device: str) -> None:
        """Remember nothing that was read of a device until now."""
        known = self._devices.get(device)
        if known is not None:
            known.recent.forget()
            known.kept.pop(LIVE, None)

    def erase_readings(self, device: str | None) -> None:
        """As `forget_readings`, of one device or (None) all; pages that show the last minutes let go of them, too."""
        for name in self.devices if device is None else self.devices & {device}:
            self.forget_readings(name)
            self.publish(_recent(name, "[]"))

    def put_picture(self, device: str, jpeg: bytes) -> int:
        """Keep a device's newest preview; returns its number.

        Raises:
            TooManyDevices: as `publish`.
        """
        known = self._device(device)
        known.pictures += 1
        known.picture = Picture(known.pictures, jpeg, self._clock())
        self._make_room_for_pictures()
        return known.pictures

    def picture(self, device: str) -> Picture | None:
        """A device's newest preview, if there is one."""
        known = self._devices.get(device)
        return known.picture if known else None

    def drop_pictures(self, older_than_s: float) -> None:
        """Let go of previews that nobody renews: faces are not kept in memory for no one."""
        limit = self._clock() - older_than_s
        for known in self._devices.values():
            if known.picture is not None and known.picture.at < limit:
                _drop_picture(known)

    @contextmanager
    def subscribe(
        self, device: str | None = None, *, previews: bool = True, wall: bool = False, large: str | None = None
    ) -> Iterator[Subscription]:
        """A viewer for as long as the block lasts; see `View`."""
        subscription = Subscription(View(device, previews, wall, large), self._queue_size)
        subscription.begin_with(self._general.values())
        for name, known in self._devices.items():
            readings = known.recent.text(self._clock()) if subscription.view.sees_recent_of(name) else None
            if readings is not None:
                subscription.begin_with([_recent(name, readings)])
            subscription.begin_with(known.kept.values())
        if self._closed:
            subscription.put(None)
        self._subscriptions.add(subscription)
        if previews:
            self.watchers_came.set()
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def close(self) -> None:
        """End all subscriptions, after what already waits for them."""
        self._closed = True
        for subscription in self._subscriptions:
            self._put(subscription, None)

    def _make_room_for_pictures(self) -> None:
        held = [(known.picture.at, len(known.picture.jpeg), known) for known in self._devices.values() if known.picture]
        excess = sum(size for _, size, _ in held) - self._max_picture_bytes
        if excess <= 0:
            return
        for _, size, known in sorted(held, key=lambda one: one[0])[:-1]:  # never the newest, which was just put
            _drop_picture(known)
            excess -= size
            if excess <= 0:
                return

    def _put(self, subscription: Subscription, event: Event | None) -> None:
        dropped = subscription.put(event)
        if dropped:
            self._on_drop(dropped)

    def _device(self, name: str) -> _Device:
        known = self._devices.get(name)
        if known is None:
            if len(self._devices) >= self._max_devices:
                raise TooManyDevices(name)
            known = self._devices[name] = _Device()
        return known


def _recent(device: str, readings: str) -> Event:
    return Event("recent", device, f'{{"device":"{device}","readings":{readings}}}')


def _drop_picture(known: _Device) -> None:
    known.picture = None
    known.kept.pop(PREVIEW, None)  # else newcomers would be sent to a picture that is gone
