"""The contract between services: every message that crosses a broker.

All models are frozen. Readers ignore fields they do not know and reject a `schema` they do not know, so that a
newer edge and an older cloud understand each other within a major version. Golden files under `tests/golden` pin
the wire form of each; a change to one is a change of version.

Whoever sends is not trusted: values are read as the JSON type they have and never converted, and everything that is
stored is bounded by what its column holds, so that no message can break a reader.
"""

import json
import math
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, Self, TypeVar
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    field_validator,
    model_validator,
)

from shared.emotions import EMOTIONS, Emotion
from shared.errors import BadMessage

DEVICE_PATTERN: Final = r"^[a-z0-9-]{1,32}$"
MAX_FACES: Final = 64
"""More faces than this in one frame is not a picture of people before a camera."""
MAX_JSON_BYTES: Final = 256 * 1024
MAX_ID_BYTES: Final = 4 * MAX_JSON_BYTES
"""A refused message larger than this is not searched for its id: parsing takes many times its size in memory."""
PROBABILITY_SUM_TOLERANCE: Final = 1e-3
MOST_READING: Final = 1e9
"""Above any reading that is a measurement, and within what Postgres' `real` holds."""
_TOLD_FIELD: Final = 100
_TOLD_REASON: Final = 300


def rfc3339(moment: datetime) -> str:
    """`moment` in UTC with microseconds and `Z`, the one form in which times cross the wire."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _storable_moment(value: datetime) -> datetime:
    # Compared as it stands: near the ends of the calendar a conversion to UTC overflows.
    if not 1970 <= value.year <= 2200:
        raise ValueError("expected a year from 1970 to 2200; set the clock of the device")
    return value


def storable_text(value: str) -> str:
    """`value`, if Postgres can keep it.

    Raises:
        ValueError: if it holds a zero byte.
    """
    if "\0" in value:
        raise ValueError("a zero byte is not text")
    return value


Timestamp = Annotated[
    AwareDatetime,
    AfterValidator(_storable_moment),
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
]
DeviceName = Annotated[str, Field(pattern=DEVICE_PATTERN)]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
MOST_TEXT: Final = 512
"""Characters of a text."""
Text = Annotated[str, Field(max_length=MOST_TEXT), AfterValidator(storable_text)]
Name = Annotated[str, Field(max_length=64), AfterValidator(storable_text)]
"""A key of a reading."""
Count = Annotated[int, Field(ge=0, le=2**53)]
"""What JavaScript still counts exactly."""
Side = Annotated[int, Field(gt=0, le=32767)]
"""Pixels."""


class Message(BaseModel):
    """Base of everything on the wire: frozen, finite numbers only, unknown fields ignored."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", allow_inf_nan=False, validate_by_name=True, validate_by_alias=True
    )

    def to_json(self) -> bytes:
        """The wire form, UTF-8 JSON."""
        return self.model_dump_json(by_alias=True).encode()


class Versioned(Message):
    """A message of its own on a topic: names the schema version it keeps."""

    schema_: Literal[1] = Field(default=1, alias="schema")


class Source(Message):
    """Where frames come from. `kind` is the source's type, `name` what the user called it."""

    kind: Literal["camera", "file", "folder", "url", "gstreamer", "sample"]
    name: Text


class Region(Message):
    """A face's box in pixels of the frame. May reach over the frame's edge."""

    x: int = Field(ge=-32768, le=32767)
    y: int = Field(ge=-32768, le=32767)
    w: int = Field(gt=0, le=32767)
    h: int = Field(gt=0, le=32767)


class Emotions(Message):
    """Calibrated probabilities of the seven emotions; they sum to 1."""

    angry: Probability
    disgust: Probability
    fear: Probability
    happy: Probability
    sad: Probability
    surprise: Probability
    neutral: Probability

    @model_validator(mode="after")
    def _sums_to_one(self) -> Self:
        total = math.fsum(self.as_tuple())
        if abs(total - 1.0) > PROBABILITY_SUM_TOLERANCE:
            raise ValueError(f"the seven probabilities sum to {total:.4f}, expected 1")
        return self

    def as_tuple(self) -> tuple[float, ...]:
        """The probabilities in FER2013's class order."""
        return tuple(getattr(self, name) for name in EMOTIONS)

    def dominant(self) -> Emotion:
        """The most probable emotion; the first in class order where two are equal."""
        values = self.as_tuple()
        return EMOTIONS[values.index(max(values))]


