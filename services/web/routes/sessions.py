"""The REST interface to study sessions, their markers and their records as CSV."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.web import session_csv, session_queries
from services.web.database import Database
from services.web.gate import Gate, Identity
from services.web.known_devices import KnownDevices
from services.web.problems import ApiProblem, WrongParameter, bad_parameters, not_found, responses
from services.web.routes.control import Nothing, json_only
from services.web.schemas import Moment
from services.web.session_schemas import (
    MAX_MARKERS,
    ListedSession,
    Marker,
    MarkerChange,
    MarkerList,
    NewMarker,
    NewSession,
    SessionChange,
    SessionChoices,
    SessionDetail,
    SessionFilter,
    SessionPage,
    SessionQuery,
    StudySession,
    Timeline,
)
from services.web.trail import Trail

CSV_ROWS: Final = 2000
"""Read at a time: some 2 MB of memory, whatever a session's length."""
SESSIONS_AT_ONCE: Final = 100

_READ: Final = responses(401, 403, 404, 422, 503)
_CHANGE: Final = responses(400, 401, 403, 404, 409, 413, 415, 422, 503)
_CHANGE_MATCHED: Final = _CHANGE | responses(412)
_DELETE: Final = responses(401, 403, 404, 422, 503)
_MARKERS: Final = "markers of study sessions"
"""As the audit log has them, by their ids; never their text: it may be about somebody, and stays in the log."""
_NO_STORE: Final = {"Cache-Control": "no-store"}

SessionId = Annotated[UUID, Path(description="a session's id")]
MarkerId = Annotated[UUID, Path(description="a marker's id")]


def _no_session(session_id: UUID) -> ApiProblem:
    return not_found(f"There is no session {session_id}.", "GET /api/v1/sessions lists them; it may have been deleted.")


def _check_matches(if_match: str, session: StudySession) -> None:
    """RFC 9110's strong comparison; a tag may also come without its quotes."""
    tags = {tag.strip().strip('"') for tag in if_match.split(",")}
    if not tags & {"*", session.version}:
        raise ApiProblem(
            412,
            "session-changed",
            "The session was changed meanwhile",
            f"It is not the one that If-Match names: its version is {session.version}. Nothing was changed now.",
            "Read the session again, bring both changes together, and send them with its new version.",
            headers=_etag(session),
        )


def _etag(session: StudySession) -> dict[str, str]:
    return {"ETag": f'"{session.version}"'}


def _no_marker(marker_id: UUID) -> ApiProblem:
    return not_found(f"There is no marker {marker_id} in this session.", "GET …/markers lists those that there are.")


async def _found(connection: AsyncConnection, session_id: UUID) -> StudySession:
    session = await session_queries.one_session(connection, session_id)
    if session is None:
        raise _no_session(session_id)
    return session


def _check_within(session: StudySession, at: datetime) -> None:
    if at < session.started_at or (session.ended_at is not None and at > session.ended_at):
        end = "now" if session.ended_at is None else f"{session.ended_at.isoformat()}"
        raise bad_parameters(
            [
                WrongParameter(
                    parameter="at",
                    reason=f"outside the session; expected a time from {session.started_at.isoformat()} to {end}",
                )
            ]
        )


@asynccontextmanager
async def _in_order() -> AsyncIterator[None]:
    """Where the table refuses a session that ends before it starts, say so."""
    try:
        yield
    except IntegrityError as error:
        if "study_sessions_in_order" not in str(error.orig):
            raise
        reason = "a session ends after it started; check started_at and ended_at"
        raise bad_parameters([WrongParameter(parameter="ended_at", reason=reason)]) from None


