"""Keeps a source open and its frames going to the broker: opening again, pausing, pacing, ending."""

import asyncio
import contextlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from services.capture.encode import Preparer
from services.capture.frames import Frame, FrameSource, OpenSource, SourceTrouble
from services.capture.pacing import Pacer, Window
from services.capture.pause import Pause
from services.capture.reader import Reader
from services.capture.report import Report
from services.capture.settings import CaptureSettings
from shared import logs
from shared.backoff import Backoff
from shared.errors import BadMessage
from shared.jpeg import with_comment
from shared.messages import Desired, FrameInfo, Live, decode
from shared.metrics import Metrics
from shared.mqtt import MqttLink, NotConnected
from shared.slots import wait_at_most

STABLE_S: Final = 10.0
"""A source that gave frames for so long is opened again at once when it fails."""
MAX_STUCK: Final = 4
"""Abandoned reads that may wait at a time; a driver that hangs more often is not opened again."""
SAMPLE_BUILD_S: Final = 120.0
_OPEN_GRACE_S: Final = 1.0
SETTLE_S: Final = 0.2
"""Seconds for this process to read what the broker has sent."""
_PUBLISH_S: Final = 2.0
_RETRY_S: Final = 0.1
_TELL_EVERY_S: Final = 10.0

log = logs.get(__name__)


