"""Where a page of results ended, as opaque text. Pure."""

import base64
import binascii
import struct
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from shared.messages import storable_text

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAYOUT: Final = struct.Struct(">q16s")
_VOTE_LAYOUT: Final = struct.Struct(">q16sh")
_NOT_OURS: Final = "not a cursor of this service; take next_cursor of a page as it is"


class Cursor(NamedTuple):
    """The last item of a page: results go on with what is older."""

    captured_at: datetime
    id: UUID


def encode(cursor: Cursor) -> str:
    """Base64url of microseconds since 1970 and the id: 32 characters."""
    micros = (cursor.captured_at - _EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(_LAYOUT.pack(micros, cursor.id.bytes)).decode()


def decode(text: str) -> Cursor:
    """Read a cursor back.

    Raises:
        ValueError: if it is not one that `encode` wrote.
    """
    try:
        micros, raw = _LAYOUT.unpack(base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True))
        cursor = Cursor(_EPOCH + timedelta(microseconds=micros), UUID(bytes=raw))
    except (binascii.Error, struct.error, UnicodeEncodeError, OverflowError):
        raise ValueError(_NOT_OURS) from None
    return cursor


class VoteCursor(NamedTuple):
    """The last vote of a page."""

    captured_at: datetime
    event_id: UUID
    face_index: int
    labeller: str


def encode_vote(cursor: VoteCursor) -> str:
    """As `encode`, with the face's place and the labeller behind it."""
    micros = (cursor.captured_at - _EPOCH) // timedelta(microseconds=1)
    head = _VOTE_LAYOUT.pack(micros, cursor.event_id.bytes, cursor.face_index)
    return base64.urlsafe_b64encode(head + cursor.labeller.encode()).decode()


def decode_vote(text: str) -> VoteCursor:
    """Read a vote's cursor back.

    Raises:
        ValueError: if it is not one that `encode_vote` wrote.
    """
    try:
        raw = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
        micros, event_id, face_index = _VOTE_LAYOUT.unpack_from(raw)
        labeller = raw[_VOTE_LAYOUT.size :].decode()
        return VoteCursor(
            _EPOCH + timedelta(microseconds=micros), UUID(bytes=event_id), face_index, storable_text(labeller)
        )
    except (ValueError, struct.error, OverflowError):  # that of base64 and of Unicode are ValueErrors
        raise ValueError(_NOT_OURS) from None
