"""What an erasure means for datasets and their exports.

An erasure may run where the exports' files are not. So it only marks them, in the transaction that removes the faces:
from then on the web service gives such a file to nobody, and removes it when it next looks.
"""

from collections import Counter
from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import func, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.study_tables import datasets, exports


async def items_erased(connection: AsyncConnection, of_datasets: Iterable[UUID]) -> None:
    """Count erased items and mark every export that may hold one. The caller commits.

    Args:
        connection: in the transaction that removed the items.
        of_datasets: the dataset of each removed item.
    """
    for dataset, items in sorted(Counter(of_datasets).items()):
        await connection.execute(
            update(datasets)
            .where(datasets.c.id == dataset, datasets.c.state == "ready")
            .values(erased_items=datasets.c.erased_items + items)
        )
        await connection.execute(
            update(exports)
            .where(exports.c.dataset_id == dataset, exports.c.state != "erased")
            .values(state="erased", error=None, finished_at=func.now())
        )
