"""The one-shot that brings the database to this version's tables."""

from pydantic import Field

from shared.db.migrate import upgrade
from shared.settings import DatabaseSettings, ServiceSettings


class MigrateSettings(ServiceSettings):
    """Settings of `emotion-edge migrate`."""

    database: DatabaseSettings = Field(default_factory=DatabaseSettings, description="how to reach Postgres")


async def run(settings: MigrateSettings) -> None:
    """Migrate, then end."""
    await upgrade(settings.database)
