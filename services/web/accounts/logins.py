"""One's own login: in, out, and the password. The rules, over the queries."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.web.accounts import queries, secret_tokens
from services.web.accounts.doorkeeper import Doorkeeper, identity_of
from services.web.accounts.passwords import TEMPORARY_DAYS, Passwords, complaint
from services.web.accounts.throttle import Throttle
from services.web.database import Database
from services.web.gate import Identity
from services.web.problems import ApiProblem, WrongParameter, bad_parameters


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """Somebody, and the token that their browser keeps."""

    identity: Identity
    token: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Nobody was let in. `known` is for the audit log alone: it must not be told to who tries."""

    problem: ApiProblem
    known: bool


class Logins:
    """Lets people in by name and password."""

    def __init__(
        self, database: Database, passwords: Passwords, doorkeeper: Doorkeeper, lasts: timedelta, *, required: bool
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._doorkeeper = doorkeeper
        self._by_name = Throttle(free=5, longest_s=60.0)
        self._by_address = Throttle(free=20, longest_s=900.0)
        self.lasts = lasts
        """After this a login ends, however much it is used."""
        self.required = required
        """Whether anybody logs in here at all."""

    async def log_in(self, name: str, password: str, address: str) -> LoggedIn | Refused:
        """Let somebody in by their password.

        Raises:
            ApiProblem: 409 where nobody logs in, 503 where too many try at once.
            DatabaseUnavailable: if it cannot be looked up.
        """
        if not self.required:
            raise ApiProblem(
                409,
                "no-login",
                "Nobody logs in here",
                "This service is set to ask for no login; everything can be done without.",
                "Go on without, or set EMOTION_LOGIN=required and start it again.",
            )
        wait_s = max(self._by_name.wait_s(name), self._by_address.wait_s(address))
        if wait_s > 0:
            return Refused(_wait(wait_s), known=False)
        self._by_name.tried(name)
        self._by_address.tried(address)
        async with self._database.reading() as connection:
            user = await queries.user_by_name(connection, name)
        fits = await self._passwords.fits(user.password_hash if user is not None else None, password)
        if user is None or user.disabled_at is not None or not fits:
            problem = ApiProblem(
                401,
                "wrong-login",
                "Not logged in",
                "Name and password do not belong together, or nobody of that name may log in.",
                "Try again; an administrator can make a new password on the page People.",
            )
            return Refused(problem, known=user is not None)
        token = secret_tokens.new_login()
        async with self._database.writing() as connection:
            # What was checked may have changed while it was checked.
            now = await queries.user_by_id(connection, user.id, lock=True)
            if now is None or now.disabled_at is not None or now.password_hash != user.password_hash:
                return Refused(_changed(), known=True)
            if now.password_ends_at is not None and now.password_ends_at <= datetime.now(UTC):
                return Refused(_ended(name), known=True)
            await self._add_login(connection, user.id, token)
        self._by_name.forget(name)
        self._by_address.taken_back(address)
        return LoggedIn(identity_of(now), token)

    async def log_out(self, token: str) -> None:
        """End one browser's login."""
        digest = secret_tokens.digest(token)
        if digest is not None:
            async with self._database.writing() as connection:
                await queries.end_login(connection, digest)
        self._doorkeeper.forget()

    async def log_out_everywhere(self, user_id: UUID) -> int:
        """End all of one's own logins; gives how many."""
        async with self._database.writing() as connection:
            ended = await queries.end_logins(connection, user_id)
        self._doorkeeper.forget()
        return ended

    async def change_password(self, identity: Identity, old: str, new: str) -> LoggedIn:
        """Give oneself another password; every browser is logged out, and this one logged in anew.

        Raises:
            ApiProblem: 403 for a key or nobody, 422 where the old one is wrong or the new one will not do, 429.
        """
        user_id = own_id(identity)
        wait_s = self._by_name.wait_s(identity.name)
        if wait_s > 0:
            raise _wait(wait_s)
        wrong = complaint(new, identity.name) or ("it is the old one; choose another" if new == old else None)
        if wrong is not None:
            raise bad_parameters([WrongParameter(parameter="new", reason=wrong)])
        self._by_name.tried(identity.name)
        async with self._database.reading() as connection:
            user = await queries.user_by_id(connection, user_id)
        if not await self._passwords.fits(user.password_hash if user is not None else None, old) or user is None:
            raise bad_parameters([WrongParameter(parameter="old", reason="it is not your password")])
        self._by_name.forget(identity.name)
        digest = await self._passwords.hashed(new)
        token = secret_tokens.new_login()
        async with self._database.writing() as connection:
            now = await queries.user_by_id(connection, user_id, lock=True)
            if now is None or now.disabled_at is not None or now.password_hash != user.password_hash:
                raise _changed()
            await queries.set_password(connection, user_id, digest, temporary=False)
            await queries.end_logins(connection, user_id)
            await self._add_login(connection, user_id, token)
            changed = await queries.user_by_id(connection, user_id)
            assert changed is not None
        self._doorkeeper.forget()
        return LoggedIn(identity_of(changed), token)

    async def _add_login(self, connection: AsyncConnection, user_id: UUID, token: str) -> None:
        digest = secret_tokens.digest(token)
        assert digest is not None
        await queries.add_login(connection, user_id, digest, self.lasts)


def own_id(identity: Identity) -> UUID:
    """Whose account a browser's login is.

    Raises:
        ApiProblem: 403 for a key, 409 where nobody logs in.
    """
    if identity.by == "key":
        raise ApiProblem(
            403,
            "not-by-key",
            "Not with a key",
            "A key may not make keys or change the password of its owner: it could outlive its own end.",
            "Log in at /login and do it there.",
        )
    if identity.user_id is None:
        raise ApiProblem(
            409,
            "no-login",
            "Nobody logs in here",
            "This service is set to ask for no login, so passwords and keys belong to nobody.",
            "Set EMOTION_LOGIN=required and start it again; without a login, programs need no key either.",
        )
    return UUID(identity.user_id)


def _wait(wait_s: float) -> ApiProblem:
    seconds = math.ceil(wait_s)
    return ApiProblem(
        429,
        "too-many-tries",
        "Too many tries",
        f"Too many passwords were tried; the next one is looked at in {seconds} s.",
        f"Wait {seconds} s, then try again.",
        headers={"Retry-After": str(seconds)},
    )


def _ended(name: str) -> ApiProblem:
    """Told only to those who know the password."""
    return ApiProblem(
        401,
        "password-ended",
        "The temporary password has ended",
        f"It was made more than {TEMPORARY_DAYS} days ago and was not changed for one of your own.",
        "An administrator makes a new one on the page People, or beside the database by "
        f"`emotion-edge user reset {name}`.",
    )


def _changed() -> ApiProblem:
    return ApiProblem(
        401,
        "wrong-login",
        "Not logged in",
        "The account was changed at this very moment.",
        "Try again; an administrator can make a new password on the page People.",
    )
