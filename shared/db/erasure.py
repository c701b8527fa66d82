"""Erasing what was recorded, for good, and proving it.

An erasure is first written down; from then on ingest refuses what lies within it, so nothing comes back from an edge's
outbox or a broker. Only then rows are counted, removed in batches, and counted again. What is written down is carried
out, whatever happens meanwhile: the table is the truth, and the web service looks there for what is not finished.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Delete,
    Table,
    delete,
    func,
    insert,
    literal_column,
    or_,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.db import hourly
from shared.db.alone import alone
from shared.db.audit import Entry, write
from shared.db.episode_tables import episodes
from shared.db.episodes import EpisodeKey, keys_of_event, remake
from shared.db.places import PLACES, Place, Scope, overlapping_episodes
from shared.db.stale_exports import items_erased, lock_dataset
from shared.db.study_tables import dataset_items
from shared.db.tables import detections, erasures, faces
from shared.errors import EmotionEdgeError

BATCH: Final = 2000
"""Rows removed in one transaction: readers and ingest never wait for more than that."""
INGEST_LOCK: Final = 0x656D6F65
"""The advisory lock that ingest shares while it stores a batch, and that an erasure takes alone while it is written
down: so no batch that did not know of it is committed after it."""
ERASING_LOCK: Final = 0x656D6F78
"""The advisory lock of whoever carries an erasure out: two at once would take each other's rows for gone."""

Counts = dict[str, int]
"""Rows by table."""


class ErasureError(EmotionEdgeError):
    """Something within the scope is still there, or came back."""


async def count(engine: AsyncEngine, *scopes: Scope) -> Counts:
    """How many rows lie within one scope or more, by table."""
    found = {}
    async with engine.connect() as connection:
        for place in PLACES:
            within = or_(*(place.within(scope) for scope in scopes))
            rows = await connection.scalar(select(func.count()).select_from(place.table).where(within))
            found[place.table.name] = rows or 0
    return found


@dataclass(frozen=True, slots=True)
class Wish:
    """Scopes that were written down together, in the order to erase them in, each under its number."""

    who: str
    asked_at: datetime
    scopes: Mapping[int, Scope]

    @property
    def number(self) -> int:
        """That of the first."""
        return min(self.scopes)

    def __str__(self) -> str:
        """As the audit log names it."""
        return in_words(self.scopes.values())


def in_words(scopes: Iterable[Scope]) -> str:
    """What is erased, as the audit log names it."""
    return "; ".join(map(str, scopes))


async def write_down(connection: AsyncConnection, scopes: Sequence[Scope], who: str) -> Wish:
    """Write down what is to be erased. It holds from the caller's commit on: ingest stores nothing of it any more.

    Raises:
        ValueError: if a scope is a range without an end: it would refuse all that is ever recorded.
        sqlalchemy.exc.SQLAlchemyError: if the database fails.
    """
    if any(scope.item_id is None and scope.end is None for scope in scopes):
        raise ValueError("a range to be erased needs an end")
    await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": INGEST_LOCK})
    written = {}
    for scope in scopes:
        row = {
            "requested_by": who,
            "device": scope.device,
            "captured_from": scope.begin,
            "captured_to": scope.end if scope.item_id is None else None,
            "item_id": scope.item_id,
        }
        number, asked_at = (
            await connection.execute(insert(erasures).values(row).returning(erasures.c.id, erasures.c.requested_at))
        ).one()
        await write(connection, [Entry(who, "erase begins", str(scope), {"erasure": number})])
        written[number] = scope
    return Wish(who, asked_at, written)


async def unfinished(connection: AsyncConnection) -> list[Wish]:
    """What is written down and not finished, the oldest first: it waits, is carried out now, or was cut off."""
    # Rows of one transaction have its time, so they were asked for together.
    together = (erasures.c.requested_at, erasures.c.requested_by)
    some_left = tuple_(*together).in_(select(*together).where(erasures.c.finished_at.is_(None)))
    rows = await connection.execute(select(erasures).where(some_left).order_by(*together, erasures.c.id))
    return [
        Wish(
            who,
            asked_at,
            {row.id: Scope(row.device, row.captured_from, row.captured_to, row.item_id) for row in of_wish},
        )
        for (asked_at, who), of_wish in groupby(rows, lambda row: (row.requested_at, row.requested_by))
    ]


async def erase_all(
    engine: AsyncEngine,
    scopes: Sequence[Scope],
    who: str,
    progress: Callable[[str, int], None] = lambda _table, _rows: None,
) -> tuple[Counts, Counts]:
    """Write scopes down and carry them out; return the rows before and after, by table.

    Args:
        engine: without a limit on the time that a statement takes, and with two connections or more.
        scopes: what to erase; a range needs its end.
        who: for the audit log.
        progress: told the table and how many rows were removed after each batch.

    Raises:
        ErasureError, sqlalchemy.exc.SQLAlchemyError: as `carry_out`.
        ValueError: as `write_down`.
    """
    async with engine.begin() as connection:
        wish = await write_down(connection, scopes, who)
    return await carry_out(engine, wish, progress)


async def erase(
    engine: AsyncEngine, scope: Scope, who: str, progress: Callable[[str, int], None] = lambda _table, _rows: None
) -> tuple[Counts, Counts]:
    """As `erase_all`, of one scope."""
    return await erase_all(engine, [scope], who, progress)


