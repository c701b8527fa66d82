"""What tests of several services stand on."""

from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

import services.web.trail
from shared.settings import DatabaseSettings, MqttSettings
from tests.support.patience import STOPS_WITHIN_S, WAIT_S
from tests.support.web import records, running_web, web_settings


@pytest.fixture(autouse=True)
def patient_trail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A web service that stops writes its last lines to the audit log, however slow this machine is."""
    monkeypatch.setattr(services.web.trail, "_LAST_WRITE_S", STOPS_WITHIN_S / 2)


@pytest.fixture
def quiet_trail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing goes to the audit log before the web service stops, so that alike deeds are one line."""
    monkeypatch.setattr(services.web.trail, "WRITE_EVERY_S", 3600.0)


@pytest.fixture
async def engine(database_settings: DatabaseSettings) -> AsyncIterator[AsyncEngine]:
    """A database with its tables. A module whose rows need partitions has an `engine` of its own."""
    async with records(database_settings) as engine:
        yield engine


@pytest.fixture
async def api(
    mqtt_settings: MqttSettings, database_settings: DatabaseSettings, engine: AsyncEngine
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a running web service over that database."""
    async with (
        running_web(web_settings(mqtt_settings, database_settings)) as base,
        httpx.AsyncClient(base_url=base, timeout=WAIT_S) as client,
    ):
        yield client
