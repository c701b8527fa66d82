"""The REST queries on what was stored."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Header, Path, Query, Request, Response

from services.web import queries, stats_queries
from services.web.database import Database
from services.web.face_pictures import FacePictures
from services.web.gate import Gate
from services.web.hub import Hub
from services.web.known_devices import KnownDevices
from services.web.problems import ApiProblem, WrongParameter, bad_parameters, not_found, responses
from services.web.routes.answers import asked, json_answer, no_detection
from services.web.schemas import (
    MAX_FACE_INDEX,
    DetectionPage,
    DetectionQuery,
    DeviceEntry,
    DeviceList,
    FramePage,
    FrameQuery,
    HeardStatus,
    Stats,
    StatsQuery,
    StoredDetection,
)
from services.web.trail import Trail
from shared.errors import BadPicture

_NO_PICTURE: Final = "Check the id; it may have been erased, or pictures may not be recorded on that device."
_ASK_EACH_TIME: Final = "private, no-cache"
"""A browser may keep a picture and asks before it shows it again: one that was erased is then gone there as well, and
who saw it is known."""


def router(
    database: Database | None,
    hub: Hub,
    known: KnownDevices,
    pictures: FacePictures,
    wish_of: Callable[[str], dict[str, Any] | None],
    trail: Trail,
    gate: Gate,
) -> APIRouter:
    """Routes of the records. Without a database (the edge role) they answer that records are kept elsewhere."""
    routes = APIRouter(prefix="/api/v1", tags=["records"], dependencies=[gate.guard("view")])

    def stored() -> Database:
        if database is None:
            raise ApiProblem(
                404,
                "not-kept-here",
                "Records are not kept here",
                "This web service runs in its edge role: it shows what happens now and has no database.",
                "Ask the web service of the cloud machine for the same address.",
            )
        return database

    @routes.get(
        "/detections",
        summary="Detections, newest first",
        response_model=DetectionPage,
        responses=responses(401, 403, 404, 422, 503),
    )
    async def detections(request: Request, query: Annotated[DetectionQuery, Query()]) -> Response:
        async with stored().reading() as connection:
            await known.check(connection, query.device)
            page = await queries.detection_page(connection, query)
        trail.note(request, "view", "detections", detail={"query": asked(query)})
        return json_answer(page)

    @routes.get(
        "/detections/{event_id}",
        summary="One detection",
        response_model=StoredDetection,
        responses=responses(401, 403, 404, 422, 503),
    )
    async def detection(request: Request, event_id: Annotated[UUID, Path()]) -> Response:
        async with stored().reading() as connection:
            found = await queries.one_detection(connection, event_id)
        if found is None:
            raise no_detection(event_id)
        trail.note(request, "view", "single detections", item=str(event_id))
        return json_answer(found)

    @routes.get(
        "/frames",
        summary="Kept pictures, newest first, without the pictures themselves",
        response_model=FramePage,
        responses=responses(401, 403, 404, 422, 503),
    )
    async def frames(request: Request, query: Annotated[FrameQuery, Query()]) -> Response:
        async with stored().reading() as connection:
            await known.check(connection, query.device)
            page = await queries.frame_page(connection, query)
        trail.note(request, "view", "list of pictures", detail={"query": asked(query)})
        return json_answer(page)

    @routes.get(
        "/frames/{frame_id}.jpg",
        summary="A kept picture",
        response_class=Response,
        responses={
            200: {"content": {"image/jpeg": {}}},
            304: {"description": "The reader has it already"},
            **responses(401, 403, 404, 422, 503),
        },
    )
    async def frame(
        request: Request, frame_id: Annotated[UUID, Path()], if_none_match: Annotated[str | None, Header()] = None
    ) -> Response:
        async with stored().reading() as connection:
            digest = await queries.frame_digest(connection, frame_id)
            headers = {"Cache-Control": _ASK_EACH_TIME, "ETag": f'"{digest.hex()}"' if digest else ""}
            if digest is not None and if_none_match is not None and has_etag(if_none_match, headers["ETag"]):
                trail.note(request, "view", "pictures", item=str(frame_id))
                return Response(status_code=304, headers=headers)
            jpeg = await queries.frame_jpeg(connection, frame_id) if digest is not None else None
        if jpeg is None:
            raise not_found(
                f"There is no kept picture {frame_id}.",
                _NO_PICTURE,
            )
        trail.note(request, "view", "pictures", item=str(frame_id))
        return Response(jpeg, media_type="image/jpeg", headers=headers)

    @routes.get(
        "/frames/{frame_id}/faces/{face_index}.jpg",
        summary="One face of a kept picture, with a margin",
        response_class=Response,
        responses={
            200: {"content": {"image/jpeg": {}}},
            304: {"description": "The reader has it already"},
            **responses(401, 403, 404, 422, 503),
        },
    )
    async def face(
        request: Request,
        frame_id: Annotated[UUID, Path()],
        face_index: Annotated[int, Path(ge=0, le=MAX_FACE_INDEX, description="its place in the detection's faces")],
        if_none_match: Annotated[str | None, Header()] = None,
    ) -> Response:
        """A square of at most 384 pixels a side; a small face is not enlarged."""
        async with stored().reading() as connection:
            found = await queries.face_of_frame(connection, frame_id, face_index)
            if found is None:
                raise not_found(
                    f"There is no face {face_index} in a kept picture {frame_id}.",
                    _NO_PICTURE,
                )
            key = f"{found.digest.hex()}-{'.'.join(map(str, found.box))}"
            headers = {"Cache-Control": _ASK_EACH_TIME, "ETag": f'"{key}"'}
            trail.note(request, "view", "faces of pictures", item=f"{frame_id}/{face_index}")
            if if_none_match is not None and has_etag(if_none_match, headers["ETag"]):
                return Response(status_code=304, headers=headers)
            picture = pictures.remembered(key)
            jpeg = await queries.frame_jpeg(connection, frame_id) if picture is None else None
        if picture is None:
            try:
                # Of one that was erased since the digest was read, nothing is left to cut.
                picture = await pictures.cut(key, jpeg or b"", found.box)
            except BadPicture as error:
                raise not_found(
                    f"Face {face_index} cannot be cut out of picture {frame_id}: {error}.",
                    f"The picture as it was sent is at /api/v1/frames/{frame_id}.jpg.",
                ) from None
        return Response(picture, media_type="image/jpeg", headers=headers)

    @routes.get(
        "/stats",
        summary="Counts and mean probabilities by stretches of time",
        response_model=Stats,
        responses=responses(401, 403, 404, 422, 503),
    )
    async def stats(request: Request, query: Annotated[StatsQuery, Query()]) -> Response:
        try:
            begin, end = query.resolved(datetime.now(UTC))
        except ValueError as error:
            raise bad_parameters([WrongParameter(parameter="bucket", reason=str(error))]) from None
        async with stored().reading() as connection:
            await known.check(connection, query.device)
            items = await stats_queries.stats(connection, query.device, begin, end, query.bucket)
        trail.note(request, "view", f"statistics of {query.device or 'every device'}")
        return json_answer(Stats.model_validate({"bucket": query.bucket, "from": begin, "to": end, "items": items}))

    @routes.get(
        "/devices",
        summary="All devices and how they are",
        response_model=DeviceList,
        responses=responses(401, 403, 503),
    )
    async def devices() -> Response:
        seen = {}
        if database is not None:
            async with database.reading() as connection:
                seen = await queries.device_times(connection)
        entries = []
        for name in sorted(hub.devices | seen.keys()):
            first, last = seen.get(name, (None, None))
            entries.append(
                DeviceEntry(
                    device=name, first_seen=first, last_seen=last, statuses=_statuses(hub, name), desired=wish_of(name)
                )
            )
        return json_answer(DeviceList(items=entries))

    return routes


def _statuses(hub: Hub, device: str) -> dict[str, HeardStatus]:
    found = [HeardStatus.model_validate(json.loads(e.data)) for e in hub.latest(device).values() if e.kind == "status"]
    return {status.service: status for status in found}


def has_etag(if_none_match: str, etag: str) -> bool:
    """Whether a reader's copies include this one (RFC 9110, weak comparison)."""
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return "*" in tags or etag in tags
