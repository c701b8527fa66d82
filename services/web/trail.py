"""What viewers saw and did, on its way to the audit log.

Requests only note it here, in memory; a task writes it every few seconds. The same viewer looking at the same kind of
thing makes one line with how often and at which items, not a line for each picture of a page.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from starlette.requests import Request

from services.web.gate import who as of
from shared import logs
from shared.db.audit import Entry
from shared.messages import rfc3339
from shared.metrics import Metrics

WRITE_EVERY_S: Final = 10.0
_LAST_WRITE_S: Final = 3.0
_MAX_LINES: Final = 2000
"""Lines that may wait for a database that is away."""
_ITEMS_A_LINE: Final = 200
_MAX_REQUEST_ID: Final = 64

log = logs.get(__name__)

Save = Callable[[Sequence[Entry]], Awaitable[None]]


def request_id(request: Request) -> str | None:
    """The id that a proxy or the client gave the request, if it can be printed."""
    given = request.headers.get("x-request-id", "")
    return given if given.isascii() and given.isprintable() and 0 < len(given) <= _MAX_REQUEST_ID else None


@dataclass(slots=True)
class _Line:
    who: str
    action: str
    object: str
    detail: dict[str, Any]
    request_id: str | None
    first: datetime
    last: datetime
    times: int = 0
    items: dict[str, None] = field(default_factory=dict)

    def entry(self) -> Entry:
        detail = {**self.detail, "first": rfc3339(self.first), "last": rfc3339(self.last), "times": self.times}
        if self.items:
            detail["items"] = list(self.items)
        return Entry(self.who, self.action, self.object, detail, self.request_id)


class Trail:
    """Gathers lines and writes them. Nothing of it waits for the database but `run` and `write_last`."""

    def __init__(self, save: Save, metrics: Metrics) -> None:
        self._save = save
        self._open: dict[tuple[str, str, str, str], _Line] = {}
        self._closed: list[_Line] = []
        self._refused = 0
        self._written = metrics.counter("audit_written", "Lines written to the audit log.")
        self._dropped = metrics.counter("audit_dropped", "Views and deeds that the audit log lacks.")

    def note(
        self,
        request: Request,
        action: str,
        what: str,
        *,
        item: str | None = None,
        detail: dict[str, Any] | None = None,
    ) -> None:
        """Somebody saw or did something; never waits.

        Args:
            request: whose it is.
            action: view, watch, pause; docs/privacy.md has them all.
            what: the thing, or the kind of things.
            item: which of them.
            detail: what else matters, as JSON; lines that differ in it stay apart.
        """
        detail = detail or {}
        who = of(request)
        key = (who, action, what, json.dumps(detail, sort_keys=True))
        now = datetime.now(UTC)
        line = self._open.get(key)
        if line is None:
            if len(self._open) + len(self._closed) >= _MAX_LINES:
                self._drop()
                return
            line = self._open[key] = _Line(who, action, what, detail, request_id(request), now, now)
        line.times += 1
        line.last = now
        if item is not None:
            line.items[item] = None
            if len(line.items) >= _ITEMS_A_LINE:
                self._closed.append(self._open.pop(key))

    async def run(self) -> None:
        """Write every few seconds until cancelled."""
        while True:
            await asyncio.sleep(WRITE_EVERY_S)
            await self._write()

    async def write_last(self) -> None:
        """Write what is left; to be called when nobody asks any more."""
        try:
            async with asyncio.timeout(_LAST_WRITE_S):
                await self._write()
        except TimeoutError:
            log.warning("the database did not take the last lines in time")
        left = [*self._closed, *self._open.values()]
        if left:
            self._dropped.inc(sum(line.times for line in left))
            # Not lost as long as somebody keeps the log.
            for line in left:
                log.error("not in the audit log", **_for_log(line.entry()))

    async def _write(self) -> None:
        lines = self._closed + list(self._open.values())
        if not lines:
            return
        self._closed, self._open = [], {}
        try:
            await self._save([line.entry() for line in lines])
        except BaseException as error:
            self._closed = lines + self._closed
            if not isinstance(error, Exception):
                raise
            log.warning("the audit log cannot be written; kept and tried again", lines=len(lines), error=repr(error))
        else:
            self._written.inc(len(lines))
            self._refused = 0

    def _drop(self) -> None:
        self._dropped.inc()
        self._refused += 1
        if self._refused == 1:
            log.error("the audit log cannot be written for so long that it now lacks entries", kept=_MAX_LINES)


async def to_log(entries: Sequence[Entry]) -> None:
    """Where there is no database, on an edge device: into the service's own log."""
    for entry in entries:
        log.info("audit", **_for_log(entry))


def _for_log(entry: Entry) -> dict[str, Any]:
    return {"who": entry.who, "action": entry.action, "object": entry.object, **entry.detail}
