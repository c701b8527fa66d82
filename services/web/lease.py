"""Asking devices for previews for as long as somebody looks, by renewing `watch_until` in their retained wish."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic import AwareDatetime, TypeAdapter, ValidationError

from services.web.hub import WALL_FPS, Hub
from shared import logs
from shared.messages import rfc3339
from shared.mqtt import NotConnected

_TICK_S: Final = 1.0
SETTLE_S: Final = 1.0
"""Seconds after connecting in which retained wishes arrive; writing earlier could overwrite one unread."""

_BACK_WITHIN_S: Final = 3.0
"""Seconds for which previews outlive the last who looked."""

_ECHO_WITHIN_S: Final = 20.0
"""Seconds in which the broker sends back to us what we sent; what it drops in silence is no longer waited for then."""

log = logs.get(__name__)
Wish = dict[str, Any]
_time: TypeAdapter[datetime] = TypeAdapter(AwareDatetime)


@dataclass(slots=True, eq=False)
class _Sent:
    wish: Wish
    at: float
    overtaken: bool = False
    """Whether another's wish was heard since."""


@dataclass(slots=True)
class _Topic:
    """What a device's retained wish is, and what it will be when the broker has taken what we sent.

    A broker sends what it takes to everybody, and to us, in the order in which it took it. So what is heard before the
    echo of a wish of ours is older than that wish: the echo of an older one of ours, or another's that ours replaced.
    """

    held: Wish | None = None
    sent: list[_Sent] = field(default_factory=list)
    """Ours whose echo was not heard, the oldest first."""

    def wish(self, now: float) -> Wish | None:
        """What the next change is merged onto."""
        self._give_up(now)
        return self.sent[-1].wish if self.sent else self.held

    def heard(self, wish: Wish | None, now: float) -> None:
        """The broker told of a wish; None: of none any more."""
        self._give_up(now)
        self.held = wish
        echo_of = next((at for at, one in enumerate(self.sent) if one.wish == wish), None)
        if echo_of is not None:
            del self.sent[: echo_of + 1]
            return
        for one in self.sent:
            one.overtaken = True

    def settle(self) -> None:
        """Wait for no echo any more: the connection on which they would have come is gone."""
        self._give_up(float("inf"))

    def _give_up(self, now: float) -> None:
        while self.sent and self.sent[0].at + _ECHO_WITHIN_S <= now:
            given_up = self.sent.pop(0)
            if not given_up.overtaken:
                self.held = given_up.wish


class WatchLease:
    """Keeps the last wish of each device and renews the watch lease in it, leaving all else as it was."""

    def __init__(
        self,
        hub: Hub,
        publish: Callable[[str, bytes], Awaitable[None]],
        lease_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hub = hub
        self._publish = publish
        self._lease = timedelta(seconds=lease_s)
        self._clock = clock
        self._topics: dict[str, _Topic] = {}
        self._ready_at: float | None = None

    def heard(self, device: str, wish: Wish | None) -> None:
        """A retained wish arrived, ours or another's; None where it was deleted."""
        known = device in self._topics or device in self._hub.devices or len(self._topics) < 1000
        if wish is not None and not known:
            return
        topic = self._topics.setdefault(device, _Topic())
        topic.heard(wish, self._clock())
        if topic.held is None and not topic.sent:
            del self._topics[device]

    def wish(self, device: str) -> Wish | None:
        """The last wish of a device as it stands on the wire, or is on its way there."""
        topic = self._topics.get(device)
        return topic.wish(self._clock()) if topic is not None else None

    def connected(self) -> None:
        """The broker was reached: wait for the retained wishes before writing any."""
        self._ready_at = asyncio.get_running_loop().time() + SETTLE_S
        for topic in self._topics.values():
            topic.settle()
        self._hub.watchers_came.set()

    def disconnected(self) -> None:
        """The broker was lost: nothing can be written."""
        self._ready_at = None

    def renewal(self, device: str, now: datetime) -> Wish | None:
        """The wish of a device with its lease renewed at `now`; None where that is not needed."""
        wish = self.wish(device) or {}
        preview = self._preview(device)
        until = _moment(wish.get("watch_until"))
        # At once where more is wanted than before; where less is enough, with the next renewal.
        more = wish.get("preview_fps") is not None and preview["preview_fps"] is None
        other = wish.get("preview_clean") and not preview["preview_clean"]
        if until is not None and until - now > self._lease / 2 and not more and not other:
            return None
        return {**wish, "schema": 1, "device": device, "watch_until": rfc3339(now + self._lease), **preview}

    def _preview(self, device: str) -> dict[str, Any]:
        """Which pictures are enough for all who look at a device. A page draws boxes and words by itself."""
        views = self._hub.views_of(device)
        return {
            "preview_fps": None if any(view.sees_all_of(device) for view in views) else WALL_FPS,
            "preview_clean": all(view.wall for view in views) or None,
        }

    async def set_paused(self, device: str, paused: bool) -> None:
        """Wish a device paused or not; as `change`."""
        await self.change(device, {"paused": paused})

    async def change(self, device: str, changes: Wish) -> Wish:
        """Wish something else of a device, leaving all else in its wish as it was; None takes a wish back.

        Returns the whole wish.

        Raises:
            NotConnected: if the broker cannot be told now; nothing is wished then.
        """
        if self._ready_at is None or asyncio.get_running_loop().time() < self._ready_at:
            raise NotConnected("the broker is not reached, or only just; what it holds must be heard first")
        merged = {**(self.wish(device) or {}), "schema": 1, "device": device, **changes}
        wish = {name: value for name, value in merged.items() if value is not None}
        await self._send(device, wish)
        return wish

    async def _send(self, device: str, wish: Wish) -> None:
        # Remembered first, so that what is wished meanwhile is merged onto it; and nothing is awaited between.
        topic = self._topics.setdefault(device, _Topic())
        sent = _Sent(wish, self._clock())
        topic.sent.append(sent)
        try:
            await self._publish(device, json.dumps(wish).encode())
        except NotConnected:
            topic.sent = [one for one in topic.sent if one is not sent]
            raise

    async def run(self) -> None:
        """Renew until cancelled. Sleeps for as long as nobody looks."""
        loop = asyncio.get_running_loop()
        while True:
            if not self._hub.watched() and not self._hub.viewers:
                self._hub.watchers_came.clear()
                # A page that asks for something else, or is loaded again, is away for a moment.
                with suppress(TimeoutError):
                    async with asyncio.timeout(_BACK_WITHIN_S):
                        await self._hub.watchers_came.wait()
                if not self._hub.watchers_came.is_set():
                    self._hub.drop_pictures(0.0)
                    await self._hub.watchers_came.wait()
            self._hub.drop_pictures(2 * self._lease.total_seconds())
            if self._ready_at is not None and loop.time() >= self._ready_at:
                await self._renew()
            await asyncio.sleep(_TICK_S)

    async def _renew(self) -> None:
        now = datetime.now(UTC)
        for device in sorted(self._hub.watched()):
            wish = self.renewal(device, now)
            if wish is None:
                continue
            try:
                await self._send(device, wish)
            except NotConnected as error:
                log.warning("watch lease not renewed", device=device, reason=str(error))
                return


def _moment(value: object) -> datetime | None:
    try:
        return _time.validate_python(value)
    except ValidationError:
        return None
