"""What a person may tell a device."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, ConfigDict

from services.web.gate import Gate
from services.web.hub import Hub
from services.web.problems import ApiProblem, not_found, responses
from services.web.trail import Trail
from shared.messages import DeviceName
from shared.mqtt import NotConnected

SetPaused = Callable[[str, bool], Awaitable[None]]
"""Publishes a device's wish to be paused or not. Raises NotConnected."""
_ERRORS: Final = responses(400, 401, 403, 404, 413, 415, 422, 503)


class Nothing(BaseModel):
    """An empty JSON object: there is nothing more to say."""

    model_config = ConfigDict(extra="forbid")


class PauseWish(BaseModel):
    """What the device was told. Its status tells when it has done so, and who else wants it paused."""

    device: str
    paused: Literal[True]


class ResumeWish(BaseModel):
    """What the device was told. Its status tells whether it runs again, or who else wants it paused."""

    device: str
    paused: Literal[False]


async def json_only(request: Request) -> None:
    """Refuse another media type: a form of another site's page sends only those that need no asking before."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise ApiProblem(
            415,
            "not-json",
            "The request does not fit",
            "Expected the header Content-Type: application/json.",
            "Send an empty JSON object: {}.",
        )


def broker_unavailable(error: NotConnected) -> ApiProblem:
    """503 for what the broker has to be told and cannot be."""
    return ApiProblem(
        503,
        "broker-unavailable",
        "The message broker does not answer",
        str(error),
        "Try again in some seconds. Who is at the camera can pause it there: emotion-edge pause.",
        headers={"Retry-After": "2"},
    )


def router(hub: Hub, set_paused: SetPaused, trail: Trail, gate: Gate) -> APIRouter:
    """Routes that change what a device does."""
    routes = APIRouter(
        prefix="/api/v1/devices/{device}", tags=["devices"], dependencies=[Depends(json_only), gate.guard("research")]
    )

    async def wish(request: Request, device: str, paused: bool) -> None:
        if device not in hub.devices:
            raise not_found(
                f"No device {device!r} is known to the broker.", "Check the name; GET /api/v1/devices lists them."
            )
        try:
            await set_paused(device, paused)
        except NotConnected as error:
            raise broker_unavailable(error) from None
        trail.note(request, "pause" if paused else "resume", f"device {device}")

    @routes.post("/pause", summary="Stop a device's camera", status_code=202, responses=_ERRORS)
    async def pause(request: Request, device: Annotated[DeviceName, Path()], _: Nothing) -> PauseWish:
        """Stops it and lets go of it, until it is resumed here. It holds over every restart of the device."""
        await wish(request, device, True)
        return PauseWish(device=device, paused=True)

    @routes.post("/resume", summary="Let a device's camera run again", status_code=202, responses=_ERRORS)
    async def resume(request: Request, device: Annotated[DeviceName, Path()], _: Nothing) -> ResumeWish:
        """Lifts the pause that was set here. One that was set at the device can be lifted only there."""
        await wish(request, device, False)
        return ResumeWish(device=device, paused=False)

    return routes
