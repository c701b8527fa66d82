"""What an erasure means for datasets and their exports.

An erasure may run where the exports' files are not. So it only marks them, in the transaction that removes the faces:
from then on the web service gives such a file to nobody, and removes it when it next looks.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.study_tables import datasets, exports


async def lock_dataset(connection: AsyncConnection, dataset_id: UUID) -> Row[Any] | None:
    """A dataset that nobody else changes until the transaction ends; None where there is none.

    Whoever changes or removes faces of a dataset locks it first, as deleting it does: so no two wait for each other.
    """
    # Not what refers to it: whoever adds faces or exports says by a lock of its own whether it waits.
    statement = select(datasets).where(datasets.c.id == dataset_id).with_for_update(key_share=True)
    return (await connection.execute(statement)).first()


async def items_erased(connection: AsyncConnection, dataset_id: UUID, items: int) -> None:
    """Count erased items and mark every export that may hold one. The caller commits.

    Args:
        connection: in the transaction that locked the dataset and removed the items.
        dataset_id: whose items they were.
        items: how many.
    """
    await connection.execute(
        update(datasets)
        .where(datasets.c.id == dataset_id, datasets.c.state == "ready")
        .values(erased_items=datasets.c.erased_items + items)
    )
    await connection.execute(
        update(exports)
        .where(exports.c.dataset_id == dataset_id, exports.c.state != "erased")
        .values(state="erased", error=None, finished_at=func.now())
    )
