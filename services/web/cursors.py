"""Where a page of results ended, as opaque text. Pure."""

import base64
import binascii
import struct
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAYOUT: Final = struct.Struct(">q16s")


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
        raise ValueError("not a cursor of this service; take next_cursor of a page as it is") from None
    return cursor
