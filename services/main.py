"""`emotion-edge`: one command for every service and tool.

Each service is imported by its own command, so that an image holds only what its service needs.
"""

import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from shared.errors import EmotionEdgeError
from shared.runner import run_service
from shared.settings import ServiceSettings, load

app = typer.Typer(
    name="emotion-edge",
    help="Reads the emotion in the faces a camera sees, at the edge, and keeps what it saw for research.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
models = typer.Typer(help="The model files.", no_args_is_help=True)
app.add_typer(models, name="models")


def _serve(service: str, settings: type[ServiceSettings], run: Callable[[Any], Coroutine[Any, Any, None]]) -> NoReturn:
    try:
        loaded = load(settings)
    except EmotionEdgeError as error:
        _fail(service, error)
    sys.exit(run_service(service, loaded.log, lambda: run(loaded)))


def _fail(command: str, error: EmotionEdgeError) -> NoReturn:
    print(f"emotion-edge {command}: {error}", file=sys.stderr)
    sys.exit(1)


@app.command()
def capture() -> None:
    """Read a camera, file or stream and hand its frames to the local broker."""
    from services.capture.main import run
    from services.capture.settings import CaptureSettings

    _serve("capture", CaptureSettings, run)


@app.command()
def classifier() -> None:
    """Find faces in the frames, read their emotion, and send what was seen through the outbox."""
    from services.classifier.main import run
    from services.classifier.settings import ClassifierSettings

    _serve("classifier", ClassifierSettings, run)


@app.command()
def ingest() -> None:
    """Store what arrives in Postgres, and acknowledge it once it is stored."""
    from services.ingest.main import run
    from services.ingest.settings import IngestSettings

    _serve("ingest", IngestSettings, run)


@app.command()
def web() -> None:
    """Serve the live page and the REST API."""
    from services.web.main import run
    from services.web.settings import WebSettings

    _serve("web", WebSettings, run)


@app.command()
def migrate() -> None:
    """Bring the database to this version's tables; safe to run at any time."""
    from services.migrate import MigrateSettings, run

    _serve("migrate", MigrateSettings, run)


@app.command()
def demo(
    source: Annotated[
        str, typer.Option(help="camera (0, /dev/video0), video file, folder, rtsp:// or http:// address, or sample")
    ] = "sample",
    port: Annotated[int, typer.Option(min=1, max=65535, help="port of the page")] = 8000,
    data: Annotated[Path, typer.Option(help="folder for everything that the demo keeps")] = Path("data/demo"),
) -> None:
    """Run everything on this machine: broker, database and all services in one process."""
    from services.demo import run_demo

    try:
        sys.exit(run_demo(source=source, port=port, data=data))
    except EmotionEdgeError as error:
        _fail("demo", error)


@app.command()
def analyze(
    video: Annotated[Path, typer.Argument(help="video file to read")],
    out: Annotated[Path | None, typer.Option(help="folder for the results; default: beside the video")] = None,
    annotated: Annotated[bool, typer.Option(help="also write the video with boxes and words")] = True,
) -> None:
    """Read a video file: its detections as CSV and JSON Lines, and an annotated video. Needs no servers."""
    from services.analyze import run_analyze

    try:
        run_analyze(video, out, annotated=annotated)
    except EmotionEdgeError as error:
        _fail("analyze", error)


@models.command("fetch")
def models_fetch() -> None:
    """Fetch the YuNet face detector from OpenCV's model zoo, once, and check its hash."""
    from services.classifier.fetch import fetch_detector
    from services.classifier.settings import ClassifierSettings

    try:
        path = fetch_detector(load(ClassifierSettings).models_dir)
    except EmotionEdgeError as error:
        _fail("models fetch", error)
    print(f"Face detector: {path}")


if __name__ == "__main__":
    app()
