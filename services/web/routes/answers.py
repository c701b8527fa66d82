"""How routes answer with what they read from the records."""

from typing import Any

from fastapi import Response
from pydantic import BaseModel


def json_answer(model: BaseModel) -> Response:
    """A model as JSON. Built from models already; sent without being checked a second time."""
    headers = {"Cache-Control": "no-store"}
    return Response(model.model_dump_json(by_alias=True), media_type="application/json", headers=headers)


def asked(query: BaseModel) -> dict[str, Any]:
    """What a viewer asked for, without the place on its pages."""
    return query.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"cursor", "limit"})
