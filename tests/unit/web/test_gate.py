"""Who may do what, over a real application."""

import httpx
import pytest
from fastapi import FastAPI, Request

from services.web import problems
from services.web.gate import RIGHTS, RIGHTS_OF_ROLE, Gate, Identity, who
from tests.support.web import check_problem


async def by_header(request: Request) -> Identity | None:
    role = request.headers.get("x-role")
    return None if role is None else Identity(f"a {role}", RIGHTS_OF_ROLE[role])


@pytest.fixture
def client() -> httpx.AsyncClient:
    app = FastAPI()
    problems.install(app)
    gate = Gate(by_header)
    for right in RIGHTS:

        @app.get(f"/{right}", dependencies=[gate.guard(right)])
        async def answer(request: Request) -> str:
            return who(request)

    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1")


@pytest.mark.parametrize(("rank", "role"), list(enumerate(RIGHTS_OF_ROLE)))
async def test_a_role_may_do_all_of_the_ones_before_it_and_nothing_more(
    client: httpx.AsyncClient, rank: int, role: str
) -> None:
    async with client:
        for number, right in enumerate(RIGHTS):
            answer = await client.get(f"/{right}", headers={"X-Role": role})
            if number <= rank:
                assert answer.json() == f"a {role}"
            else:
                assert right in check_problem(answer, 403, "not-allowed")["detail"]


async def test_nobody_known_is_told_how_to_become_somebody(client: httpx.AsyncClient) -> None:
    async with client:
        answer = await client.get("/view")
        assert "/login" in check_problem(answer, 401, "login-needed")["next_step"]
        assert answer.headers["www-authenticate"] == "Bearer"
