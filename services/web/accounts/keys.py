"""The keys of programs. The rules, over the queries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from services.web.accounts import queries, secret_tokens
from services.web.accounts.doorkeeper import Doorkeeper
from services.web.accounts.logins import own_id
from services.web.accounts.queries import Key
from services.web.database import Database
from services.web.gate import RIGHTS, Identity, Right
from services.web.problems import ApiProblem, WrongParameter, bad_parameters, not_found

MAX_KEYS: Final = 100
"""Keys that one person has at once."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key, and the token that is shown once."""

    key: Key
    token: str


class Keys:
    """Lets programs ask for people."""

    def __init__(self, database: Database, doorkeeper: Doorkeeper) -> None:
        self._database = database
        self._doorkeeper = doorkeeper

    async def listed(self, identity: Identity, *, everybodys: bool) -> list[Key]:
        """One's own keys, or everybody's."""
        if not everybodys and identity.user_id is None:
            return []
        async with self._database.reading() as connection:
            return await queries.keys(connection, None if everybodys else UUID(identity.user_id))

    async def make(self, identity: Identity, name: str, scopes: Sequence[Right], expires_at: datetime | None) -> NewKey:
        """A key by which a program may do what `scopes` and its owner's role both allow.

        Raises:
            ApiProblem: 403 for a key or nobody, 409 where there are too many, 422 where the role lacks a scope.
        """
        user_id = own_id(identity)
        beyond = [scope for scope in scopes if scope not in identity.rights]
        if beyond:
            reason = f"your role does not have the right {beyond[0]!r}; you may give {', '.join(_in_order(identity))}"
            raise bad_parameters([WrongParameter(parameter="scopes", reason=reason)])
        token = secret_tokens.new_key()
        digest = secret_tokens.digest(token)
        assert digest is not None
        async with self._database.writing() as connection:
            await queries.user_by_id(connection, user_id, lock=True)
            if await queries.keys_in_use(connection, user_id) >= MAX_KEYS:
                raise ApiProblem(
                    409,
                    "too-many-keys",
                    "Too many keys",
                    f"You have {MAX_KEYS} keys that are not revoked.",
                    "Revoke those that are not needed any more.",
                )
            key = await queries.add_key(connection, user_id, name, digest, scopes, expires_at)
        self._doorkeeper.forget()
        return NewKey(key, token)

    async def revoke(self, identity: Identity, key_id: UUID) -> Key:
        """End a key: one's own, or as an admin anybody's.

        Raises:
            ApiProblem: 404 where there is none that the asker may end.
        """
        owner = None if "admin" in identity.rights else own_id(identity)
        async with self._database.writing() as connection:
            key = await queries.revoke_key(connection, key_id, owner)
        if key is None:
            raise not_found(f"There is no key {key_id} of yours.", "GET /api/v1/tokens lists them.")
        self._doorkeeper.forget()
        return key


def _in_order(identity: Identity) -> list[str]:
    return [right for right in RIGHTS if right in identity.rights]
