"""What may be stored, and what is refused with which reason. Pure."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from shared.errors import BadMessage, BadPicture
from shared.jpeg import MAX_JPEG_BYTES, check_picture, read_comment
from shared.messages import Detection, FrameInfo, decode, message_id
from shared.topics import Topic, Topics

_READABLE_BYTES: Final = MAX_JPEG_BYTES


class Reason(StrEnum):
    """The class of a refusal, for counting."""

    TOPIC = "topic"
    SCHEMA = "schema"
    DEVICE = "device"
    PICTURE = "picture"
    DATABASE = "database"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message as it came."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame that may be stored: its JPEG, whole and unchanged, and what belongs to it."""

    info: FrameInfo
    frame_id: UUID
    width: int
    height: int
    sha256: bytes
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class Accepted:
    """A message that keeps the contract. `device` is to be told that `id` is stored."""

    arrival: Arrival
    device: str
    id: UUID
    content: Detection | Picture


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that does not. It is kept as a dead letter; `device` is told so where `id` could be read."""

    arrival: Arrival
    reason: Reason
    text: str
    device: str | None
    id: UUID | None


def validate(topics: Topics, arrival: Arrival) -> Accepted | Refused:
    """Judge one message. Never raises."""
    topic = topics.parse(arrival.topic)
    if topic is None:
        return Refused(arrival, Reason.TOPIC, "the topic names no valid device", None, None)
    if topic.kind == "detections" and not topic.rest:
        return _detection(topic, arrival)
    if topic.kind == "frames":
        return _picture(topic, arrival)
    return Refused(arrival, Reason.TOPIC, "nothing is stored from this topic", topic.device, None)


def _detection(topic: Topic, arrival: Arrival) -> Accepted | Refused:
    try:
        detection = decode(Detection, arrival.topic, arrival.payload)
    except BadMessage as error:
        known = message_id(arrival.payload) if len(arrival.payload) <= _READABLE_BYTES else None
        return Refused(arrival, Reason.SCHEMA, str(error), topic.device, known)
    if detection.device != topic.device:
        text = f"the topic's device is {topic.device!r}, the payload's {detection.device!r}"
        return Refused(arrival, Reason.DEVICE, text, topic.device, detection.event_id)
    return Accepted(arrival, topic.device, detection.event_id, detection)


def _picture(topic: Topic, arrival: Arrival) -> Accepted | Refused:
    try:
        frame_id = UUID(topic.rest)
    except ValueError:
        return Refused(arrival, Reason.TOPIC, "the topic ends in no frame id", topic.device, None)

    def refused(reason: Reason, text: str) -> Refused:
        return Refused(arrival, reason, text, topic.device, frame_id)

    jpeg = arrival.payload
    try:
        width, height = check_picture(jpeg)
        comment = read_comment(jpeg)
    except BadPicture as error:
        return refused(Reason.PICTURE, str(error))
    if comment is None:
        return refused(Reason.SCHEMA, "the picture carries no comment that says where it comes from")
    try:
        info = decode(FrameInfo, arrival.topic, comment)
    except BadMessage as error:
        return refused(Reason.SCHEMA, str(error))
    if info.device != topic.device:
        return refused(Reason.DEVICE, f"the topic's device is {topic.device!r}, the picture's {info.device!r}")
    if info.frame_id != frame_id:
        return refused(Reason.DEVICE, f"the topic's frame id is {frame_id}, the picture's {info.frame_id}")
    digest = hashlib.sha256(jpeg).digest()
    return Accepted(arrival, topic.device, frame_id, Picture(info, frame_id, width, height, digest, jpeg))
