"""The GStreamer subprocess; a small script stands in for gst-launch-1.0 where it is not installed."""

import os
import signal
import stat
import sys
import threading
from pathlib import Path

import psutil
import pytest

from services.capture.frames import SourceTrouble
from services.capture.sources import gstreamer
from services.capture.sources.gstreamer import PROGRAM, GStreamerSource, command
from tests.support.patience import STOPS_WITHIN_S


@pytest.fixture
def launcher(tmp_path: Path, jpeg: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `gst-launch-1.0` that runs the Python given as its pipeline, with `jpeg` and `out` at hand."""
    (tmp_path / "picture.jpg").write_bytes(jpeg)
    program = tmp_path / PROGRAM
    program.write_text(
        f"#!{sys.executable}\n"
        "import os, pathlib, signal, subprocess, sys, time\n"
        f"jpeg = pathlib.Path({str(tmp_path / 'picture.jpg')!r}).read_bytes()\n"
        "def out(data):\n    sys.stdout.buffer.write(data)\n    sys.stdout.flush()\n"
        "assert sys.argv[1] == '--quiet' and sys.argv[3:] == ['!', 'fdsink', 'fd=1'], sys.argv\n"
        "exec(sys.argv[2])\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return program


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has closed its output has its time to end, however slow this machine is."""
    monkeypatch.setattr(gstreamer, "_TERM_S", STOPS_WITHIN_S)


def pipeline(code: str) -> GStreamerSource:
    return GStreamerSource(f'"{code}"', "fake")


@pytest.mark.usefixtures("launcher", "patient")
def test_the_pictures_in_the_pipe_are_passed_through_until_its_end(jpeg: bytes) -> None:
    source = pipeline("out(jpeg * 3 + b'noise' + jpeg)")
    readings = [source.read() for _ in range(4)]
    assert [reading.data for reading in readings if reading] == [jpeg] * 4
    assert source.read() is None
    source.close()


@pytest.mark.usefixtures("launcher", "patient")
def test_a_pipeline_that_fails_is_told_in_its_own_words_without_passwords() -> None:
    source = pipeline(
        "print('Setting up', file=sys.stderr); "
        "print('ERROR: no such host rtsp://admin:hunter2@cam/', file=sys.stderr); sys.exit(1)"
    )
    with pytest.raises(SourceTrouble, match=r"exit code 1.*ERROR: no such host rtsp://\*\*\*@cam/"):
        source.read()
    source.close()


@pytest.mark.usefixtures("launcher")
def test_aborting_ends_a_read_that_waits() -> None:
    source = pipeline("time.sleep(60)")
    threading.Timer(0.1, source.abort).start()
    assert source.read() is None
    source.close()


@pytest.mark.usefixtures("launcher")
def test_closing_ends_the_whole_process_group_even_one_that_will_not_go(jpeg: bytes) -> None:
    source = pipeline(
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "child = subprocess.Popen(['sleep', '60']); out(jpeg); time.sleep(60)"
    )
    assert source.read() is not None
    children = psutil.Process(source._process.pid).children()
    assert len(children) == 1
    source.close()
    assert source._process.returncode == -signal.SIGKILL
    psutil.wait_procs(children, timeout=STOPS_WITHIN_S)
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)


@pytest.mark.usefixtures("launcher")
def test_a_flood_of_messages_does_not_stop_the_pictures(jpeg: bytes) -> None:
    source = pipeline("sys.stderr.write('warning ' * 100000); sys.stderr.flush(); out(jpeg)")
    reading = source.read()
    assert reading is not None
    assert reading.data == jpeg
    source.close()


@pytest.mark.usefixtures("launcher")
def test_a_pipeline_with_a_sink_of_its_own_keeps_it() -> None:
    assert command("a ! fdsink fd=1 sync=false")[2:] == ["a", "!", "fdsink", "fd=1", "sync=false"]
    assert command("a ! b")[2:] == ["a", "!", "b", "!", "fdsink", "fd=1"]


@pytest.mark.usefixtures("launcher")
def test_quotes_that_do_not_close_are_told() -> None:
    with pytest.raises(SourceTrouble, match="Close its quotes"):
        command("a 'b")


def test_a_machine_without_gstreamer_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SourceTrouble, match=r"apt install gstreamer1\.0-tools"):
        command("videotestsrc")
