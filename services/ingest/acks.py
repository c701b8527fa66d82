"""Tells devices what is stored: ids gathered by device, published on its `ack` topic."""

import asyncio
from typing import Final
from uuid import UUID

from shared.messages import encode_ack
from shared.metrics import Metrics
from shared.mqtt import MqttLink, NotConnected
from shared.topics import Topics

_IDS_A_MESSAGE: Final = 1000
_TIMEOUT_S: Final = 5.0


class Acks:
    """What is still to be told. An acknowledgement that is lost is no loss: the device sends again, and is told again.

    While one round is published the next is gathered, so storing never waits for a device or the broker.
    """

    def __init__(self, link: MqttLink, topics: Topics, metrics: Metrics) -> None:
        self._link = link
        self._topics = topics
        self._ids: dict[str, list[UUID]] = {}
        self._some = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._acked = metrics.counter("acked", "Messages whose device was told that they are stored.")
        self._errors = metrics.counter("ack_errors", "Messages whose device could not be told; it sends them again.")

    def add(self, device: str, item_id: UUID) -> None:
        """`item_id` of `device` is stored, or refused for good."""
        self._ids.setdefault(device, []).append(item_id)
        self._some.set()
        self._idle.clear()

    async def flushed(self) -> None:
        """Return when all that was added is told."""
        await self._idle.wait()

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            await self._some.wait()
            self._some.clear()
            ids, self._ids = self._ids, {}
            parts = [
                (device, mine[at : at + _IDS_A_MESSAGE])
                for device, mine in ids.items()
                for at in range(0, len(mine), _IDS_A_MESSAGE)
            ]
            await asyncio.gather(*(self._publish(device, part) for device, part in parts))
            if not self._ids:
                self._idle.set()

    async def _publish(self, device: str, ids: list[UUID]) -> None:
        try:
            await self._link.publish(self._topics.ack(device), encode_ack(ids), qos=1, timeout_s=_TIMEOUT_S)
        except NotConnected:  # the link tells about itself
            self._errors.inc(len(ids))
        else:
            self._acked.inc(len(ids))
