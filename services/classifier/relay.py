"""Between this device's own broker and the cloud's, where they are two.

To the cloud: `live` and `preview` (the newest wins, what does not fit the link is dropped and counted) and every
service's retained `status`. From the cloud: `desired`. No topic goes both ways, so nothing goes round in circles. What
must not be lost does not come this way: the uplink sends it from the outbox.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from services.classifier.uplink import Uplink
from shared import logs
from shared.errors import BadMessage, SettingsError
from shared.messages import Status, StatusValue, decode
from shared.metrics import Metrics
from shared.mqtt import MqttLink, NotConnected, Will
from shared.slots import Newest, wait_at_most
from shared.topics import Topics

SERVICE: Final = "uplink"
_STATUS_EVERY_S: Final = 5.0
_GOODBYE_S: Final = 1.0
_MAX_SERVICES: Final = 16
_RELAY_ID: Final = "relay_id"

log = logs.get(__name__)


def uplink_will(topics: Topics, device: str) -> Will:
    """What the cloud's broker says of this device when it vanishes: for the cloud's link."""
    status = Status(device=device, service=SERVICE, state="offline", at=datetime.now(UTC))
    return Will(topics.status(device, SERVICE), status.to_json())


class UplinkStatus:
    """Says on the cloud's broker how the way to the cloud is: retained, at each connection and every few seconds."""

    def __init__(
        self,
        uplink: Uplink,
        cloud: MqttLink,
        topics: Topics,
        device: str,
        more_values: Callable[[], dict[str, StatusValue]] = dict,
    ) -> None:
        self._uplink = uplink
        self._cloud = cloud
        self._topic = topics.status(device, SERVICE)
        self._device = device
        self._more_values = more_values
        self._connected = asyncio.Event()
        cloud.on_connect(self._connected.set)

    async def run(self) -> None:
        """Publish until cancelled, then say `offline`."""
        try:
            while True:
                self._connected.clear()
                if self._cloud.connected.is_set():
                    await self._publish(self._status())
                await wait_at_most(self._connected, _STATUS_EVERY_S)
        finally:
            goodbye = Status(device=self._device, service=SERVICE, state="offline", at=datetime.now(UTC))
            await self._publish(goodbye, timeout_s=_GOODBYE_S)

    def _status(self) -> Status:
        problems = self._uplink.problems()
        return Status(
            device=self._device,
            service=SERVICE,
            state="degraded" if problems else "online",
            at=datetime.now(UTC),
            problems=problems,
            values=self._uplink.status_values() | self._more_values(),
        )

    async def _publish(self, status: Status, timeout_s: float = 10.0) -> None:
        try:
            await self._cloud.publish(self._topic, status.to_json(), qos=1, retain=True, timeout_s=timeout_s)
        except NotConnected as error:  # the broker has the last will; at the next connection it is said again
            log.debug("status not published", error=str(error))


