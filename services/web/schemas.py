"""What the REST interface takes and gives: filters and pages."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from services.web import cursors
from shared.emotions import Emotion
from shared.messages import Detection, DeviceName, Source, Status, Text, Timestamp

MAX_LIMIT: Final = 1000
MAX_BUCKETS: Final = 2000
DEFAULT_BUCKETS: Final = 60
MAX_FACE_INDEX: Final = 32767
"""What its column holds."""

_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_LOST_PLUS: Final = re.compile(r"[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})? \d\d:\d\d$", re.ASCII)


def _rfc3339_text(value: object) -> object:
    if isinstance(value, str) and not _RFC3339.fullmatch(value):
        hint = "; in an address + must be written as %2B" if _LOST_PLUS.search(value) else ""
        raise ValueError(f"expected a time with its offset, as 2026-03-01T12:00:00Z or 2026-03-01T13:00:00+01:00{hint}")
    return value


def _storable(value: datetime) -> datetime:
    if not 1970 <= value.year <= 2200:
        raise ValueError("expected a year from 1970 to 2200")
    return value.astimezone(UTC)


def _cursor_text(value: str) -> str:
    cursors.decode(value)
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_rfc3339_text), AfterValidator(_storable)]
Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT, description="how many items a page has at most")]
CursorText = Annotated[
    str, Field(max_length=64, description="next_cursor of the page before"), AfterValidator(_cursor_text)
]


class Span(BaseModel):
    """A device and a stretch of time; `from` is included, `to` is not. Unknown parameters are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    device: DeviceName | None = Field(default=None, description="only this device", examples=["camera-1"])
    from_: Moment | None = Field(
        default=None, alias="from", description="captured at or after", examples=["2026-03-01T12:00:00Z"]
    )
    to: Moment | None = Field(default=None, description="captured before", examples=["2026-03-01T13:00:00Z"])

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.from_ is not None and self.to is not None and self.from_ >= self.to:
            raise ValueError("from must be before to")
        return self


class FrameQuery(Span):
    """Filters of frames."""

    cursor: CursorText | None = None
    limit: Limit = 100


class Filter(Span):
    """What may be asked of detections and episodes."""

    session: UUID | None = Field(default=None, description="the devices and the time of this study session")
    episode: UUID | None = Field(default=None, description="the one person and stretch that this episode is of")
    emotion: Emotion | None = Field(default=None, description="a face whose dominant emotion is this")
    min_confidence: float | None = Field(
        default=None, ge=0, le=1, description="a face read with at least this confidence", examples=[0.8]
    )
    ok: bool | None = Field(
        default=None, description="true: a face that was good enough to be read; false: one that was not"
    )
    labelled: bool | None = Field(
        default=None, description="true: a face on which somebody voted; false: one on which nobody did"
    )
    model: Text | None = Field(
        default=None, description="the model's name, or name@version", examples=["slim_resnet", "slim_resnet@1.1.0"]
    )
    has_frame: bool | None = Field(default=None, description="whether the picture was to be kept")


class DetectionFilter(Filter):
    """Filters of detections. What is asked of a face must be met by one and the same face of a frame."""


class DetectionQuery(DetectionFilter):
    """Detections by page."""

    cursor: CursorText | None = None
    limit: Limit = 100


class EpisodeFilter(Filter):
    """Filters of episodes, which belong to a time that they reach into. `emotion` is the most frequent dominant one,
    `min_confidence` asks for the best of its faces, `ok` for half of them, `model` and `has_frame` for the face that
    stands for it."""

    min_quality: float | None = Field(
        default=None, ge=0, le=1, description="at least this share of its faces was good enough to be read"
    )


class EpisodeQuery(EpisodeFilter):
    """Episodes by page."""

    cursor: CursorText | None = None
    limit: Limit = 50


Bucket = Literal["1s", "5s", "10s", "30s", "1m", "5m", "15m", "1h", "6h", "1d"]

BUCKETS: Final[dict[Bucket, timedelta]] = {
    "1s": timedelta(seconds=1),
    "5s": timedelta(seconds=5),
    "10s": timedelta(seconds=10),
    "30s": timedelta(seconds=30),
    "1m": timedelta(minutes=1),
    "5m": timedelta(minutes=5),
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "1d": timedelta(days=1),
}


class StatsQuery(Span):
    """A series of buckets. Without `to` it ends now; without `from` it is 60 buckets long."""

    bucket: Bucket = Field(default="1m", description="width of a bucket; buckets begin at whole UTC multiples of it")

    def resolved(self, now: datetime) -> tuple[datetime, datetime]:
        """Begin and end with the defaults filled in.

        Raises:
            ValueError: if that is more than 2000 buckets, or `from` lies after the end.
        """
        width = BUCKETS[self.bucket]
        end = self.to or now
        begin = self.from_ or end - DEFAULT_BUCKETS * width
        if begin >= end:
            raise ValueError("from must be before to (which is now where it is not given)")
        if (end - begin) / width > MAX_BUCKETS:
            raise ValueError(
                f"{(end - begin) / width:.0f} buckets of {self.bucket}; at most {MAX_BUCKETS} are given: "
                "choose a wider bucket or a shorter time"
            )
        return begin, end


