"""The live stream (server-sent events) and the preview pictures."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.sse import EventSourceResponse, format_sse_event
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Receive, Scope, Send

from services.web.gate import Gate, Identity
from services.web.hub import Hub
from services.web.places import NoPlace, Places
from services.web.problems import ApiProblem, not_found, responses
from services.web.trail import Trail
from shared.messages import DeviceName, rfc3339

HEARTBEAT_S: Final = 5.0
LOOK_AGAIN_S: Final = 2.0
"""How often an open stream asks whether its reader is still let in. Mostly answered from memory."""

_DESCRIPTION: Final = """Server-sent events, as they happen:

- `heartbeat` `{at, lost}`: every 5 s, with this machine's time and how many events this reader lost by being slow
- `broker` `{connected, since}`: whether this service reaches its broker
- `status`: a device's service told how it is (the Status message; `received_at`, null where the broker had kept it from
  before this service connected; and `clock_skew_s`: seconds that the device's clock is ahead of this machine's, less
  than 0 behind, null where not known yet)
- `recent` `{device, readings}`: the last three minutes of the device that is `large`, before all else of it. A reading
  is `[at, faces]`: when it came, in seconds since 1970 by this machine's clock, and of each face `[track_id, angry,
  disgust, fear, happy, sad, surprise, neutral]`. At most five readings a second, one where no face was seen. It takes
  the place of all that the reader had of that device; it comes again, empty, when something of it is erased. Nothing
  from before a pause or a start of this service is in it
- `live`: the scene after one frame (the Live message, `received_at`, and `words` for each face)
- `preview` `{device, n, frame_number, drawn, received_at}`: a new picture is at
  `/api/v1/devices/{device}/preview.jpg?n=…`; `drawn`: whether boxes and words are in it
- `detection`: a detection on its way to the database (the Detection message, `received_at`, and `words`)
- `stored` `{device, ids}`: these detections or frames are in the database

The latest state of every device comes first. While a stream with `previews` is open, devices send previews. A stream
ends with the login or key that opened it, and when its person is disabled or gets another role or password; ask again.
"""


class LiveQuery(BaseModel):
    """What a viewer wants to see."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: DeviceName | None = Field(default=None, description="only this device", examples=["camera-1"])
    previews: bool = Field(default=True, description="false for a page that nobody looks at now")
    wall: bool = Field(
        default=False,
        description="for many devices at once: two live states and one picture a second of each, and pictures without "
        "boxes and words, which the reader draws from the live state",
    )
    large: DeviceName | None = Field(
        default=None,
        description="on a wall: the device of which everything is sent, its last three minutes first (not without "
        "`previews`)",
    )


class _Watched(EventSourceResponse):
    """A stream that gives its place back however it ends, also where it was never begun."""

    def __init__(self, content: AsyncIterator[bytes], on_end: Callable[[], None], **more: Any) -> None:
        super().__init__(content, **more)
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_end()


def router(hub: Hub, places: Places, trail: Trail, gate: Gate) -> APIRouter:
    """Routes of what is happening now."""
    routes = APIRouter(prefix="/api/v1", tags=["live"])
    view = Depends(gate.needs("view"))

    @routes.get(
        "/live",
        summary="What happens now, as a stream",
        description=_DESCRIPTION,
        # Not EventSourceResponse: FastAPI would expect a generator here and encode each event anew for each viewer.
        response_class=Response,
        responses={200: {"content": {"text/event-stream": {}}}, **responses(401, 403, 422, 503)},
    )
    async def live(
        request: Request, query: Annotated[LiveQuery, Query()], identity: Annotated[Identity, view]
    ) -> Response:
        person = identity.user_id
        try:
            places.take(person)
        except NoPlace as full:
            raise _no_place(full) from None
        trail.note(request, "watch", f"live data of {query.device or 'every device'}")
        return _Watched(
            _stream(hub, query, lambda: gate.still_knows(request)),
            lambda: places.give_back(person),
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    @routes.get(
        "/devices/{device}/preview.jpg",
        summary="A device's newest preview",
        dependencies=[view],
        description="Boxes and words are drawn in, save while only walls (`/api/v1/live?wall=true`) are open.",
        response_class=Response,
        responses={200: {"content": {"image/jpeg": {}}}, **responses(401, 403, 404, 422)},
    )
    async def preview(
        request: Request, device: Annotated[DeviceName, Path()], n: Annotated[int | None, Query(ge=0)] = None
    ) -> Response:
        picture = hub.picture(device)
        if picture is None:
            raise not_found(
                f"There is no preview of {device!r} now.",
                "Previews come while a live page or /api/v1/live is open; check that the device is online.",
            )
        trail.note(request, "watch", f"preview of {device}")
        headers = {"Cache-Control": "no-store", "X-Picture-Number": str(picture.number)}
        return Response(picture.jpeg, media_type="image/jpeg", headers=headers)

    return routes


def _no_place(full: NoPlace) -> ApiProblem:
    wait = {"Retry-After": "10"}
    if full.own:
        return ApiProblem(
            429,
            "too-many-streams",
            "Too many live streams of one person",
            f"{full.most} that you opened are open already, counting those of all your browsers and keys.",
            "Close pages that are not needed, or raise EMOTION_MAX_VIEWERS_EACH.",
            headers=wait,
        )
    return ApiProblem(
        503,
        "too-many-viewers",
        "Too many viewers",
        f"{full.most} live streams are open already.",
        "Close pages that are not needed, or raise EMOTION_MAX_VIEWERS.",
        headers=wait,
    )


async def _stream(hub: Hub, query: LiveQuery, still_let_in: Callable[[], Awaitable[bool]]) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    with hub.subscribe(query.device, previews=query.previews, wall=query.wall, large=query.large) as subscription:
        # On its own, since a database that is away answers late, and live data does not need it.
        let_out = asyncio.create_task(_until_let_out(still_let_in), name="web live: still let in")
        let_out.add_done_callback(lambda _: subscription.put(None))
        try:
            beat_at = loop.time()
            while True:
                if loop.time() >= beat_at:
                    data = json.dumps({"at": rfc3339(datetime.now(UTC)), "lost": subscription.dropped})
                    yield format_sse_event(event="heartbeat", data_str=data)
                    beat_at = loop.time() + HEARTBEAT_S
                try:
                    async with asyncio.timeout_at(beat_at):
                        event = await subscription.next()
                except TimeoutError:
                    continue
                if let_out.done():  # before what still waits for a slow reader
                    let_out.result()
                    return
                if event is None:
                    return
                yield format_sse_event(event=event.kind, data_str=event.data)
        finally:
            let_out.cancel()


async def _until_let_out(still_let_in: Callable[[], Awaitable[bool]]) -> None:
    while True:
        await asyncio.sleep(LOOK_AGAIN_S)
        if not await still_let_in():
            return
