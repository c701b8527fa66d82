"""Reading and writing people, logins and keys. Plain functions on a connection; the caller commits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Interval, Row, Select, delete, func, insert, literal, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.web.accounts.passwords import TEMPORARY_DAYS
from shared.db.account_tables import api_tokens, logins, users

MAX_LOGINS: Final = 20
"""Browsers in which one person is logged in; the one that was unused for longest makes room."""
_FIRST_LOCK: Final = 0x656D6F75


@dataclass(frozen=True, slots=True)
class User:
    """A person who may log in."""

    id: UUID
    name: str
    role: str
    password_hash: str
    password_temporary: bool
    password_set_at: datetime
    created_at: datetime
    disabled_at: datetime | None

    @property
    def password_ends_at(self) -> datetime | None:
        """When a temporary password stops to let its person in; None for one of their own, which does not."""
        return self.password_set_at + timedelta(days=TEMPORARY_DAYS) if self.password_temporary else None


@dataclass(frozen=True, slots=True)
class Person:
    """A person as the page shows them."""

    user: User
    logins: int
    seen_at: datetime | None
    keys: int


@dataclass(frozen=True, slots=True)
class Key:
    """A program's key, without the token."""

    id: UUID
    owner: str
    name: str
    scopes: Sequence[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


def _user(row: Row[Any]) -> User:
    return User(**{column.name: row._mapping[column] for column in users.c})


async def user_by_name(connection: AsyncConnection, name: str) -> User | None:
    """The person of this name, also one who is disabled."""
    row = (await connection.execute(select(users).where(users.c.name == name))).one_or_none()
    return _user(row) if row is not None else None


async def user_by_id(connection: AsyncConnection, user_id: UUID, *, lock: bool = False) -> User | None:
    """The person of this id; with `lock`, kept from changing until the transaction ends."""
    statement = select(users).where(users.c.id == user_id)
    row = (await connection.execute(statement.with_for_update() if lock else statement)).one_or_none()
    return _user(row) if row is not None else None


async def people(connection: AsyncConnection) -> list[Person]:
    """Everybody, by name."""
    open_logins = (
        select(logins.c.user_id, func.count().label("n"), func.max(logins.c.seen_at).label("seen_at"))
        .where(logins.c.expires_at > func.now())
        .group_by(logins.c.user_id)
        .subquery()
    )
    keys = (
        select(api_tokens.c.user_id, func.count().label("n"))
        .where(api_tokens.c.revoked_at.is_(None), _not_expired())
        .group_by(api_tokens.c.user_id)
        .subquery()
    )
    statement = (
        select(users, open_logins.c.n.label("logins"), open_logins.c.seen_at, keys.c.n.label("keys"))
        .outerjoin(open_logins, open_logins.c.user_id == users.c.id)
        .outerjoin(keys, keys.c.user_id == users.c.id)
        .order_by(users.c.name)
    )
    return [
        Person(_user(row), row.logins or 0, row.seen_at, row.keys or 0) for row in await connection.execute(statement)
    ]


async def add_user(
    connection: AsyncConnection, name: str, role: str, password_hash: str, *, temporary: bool = True
) -> User:
    """Let somebody log in.

    Raises:
        sqlalchemy.exc.IntegrityError: if the name is taken.
    """
    row = {"name": name, "role": role, "password_hash": password_hash, "password_temporary": temporary}
    return _user((await connection.execute(insert(users).values(row).returning(*users.c))).one())


async def add_first_user(connection: AsyncConnection, name: str, role: str, password_hash: str) -> bool:
    """Let somebody log in if nobody else may; whether they were added. One of several services at once does it."""
    await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _FIRST_LOCK})
    if await anybody_known(connection):
        return False
    await add_user(connection, name, role, password_hash)
    return True


async def anybody_known(connection: AsyncConnection) -> bool:
    """Whether there is any person."""
    return await connection.scalar(select(users.c.id).limit(1)) is not None


async def change_user(connection: AsyncConnection, user_id: UUID, **values: Any) -> None:
    """Set columns of a person."""
    await connection.execute(update(users).where(users.c.id == user_id).values(**values))


async def set_password(connection: AsyncConnection, user_id: UUID, password_hash: str, *, temporary: bool) -> None:
    """Give a person another password, from now on. Their logins are the caller's to end."""
    values = {"password_hash": password_hash, "password_temporary": temporary, "password_set_at": func.now()}
    await change_user(connection, user_id, **values)


async def another_admin(connection: AsyncConnection, user_id: UUID) -> bool:
    """Whether somebody else is an admin who may log in. Nobody else changes people until the transaction ends."""
    await connection.execute(text("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE"))
    others = select(users.c.id).where(users.c.role == "admin", users.c.disabled_at.is_(None), users.c.id != user_id)
    return await connection.scalar(others.limit(1)) is not None


# --- logins ---