def router(database: Database, known: KnownDevices, trail: Trail, gate: Gate) -> APIRouter:
    """Routes of study sessions."""
    routes = APIRouter(prefix="/api/v1/sessions", tags=["sessions"])
    view, label, research = gate.guard("view"), Depends(gate.needs("label")), Depends(gate.needs("research"))

    @routes.get(
        "", summary="Study sessions, newest first", response_model=SessionPage, dependencies=[view], responses=_READ
    )
    async def sessions(request: Request, query: Annotated[SessionQuery, Query()]) -> SessionPage:
        async with database.reading() as connection:
            page = await session_queries.session_page(connection, query)
        trail.note(request, "view", "list of study sessions")
        return page

    @routes.get(
        "/choices",
        summary="The participants and conditions of study sessions",
        dependencies=[view],
        responses=_READ,
    )
    async def choices(request: Request) -> SessionChoices:
        async with database.reading() as connection:
            found = await session_queries.choices(connection)
        trail.note(request, "view", "list of study sessions")
        return found

    @routes.post(
        "",
        summary="Start a study session",
        status_code=201,
        dependencies=[Depends(json_only)],
        responses=_CHANGE,
    )
    async def start(
        request: Request, response: Response, new: NewSession, identity: Annotated[Identity, research]
    ) -> StudySession:
        """From now, or with times of the past. Nothing is recorded by it: it names what the devices record anyway."""
        values = new.model_dump() | {"created_by": identity.name}
        values["started_at"] = new.started_at or datetime.now(UTC)
        async with database.writing() as connection:
            await known.check(connection, *new.devices, parameter="devices")
            session = await session_queries.add_session(connection, values)
        trail.note(request, "start", "study sessions", item=str(session.id))
        response.headers.update(_etag(session))
        return session

    @routes.get(
        "/faces.csv",
        summary="The faces of several study sessions as one CSV, one row a face and moment",
        response_class=Response,
        dependencies=[view],
        responses={200: {"content": {"text/csv": {}}}, **_READ},
    )
    async def study_csv(request: Request, chosen: Annotated[SessionFilter, Query()]) -> Response:
        """Of all sessions that fit, the one that started last first, each in order of time; the session's columns stand
        first. For pandas: `pandas.read_csv(file, parse_dates=["captured_at", "session_started_at"])`. What two sessions
        share stands there for each. A download that broke off is cut off visibly."""
        return await _streamed(
            request, session_csv.STUDY_COLUMNS, _faces_of_all(database, chosen), "study-sessions-faces.csv"
        )

    async def _streamed(
        request: Request, columns: tuple[str, ...], parts: AsyncIterator[bytes], name: str, item: str | None = None
    ) -> Response:
        first = await anext(parts, b"")  # what goes wrong at once is answered as a problem
        trail.note(request, "export", "faces of study sessions", item=item)

        async def all_parts() -> AsyncIterator[bytes]:
            yield session_csv.lines([columns]) + first
            async for part in parts:
                yield part

        return StreamingResponse(all_parts(), media_type="text/csv", headers=_download(name))

    @routes.get("/{session_id}", summary="One study session", dependencies=[view], responses=_READ)
    async def session(request: Request, response: Response, session_id: SessionId) -> SessionDetail:
        """Its `version` is its ETag too, for the If-Match of a change."""
        async with database.reading() as connection:
            found = await _found(connection, session_id)
            overlaps = await session_queries.overlaps(connection, found)
        trail.note(request, "view", "study sessions", item=str(session_id))
        response.headers.update(_etag(found))
        return SessionDetail(**dict(found), overlaps=overlaps)

    @routes.patch(
        "/{session_id}",
        summary="Change a study session",
        dependencies=[Depends(json_only), Depends(gate.needs("research"))],
        responses=_CHANGE_MATCHED,
    )
    async def change(
        request: Request,
        response: Response,
        session_id: SessionId,
        wanted: SessionChange,
        if_match: Annotated[
            str | None,
            Header(
                description="the session's ETag as it was read; changed meanwhile, the answer is 412 and it stays. "
                "Without it the last writer wins",
                examples=['"5f0e3a60c1b94d27a8e60b5d1f2c7e93"'],
            ),
        ] = None,
    ) -> StudySession:
        """What is left out stays. Markers stay where they are, also where the session becomes shorter. With If-Match
        nothing is written over that somebody else changed meanwhile."""
        async with _in_order(), database.writing() as connection:
            if wanted.devices is not None:
                await known.check(connection, *wanted.devices, parameter="devices")
            if if_match is not None:
                before = await session_queries.one_session(connection, session_id, to_change=True)
                if before is None:
                    raise _no_session(session_id)
                _check_matches(if_match, before)
            changed = await session_queries.change_session(connection, session_id, wanted.values())
        if changed is None:
            raise _no_session(session_id)
        trail.note(request, "change", "study sessions", item=str(session_id))
        response.headers.update(_etag(changed))
        return changed

    @routes.post(
        "/{session_id}/stop",
        summary="End a study session now",
        dependencies=[Depends(json_only), Depends(gate.needs("research"))],
        responses=_CHANGE,
    )
    async def stop(request: Request, response: Response, session_id: SessionId, _: Nothing) -> StudySession:
        """By this machine's clock. One that has ended stays as it is. The cameras go on."""
        async with database.writing() as connection:
            stopped = await session_queries.stop_session(connection, session_id, datetime.now(UTC))
        if stopped is None:
            raise _no_session(session_id)
        trail.note(request, "stop", "study sessions", item=str(session_id))
        response.headers.update(_etag(stopped))
        return stopped

    @routes.delete(
        "/{session_id}",
        summary="Delete the record of a study session",
        status_code=204,
        dependencies=[Depends(gate.needs("research"))],
        responses=_DELETE,
    )
    async def remove(request: Request, session_id: SessionId) -> Response:
        """With its markers and notes. What the devices recorded stays; `emotion-edge erase` removes that."""
        async with database.writing() as connection:
            done = await session_queries.delete_session(connection, session_id)
        if not done:
            raise _no_session(session_id)
        trail.note(request, "delete", "study sessions", item=str(session_id))
        return Response(status_code=204)

    @routes.get(
        "/{session_id}/timeline",
        summary="How each person looked over a study session",
        response_model_by_alias=True,
        dependencies=[view],
        responses=_READ,
    )
    async def timeline(
        request: Request,
        session_id: SessionId,
        from_: Annotated[
            Moment | None, Query(alias="from", description="where to begin; the session's start where left out")
        ] = None,
    ) -> Timeline:
        """In at most 600 stretches a person, over at most 24 hours."""
        async with database.reading() as connection:
            found = await _found(connection, session_id)
            answer = await session_queries.timeline(connection, found, from_, datetime.now(UTC))
        trail.note(request, "view", "timelines of study sessions", item=str(session_id))
        return answer

    @routes.get("/{session_id}/markers", summary="A study session's markers", dependencies=[view], responses=_READ)
    async def markers(session_id: SessionId) -> MarkerList:
        async with database.reading() as connection:
            await _found(connection, session_id)
            return MarkerList(items=await session_queries.markers(connection, session_id))

    @routes.post(
        "/{session_id}/markers",
        summary="Mark a moment of a study session",
        status_code=201,
        dependencies=[Depends(json_only)],
        responses=_CHANGE,
    )
    async def mark(
        request: Request, session_id: SessionId, new: NewMarker, identity: Annotated[Identity, label]
    ) -> Marker:
        at = new.at or datetime.now(UTC)
        async with database.writing() as connection:
            # Before its markers are counted, so that those of others who mark it in this moment are counted too.
            if not await session_queries.hold_session(connection, session_id):
                raise _no_session(session_id)
            found = await _found(connection, session_id)
            _check_within(found, at)
            if found.markers >= MAX_MARKERS:
                raise ApiProblem(
                    409,
                    "too-many-markers",
                    "Too many markers",
                    f"The session has {found.markers} markers; at most {MAX_MARKERS} are kept.",
                    "Delete those that are not needed, or begin another session.",
                )
            values = {"session_id": session_id, "at": at, "text": new.text, "created_by": identity.name}
            marker = await session_queries.add_marker(connection, values)
        trail.note(request, "add", _MARKERS, item=f"{session_id}/{marker.id}")
        return marker

    @routes.patch(
        "/{session_id}/markers/{marker_id}",
        summary="Change a marker",
        dependencies=[Depends(json_only), Depends(gate.needs("label"))],
        responses=_CHANGE,
    )
    async def change_marker(
        request: Request, session_id: SessionId, marker_id: MarkerId, wanted: MarkerChange
    ) -> Marker:
        async with database.writing() as connection:
            found = await _found(connection, session_id)
            if wanted.at is not None:
                _check_within(found, wanted.at)
            values = wanted.model_dump(exclude_none=True)
            changed = await session_queries.change_marker(connection, session_id, marker_id, values)
        if changed is None:
            raise _no_marker(marker_id)
        trail.note(request, "change", _MARKERS, item=f"{session_id}/{marker_id}")
        return changed

    @routes.delete(
        "/{session_id}/markers/{marker_id}",
        summary="Delete a marker",
        status_code=204,
        dependencies=[Depends(gate.needs("label"))],
        responses=_DELETE,
    )
    async def remove_marker(request: Request, session_id: SessionId, marker_id: MarkerId) -> Response:
        async with database.writing() as connection:
            if not await session_queries.delete_marker(connection, session_id, marker_id):
                raise _no_marker(marker_id)
        trail.note(request, "delete", _MARKERS, item=f"{session_id}/{marker_id}")
        return Response(status_code=204)

    csv_answer = {200: {"content": {"text/csv": {}}}, **_READ}

    @routes.get(
        "/{session_id}/markers.csv",
        summary="A study session's markers as CSV",
        response_class=Response,
        dependencies=[view],
        responses=csv_answer,
    )
    async def markers_csv(request: Request, session_id: SessionId) -> Response:
        async with database.reading() as connection:
            found = await _found(connection, session_id)
            items = await session_queries.markers(connection, session_id)
        trail.note(request, "export", _MARKERS, item=str(session_id))
        rows = [session_csv.MARKER_COLUMNS, *(session_csv.marker_row(found, marker) for marker in items)]
        return Response(
            session_csv.lines(rows), media_type="text/csv", headers=_download(session_csv.file_name(found, "markers"))
        )

    @routes.get(
        "/{session_id}/faces.csv",
        summary="A study session's faces as CSV, one row a face and moment",
        response_class=Response,
        dependencies=[view],
        responses=csv_answer,
    )
    async def faces_csv(request: Request, session_id: SessionId) -> Response:
        """For pandas: `pandas.read_csv(file, parse_dates=["captured_at"])`. In order of time, of any length; a download
        that broke off is cut off visibly, never ended as if it were whole."""
        async with database.reading() as connection:
            found = await _found(connection, session_id)
        parts = _faces(database, found, session_csv.face_row)
        return await _streamed(
            request, session_csv.FACE_COLUMNS, parts, session_csv.file_name(found, "faces"), str(session_id)
        )

    return routes


