"""The cookie by which a browser is known again."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

NAME: Final = "emotion"
BOUND_NAME: Final = "__Host-emotion"
"""Over HTTPS: a browser then takes it from this very host only, and never over plain HTTP."""


def _secure(request: Request) -> bool:
    return request.url.scheme == "https"


def token_of(request: Request) -> str | None:
    """What the browser's cookie says."""
    return request.cookies.get(BOUND_NAME if _secure(request) else NAME)


def give(request: Request, response: Response, token: str, max_age_s: int) -> None:
    """Have the browser send `token` from now on. Scripts cannot read it, other sites' pages do not send it."""
    secure = _secure(request)
    response.set_cookie(
        BOUND_NAME if secure else NAME,
        token,
        max_age=max_age_s,
        path="/",
        secure=secure,
        httponly=True,
        samesite="lax",
    )


def take_back(request: Request, response: Response) -> None:
    """Have the browser forget it."""
    secure = _secure(request)
    response.delete_cookie(BOUND_NAME if secure else NAME, path="/", secure=secure, httponly=True, samesite="lax")
