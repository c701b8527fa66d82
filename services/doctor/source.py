"""Can the source that is set be opened? Each kind as far as it can be told without opening it."""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from services.capture.settings import CaptureSettings
from services.capture.spec import SourceSpec, parse_source
from services.doctor import camera, network
from services.doctor.findings import Finding, ok, problem, warning
from services.doctor.places import in_container
from shared.errors import SettingsError

_PORTS: Final = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
_INSTALL_GSTREAMER: Final = "sudo apt install gstreamer1.0-tools   # in a container: the image capture-csi has it"


def look(settings: CaptureSettings, devices: Path = Path("/dev")) -> Iterator[Finding]:
    """Look at what EMOTION_SOURCE names."""
    try:
        spec = parse_source(settings.source)
    except SettingsError as error:
        yield problem("the source cannot be read", f"{error}.", "export EMOTION_SOURCE=0   # the first camera")
        return
    if spec.kind == "camera":
        path = devices / f"video{int(spec.value)}" if spec.value.isdigit() else Path(spec.value)
        yield from camera.look(path, container=in_container())
    elif spec.kind == "path":
        yield _path(Path(spec.value))
    elif spec.kind == "url":
        yield from _url(spec)
    elif spec.kind == "gstreamer":
        yield _gstreamer(spec)
    elif spec.kind == "browser":
        yield ok("the source is a browser's camera; open the page Camera of the web service on this device's broker")
    else:
        yield _sample(settings.data_dir)


def _path(path: Path) -> Finding:
    try:
        there = path.exists()
    except OSError as error:
        return problem(f"{path} cannot be looked at", f"{error.strerror}.", f"ls -ld {path}")
    if not there:
        cause = "There is no such file or folder here; in a container, only what is mounted into it is there."
        return problem(f"{path} is not there", cause, f"ls -l {path}")
    if not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0), effective_ids=True):
        return problem(
            f"{path} may not be read", f"This program runs as user {os.geteuid()}.", f"sudo chmod a+rX {path}"
        )
    if path.is_dir() and next(path.iterdir(), None) is None:
        return problem(f"{path} is empty", "A folder is played as pictures, and this one has none.", f"ls -l {path}")
    return ok(f"{path.name} can be read")


def _url(spec: SourceSpec) -> Iterator[Finding]:
    parts = urlsplit(spec.value)
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme.lower()]
    start = f"ping -c 3 {host}   # is the camera on, and its stream switched on in its own settings?"
    yield from network.reach(host, port, start=start)


def _gstreamer(spec: SourceSpec) -> Finding:
    if shutil.which("gst-launch-1.0") is None:
        return problem("GStreamer is not installed", "gst-launch-1.0 is not found.", _INSTALL_GSTREAMER)
    return ok(f"GStreamer is installed; the pipeline ({spec.name} …) was not started")


def _sample(data_dir: Path) -> Finding:
    if any(data_dir.glob("sample/portraits-v*.avi")) or all(
        importlib.util.find_spec(name) for name in ("skimage", "matplotlib")
    ):
        return warning(
            "the sample clip is shown, no camera",
            "EMOTION_SOURCE is not set, or is sample.",
            "export EMOTION_SOURCE=0   # the first camera",
        )
    return problem(
        "there is no sample clip",
        "EMOTION_SOURCE is not set, and the portraits that the sample is made of are not installed here.",
        "export EMOTION_SOURCE=0   # the first camera",
    )