_EXAMPLE_FACE: Final[dict[str, Any]] = {
    "track_id": 3,
    "region": {"x": 212, "y": 90, "w": 120, "h": 128},
    "face_confidence": 0.97,
    "emotion": {
        "angry": 0.01,
        "disgust": 0.01,
        "fear": 0.02,
        "happy": 0.84,
        "sad": 0.02,
        "surprise": 0.04,
        "neutral": 0.06,
    },
    "dominant_emotion": "happy",
    "confidence": 0.84,
    "shown": {"state": "happy", "since": "2026-03-01T12:00:03.120000Z"},
    "quality": {"size_px": 120, "blur": 310.5, "brightness": 128.0, "yaw": 4.0, "ok": True, "reasons": []},
}
EXAMPLE_DETECTION: Final[dict[str, Any]] = {
    "schema": 1,
    "event_id": "0195532e-8b70-7c3e-9d0a-2f6b7a1c4d5e",
    "device": "camera-1",
    "boot_id": "0195532a-0000-7000-8000-000000000001",
    "seq": 412,
    "captured_at": "2026-03-01T12:00:05.250000Z",
    "source": {"kind": "camera", "name": "0"},
    "frame_number": 1236,
    "frame_id": None,
    "frame_size": [640, 360],
    "model": {"name": "slim_resnet", "version": "1.0.0"},
    "faces": [_EXAMPLE_FACE],
    "latency_ms": {"detect": 7.1, "classify": 1.2, "total": 21.4},
    "received_at": "2026-03-01T12:00:05.402000Z",
}


class StoredDetection(Detection):
    """A detection as it was sent, and when it was stored."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_DETECTION]})

    received_at: Timestamp


class Answer(BaseModel):
    """What every answer has in common."""

    model_config = ConfigDict(frozen=True, validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)


class DetectionPage(Answer):
    """Detections, newest first. `next_cursor` is null on the last page.

    Where a filter is so rare that the search stopped before the page was full, `searched_to` says how far back it came;
    `next_cursor` goes on from there.
    """

    items: list[StoredDetection]
    next_cursor: str | None
    searched_to: Timestamp | None = None


class FrameMeta(Answer):
    """What is known of a kept picture; the picture itself is at `jpeg`."""

    frame_id: UUID
    event_id: UUID | None
    device: str
    boot_id: UUID
    captured_at: Timestamp
    received_at: Timestamp
    frame_number: int
    source: Source
    width: int
    height: int
    bytes: int
    sha256: str
    jpeg: str = Field(examples=["/api/v1/frames/0195532e-8b70-7c3e-9d0a-2f6b7a1c4d5e.jpg"])


class FramePage(Answer):
    """Kept pictures, newest first. `next_cursor` is null on the last page."""

    items: list[FrameMeta]
    next_cursor: str | None


class HeardStatus(Status):
    """How an edge service was when it last told, and when that came."""

    received_at: Timestamp | None = Field(
        description="by this machine's clock, unlike `at`, which is by the device's; null where the broker had kept it "
        "from before this service connected"
    )
    clock_skew_s: float | None = Field(
        description="seconds that the device's clock is ahead of this machine's; less than 0: behind. Two statuses in "
        "a row tell it, with the delay of their way; null until then"
    )


class DeviceEntry(Answer):
    """A device as the records and the broker know it. Times are null where no detection of it was ever stored."""

    device: str
    first_seen: Timestamp | None = None
    last_seen: Timestamp | None = None
    statuses: dict[str, HeardStatus] = Field(description="the last status of each of its services")
    desired: dict[str, Any] | None = Field(default=None, description="what a person wants of it, as retained")


class DeviceList(Answer):
    """All devices by name."""

    items: list[DeviceEntry]


class StatsBucket(Answer):
    """One stretch of time. `mean` holds the mean probabilities over its faces; null where there was none."""

    start: Timestamp
    detections: int = Field(description="frames classified, with or without a face")
    faces: int
    counts: dict[Emotion, int] = Field(description="faces by dominant emotion")
    mean: dict[Emotion, float] | None


class Stats(Answer):
    """Buckets in which something was classified, oldest first; a bucket that is missing had nothing."""

    bucket: Bucket
    from_: Timestamp = Field(alias="from")
    to: Timestamp
    items: list[StatsBucket]
