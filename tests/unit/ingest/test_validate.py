"""What is refused, with which reason, and whether its sender can be told."""

import json
import re
import struct
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.validate import Accepted, Arrival, Picture, Reason, Refused, validate
from shared.jpeg import with_comment
from shared.messages import Detection
from shared.topics import Topics

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
TOPICS = Topics()
EVENT_ID = UUID("018f3a5e-6d10-7c3d-9e00-0000000000aa")
FRAME_ID = UUID("018f3a5e-6d10-7c3d-9e00-0000000000bb")
DEVICE = "lab-jetson"


def detection(**changes: Any) -> bytes:
    data: dict[str, Any] = json.loads((GOLDEN / "detection.json").read_text())
    return json.dumps(data | changes).encode()


def detection_without(field: str) -> bytes:
    data: dict[str, Any] = json.loads((GOLDEN / "detection.json").read_text())
    del data[field]
    return json.dumps(data).encode()


def bare_jpeg(width: int = 640, height: int = 360) -> bytes:
    size = b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\x01\x11\x00"
    scan = b"\xff\xda" + struct.pack(">H", 8) + b"\x01\x01\x00\x00\x3f\x00"
    return b"\xff\xd8" + size + scan + b"\x00\xff\xd9"


def picture(jpeg: bytes | None = None, **changes: Any) -> bytes:
    data: dict[str, Any] = json.loads((GOLDEN / "frame_info.json").read_text())
    data |= {"device": DEVICE, "frame_id": str(FRAME_ID)} | changes
    return with_comment(jpeg or bare_jpeg(), json.dumps(data).encode())


def judge_detection(payload: bytes, device: str = DEVICE) -> Accepted | Refused:
    return validate(TOPICS, Arrival(TOPICS.detections(device), payload))


def judge_picture(payload: bytes, device: str = DEVICE) -> Accepted | Refused:
    return validate(TOPICS, Arrival(TOPICS.frames(device, FRAME_ID), payload))


def test_good_detection_is_accepted() -> None:
    judged = judge_detection(detection())
    assert isinstance(judged, Accepted)
    assert isinstance(judged.content, Detection)
    assert (judged.id, judged.device) == (EVENT_ID, DEVICE)


def test_good_picture_is_accepted_whole() -> None:
    payload = picture()
    judged = judge_picture(payload)
    assert isinstance(judged, Accepted)
    assert isinstance(judged.content, Picture)
    assert (judged.content.width, judged.content.height) == (640, 360)
    assert judged.content.jpeg == payload
    assert (judged.id, judged.device) == (FRAME_ID, DEVICE)


@pytest.mark.parametrize(
    ("payload", "device", "reason", "words", "known"),
    [
        (detection().replace(b'"frame_number": 57', b'"frame_number": NaN'), DEVICE, Reason.SCHEMA, "NaN", True),
        (detection_without("captured_at"), DEVICE, Reason.SCHEMA, "captured_at", True),
        (detection_without("event_id"), DEVICE, Reason.SCHEMA, "event_id", False),
        (detection(schema=2), DEVICE, Reason.SCHEMA, "unknown version", True),
        (detection(), "other", Reason.DEVICE, "'other'.*'lab-jetson'", True),
        (b"", DEVICE, Reason.SCHEMA, "not JSON", False),
        (b"\xff\xfe", DEVICE, Reason.SCHEMA, "not JSON", False),
        (b"[" * 100_000, DEVICE, Reason.SCHEMA, "not JSON", False),
        (detection(padding="x" * 300_000), DEVICE, Reason.SCHEMA, "bytes; at most", True),
    ],
    ids=["nan", "missing", "no-id", "version", "device", "empty", "binary", "deep", "large"],
)
def test_bad_detection_is_refused(payload: bytes, device: str, reason: Reason, words: str, known: bool) -> None:
    judged = judge_detection(payload, device)
    assert isinstance(judged, Refused)
    assert judged.reason is reason
    assert re.search(words, judged.text)
    assert judged.device == device
    assert (judged.id == EVENT_ID) if known else (judged.id is None)


@pytest.mark.parametrize(
    ("payload", "device", "reason", "words"),
    [
        (b"", DEVICE, Reason.PICTURE, "not a JPEG"),
        (b"\x89PNG" + bytes(100), DEVICE, Reason.PICTURE, "not a JPEG"),
        (picture()[:30], DEVICE, Reason.PICTURE, "damaged JPEG"),
        (picture(bare_jpeg(20_000, 20_000)), DEVICE, Reason.PICTURE, "20000x20000"),
        (picture() + bytes(9_000_000), DEVICE, Reason.PICTURE, "bytes; at most"),
        (bare_jpeg(), DEVICE, Reason.SCHEMA, "no comment"),
        (with_comment(bare_jpeg(), b"taken by me"), DEVICE, Reason.SCHEMA, "not JSON"),
        (picture(schema=9), DEVICE, Reason.SCHEMA, "unknown version"),
        (picture(), "other", Reason.DEVICE, "'other'"),
        (picture(frame_id=str(EVENT_ID)), DEVICE, Reason.DEVICE, "frame id"),
        (picture(frame_id=None), DEVICE, Reason.DEVICE, "frame id"),
    ],
    ids=["empty", "png", "cut", "huge", "bytes", "bare", "words", "version", "device", "other-id", "no-id"],
)
def test_bad_picture_is_refused_and_its_sender_can_be_told(
    payload: bytes, device: str, reason: Reason, words: str
) -> None:
    judged = judge_picture(payload, device)
    assert isinstance(judged, Refused)
    assert judged.reason is reason
    assert words in judged.text
    assert (judged.id, judged.device) == (FRAME_ID, device)


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "emotion",
        "emotion/UPPER/detections",
        "other/d/detections",
        "emotion/d/frames/none",
        "emotion/d/live",
        "a\0b",
    ],
)
def test_topic_that_is_not_ours_is_refused_without_an_id(topic: str) -> None:
    judged = validate(TOPICS, Arrival(topic, detection()))
    assert isinstance(judged, Refused)
    assert judged.reason is Reason.TOPIC
    assert judged.id is None


@given(
    topic=st.text(max_size=40) | st.sampled_from(["emotion/d/detections", f"emotion/d/frames/{FRAME_ID}"]),
    payload=st.binary(max_size=200) | st.sampled_from([detection(), picture()]).map(lambda b: b[: len(b) * 2 // 3]),
)
def test_nothing_that_comes_raises(topic: str, payload: bytes) -> None:
    validate(TOPICS, Arrival(topic, payload))
