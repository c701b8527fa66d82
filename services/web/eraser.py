"""Erasing that was asked for on the page, one after the other, beside the requests.

The table `erasures` is the truth: what is to be done is found there, also after a crash, and also what the command line
or another web service left unfinished. It holds from the moment in which it is written down.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.web.problems import ApiProblem
from shared import logs
from shared.backoff import Backoff
from shared.db.erasure import Counts, ErasureError, Wish, carry_out, count, in_words, unfinished, write_down
from shared.db.faults import describe
from shared.db.places import Scope
from shared.db.session_scopes import session_scopes
from shared.slots import wait_at_most

CONNECTIONS: Final = 4
"""One holds the lock and one removes; another counts while one writes down."""
_MAX_UNFINISHED: Final = 20
_ANSWERS_WITHIN_S: Final = 30.0
_LOOK_EVERY_S: Final = 60.0

log = logs.get(__name__)


class Eraser:
    """Writes erasures down, and carries out what is written down."""

    def __init__(self, engine: AsyncEngine) -> None:
        """`engine` has no limit on the time that a statement takes, and `CONNECTIONS`."""
        self._engine = engine
        self._asked = asyncio.Event()
        self._removed: Counter[int] = Counter()
        self.failed: str | None = None
        """Why the last one that was tried was not finished, in words."""

    def removed(self, wish: Wish) -> int:
        """How many rows of an erasure this service has removed since it was started."""
        return self._removed[wish.number]

    async def scopes_of_session(self, session_id: UUID) -> tuple[Scope, ...]:
        """The scopes of a study session, in the order to erase them in.

        Raises:
            NoSuchSession: if there is none, or it goes on.
            ApiProblem: 503 where the database fails.
        """
        try:
            return await session_scopes(self._engine, session_id)
        except (SQLAlchemyError, OSError) as error:
            raise _unavailable(
                f"What belongs to session {session_id} could not be looked up: {describe(error)}."
            ) from error

    async def count(self, scopes: Sequence[Scope]) -> Counts:
        """How many rows lie within scopes, by table.

        Raises:
            ApiProblem: 503 where counting takes too long or fails.
        """
        try:
            async with asyncio.timeout(_ANSWERS_WITHIN_S):
                return await count(self._engine, *scopes)
        except (TimeoutError, SQLAlchemyError, OSError) as error:
            raise ApiProblem(
                503,
                "not-counted",
                "It was not counted",
                f"Counting {in_words(scopes)} failed or takes more than {_ANSWERS_WITHIN_S:.0f} s: {describe(error)}.",
                "Name a shorter time, or use emotion-edge erase on the machine of the database.",
            ) from error

    async def ask(self, scopes: Sequence[Scope], who: str) -> Wish:
        """Write them down, to be erased as soon as the ones before are; ingest refuses what lies within from now on.

        Raises:
            ApiProblem: 503 where too many wait, or the database fails.
        """
        try:
            async with asyncio.timeout(_ANSWERS_WITHIN_S), self._engine.begin() as connection:
                wish = await write_down(connection, scopes, who)
                # Counted when written down: no two are at the same time.
                if len(await unfinished(connection)) > _MAX_UNFINISHED:
                    raise ApiProblem(
                        503,
                        "too-many-erasures",
                        "Too many erasures wait",
                        f"{_MAX_UNFINISHED} are asked for and not finished.",
                        "Wait until some are finished, then ask again.",
                        headers={"Retry-After": "60"},
                    )
        except (TimeoutError, SQLAlchemyError, OSError) as error:
            raise _unavailable(f"It was not written down, so nothing is erased: {describe(error)}.") from error
        self._asked.set()
        return wish

    async def run(self) -> None:
        """Carry out what is written down, also what was cut off, until cancelled."""
        backoff = Backoff(10.0, 3600.0)
        while True:
            self._asked.clear()
            pause = _LOOK_EVERY_S
            try:
                well = await self._carry_out_all()
            except (SQLAlchemyError, OSError) as error:
                log.warning("erasures cannot be looked up now; tried again", error=describe(error))
                well = False
            if well:
                self.failed = None
                backoff.succeeded()
            else:
                pause = backoff.next_delay()
            await wait_at_most(self._asked, pause)

    async def _carry_out_all(self) -> bool:
        """One after the other, each once, also those that are asked for meanwhile; whether all were finished."""
        tried: set[int] = set()
        well = True
        while True:
            async with self._engine.connect() as connection:
                waiting = await unfinished(connection)
            wish = next((one for one in waiting if one.number not in tried), None)
            if wish is None:
                return well
            tried.add(wish.number)
            well = await self._carry_out(wish) and well

    async def _carry_out(self, wish: Wish) -> bool:
        def progress(_table: str, rows: int) -> None:
            self._removed[wish.number] += rows

        try:
            await carry_out(self._engine, wish, progress)
        except (ErasureError, SQLAlchemyError, OSError) as error:
            cause = str(error) if isinstance(error, ErasureError) else describe(error)
            self.failed = f"{wish}: {cause}. What is written down already holds; the rest is tried again by itself."
            log.exception("an erasure was not finished", scope=str(wish))
            return False
        log.info("erased", scope=str(wish), rows=self._removed.pop(wish.number, 0))
        return True


def _unavailable(what: str) -> ApiProblem:
    return ApiProblem(
        503,
        "database-unavailable",
        "The database does not answer",
        what,
        "Try again in a moment.",
        headers={"Retry-After": "5"},
    )