class Quality(Message):
    """Whether a face can be read at all, and if not, why."""

    size_px: int = Field(ge=0, le=32767, description="shorter side of the face's box, pixels")
    blur: float = Field(
        ge=0, le=MOST_READING, description="variance of the Laplacian of the face at 64x64; small is blurred"
    )
    brightness: float = Field(ge=0, le=255, description="mean grey value of the face")
    yaw: float | None = Field(default=None, ge=-90, le=90, description="degrees turned sideways; null where unknown")
    ok: bool
    reasons: tuple[Literal["small", "blurred", "dark", "bright", "turned"], ...] = ()


class Shown(Message):
    """What a screen shows for a face after smoothing; `unsure` is a normal answer."""

    state: Emotion | Literal["unsure"]
    since: Timestamp


class Face(Message):
    """One face of one frame. Field names are those that users of face libraries know."""

    track_id: int = Field(ge=0, le=2**53, description="stays with its person across frames of one boot")
    region: Region
    face_confidence: Probability
    emotion: Emotions
    dominant_emotion: Emotion
    confidence: Probability = Field(description="probability of the dominant emotion")
    shown: Shown | None = None
    quality: Quality


class ModelRef(Message):
    """Which model said it."""

    name: Text
    version: Text


class Detection(Versioned):
    """What was read in one frame. Kept forever: `event_id` is its identity from the outbox to Postgres."""

    event_id: UUID
    device: DeviceName
    boot_id: UUID = Field(description="new at each start of capture; orders with seq where a clock jumped")
    seq: int = Field(ge=0, le=2**53, description="counts this device's detections within a boot, without gaps")
    captured_at: Timestamp
    source: Source
    frame_number: Count
    frame_id: UUID | None = Field(default=None, description="the stored picture of this frame, if one was kept")
    frame_size: tuple[Side, Side]
    model: ModelRef
    faces: tuple[Face, ...] = Field(max_length=MAX_FACES)
    latency_ms: dict[Name, Annotated[float, Field(ge=0, le=MOST_READING)]] = Field(
        default_factory=dict, max_length=16, description="milliseconds by stage: queue, decode, detect, classify, total"
    )

    @field_validator("captured_at")
    @classmethod
    def _in_storable_range(cls, value: datetime) -> datetime:
        if not 2000 <= value.astimezone(UTC).year <= 2100:
            raise ValueError("captured_at is outside 2000 to 2100; is the device's clock set?")
        return value


class FrameInfo(Versioned):
    """What belongs to a picture, carried inside it as JSON in a JPEG comment segment."""

    device: DeviceName
    boot_id: UUID
    frame_number: Count
    captured_at: Timestamp
    source: Source
    frame_id: UUID | None = Field(default=None, description="set on pictures that are kept")
    event_id: UUID | None = Field(default=None, description="the detection that this picture belongs to")
    drawn: bool | None = Field(default=None, description="of a preview: whether boxes and words are drawn in")


class LiveFace(Message):
    """The stabilised state of one person's face, for a screen."""

    track_id: Count
    region: Region
    emotion: Emotions = Field(description="smoothed over the last moments")
    shown: Shown
    quality: Quality


class Live(Versioned):
    """The state of the scene after one frame. May be lost; the next one replaces it."""

    device: DeviceName
    captured_at: Timestamp
    boot_id: UUID
    source: Source
    frame_number: Count
    frame_size: tuple[Side, Side]
    faces: tuple[LiveFace, ...] = Field(max_length=MAX_FACES)
    recording: bool = Field(description="whether pictures are being stored")
    fps: float = Field(ge=0, le=MOST_READING, description="frames classified per second over the last seconds")
    latency_ms: float = Field(ge=0, le=MOST_READING, description="from capture to this message")


class Problem(Message):
    """Something a person should know: in plain words, with the next step."""

    title: Text
    cause: Text = ""
    next_step: Text = ""


StatusValue = Annotated[int, Field(ge=-(2**53), le=2**53)] | float | Text | bool | None


class Status(Versioned):
    """How an edge service is: told at each change and every ten seconds. Retained; the last will says `offline`."""

    device: DeviceName
    service: Annotated[str, Field(pattern=r"^[a-z]{1,16}$")]
    state: Literal["starting", "online", "degraded", "finished", "paused", "offline"]
    at: Timestamp
    problems: tuple[Problem, ...] = Field(default=(), max_length=16)
    values: dict[Name, StatusValue] = Field(
        default_factory=dict,
        max_length=64,
        description="counters and readings by name. The classifier's `temperature_c` is that of the hottest part, null "
        "where the system tells of none",
    )


