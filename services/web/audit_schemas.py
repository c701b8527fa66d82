"""What the REST interface takes and gives of the audit log, retention and erasures."""

from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from services.web.accounts.schemas import in_one_line
from services.web.schemas import CursorText, Limit, Moment
from shared.db.erasure import Wish
from shared.messages import DeviceName, Timestamp

_Filter = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(in_one_line)]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_by_name=True, validate_by_alias=True)


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)


class AuditQuery(_Asked):
    """Filters of the audit log."""

    action: _Filter | None = Field(default=None, description="only this action", examples=["view"])
    who: _Filter | None = Field(default=None, description="only of this name", examples=["anna"])
    cursor: CursorText | None = None
    limit: Limit = 100


class AuditEntry(_Answer):
    """One line of the log."""

    at: Timestamp
    id: UUID
    who: str
    action: str
    object: str
    detail: dict[str, Any]
    request_id: str | None


class AuditPage(_Answer):
    """Lines, newest first. `next_cursor` is null on the last page."""

    items: list[AuditEntry]
    next_cursor: str | None


class RetentionInForce(_Answer):
    """The days that ingest was set to when it last looked for what has expired, by kind; 0 is for ever."""

    at: Timestamp
    days: dict[str, int]


class LastRetention(_Answer):
    """When retention last dropped something, and the days that were set then, by kind; 0 is for ever."""

    at: Timestamp
    days: dict[str, int]


class RetentionFacts(_Answer):
    """What the database shows of retention. How long things are kept is set where ingest runs."""

    in_force: RetentionInForce | None = Field(description="null: ingest has not looked yet")
    last: LastRetention | None = Field(description="null: nothing was ever dropped")
    oldest_detection: Timestamp | None
    oldest_frame: Timestamp | None


_EXAMPLE_WISH: Final[dict[str, Any]] = {"device": "camera-1", "to": "2026-03-01T13:00:00Z", "confirm": "erase"}


class _Named(_Asked):
    """What to erase: of a device a time, or one study session, or one item."""

    device: DeviceName | None = Field(
        default=None, description="all that this device recorded in a time; goes with `to`", examples=["camera-1"]
    )
    from_: Moment | None = Field(
        default=None, alias="from", description="captured at or after; not given: from the first"
    )
    to: Moment | None = Field(default=None, description="captured before", examples=["2026-03-01T13:00:00Z"])
    session: UUID | None = Field(
        default=None,
        description="a study session that has ended: what its devices recorded in its time, and the session itself",
    )
    item: UUID | None = Field(
        default=None, description="one detection with its picture, by its event_id; or a picture alone, by its frame_id"
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if sum(each is not None for each in (self.device, self.session, self.item)) != 1:
            raise ValueError("name one of device, session and item")
        if self.device is None and (self.from_ is not None or self.to is not None):
            raise ValueError("from and to go with device; a session has its own time")
        if self.device is not None and self.to is None:
            raise ValueError("to is missing; without an end all that the device ever records would be refused")
        if self.from_ is not None and self.to is not None and self.from_ >= self.to:
            raise ValueError("from must be before to")
        return self


class ErasurePreviewQuery(_Named):
    """What would be erased."""


class ErasePreview(_Answer):
    """How much there is of it now."""

    rows: dict[str, int] = Field(description="by table")


class EraseWish(_Named):
    """What to erase for good."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE_WISH]})

    confirm: Literal["erase"] = Field(description="the word erase, so that nothing is erased by mistake")


class ErasureAtWork(_Answer):
    """An erasure that waits or is carried out now, named as it was asked for."""

    device: str | None
    from_: Timestamp | None = Field(alias="from")
    to: Timestamp | None
    session: UUID | None
    item: UUID | None
    requested_by: str
    rows_removed: int = Field(description="by this service, since it was started")

    @classmethod
    def of(cls, wish: Wish, removed: int) -> Self:
        """What is written down. Of several scopes the last is the session that the others are the records of."""
        *records, last = wish.scopes.values()
        of_session = bool(records)
        return cls.model_validate(
            {
                "device": last.device,
                "from": last.begin,
                "to": last.end,
                "session": last.item_id if of_session else None,
                "item": None if of_session else last.item_id,
                "requested_by": wish.who,
                "rows_removed": removed,
            }
        )


class ErasureEntry(_Answer):
    """An erasure and its proof. It holds for ever: ingest refuses what comes later and lies within."""

    id: int
    requested_at: Timestamp
    requested_by: str
    device: str | None = Field(description="null: every device")
    from_: Timestamp | None = Field(alias="from")
    to: Timestamp | None
    item_id: UUID | None
    rows_before: dict[str, int] | None
    rows_after: dict[str, int] | None = Field(description="all 0 once it is finished")
    finished_at: Timestamp | None


class ErasureList(_Answer):
    """The newest erasures, and those at work."""

    at_work: list[ErasureAtWork]
    failed: str | None = Field(description="why the last one that this service carried out was not finished")
    items: list[ErasureEntry]
