"""Erasing that was asked for on the page, one after the other, beside the requests."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.web.audit_schemas import EraseWish
from services.web.problems import ApiProblem
from shared import logs
from shared.db.erasure import Counts, ErasureError, count, erase_all
from shared.db.faults import describe
from shared.db.places import Scope
from shared.db.session_scopes import session_scopes

_MAX_WAITING: Final = 20
_COUNT_S: Final = 30.0

log = logs.get(__name__)


@dataclass(slots=True)
class Job:
    """One erasure that waits or is at work."""

    scopes: Sequence[Scope]
    named: EraseWish
    who: str
    removed: int = 0

    def __str__(self) -> str:
        return in_words(self.scopes)


def in_words(scopes: Sequence[Scope]) -> str:
    """What is erased, as the audit log names it."""
    return "; ".join(map(str, scopes))


class Eraser:
    """Carries erasures out. What it has begun is written down in the database, and holds whatever happens here."""

    def __init__(self, engine: AsyncEngine) -> None:
        """`engine` has no limit on the time that a statement takes."""
        self._engine = engine
        self._jobs: deque[Job] = deque()
        self._asked = asyncio.Event()
        self.failed: str | None = None
        """Why the last one was not finished, in words."""

    @property
    def at_work(self) -> list[Job]:
        """What waits or is carried out now, the oldest first."""
        return list(self._jobs)

    async def scopes_of_session(self, session_id: UUID) -> tuple[Scope, ...]:
        """The scopes of a study session, in the order to erase them in.

        Raises:
            NoSuchSession: if there is none, or it goes on.
            ApiProblem: 503 where the database fails.
        """
        try:
            return await session_scopes(self._engine, session_id)
        except (SQLAlchemyError, OSError) as error:
            raise ApiProblem(
                503,
                "database-unavailable",
                "The database does not answer",
                f"What belongs to session {session_id} could not be looked up: {describe(error)}.",
                "Try again in a moment.",
                headers={"Retry-After": "5"},
            ) from error

    async def count(self, scopes: Sequence[Scope]) -> Counts:
        """How many rows lie within scopes, by table.

        Raises:
            ApiProblem: 503 where counting takes too long or fails.
        """
        try:
            async with asyncio.timeout(_COUNT_S):
                return await count(self._engine, *scopes)
        except (TimeoutError, SQLAlchemyError, OSError) as error:
            raise ApiProblem(
                503,
                "not-counted",
                "It was not counted",
                f"Counting {in_words(scopes)} failed or takes more than {_COUNT_S:.0f} s: {describe(error)}.",
                "Name a shorter time, or use emotion-edge erase on the machine of the database.",
            ) from error

    def ask(self, scopes: Sequence[Scope], named: EraseWish, who: str) -> None:
        """Have them erased as soon as the ones before are.

        Raises:
            ApiProblem: 503 where too many wait.
        """
        if len(self._jobs) >= _MAX_WAITING:
            raise ApiProblem(
                503,
                "too-many-erasures",
                "Too many erasures wait",
                f"{_MAX_WAITING} are asked for and not finished.",
                "Wait until some are finished, then ask again.",
                headers={"Retry-After": "60"},
            )
        self._jobs.append(Job(scopes, named, who))
        self._asked.set()

    async def run(self) -> None:
        """Carry out what is asked for until cancelled."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            while self._jobs:
                await self._carry_out(self._jobs[0])
                self._jobs.popleft()

    async def _carry_out(self, job: Job) -> None:
        def progress(_table: str, rows: int) -> None:
            job.removed += rows

        try:
            await erase_all(self._engine, job.scopes, job.who, progress)
        except (ErasureError, SQLAlchemyError, OSError) as error:
            cause = str(error) if isinstance(error, ErasureError) else describe(error)
            self.failed = f"{job}: {cause}. Ask for the same again; what is written down already holds."
            log.exception("an erasure was not finished", scope=str(job))
        else:
            self.failed = None
            log.info("erased", scope=str(job), rows=job.removed)
