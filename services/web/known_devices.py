"""Which devices there are, so that a mistyped name is told from a device that saw nobody."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.web.hub import Hub
from services.web.problems import WrongParameter, bad_parameters
from shared.db.tables import devices


class KnownDevices:
    """Those that the broker tells of now, and those that ever stored something, also where all of it was erased."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def check(self, connection: AsyncConnection, *names: str | None, parameter: str = "device") -> None:
        """Look whether there is a device of each name; None names no device. The database is asked only of those that
        the broker does not tell of.

        Raises:
            ApiProblem: 422 for `parameter`, naming those that nobody knows.
        """
        unknown = {name for name in names if name is not None} - self._hub.devices
        if unknown:
            unknown -= set(await connection.scalars(select(devices.c.device).where(devices.c.device.in_(unknown))))
        if unknown:
            reason = f"no device {', '.join(sorted(unknown))} is known; the list of devices has those that are"
            raise bad_parameters([WrongParameter(parameter=parameter, reason=reason)])
