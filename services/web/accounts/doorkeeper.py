"""Finds who sent a request: by the key of a program, or the cookie of a browser."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from starlette.requests import Request

from services.web.accounts import cookies, queries, secret_tokens
from services.web.accounts.queries import User
from services.web.database import Database, DatabaseUnavailable
from services.web.gate import RIGHTS_OF_ROLE, Identity

FRESH_S: Final = 10.0
"""For so long what the database said holds: pages ask for pictures many times a second. Also how long another replica
of this service takes to hear that somebody was logged out."""
STALE_S: Final = 300.0
"""For so long it holds while the database does not answer, since live pictures do not need it."""
_BOUND: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Remembered:
    identity: Identity | None
    at: float


class Doorkeeper:
    """An `Identify`. It knows nobody whom the database does not know."""

    def __init__(self, database: Database, idle: timedelta, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._idle = idle
        self._clock = clock
        self._remembered: OrderedDict[tuple[bool, bytes], _Remembered] = OrderedDict()
        self._changes = 0

    async def __call__(self, request: Request) -> Identity | None:
        """Who sent it; None where nobody known did.

        Raises:
            DatabaseUnavailable: if the database does not answer and they were not known shortly before.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        by_key = scheme.lower() == "bearer"
        found = token.strip() if by_key else cookies.token_of(request)
        digest = secret_tokens.digest(found) if found is not None else None
        if digest is None:
            return None
        sent = (by_key, digest)  # a login's token is no key, whether or not it is remembered
        known = self._remembered.get(sent)
        if known is not None and self._clock() - known.at < FRESH_S:
            return known.identity
        changes = self._changes
        try:
            identity = await (self._owner(digest) if by_key else self._person(digest))
        except DatabaseUnavailable:
            if known is not None and self._clock() - known.at < STALE_S:
                return known.identity
            raise
        if changes == self._changes:
            self._remember(sent, identity)
        return identity

    def forget(self) -> None:
        """Ask the database anew: a person, a login or a key has changed."""
        self._changes += 1
        self._remembered.clear()

    def _remember(self, sent: tuple[bool, bytes], identity: Identity | None) -> None:
        self._remembered.pop(sent, None)
        self._remembered[sent] = _Remembered(identity, self._clock())
        if len(self._remembered) > _BOUND:
            self._remembered.popitem(last=False)

    async def _person(self, digest: bytes) -> Identity | None:
        async with self._database.reading() as connection:
            found = await queries.user_of_login(connection, digest, self._idle)
        if found is None:
            return None
        user, long_unsaid = found
        if long_unsaid:
            async with self._database.writing() as connection:
                await queries.login_used(connection, digest)
        return identity_of(user)

    async def _owner(self, digest: bytes) -> Identity | None:
        async with self._database.reading() as connection:
            found = await queries.owner_of_key(connection, digest)
        if found is None:
            return None
        user, scopes, long_unsaid = found
        if long_unsaid:
            async with self._database.writing() as connection:
                await queries.key_used(connection, digest)
        return Identity(
            user.name, RIGHTS_OF_ROLE[user.role].intersection(scopes), str(user.id), by="key", role=user.role
        )


def identity_of(user: User) -> Identity:
    """A person who is logged in by a browser."""
    return Identity(
        user.name,
        RIGHTS_OF_ROLE[user.role],
        str(user.id),
        by="login",
        role=user.role,
        password_temporary=user.password_temporary,
    )
