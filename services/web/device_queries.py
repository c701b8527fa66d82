"""What the tables know of models. Plain functions on a connection."""

from typing import Final

from sqlalchemy import select, true, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.episode_tables import episodes
from shared.db.tables import detections
from shared.messages import ModelRef

NEWEST: Final = 20_000
"""Detections that are looked at one by one, for models that read no face: all would be a scan of the whole table."""
MOST: Final = 1_000
"""Models that are listed; a device that makes up names does not make the list longer."""


async def models_in_detections(connection: AsyncConnection) -> list[ModelRef]:
    """The models by which faces were read that stand for an episode, and those of the newest detections.

    Sorted by name and version. However much is stored, the work is bounded: from model to model through an index.
    """
    key = (episodes.c.model_name, episodes.c.model_version)
    found = select(*key).order_by(*key).limit(1).cte("found", recursive=True)
    next_ = select(*key).where(tuple_(*key) > tuple_(*found.c)).order_by(*key).limit(1).lateral("next")
    of_episodes = select(found.union_all(select(*next_.c).join_from(found, next_, true()))).limit(MOST)
    columns = (detections.c.model_name, detections.c.model_version)
    newest = select(*columns).order_by(detections.c.captured_at.desc()).limit(NEWEST).subquery()
    rows = [*await connection.execute(of_episodes), *await connection.execute(select(newest).distinct().limit(MOST))]
    models = {ModelRef(name=name, version=version) for name, version in rows}
    return sorted(models, key=lambda model: (model.name, model.version))[:MOST]
