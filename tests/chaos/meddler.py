"""A second client of the broker that sends what was heard again, in another order, and what no one should send."""

import asyncio
import random
from collections import deque
from typing import Final
from uuid import uuid4

from shared.mqtt import MqttLink, NotConnected
from shared.settings import MqttSettings
from tests.integration.delivery import bare_jpeg, detection, frame

_REMEMBERED: Final = 200
_SENT_WITHIN_S: Final = 300.0


class Meddler:
    """Keep `link` running in a task."""

    def __init__(self, mqtt: MqttSettings, device: str) -> None:
        self.link = MqttLink(mqtt)
        self._device = device
        self._topics = mqtt.topics
        self._heard: deque[tuple[str, bytes]] = deque(maxlen=_REMEMBERED)
        self.link.subscribe(self._topics.detections(device), self._on_message, qos=1)
        self.link.subscribe(self._topics.frames(device, "+"), self._on_message, qos=1)

    def _on_message(self, topic: str, payload: bytes) -> None:
        self._heard.append((topic, payload))

    async def repeat(self) -> None:
        """Send all that is remembered again, each twice."""
        await self._send([message for message in list(self._heard) for _ in range(2)])

    async def reorder(self, dice: random.Random) -> None:
        """Send all that is remembered again, in another order."""
        messages = list(self._heard)
        dice.shuffle(messages)
        await self._send(messages)

    async def poison(self) -> None:
        """Send what keeps no contract: none of it names an item of the device."""
        detections = self._topics.detections(self._device)
        whole = detection(device=self._device).to_json()
        frame_id, jpeg = frame(self._device)
        payloads = [
            b"",
            b"not JSON",
            b"\xff\xfe\x00",
            whole[: len(whole) // 2],
            whole.replace(b'"schema":1', b'"schema":2'),
            detection(device="another").to_json(),
            detection(device=self._device, source={"kind": "file", "name": "a zero byte"})
            .to_json()
            .replace(b"a zero byte", rb"a\u0000b"),
            b'{"schema":1,"seq":NaN}',
            b"[" * 100_000,
            b'{"schema":1,"event_id":"' + b"x" * 300_000 + b'"}',
        ]
        await self._send(
            [(detections, payload) for payload in payloads]
            + [
                (self._topics.frames(self._device, "no-id"), jpeg),
                (self._topics.frames(self._device, uuid4()), jpeg),
                (self._topics.frames(self._device, frame_id), jpeg[:100]),
                (self._topics.frames(self._device, uuid4()), bare_jpeg(30_000, 30_000)),
            ]
        )

    async def _send(self, messages: list[tuple[str, bytes]]) -> None:
        """Send them all, over as many connections as that takes."""
        async with asyncio.timeout(_SENT_WITHIN_S):
            for topic, payload in messages:
                while True:
                    await self.link.connected.wait()
                    try:
                        await self.link.publish(topic, payload, qos=1)
                    except NotConnected:
                        await asyncio.sleep(0.1)
                    else:
                        break
