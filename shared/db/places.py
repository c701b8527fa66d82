"""Every place in the database that holds personal data, and how to find there what lies within a scope.

A table that is in neither list fails a test: whoever adds one says here what it holds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, Interval, LargeBinary, Table, and_, false, literal, or_, select, true

from shared.db.episode_tables import episodes
from shared.db.hourly_tables import HOUR, hourly_totals
from shared.db.study_tables import dataset_items, session_markers, study_sessions, votes
from shared.db.tables import dead_letters, detections, faces, frames


@dataclass(frozen=True, slots=True)
class Scope:
    """What is meant: one item by its id, or all of a device (None: of every device) captured in [begin, end).

    Whatever else a person may name is resolved to scopes: a study session by `shared.db.session_scopes`. An item is a
    detection, a picture or a session.
    """

    device: str | None = None
    begin: datetime | None = None
    end: datetime | None = None
    item_id: UUID | None = None

    def __str__(self) -> str:
        """In words."""
        if self.item_id is not None:
            return f"item {self.item_id}"
        device = f"device {self.device}" if self.device is not None else "every device"
        begin = f"from {self.begin.isoformat()} " if self.begin is not None else ""
        return f"{device}, captured {begin}before {self.end.isoformat() if self.end is not None else 'any time'}"


@dataclass(frozen=True, slots=True)
class Place:
    """A table with personal data. `within` is true for the rows that belong to a scope."""

    table: Table
    within: Callable[[Scope], ColumnElement[bool]]


def _range(table: Table, scope: Scope) -> ColumnElement[bool]:
    conditions: list[ColumnElement[bool]] = []
    if scope.device is not None:
        conditions.append(table.c.device == scope.device)
    if scope.begin is not None:
        conditions.append(table.c.captured_at >= scope.begin)
    if scope.end is not None:
        conditions.append(table.c.captured_at < scope.end)
    return and_(true(), *conditions)


def _of_event(table: Table) -> Callable[[Scope], ColumnElement[bool]]:
    return lambda scope: _range(table, scope) if scope.item_id is None else table.c.event_id == scope.item_id


def _of_dataset_item(scope: Scope) -> ColumnElement[bool]:
    if scope.item_id is None:
        return _range(dataset_items, scope)
    return or_(dataset_items.c.event_id == scope.item_id, dataset_items.c.frame_id == scope.item_id)


def _of_episode(scope: Scope) -> ColumnElement[bool]:
    # Those that lie wholly within: one that reaches beyond is made again of the faces that stay.
    if scope.item_id is not None:
        return episodes.c.event_id == scope.item_id
    conditions: list[ColumnElement[bool]] = []
    if scope.begin is not None:
        conditions.append(episodes.c.first_at >= scope.begin)
    if scope.end is not None:
        conditions.append(episodes.c.last_at < scope.end)
    return and_(_of_device(scope), *conditions)


def overlapping_episodes(scope: Scope) -> ColumnElement[bool]:
    """The episodes that may hold faces of a scope which names a time."""
    conditions: list[ColumnElement[bool]] = []
    if scope.begin is not None:
        conditions.append(episodes.c.last_at >= scope.begin)
    if scope.end is not None:
        conditions.append(episodes.c.first_at < scope.end)
    return and_(_of_device(scope), *conditions)


def _of_device(scope: Scope) -> ColumnElement[bool]:
    return true() if scope.device is None else episodes.c.device == scope.device


def _of_hour(scope: Scope) -> ColumnElement[bool]:
    # Those that lie wholly within: from one that reaches beyond, what is removed is subtracted.
    if scope.item_id is not None:
        return false()
    conditions: list[ColumnElement[bool]] = []
    if scope.device is not None:
        conditions.append(hourly_totals.c.device == scope.device)
    if scope.begin is not None:
        conditions.append(hourly_totals.c.hour >= scope.begin)
    if scope.end is not None:
        conditions.append(hourly_totals.c.hour + literal(HOUR, Interval()) <= scope.end)
    return and_(true(), *conditions)


def _of_frame(scope: Scope) -> ColumnElement[bool]:
    if scope.item_id is None:
        return _range(frames, scope)
    return or_(frames.c.frame_id == scope.item_id, frames.c.event_id == scope.item_id)


def _of_dead_letter(scope: Scope) -> ColumnElement[bool]:
    # What was refused cannot be trusted to say when it was captured, so time does not spare it; nor does a topic that
    # names one device where the payload names another.
    if scope.item_id is not None:
        return or_(dead_letters.c.message_id == scope.item_id, _mentions(str(scope.item_id)))
    if scope.device is None:
        return true()
    return or_(dead_letters.c.device == scope.device, _mentions(scope.device))


def _of_study_session(scope: Scope) -> ColumnElement[bool]:
    # A session that reaches beyond the scope stays: it says what was asked of the records that stay too.
    if scope.item_id is not None:
        return study_sessions.c.id == scope.item_id
    conditions: list[ColumnElement[bool]] = [study_sessions.c.ended_at.is_not(None)]
    if scope.device is not None:
        conditions.append(study_sessions.c.devices == [scope.device])
    if scope.begin is not None:
        conditions.append(study_sessions.c.started_at >= scope.begin)
    if scope.end is not None:
        conditions.append(study_sessions.c.ended_at <= scope.end)
    return and_(*conditions)


def _of_session_marker(scope: Scope) -> ColumnElement[bool]:
    return session_markers.c.session_id.in_(select(study_sessions.c.id).where(_of_study_session(scope)))


def _mentions(name: str) -> ColumnElement[bool]:
    # As a JSON string. Names and ids hold nothing that LIKE takes for a pattern.
    return dead_letters.c.payload.bool_op("LIKE")(literal(f'%"{name}"%'.encode(), LargeBinary))


PLACES: Final = (
    Place(dataset_items, _of_dataset_item),
    Place(votes, _of_event(votes)),
    Place(faces, _of_event(faces)),
    Place(episodes, _of_episode),
    Place(frames, _of_frame),
    Place(detections, _of_event(detections)),
    Place(hourly_totals, _of_hour),
    Place(dead_letters, _of_dead_letter),
    Place(session_markers, _of_session_marker),
    Place(study_sessions, _of_study_session),
)
"""In the order in which they are emptied: what refers to another comes first."""
WITHOUT_PERSONAL_DATA: Final = {
    "devices": "names of machines, and when each was first and last heard",
    "erasures": "which times of which device were erased; must outlast what it erased, or that comes back",
    "retention_in_force": "for how many days each kind of data is kept",
    "audit_log": "who did what; names times, devices and ids, holds no reading of a face",
    "users": "who may log in: names that their owners chose, roles, hashed passwords",
    "logins": "which browsers are logged in",
    "api_tokens": "which programs may ask",
    "datasets": "names, filters and counts of datasets; the faces are in dataset_items",
    "exports": "which files were made of which dataset; the files are on the web service's disk",
    "alembic_version": "the schema's version",
}
"""The other tables, each with what it holds."""
