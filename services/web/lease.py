"""Asking devices for previews for as long as somebody looks, by renewing `watch_until` in their retained wish."""

import asyncio
import json
from collections.abc import Awaitable, Callable
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

log = logs.get(__name__)
_time: TypeAdapter[datetime] = TypeAdapter(AwareDatetime)


class WatchLease:
    """Keeps the last wish of each device and renews the watch lease in it, leaving all else as it was."""

    def __init__(self, hub: Hub, publish: Callable[[str, bytes], Awaitable[None]], lease_s: float) -> None:
        self._hub = hub
        self._publish = publish
        self._lease = timedelta(seconds=lease_s)
        self._wishes: dict[str, dict[str, Any]] = {}
        self._ready_at: float | None = None

    def heard(self, device: str, wish: dict[str, Any] | None) -> None:
        """A retained wish arrived, ours or another's; None where it was deleted."""
        if wish is None:
            self._wishes.pop(device, None)
        elif device in self._wishes or device in self._hub.devices or len(self._wishes) < 1000:
            self._wishes[device] = wish

    def wish(self, device: str) -> dict[str, Any] | None:
        """The last wish of a device as it stood on the wire."""
        return self._wishes.get(device)

    def connected(self) -> None:
        """The broker was reached: wait for the retained wishes before writing any."""
        self._ready_at = asyncio.get_running_loop().time() + SETTLE_S
        self._hub.watchers_came.set()

    def disconnected(self) -> None:
        """The broker was lost: nothing can be written."""
        self._ready_at = None

    def due(self, now: datetime) -> list[tuple[str, bytes]]:
        """Devices whose lease needs renewing at `now`, each with the wish to publish."""
        renewed = []
        for device in sorted(self._hub.watched()):
            wish = self._wishes.get(device, {})
            preview = self._preview(device)
            until = _moment(wish.get("watch_until"))
            # At once where more is wanted than before; where less is enough, with the next renewal.
            more = wish.get("preview_fps") is not None and preview["preview_fps"] is None
            other = wish.get("preview_clean") and not preview["preview_clean"]
            if until is not None and until - now > self._lease / 2 and not more and not other:
                continue
            lease = {"watch_until": rfc3339(now + self._lease), **preview}
            renewed.append((device, json.dumps({**wish, "schema": 1, "device": device, **lease}).encode()))
        return renewed

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

    async def change(self, device: str, changes: dict[str, Any]) -> dict[str, Any]:
        """Wish something else of a device, leaving all else in its wish as it was; None takes a wish back.

        Returns the whole wish.

        Raises:
            NotConnected: if the broker cannot be told now; nothing is wished then.
        """
        if self._ready_at is None or asyncio.get_running_loop().time() < self._ready_at:
            raise NotConnected("the broker is not reached, or only just; what it holds must be heard first")
        before = self._wishes.get(device)
        # Remembered first, so that a lease that is renewed meanwhile says the same.
        merged = {**(before or {}), "schema": 1, "device": device, **changes}
        wish = self._wishes[device] = {name: value for name, value in merged.items() if value is not None}
        try:
            await self._publish(device, json.dumps(wish).encode())
        except NotConnected:
            self.heard(device, before)
            raise
        return wish

    async def run(self) -> None:
        """Renew until cancelled. Sleeps for as long as nobody looks."""
        loop = asyncio.get_running_loop()
        while True:
            if not self._hub.watched() and not self._hub.viewers:
                self._hub.watchers_came.clear()
                self._hub.drop_pictures(0.0)
                await self._hub.watchers_came.wait()
            self._hub.drop_pictures(2 * self._lease.total_seconds())
            if self._ready_at is not None and loop.time() >= self._ready_at:
                await self._renew()
            await asyncio.sleep(_TICK_S)

    async def _renew(self) -> None:
        for device, payload in self.due(datetime.now(UTC)):
            try:
                await self._publish(device, payload)
            except NotConnected as error:
                log.warning("watch lease not renewed", device=device, reason=str(error))
                return


def _moment(value: object) -> datetime | None:
    try:
        return _time.validate_python(value)
    except ValidationError:
        return None
