"""Finds who sent a request: by the key of a program, or the cookie of a browser."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeVar

from starlette.requests import Request

from services.web.accounts import cookies, queries, secret_tokens
from services.web.accounts.queries import User
from services.web.database import Database, DatabaseUnavailable
from services.web.gate import RIGHTS_OF_ROLE, Identity
from services.web.rate import Allowance, address_of, too_many

FRESH_S: Final = 10.0
"""For so long what the database said holds: pages ask for pictures many times a second. Also how long another replica
of this service takes to hear that somebody was logged out."""
STALE_S: Final = 300.0
"""For so long it holds while the database does not answer, since live pictures do not need it."""
_BOUND: Final = 10_000

_Sent = tuple[bool, bytes]
"""Whether it is a key, and the token's digest: a login's token is no key, whether or not it is remembered."""

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class _Remembered:
    identity: Identity | None
    at: float


class Doorkeeper:
    """An `Identify`. It knows nobody whom the database does not know."""

    def __init__(
        self, database: Database, idle: timedelta, lookups: Allowance, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`lookups` is how often an address may have the database asked for what turns out to be nobody's."""
        self._database = database
        self._idle = idle
        self._lookups = lookups
        self._clock = clock
        # What anybody can make up is kept apart, so that it pushes out nobody who is known.
        self._known: OrderedDict[_Sent, _Remembered] = OrderedDict()
        self._nobodys: OrderedDict[_Sent, _Remembered] = OrderedDict()
        self._met: OrderedDict[_Sent, None] = OrderedDict()
        self._changes = 0

    async def __call__(self, request: Request) -> Identity | None:
        """Who sent it; None where nobody known did.

        Raises:
            DatabaseUnavailable: if the database does not answer and they were not known shortly before.
            ApiProblem: 429 where too much that is nobody's came from the same address.
        """
        sent = _sent(request)
        if sent is None:
            return None
        known = self._known.get(sent) or self._nobodys.get(sent)
        if known is not None and self._clock() - known.at < FRESH_S:
            return known.identity
        met = sent in self._met
        address = address_of(request.scope)
        if not met:
            self._count_lookup(address)
        changes = self._changes
        by_key, digest = sent
        try:
            identity = await (self._owner(digest) if by_key else self._person(digest))
        except DatabaseUnavailable:
            if known is not None and self._clock() - known.at < STALE_S:
                return known.identity
            raise
        if identity is None:
            self._met.pop(sent, None)
        else:
            _keep(self._met, sent, None)
            if not met:
                self._lookups.give_back(address)
        if changes == self._changes:
            remembered = _Remembered(identity, self._clock())
            (self._known if identity is None else self._nobodys).pop(sent, None)
            _keep(self._nobodys if identity is None else self._known, sent, remembered)
        return identity

    def credential_of(self, request: Request) -> str | None:
        """Names the login or key that a request sends, where it was somebody's when the database was last asked."""
        sent = _sent(request)
        return f"{'key' if sent[0] else 'login'} {sent[1].hex()}" if sent is not None and sent in self._met else None

    def forget(self) -> None:
        """Ask the database anew: a person, a login or a key has changed."""
        self._changes += 1
        self._known.clear()
        self._nobodys.clear()

    def _count_lookup(self, address: str) -> None:
        wait_s = self._lookups.take(address)
        if wait_s > 0:
            raise too_many(
                wait_s,
                "More logins and keys that are nobody's came from this address than are looked up.",
                "Log in again, or send a key that is on the page Keys and has not ended.",
            )

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


def _sent(request: Request) -> _Sent | None:
    """What a request names itself by; None where that can be no token."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    by_key = scheme.lower() == "bearer"
    found = token.strip() if by_key else cookies.token_of(request)
    digest = secret_tokens.digest(found) if found is not None else None
    return (by_key, digest) if digest is not None else None


def _keep(memory: OrderedDict[_Sent, _Value], sent: _Sent, value: _Value) -> None:
    memory.pop(sent, None)
    memory[sent] = value
    if len(memory) > _BOUND:
        memory.popitem(last=False)


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