class Relay:
    """Forwards between the two brokers. Make it before the links run: it subscribes on both."""

    def __init__(
        self,
        local: MqttLink,
        cloud: MqttLink,
        local_topics: Topics,
        cloud_topics: Topics,
        device: str,
        metrics: Metrics,
    ) -> None:
        self._local = local
        self._cloud = cloud
        self._local_topics = local_topics
        self._cloud_topics = cloud_topics
        self._device = device
        self._live: Newest[bytes] = Newest(2)
        self._preview: Newest[bytes] = Newest(1)
        self._statuses: dict[str, bytes] = {}
        self._statuses_to_send: set[str] = set()
        self._status_changed = asyncio.Event()
        self._desired: bytes | None = None
        self._desired_changed = asyncio.Event()
        self._id = str(uuid4())
        self._same_broker = asyncio.Event()
        self._unsent = 0
        self._forwarded = metrics.counter("relay_forwarded", "Messages forwarded between the brokers.", ["kind"])
        dropped = metrics.gauge("relay_dropped", "Live messages and previews that a newer one replaced, or lost.")
        dropped.set_function(self._dropped)
        local.subscribe(local_topics.live(device), lambda _, payload: self._live.put(payload))
        local.subscribe(local_topics.preview(device), lambda _, payload: self._preview.put(payload))
        local.subscribe(local_topics.status(device, "+"), self._on_status, qos=1)
        cloud.subscribe(cloud_topics.desired(device), self._on_desired, qos=1)
        cloud.on_connect(self._send_all_statuses)
        local.on_connect(self._send_desired)

    def status_values(self) -> dict[str, StatusValue]:
        """For `UplinkStatus`: what was dropped, and by what the relay knows its own status again."""
        return {"relay_dropped": self._dropped(), _RELAY_ID: self._id}

    async def run(self) -> None:
        """Forward until cancelled.

        Raises:
            SettingsError: if both links lead to the same broker, where everything would go round in circles.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._refuse_same_broker(), name="relay check")
            tasks.create_task(
                self._forward_newest("live", self._live, self._cloud_topics.live(self._device)), name="relay live"
            )
            tasks.create_task(
                self._forward_newest("preview", self._preview, self._cloud_topics.preview(self._device)),
                name="relay preview",
            )
            tasks.create_task(self._forward_statuses(), name="relay status")
            tasks.create_task(self._forward_desired(), name="relay desired")

    def _dropped(self) -> int:
        return self._live.dropped + self._preview.dropped + self._unsent

    async def _refuse_same_broker(self) -> None:
        await self._same_broker.wait()
        raise SettingsError(
            f"the device's broker ({self._local.address}) and the cloud's ({self._cloud.address}) are the same one; "
            "where there is one broker only, leave the cloud's unset"
        )

    async def _forward_newest(self, kind: str, waiting: Newest[bytes], topic: str) -> None:
        while True:
            payload = await waiting.get()
            try:
                await self._cloud.publish(topic, payload)
            except NotConnected:
                self._unsent += 1
            else:
                self._forwarded.labels(kind).inc()

    def _on_status(self, topic: str, payload: bytes) -> None:
        parsed = self._local_topics.parse(topic)
        if parsed is None:
            return
        if parsed.rest == SERVICE:
            if self._is_own(topic, payload):
                self._same_broker.set()
            return
        if parsed.rest not in self._statuses and len(self._statuses) >= _MAX_SERVICES:
            log.warning("more services than expected; a status is not forwarded", service=parsed.rest[:40])
            return
        self._statuses[parsed.rest] = payload
        self._statuses_to_send.add(parsed.rest)
        self._status_changed.set()

    def _is_own(self, topic: str, payload: bytes) -> bool:
        try:
            return decode(Status, topic, payload).values.get(_RELAY_ID) == self._id
        except BadMessage:
            return False

    def _send_all_statuses(self) -> None:
        self._statuses_to_send.update(self._statuses)
        self._status_changed.set()

    async def _forward_statuses(self) -> None:
        while True:
            await self._status_changed.wait()
            await self._cloud.connected.wait()
            self._status_changed.clear()
            while self._statuses_to_send:
                service = self._statuses_to_send.pop()
                topic = self._cloud_topics.status(self._device, service)
                try:
                    await self._cloud.publish(topic, self._statuses[service], qos=1, retain=True)
                except NotConnected:  # all are sent again at the next connection
                    self._statuses_to_send.add(service)
                    break
                self._forwarded.labels("status").inc()

    def _on_desired(self, _: str, payload: bytes) -> None:
        if payload != self._desired:
            self._desired = payload
            self._desired_changed.set()

    def _send_desired(self) -> None:
        if self._desired is not None:
            self._desired_changed.set()

    async def _forward_desired(self) -> None:
        topic = self._local_topics.desired(self._device)
        while True:
            await self._desired_changed.wait()
            await self._local.connected.wait()
            self._desired_changed.clear()
            if self._desired is None:
                continue
            try:
                await self._local.publish(topic, self._desired, qos=1, retain=True)
            except NotConnected as error:  # sent again at the next connection
                log.debug("desired state not forwarded", error=str(error))
            else:
                self._forwarded.labels("desired").inc()
