"""`emotion-edge user`: who may log in to the web service, from beside its database."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from pydantic import Field
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.web.accounts import queries
from services.web.accounts.passwords import hashed, temporary
from services.web.accounts.schemas import NAME_PATTERN
from shared import logs
from shared.db import audit
from shared.db.account_tables import ROLES
from shared.db.audit import Entry
from shared.db.engine import create_engine
from shared.db.faults import describe
from shared.errors import EmotionEdgeError
from shared.settings import DatabaseSettings, ServiceSettings, load

_STATEMENT_S: Final = 20.0

T = TypeVar("T")


class PeopleError(EmotionEdgeError):
    """What was asked for cannot be done; the text says why and what to do."""


class PeopleSettings(ServiceSettings):
    """Settings of `emotion-edge user`."""

    database: DatabaseSettings = Field(default_factory=DatabaseSettings, description="how to reach Postgres")


def add_user(name: str, role: str) -> str:
    """Let somebody log in; give the temporary password, which is kept nowhere else.

    Raises:
        EmotionEdgeError: if the name or role does not fit, the name is taken, or the database fails.
    """
    name = _checked(name)
    if role not in ROLES:
        raise PeopleError(f"--role is {role!r}; expected one of {', '.join(ROLES)}")
    password = temporary()
    digest = hashed(password)

    async def work(connection: AsyncConnection) -> None:
        try:
            await queries.add_user(connection, name, role, digest)
        except IntegrityError:
            raise PeopleError(
                f"there is somebody named {name}; emotion-edge user reset {name}, or another name"
            ) from None
        await _note(connection, "add person", name, {"role": role})

    _with_database(work)
    return password


def reset_user(name: str) -> str:
    """Give somebody a temporary password, and log them out everywhere.

    Raises:
        EmotionEdgeError: if there is no such person, or the database fails.
    """
    name = _checked(name)
    password = temporary()
    digest = hashed(password)

    async def work(connection: AsyncConnection) -> None:
        user = await queries.user_by_name(connection, name)
        if user is None:
            raise PeopleError(f"there is nobody named {name}; emotion-edge user list names everybody")
        await queries.set_password(connection, user.id, digest, temporary=True)
        await queries.change_user(connection, user.id, disabled_at=None)
        await queries.end_logins(connection, user.id)
        await _note(connection, "reset password", name, {"enabled": True} if user.disabled_at is not None else {})

    _with_database(work)
    return password


def list_users() -> list[str]:
    """Everybody in a line each.

    Raises:
        EmotionEdgeError: if the database fails.
    """

    async def work(connection: AsyncConnection) -> list[str]:
        return [
            f"{person.user.name:<24} {person.user.role:<10} "
            + (
                f"disabled since {person.user.disabled_at:%Y-%m-%d}"
                if person.user.disabled_at is not None
                else f"has not chosen a password yet; the temporary one ends {person.user.password_ends_at:%Y-%m-%d}"
                if person.user.password_ends_at is not None
                else ""
            ).rstrip()
            for person in await queries.people(connection)
        ]

    return _with_database(work)


def _checked(name: str) -> str:
    if not re.fullmatch(NAME_PATTERN, name):
        raise PeopleError(f"the name is {name!r}; expected small letters, digits, and . _ @ - between them, at most 64")
    return name


async def _note(connection: AsyncConnection, action: str, name: str, detail: dict[str, str] | dict[str, bool]) -> None:
    await audit.write(connection, [Entry(audit.person_at_the_keyboard(), action, f"person {name}", {**detail})])


def _with_database(work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    settings = load(PeopleSettings)
    logs.setup(settings.log, "user")

    async def run() -> T:
        engine = create_engine(settings.database, application="emotion-edge user", statement_timeout_s=_STATEMENT_S)
        try:
            async with engine.begin() as connection:
                return await work(connection)
        except (SQLAlchemyError, OSError) as error:
            raise PeopleError(
                f"the database does not do it: {describe(error)}. See whether it runs, has its tables "
                "(emotion-edge migrate), and EMOTION_DATABASE__URL is right."
            ) from error
        finally:
            await engine.dispose()

    return asyncio.run(run())
