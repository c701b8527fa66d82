"""A browser as a camera: its pictures go to the capture service of a device that is set to take them."""

import json
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Path, Request, Response

from services.web.camera_holds import HOLD_S, CameraHolds
from services.web.gate import Gate, who
from services.web.hub import Hub
from services.web.problems import ApiProblem, not_found, responses
from services.web.rate import CredentialOf, address_of
from services.web.routes.control import broker_unavailable
from services.web.trail import Trail
from shared.errors import BadPicture
from shared.jpeg import check_picture
from shared.messages import DeviceName, Status
from shared.mqtt import NotConnected

SendPicture = Callable[[str, bytes], Awaitable[None]]
"""Passes a JPEG on to a device's capture. Raises NotConnected."""
MAX_PICTURE_BYTES: Final = 1024 * 1024
MAX_PIXELS: Final = 1920 * 1080
MOST_PER_S: Final = 30
SOURCE: Final = "browser"
_JPEG_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": f"one JPEG, at most {MAX_PICTURE_BYTES} bytes and {MAX_PIXELS} pixels",
        "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def router(
    hub: Hub,
    send: SendPicture,
    trail: Trail,
    gate: Gate,
    credential_of: CredentialOf,
    clock: Callable[[], float] = time.monotonic,
) -> APIRouter:
    """The route that takes pictures."""
    routes = APIRouter(prefix="/api/v1", tags=["devices"], dependencies=[gate.guard("research")])
    last: dict[str, float] = {}
    holds = CameraHolds(clock)

    @routes.post(
        "/devices/{device}/camera-frames",
        summary="A picture of a browser's camera, for a device whose source is `browser`",
        status_code=204,
        response_class=Response,
        responses=responses(401, 403, 404, 409, 413, 415, 422, 429, 503),
        openapi_extra=_JPEG_BODY,
        max_body_size=MAX_PICTURE_BYTES,
    )
    async def take(
        request: Request,
        device: Annotated[DeviceName, Path()],
        x_camera: Annotated[
            str | None,
            Header(
                pattern=r"^[A-Za-z0-9_-]{1,64}$",
                description="tells the cameras of one login, key or address apart, as a random text made once for each",
                examples=["b5f1c0a2e7d94c36"],
            ),
        ] = None,
    ) -> Response:
        """It is read as any camera's is and then let go of; at most 30 a second are taken of one device, none while it
        is paused, and from one camera at a time: 409 `in-use` until the one that sends has sent nothing for 5 seconds.
        """
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "image/jpeg":
            raise ApiProblem(
                415,
                "not-jpeg",
                "The request does not fit",
                "Expected the header Content-Type: image/jpeg.",
                "Send one JPEG as the body.",
            )
        if device not in hub.devices:
            raise not_found(
                f"No device {device!r} is known to the broker.", "Check the name; GET /api/v1/devices lists them."
            )
        capture = _capture(hub, device)
        source = None if capture is None else capture.values.get("source")
        if capture is None or source != SOURCE:
            raise ApiProblem(
                409,
                "has-its-own-source",
                "This device takes no pictures from a browser",
                f"The source of {device!r} is {source or 'not known'!r}.",
                "Start its capture with EMOTION_SOURCE=browser, or the demo with --source browser.",
            )
        if capture.state == "paused":
            raise ApiProblem(
                409,
                "paused",
                "This device is paused",
                f"{device} was paused by somebody at the {capture.values.get('paused_by')}.",
                "Start again once it is resumed where it was paused.",
            )
        holder = f"{credential_of(request) or address_of(request.scope)} {x_camera or ''}"
        hold = holds.take(device, holder, who(request))
        if hold.holder != holder:
            raise ApiProblem(
                409,
                "in-use",
                "Another camera sends its pictures to this device",
                f"{device} has those of another browser or program now, from {hold.name}; the faces of both would "
                "become one recording.",
                f"Stop the other camera and start this one {HOLD_S:g} seconds later, or choose another device.",
            )
        now = clock()
        if now - last.get(device, float("-inf")) < 1 / MOST_PER_S:
            raise ApiProblem(
                429,
                "too-many-pictures",
                "Too many pictures",
                f"At most {MOST_PER_S} a second are taken of one device.",
                "Send the next one after the answer to the one before.",
                headers={"Retry-After": "1"},
            )
        last[device] = now
        jpeg = await request.body()
        try:
            check_picture(jpeg, max_bytes=MAX_PICTURE_BYTES, max_pixels=MAX_PIXELS)
        except BadPicture as error:
            raise ApiProblem(
                422, "bad-picture", "The picture cannot be used", str(error), "Send a whole JPEG of at most 1920x1080."
            ) from None
        try:
            await send(device, jpeg)
        except NotConnected as error:
            raise broker_unavailable(error) from None
        trail.note(request, "share camera", f"device {device}")
        return Response(status_code=204)

    return routes


def _capture(hub: Hub, device: str) -> Status | None:
    """What the device's capture said of itself last."""
    event = hub.latest(device).get("status/capture")
    return None if event is None else Status.model_validate(json.loads(event.data))