class Sampling(Message):
    """Which frames are kept as pictures. `off` keeps none: privacy mode."""

    mode: Literal["off", "on"] = "off"
    every_s: float | None = Field(
        default=None, gt=0, le=MOST_READING, description="keep one at least every so many seconds"
    )
    daily_cap: int | None = Field(default=None, ge=0, le=2**53, description="keep at most so many a day")


class Desired(Versioned):
    """What a person wants of a device. Retained. A missing field means: leave it as it is configured."""

    device: DeviceName
    paused: bool | None = None
    sampling: Sampling | None = None
    model: Text | None = None
    watch_until: Timestamp | None = Field(default=None, description="somebody looks at the preview until then")
    preview_fps: float | None = Field(default=None, gt=0, le=60, description="previews a second that are enough")
    preview_clean: bool | None = Field(
        default=None, description="without boxes and words: who looks draws them from `live`"
    )


Ack = tuple[UUID, ...]

M = TypeVar("M", bound=Versioned)


def decode(model: type[M], topic: str, payload: bytes | bytearray | str | None) -> M:
    """Read one message.

    Raises:
        BadMessage: naming the topic, the field and the reason, for whatever does not keep the contract: not UTF-8, not
            JSON, NaN, a field named twice, a missing field, a wrong type, an unknown schema version, too many bytes.
    """
    text = _text(topic, payload)
    data = _parse(topic, text)
    if not isinstance(data, dict):
        raise BadMessage(topic, "", f"expected a JSON object, got {type(data).__name__}")
    if "schema" not in data:
        raise BadMessage(topic, "schema", "missing; expected 1")
    if type(data["schema"]) is not int or data["schema"] != 1:
        raise BadMessage(topic, "schema", f"unknown version {str(data['schema'])[:40]!r}; this reader knows 1")
    try:
        # From the text again: only there a strict reader takes a string for a time or an id, and nothing else.
        return model.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise _as_bad_message(topic, error) from None


def decode_ack(topic: str, payload: bytes | bytearray | str | None) -> Ack:
    """Read the ids that ingest has stored (or refused for good).

    Raises:
        BadMessage: if it is not a JSON list of UUIDs.
    """
    data = _parse(topic, _text(topic, payload))
    if not isinstance(data, list):
        raise BadMessage(topic, "", f"expected a JSON list of ids, got {type(data).__name__}")
    try:
        return tuple(UUID(item) for item in data)
    except (ValueError, TypeError, AttributeError):
        raise BadMessage(topic, "", "expected every item to be a UUID") from None


def encode_ack(ids: Ack | list[UUID]) -> bytes:
    """The wire form of an acknowledgement."""
    return json.dumps([str(item) for item in ids]).encode()


def message_id(payload: bytes) -> UUID | None:
    """The `event_id` of a detection that could not be decoded, if one can still be read.

    A rejected message is acknowledged only if its sender can recognise it; else it would be sent for ever. One that is
    larger than `MAX_ID_BYTES` is none that this project's devices make.
    """
    if len(payload) > MAX_ID_BYTES:
        return None
    try:
        data = json.loads(payload)
        return UUID(data["event_id"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _text(topic: str, payload: bytes | bytearray | str | None) -> str:
    if payload is None:
        raise BadMessage(topic, "", "empty payload")
    if len(payload) > MAX_JSON_BYTES:
        raise BadMessage(topic, "", f"{len(payload)} bytes; at most {MAX_JSON_BYTES} are accepted")
    try:
        return (payload.encode() if isinstance(payload, str) else payload).decode()
    except UnicodeError:
        raise BadMessage(topic, "", "not JSON: it is not UTF-8") from None


def _parse(topic: str, text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise BadMessage(topic, "", f"not JSON: {_printable(str(error), _TOLD_REASON)}") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two readers may take two different ones of two fields with one name."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field is named twice")
    return found


def _as_bad_message(topic: str, error: ValidationError) -> BadMessage:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(_printable(str(part), _TOLD_FIELD) for part in first["loc"])
    more = error.error_count() - 1
    reason = first["msg"].removeprefix("Value error, ") + (f" (and {more} more)" if more else "")
    return BadMessage(topic, field[: 2 * _TOLD_FIELD], _printable(reason, _TOLD_REASON))


def _printable(text: str, limit: int) -> str:
    """At most `limit` characters of what a sender may have chosen, without those that steer a terminal or a log."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:limit])
