"""`emotion-edge`: one command for every service and tool.

Each service is imported by its own command, so that an image holds only what its service needs.
"""

import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from shared.errors import EmotionEdgeError
from shared.paths import in_words
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
certs = typer.Typer(help="The private certificate authority of the cloud's broker.", no_args_is_help=True)
app.add_typer(certs, name="certs")
device = typer.Typer(help="Who may log in to the cloud's broker.", no_args_is_help=True)
app.add_typer(device, name="device")
user = typer.Typer(help="Who may log in to the web service.", no_args_is_help=True)
app.add_typer(user, name="user")

SecretsFolder = Annotated[
    Path, typer.Option("--folder", help="folder of the authority, the certificates and the broker's passwords")
]
Days = Annotated[int, typer.Option(min=1, max=3650, help="days that a certificate is valid")]
BrokerHost = Annotated[str, typer.Option(help="host name of the cloud's broker, as its certificate has it")]
BrokerPort = Annotated[int, typer.Option(min=1, max=65535, help="its TLS port")]
PidFile = Annotated[
    Path | None, typer.Option(help="the broker's pid file, where it runs on this machine: it is told to reload")
]
_SECRETS = Path("secrets")
_DAYS = 397
_RELOAD = "Have the broker read it: send it SIGHUP (`docker compose kill -s HUP broker`)."


def _serve(service: str, settings: type[ServiceSettings], run: Callable[[Any], Coroutine[Any, Any, None]]) -> NoReturn:
    with _told(service):
        loaded = load(settings)
    sys.exit(run_service(service, loaded.log, lambda: run(loaded)))


@contextmanager
def _told(command: str) -> Iterator[None]:
    """Ends the program with one line where `command` meets what its user can mend."""
    try:
        yield
    except EmotionEdgeError as error:
        text = str(error)
    except OSError as error:
        if error.filename is None:  # not of a file: nobody foresaw it
            raise
        text = in_words(error)
    else:
        return
    print(f"emotion-edge {command}: {text}", file=sys.stderr)
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
def migrate(
    back_to: Annotated[
        str | None, typer.Option(help="take back what came after this schema, before going back to an older version")
    ] = None,
) -> None:
    """Bring the database to this version's tables; safe to run at any time."""
    from services.migrate import MigrateSettings, run

    _serve("migrate", MigrateSettings, partial(run, back_to=back_to))


@app.command()
def pause() -> None:
    """On the device: stop its camera, until `emotion-edge resume` is given here. Nothing from afar undoes it."""
    from services.pause import run_pause

    with _told("pause"):
        run_pause(pause=True)


@app.command()
def resume() -> None:
    """On the device: lift the pause that was set here."""
    from services.pause import run_pause

    with _told("resume"):
        run_pause(pause=False)


@app.command()
def retention() -> None:
    """Drop what has been kept for long enough, once; ingest does it by itself every hour."""
    from services.privacy import run_retention

    with _told("retention"):
        run_retention()


@app.command()
def erase(
    device: Annotated[str | None, typer.Option(help="all of this device")] = None,
    begin: Annotated[str | None, typer.Option("--from", help="captured at or after, as 2026-03-01T12:00:00Z")] = None,
    end: Annotated[str | None, typer.Option("--to", help="captured before; now, where it is not given")] = None,
    item: Annotated[str | None, typer.Option("--id", help="one detection with its picture, or one picture")] = None,
    session: Annotated[str | None, typer.Option(help="one study session, by its id: its records and itself")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
) -> None:
    """Erase records, and what was made of them, for good, and show that nothing is left."""
    from services.privacy import run_erase

    with _told("erase"):
        run_erase(device=device, begin=begin, end=end, item=item, session=session, yes=yes)


@app.command()
def export(
    dataset: Annotated[str, typer.Argument(help="name or id of a dataset that is ready")],
    form: Annotated[str, typer.Option("--format", help="folders, fer2013, webdataset or parquet")] = "folders",
    out: Annotated[Path | None, typer.Option(help="file to write; default: DATASET-FORMAT.zip here")] = None,
) -> None:
    """Write a dataset of labelled faces as one file; given again after it was cut off, it goes on."""
    from services.export import run_export

    with _told("export"):
        run_export(dataset=dataset, form=form, out=out)


@app.command()
def audit(
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="so many of the newest entries")] = 100,
    action: Annotated[str | None, typer.Option(help="only this action: view, watch, erase, retention, pause …")] = None,
) -> None:
    """Print who saw, paused or erased what."""
    from services.privacy import run_audit

    with _told("audit"):
        run_audit(limit=limit, action=action)


