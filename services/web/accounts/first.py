"""The first administrator: made where nobody may log in yet, with a password that is shown once."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from services.web.accounts import queries
from services.web.accounts.passwords import TEMPORARY_DAYS, Passwords, temporary
from services.web.database import Database, DatabaseUnavailable
from shared import logs
from shared.db.audit import Entry, write
from shared.errors import SettingsError

NAME: Final = "admin"
_AGAIN_S: Final = 5.0

log = logs.get(__name__)


async def make_first_admin(
    database: Database, passwords: Passwords, *, given: SecretStr | None, file: Path | None
) -> None:
    """Once the database answers: see whether anybody may log in, and if nobody may, make an administrator.

    Args:
        database: where people are.
        passwords: hashes the first one.
        given: the password, where somebody made and told it already; it is temporary all the same.
        file: where to write the password that was made; else it is printed to standard error, past the log, which may
            be kept for long and elsewhere.

    Raises:
        SettingsError: if the file cannot be written; nobody was added then.
    """
    while True:
        try:
            async with database.reading() as connection:
                if await queries.anybody_known(connection):
                    return
            password = given.get_secret_value() if given is not None else temporary()
            digest = await passwords.hashed(password)
            async with database.writing() as connection:
                if not await queries.add_first_user(connection, NAME, "admin", digest):
                    return
                await write(connection, [Entry("this service", "add person", f"person {NAME}", {"role": "admin"})])
                if given is None and file is not None:
                    await asyncio.to_thread(_write, file, password)
        except DatabaseUnavailable:
            await asyncio.sleep(_AGAIN_S)  # told by the database's own part
            continue
        break
    if given is not None:
        log.info("the first administrator was made", name=NAME, given_by="EMOTION_FIRST_PASSWORD")
    elif file is not None:
        log.info("the first administrator was made", name=NAME, password_file=str(file))
    else:
        print(
            f"\nThe first administrator: log in at /login as {NAME} with the password {password}\n"
            f"It is shown this once, and has to be changed then, within {TEMPORARY_DAYS} days. "
            f"`emotion-edge user reset {NAME}` makes another.\n",
            file=sys.stderr,
            flush=True,
        )


def _write(file: Path, password: str) -> None:
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as opened:
            os.fchmod(opened.fileno(), 0o600)
            opened.write(f"{password}\n")
    except OSError as error:
        raise SettingsError(
            f"EMOTION_FIRST_PASSWORD_FILE {file} cannot be written ({error.strerror}); nobody was added. Name a file "
            "in a folder that this service's user may write, or leave it out to have the password printed"
        ) from None
