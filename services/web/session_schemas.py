"""What the REST interface takes and gives of study sessions and their markers."""

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, computed_field, model_validator

from services.web.schemas import CursorText, Limit, Moment, Span
from shared.emotions import Emotion
from shared.messages import DeviceName, Timestamp, storable_text

MAX_MARKERS: Final = 1000
"""Of one session: two hours with one every seven seconds."""
_MAX_DEVICES: Final = 32
_CODE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}", re.ASCII)
_CLOCK_SLACK: Final = timedelta(minutes=1)
"""By which a reader's clock may be ahead of this machine's."""


def _not_ahead(value: datetime) -> datetime:
    now = datetime.now(UTC)
    if value > now + _CLOCK_SLACK:
        raise ValueError(f"lies in the future: it is {now:%Y-%m-%dT%H:%M:%SZ} here; leave it out for now")
    return min(value, now)


def _each_once(value: list[str]) -> list[str]:
    return list(dict.fromkeys(value))


def _code(value: str) -> str:
    if not _CODE.fullmatch(value):
        raise ValueError(
            "expected a code such as P07: 1 to 32 letters (a to z), digits, dots, dashes and underscores, of which the "
            "first is a letter or digit; no spaces, and never a name"
        )
    return value


def _something_said(value: str) -> str:
    if not value:
        raise ValueError("expected what was noticed; it is empty, or nothing but spaces")
    return value


Past = Annotated[Moment, AfterValidator(_not_ahead)]
Pseudonym = Annotated[
    str,
    Field(
        description="a code as P07, never a name: up to 32 letters, digits, dots, dashes and underscores",
        examples=["P07"],
        json_schema_extra={"pattern": f"^{_CODE.pattern}$"},
    ),
    AfterValidator(_code),
]
Condition = Annotated[
    str,
    Field(max_length=200, description="what was varied, in your own words", examples=["video call"]),
    AfterValidator(storable_text),
]
# Escaped in JSON a character takes up to twelve bytes, and a body may have 64 KiB.
Notes = Annotated[str, Field(max_length=3500, description="free text"), AfterValidator(storable_text)]
SessionDevices = Annotated[
    list[DeviceName],
    Field(
        min_length=1,
        max_length=_MAX_DEVICES,
        description="whose records belong to the session",
        examples=[["camera-1"]],
    ),
    AfterValidator(_each_once),
]
MarkerText = Annotated[
    str,
    StringConstraints(strip_whitespace=True),
    Field(
        max_length=500,
        description="what was noticed; more than spaces, which are taken off both ends",
        examples=["I was confused here"],
        json_schema_extra={"minLength": 1, "pattern": r"\S"},
    ),
    AfterValidator(_something_said),
    AfterValidator(storable_text),
]


SearchText = Annotated[
    str,
    Field(
        max_length=200,
        description="words, each of which stands in the participant's code, the condition or the name of a device, "
        "whatever its case",
        examples=["P07 video"],
    ),
    AfterValidator(storable_text),
]


class SessionFilter(Span):
    """Filters of sessions: those that overlap the time and use the device."""

    participant: Pseudonym | None = None
    condition: Condition | None = Field(default=None, description="the whole of it, as it was written")
    running: bool | None = Field(default=None, description="true: those that go on; false: those that have ended")
    search: SearchText | None = None


class SessionQuery(SessionFilter):
    """A page of the sessions that fit."""

    cursor: CursorText | None = None
    limit: Limit = 100


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NewSession(_Asked):
    """A session to start. Without `started_at` it starts now; with `ended_at` it is one of the past."""

    participant: Pseudonym
    condition: Condition = ""
    notes: Notes = ""
    devices: SessionDevices
    started_at: Past | None = None
    ended_at: Past | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.ended_at is not None and self.started_at is None:
            raise ValueError("a session with ended_at needs started_at as well")
        if self.ended_at is not None and self.started_at is not None and self.ended_at <= self.started_at:
            raise ValueError("ended_at must be after started_at")
        return self


