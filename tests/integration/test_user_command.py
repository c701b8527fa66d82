"""`emotion-edge user` as a program of its own, against a real Postgres: what it prints lets somebody log in."""

import asyncio
import os
import subprocess
import sys
from datetime import UTC, datetime

from sqlalchemy import update

from services.web.accounts.passwords import fits
from services.web.accounts.queries import user_by_name
from shared.db.account_tables import users
from shared.db.engine import create_engine
from shared.db.migrate import upgrade
from shared.settings import DatabaseSettings
from tests.conftest import ROOT


async def command(database: DatabaseSettings, *arguments: str) -> tuple[int, str]:
    """Exit code and all that it printed."""
    env = os.environ | {"EMOTION_DATABASE__URL": database.url.get_secret_value()}
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "services.main", "user", *arguments],
        env=env,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


async def test_people_are_let_in_named_and_given_a_new_password(database_settings: DatabaseSettings) -> None:
    await upgrade(database_settings)
    assert "Nobody may log in yet" in (await command(database_settings, "list"))[1]
    code, added = await command(database_settings, "add", "anna", "--role", "admin")
    assert code == 0, added
    assert added.startswith("Within 7 days anna may log in as admin")
    engine = create_engine(database_settings)
    async with engine.begin() as connection:
        await connection.execute(update(users).values(password_set_at=datetime(2026, 1, 1, tzinfo=UTC)))
    await engine.dispose()
    assert "the temporary one ends 2026-01-08" in (await command(database_settings, "list"))[1]
    code, reset = await command(database_settings, "reset", "anna")
    assert code == 0, reset
    first, second = added.split()[-1], reset.split()[-1]
    engine = create_engine(database_settings)
    try:
        async with engine.connect() as connection:
            anna = await user_by_name(connection, "anna")
    finally:
        await engine.dispose()
    assert anna is not None
    assert (anna.role, anna.password_temporary) == ("admin", True)
    assert anna.password_ends_at is not None
    assert anna.password_ends_at > datetime.now(UTC)
    assert fits(anna.password_hash, second)
    assert not fits(anna.password_hash, first)
    code, listed = await command(database_settings, "list")
    assert code == 0
    assert "anna" in listed
    assert "admin" in listed
    assert second not in listed


async def test_what_cannot_be_done_is_told_in_a_line(database_settings: DatabaseSettings) -> None:
    await upgrade(database_settings)
    assert (await command(database_settings, "add", "anna"))[0] == 0
    for arguments, words in (
        (("add", "anna"), "there is somebody named anna"),
        (("add", "Anna Smith"), "Anna Smith"),
        (("add", "bert", "--role", "king"), "expected one of viewer, labeller, researcher, admin"),
        (("reset", "nobody"), "there is nobody named nobody"),
    ):
        code, told = await command(database_settings, *arguments)
        assert code != 0
        assert words in " ".join(told.split())
        assert "Traceback" not in told
