"""Which services this place is for, and their settings; imports only what every service has."""

import importlib.util
from collections.abc import Callable, Collection
from typing import Final

from shared.settings import ServiceSettings

SERVICES: Final = ("capture", "classifier", "ingest", "web", "migrate")
_OWN_PACKAGE: Final = {"classifier": "ai_edge_litert", "ingest": "alembic", "web": "fastapi"}
"""What, of the services, only this one needs. capture's OpenCV is the classifier's too."""


def installed() -> tuple[str, ...]:
    """The services whose packages are here: one in an image, all on a developer's machine."""
    return stands_for(lambda package: importlib.util.find_spec(package) is not None)


def stands_for(has: Callable[[str], bool]) -> tuple[str, ...]:
    """The services of a place where `has` tells which packages are there."""
    found = [service for service, package in _OWN_PACKAGE.items() if has(package)]
    alone = not found
    everything = len(found) == len(_OWN_PACKAGE)
    return ("capture", *found) if has("cv2") and (alone or everything) else tuple(found)


def settings_of(service: str) -> type[ServiceSettings]:
    """The settings of a service.

    Raises:
        ImportError: what they need is not installed here.
    """
    if service == "capture":
        from services.capture.settings import CaptureSettings

        return CaptureSettings
    if service == "classifier":
        from services.classifier.settings import ClassifierSettings

        return ClassifierSettings
    if service == "ingest":
        from services.ingest.settings import IngestSettings

        return IngestSettings
    if service == "web":
        from services.web.settings import WebSettings

        return WebSettings
    from services.migrate import MigrateSettings

    return MigrateSettings


def importable(services: Collection[str] = SERVICES) -> dict[str, type[ServiceSettings]]:
    """The settings of those services whose settings can be read here."""
    found = {}
    for service in services:
        try:
            found[service] = settings_of(service)
        except ImportError:  # another image's
            continue
    return found
