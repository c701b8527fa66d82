"""The commands of those who answer for the data: retention, erase, audit."""

import asyncio
import json
import re
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, TypeVar
from uuid import UUID

import typer
from pydantic import Field
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from shared import logs
from shared.db import audit
from shared.db.engine import create_engine
from shared.db.erasure import Counts, count, erase_all
from shared.db.faults import describe
from shared.db.places import Scope
from shared.db.retention import RetentionSettings, run_pass
from shared.db.session_scopes import session_scopes
from shared.errors import EmotionEdgeError
from shared.messages import DEVICE_PATTERN
from shared.settings import DatabaseSettings, ServiceSettings, load

_EXPECTED_TIME: Final = "expected a time with its offset, as 2026-03-01T12:00:00Z or 2026-03-01T13:00:00+01:00"

T = TypeVar("T")


class PrivacyError(EmotionEdgeError):
    """What was asked for cannot be done; the text says why and what to do."""


class PrivacySettings(ServiceSettings):
    """Settings of `emotion-edge retention`, `erase` and `audit`."""

    database: DatabaseSettings = Field(default_factory=DatabaseSettings, description="how to reach Postgres")
    retention: RetentionSettings = Field(
        default_factory=RetentionSettings, description="for how long each kind of data is kept"
    )


def run_retention() -> None:
    """One pass, told on standard output.

    Raises:
        EmotionEdgeError: if the settings do not fit or the database fails.
    """
    settings = _settings("retention")
    outcome = _with_database(settings, "retention", lambda engine: run_pass(engine, settings.retention))
    if outcome is None:
        print("Another program is at it right now; nothing was done here.")
        return
    for title, names in (("Made", outcome.made), ("Dropped", outcome.dropped), ("In use, left", outcome.postponed)):
        print(f"{title}: {', '.join(names) or 'nothing'}")
    rows = ", ".join(f"{number} in {table}" for table, number in outcome.rows_deleted.items())
    print(f"Rows deleted one by one: {rows or 'none'}")


def run_erase(
    *, device: str | None, begin: str | None, end: str | None, item: str | None, session: str | None, yes: bool
) -> None:
    """Show what would go, ask, erase, show the proof.

    Raises:
        EmotionEdgeError: if what is to go is not named well, nobody says yes, or the database fails.
    """
    named = parse_scope(device, begin, end, item, session, datetime.now(UTC))
    settings = _settings("erase")
    scopes = (
        (named,)
        if isinstance(named, Scope)
        else _with_database(settings, "erase", lambda engine: session_scopes(engine, named))
    )
    found = _with_database(settings, "erase", lambda engine: count(engine, *scopes))
    print("To be erased for good:", *scopes, sep="\n  ")
    _print_counts(found)
    print("What of it is still on its way (in an edge's outbox, in a broker) will be refused when it comes.")
    print("If another erasure is being carried out, this one waits for it.")
    if not yes:
        if not sys.stdin.isatty():
            raise PrivacyError("nobody is there to confirm it; say --yes to erase without being asked")
        if not typer.confirm("Erase it? This cannot be undone."):
            raise PrivacyError("nothing was erased")
    who = audit.person_at_the_keyboard()
    before, after = _with_database(settings, "erase", lambda engine: erase_all(engine, scopes, who))
    print("Erased. Rows before, and after:")
    for table, rows in before.items():
        print(f"  {table:<16}{rows:>9}{after[table]:>9}")
    print("docs/privacy.md says what may remain on disk, in Postgres's log files and in backups, and what to do there.")


def run_audit(*, limit: int, action: str | None) -> None:
    """Print the newest entries of the audit log, oldest first.

    Raises:
        EmotionEdgeError: if the settings do not fit or the database fails.
    """

    async def read(engine: AsyncEngine) -> list[audit.Written]:
        async with engine.connect() as connection:
            return await audit.newest(connection, limit, action)

    for written in _with_database(_settings("audit"), "audit", read):
        entry = written.entry
        detail = json.dumps(entry.detail, ensure_ascii=False, sort_keys=True) if entry.detail else ""
        line = f"{written.at:%Y-%m-%d %H:%M:%S}Z  {entry.who}  {entry.action}  {entry.object}  {detail}"
        # What others chose (names, filters) must not steer the terminal.
        print("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line).rstrip())


def parse_scope(
    device: str | None, begin: str | None, end: str | None, item: str | None, session: str | None, now: datetime
) -> Scope | UUID:
    """What a person named; a study session by its id alone, since only the database knows what belongs to it.

    A range without an end ends now, so that what is recorded from now on is kept.

    Raises:
        PrivacyError: saying what does not fit.
    """
    if session is not None:
        if (device, begin, end, item) != (None, None, None, None):
            raise PrivacyError("--session names one session; it does not go with --device, --from, --to and --id")
        return _id("--session", session, "a study session's id")
    if item is not None:
        if (device, begin, end) != (None, None, None):
            raise PrivacyError("--id names one item; it does not go with --device, --from and --to")
        return Scope(item_id=_id("--id", item, "a detection's event_id or a picture's frame_id"))
    if device is None and begin is None and end is None:
        raise PrivacyError("say what to erase: --device, --from and --to (one or more of them), --session or --id")
    if device is not None and not re.fullmatch(DEVICE_PATTERN, device):
        raise PrivacyError(f"--device is {device!r}; expected small letters, digits and hyphens, at most 32")
    scope = Scope(device, _moment("--from", begin), _moment("--to", end) or now)
    if scope.begin is not None and scope.end is not None and scope.begin >= scope.end:
        raise PrivacyError("--from must be before --to (which is now where it is not given)")
    return scope


def _id(option: str, value: str, expected: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        raise PrivacyError(f"{option} is {value!r}; expected {expected}") from None


def _moment(option: str, value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise PrivacyError(f"{option} is {value!r}; {_EXPECTED_TIME}") from None
    if moment.tzinfo is None:
        raise PrivacyError(f"{option} is {value!r}, of which nobody knows the time zone; {_EXPECTED_TIME}")
    return moment.astimezone(UTC)


def _print_counts(counts: Counts) -> None:
    for table, rows in counts.items():
        print(f"  {table:<16}{rows:>9} rows")


def _settings(command: str) -> PrivacySettings:
    settings = load(PrivacySettings)
    logs.setup(settings.log, command)
    return settings


def _with_database(settings: PrivacySettings, command: str, work: Callable[[AsyncEngine], Awaitable[T]]) -> T:
    async def run() -> T:
        # No limit on a statement: a scan of everything takes what it takes.
        # Two connections where one is set: an erasure holds its lock by one.
        database = settings.database.model_copy(update={"pool_size": max(settings.database.pool_size, 2)})
        engine = create_engine(database, application=f"emotion-edge {command}", statement_timeout_s=None)
        try:
            return await work(engine)
        except (SQLAlchemyError, OSError) as error:
            raise PrivacyError(
                f"the database does not do it: {describe(error)}. See whether it runs and EMOTION_DATABASE__URL is "
                "right; what was begun goes on where it was when the command is given again, and an erasure by itself "
                "where the web service runs."
            ) from error
        finally:
            await engine.dispose()

    return asyncio.run(run())
