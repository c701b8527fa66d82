"""The one-shot that brings the database to this version's tables."""

from pydantic import Field

from shared.db.migrate import downgrade, upgrade
from shared.settings import DatabaseSettings, ServiceSettings


class MigrateSettings(ServiceSettings):
    """Settings of `emotion-edge migrate`."""

    database: DatabaseSettings = Field(default_factory=DatabaseSettings, description="how to reach Postgres")


async def run(settings: MigrateSettings, *, back_to: str | None = None) -> None:
    """Migrate to this version's tables, or back to those of an older one; then end."""
    if back_to is None:
        await upgrade(settings.database)
    else:
        await downgrade(settings.database, back_to)
