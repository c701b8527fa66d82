"""One kind of message on its way from the broker to the database: queue, validation, transaction, acknowledgement."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from services.ingest.acks import Acks
from services.ingest.batching import Batcher
from services.ingest.settings import BatchSettings
from services.ingest.store import Saved, Store
from services.ingest.validate import Accepted, Arrival, Reason, Refused, validate
from shared import logs
from shared.backoff import Backoff
from shared.db.faults import Fault, describe, fault_of
from shared.metrics import Metrics
from shared.slots import wait_at_most
from shared.topics import Topics

_MB: Final = 1024 * 1024
_TELL_DROPS_EVERY_S: Final = 10.0

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class LaneMetrics:
    """What is measured of every lane, by `kind`."""

    received: Counter
    stored: Counter
    duplicates: Counter
    erased: Counter
    rejected: Counter
    dropped: Counter
    retries: Counter
    queue_items: Gauge
    queue_bytes: Gauge
    batch_seconds: Histogram

    @staticmethod
    def made_in(metrics: Metrics) -> "LaneMetrics":
        """Register them."""
        kind = ["kind"]
        rejected = metrics.counter("rejected", "Messages kept as dead letters, by class of reason.", ["reason"])
        for reason in Reason:
            rejected.labels(reason.value)  # there from the start, at 0: the first one of its class is an increase, too
        return LaneMetrics(
            received=metrics.counter("received", "Messages that came.", kind),
            stored=metrics.counter("stored", "Messages stored for the first time.", kind),
            duplicates=metrics.counter("duplicates", "Messages that were stored already.", kind),
            erased=metrics.counter("erased", "Messages that came after they were erased; not stored.", kind),
            rejected=rejected,
            dropped=metrics.counter("dropped", "Messages dropped unconfirmed; their device sends them again.", kind),
            retries=metrics.counter("retries", "Batches that had to be tried again.", kind),
            queue_items=metrics.gauge("queue_items", "Messages that wait for the database.", kind),
            queue_bytes=metrics.gauge("queue_bytes", "Bytes that wait for the database.", kind),
            batch_seconds=metrics.seconds("batch", "Validating, storing and confirming one batch.", kind),
        )


class Lane:
    """A queue and the one task that empties it, so that messages of a kind are stored in the order they came."""

    def __init__(
        self,
        kind: str,
        settings: BatchSettings,
        topics: Topics,
        store: Store,
        acks: Acks,
        measured: LaneMetrics,
        executor: Executor,
        tell_database: Callable[[str | None], None],
    ) -> None:
        self.kind = kind
        self._topics = topics
        self._store = store
        self._acks = acks
        self._measured = measured
        self._executor = executor
        self._tell_database = tell_database
        self._batcher: Batcher[Arrival] = Batcher(
            max_items=settings.max_items,
            max_bytes=settings.max_mb * _MB,
            max_age_s=settings.max_age_ms / 1000,
            queue_items=settings.queue_items,
            queue_bytes=settings.queue_mb * _MB,
        )
        self._loop = asyncio.get_running_loop()
        self._look = asyncio.Event()
        self._stopped = asyncio.Event()
        self._dropped_since = 0
        self._told_drops_at = float("-inf")
        measured.queue_items.labels(kind).set_function(lambda: len(self._batcher))
        measured.queue_bytes.labels(kind).set_function(lambda: self._batcher.bytes)
        for counter in (
            measured.received,
            measured.stored,
            measured.duplicates,
            measured.erased,
            measured.dropped,
            measured.retries,
        ):
            counter.labels(kind)

    def receive(self, topic: str, payload: bytes) -> None:
        """Take a message from the broker; never waits. What the queue has no room for is dropped and counted."""
        now = self._loop.time()
        self._measured.received.labels(self.kind).inc()
        if self._stopped.is_set() or not self._batcher.offer(Arrival(topic, payload), len(payload), now):
            self._dropped(now)
        elif len(self._batcher) == 1 or self._batcher.due_in(now) == 0:
            self._look.set()

    def stop(self) -> None:
        """Take no more; `run` ends when what waits is stored."""
        self._stopped.set()
        self._look.set()

    async def run(self) -> None:
        """Store what comes until stopped."""
        while True:
            wait_s = self._batcher.due_in(self._loop.time())
            if self._stopped.is_set() and wait_s is None:
                return
            if wait_s == 0 or self._stopped.is_set():
                await self._process(self._batcher.take())
                continue
            self._look.clear()
            await wait_at_most(self._look, wait_s)

    async def _process(self, batch: list[Arrival]) -> None:
        with self._measured.batch_seconds.labels(self.kind).time():
            accepted, refused = await self._loop.run_in_executor(self._executor, _judge, self._topics, batch)
            saved = await self._save(accepted, refused)
        if saved is None:
            return
        self._measured.stored.labels(self.kind).inc(saved.stored)
        self._measured.duplicates.labels(self.kind).inc(saved.duplicates)
        if saved.erased:
            self._measured.erased.labels(self.kind).inc(saved.erased)
            log.info("messages came after they were erased; they are not stored", kind=self.kind, count=saved.erased)
        refused += saved.refused
        for refused_one in refused:
            self._measured.rejected.labels(refused_one.reason.value).inc()
        if refused:
            first = refused[0]
            log.warning("messages refused", count=len(refused), topic=first.arrival.topic, first_reason=first.text)
        for accepted_one in accepted:
            self._acks.add(accepted_one.device, accepted_one.id)
        # Also what was refused, where its id could be read: it would be sent for ever. So would what was erased.
        for refused_one in refused:
            if refused_one.device is not None and refused_one.id is not None:
                self._acks.add(refused_one.device, refused_one.id)

    async def _save(self, accepted: Sequence[Accepted], refused: Sequence[Refused]) -> Saved | None:
        """Store, and try again for as long as the database does not take it; None: stopped before it did."""
        backoff = Backoff(0.2, 10.0)
        while True:
            try:
                saved = await self._store.save(accepted)
                await self._store.bury([*refused, *saved.refused])
            except Exception as error:
                # Neither lost nor guessed at: what is not known to be the data's fault stays unconfirmed and waits.
                fault = fault_of(error)
                delay = backoff.next_delay()
                self._measured.retries.labels(self.kind).inc()
                self._tell_database(describe(error))
                log.warning(
                    "a batch cannot be stored yet",
                    kind=self.kind,
                    error=describe(error),
                    meaning=fault.value,
                    retry_in_s=round(delay, 2),
                    exc_info=fault is Fault.UNKNOWN and backoff.failures == 1,
                )
                if self._stopped.is_set():
                    return None
                await wait_at_most(self._stopped, delay)
            else:
                self._tell_database(None)
                return saved

    def _dropped(self, now: float) -> None:
        self._measured.dropped.labels(self.kind).inc()
        self._dropped_since += 1
        if now - self._told_drops_at >= _TELL_DROPS_EVERY_S:
            log.warning(
                "messages dropped unconfirmed, the queue for the database is full; their devices send them again",
                kind=self.kind,
                dropped=self._dropped_since,
            )
            self._told_drops_at = now
            self._dropped_since = 0


def _judge(topics: Topics, batch: Sequence[Arrival]) -> tuple[list[Accepted], list[Refused]]:
    accepted: list[Accepted] = []
    refused: list[Refused] = []
    for arrival in batch:
        judged = validate(topics, arrival)
        if isinstance(judged, Accepted):
            accepted.append(judged)
        else:
            refused.append(judged)
    return accepted, refused
