"""Errors that no route foresaw still have the one shape, and tell nothing of the inside."""

from typing import Annotated

import httpx
import pytest
from fastapi import FastAPI, Query
from pydantic import BaseModel

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


class Wish(BaseModel):
    name: str


@pytest.mark.parametrize(
    ("body", "parameter", "reason"),
    [
        (b"not json", "body", "it is not JSON: Expecting value (at character 1); expected an object, as {}"),
        (b'{"name": ', "body", "it is not JSON: Expecting value (at character 10); expected an object, as {}"),
        (b"", "body", "missing; expected a JSON object, as {}"),
        (b"[]", "body", "Input should be a valid dictionary or object to extract fields from"),
        (b'{"name": 1}', "name", "Input should be a valid string"),
    ],
)
async def test_a_body_that_does_not_fit_is_told_in_words(body: bytes, parameter: str, reason: str) -> None:
    app = FastAPI()
    problems.install(app)

    @app.post("/wish")
    async def wish(wish: Wish, number: Annotated[int, Query()] = 0) -> None: ...

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        answer = await client.post("/wish", content=body, headers={"Content-Type": "application/json"})
        assert check_problem(answer, 422, "bad-parameters")["errors"] == [{"parameter": parameter, "reason": reason}]
        answer = await client.post("/wish?number=x", json={"name": "a"})
        assert check_problem(answer, 422, "bad-parameters")["errors"][0]["parameter"] == "number"
