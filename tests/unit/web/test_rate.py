"""The allowance of requests, and what is answered when it is used up."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import services.web.rate
from services.web.rate import Allowance, LimitRequests, address_of
from tests.support.web import check_problem


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.floats(0, 3, allow_subnormal=False), max_size=200), st.floats(0.5, 20))
def test_nobody_gets_more_than_their_rate_and_what_was_saved(pauses: list[float], per_s: float) -> None:
    clock = Clock()
    allowance = Allowance(per_s, clock)
    allowed = 0
    for pause in pauses:
        clock.now += pause
        allowed += allowance.take("a") == 0
    assert allowed <= per_s * (10 + clock.now - 1000) + 1e-6


def test_after_the_wait_that_was_told_the_next_request_is_allowed() -> None:
    clock = Clock()
    allowance = Allowance(2, clock)
    assert [allowance.take("a") for _ in range(20)] == [0.0] * 20
    wait = allowance.take("a")
    assert 0 < wait <= 0.5
    assert allowance.take("b") == 0  # another's allowance is its own
    clock.now += wait
    assert allowance.take("a") == 0


def test_askers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services.web.rate, "_BOUND", 3)
    allowance = Allowance(1, Clock())
    for asker in "abcd":
        for _ in range(10):
            allowance.take(asker)
    assert allowance.take("d") > 0
    assert allowance.take("a") == 0  # forgotten


async def test_who_asks_without_end_is_told_to_wait_and_pages_and_others_are_not_touched() -> None:
    async def answer(_: Request) -> PlainTextResponse:
        return PlainTextResponse("here")

    inner = Starlette(routes=[Route("/api/v1/x", answer), Route("/", answer)])

    def credential_of(request: Request) -> str | None:
        return request.headers.get("x-known")

    transport = httpx.ASGITransport(LimitRequests(inner, 1, credential_of, Clock()))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        for _ in range(10):
            assert (await client.get("/api/v1/x")).status_code == 200
        refused = await client.get("/api/v1/x")
        check_problem(refused, 429, "too-many-requests")
        assert refused.headers["retry-after"] == "1"
        assert (await client.get("/")).status_code == 200
        assert (await client.get("/api/v1/x", headers={"X-Known": "anna"})).status_code == 200
        for header in ("Authorization", "Cookie"):
            made_up = await client.get("/api/v1/x", headers={header: "Bearer other"})
            check_problem(made_up, 429, "too-many-requests")


async def test_who_is_found_to_be_known_takes_nothing_from_their_address() -> None:
    known: set[str] = set()

    async def answer(request: Request) -> PlainTextResponse:
        known.add(request.headers["x-name"])
        return PlainTextResponse("here")

    def credential_of(request: Request) -> str | None:
        name = request.headers.get("x-name")
        return name if name in known else None

    inner = Starlette(routes=[Route("/api/v1/x", answer)])
    transport = httpx.ASGITransport(LimitRequests(inner, 1, credential_of, Clock()))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        for number in range(50):
            assert (await client.get("/api/v1/x", headers={"X-Name": str(number)})).status_code == 200


@pytest.mark.parametrize(
    ("client", "address"),
    [
        (("192.0.2.7", 5000), "192.0.2.7"),
        (("::ffff:192.0.2.7", 5000), "192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 5000), "2001:db8:1:2::/64"),
        (("2001:db8:1:2::9", 5001), "2001:db8:1:2::/64"),
        (("2001:db8:1:3::9", 5001), "2001:db8:1:3::/64"),
        (("testclient", 5000), "testclient"),
        (None, "unknown"),
    ],
)
def test_an_address_is_that_of_who_can_change_it_at_will(client: tuple[str, int] | None, address: str) -> None:
    assert address_of({"type": "http", "client": client}) == address