async def carry_out(
    engine: AsyncEngine, wish: Wish, progress: Callable[[str, int], None] = lambda _table, _rows: None
) -> tuple[Counts, Counts]:
    """Remove, for good, what is written down, one scope after the other; return the rows before and after, by table.

    Waits for whoever carries out another one, and does nothing again that is finished by then. When it is cut off, do
    it again: what is written down holds, and removing goes on.

    Raises:
        ErasureError: if rows remain, also of a scope that was emptied before the others were; it is not finished then.
        sqlalchemy.exc.SQLAlchemyError: if the database fails.
    """
    before: Counter[str] = Counter()
    async with alone(engine, ERASING_LOCK):
        for number, scope in wish.scopes.items():
            before.update(await _carry_out(engine, number, scope, wish.who, progress))
        after = await count(engine, *wish.scopes.values())
        if any(after.values()):
            async with engine.begin() as connection:
                again = update(erasures).where(erasures.c.id.in_(wish.scopes)).values(finished_at=None)
                await connection.execute(again)
            raise ErasureError(f"rows came back while others were erased: {_in_words(after)}; erase it again")
    return dict(before), after


async def _carry_out(
    engine: AsyncEngine, number: int, scope: Scope, who: str, progress: Callable[[str, int], None]
) -> Counts:
    async with engine.connect() as connection:
        row = (await connection.execute(select(erasures).where(erasures.c.id == number))).one()
    if row.finished_at is not None:
        found: Counts = row.rows_before
        return found
    # Where it was cut off before, what was there at first is the proof.
    before: Counts = row.rows_before or await count(engine, scope)
    async with engine.begin() as connection:
        await connection.execute(update(erasures).where(erasures.c.id == number).values(rows_before=before))
    for place in PLACES:
        if place.table is dataset_items:
            await _empty_datasets(engine, place.within(scope), progress)
        else:
            await _empty(engine, place, scope, progress)
        if place.table is faces:
            await _remake_episodes(engine, scope)
    # Counted by itself: whoever makes a partition waits for who reads the default one, and the audit log's partition
    # for whoever makes one.
    after = await count(engine, scope)
    done = not any(after.values())
    async with engine.begin() as connection:
        values = {"rows_after": after, "finished_at": datetime.now(UTC) if done else None}
        await connection.execute(update(erasures).where(erasures.c.id == number).values(**values))
        detail = {"erasure": number, "rows_before": before, "rows_after": after}
        await write(connection, [Entry(who, "erase" if done else "erase failed", str(scope), detail)])
    if not done:
        raise ErasureError(
            f"rows remain of {scope}: {_in_words(after)}; nothing may add them but ingest, so see what else writes"
        )
    return before


def _in_words(counts: Counts) -> str:
    return ", ".join(f"{rows} in {table}" for table, rows in counts.items() if rows)


async def _empty(engine: AsyncEngine, place: Place, scope: Scope, progress: Callable[[str, int], None]) -> None:
    key = tuple_(*place.table.primary_key.columns)
    some = select(*place.table.primary_key.columns).where(place.within(scope)).limit(BATCH)
    while True:
        async with engine.begin() as connection:
            removed = await _remove(connection, place.table, delete(place.table).where(key.in_(some)), scope)
        if not removed:
            return
        progress(place.table.name, removed)


async def _remove(connection: AsyncConnection, table: Table, gone: Delete, scope: Scope) -> int:
    """Remove rows and, in the same transaction, what they are part of elsewhere; return how many."""
    if table is faces:
        # Where one detection goes, its episodes cannot be found afterwards.
        touched = await keys_of_event(connection, scope.item_id) if scope.item_id is not None else []
        read = (await connection.execute(gone.returning(*_in_sql(hourly.OF_FACE)))).all()
        await remake(connection, touched)
        await hourly.subtract(connection, read=read)
        return len(read)
    if table is detections:
        detected = (await connection.execute(gone.returning(*_in_sql(hourly.OF_DETECTION)))).all()
        await hourly.subtract(connection, detected=detected)
        return len(detected)
    return (await connection.execute(gone)).rowcount


def _in_sql(expressions: tuple[str, ...]) -> list[ColumnElement[Any]]:
    return [literal_column(expression) for expression in expressions]


async def _empty_datasets(
    engine: AsyncEngine, within: ColumnElement[bool], progress: Callable[[str, int], None]
) -> None:
    """Remove faces from datasets, those of one dataset in a transaction."""
    key = tuple_(*dataset_items.primary_key.columns)
    some = select(*dataset_items.primary_key.columns).where(within).limit(BATCH)
    while True:
        async with engine.begin() as connection:
            dataset = await connection.scalar(select(dataset_items.c.dataset_id).where(within).limit(1))
            if dataset is None:
                return
            await lock_dataset(connection, dataset)
            of_it = some.where(dataset_items.c.dataset_id == dataset)
            removed = (await connection.execute(delete(dataset_items).where(key.in_(of_it)))).rowcount
            if removed:  # else it was deleted, or another erasure did it, while this one waited
                await items_erased(connection, dataset, removed)
        progress(dataset_items.name, removed)


async def _remake_episodes(engine: AsyncEngine, scope: Scope) -> None:
    """Bring the episodes of a time into step with the faces that stay; each in a transaction of its own."""
    if scope.item_id is not None:
        return
    columns = [episodes.c[name] for name in EpisodeKey._fields]
    async with engine.connect() as connection:
        found = [
            EpisodeKey(*row) for row in await connection.execute(select(*columns).where(overlapping_episodes(scope)))
        ]
    for one in found:
        async with engine.begin() as connection:
            await remake(connection, [one])
