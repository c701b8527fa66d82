"""Everything on one machine, in one process: embedded broker and Postgres, migrations, all four services.

The services are the same and speak the same protocols as across machines; only their broker and database are nearer.
"""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, Final

from rich.console import Console

import services.capture.main
import services.classifier.main
import services.ingest.main
import services.web.main
from services.capture.settings import CaptureSettings
from services.capture.spec import SourceSpec, parse_source
from services.classifier.fetch import fetch_detector
from services.classifier.settings import ClassifierSettings, SamplingSettings
from services.classifier.yunet_file import YUNET_PATH
from services.embedded import LOOPBACK, embedded_broker, embedded_postgres, free_port
from services.ingest.settings import IngestSettings
from services.web.settings import WebSettings
from shared.db.migrate import upgrade
from shared.errors import EmotionEdgeError, SettingsError, SourceError
from shared.health import listen
from shared.messages import Status, decode
from shared.mqtt import MqttLink
from shared.preset import load_model
from shared.runner import run_service
from shared.settings import HealthSettings, LogSettings, ServiceSettings, load

DEVICE: Final = "demo"
MQTT_PORT: Final = 1883
_NO_HEALTH: Final = HealthSettings(port=0)  # web serves it for the one process


def run_demo(*, source: str, port: int, data: Path) -> int:
    """Run until Ctrl-C; return the exit code.

    Raises:
        EmotionEdgeError: in one line, for a taken port, a demo that runs already, or a setting that does not fit.
    """
    data = data.resolve()
    spec = parse_source(source)
    if spec.kind == "path" and not Path(spec.value).expanduser().exists():
        raise SourceError(f"there is no file or folder {spec.value}; give one that exists, or another --source")
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with _only_one(data):
        listen(LOOPBACK, port).close()  # said now, before anything has started
        log = load(ServiceSettings).log if "EMOTION_LOG__LEVEL" in os.environ else LogSettings(level="warning")
        code = run_service("demo", log, lambda: _run(console, spec, port, data))
    if code == 0:
        console.print(f"Stopped. Everything that was stored is in {data}; `make demo` goes on from there.")
    return code


async def _run(console: Console, spec: SourceSpec, port: int, data: Path) -> None:
    capture = load(CaptureSettings, device=DEVICE, source=spec.value, data_dir=data, health=_NO_HEALTH)
    classifier = load(ClassifierSettings, device=DEVICE, data_dir=data, legacy_topics=True, health=_NO_HEALTH)
    if spec.kind == "sample":
        # Public-domain portraits: keeping some of them shows what kept pictures are. Nobody else's are kept unasked.
        classifier = classifier.model_copy(update={"sampling": SamplingSettings(mode="on", every_s=10.0)})
    load_model(classifier.models_dir / classifier.model)
    console.print(f"Emotion at the Edge: the demo keeps its data in {data}")
    await _fetch_detector(console, classifier.models_dir)
    async with contextlib.AsyncExitStack() as stack:
        console.print("Starting the broker ...")
        mqtt = await stack.enter_async_context(embedded_broker(free_port(MQTT_PORT)))
        console.print("Starting Postgres (the first time takes some seconds) ...")
        database = await stack.enter_async_context(embedded_postgres(data / "postgres"))
        console.print("Bringing the tables up to date ...")
        await upgrade(database)
        console.print(f"Starting the services; MQTT is on {mqtt.host}:{mqtt.port} ...")
        # The embedded broker delivers nothing on $share, so ingest subscribes plainly.
        ingest = load(IngestSettings, mqtt=mqtt, database=database, shared_group="", health=_NO_HEALTH)
        web = load(WebSettings, role="cloud", mqtt=mqtt, database=database, host=LOOPBACK, port=port, data_dir=data)
        runs: dict[str, Coroutine[Any, Any, None]] = {
            "ingest": services.ingest.main.run(ingest),
            "web": services.web.main.run(web),
            "classifier": services.classifier.main.run(classifier.model_copy(update={"mqtt": mqtt})),
            "capture": _capture_once_it_is_read(capture.model_copy(update={"mqtt": mqtt})),
            "announce": _announce(console, spec, port),
        }
        async with asyncio.TaskGroup() as group:
            for name, run in runs.items():
                group.create_task(run, name=name)


async def _capture_once_it_is_read(settings: CaptureSettings) -> None:
    """Run capture from when the classifier listens, so that a file's first frames are read too."""
    listening = asyncio.Event()

    def heard(topic: str, payload: bytes) -> None:
        if decode(Status, topic, payload).state in ("online", "degraded", "paused"):
            listening.set()

    link = MqttLink(settings.mqtt)
    link.subscribe(settings.mqtt.topics.status(settings.device, "classifier"), heard, qos=1)
    watching = asyncio.create_task(link.run(), name="classifier's status")
    try:
        await listening.wait()
    finally:
        watching.cancel()
        await asyncio.wait([watching])
    await services.capture.main.run(settings)


async def _announce(console: Console, spec: SourceSpec, port: int) -> None:
    """Say where to look, once somebody who looks sees something."""
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(LOOPBACK, port)
            writer.close()
            await writer.wait_closed()
            break
        await asyncio.sleep(0.1)
    page = f"http://{LOOPBACK}:{port}"
    console.print(f"\n  Open [bold]{page}[/bold]      Ctrl-C stops everything.")
    if spec.kind == "browser":
        console.print(
            f"  Start this browser's camera on [bold]{page}/camera[/bold]; until then there is nothing to see."
        )
    console.print()


async def _fetch_detector(console: Console, models_dir: Path) -> None:
    """Try once to get the better face detector; the demo works, less well, without it."""
    if (models_dir / YUNET_PATH).exists():
        return
    console.print("Fetching the YuNet face detector (230 kB, once) ...")
    try:
        await asyncio.to_thread(fetch_detector, models_dir)
    except EmotionEdgeError as error:
        console.print(f"  not now: {error}")
        console.print("  Going on with OpenCV's older Haar cascade, which misses faces that are turned.")


@contextlib.contextmanager
def _only_one(data: Path) -> Iterator[None]:
    """Hold the data folder for this process; say who holds it already."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        # Opened for appending, so that the holder's number is not wiped by who only asks.
        lock = (data / "demo.lock").open("a+")
    except OSError as error:
        raise SettingsError(
            f"data folder {data} cannot be written ({error.strerror}); choose another: --data"
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise SettingsError(
                f"a demo (process {holder}) already runs on {data}; stop it with Ctrl-C where it runs, "
                "or choose another folder and port: --data and --port"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
