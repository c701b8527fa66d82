"""Erasing that was asked for on the page, one after the other, beside the requests.

The table `erasures` is the truth: what is to be done is found there, also after a crash, and also what the command line
or another web service left unfinished. It holds from the moment in which it is written down.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
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
_AGAIN_S: Final = 5.0
_AGAIN_AT_LAST_S: Final = 3600.0

log = logs.get(__name__)


@dataclass(slots=True)
class _Failure:
    why: str
    backoff: Backoff
    again_at: float


class Eraser:
    """Writes erasures down, and carries out what is written down."""

    def __init__(self, engine: AsyncEngine) -> None:
        """`engine` has no limit on the time that a statement takes, and `CONNECTIONS`."""
        self._engine = engine
        self._asked = asyncio.Event()
        self._removed: Counter[int] = Counter()
        self._failures: dict[int, _Failure] = {}

    @property
    def failed(self) -> str | None:
        """Why the last one of those that could not be finished was not, in words."""
        return next((failure.why for failure in reversed(self._failures.values())), None)

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
            raise _unavailable(f"It was not written down: {describe(error)}.") from error
        self._asked.set()
        return wish

    async def run(self) -> None:
        """Carry out what is written down, also what was cut off, until cancelled."""
        while True:
            if self._asked.is_set():
                self._asked.clear()
                for failure in self._failures.values():
                    failure.again_at = 0.0
            pause = _LOOK_EVERY_S
            try:
                await self._carry_out_all()
            except (SQLAlchemyError, OSError) as error:
                log.warning("erasures cannot be looked up now; tried again", error=describe(error))
                pause = _AGAIN_S
            await wait_at_most(self._asked, pause)

    async def _carry_out_all(self) -> None:
        """One after the other, each once, also those that are asked for meanwhile."""
        tried: set[int] = set()
        while True:
            async with self._engine.connect() as connection:
                waiting = await unfinished(connection)
            for number in self._failures.keys() - {wish.number for wish in waiting}:  # another finished it
                del self._failures[number]
            wish = next((one for one in waiting if one.number not in tried and self._is_due(one)), None)
            if wish is None:
                return
            tried.add(wish.number)
            await self._carry_out(wish)

    def _is_due(self, wish: Wish) -> bool:
        failure = self._failures.get(wish.number)
        return failure is None or failure.again_at <= time.monotonic()

    async def _carry_out(self, wish: Wish) -> None:
        def progress(_table: str, rows: int) -> None:
            self._removed[wish.number] += rows

        before = self._failures.get(wish.number)
        try:
            await carry_out(self._engine, wish, progress)
        except (ErasureError, SQLAlchemyError, OSError) as error:
            cause = str(error) if isinstance(error, ErasureError) else describe(error)
            why = f"{wish}: {cause}. What is written down already holds; the rest is tried again by itself."
            backoff = before.backoff if before is not None else Backoff(_LOOK_EVERY_S, _AGAIN_AT_LAST_S)
            self._failures.pop(wish.number, None)  # the newest is told
            self._failures[wish.number] = _Failure(why, backoff, time.monotonic() + backoff.next_delay())
            log.exception("an erasure was not finished", scope=str(wish))
        else:
            self._failures.pop(wish.number, None)
            log.info("erased", scope=str(wish), rows=self._removed.pop(wish.number, 0))


def _unavailable(what: str) -> ApiProblem:
    return ApiProblem(
        503,
        "database-unavailable",
        "The database does not answer",
        what,
        "Try again in a moment.",
        headers={"Retry-After": "5"},
    )
