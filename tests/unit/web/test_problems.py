"""Errors that no route foresaw still have the one shape, and tell nothing of the inside."""

import httpx
from fastapi import FastAPI

from services.web import problems
from tests.support.web import check_problem


async def test_a_defect_is_answered_as_a_problem_without_its_traceback() -> None:
    app = FastAPI()
    problems.install(app)

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("secret inside")

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/broken")
    check_problem(answer, 500, "defect")
    assert "secret" not in answer.text
