"""What a study session means to an erasure: its time of each of its devices, and the session itself."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.db.places import Scope
from shared.db.study_tables import study_sessions
from shared.errors import EmotionEdgeError


class NoSuchSession(EmotionEdgeError):
    """No session has this id, or it goes on, so that nobody knows yet what belongs to it."""


async def session_scopes(engine: AsyncEngine, session_id: UUID) -> tuple[Scope, ...]:
    """The scopes of a session that has ended, in the order to erase them in.

    The session itself comes last, with its markers: what is cut off can be begun again by the same id.

    Raises:
        NoSuchSession: saying what to do.
        sqlalchemy.exc.SQLAlchemyError: if the database fails.
    """
    chosen = select(study_sessions.c.devices, study_sessions.c.started_at, study_sessions.c.ended_at)
    async with engine.connect() as connection:
        row = (await connection.execute(chosen.where(study_sessions.c.id == session_id))).one_or_none()
    if row is None:
        raise NoSuchSession(f"there is no session {session_id}; see the list of sessions, or it is erased already")
    if row.ended_at is None:
        raise NoSuchSession(
            f"session {session_id} goes on; end it first, then erase it, so that what its devices see from then on is "
            "kept"
        )
    records = [Scope(device, row.started_at, row.ended_at) for device in sorted(set(row.devices))]
    return (*records, Scope(item_id=session_id))
