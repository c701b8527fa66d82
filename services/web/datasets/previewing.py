"""What a choice would give, to the face: pictures are compared a little at a time, and what was seen is remembered."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from PIL import Image

from services.web.database import Database
from services.web.datasets import queries
from services.web.datasets.faults import warnings_of
from services.web.datasets.judging import Label, judge
from services.web.datasets.outcome import Face, bound, reckon
from services.web.datasets.pictures import Glance, decode, glance
from services.web.datasets.queries import Candidate
from services.web.datasets.schemas import (
    LOOKED_AT_MOST,
    MAX_ITEMS,
    Certainty,
    DatasetFilter,
    Preview,
    Progress,
    SplitPlan,
    Summary,
)
from shared.errors import BadPicture
from shared.owned_thread import OwnedThread

LOOK_S: Final = 2.0
"""Within which a preview answers, however many pictures there are yet to look at."""
_BATCH: Final = 20
_REMEMBERED: Final = 10 * LOOKED_AT_MOST
"""Faces; some 5 MB."""

Key = tuple[UUID, int]


class Previewer:
    """Looks at pictures on its own thread.

    It remembers of each face what copies are known by, and no picture. Every preview asks the database first which
    faces there are, so nothing that was erased is counted from memory.
    """

    def __init__(self, thread: OwnedThread) -> None:
        self._thread = thread
        self._seen: OrderedDict[Key, Glance | None] = OrderedDict()

    async def preview(self, database: Database, chosen: DatasetFilter, plan: SplitPlan) -> Preview:
        """Counts, splits and warnings of a choice.

        Raises:
            DatabaseUnavailable: if the database does not answer.
        """
        until = asyncio.get_running_loop().time() + LOOK_S
        async with database.reading() as connection:
            kinds = await queries.kinds(connection, chosen)
            most = bound(kinds, chosen, plan)
            with_picture = sum(kind.count for kind in kinds if kind.has_picture)
            if with_picture > LOOKED_AT_MOST:
                return _shown(most, "upper_bound")
            found = await queries.candidates(connection, chosen, None, LOOKED_AT_MOST, only_with_picture=True)
            erased = await queries.erased(connection, found)
        terms = queries.terms_of(chosen)
        left_out = Counter({"no_picture": sum(kind.count for kind in kinds if not kind.has_picture)})
        taken: list[tuple[Candidate, Label]] = []
        for one in found:
            verdict = judge(one.votes, one.guess, terms)
            if not isinstance(verdict, Label):
                left_out[verdict] += 1
            elif one.key in erased:
                left_out["unreadable"] += 1  # as a build finds it
            else:
                taken.append((one, verdict))
        seen = await self._look(database, [one for one, _ in taken], until)
        compared = Progress(done=len(seen), total=len(taken))
        if len(seen) < len(taken):
            return _shown(most, "counting", compared)
        readable: list[Candidate] = []
        faces: list[Face] = []
        for one, label in taken:
            if (look := seen[_key(one)]) is None:
                left_out["unreadable"] += 1
                continue
            readable.append(one)
            faces.append(
                Face(
                    one.person,
                    one.session_id,
                    label.name,
                    label.agreement,
                    bool(one.votes),
                    look.pixels,
                    look.fingerprint,
                )
            )
        outcome = await self._thread.submit(reckon, faces, plan, left_out)
        async with database.reading() as connection:
            people = await queries.labellers_of(connection, [readable[row] for row in outcome.stay])
        summary = outcome.summary
        summary.warnings = warnings_of(summary, plan.shares(), chosen.labels, people)
        return Preview(
            **summary.model_dump(),
            certainty="exact",
            compared=compared,
            too_many=False,
            labellers=people,
            copies=outcome.copies,
            near_copies=outcome.near_copies,
            dropped_copies=len(faces) - len(outcome.stay),
        )

    async def _look(self, database: Database, wanted: Sequence[Candidate], until: float) -> dict[Key, Glance | None]:
        """What there is to be seen of these faces, as far as time allows, and at least of some that were not known.

        None stands for a picture that cannot be read.
        """
        seen: dict[Key, Glance | None] = {}
        unknown: list[Candidate] = []
        for one in wanted:
            if (key := _key(one)) in self._seen:
                self._seen.move_to_end(key)
                seen[key] = self._seen[key]
            else:
                unknown.append(one)
        for at in range(0, len(unknown), _BATCH):
            if at and asyncio.get_running_loop().time() > until:
                break
            batch = unknown[at : at + _BATCH]
            jpegs: list[bytes | None] = []
            async with database.reading() as connection:
                for number, one in enumerate(batch):
                    # Faces of one picture come one after the other.
                    if number and one.frame_id == batch[number - 1].frame_id:
                        jpegs.append(jpegs[-1])
                    else:
                        assert one.frame_id is not None
                        jpegs.append(await queries.picture(connection, one.captured_at, one.frame_id))
            looks = await self._thread.submit(_glances, batch, jpegs)
            for one, look in zip(batch, looks, strict=True):
                seen[_key(one)] = self._seen[_key(one)] = look
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return seen


def _key(one: Candidate) -> Key:
    return one.event_id, one.face_index


def _glances(batch: Sequence[Candidate], jpegs: Sequence[bytes | None]) -> list[Glance | None]:
    """Blocks: for a thread."""
    looks: list[Glance | None] = []
    picture: Image.Image | None = None
    for number, (one, jpeg) in enumerate(zip(batch, jpegs, strict=True)):
        if not number or one.frame_id != batch[number - 1].frame_id:
            try:
                picture = None if jpeg is None else decode(jpeg)
            except BadPicture:
                picture = None  # counted as unreadable; the log has it when a dataset is built
        looks.append(None if picture is None else glance(picture, one.box))
    return looks


def _shown(most: Summary, certainty: Certainty, compared: Progress | None = None) -> Preview:
    return Preview(
        **most.model_dump(),
        certainty=certainty,
        compared=compared,
        too_many=most.items > MAX_ITEMS,
        labellers=None,
        copies=None,
        near_copies=None,
        dropped_copies=None,
    )
