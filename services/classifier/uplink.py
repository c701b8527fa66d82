"""Sends what the outbox holds to the cloud, and deletes there what the cloud says it has stored.

A broker's receipt counts for nothing here: an item leaves the outbox when its id comes back on the device's `ack`
topic, which ingest publishes after its commit. Until then it is sent again: after a time, and at each reconnect.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final
from uuid import UUID

from services.classifier.delivery_settings import UplinkSettings
from services.classifier.outbox import Outbox, OutboxError
from services.classifier.outbox_file import Item, Kind
from services.classifier.uplink_problems import UplinkFacts, all_problems, refusal
from services.classifier.window import Flight, Window
from shared import logs
from shared.backoff import Backoff
from shared.errors import BadMessage
from shared.messages import Problem, StatusValue, decode_ack
from shared.metrics import Metrics
from shared.mqtt import MqttLink, NotConnected, packet_bytes
from shared.slots import Budget, wait_at_most
from shared.topics import Topics

_READ_ITEMS: Final = 256
_READ_BYTES: Final = 2 * 1024 * 1024
_ON_THE_WIRE_BYTES: Final = 256 * 1024
"""Handed to the connection and not yet taken by the broker: behind no more than this does live data ever wait."""
_BROKER_TAKES_WITHIN_S: Final = 60.0
_BREAKS_UNTIL_PARKED: Final = 3
_PARKED_FOR_S: Final = 600.0
_OVERTAKEN_UNTIL_PARKED: Final = 5
_SILENCE_IS_TOLD_AFTER: Final = 6
"""Resend times without a confirmation."""

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class _Aside:
    """An item that is not sent for now. Its payload stays in the outbox: there may be as many as that holds."""

    seq: int
    kind: Kind
    bytes: int
    again_at: float

    @staticmethod
    def until(again_at: float, item: Item) -> "_Aside":
        return _Aside(item.seq, item.kind, len(item.payload), again_at)


class Uplink:
    """The way out of the outbox. Make it before the link runs: it subscribes."""

    def __init__(
        self,
        settings: UplinkSettings,
        outbox: Outbox,
        link: MqttLink,
        topics: Topics,
        device: str,
        metrics: Metrics,
    ) -> None:
        self._outbox = outbox
        self._link = link
        self._topics = topics
        self._device = device
        self._window = Window(settings.window, settings.window_mb * 1024 * 1024, settings.resend_after_s)
        self._silence_s = settings.resend_after_s * _SILENCE_IS_TOLD_AFTER
        self._park_unconfirmed_s = settings.resend_after_s * _SILENCE_IS_TOLD_AFTER
        self._max_packet_bytes = settings.max_packet_bytes
        self._read: dict[Kind, deque[Item]] = {kind: deque() for kind in Kind}
        self._read_up_to = dict.fromkeys(Kind, 0)
        self._connection = 0
        self._careful = False
        self._confirmations_before = -1
        self._sending: set[asyncio.Task[None]] = set()
        self._wire = Budget(_ON_THE_WIRE_BYTES)
        self._parked: dict[UUID, _Aside] = {}
        """What the broker hangs up at (too large for it, as a rule)."""
        self._unconfirmed: dict[UUID, _Aside] = {}
        """What the cloud does not confirm while it confirms what was sent later."""
        self._too_large = 0
        self._told: frozenset[str] = frozenset()
        self._confirmed: list[UUID] = []
        self._confirmed_some = asyncio.Event()
        # One event wakes the sender, whatever happened: something was put, confirmed, or the link came back.
        self._wake = outbox.filled
        self._loop = asyncio.get_running_loop()
        self._acked = 0
        self._resent = 0
        self._acked_counter = metrics.counter("uplink_acked", "Messages that the cloud has stored.")
        self._unknown_counter = metrics.counter("uplink_acked_unknown", "Confirmed ids that the outbox did not hold.")
        self._sent_counter = metrics.counter("uplink_sent", "Messages sent, repeated ones too.")
        self._resent_counter = metrics.counter("uplink_resent", "Messages sent again.")
        self._error_counter = metrics.counter("uplink_publish_errors", "Messages that the broker did not take.")
        self._bad_counter = metrics.counter("uplink_bad_acks", "Acknowledgements that could not be read.")
        self._too_large_counter = metrics.counter("uplink_too_large", "Pictures larger than what the broker takes.")
        in_flight = metrics.gauge("uplink_in_flight", "Messages sent and not yet stored in the cloud.")
        in_flight.set_function(lambda: len(self._window))
        parked = metrics.gauge("uplink_parked", "Messages put aside because the broker hangs up at them.")
        parked.set_function(lambda: len(self._parked))
        unconfirmed = metrics.gauge("uplink_unconfirmed", "Messages put aside because they alone are not confirmed.")
        unconfirmed.set_function(lambda: len(self._unconfirmed))
        silent = metrics.gauge("uplink_silent", "1 while the cloud confirms none of what it is sent.", ["kind"])
        for kind in Kind:
            silent.labels(kind.name.lower()).set_function(partial(self._is_silent, kind))
        link.subscribe(topics.ack(device), self._on_ack, qos=1)
        link.on_connect(self._wake.set)

    async def run(self) -> None:
        """Send until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._delete_confirmed(), name="uplink deletes")
                await self._send(tasks)
        finally:
            if self._confirmed:
                try:
                    await self._outbox.delete(self._confirmed)
                except OutboxError as error:  # they are sent once more after the next start, and confirmed again
                    log.warning("confirmed messages stay in the outbox", count=len(self._confirmed), error=str(error))

    def status_values(self) -> dict[str, StatusValue]:
        """Counters and readings for this device's status."""
        depth = self._outbox.depth()
        return {
            "outbox_detections": depth.detections,
            "outbox_frames": depth.frames,
            "outbox_bytes": depth.bytes,
            "outbox_dropped_detections": self._outbox.dropped_detections,
            "outbox_dropped_frames": self._outbox.dropped_frames,
            "outbox_evicted_frames": self._outbox.evicted_frames,
            "uplink_in_flight": len(self._window),
            "uplink_acked": self._acked,
            "uplink_resent": self._resent,
            "uplink_parked": len(self._parked),
            "uplink_unconfirmed": len(self._unconfirmed),
            "uplink_too_large": self._too_large,
            "uplink_connected": self._link.connected.is_set(),
        }

    def problems(self) -> tuple[Problem, ...]:
        """What a person should know about the way to the cloud."""
        return all_problems(self._facts(), datetime.now(UTC))

    def refusal(self) -> str | None:
        """What a person has to mend before the cloud stores anything, in words."""
        problem = refusal(self._facts())
        return None if problem is None else f"{problem.title}: {problem.cause}"

    def _facts(self) -> UplinkFacts:
        now = self._loop.time()
        link, outbox = self._link, self._outbox
        return UplinkFacts(
            broker=link.address,
            connected=link.connected.is_set(),
            link_error=link.last_error,
            login_refused=link.login_refused,
            refused_topics=link.refused_topics,
            certificate_expires=link.certificate_expires,
            silent_s={kind: self._window.waiting_s(kind, now) for kind in Kind if self._is_silent(kind)},
            topics={
                Kind.DETECTION: self._topics.detections(self._device),
                Kind.FRAME: self._topics.frames(self._device, "+"),
            },
            ack_topic=self._topics.ack(self._device),
            parked=len(self._parked),
            largest_parked_bytes=max((aside.bytes for aside in self._parked.values()), default=0),
            unconfirmed=len(self._unconfirmed),
            too_large=self._too_large,
            max_packet_bytes=self._max_packet_bytes,
            outbox_problem=outbox.problem,
            dropped_detections=outbox.dropped_detections,
            dropped_frames=outbox.dropped_frames,
        )

    def _is_silent(self, kind: Kind) -> bool:
        return self._window.waiting_s(kind, self._loop.time()) > self._silence_s

    def _tell_changes(self) -> None:
        """Log the problems that are new, and those that are gone."""
        problems = {problem.title: problem for problem in self.problems()}
        for title in problems.keys() - self._told:
            log.warning(title, cause=problems[title].cause, next_step=problems[title].next_step)
        for title in self._told - problems.keys():
            log.info("no longer so", problem=title)
        self._told = frozenset(problems)

    async def _send(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            await self._link.connected.wait()
            self._wake.clear()
            if self._connection != self._link.connections:
                self._connection = self._link.connections
                self._begin_connection(tasks)
            if not self._careful:
                self._publish_all(tasks, self._without_overtaken(self._window.due(self._loop.time())))
                try:
                    await self._try_again(tasks, self._parked)
                    await self._try_again(tasks, self._unconfirmed)
                    await self._fill(tasks)
                except OutboxError as error:
                    log.warning("the outbox cannot be read", error=str(error))
            await wait_at_most(self._wake, self._next_look_in())
            self._tell_changes()

    def _next_look_in(self) -> float | None:
        now = self._loop.time()
        aside = (*self._parked.values(), *self._unconfirmed.values())
        waits = [max(1.0, each.again_at - now) for each in aside]  # there may be no room for it yet
        due = self._window.next_due_in(now)
        return min(waits if due is None else [*waits, due], default=None)

    def _begin_connection(self, tasks: asyncio.TaskGroup) -> None:
        for task in self._sending:  # those of the connection that is gone
            task.cancel()
        # A connection that ended before anything was confirmed may have ended because of one of the messages. To
        # learn which, they are sent one by one; whatever one waits for is then the broker's answer to it alone.
        fruitless = self._window.confirmations == self._confirmations_before
        self._confirmations_before = self._window.confirmations
        again = self._without_suspects(self._window.all_again())
        self._careful = fruitless and len(again) > 0 and again[0].sendings > 0
        if self._careful:
            self._start(tasks, self._publish_one_by_one(again))
        else:
            self._publish_all(tasks, again)

    async def _publish_one_by_one(self, flights: list[Flight]) -> None:
        for flight in flights:
            if flight.item.id in self._window:  # it may have been confirmed meanwhile
                self._count_sending(flight)
                await self._publish(flight, alone=True)
                if not self._link.connected.is_set():
                    return
        self._careful = False
        self._wake.set()

    def _without_suspects(self, flights: list[Flight]) -> list[Flight]:
        """Put aside, for a time, what one connection after the other ended at: it must not stop all the others."""
        for flight in [flight for flight in flights if flight.broken >= _BREAKS_UNTIL_PARKED]:
            item = flight.item
            self._window.take_out(flight)
            flights.remove(flight)
            self._parked[item.id] = _Aside.until(self._loop.time() + _PARKED_FOR_S, item)
            log.error(
                "the broker hangs up at a message; it stays in the outbox and is tried again later",
                broker=self._link.address,
                id=str(item.id),
                kind=item.kind.name.lower(),
                bytes=len(item.payload),
                error=self._link.last_error,
            )
        return flights

    def _without_overtaken(self, flights: list[Flight]) -> list[Flight]:
        """Put aside, for a time, what is not confirmed while others are: it must not keep its place from them."""
        for flight in [flight for flight in flights if flight.overtaken >= _OVERTAKEN_UNTIL_PARKED]:
            item = flight.item
            self._window.take_out(flight)
            flights.remove(flight)
            self._unconfirmed[item.id] = _Aside.until(self._loop.time() + self._park_unconfirmed_s, item)
            log.error(
                "the cloud does not confirm a message but later ones; it stays in the outbox and is tried again later",
                broker=self._link.address,
                id=str(item.id),
                kind=item.kind.name.lower(),
                bytes=len(item.payload),
                sent=flight.sendings,
            )
        return flights

    async def _try_again(self, tasks: asyncio.TaskGroup, aside: dict[UUID, _Aside]) -> None:
        now = self._loop.time()
        for item_id, one in list(aside.items()):
            if one.again_at > now or not self._window.has_room_for(one.kind, one.bytes):
                continue
            found = await self._outbox.after(one.kind, one.seq - 1, 1, one.bytes)
            if not self._is_on_its_connection():
                return
            # It may have been confirmed meanwhile; and what is not in the outbox any more gave way to newer items.
            if aside.pop(item_id, None) is not None and found and found[0].id == item_id:
                self._publish_all(tasks, [self._window.add(found[0])])

    def _is_on_its_connection(self) -> bool:
        return self._link.connected.is_set() and self._connection == self._link.connections

    async def _fill(self, tasks: asyncio.TaskGroup) -> None:
        """Send what the outbox holds, oldest first, as far as the window has room."""
        more = set(Kind)
        while self._is_on_its_connection():
            heads: list[Item] = []
            for kind in Kind:
                waiting = self._read[kind]
                if not waiting and kind in more:
                    waiting.extend(await self._outbox.after(kind, self._read_up_to[kind], _READ_ITEMS, _READ_BYTES))
                    if waiting:
                        self._read_up_to[kind] = waiting[-1].seq
                    else:
                        more.remove(kind)  # what is put from now on wakes the sender again
                if waiting:
                    heads.append(waiting[0])
            item = min(
                (i for i in heads if self._window.has_room_for(i.kind, len(i.payload))),
                key=lambda i: i.seq,
                default=None,
            )
            if item is None:
                return
            self._read[item.kind].popleft()
            if not self._is_too_large(item):
                self._publish_all(tasks, [self._window.add(item)])

    def _is_too_large(self, item: Item) -> bool:
        """Whether the broker would hang up at `item`: it is not sent, and the outbox keeps it for one that takes it."""
        size = packet_bytes(self._topic_of(item), item.payload)
        if size <= self._max_packet_bytes:
            return False
        self._too_large += 1
        self._too_large_counter.inc()
        log.error(
            "a picture is larger than what the cloud's broker takes; it is not sent and stays in the outbox",
            id=str(item.id),
            bytes=size,
            max_packet_bytes=self._max_packet_bytes,
        )
        return True

    def _topic_of(self, item: Item) -> str:
        if item.kind is Kind.DETECTION:
            return self._topics.detections(self._device)
        return self._topics.frames(self._device, item.id)

    def _publish_all(self, tasks: asyncio.TaskGroup, flights: list[Flight]) -> None:
        # Tasks start in the order in which they are made, and each hands its message over, or stands in line to, before
        # it waits: the messages leave in order without waiting for one another.
        for flight in flights:
            self._count_sending(flight)
            self._start(tasks, self._publish(flight))

    def _count_sending(self, flight: Flight) -> None:
        flight.sendings += 1
        self._sent_counter.inc()
        if flight.sendings > 1:
            self._resent += 1
            self._resent_counter.inc()

    def _start(self, tasks: asyncio.TaskGroup, work: Coroutine[None, None, None]) -> None:
        task = tasks.create_task(work, name="uplink publish")
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _publish(self, flight: Flight, *, alone: bool = False) -> None:
        item = flight.item
        try:
            async with self._wire.taken(len(item.payload)):
                flight.handed_over = True
                await self._link.publish(self._topic_of(item), item.payload, qos=1, timeout_s=_BROKER_TAKES_WITHIN_S)
            if alone:
                await self._link.check(_BROKER_TAKES_WITHIN_S)
        except NotConnected:  # the link tells about itself; the item is sent again, at the latest after a reconnect
            self._error_counter.inc()
            if not self._link.connected.is_set():
                return
        self._window.taken(flight, self._loop.time())

    def _on_ack(self, topic: str, payload: bytes) -> None:
        try:
            ids = decode_ack(topic, payload)
        except BadMessage as error:
            self._bad_counter.inc()
            log.warning("an acknowledgement cannot be read", error=str(error))
            return
        self._window.confirm(ids, self._loop.time())
        for item_id in ids:
            self._parked.pop(item_id, None)
            self._unconfirmed.pop(item_id, None)
        # Also what is not on its way: it may have been sent before this program was started again.
        self._confirmed.extend(ids)
        self._confirmed_some.set()
        self._wake.set()

    async def _delete_confirmed(self) -> None:
        backoff = Backoff(0.5, 10.0)
        while True:
            await self._confirmed_some.wait()
            self._confirmed_some.clear()
            ids = self._confirmed[:]
            try:
                deleted = await self._outbox.delete(ids)
            except OutboxError as error:
                delay = backoff.next_delay()
                log.warning("confirmed messages cannot be deleted yet", error=str(error), retry_in_s=round(delay, 2))
                await asyncio.sleep(delay)
                self._confirmed_some.set()
                continue
            backoff.succeeded()
            del self._confirmed[: len(ids)]
            self._acked += deleted
            self._acked_counter.inc(deleted)
            self._unknown_counter.inc(len(ids) - deleted)
