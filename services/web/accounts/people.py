"""Who may log in, as administrators say. The rules, over the queries."""

from dataclasses import dataclass
from typing import NoReturn
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.web.accounts import queries
from services.web.accounts.doorkeeper import Doorkeeper
from services.web.accounts.passwords import Passwords, temporary
from services.web.accounts.queries import Person
from services.web.database import Database
from services.web.problems import ApiProblem, not_found


@dataclass(frozen=True, slots=True)
class NewPerson:
    """A person, and the temporary password that is shown once."""

    person: Person
    password: str


class People:
    """Lets people in, and keeps them out."""

    def __init__(self, database: Database, passwords: Passwords, doorkeeper: Doorkeeper) -> None:
        self._database = database
        self._passwords = passwords
        self._doorkeeper = doorkeeper

    async def everybody(self) -> list[Person]:
        """Everybody, by name."""
        async with self._database.reading() as connection:
            return await queries.people(connection)

    async def add(self, name: str, role: str) -> NewPerson:
        """Let somebody log in, by a temporary password.

        Raises:
            ApiProblem: 409 where the name is taken.
        """
        password = temporary()
        digest = await self._passwords.hashed(password)
        try:
            async with self._database.writing() as connection:
                user = await queries.add_user(connection, name, role, digest)
        except IntegrityError:
            raise ApiProblem(
                409,
                "name-taken",
                "The name is taken",
                f"There is somebody named {name} already, perhaps disabled.",
                "Choose another name; or enable the person again, and reset the password.",
            ) from None
        return NewPerson(Person(user, 0, None, 0), password)

    async def change(self, user_id: UUID, role: str | None, disabled: bool | None) -> tuple[Person, list[str]]:
        """Give somebody another role, or let them log in no more, or again; gives what changed, in words.

        Raises:
            ApiProblem: 404 where there is no such person, 409 where no admin would be left.
        """
        changes: list[str] = []
        async with self._database.writing() as connection:
            another = await queries.another_admin(connection, user_id)
            user = await queries.user_by_id(connection, user_id, lock=True)
            if user is None:
                _no_such_person(user_id)
            stays_admin = (role or user.role) == "admin" and not (
                disabled if disabled is not None else user.disabled_at is not None
            )
            if user.role == "admin" and user.disabled_at is None and not stays_admin and not another:
                raise ApiProblem(
                    409,
                    "last-admin",
                    "The last administrator stays one",
                    f"Nobody but {user.name} could add people or change roles.",
                    "Make somebody else an admin first.",
                )
            if role is not None and role != user.role:
                await queries.change_user(connection, user_id, role=role)
                changes.append(f"{user.role} to {role}")
            if disabled is not None and disabled != (user.disabled_at is not None):
                await queries.change_user(connection, user_id, disabled_at=func.now() if disabled else None)
                if disabled:
                    await queries.end_logins(connection, user_id)
                changes.append("disabled" if disabled else "enabled")
            person = await self._person(connection, user_id)
        self._doorkeeper.forget()
        return person, changes

    async def reset(self, user_id: UUID) -> NewPerson:
        """Give somebody a temporary password, and log them out everywhere.

        Raises:
            ApiProblem: 404 where there is no such person.
        """
        password = temporary()
        digest = await self._passwords.hashed(password)
        async with self._database.writing() as connection:
            if await queries.user_by_id(connection, user_id, lock=True) is None:
                _no_such_person(user_id)
            await queries.set_password(connection, user_id, digest, temporary=True)
            await queries.end_logins(connection, user_id)
            person = await self._person(connection, user_id)
        self._doorkeeper.forget()
        return NewPerson(person, password)

    async def log_out(self, user_id: UUID) -> tuple[Person, int]:
        """End all logins of a person; gives how many there were.

        Raises:
            ApiProblem: 404 where there is no such person.
        """
        async with self._database.writing() as connection:
            if await queries.user_by_id(connection, user_id) is None:
                _no_such_person(user_id)
            ended = await queries.end_logins(connection, user_id)
            person = await self._person(connection, user_id)
        self._doorkeeper.forget()
        return person, ended

    async def _person(self, connection: AsyncConnection, user_id: UUID) -> Person:
        return next(each for each in await queries.people(connection) if each.user.id == user_id)


def _no_such_person(user_id: UUID) -> NoReturn:
    raise not_found(f"There is no person {user_id}.", "GET /api/v1/users lists them.")
