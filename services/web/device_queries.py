"""What the tables know of models. Plain functions on a connection."""

from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.tables import detections
from shared.messages import ModelRef

NEWEST: Final = 20_000
"""Detections looked at: all would be a scan of the whole table, for models have no index."""


async def models_of_newest(connection: AsyncConnection) -> list[ModelRef]:
    """The models that the newest stored detections name, by name and version."""
    columns = (detections.c.model_name, detections.c.model_version)
    newest = select(*columns).order_by(detections.c.captured_at.desc()).limit(NEWEST).subquery()
    rows = await connection.execute(select(newest).distinct())
    return sorted((ModelRef(name=name, version=version) for name, version in rows), key=lambda m: (m.name, m.version))
