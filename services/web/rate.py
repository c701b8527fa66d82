"""A program that asks without end is slowed down, so that it takes nothing from the others."""

import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from services.web.problems import ApiProblem

_BOUND: Final = 10_000
"""Askers that are remembered; the one not seen for longest is forgotten, and then begins with a full allowance."""
_SAVED_S: Final = 10.0
"""Seconds of an asker's rate that can be saved up: a page loads many things at once and is then quiet."""
_LIMITED: Final = "/api/v1/"


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Allowance:
    """A token bucket for each asker. In memory, pure apart from the clock it is given.

    Each asker may ask `per_s` times a second and save up ten seconds of that.
    """

    def __init__(self, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        if not per_s > 0:
            raise ValueError(f"expected a rate above 0 requests a second, got {per_s}")
        self._per_s = per_s
        self._full = per_s * _SAVED_S
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, asker: str) -> float:
        """Count a request; 0 where it is allowed, else the seconds until the next is. A refused one costs nothing."""
        now = self._clock()
        bucket = self._buckets.pop(asker, None) or _Bucket(self._full, now)
        bucket.left = min(self._full, bucket.left + (now - bucket.at) * self._per_s)
        bucket.at = now
        self._buckets[asker] = bucket
        if len(self._buckets) > _BOUND:
            self._buckets.popitem(last=False)
        if bucket.left < 1:
            return (1 - bucket.left) / self._per_s
        bucket.left -= 1
        return 0.0


def asker_of(scope: Scope) -> str:
    """Whose allowance a request takes from: that of its key or login, else of its address.

    Kept as a digest, so that no key lies in memory for longer than its request.
    """
    headers = Headers(scope=scope)
    known = headers.get("authorization") or headers.get("cookie")
    if known:
        return hashlib.sha256(known.encode()).hexdigest()
    client = scope.get("client")
    return client[0] if client else "unknown"


class LimitRequests:
    """Answers 429 on the REST interface to who asks more often than allowed."""

    def __init__(self, app: ASGIApp, allowance: Allowance) -> None:
        self._app = app
        self._allowance = allowance

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wait_s = 0.0
        if scope["type"] == "http" and scope["path"].startswith(_LIMITED):
            wait_s = self._allowance.take(asker_of(scope))
        if wait_s == 0:
            await self._app(scope, receive, send)
            return
        problem = ApiProblem(
            429,
            "too-many-requests",
            "Too many requests",
            "More requests came with this key or from this address than one may make.",
            "Wait as long as Retry-After says, ask for larger pages, or raise EMOTION_REQUESTS_PER_S.",
            headers={"Retry-After": str(math.ceil(wait_s))},
        )
        await problem.response(Request(scope))(scope, receive, send)
