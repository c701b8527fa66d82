"""The capture service: from a source to frames on the local broker."""

import asyncio
import contextlib
import functools
from datetime import UTC, datetime

import uuid_utils.compat as uuid

from services.capture.frames import OpenSource
from services.capture.report import SERVICE, Report, offline
from services.capture.session import Session
from services.capture.settings import CaptureSettings
from services.capture.sources import Opener, browser, open_source
from services.capture.spec import parse_source
from shared import logs
from shared.health import serve_health
from shared.metrics import Metrics
from shared.mqtt import MqttLink, NotConnected, Will
from shared.mqtt_metrics import measure_links

STATUS_EVERY_S = 10.0
_SHORTEST_S = 0.25
_FAREWELL_S = 1.0

log = logs.get(__name__)


async def run(settings: CaptureSettings, *, open_source: Opener = open_source) -> None:
    """Capture until cancelled. A recording that is over leaves the service up, its status `finished`.

    `open_source` opens the source on the reading thread; a test gives its own in place of hardware.

    Raises:
        SettingsError: if the source is none that is known, the data folder cannot be read, or the health endpoint's
            port is taken.
    """
    spec = parse_source(settings.source)
    topics = settings.mqtt.topics
    status_topic = topics.status(settings.device, SERVICE)
    metrics = Metrics(SERVICE)
    report = Report(settings.device, spec, metrics)
    boot_id = uuid.uuid7()
    will = Will(status_topic, offline(settings.device, datetime.now(UTC)).to_json())
    link = MqttLink(settings.mqtt, will=will)
    measure_links(metrics, {"edge": link})
    opening: OpenSource = functools.partial(open_source, spec, settings)
    if spec.kind == "browser":
        loop = asyncio.get_running_loop()
        inbox = browser.Inbox(functools.partial(loop.call_soon_threadsafe, report.count, "dropped"))
        link.subscribe(topics.browser(settings.device), inbox.on_picture)
        opening = functools.partial(browser.BrowserSource, inbox)
        settings = settings.model_copy(update={"stall_s": browser.STALL_S})
    session = Session(settings, opening, link, report, metrics, boot_id)
    link.subscribe(topics.desired(settings.device), session.on_desired, qos=1)
    if settings.pace == "fast":
        link.subscribe(topics.live(settings.device), session.on_live)
    link.on_connect(report.changed.set)
    await session.pause.load()
    log.info("capture starts", device=settings.device, source=spec.name, broker=link.address, boot_id=str(boot_id))

    def readiness() -> dict[str, str]:
        missing = {} if link.connected.is_set() else {"broker": link.last_error or "not connected"}
        if report.phase not in ("online", "finished", "paused"):
            problem = report.problem("source")
            missing["source"] = problem.title if problem else "no frame yet"
        return missing

    async with asyncio.TaskGroup() as connection:
        linking = connection.create_task(link.run(), name="broker")
        try:
            async with asyncio.TaskGroup() as work:
                work.create_task(session.run(), name="session")
                work.create_task(session.pause.run(), name="pause")
                work.create_task(_tell_status(link, status_topic, report), name="status")
                work.create_task(serve_health(settings.health, metrics, readiness), name="health")
        finally:
            # Said while the connection still stands: a clean disconnect makes the broker forget the will.
            with contextlib.suppress(NotConnected):
                farewell = offline(settings.device, datetime.now(UTC)).to_json()
                await link.publish(status_topic, farewell, qos=1, retain=True, timeout_s=_FAREWELL_S)
            linking.cancel()
            log.info("capture stopped", frames=report.counts["sent"])


async def _tell_status(link: MqttLink, topic: str, report: Report) -> None:
    """Publish the status at each change and every ten seconds, but not in a flood."""
    loop = asyncio.get_running_loop()
    while True:
        await link.connected.wait()
        report.changed.clear()
        status = report.status(datetime.now(UTC), loop.time())
        with contextlib.suppress(NotConnected):  # told again at the next connection
            await link.publish(topic, status.to_json(), qos=1, retain=True)
        await asyncio.sleep(_SHORTEST_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STATUS_EVERY_S):
                await report.changed.wait()