async def add_login(connection: AsyncConnection, user_id: UUID, digest: bytes, lasts: timedelta) -> None:
    """A browser is logged in. Logins that ended are removed on the way."""
    await connection.execute(delete(logins).where(logins.c.expires_at <= func.now()))
    unused = select(logins.c.token_digest).where(logins.c.user_id == user_id).order_by(logins.c.seen_at.desc())
    await connection.execute(delete(logins).where(logins.c.token_digest.in_(unused.offset(MAX_LOGINS - 1))))
    expires = func.now() + literal(lasts, Interval())
    await connection.execute(insert(logins).values(token_digest=digest, user_id=user_id, expires_at=expires))


async def user_of_login(connection: AsyncConnection, digest: bytes, idle: timedelta) -> tuple[User, bool] | None:
    """Whose login this is, and whether it is time to say that it is used (once a minute); None for one that ended."""
    statement = (
        select(users, (logins.c.seen_at < func.now() - text("interval '1 minute'")).label("long_unsaid"))
        .join(logins, logins.c.user_id == users.c.id)
        .where(
            logins.c.token_digest == digest,
            logins.c.expires_at > func.now(),
            logins.c.seen_at > func.now() - literal(idle, Interval()),
            users.c.disabled_at.is_(None),
        )
    )
    row = (await connection.execute(statement)).one_or_none()
    return (_user(row), row.long_unsaid) if row is not None else None


async def login_used(connection: AsyncConnection, digest: bytes) -> None:
    """The browser was heard just now."""
    await connection.execute(update(logins).where(logins.c.token_digest == digest).values(seen_at=func.now()))


async def end_login(connection: AsyncConnection, digest: bytes) -> None:
    """Log one browser out."""
    await connection.execute(delete(logins).where(logins.c.token_digest == digest))


async def end_logins(connection: AsyncConnection, user_id: UUID) -> int:
    """Log a person out everywhere; gives how many browsers that were."""
    return (await connection.execute(delete(logins).where(logins.c.user_id == user_id))).rowcount


# --- keys ---


def _not_expired() -> Any:
    return or_(api_tokens.c.expires_at.is_(None), api_tokens.c.expires_at > func.now())


async def owner_of_key(connection: AsyncConnection, digest: bytes) -> tuple[User, Sequence[str], bool] | None:
    """Whose key this is, its scopes, and whether it is time to say that it is used (once a minute)."""
    used = api_tokens.c.last_used_at
    long_unsaid = or_(used.is_(None), used < func.now() - text("interval '1 minute'"))
    statement = (
        select(users, api_tokens.c.scopes, long_unsaid.label("long_unsaid"))
        .join(api_tokens, api_tokens.c.user_id == users.c.id)
        .where(
            api_tokens.c.token_digest == digest,
            api_tokens.c.revoked_at.is_(None),
            _not_expired(),
            users.c.disabled_at.is_(None),
        )
    )
    row = (await connection.execute(statement)).one_or_none()
    return (_user(row), row.scopes, row.long_unsaid) if row is not None else None


async def key_used(connection: AsyncConnection, digest: bytes) -> None:
    """The program was heard just now."""
    statement = update(api_tokens).where(api_tokens.c.token_digest == digest).values(last_used_at=func.now())
    await connection.execute(statement)


def _keys() -> Select[Any]:
    columns = [column for column in api_tokens.c if column.name not in ("user_id", "token_digest")]
    return select(*columns, users.c.name.label("owner")).join(users, users.c.id == api_tokens.c.user_id)


def _key(row: Row[Any]) -> Key:
    return Key(**row._mapping)


async def keys(connection: AsyncConnection, user_id: UUID | None) -> list[Key]:
    """Keys of a person, or of everybody; newest first, those that were revoked among them."""
    statement = _keys().order_by(api_tokens.c.created_at.desc(), api_tokens.c.id)
    if user_id is not None:
        statement = statement.where(api_tokens.c.user_id == user_id)
    return [_key(row) for row in await connection.execute(statement)]


async def keys_in_use(connection: AsyncConnection, user_id: UUID) -> int:
    """How many keys of a person are not revoked."""
    statement = select(func.count()).where(api_tokens.c.user_id == user_id, api_tokens.c.revoked_at.is_(None))
    return await connection.scalar(statement.select_from(api_tokens)) or 0


async def add_key(
    connection: AsyncConnection,
    user_id: UUID,
    name: str,
    digest: bytes,
    scopes: Sequence[str],
    expires_at: datetime | None,
) -> Key:
    """Let a program ask for a person."""
    row = {"user_id": user_id, "name": name, "token_digest": digest, "scopes": scopes, "expires_at": expires_at}
    key_id = await connection.scalar(insert(api_tokens).values(row).returning(api_tokens.c.id))
    return _key((await connection.execute(_keys().where(api_tokens.c.id == key_id))).one())


async def revoke_key(connection: AsyncConnection, key_id: UUID, owner: UUID | None) -> Key | None:
    """End a key, of `owner` where one is given; None where there is none. One that is revoked stays as it is."""
    whose = [api_tokens.c.user_id == owner] if owner is not None else []
    statement = update(api_tokens).where(api_tokens.c.id == key_id, api_tokens.c.revoked_at.is_(None), *whose)
    await connection.execute(statement.values(revoked_at=func.now()))
    row = (await connection.execute(_keys().where(api_tokens.c.id == key_id, *whose))).one_or_none()
    return _key(row) if row is not None else None
