"""Building a dataset: faces are cut from their pictures batch by batch, then copies are found and splits dealt out.

Each batch is committed, so a build that was cut off goes on after the last face that it took. What an erasure covers is
not taken, even where its rows are not gone yet. Until all is dealt out, items carry numbers below zero.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

from PIL import Image
from sqlalchemy import text, update
from sqlalchemy.dialects.postgresql import insert as insert_once
from sqlalchemy.ext.asyncio import AsyncEngine

from services.web.datasets import queries
from services.web.datasets.faults import warnings_of
from services.web.datasets.formats import Item
from services.web.datasets.judging import Label, judge
from services.web.datasets.outcome import Face, bound, reckon
from services.web.datasets.pictures import Cut, cut_face, decode
from services.web.datasets.queries import Candidate
from services.web.datasets.schemas import (
    MAX_ITEMS,
    SPLITS,
    BuiltSummary,
    DatasetFilter,
    SplitPlan,
    Summary,
)
from services.web.datasets.work import Cancelled, OnThread
from shared import logs
from shared.db.erasure import INGEST_LOCK
from shared.db.stale_exports import lock_dataset
from shared.db.study_tables import dataset_items, datasets
from shared.errors import BadPicture, EmotionEdgeError

_BATCH: Final = 100
_READ: Final = 1000

log = logs.get(__name__)


class BuildError(EmotionEdgeError):
    """The dataset cannot be built; the text says why and what to do."""


# --- building ---------------------------------------------------------------------------------------------------------


async def build(
    engine: AsyncEngine, on_thread: OnThread, dataset_id: UUID, progress: Callable[[int, int], None]
) -> BuiltSummary:
    """Build a dataset that is in the state building, or go on with it; afterwards it is ready.

    Args:
        engine: without a limit on the time that a statement takes.
        on_thread: runs what blocks.
        dataset_id: which.
        progress: told how many faces are done, of how many.

    Raises:
        BuildError: if no face fits, or more than a dataset may have.
        Cancelled: if it was deleted meanwhile.
    """
    async with engine.connect() as connection:
        row = await queries.dataset(connection, dataset_id)
        if row is None or row.state != "building":
            raise Cancelled
        chosen, plan = DatasetFilter.model_validate(row.filter), SplitPlan.model_validate(row.split)
        expected = bound(await queries.kinds(connection, chosen), chosen, plan)
        after, done = await queries.last_key(connection, dataset_id)
    if not expected.items:
        raise BuildError("No face fits this choice. Label faces first, keep pictures, or choose less strictly.")
    if expected.items > MAX_ITEMS:
        raise BuildError(
            f"{expected.items:,} faces fit, and a dataset may have {MAX_ITEMS:,}. Choose a shorter time or one device."
        )
    cutter = _Cutter()
    terms = queries.terms_of(chosen)
    while True:
        progress(done, expected.items)
        async with engine.connect() as connection:
            found = await queries.candidates(connection, chosen, after, _BATCH)
        if not found:
            break
        after = found[-1].key
        judged = [(one, judge(one.votes, one.guess, terms)) for one in found if one.frame_id is not None]
        taken = [(one, label) for one, label in judged if isinstance(label, Label)]
        cuts = await _cut(engine, on_thread, cutter, [one for one, _ in taken])
        made = [(one, label, cut) for (one, label), cut in zip(taken, cuts, strict=True) if cut is not None]
        done += await _keep(engine, dataset_id, made)
    return await _finish(engine, on_thread, dataset_id, plan, chosen, expected)


class _Cutter:
    """Cuts faces; keeps the picture of the last one, since faces of one picture come one after the other."""

    def __init__(self) -> None:
        self._of: UUID | None = None
        self._picture: Image.Image | None = None

    def has(self, frame_id: UUID | None) -> bool:
        return self._of == frame_id

    def cut(self, one: Candidate, jpeg: bytes | None) -> Cut | None:
        """The face; None where its picture cannot be read."""
        if not self.has(one.frame_id):
            self._of, self._picture = one.frame_id, None
            try:
                self._picture = decode(jpeg) if jpeg is not None else None
            except BadPicture as error:
                log.warning("a kept picture cannot be read", frame=str(one.frame_id), reason=str(error))
        return None if self._picture is None else cut_face(self._picture, one.box)


async def _cut(
    engine: AsyncEngine, on_thread: OnThread, cutter: _Cutter, wanted: Sequence[Candidate]
) -> list[Cut | None]:
    cuts: list[Cut | None] = []
    async with engine.connect() as connection:
        for one in wanted:
            jpeg = None
            if one.frame_id is not None and not cutter.has(one.frame_id):
                jpeg = await queries.picture(connection, one.captured_at, one.frame_id)
            cuts.append(await on_thread(cutter.cut, one, jpeg))
    return cuts


async def _keep(engine: AsyncEngine, dataset_id: UUID, made: Sequence[tuple[Candidate, Label, Cut]]) -> int:
    """Store a batch; how many of it were stored."""
    async with engine.begin() as connection:
        # Shared with ingest: an erasure is written down before this batch, and then seen, or after it.
        await connection.execute(text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": INGEST_LOCK})
        held = await queries.dataset_kept(connection, dataset_id)
        if held is None or held.state != "building":
            raise Cancelled
        gone = await queries.erased(connection, [one for one, _, _ in made])
        kept = [each for each in made if each[0].key not in gone]
        if not kept:
            return 0
        lowest = await queries.lowest_number(connection, dataset_id)
        rows = [
            {
                "dataset_id": dataset_id,
                "number": lowest - at,
                "captured_at": one.captured_at,
                "event_id": one.event_id,
                "face_index": one.face_index,
                "frame_id": one.frame_id,
                "device": one.device,
                "label": label.name,
                "votes": dict(one.votes),
                "agreement": label.agreement,
                "split": SPLITS[0],
                "person": one.person,
                "session_id": one.session_id,
                "width": cut.width,
                "height": cut.height,
                "sha256": hashlib.sha256(cut.png).digest(),
                "fingerprint": cut.fingerprint,
                "image": cut.png,
            }
            for at, (one, label, cut) in enumerate(kept, start=1)
        ]
        # A face that is there already is no fault; any other conflict would lose one.
        once = insert_once(dataset_items).on_conflict_do_nothing(constraint="dataset_items_face")
        return len((await connection.execute(once.returning(dataset_items.c.number), rows)).all())


async def _finish(
    engine: AsyncEngine,
    on_thread: OnThread,
    dataset_id: UUID,
    plan: SplitPlan,
    chosen: DatasetFilter,
    expected: Summary,
) -> BuiltSummary:
    """Find copies, deal out, number, and set the dataset ready: all in one transaction."""
    async with engine.begin() as connection:
        held = await lock_dataset(connection, dataset_id)
        if held is None or held.state != "building":
            raise Cancelled
        items = await queries.items_to_deal(connection, dataset_id)
        if not items:
            raise BuildError("Not one picture of the faces that fit could be read; they may have been erased.")
        faces = [
            Face(one.person, one.session_id, one.label, one.agreement, one.voted, one.sha256, one.fingerprint)
            for one in items
        ]
        left_out = dict(expected.left_out)
        if expected.items > len(items):
            left_out["unreadable"] = expected.items - len(items)
        found = await on_thread(reckon, faces, plan, left_out)
        stay, splits, summed = found.stay, found.splits, found.summary
        # By split, then by time: exports go over the faces of a split without looking at the others.
        order = sorted(range(len(stay)), key=lambda at: (SPLITS.index(splits[at]), at))
        dropped = sorted(set(range(len(items))) - set(stay))
        await queries.remove_items(connection, dataset_id, [items[row].number for row in dropped])
        moved = [(items[stay[at]].number, number, splits[at]) for number, at in enumerate(order, start=1)]
        await queries.renumber(connection, dataset_id, moved)
        manifest = hashlib.sha256()
        last = 0
        while batch := await queries.items_after(connection, dataset_id, None, last, _READ, images=False):
            for item in batch:
                manifest.update(_manifest_line(item))
            last = batch[-1].number
        people = await queries.labellers(connection, dataset_id)
        summed.warnings = warnings_of(summed, plan.shares(), chosen.labels, people)
        summary = BuiltSummary(
            **summed.model_dump(),
            labellers=people,
            copies=found.copies,
            near_copies=found.near_copies,
            dropped_copies=len(dropped),
            bytes=sum(items[row].bytes for row in stay),
        )
        values = {
            "state": "ready",
            "error": None,
            "summary": summary.model_dump(mode="json"),
            "manifest_sha256": manifest.digest(),
            "erased_items": 0,
        }
        await connection.execute(update(datasets).where(datasets.c.id == dataset_id).values(values))
    return summary


def _manifest_line(item: Item) -> bytes:
    """An item as the manifest's hash takes it: all that makes it, in one line."""
    known = {"number": item.number, "image_sha256": item.sha256.hex(), **item.described()}
    return json.dumps(known, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
