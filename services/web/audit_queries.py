"""Reading the audit log, erasures, and what retention left. Plain functions on a connection."""

from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.web.audit_schemas import (
    AuditEntry,
    AuditPage,
    AuditQuery,
    ErasureEntry,
    LastRetention,
    RetentionFacts,
    RetentionInForce,
)
from services.web.paging import newest_first
from shared.db import audit
from shared.db.tables import audit_log, detections, erasures, frames, retention_in_force

_NEWEST_ERASURES: Final = 100


async def audit_page(connection: AsyncConnection, query: AuditQuery) -> AuditPage:
    """Lines that fit a query, newest first."""
    statement = select(audit_log)
    if query.action is not None:
        statement = statement.where(audit_log.c.action == query.action)
    if query.who is not None:
        statement = statement.where(audit_log.c.who == query.who)
    rows, cursor = await newest_first(connection, statement, audit_log.c.at, audit_log.c.id, query)
    return AuditPage(items=[AuditEntry.model_validate(dict(row._mapping)) for row in rows], next_cursor=cursor)


async def retention_facts(connection: AsyncConnection) -> RetentionFacts:
    """What is set, when something was last dropped, and how old the oldest records are."""
    dropped = await audit.newest(connection, 1, "retention")
    in_force = (await connection.execute(select(retention_in_force))).one_or_none()
    return RetentionFacts(
        in_force=RetentionInForce(at=in_force.at, days=in_force.days) if in_force is not None else None,
        last=LastRetention(at=dropped[0].at, days=dropped[0].entry.detail["days"]) if dropped else None,
        oldest_detection=await connection.scalar(select(func.min(detections.c.captured_at))),
        oldest_frame=await connection.scalar(select(func.min(frames.c.captured_at))),
    )


async def newest_erasures(connection: AsyncConnection) -> list[ErasureEntry]:
    """The newest ones, newest first."""
    rows = await connection.execute(select(erasures).order_by(erasures.c.id.desc()).limit(_NEWEST_ERASURES))
    return [_erasure(dict(row._mapping)) for row in rows]


async def erasures_after(connection: AsyncConnection, number: int | None) -> list[tuple[int, str | None]]:
    """Number and device (None: every device, or one item or session) of those after `number`, oldest first.

    Of the newest alone where `number` is None.
    """
    statement = select(erasures.c.id, erasures.c.device)
    if number is None:
        statement = statement.order_by(erasures.c.id.desc()).limit(1)
    else:
        statement = statement.where(erasures.c.id > number).order_by(erasures.c.id)
    return [(row.id, row.device) for row in await connection.execute(statement)]


def _erasure(row: dict[str, Any]) -> ErasureEntry:
    return ErasureEntry.model_validate({**row, "from": row["captured_from"], "to": row["captured_to"]})
