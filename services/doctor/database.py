"""Can the database be used? Reached, logged in, new enough, with this version's tables, at the same time of day."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from services.doctor import clock, network
from services.doctor.findings import Finding, ok, problem, warning
from shared.errors import SettingsError
from shared.settings import DatabaseSettings

if TYPE_CHECKING:
    from sqlalchemy import URL

_ANSWER_S: Final = 4.0
_LEAST_SERVER: Final = 150000
"""PostgreSQL 15, as `server_version_num` has it."""
_START: Final = "docker compose up -d postgres   # or: sudo systemctl start postgresql"
_LOGS: Final = "docker compose logs --tail 20 postgres"
_SET_ROLE: Final = (
    "psql -U postgres -c \"ALTER ROLE {user} PASSWORD '…'\"   # the one of EMOTION_DATABASE__PASSWORD_FILE"
)
_WRONG: Final[Mapping[str, tuple[str, str, str]]] = {
    # SQLSTATE, PostgreSQL's manual, appendix A: what it means, why, what to run
    "28P01": ("the password of user {user} is refused", "It is not the one that the database has.", _SET_ROLE),
    "28000": (
        "user {user} may not log in",
        "There is no such user, or pg_hba.conf does not let it in from here.",
        'psql -U postgres -c "\\du"   # on the database\'s machine',
    ),
    "3D000": ("there is no database {database}", "It was never made, or is misspelt.", "createdb -O {user} {database}"),
    "53300": ("it has no connection free", "All that max_connections allows are in use.", "docker compose restart web"),
    "57P03": ("it is starting or stopping", "It accepts no connections for now.", _LOGS),
}
_VERSIONS: Final = Path(__file__).resolve().parents[2] / "shared" / "db" / "migrations" / "versions"


def login_problem(state: str | None, words: str, user: str, database: str) -> Finding:
    """What a refused connection means, by its SQLSTATE where there is one."""
    text, cause, command = _WRONG.get(state or "", ("it cannot be used", words, _LOGS))
    names = {"user": user, "database": database}
    return problem(text.format(**names), cause, command.format(**names) if "{" in command else command)


def schema_finding(current: str | None, newest: str) -> Finding:
    """Whether its tables are those of this version. Revisions are numbers that grow."""
    if current == newest:
        return ok(f"has this version's tables ({newest})")
    if current is None:
        return problem("it has no tables", "It was never migrated.", "emotion-edge migrate")
    if current > newest:
        return problem(
            f"its tables are of a newer version ({current}; this program knows {newest})",
            "It was migrated by a newer version of this program.",
            "docker compose pull && docker compose up -d   # or bring back the backup made before the upgrade",
        )
    return problem(
        f"its tables are old ({current}, needed {newest})", "This version was not migrated to.", "emotion-edge migrate"
    )


def server_finding(number: int, words: str) -> Finding:
    """Whether the server is one that this was made for."""
    if number >= _LEAST_SERVER:
        return ok(f"PostgreSQL {words}")
    cause = "This program was made for and tested with PostgreSQL 15 and later."
    return warning(f"PostgreSQL {words} is old", cause, "pg_upgrade --help   # to 15 or later, after a backup")


def newest_revision() -> str:
    """The newest of the migrations that lie beside this program; Alembic, which knows too, is not in every image."""
    found = (re.match(r"v(\d+)_", path.name) for path in _VERSIONS.glob("v*.py"))
    return max(match[1] for match in found if match is not None)


def look(settings: DatabaseSettings) -> Iterator[Finding]:
    """From the name to the tables, as far as it goes. Reads only."""
    from shared.db.engine import database_url

    try:
        url = database_url(settings)
    except SettingsError as error:
        yield problem("its address cannot be used", f"{error}.", "env | cut -d= -f1 | grep EMOTION_DATABASE")
        return
    if url.host is not None:  # else its socket lies in a folder
        for finding in network.reach(url.host, url.port or 5432, start=_START):
            yield finding
            if finding.level == "problem":
                return
    yield from asyncio.run(_ask(settings, url))


async def _ask(settings: DatabaseSettings, url: "URL") -> list[Finding]:
    from sqlalchemy import text

    from shared.db.engine import create_engine
    from shared.db.faults import describe

    engine = create_engine(settings, application="emotion-edge doctor", statement_timeout_s=_ANSWER_S)
    try:
        async with asyncio.timeout(_ANSWER_S), engine.connect() as connection:
            await connection.execute(text("SET TRANSACTION READ ONLY"))
            row = (
                await connection.execute(
                    text(
                        "SELECT current_setting('server_version_num')::int, current_setting('server_version'), "
                        "clock_timestamp(), to_regclass('alembic_version') IS NOT NULL"
                    )
                )
            ).one()
            number, words, there, migrated = row
            here = datetime.now(UTC)
            query = text("SELECT version_num FROM alembic_version")
            revision = (await connection.execute(query)).scalar_one_or_none() if migrated else None
    except TimeoutError:
        cause = f"It took the connection and gave no answer within {_ANSWER_S:g} s."
        return [problem("it does not answer", cause, _LOGS)]
    except Exception as error:  # the driver's errors have no common base that is narrower
        state = getattr(getattr(error, "orig", error), "sqlstate", None) or getattr(error, "sqlstate", None)
        return [login_problem(state, f"{describe(error)}.", url.username or "", url.database or "")]
    finally:
        await engine.dispose()
    time = clock.compared(here, there, "the database's clock")
    return [
        ok(f"logged in to {url.database}"),
        server_finding(number, words),
        schema_finding(revision, newest_revision()),
        time,
    ]
