import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.emotions import EMOTIONS
from shared.errors import BadMessage
from shared.messages import (
    MAX_JSON_BYTES,
    Desired,
    Detection,
    Emotions,
    FrameInfo,
    Live,
    Status,
    Versioned,
    decode,
    decode_ack,
    encode_ack,
    message_id,
    rfc3339,
)

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
MODELS: dict[str, type[Versioned]] = {
    "detection": Detection,
    "frame_info": FrameInfo,
    "live": Live,
    "status": Status,
    "desired": Desired,
}


def golden(name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text())
    return data


@pytest.mark.parametrize("name", MODELS)
def test_wire_form_is_the_golden_one(name: str) -> None:
    wire = (GOLDEN / f"{name}.json").read_bytes()
    assert json.loads(decode(MODELS[name], "t", wire).to_json()) == json.loads(wire)


def test_unknown_fields_are_ignored_so_that_a_newer_sender_is_understood() -> None:
    data = golden("detection") | {"new_field": {"of": "2030"}}
    assert decode(Detection, "t", json.dumps(data)) == decode(Detection, "t", json.dumps(golden("detection")))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"schema": 2}, "schema"),
        ({"schema": None}, "schema"),
        ({"device": "Not A Device"}, "device"),
        ({"captured_at": "2026-11-23T10:00:00"}, "captured_at"),
        ({"captured_at": "1970-01-01T00:00:00Z"}, "captured_at"),
        ({"event_id": "42"}, "event_id"),
        ({"frame_size": [0, 10]}, "frame_size.0"),
        ({"faces": [{}]}, "faces.0.track_id"),
        ({"seq": -1}, "seq"),
        ({"seq": "5"}, "seq"),
        ({"seq": True}, "seq"),
        ({"seq": 9.0}, "seq"),
        ({"schema": True}, "schema"),
        ({"captured_at": 1_700_000_000}, "captured_at"),
        ({"captured_at": "0001-01-01T00:00:00+23:59"}, "captured_at"),
        ({"captured_at": "9999-12-31T23:59:59-23:59"}, "captured_at"),
        ({"source": {"kind": "sample", "name": "a\0b"}}, "source.name"),
        ({"latency_ms": {"total": 1e300}}, "latency_ms.total"),
        ({"latency_ms": {"total": -1}}, "latency_ms.total"),
    ],
)
def test_what_breaks_the_contract_is_named_by_topic_and_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(BadMessage) as caught:
        decode(Detection, "emotion/lab/detections", json.dumps(golden("detection") | change))
    assert caught.value.topic == "emotion/lab/detections"
    assert caught.value.field == field


@pytest.mark.parametrize("missing", [name for name in golden("detection") if name not in {"frame_id", "latency_ms"}])
def test_every_required_field_is_required(missing: str) -> None:
    data = golden("detection")
    del data[missing]
    with pytest.raises(BadMessage, match=missing):
        decode(Detection, "t", json.dumps(data))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        None,
        b"\xff\xfe",
        "\ud800",
        b"[]",
        b"null",
        b'{"schema": NaN}',
        b"{" * 100_000,
        b" " * (MAX_JSON_BYTES + 1),
        b"1e999",
        b"9" * 5000,
        json.dumps(golden("status")).encode("utf-16"),
        json.dumps(golden("status")).encode()[:-1] + b', "new": ' + b"[" * 2000 + b"]" * 2000 + b"}",
    ],
)
def test_what_is_not_a_json_object_is_refused(payload: bytes | str | None) -> None:
    with pytest.raises(BadMessage):
        decode(Status, "t", payload)


def test_a_field_that_is_named_twice_is_refused() -> None:
    wire = (GOLDEN / "detection.json").read_bytes().replace(b'"device":', b'"device": "other", "device":', 1)
    with pytest.raises(BadMessage, match="named twice"):
        decode(Detection, "t", wire)


def test_what_is_told_of_a_bad_message_is_short_and_steers_no_terminal() -> None:
    key = "\x1b[31m\n" + "k" * 100_000
    with pytest.raises(BadMessage) as caught:
        decode(Detection, "t", json.dumps(golden("detection") | {"latency_ms": {key: 1}}))
    assert len(str(caught.value)) < 1000
    assert str(caught.value).isprintable()


def test_no_id_is_looked_for_in_a_message_that_only_an_attacker_sends() -> None:
    payload = b'{"event_id": "018f0000-0000-7000-8000-000000000001"' + b" " * 2_000_000 + b"}"
    assert message_id(payload) is None


def test_infinity_written_as_a_large_number_is_refused() -> None:
    wire = (GOLDEN / "detection.json").read_text().replace('"confidence": 0.7', '"confidence": 1e999')
    with pytest.raises(BadMessage, match="confidence"):
        decode(Detection, "t", wire)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_crash_the_decoders(payload: bytes) -> None:
    for read in (lambda: decode(Detection, "t", payload), lambda: decode_ack("t", payload)):
        try:
            read()
        except BadMessage:
            continue
    message_id(payload)


@given(st.lists(st.floats(0.001, 1), min_size=7, max_size=7))
def test_probabilities_survive_the_wire_and_name_their_largest(values: list[float]) -> None:
    total = sum(values)
    emotions = Emotions(**dict(zip(EMOTIONS, (v / total for v in values), strict=True)))
    assert Emotions.model_validate_json(emotions.to_json()) == emotions
    assert max(emotions.as_tuple()) == getattr(emotions, emotions.dominant())


def test_probabilities_that_do_not_sum_to_one_are_refused() -> None:
    with pytest.raises(ValueError, match="sum to"):
        Emotions(**dict.fromkeys(EMOTIONS, 0.5))


@given(st.lists(st.uuids(), max_size=20))
def test_acknowledged_ids_survive_the_wire(ids: list[UUID]) -> None:
    assert decode_ack("t", encode_ack(ids)) == tuple(ids)


@pytest.mark.parametrize("payload", [b"{}", b"[1]", b'["x"]', b"[null]", b"nope"])
def test_an_acknowledgement_that_is_no_list_of_ids_is_refused(payload: bytes) -> None:
    with pytest.raises(BadMessage):
        decode_ack("t", payload)


def test_the_id_of_a_rejected_message_is_found_where_it_can_be() -> None:
    assert message_id(b'{"event_id": "018f0000-0000-7000-8000-000000000001", "bad": 1}') == UUID(
        "018f0000-0000-7000-8000-000000000001"
    )
    assert message_id(b'{"event_id": 5}') is None
    assert message_id(b"[]") is None


def test_times_cross_the_wire_in_utc_with_microseconds() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=timezone(timedelta(hours=2)))
    assert rfc3339(moment) == "2026-01-02T01:04:05.000006Z"
    assert rfc3339(moment.astimezone(UTC)) == rfc3339(moment)
