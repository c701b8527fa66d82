"""Retention, now and then, beside the storing.

It runs here because ingest is always there where data grow, and it is ingest's partitions that come and go; a lock in
the database keeps replicas from doing it at once. It has a task and a connection of its own, so storing never waits.
"""

import asyncio
import time
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from shared import logs
from shared.db.faults import describe
from shared.db.retention import RetentionSettings, run_pass
from shared.metrics import Metrics

_AGAIN_S: Final = 60.0
"""After a pass that failed or had to leave something."""

log = logs.get(__name__)


class Upkeep:
    """Runs retention until cancelled."""

    def __init__(self, engine: AsyncEngine, settings: RetentionSettings, every_s: float, metrics: Metrics) -> None:
        self._engine = engine
        self._settings = settings
        self._every_s = every_s
        self._passes = metrics.counter("retention_passes", "Looks for what has expired, by outcome.", ["outcome"])
        self._partitions = metrics.counter("partitions_dropped", "Expired partitions dropped.")
        self._rows = metrics.counter("expired_rows", "Expired rows deleted one by one, by table.", ["table"])
        self._last = metrics.gauge("retention_last_success_seconds", "When retention last succeeded, Unix time.")
        for outcome in ("done", "elsewhere", "postponed", "failed"):
            self._passes.labels(outcome)

    async def run(self) -> None:
        """Look at once, and then again and again."""
        while True:
            outcome = await self._one_pass()
            self._passes.labels(outcome).inc()
            await asyncio.sleep(self._every_s if outcome in ("done", "elsewhere") else min(_AGAIN_S, self._every_s))

    async def _one_pass(self) -> str:
        try:
            done = await run_pass(self._engine, self._settings)
        except Exception as error:
            # Whatever it is, storing goes on; readiness tells of a database that is away.
            log.warning("retention failed; it is tried again", error=describe(error))
            return "failed"
        if done is None:
            return "elsewhere"
        self._partitions.inc(len(done.dropped))
        for table, rows in done.rows_deleted.items():
            self._rows.labels(table).inc(rows)
        self._last.set(time.time())
        return "postponed" if done.postponed else "done"