def _download(name: str) -> dict[str, str]:
    return {**_NO_STORE, "Content-Disposition": f'attachment; filename="{name}"'}


async def _faces(
    database: Database, session: ListedSession, to_row: Callable[[ListedSession, Any], list[object]]
) -> AsyncIterator[bytes]:
    """Its rows in parts. Each is a query of its own that goes on where the last one ended: a cursor held open while a
    slow reader reads would keep a connection from all others, and a partition from retention."""
    end = session.ended_at or datetime.now(UTC)
    after: session_queries.Place | None = None
    while True:
        async with database.reading() as connection:
            rows = await session_queries.faces_after(connection, session, after, end, CSV_ROWS)
        yield session_csv.lines(to_row(session, row) for row in rows)
        if len(rows) < CSV_ROWS:
            return
        after = session_queries.Place(rows[-1].captured_at, rows[-1].event_id, rows[-1].face_index)


async def _faces_of_all(database: Database, chosen: SessionFilter) -> AsyncIterator[bytes]:
    """The rows of all sessions that fit."""
    cursor: str | None = None
    while True:
        query = SessionQuery(**chosen.model_dump(by_alias=True), cursor=cursor, limit=SESSIONS_AT_ONCE)
        async with database.reading() as connection:
            page = await session_queries.session_page(connection, query)
        for session in page.items:
            async for part in _faces(database, session, session_csv.study_row):
                yield part
        if (cursor := page.next_cursor) is None:
            return
