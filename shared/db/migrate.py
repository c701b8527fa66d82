"""Brings a database to the newest schema, or back. Several programs may start it at once: one works, others wait."""

import asyncio
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from sqlalchemy import Connection, text

from shared import logs
from shared.backoff import Backoff
from shared.db.engine import create_engine
from shared.db.faults import Fault, describe, fault_of
from shared.errors import EmotionEdgeError
from shared.settings import DatabaseSettings

_LOCK: Final = 0x656D6F6D
_SCRIPTS: Final = Path(__file__).parent / "migrations"

log = logs.get(__name__)

Progress = Callable[[str], None]
"""Told, in words, what is being done."""
Apply = Callable[[Connection, Progress], None]


class MigrationError(EmotionEdgeError):
    """The database could not be brought to the newest schema; it is as it was."""


async def upgrade(settings: DatabaseSettings, progress: Progress | None = None, *, wait_s: float = 0.0) -> None:
    """Apply the migrations that the database lacks, all in one transaction.

    Args:
        settings: where the database is.
        progress: called on this event loop with each step.
        wait_s: how long to wait for a database that is not there yet.

    Raises:
        MigrationError: if the database is out of reach, or a migration fails.
        SettingsError: if the settings do not fit.
    """
    await _aside(settings, _apply, progress, wait_s)


async def downgrade(settings: DatabaseSettings, revision: str) -> None:
    """Take back the migrations after `revision`, all in one transaction: what an older version of this program needs.

    Raises:
        MigrationError: if the database is out of reach, or has no such revision behind it.
        SettingsError: if the settings do not fit.
    """
    await _aside(settings, functools.partial(_take_back, revision), None, 0.0)


async def _aside(settings: DatabaseSettings, apply: Apply, progress: Progress | None, wait_s: float) -> None:
    loop = asyncio.get_running_loop()

    def tell(step: str) -> None:
        log.info(step)
        if progress is not None:
            loop.call_soon_threadsafe(progress, step)

    # Alembic reads its scripts from disk as it goes, which must not be done on the caller's loop.
    await asyncio.to_thread(lambda: asyncio.run(_migrate(settings, apply, tell, wait_s)))


async def _migrate(settings: DatabaseSettings, apply: Apply, tell: Progress, wait_s: float) -> None:
    engine = create_engine(settings, application="emotion-edge migrate", statement_timeout_s=None)
    where = engine.url.render_as_string(hide_password=True).replace("+asyncpg", "")
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + wait_s
    backoff = Backoff(0.25, 2.0)
    try:
        while True:
            try:
                async with engine.begin() as connection:
                    await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
                    await connection.run_sync(apply, tell)
            except MigrationError:
                raise
            except Exception as error:
                if fault_of(error) is not Fault.RETRY or loop.time() >= give_up_at:
                    raise MigrationError(
                        f"the database at {where} cannot be brought to the wanted schema: {describe(error)}. "
                        "See whether it runs, and whether this user may make tables in it."
                    ) from error
                tell(f"waiting for the database at {where}")
                await asyncio.sleep(backoff.next_delay())
            else:
                return
    finally:
        await engine.dispose()


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _apply(connection: Connection, tell: Progress) -> None:
    config = _config(connection)
    scripts = ScriptDirectory.from_config(config)
    newest = scripts.get_current_head()
    current = MigrationContext.configure(connection).get_current_revision()
    _known(scripts, current)
    if current == newest:
        tell(f"the database has the newest schema ({newest})")
        return
    tell(f"the database's schema goes from {current or 'nothing'} to {newest}")
    config.attributes["tell"] = tell  # for those that take long
    command.upgrade(config, "head")


def _known(scripts: ScriptDirectory, current: str | None) -> list[str]:
    """The revisions from `current` back to the first.

    Raises:
        MigrationError: if this version does not know `current`.
    """
    try:
        return [script.revision for script in scripts.iterate_revisions(current or "base", "base")]
    except RevisionError:
        raise MigrationError(
            f"this version does not know the database's schema {current}, which a newer one made; run the newer one, "
            "or go back with it first: `emotion-edge migrate --back-to`"
        ) from None


def _take_back(revision: str, connection: Connection, tell: Progress) -> None:
    config = _config(connection)
    current = MigrationContext.configure(connection).get_current_revision()
    if current == revision:
        tell(f"the database has schema {revision}")
        return
    behind = _known(ScriptDirectory.from_config(config), current)
    if revision not in behind:
        known = ", ".join(sorted(behind[1:])) or "none"
        raise MigrationError(f"{revision!r} is no schema before the database's, {current}; those before it: {known}")
    tell(f"the database's schema goes back from {current} to {revision}")
    command.downgrade(config, revision)
