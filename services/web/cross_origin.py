"""Lets the pages of named sites ask over REST, with a key and never with a browser's login."""

from typing import Final

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

UNDER: Final = "/api/v1/"
_METHODS: Final = ("GET", "HEAD", "POST", "PATCH", "DELETE")
_SENT: Final = ("Authorization", "Content-Type", "If-Match", "If-None-Match", "X-Camera", "X-Request-ID")
_READ: Final = ("Content-Disposition", "ETag", "Retry-After")


def comes_from(origins: frozenset[str], scope: Scope) -> bool:
    """Whether a page of one of `origins` has a browser ask for something of REST."""
    origin = Headers(scope=scope).get("origin")
    return origin is not None and origin in origins and scope["path"].startswith(UNDER)


class CrossOrigin:
    """Answers what browsers ask before (CORS), and forgets cookies of what then comes from another site's page.

    A browser sends none, for no answer ever allows credentials; forgetting them relies on no browser.
    """

    def __init__(self, app: ASGIApp, origins: frozenset[str]) -> None:
        self._app = app
        self._origins = origins
        self._cors = CORSMiddleware(
            app, allow_origins=origins, allow_methods=_METHODS, allow_headers=_SENT, expose_headers=_READ
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(UNDER):
            await self._app(scope, receive, send)
            return
        if comes_from(self._origins, scope):
            scope = {**scope, "headers": [(name, value) for name, value in scope["headers"] if name != b"cookie"]}
        await self._cors(scope, receive, send)