class Session:
    """One source from start to stop. Handlers are called on the loop by the link."""

    def __init__(
        self,
        settings: CaptureSettings,
        open_source: OpenSource,
        link: MqttLink,
        report: Report,
        metrics: Metrics,
        boot_id: UUID,
    ) -> None:
        self.pause = Pause(settings.data_dir, self._pause_changed)
        self._settings = settings
        self._open_source = open_source
        self._link = link
        self._report = report
        self._boot_id = boot_id
        self._topic = settings.mqtt.topics.camera(settings.device)
        self._prepare = Preparer(settings.max_width, settings.jpeg_quality)
        self._fast = settings.pace == "fast" and not report.is_sample
        self._pacer = Pacer()
        self._window = Window()
        self._confirmed = asyncio.Event()
        self._recording = False
        self._close = asyncio.Event()
        self._running = asyncio.Event()
        self._running.set()
        self._stuck: list[Reader] = []
        self._rejected_told_at = -_TELL_EVERY_S
        self._read_seconds = metrics.seconds("read", "Waiting for and reading one frame")
        self._prepare_seconds = metrics.seconds("prepare", "Checking or encoding one frame")
        self._publish_seconds = metrics.seconds("publish", "Handing one frame to the broker")

    def on_desired(self, topic: str, payload: bytes) -> None:
        """Take a person's wishes; those that are not for capture are passed over."""
        if not payload:  # a retained message was taken back
            self.pause.wish(False)
            return
        try:
            desired = self._own(decode(Desired, topic, payload), topic)
        except BadMessage as error:
            log.warning("wish not understood", error=str(error))
            self._report.bad_desired(str(error))
            return
        self._report.clear("desired")
        if desired.paused is not None:
            self.pause.wish(desired.paused)

    def on_live(self, topic: str, payload: bytes) -> None:
        """The classifier is done with a frame."""
        try:
            live = decode(Live, topic, payload)
        except BadMessage as error:
            log.warning("live message not understood", error=str(error))
            return
        if live.boot_id == self._boot_id:
            self._window.confirmed(live.frame_number, asyncio.get_running_loop().time())
            self._report.clear("classifier")
            self._confirmed.set()

    async def run(self) -> None:
        """Play the source until it is over; then wait to be cancelled."""
        await self._wishes_have_come()
        while True:
            await self._while_paused()
            playing = asyncio.create_task(self._play(), name="play")
            closing = asyncio.create_task(self._close.wait(), name="close")
            try:
                await asyncio.wait({playing, closing}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                playing.cancel()
                closing.cancel()
                await asyncio.wait({playing, closing})
            if not playing.cancelled():
                playing.result()
                self._report.enter("finished")
                log.info("source finished", source=self._report.name, frames=self._report.counts["sent"])
                await asyncio.Event().wait()

    async def _wishes_have_come(self) -> None:
        """A paused camera is not opened at a restart, however slow the broker is: what it had kept comes first."""
        while True:
            await self._link.connected.wait()
            try:
                await self._link.check()
            except NotConnected as error:
                log.warning("the broker does not answer yet", error=str(error))
                await asyncio.sleep(_RETRY_S)
            else:
                break
        await asyncio.sleep(SETTLE_S)

    def _own(self, desired: Desired, topic: str) -> Desired:
        if desired.device != self._settings.device:
            raise BadMessage(topic, "device", f"is {desired.device!r}, expected {self._settings.device!r}")
        return desired

    def _pause_changed(self) -> None:
        self._report.paused(self.pause.by, self.pause.trouble)
        if self.pause.paused:
            self._running.clear()
            # A recording is held where it is; a camera is closed, so that its light goes out.
            if not self._recording:
                self._close.set()
        else:
            self._close.clear()
            self._running.set()

    async def _while_paused(self) -> None:
        if self._running.is_set():
            return
        self._report.enter("paused")
        log.info("capture paused", by=self.pause.by)
        while any(reader.thread.is_alive() for reader in self._stuck) and not self._running.is_set():
            self._report.not_released()
            await wait_at_most(self._running, _TELL_EVERY_S)
        self._report.clear("release")
        await self._running.wait()
        self._pacer.resync()
        self._report.enter("starting")
        log.info("capture resumed")

    async def _play(self) -> None:
        """Open the source, and again after each failure, until a recording is over."""
        backoff = Backoff(0.5, 30.0)
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self._play_once()
            except SourceTrouble as error:
                trouble = error
            else:
                return
            finally:
                self._recording = False
            if loop.time() - began > STABLE_S:
                backoff.succeeded()
            delay = backoff.next_delay()
            log.warning("source failed", source=self._report.name, error=str(trouble), retry_in_s=round(delay, 2))
            await asyncio.sleep(delay)
            self._report.reopening()

    async def _play_once(self) -> None:
        """One opening of the source, until its end.

        Raises:
            SourceTrouble: if it cannot be opened or fails.
        """
        self._stuck = [reader for reader in self._stuck if reader.thread.is_alive()]
        if len(self._stuck) >= MAX_STUCK:
            hanging = SourceTrouble(
                "The source's driver hangs",
                f"{len(self._stuck)} reads of it never returned",
                "Unplug the camera and plug it in again, or restart this machine",
            )
            self._report.failed(hanging)
            raise hanging
        reader = Reader(
            self._open_source,
            self._prepare,
            on_read=self._report.read,
            on_rejected=self._rejected,
            read_seconds=self._read_seconds,
            prepare_seconds=self._prepare_seconds,
        )
        dropped = 0
        try:
            source = await reader.open(self._open_s)
            self._recording = not source.live
            self._report.opened(source.source)
            log.info("source open", source=self._report.name, kind=source.source.kind)
            self._pacer.resync()
            while (frame := await reader.next(self._settings.stall_s)) is not None:
                await self._play_frame(source, frame)
                self._report.count("dropped", reader.dropped - dropped)
                dropped = reader.dropped
        except SourceTrouble as error:
            self._report.failed(error)  # before the thread is waited for
            raise
        finally:
            if not await reader.stop():
                self._stuck.append(reader)
                self._report.stuck()
                log.warning("a read of the source does not return; left behind", source=self._report.name)
            self._report.count("dropped", reader.dropped - dropped)

    async def _play_frame(self, source: FrameSource, frame: Frame) -> None:
        if not source.live:
            await self._while_paused()
            await self._until_due(frame)
            # A recording's frame is captured when it is played: latencies are measured from here.
            frame = replace(frame, captured_at=datetime.now(UTC))
        self._report.arriving()
        info = FrameInfo(
            device=self._settings.device,
            boot_id=self._boot_id,
            frame_number=frame.number,
            captured_at=frame.captured_at,
            source=source.source,
        )
        if await self._publish(with_comment(frame.jpeg, info.to_json()), source.live):
            now = asyncio.get_running_loop().time()
            self._report.sent(frame, now)
            if self._fast and not source.live:
                self._window.sent(frame.number, now)

    async def _until_due(self, frame: Frame) -> None:
        loop = asyncio.get_running_loop()
        if not self._fast:
            await asyncio.sleep(self._pacer.wait_s(frame.at_s or 0.0, loop.time()))
            return
        while (wait_s := self._window.wait_s(loop.time())) > 0:
            self._confirmed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._confirmed.wait()
        self._report.gave_up_waiting(self._window.unconfirmed)

    async def _publish(self, payload: bytes, live: bool) -> bool:
        """Publish a frame; one of a recording waits for the broker, one of a live source does not."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self._link.publish(self._topic, payload, timeout_s=_PUBLISH_S)
            except NotConnected:
                if live:
                    self._report.count("unsent")
                    return False
                await asyncio.sleep(_RETRY_S)
                await self._link.connected.wait()
                continue
            self._publish_seconds.observe(loop.time() - began)
            return True

    @property
    def _open_s(self) -> float:
        # Sources keep `open_s` themselves where they can, and say more of why.
        return (SAMPLE_BUILD_S if self._report.is_sample else self._settings.open_s) + _OPEN_GRACE_S

    def _rejected(self, reason: str) -> None:
        now = asyncio.get_running_loop().time()
        self._report.rejected(reason, now)
        if now - self._rejected_told_at >= _TELL_EVERY_S:
            self._rejected_told_at = now
            log.warning("picture left out", reason=reason, rejected=self._report.counts["rejected"])
