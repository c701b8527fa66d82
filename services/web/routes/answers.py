"""How routes answer with what they read from the records."""

from typing import Any
from uuid import UUID

from fastapi import Response
from pydantic import BaseModel

from services.web.problems import ApiProblem, not_found


def json_answer(model: BaseModel) -> Response:
    """A model as JSON. Built from models already; sent without being checked a second time."""
    headers = {"Cache-Control": "no-store"}
    return Response(model.model_dump_json(by_alias=True), media_type="application/json", headers=headers)


def no_detection(event_id: UUID) -> ApiProblem:
    """404 for a detection that is not there."""
    return not_found(
        f"There is no detection {event_id}.", "Check the id; it may have been erased or not have arrived yet."
    )


def asked(query: BaseModel) -> dict[str, Any]:
    """What a viewer asked for, without the place on its pages."""
    return query.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"cursor", "limit"})
