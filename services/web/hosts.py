"""Refuses what a page of another site made a browser ask for."""

import ipaddress
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from services.web.cross_origin import comes_from
from services.web.problems import ApiProblem

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_RELATIONS: Final = frozenset({"same-origin", "none"})
"""`none`: the person themselves, from the address bar or a bookmark."""


def host_of(header: str) -> str:
    """The name or address in a Host header, small letters, without port, brackets and final dot."""
    try:
        name = urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""
    return name.rstrip(".")


def is_safe(host: str, allowed: Iterable[str]) -> bool:
    """Whether `host` is none that another site can make resolve to this machine (DNS rebinding).

    A page of evil.example whose name is pointed at this machine has a browser send `Host: evil.example`. An address
    or a name without a dot (localhost, a container's name) cannot be registered by anybody; other names are `allowed`
    by the one who runs this.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return bool(host) and ("." not in host or host.endswith(".localhost") or host in allowed)
    return True


class OwnPagesOnly:
    """Answers only requests that name this machine, and lets only its own pages change anything, and programs.

    A page of one of `origins` is a program where it sends a key.
    """

    def __init__(self, app: ASGIApp, allowed: frozenset[str], origins: frozenset[str] = frozenset()) -> None:
        self._app = app
        self._allowed = allowed
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = self._problem(scope) if scope["type"] == "http" else None
        if problem is None:
            await self._app(scope, receive, send)
        else:
            await problem.response(Request(scope))(scope, receive, send)

    def _problem(self, scope: Scope) -> ApiProblem | None:
        headers = Headers(scope=scope)
        header = headers.get("host")
        if header is None:
            return None  # HTTP/1.0, which no browser speaks
        host = host_of(header)
        if not is_safe(host, self._allowed):
            return ApiProblem(
                421,
                "unknown-host",
                "Not a name of this service",
                f"The request asks for {host[:100]!r}.",
                "Use the machine's address, or add the name to EMOTION_ALLOWED_HOSTS.",
            )
        by_key = comes_from(self._origins, scope) and "authorization" in headers
        if scope["method"] not in _READING and not by_key and not _is_own_page(headers, header):
            return ApiProblem(
                403,
                "another-site",
                "Another site's page may change nothing here",
                f"The request comes from a page of {headers.get('origin', 'another site')[:100]!r}.",
                "Open the live page of this service itself, and try there; or name that site in EMOTION_CORS_ORIGINS "
                "and send a key.",
            )
        return None


def _is_own_page(headers: Headers, host: str) -> bool:
    """Whether a browser sent this for a page of this service; programs, which say neither, are none of its concern.

    Where a browser names the relation itself (over HTTPS and on the same machine) that decides, for a proxy may have
    changed Host; else Origin does.
    """
    relation = headers.get("sec-fetch-site")
    if relation is not None:
        return relation in _OWN_RELATIONS
    origin = headers.get("origin")
    return origin is None or origin.partition("://")[2].lower() == host.lower()
