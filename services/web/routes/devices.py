"""What a person wishes of devices beyond a pause, and which models there are to wish for."""

import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Request

from services.web import device_queries
from services.web.database import Database
from services.web.device_schemas import DesiredChange, DesiredState, ModelEntry, ModelList
from services.web.gate import Gate
from services.web.hub import Hub
from services.web.problems import WrongParameter, bad_parameters, not_found, responses
from services.web.routes.control import broker_unavailable, json_only
from services.web.trail import Trail
from shared.messages import MOST_TEXT, DeviceName, Status
from shared.mqtt import NotConnected

ChangeWish = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]
"""Changes what is wished of a device; returns the whole wish. Raises NotConnected."""
_ERRORS: Final = responses(400, 401, 403, 404, 413, 415, 422, 503)


def router(hub: Hub, database: Database | None, change_wish: ChangeWish, trail: Trail, gate: Gate) -> APIRouter:
    """Routes of devices' settings and of models."""
    routes = APIRouter(prefix="/api/v1", tags=["devices"])

    @routes.patch(
        "/devices/{device}/desired",
        summary="Wish something of a device: its sampling, its model, a pause",
        status_code=202,
        responses=_ERRORS,
        dependencies=[Depends(json_only), gate.guard("research")],
    )
    async def desire(request: Request, device: Annotated[DeviceName, Path()], change: DesiredChange) -> DesiredState:
        """Retained by the broker, so a device that is offline finds it when it comes back."""
        if device not in hub.devices:
            raise not_found(
                f"No device {device!r} is known to the broker.", "Check the name; GET /api/v1/devices lists them."
            )
        _check_model(device, change.model, _models(_classifier_values(hub, device)))
        changes = change.changes()
        try:
            desired = await change_wish(device, changes)
        except NotConnected as error:
            raise broker_unavailable(error) from None
        trail.note(request, "configure", f"device {device}", detail={"desired": changes})
        return DesiredState(device=device, desired=desired)

    @routes.get(
        "/models",
        summary="Models on devices and in detections",
        responses=responses(401, 403, 503),
        dependencies=[gate.guard("view")],
    )
    async def models() -> ModelList:
        """What devices report, and what is named in what is stored; a device can be told to use what is on it.

        Of what is stored: every model that read a face which stands for an episode, and those of the newest 20,000
        detections, which may have no face.
        """
        found: dict[tuple[str, str | None], ModelEntry] = {}

        def entry(name: str, version: str | None) -> ModelEntry:
            empty = ModelEntry(name=name, version=version, in_use_by=[], present_on=[], in_detections=False)
            return found.setdefault((name, version), empty)

        if database is not None:
            async with database.reading() as connection:
                for ref in await device_queries.models_in_detections(connection):
                    entry(ref.name, ref.version).in_detections = True
        present: dict[str, list[str]] = {}
        for device in sorted(hub.devices):
            values = _classifier_values(hub, device)
            name, _, version = str(values.get("model") or "").partition(" ")
            if name and version:
                entry(name, version).in_use_by.append(device)
            for each in _models(values):
                present.setdefault(each, []).append(device)
        for name, devices in present.items():
            versions = [one for one in found.values() if one.name == name] or [entry(name, None)]
            for one in versions:
                one.present_on.extend(devices)
        return ModelList(items=sorted(found.values(), key=lambda each: (each.name, each.version or "")))

    return routes


def _models(values: dict[str, Any]) -> list[str]:
    """The models that a device says it has; none where it does not tell."""
    return [name for name in str(values.get("models") or "").split(", ") if name]


def _check_model(device: str, wanted: str | None, told: list[str]) -> None:
    # A text that is at its limit may have lost names at its end.
    if wanted is None or not told or wanted in told or len(", ".join(told)) >= MOST_TEXT:
        return
    reason = f"the device {device} does not have the model {wanted}; it has {', '.join(told)}"
    raise bad_parameters([WrongParameter(parameter="model", reason=reason)])


def _classifier_values(hub: Hub, device: str) -> dict[str, Any]:
    event = hub.latest(device).get("status/classifier")
    return dict(Status.model_validate(json.loads(event.data)).values) if event is not None else {}
