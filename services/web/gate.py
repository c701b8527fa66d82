"""Who asks, and what they may do. Routes say what they need; whether it is there is decided here alone."""

import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Protocol

from fastapi import Depends, Security
from fastapi.security import APIKeyCookie, HTTPBearer
from starlette.requests import Request

from services.web.accounts import cookies
from services.web.database import DatabaseUnavailable
from services.web.problems import ApiProblem

Right = Literal["view", "label", "research", "admin"]
"""view: see what was recorded and what happens now. label: vote on faces. research: sessions, datasets, exports, pause
and settings of devices. admin: people, their keys, the audit log, erasing."""

Need = Right | Literal["login"]
"""What a route asks for: a right, or only that somebody is known, also one whose password is still a temporary one."""

RIGHTS: Final[tuple[Right, ...]] = ("view", "label", "research", "admin")
RIGHTS_OF_ROLE: Final[dict[str, frozenset[Right]]] = {
    "viewer": frozenset(RIGHTS[:1]),
    "labeller": frozenset(RIGHTS[:2]),
    "researcher": frozenset(RIGHTS[:3]),
    "admin": frozenset(RIGHTS),
}

# For the OpenAPI document alone: who asks is for an `Identify` to say.
_KEY: Final = HTTPBearer(
    scheme_name="key",
    auto_error=False,
    description="For programs: a token made on the page Keys or by POST /api/v1/tokens, as `Bearer ee_…`. It may do "
    "what both its scopes and its owner's role allow.",
)
_LOGIN: Final = APIKeyCookie(
    name=cookies.NAME,
    scheme_name="login",
    auto_error=False,
    description="For browsers: the cookie that POST /api/v1/login gives. Over HTTPS its name is "
    f"`{cookies.BOUND_NAME}`.",
)

HERE: Final = "somebody at this machine"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: the name that votes and the audit log keep, and what they may do."""

    name: str
    rights: frozenset[Right]
    user_id: str | None = None
    """Null where nobody logs in."""
    by: Literal["login", "key"] | None = None
    """How they are known: by a browser's login or a program's key; null where nobody logs in."""
    role: str | None = None
    password_temporary: bool = False
    """Nothing else may be done before it is changed."""


class Identify(Protocol):
    """Says who sent a request; None where nobody known did."""

    async def __call__(self, request: Request) -> Identity | None: ...


def unnamed(request: Request) -> str:
    """Who asks, as far as it is known where nobody logs in."""
    host = request.client.host if request.client else None
    try:
        if host is not None and ipaddress.ip_address(host).is_loopback:
            return HERE
    except ValueError:
        pass  # a test's client or a socket's path
    return f"unknown at {host or 'an unknown address'}"


async def anybody(request: Request) -> Identity:
    """Where no login is asked for: whoever reaches the service may do everything."""
    return Identity(unnamed(request), frozenset(RIGHTS))


async def anybody_here(request: Request) -> Identity:
    """Where nobody said whether a login is asked for: whoever is at this machine may do everything.

    Raises:
        ApiProblem: 403 for a request that a proxy passed on from another machine, since nobody decided that those may.
    """
    name = unnamed(request)
    if name != HERE:
        raise ApiProblem(
            403,
            "login-undecided",
            "Not from another machine",
            "This service asks for no login because it listens to its own machine only, and this request comes from "
            "another one, passed on by a proxy.",
            "Set EMOTION_LOGIN=required, or EMOTION_LOGIN=off if whoever reaches the proxy may see and change all.",
        )
    return Identity(name, frozenset(RIGHTS))


class Gate:
    """Lets a request in, or says what is missing."""

    def __init__(self, identify: Identify = anybody) -> None:
        self._identify = identify

    async def identity(self, request: Request) -> Identity | None:
        """Who asks; found once a request."""
        if not hasattr(request.state, "identity"):
            request.state.identity = await self._identify(request)
        found: Identity | None = request.state.identity
        return found

    def known(self, request: Request, identity: Identity) -> None:
        """From now on this is who asks: they have just logged in."""
        request.state.identity = identity

    async def still_knows(self, request: Request) -> bool:
        """Whether who was let in is known as just the same now: for an answer that stays open long after.

        False also where the database has been away for longer than anybody is remembered.
        """
        before: Identity | None = request.state.identity
        try:
            return await self._identify(request) == before
        except (ApiProblem, DatabaseUnavailable):
            return False

    def needs(self, need: Need) -> Callable[[Request], Awaitable[Identity]]:
        """A dependency of routes: gives who asks.

        Raises:
            ApiProblem: 401 where nobody is known, 403 where they may not.
        """

        rights = [] if need == "login" else [need]

        async def let_in(
            request: Request,
            _key: Annotated[object, Security(_KEY, scopes=rights)] = None,
            _login: Annotated[object, Security(_LOGIN, scopes=rights)] = None,
        ) -> Identity:
            identity = await self.identity(request)
            if identity is None:
                raise ApiProblem(
                    401,
                    "login-needed",
                    "Log in first",
                    "The request names nobody who is known here.",
                    "Log in at /login, or send Authorization: Bearer with a token made on the page Keys.",
                    headers={"WWW-Authenticate": "Bearer"},
                )
            if need == "login":
                return identity
            if identity.password_temporary:
                raise ApiProblem(
                    403,
                    "password-temporary",
                    "Choose a password of your own first",
                    "The password is one that somebody else made; nothing else can be done with it.",
                    "Change it at /account, or by POST /api/v1/password.",
                )
            if need not in identity.rights:
                raise ApiProblem(
                    403,
                    "not-allowed",
                    "Not allowed",
                    f"{identity.name} may not do this: it needs the right {need!r}.",
                    "Ask an administrator for another role, or use a token with this right.",
                )
            return identity

        let_in.need = need  # type: ignore[attr-defined]  # for the test that looks whether every route has a gate
        return let_in

    def guard(self, need: Need) -> Any:
        """The same for routes that need not know who it is: for `dependencies=[...]`."""
        return Depends(self.needs(need))


def who(request: Request) -> str:
    """The name to be kept of who asked, after the gate let them in."""
    identity: Identity | None = getattr(request.state, "identity", None)
    return identity.name if identity is not None else unnamed(request)
