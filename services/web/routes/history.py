"""The REST queries on episodes, and on what surrounds one detection."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response

from services.web import history_queries, queries
from services.web.cursors import Cursor
from services.web.database import Database
from services.web.gate import Gate
from services.web.history_schemas import Context, EpisodePage, Neighbours, Timeline
from services.web.known_devices import KnownDevices
from services.web.problems import WrongParameter, bad_parameters, not_found, responses
from services.web.routes.answers import asked, json_answer, no_detection
from services.web.schemas import DetectionFilter, EpisodeFilter, EpisodeQuery
from services.web.trail import Trail

_ERRORS: Any = responses(401, 403, 404, 422, 503)


def router(database: Database, known: KnownDevices, trail: Trail, gate: Gate) -> APIRouter:
    """Routes over the records of the cloud machine."""
    routes = APIRouter(prefix="/api/v1", tags=["history"], dependencies=[gate.guard("view")])

    @routes.get("/episodes", summary="Episodes, newest first", response_model=EpisodePage, responses=_ERRORS)
    async def episodes(request: Request, query: Annotated[EpisodeQuery, Query()]) -> Response:
        """One for each person and stretch: what was read of one face that a device followed, on one day (UTC)."""
        async with database.reading() as connection:
            await known.check(connection, query.device)
            page = await history_queries.episode_page(connection, query)
        trail.note(request, "view", "episodes", detail={"query": asked(query)})
        return json_answer(page)

    @routes.get("/timeline", summary="How many episodes began when", response_model=Timeline, responses=_ERRORS)
    async def timeline(request: Request, query: Annotated[EpisodeFilter, Query()]) -> Response:
        """Takes the filters of `/api/v1/episodes`. Without `from` it begins with the oldest episode; it has at most 97
        stretches of equal length. Of more than 100,000 episodes it takes the newest and says so: `more`."""
        now = datetime.now(UTC)
        if query.to is None and query.from_ is not None and query.from_ >= now:
            raise bad_parameters([WrongParameter(parameter="from", reason="must be before now where to is not given")])
        async with database.reading() as connection:
            await known.check(connection, query.device)
            found = await history_queries.timeline(connection, query, now)
        trail.note(request, "view", "timeline of episodes", detail={"query": asked(query)})
        return json_answer(found)

    @routes.get(
        "/detections/{event_id}/context",
        summary="What surrounds one detection",
        response_model=Context,
        responses=_ERRORS,
    )
    async def context(request: Request, event_id: Annotated[UUID, Path()]) -> Response:
        """Words for its faces, where its picture is, the votes on its faces, and the sessions that it belongs to."""
        async with database.reading() as connection:
            one = await queries.one_detection(connection, event_id)
            found = await history_queries.context(connection, one) if one is not None else None
        if found is None:
            raise no_detection(event_id)
        trail.note(request, "view", "single detections", item=str(event_id))
        return json_answer(found)

    @routes.get(
        "/detections/{event_id}/neighbours",
        summary="The next newer and the next older detection that fit a filter",
        response_model=Neighbours,
        responses=_ERRORS,
    )
    async def neighbours(event_id: Annotated[UUID, Path()], query: Annotated[DetectionFilter, Query()]) -> Response:
        """Null where there is none, or none within 100,000 rows that an index leads to."""
        async with database.reading() as connection:
            await known.check(connection, query.device)
            at = await queries.captured_at(connection, event_id)
            found = (
                await history_queries.detection_neighbours(connection, Cursor(at, event_id), query)
                if at is not None
                else None
            )
        if found is None:
            raise no_detection(event_id)
        return json_answer(found)

    @routes.get(
        "/episodes/{episode_id}/neighbours",
        summary="The next newer and the next older episode that fit a filter",
        response_model=Neighbours,
        responses=_ERRORS,
    )
    async def episode_neighbours(
        episode_id: Annotated[UUID, Path()], query: Annotated[EpisodeFilter, Query()]
    ) -> Response:
        """Each with the detection that stands for it."""
        async with database.reading() as connection:
            await known.check(connection, query.device)
            begun = await history_queries.episode_begun(connection, episode_id)
            found = (
                await history_queries.episode_neighbours(connection, episode_id, begun, query)
                if begun is not None
                else None
            )
        if found is None:
            raise not_found(
                f"There is no episode {episode_id}.", "Check the id; all of its faces may have been erased since."
            )
        return json_answer(found)

    return routes
