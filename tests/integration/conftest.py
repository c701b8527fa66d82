"""What tests of several services stand on."""

from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.settings import DatabaseSettings, MqttSettings
from tests.support.patience import WAIT_S
from tests.support.web import records, running_web, web_settings


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
