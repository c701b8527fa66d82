"""Ingest: what devices send goes to Postgres, and what is stored is told to the device that sent it.

A message is confirmed only after the transaction that holds it has been committed, so nothing is asked of the broker:
what it loses, or what this program loses when it is killed, the device sends again.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Final

from services.ingest.acks import Acks
from services.ingest.lane import Lane, LaneMetrics
from services.ingest.settings import IngestSettings
from services.ingest.store import Store
from services.ingest.upkeep import Upkeep
from shared import logs
from shared.db.engine import create_engine
from shared.db.faults import describe
from shared.health import serve_health
from shared.metrics import Metrics
from shared.mqtt import MqttLink
from shared.mqtt_metrics import measure_links

_DRAIN_S: Final = 3.5
"""To store and confirm what is queued when told to stop."""
_CHECK_EVERY_S: Final = 5.0

log = logs.get(__name__)


class _Database:
    """How the database was when it was last asked."""

    def __init__(self) -> None:
        self.error: str | None = "not asked yet"

    def tell(self, error: str | None) -> None:
        self.error = error


async def run(settings: IngestSettings) -> None:
    """Store what comes until cancelled; then store and confirm what is queued, and return within seconds.

    Raises:
        SettingsError: if an address, a file or a port cannot be used. A broker or database that is away is waited for.
    """
    metrics = Metrics("ingest")
    topics = settings.mqtt.topics
    database = _Database()
    async with AsyncExitStack() as stack:
        application = " ".join(filter(None, ("emotion-edge ingest", settings.instance)))
        engine = create_engine(settings.database, application=application)
        stack.push_async_callback(engine.dispose)
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ingest")
        stack.callback(executor.shutdown, wait=False, cancel_futures=True)
        store = Store(engine, dead_letter_bytes=settings.dead_letter_kb * 1024)
        link = MqttLink(settings.mqtt)
        measure_links(metrics, {"cloud": link})
        acks = Acks(link, topics, metrics)
        measured = LaneMetrics.made_in(metrics)
        lanes = {
            kind: Lane(kind, settings.batch, topics, store, acks, measured, executor, database.tell)
            for kind in ("detection", "frame")
        }
        upkeep = Upkeep(engine, settings.retention, settings.retention_every_s, metrics)
        group = f"$share/{settings.shared_group}/" if settings.shared_group else ""
        link.subscribe(group + topics.detections("+"), lanes["detection"].receive, qos=1)
        link.subscribe(group + topics.frames("+", "+"), lanes["frame"].receive, qos=1)

        def readiness() -> dict[str, str]:
            missing: dict[str, str] = {}
            if not link.connected.is_set():
                missing["broker"] = f"{link.address}: {link.last_error}"
            if database.error is not None:
                missing["database"] = database.error
            return missing

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(serve_health(settings.health, metrics, readiness), name="health")
            tasks.create_task(_watch(store, database), name="database watch")
            tasks.create_task(upkeep.run(), name="retention")
            tasks.create_task(link.run(), name="broker link")
            tasks.create_task(acks.run(), name="acks")
            storing = [tasks.create_task(lane.run(), name=f"{kind} lane") for kind, lane in lanes.items()]
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                for lane in lanes.values():
                    lane.stop()
                await _drain(storing, acks)  # the link still runs: the group's tasks are cancelled after this
                raise


async def _drain(storing: list[asyncio.Task[None]], acks: Acks) -> None:
    try:
        async with asyncio.timeout(_DRAIN_S):
            await asyncio.wait(storing)
            await acks.flushed()
    except TimeoutError:
        log.warning("stopped before all that was queued was stored and confirmed; the devices send it again")


async def _watch(store: Store, database: _Database) -> None:
    """Ask the database now and then, so that readiness is right also when nothing comes."""
    while True:
        try:
            await store.check()
        except Exception as error:
            told = describe(error)
            if database.error != told:
                log.warning("the database cannot be used", error=told)
            database.tell(told)
        else:
            if database.error is not None:
                log.info("the database can be used")
            database.tell(None)
        await asyncio.sleep(_CHECK_EVERY_S)
