"""A study session's records as CSV, one row a face and moment. Pure."""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from services.web.queries import number
from services.web.session_schemas import ListedSession, Marker
from shared.emotions import EMOTIONS
from shared.messages import rfc3339

FACE_COLUMNS: Final = (
    "captured_at",
    "seconds",
    "device",
    "boot_id",
    "track_id",
    "event_id",
    "face_index",
    *EMOTIONS,
    "dominant_emotion",
    "confidence",
    "shown",
    "quality_ok",
    "frame_id",
    "model",
    "session_id",
    "participant",
    "condition",
)
_OF_SESSION: Final = ("session_id", "participant", "condition")
STUDY_COLUMNS: Final = (*_OF_SESSION, "session_started_at", *FACE_COLUMNS[: -len(_OF_SESSION)])
"""Of several sessions in one table."""
MARKER_COLUMNS: Final = ("at", "seconds", "text", "created_at", "created_by", "session_id", "participant", "condition")

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def _text(value: str) -> str:
    """What a person wrote, such that no spreadsheet takes it for a formula."""
    return f"'{value}" if value.startswith(_FORMULA) else value


def _seconds(session: ListedSession, moment: datetime) -> str:
    return f"{(moment - session.started_at).total_seconds():.6f}"


def lines(rows: Iterable[Sequence[object]]) -> bytes:
    """Rows as CSV in UTF-8 (RFC 4180)."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def face_row(session: ListedSession, row: Any) -> list[object]:
    """One face of `session_queries.faces_after`, in the order of FACE_COLUMNS."""
    return [
        rfc3339(row.captured_at),
        _seconds(session, row.captured_at),
        row.device,
        row.boot_id,
        row.track_id,
        row.event_id,
        row.face_index,
        *(number(getattr(row, emotion)) for emotion in EMOTIONS),
        row.dominant_emotion,
        number(row.confidence),
        row.shown_state,
        row.quality_ok,
        row.frame_id,
        f"{row.model_name} {row.model_version}",
        session.id,
        session.participant,
        _text(session.condition),
    ]


def study_row(session: ListedSession, row: Any) -> list[object]:
    """One face of one of several sessions, in the order of STUDY_COLUMNS."""
    values = face_row(session, row)
    of_session = len(_OF_SESSION)
    return [*values[-of_session:], rfc3339(session.started_at), *values[:-of_session]]


def marker_row(session: ListedSession, marker: Marker) -> list[object]:
    """One marker, in the order of MARKER_COLUMNS."""
    return [
        rfc3339(marker.at),
        _seconds(session, marker.at),
        _text(marker.text),
        rfc3339(marker.created_at),
        _text(marker.created_by),
        session.id,
        session.participant,
        _text(session.condition),
    ]


def file_name(session: ListedSession, what: str) -> str:
    """As session-P07-20260301T120000Z-faces.csv."""
    return f"session-{session.participant}-{session.started_at:%Y%m%dT%H%M%SZ}-{what}.csv"
