"""From the broker to the hub: decodes, checks, passes on. A bad message is counted, told and left."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from services.web.clocks import clock_skew_s
from services.web.hub import LIVE, PREVIEW, Event, Hub, Kind, TooManyDevices, TooManyKept
from services.web.wording import detection_words, live_words
from shared import logs
from shared.errors import BadMessage, BadPicture
from shared.jpeg import check_picture, read_comment
from shared.messages import Desired, Detection, FrameInfo, Live, Status, decode, decode_ack, rfc3339
from shared.metrics import Metrics
from shared.mqtt import MqttLink
from shared.topics import Topic, Topics

log = logs.get(__name__)

_CAPTURE: Final = "status/capture"
"""The key under which the status of a device's capture is kept."""

_Handler = Callable[[Topic, str, bytes], None]


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Feed:
    """Handlers for what the web service listens to.

    `on_desired` is called with each retained wish as it stands on the wire (None where it was deleted), so that fields
    which this version does not know survive being written back.
    """

    def __init__(
        self,
        topics: Topics,
        hub: Hub,
        metrics: Metrics,
        on_desired: Callable[[str, dict[str, Any] | None], None] = lambda _device, _desired: None,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._topics = topics
        self._hub = hub
        self._on_desired = on_desired
        self._now = now
        self._messages = metrics.counter("messages", "Messages from the broker, by kind.", ["kind"])
        self._bad = metrics.counter("bad_messages", "Messages that did not keep the contract, by kind.", ["kind"])
        self._told: dict[tuple[str, str], str] = {}
        self._paused: set[str] = set()
        self._handlers: dict[str, _Handler] = {
            "live": self._live,
            "preview": self._preview,
            "status": self._status,
            "detections": self._detection,
            "ack": self._ack,
            "desired": self._desired,
        }

    def attach(self, link: MqttLink) -> None:
        """Subscribe to all that this feed understands and follow the connection."""
        topics = self._topics
        link.subscribe(topics.live("+"), self.handle)
        link.subscribe(topics.preview("+"), self.handle)
        link.subscribe(topics.detections("+"), self.handle)
        link.subscribe(topics.ack("+"), self.handle)
        link.subscribe(topics.status("+", "+"), self.handle, qos=1, on_kept=self.handle_kept)
        link.subscribe(topics.desired("+"), self.handle, qos=1)
        link.on_connect(lambda: self.broker(connected=True))
        link.on_disconnect(lambda: self.broker(connected=False))
        self.broker(connected=False)

    def broker(self, *, connected: bool) -> None:
        """Tell viewers whether the broker is reached."""
        data = _dump({"connected": connected, "since": rfc3339(self._now())})
        self._hub.publish(Event("broker", None, data), keep="broker")

    def handle(self, name: str, payload: bytes) -> None:
        """Take one message. Never raises for what a message holds."""
        self._handle(name, payload, self._handlers)

    def handle_kept(self, name: str, payload: bytes) -> None:
        """Take one that the broker had kept from before this connection: when it was sent to the broker, it does not
        say."""
        self._handle(name, payload, {**self._handlers, "status": self._kept_status})

    def _handle(self, name: str, payload: bytes, handlers: dict[str, _Handler]) -> None:
        topic = self._topics.parse(name)
        handler = handlers.get(topic.kind) if topic else None
        if topic is None or handler is None:
            self._refuse("other", BadMessage(name, "", "not a topic of the contract"))
            return
        self._messages.labels(topic.kind).inc()
        try:
            handler(topic, name, payload)
        except BadMessage as error:
            self._refuse(topic.kind, error)
        except BadPicture as error:
            self._refuse(topic.kind, BadMessage(name, "", str(error)))
        except TooManyDevices:
            self._refuse(topic.kind, BadMessage(name, "device", "too many devices; is the broker open to everybody?"))
        except TooManyKept:
            self._refuse(topic.kind, BadMessage(name, "service", "this device has too many services already"))

    def _refuse(self, kind: str, error: BadMessage) -> None:
        self._bad.labels(kind).inc()
        # A device with a fault repeats it many times a second; the count says how often, the log what.
        if len(self._told) > 1000:
            self._told.clear()
        if self._told.get((error.topic, error.field)) != error.reason:
            self._told[error.topic, error.field] = error.reason
            log.warning("message refused", topic=error.topic, field=error.field, reason=error.reason)

    def _live(self, topic: Topic, name: str, payload: bytes) -> None:
        live = decode(Live, name, payload)
        _same_device(topic, name, live.device)
        data = live.model_dump(mode="json", by_alias=True)
        for face, item in zip(live.faces, data["faces"], strict=True):
            item["words"] = live_words(face).model_dump()
        if live.device in self._paused:  # a frame from before that was still on its way
            self._pass_on("live", topic, data)
            return
        received_at = self._now()
        self._pass_on("live", topic, data, keep=LIVE, received_at=received_at)
        self._hub.remember(live, received_at)

    def _status(self, topic: Topic, name: str, payload: bytes) -> None:
        self._take_status(topic, name, payload, self._now())

    def _kept_status(self, topic: Topic, name: str, payload: bytes) -> None:
        self._take_status(topic, name, payload, None)

    def _take_status(self, topic: Topic, name: str, payload: bytes, received_at: datetime | None) -> None:
        key = f"status/{topic.rest}"
        if not payload:  # an empty retained message deletes it
            if key == _CAPTURE:
                self._paused.discard(topic.device)
            self._hub.forget(topic.device, key)
            return
        status = decode(Status, name, payload)
        _same_device(topic, name, status.device)
        if status.service != topic.rest:
            raise BadMessage(name, "service", f"{status.service!r} is not the topic's {topic.rest!r}")
        data = status.model_dump(mode="json", by_alias=True)
        last = self._hub.latest(topic.device).get(key)
        before = json.loads(last.data) if last is not None else None
        if before is not None and data.items() <= before.items():
            return  # told again by a broker or a relay after each of their connections: nothing was heard of the device
        data["clock_skew_s"] = clock_skew_s(status.at, received_at, before)
        data["received_at"] = None if received_at is None else rfc3339(received_at)
        self._hub.publish(Event("status", topic.device, _dump(data)), keep=key)
        if key == _CAPTURE:
            self._heard_capture(status)

    def _heard_capture(self, status: Status) -> None:
        if status.state != "paused":
            self._paused.discard(status.device)
            return
        self._paused.add(status.device)
        self._hub.forget_readings(status.device)  # who pauses a camera wants no face to stay

    def _detection(self, topic: Topic, name: str, payload: bytes) -> None:
        detection = decode(Detection, name, payload)
        _same_device(topic, name, detection.device)
        data = detection.model_dump(mode="json", by_alias=True)
        for face, item in zip(detection.faces, data["faces"], strict=True):
            item["words"] = detection_words(face).model_dump()
        self._pass_on("detection", topic, data)

    def _ack(self, topic: Topic, name: str, payload: bytes) -> None:
        ids = [str(item) for item in decode_ack(name, payload)]
        self._hub.publish(Event("stored", topic.device, _dump({"device": topic.device, "ids": ids})))

    def _preview(self, topic: Topic, name: str, payload: bytes) -> None:
        check_picture(payload)
        comment = read_comment(payload)
        info = decode(FrameInfo, name, comment) if comment is not None else None
        if info is not None:
            _same_device(topic, name, info.device)
        if topic.device not in self._hub.watched():
            return  # a device goes on for the rest of its lease; nobody looks, so no face is held in memory
        number = self._hub.put_picture(topic.device, payload)
        data = {
            "device": topic.device,
            "n": number,
            "frame_number": info.frame_number if info else None,
            "drawn": info.drawn if info else None,
        }
        self._pass_on("preview", topic, data, keep=PREVIEW)

    def _desired(self, topic: Topic, name: str, payload: bytes) -> None:
        if not payload:
            self._on_desired(topic.device, None)
            return
        _same_device(topic, name, decode(Desired, name, payload).device)
        self._on_desired(topic.device, json.loads(payload))

    def _pass_on(
        self,
        kind: Kind,
        topic: Topic,
        data: dict[str, Any],
        keep: str | None = None,
        received_at: datetime | None = None,
    ) -> None:
        # Ages are shown by this machine's clock, so that a device whose clock is wrong still looks fresh.
        data["received_at"] = rfc3339(received_at or self._now())
        self._hub.publish(Event(kind, topic.device, _dump(data)), keep=keep)


def _same_device(topic: Topic, name: str, device: str) -> None:
    if device != topic.device:
        raise BadMessage(name, "device", f"{device!r} is not the topic's {topic.device!r}")
