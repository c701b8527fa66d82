"""When what this service remembers of faces goes out of its memory: after its time, and when it is erased."""

import asyncio
from contextlib import suppress
from typing import Final

from services.web import audit_queries
from services.web.database import Database, DatabaseUnavailable
from services.web.hub import Hub

LOOK_EVERY_S: Final = 2.0
_DROP_EVERY_S: Final = 10.0


async def forget_old(hub: Hub) -> None:
    """Let go of readings after their time, also of devices that are silent, until cancelled."""
    while True:
        await asyncio.sleep(_DROP_EVERY_S)
        hub.drop_old_readings()


async def forget_erased(database: Database, hub: Hub) -> None:
    """Look for new erasures until cancelled, wherever they were asked for: on a page, or on the command line.

    So readiness tells the truth, too, while nobody else asks the database. One item and a study session name no
    device, so every device's last minutes go with them.
    """
    seen: int | None = None
    while True:
        with suppress(DatabaseUnavailable):  # told by `reading`, once for each new reason
            async with database.reading() as connection:
                found = await audit_queries.erasures_after(connection, seen)
            # At first it is not known what was erased while the database could not be asked.
            for device in [device for _, device in found] if seen is not None else [None]:
                hub.erase_readings(device)
            seen = max((number for number, _ in found), default=seen or 0)
        await asyncio.sleep(LOOK_EVERY_S)
