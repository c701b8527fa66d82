"""Erasing that was asked for on the page, one after the other, beside the requests."""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.web.problems import ApiProblem
from shared import logs
from shared.db.erasure import Counts, ErasureError, count, erase
from shared.db.faults import describe
from shared.db.places import Scope

_MAX_WAITING: Final = 20
_COUNT_S: Final = 30.0

log = logs.get(__name__)


@dataclass(slots=True)
class Job:
    """One erasure that waits or is at work."""

    scope: Scope
    who: str
    removed: int = 0


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

    async def count(self, scope: Scope) -> Counts:
        """How many rows lie within a scope, by table.

        Raises:
            ApiProblem: 503 where counting takes too long or fails.
        """
        try:
            async with asyncio.timeout(_COUNT_S):
                return await count(self._engine, scope)
        except (TimeoutError, SQLAlchemyError, OSError) as error:
            raise ApiProblem(
                503,
                "not-counted",
                "It was not counted",
                f"Counting what lies within {scope} failed or takes more than {_COUNT_S:.0f} s: {describe(error)}.",
                "Name a shorter time, or use emotion-edge erase on the machine of the database.",
            ) from error

    def ask(self, scope: Scope, who: str) -> None:
        """Have it erased as soon as the ones before are.

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
        self._jobs.append(Job(scope, who))
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
            await erase(self._engine, job.scope, job.who, progress)
        except (ErasureError, SQLAlchemyError, OSError) as error:
            cause = str(error) if isinstance(error, ErasureError) else describe(error)
            self.failed = f"{job.scope}: {cause}. Ask for the same again; what is written down already holds."
            log.exception("an erasure was not finished", scope=str(job.scope))
        else:
            self.failed = None
            log.info("erased", scope=str(job.scope), rows=job.removed)