class SessionChange(_Asked):
    """What is to change; what is left out stays. `ended_at` null lets the session go on."""

    participant: Pseudonym | None = None
    condition: Condition | None = None
    notes: Notes | None = None
    devices: SessionDevices | None = None
    started_at: Past | None = None
    ended_at: Past | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("nothing to change; name at least one of " + ", ".join(type(self).model_fields))
        for name in self.model_fields_set - {"ended_at"}:
            if getattr(self, name) is None:
                raise ValueError(f"{name} cannot be null; leave it out to keep it")
        return self

    def values(self) -> dict[str, Any]:
        """The columns to set."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class NewMarker(_Asked):
    """A moment of a session. Without `at` it is now."""

    at: Past | None = None
    text: MarkerText


class MarkerChange(_Asked):
    """What is to change; what is left out stays."""

    at: Past | None = None
    text: MarkerText | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.at is None and self.text is None:
            raise ValueError("nothing to change; name at least one of at, text")
        return self


_LISTED: Final[dict[str, Any]] = {
    "id": "6f1c1c1e-3a60-4f0e-9a3e-0d0f6f2b6c55",
    "participant": "P07",
    "condition": "video call",
    "devices": ["camera-1"],
    "started_at": "2026-03-01T12:00:00.000000Z",
    "ended_at": "2026-03-01T12:20:00.000000Z",
    "created_at": "2026-03-01T12:00:00.000000Z",
    "created_by": "ada",
    "markers": 2,
}
_EXAMPLE: Final = _LISTED | {"notes": "Calm at first.", "version": "5f0e3a60c1b94d27a8e60b5d1f2c7e93"}


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, serialize_by_alias=True, validate_by_name=True, validate_by_alias=True)


class ListedSession(_Answer):
    """A session as lists have it, without its notes. `ended_at` is null while it goes on; what was captured before that
    time belongs to it."""

    model_config = ConfigDict(json_schema_extra={"examples": [_LISTED]})

    id: UUID
    participant: str
    condition: str
    devices: list[str]
    started_at: Timestamp
    ended_at: Timestamp | None
    created_at: Timestamp
    created_by: str
    markers: int = Field(description="how many moments are marked")


class StudySession(ListedSession):
    """A session with its notes."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    notes: str

    @computed_field(description="of all that can be changed of it, its markers left out; its ETag, for If-Match")  # type: ignore[prop-decorator]  # mypy knows no decorated property; pydantic documents this
    @property
    def version(self) -> str:
        times = [moment and moment.astimezone(UTC).isoformat() for moment in (self.started_at, self.ended_at)]
        content = json.dumps([self.participant, self.condition, self.notes, self.devices, times])
        return hashlib.sha256(content.encode()).hexdigest()[:32]


class SessionPage(_Answer):
    """Sessions, the one that started last first. `next_cursor` is null on the last page."""

    items: list[ListedSession]
    next_cursor: str | None


class SessionChoices(_Answer):
    """What sessions can be filtered by, each in order: of more than 1,000, those that were used last."""

    participants: list[str] = Field(examples=[["P07", "P08"]])
    conditions: list[str] = Field(examples=[["face to face", "video call"]])


class Overlap(_Answer):
    """Another session of the same time and a common device: the same records belong to both."""

    id: UUID
    participant: str
    started_at: Timestamp
    devices: list[str] = Field(description="those in common")


class SessionDetail(StudySession):
    """A session and what to know about it."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE | {"overlaps": []}]})

    overlaps: list[Overlap] = Field(description="at most 20")


class Marker(_Answer):
    """A moment with what was said of it."""

    id: UUID
    at: Timestamp
    text: str
    created_at: Timestamp
    created_by: str


class MarkerList(_Answer):
    """All markers of a session, in order of time."""

    items: list[Marker]


class Stretch(_Answer):
    """A short stretch of one person's face; what it looked like most of the time."""

    start: Timestamp
    looks: Emotion | None = Field(description="null: not sure")
    faces: int = Field(description="how many readings")
    confidence: float = Field(description="mean confidence of the dominant emotion")


class Person(_Answer):
    """A face that a camera followed. Nobody is identified: who leaves and comes back is another person here."""

    device: str
    boot_id: UUID
    track_id: int
    stretches: list[Stretch]


class Timeline(_Answer):
    """How each person looked over a session, in stretches of `step_s`. A stretch that is missing had no face."""

    from_: Timestamp = Field(alias="from")
    to: Timestamp = Field(description="the end of the session, now, or 24 hours after `from`")
    complete: bool = Field(description="false: the session goes on after `to`; ask again with from")
    step_s: float
    people: list[Person] = Field(description="who was seen longest first, at most 20")
    people_left_out: int
