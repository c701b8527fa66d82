"""The audit log, what retention left, and erasing: for who answers for the data."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response

from services.web import audit_queries
from services.web.audit_schemas import (
    AuditPage,
    AuditQuery,
    ErasePreview,
    EraseWish,
    ErasureAtWork,
    ErasureList,
    ErasurePreviewQuery,
    RetentionFacts,
)
from services.web.database import Database
from services.web.eraser import Eraser
from services.web.gate import Gate, who
from services.web.problems import WrongParameter, bad_parameters, responses
from services.web.routes.accounts import answer
from services.web.routes.control import json_only
from services.web.trail import Trail
from shared.db.erasure import in_words, unfinished
from shared.db.places import Scope
from shared.db.session_scopes import NoSuchSession

_READS: Final = responses(401, 403, 422, 503)


def router(database: Database, eraser: Eraser, trail: Trail, gate: Gate) -> APIRouter:
    """Routes of the audit log and of privacy."""
    routes = APIRouter(prefix="/api/v1", tags=["privacy"])
    admin = [gate.guard("admin")]

    async def scopes_of(named: ErasurePreviewQuery | EraseWish) -> tuple[Scope, ...]:
        if named.item is not None:
            return (Scope(item_id=named.item),)
        if named.session is None:
            return (Scope(named.device, named.from_, named.to),)
        try:
            return await eraser.scopes_of_session(named.session)
        except NoSuchSession as error:
            raise bad_parameters([WrongParameter(parameter="session", reason=str(error))]) from error

    @routes.get(
        "/audit",
        summary="Who saw, changed or erased what, newest first",
        response_model=AuditPage,
        dependencies=admin,
        responses=_READS,
    )
    async def audit(request: Request, query: Annotated[AuditQuery, Query()]) -> Response:
        """Lines reach it some seconds after what they tell."""
        async with database.reading() as connection:
            page = await audit_queries.audit_page(connection, query)
        detail = {"query": query.model_dump(exclude_none=True, exclude={"cursor", "limit"})}
        trail.note(request, "view", "audit log", detail=detail)
        return answer(page)

    @routes.get(
        "/retention",
        summary="What is known of how long things are kept",
        response_model=RetentionFacts,
        dependencies=[gate.guard("view")],
        responses=responses(401, 403, 503),
    )
    async def retention() -> Response:
        """The times are set where ingest runs, by EMOTION_RETENTION__…; this is what the database shows of them."""
        async with database.reading() as connection:
            return answer(await audit_queries.retention_facts(connection))

    @routes.get(
        "/erasures",
        summary="Erasures and their proof, newest first",
        response_model=ErasureList,
        dependencies=admin,
        responses=responses(401, 403, 503),
    )
    async def erasures() -> Response:
        """The newest 100, and all that are not finished; also those of the command line."""
        async with database.reading() as connection:
            # First what is at work: what is finished meanwhile is then told twice, and never not at all.
            waiting = await unfinished(connection)
            items = await audit_queries.newest_erasures(connection)
        at_work = [ErasureAtWork.of(wish, eraser.removed(wish)) for wish in waiting]
        return answer(ErasureList(at_work=at_work, failed=eraser.failed, items=items))

    @routes.get(
        "/erasures/preview",
        summary="How much an erasure would remove",
        response_model=ErasePreview,
        dependencies=admin,
        responses=_READS,
    )
    async def preview(query: Annotated[ErasurePreviewQuery, Query()]) -> Response:
        """Refused messages of the device count whatever their time: they cannot be trusted to say it. Of a session it
        is what its devices recorded in its time, and the session with its notes and markers."""
        return answer(ErasePreview(rows=await eraser.count(await scopes_of(query))))

    @routes.post(
        "/erasures",
        summary="Erase what a device recorded in a time, a study session, or one item, for good",
        status_code=202,
        response_model=ErasureAtWork,
        dependencies=[Depends(json_only), *admin],
        responses=responses(400, 401, 403, 413, 415, 422, 503),
    )
    async def erase(request: Request, wish: EraseWish) -> Response:
        """It is written down, so that what still arrives of it is refused from now on, and carried out in the
        background, also if the service is stopped meanwhile: GET /api/v1/erasures shows how far it is and, at the end,
        the proof. This cannot be undone."""
        scopes = await scopes_of(wish)
        asked = await eraser.ask(scopes, who(request))
        trail.note(request, "ask to erase", in_words(scopes))
        return answer(ErasureAtWork.of(asked, 0), 202)

    return routes