@app.command()
def doctor(
    service: Annotated[
        list[str] | None,
        typer.Argument(help="capture, classifier, ingest, web or migrate; default: those that are installed here"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print it for a program")] = False,
) -> None:
    """Say what is wrong here, and the command that mends it. Changes nothing; the exit code is 1 at a problem."""
    from services.doctor.main import run_doctor

    with _told("doctor"):
        status = run_doctor(service or (), as_json=as_json)
    sys.stdout.flush()
    # Not sys.exit: that waits for threads of the resolver or a driver, which may never answer.
    os._exit(status)


@app.command()
def demo(
    source: Annotated[
        str,
        typer.Option(help="camera (0, /dev/video0), video file, folder, rtsp:// or http:// address, sample, browser"),
    ] = "sample",
    port: Annotated[int, typer.Option(min=1, max=65535, help="port of the page")] = 8000,
    data: Annotated[Path, typer.Option(help="folder for everything that the demo keeps")] = Path("data/demo"),
) -> None:
    """Run everything on this machine: broker, database and all services in one process."""
    from services.demo import run_demo

    with _told("demo"):
        sys.exit(run_demo(source=source, port=port, data=data))


@app.command()
def analyze(
    video: Annotated[Path, typer.Argument(help="video file to read")],
    out: Annotated[Path | None, typer.Option(help="folder for the results; default: beside the video")] = None,
    annotated: Annotated[bool, typer.Option(help="also write the video with boxes and words")] = True,
) -> None:
    """Read a video file: its detections as CSV and JSON Lines, and an annotated video. Needs no servers."""
    from services.analyze import run_analyze

    with _told("analyze"):
        run_analyze(video, out, annotated=annotated)


@models.command("fetch")
def models_fetch() -> None:
    """Fetch the YuNet face detector from OpenCV's model zoo, once, and check its hash."""
    from services.classifier.fetch import fetch_detector
    from services.classifier.settings import ClassifierSettings

    with _told("models fetch"):
        path = fetch_detector(load(ClassifierSettings).models_dir)
    print(f"Face detector: {path}")


@certs.command("make")
def certs_make(
    name: Annotated[list[str], typer.Option(help="host name or address by which clients reach the broker; repeatable")],
    folder: SecretsFolder = _SECRETS,
    days: Days = _DAYS,
) -> None:
    """Make the authority, where there is none, and the broker's certificate."""
    from services.certs import Certificates

    with _told("certs make"):
        Certificates(folder).make(name, days)
    print(f"The broker's files: {folder / 'broker'}")
    print(f"Devices and services trust it by {folder / 'broker' / 'ca.pem'}, which is no secret.")
    print(f"Keep {folder / 'authority' / 'ca.key'} to yourself, with a backup: it signs the next certificates.")


@certs.command("client")
def certs_client(
    name: Annotated[str, typer.Argument(help="the client's user name: a device, or _ingest, _web")],
    folder: SecretsFolder = _SECRETS,
    days: Days = _DAYS,
) -> None:
    """Make a client's certificate, for a broker that asks for one (mutual TLS)."""
    from services.certs import Certificates

    with _told("certs client"):
        made = Certificates(folder).add_client(name, days)
    print(f"For {name}: {made}")


@certs.command("renew")
def certs_renew(
    name: Annotated[
        list[str] | None, typer.Option(help="new host names and addresses of the broker; default: as before")
    ] = None,
    folder: SecretsFolder = _SECRETS,
    days: Days = _DAYS,
    pid_file: PidFile = None,
) -> None:
    """Replace all certificates but the authority's: those who trust it need nothing new."""
    from services.certs import Certificates
    from services.device import reload_broker

    with _told("certs renew"):
        for path in Certificates(folder).renew(name or (), days):
            print(f"Renewed: {path}")
        if pid_file is not None:
            reload_broker(pid_file)
    if pid_file is None:
        print(_RELOAD)


@certs.command("show")
def certs_show(folder: SecretsFolder = _SECRETS) -> None:
    """Say when each certificate expires; the exit code is 1 where one needs something done."""
    from services.certs import Certificates

    now = datetime.now(UTC)
    with _told("certs show"):
        shown = Certificates(folder, now).show()
    for one in shown:
        names = f" ({', '.join(one.names)})" if one.names else ""
        print(f"{one.what}{names}: valid until {one.expires:%Y-%m-%d}, {one.days_left(now)} days")
        if one.problem is not None:
            print(f"  {one.path} {one.problem}")
    sys.exit(1 if any(one.problem for one in shown) else 0)


@device.command("add")
def device_add(
    name: Annotated[str, typer.Argument(help="the device's name: small letters, digits, hyphens")],
    host: BrokerHost,
    port: BrokerPort = 8883,
    ca_file: Annotated[
        str | None, typer.Option(help="where ca.pem will lie on the device; default: it stands in the settings")
    ] = None,
    env_file: Annotated[Path | None, typer.Option(help="write the settings here instead of printing them")] = None,
    folder: SecretsFolder = _SECRETS,
    pid_file: PidFile = None,
) -> None:
    """Let a device log in. Its password is shown here, once, or written to the file."""
    from services.device import PasswordFile, add_device, reload_broker, trusted_authority

    with _told("device add"):
        ca = trusted_authority(folder / "broker" / "ca.pem", ca_file)
        text = add_device(PasswordFile(_passwords(folder)), name, env_file, host=host, port=port, ca=ca)
        if env_file is None:
            print(text, end="")
        else:
            print(f"Settings with the password: {env_file}. Bring it to the device.")
        if pid_file is not None:
            reload_broker(pid_file)
    if pid_file is None:
        print(_RELOAD, file=sys.stderr)


@device.command("list")
def device_list(folder: SecretsFolder = _SECRETS) -> None:
    """Name the devices that may log in."""
    from services.device import PasswordFile

    with _told("device list"):
        names = PasswordFile(_passwords(folder)).devices()
    print("\n".join(names) if names else "No device may log in yet; `emotion-edge device add NAME` lets one in.")


@device.command("remove")
def device_remove(
    name: Annotated[str, typer.Argument(help="the device's name")],
    folder: SecretsFolder = _SECRETS,
    pid_file: PidFile = None,
) -> None:
    """Let a device log in no more. When the broker reloads, it also ends the session that the device has."""
    from services.device import PasswordFile, checked_name, reload_broker

    with _told("device remove"):
        PasswordFile(_passwords(folder)).remove(checked_name(name))
        if pid_file is not None:
            reload_broker(pid_file)
    print(f"{name} may log in no more." if pid_file else f"{name} is removed, and still logged in. {_RELOAD}")


@device.command("services")
def device_services(
    host: BrokerHost,
    port: BrokerPort = 8883,
    ca_file: Annotated[str, typer.Option(help="where ca.pem will lie for the services")] = "/run/secrets/ca.pem",
    folder: SecretsFolder = _SECRETS,
    pid_file: PidFile = None,
) -> None:
    """Give ingest and web new passwords of their own, written to FOLDER/ingest.env and FOLDER/web.env."""
    from services.device import PasswordFile, add_services, reload_broker

    with _told("device services"):
        written = add_services(PasswordFile(_passwords(folder)), folder, host=host, port=port, ca_file=ca_file)
        if pid_file is not None:
            reload_broker(pid_file)
    print("Settings with the passwords: " + ", ".join(str(path) for path in written))
    if pid_file is None:
        print(_RELOAD)


@user.command("add")
def user_add(
    name: Annotated[str, typer.Argument(help="small letters, digits, and . _ @ - between them")],
    role: Annotated[str, typer.Option(help="viewer, labeller, researcher or admin")] = "viewer",
) -> None:
    """Let somebody log in. The temporary password is shown here, once; they change it when they log in."""
    from services.people import add_user
    from services.web.accounts.passwords import TEMPORARY_DAYS

    with _told("user add"):
        password = add_user(name, role)
    print(f"Within {TEMPORARY_DAYS} days {name} may log in as {role} with the password {password}")


@user.command("reset")
def user_reset(name: Annotated[str, typer.Argument(help="whose password is forgotten")]) -> None:
    """Make a new temporary password, shown here once; they are logged out everywhere, and enabled if they were not."""
    from services.people import reset_user
    from services.web.accounts.passwords import TEMPORARY_DAYS

    with _told("user reset"):
        password = reset_user(name)
    print(f"Within {TEMPORARY_DAYS} days {name} may log in with the password {password}")


@user.command("list")
def user_list() -> None:
    """Name everybody who may log in, with their role."""
    from services.people import list_users

    with _told("user list"):
        lines = list_users()
    print(
        "\n".join(lines) if lines else "Nobody may log in yet; `emotion-edge user add NAME --role admin` lets one in."
    )


def _passwords(folder: Path) -> Path:
    return folder / "broker" / "passwords"


if __name__ == "__main__":
    app()
