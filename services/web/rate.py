"""A program that asks without end is slowed down, so that it takes nothing from the others."""

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

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

    def give_back(self, asker: str) -> None:
        """The last request that was counted is not this asker's after all."""
        bucket = self._buckets.get(asker)
        if bucket is not None:
            bucket.left = min(self._full, bucket.left + 1)


def address_of(scope: Scope) -> str:
    """From where a request comes; of IPv6 the network, for its owner has all 2^64 addresses in it."""
    client = scope.get("client")
    if client is None:
        return "unknown"
    try:
        address = ipaddress.ip_address(client[0])
    except ValueError:
        return str(client[0])  # a test's client or a socket's path
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))


def too_many(wait_s: float, detail: str, next_step: str) -> ApiProblem:
    """429 with the seconds after which to come again."""
    return ApiProblem(
        429,
        "too-many-requests",
        "Too many requests",
        detail,
        f"Wait as long as Retry-After says. {next_step}",
        headers={"Retry-After": str(math.ceil(wait_s))},
    )


CredentialOf = Callable[[Request], str | None]
"""Names the login or key that a request sends, where it is known to be somebody's; never waits. None: whatever else was
sent, which anybody can make up."""


def nobody_is_known(_: Request) -> None:
    """The `CredentialOf` of a service where nobody logs in."""


class LimitRequests:
    """Answers 429 on the REST interface to who asks more often than allowed.

    Each login and key that is somebody's has an allowance of its own, so that people behind one address do not limit
    each other. All else counts by address, for what a request says of itself is made up as easily as it is sent.
    """

    def __init__(
        self,
        app: ASGIApp,
        per_s: float,
        credential_of: CredentialOf = nobody_is_known,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._credential_of = credential_of
        # Apart, so that however many addresses there are, they push out no login or key.
        self._credentials = Allowance(per_s, clock)
        self._addresses = Allowance(per_s, clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(_LIMITED):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        credential = self._credential_of(request)
        address = address_of(scope)
        wait_s = self._addresses.take(address) if credential is None else self._credentials.take(credential)
        if wait_s > 0:
            problem = _of_address(wait_s) if credential is None else _of_credential(wait_s)
            await problem.response(request)(scope, receive, send)
            return
        await self._app(scope, receive, send)
        if credential is None and self._credential_of(request) is not None:
            self._addresses.give_back(address)  # it was looked up meanwhile, and is somebody's


def _of_credential(wait_s: float) -> ApiProblem:
    return too_many(
        wait_s,
        "More requests came with this login or key than one may make.",
        "Ask for larger pages, or raise EMOTION_REQUESTS_PER_S.",
    )


def _of_address(wait_s: float) -> ApiProblem:
    return too_many(
        wait_s,
        "More requests came from this address, without a login or key that is known, than one may make.",
        "Log in or send a key, which count by themselves, or raise EMOTION_REQUESTS_PER_S.",
    )
