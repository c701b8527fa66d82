"""A GStreamer pipeline in a process of its own that writes JPEGs to a pipe.

For cameras that only GStreamer reaches (CSI cameras on a Jetson), since OpenCV's wheel comes without it.
"""

import contextlib
import os
import selectors
import shlex
import shutil
import signal
import subprocess
from collections import deque
from typing import Final

from services.capture.frames import Reading, SourceTrouble
from services.capture.spec import without_secrets
from shared.jpeg import JpegSplitter
from shared.messages import Source

PROGRAM: Final = "gst-launch-1.0"
_CHUNK: Final = 256 * 1024
_KEPT_ERROR_BYTES: Final = 2000
_POLL_S: Final = 0.5
_TERM_S: Final = 1.0


class GStreamerSource:
    """`gst-launch-1.0 PIPELINE ! fdsink`, its output cut into JPEGs; ended with its whole process group."""

    live = True

    def __init__(self, pipeline: str, name: str) -> None:
        self.source = Source(kind="gstreamer", name=name)
        self._splitter = JpegSplitter()
        self._pictures: deque[bytes] = deque()
        self._errors = bytearray()
        self._aborted = False
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the user's own pipeline, without a shell
                command(pipeline),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise SourceTrouble(f"{PROGRAM} cannot be started", error.strerror or str(error)) from None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._out, self._err = self._process.stdout.fileno(), self._process.stderr.fileno()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._out, selectors.EVENT_READ)
        self._selector.register(self._err, selectors.EVENT_READ)

    def read(self) -> Reading | None:
        """The next picture; None when the pipeline came to its end without an error."""
        while not self._pictures:
            if self._aborted:
                return None
            for key, _ in self._selector.select(_POLL_S):
                self._take(key.fd)
            if not self._selector.get_map() and not self._pictures:
                self._check_end()
                return None
        return Reading(self._pictures.popleft())

    def abort(self) -> None:
        """Tell the pipeline's processes to end."""
        self._aborted = True
        self._signal(signal.SIGTERM)

    def close(self) -> None:
        """End the pipeline's processes, the hard way if they do not go by themselves."""
        self._selector.close()
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(_TERM_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._signal(signal.SIGKILL)
            self._process.wait()
            for pipe in (self._process.stdout, self._process.stderr):
                if pipe is not None:
                    pipe.close()

    def _take(self, fd: int) -> None:
        data = os.read(fd, _CHUNK)
        if not data:
            self._selector.unregister(fd)
        elif fd == self._out:
            self._pictures.extend(self._splitter.feed(data))
        else:
            self._errors += data
            del self._errors[:-_KEPT_ERROR_BYTES]

    def _check_end(self) -> None:
        try:
            code = self._process.wait(_TERM_S)
        except subprocess.TimeoutExpired:
            code = -1
        if code == 0 or self._aborted:
            return
        lines = [line.strip() for line in self._errors.decode(errors="replace").splitlines() if line.strip()]
        told = next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "it says nothing")
        raise SourceTrouble(
            f"The GStreamer pipeline {self.source.name} stopped (exit code {code})",
            without_secrets(told),
            f"Try it by hand: {PROGRAM} PIPELINE ! fakesink; it must make JPEGs (jpegenc or nvjpegenc)",
        )

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended already
            os.killpg(self._process.pid, number)


def command(pipeline: str) -> list[str]:
    """The command line for `pipeline`; it ends in the pipe unless it names a sink of its own.

    Raises:
        SourceTrouble: if GStreamer is not installed or the pipeline's quotes do not close.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise SourceTrouble(
            "GStreamer is not installed",
            f"there is no program {PROGRAM}",
            "sudo apt install gstreamer1.0-tools gstreamer1.0-plugins-good",
        )
    try:
        words = shlex.split(pipeline)
    except ValueError as error:
        raise SourceTrouble("The GStreamer pipeline cannot be read", str(error), "Close its quotes") from None
    if "fdsink" not in words and "filesink" not in words:
        words += ["!", "fdsink", "fd=1"]
    return [program, "--quiet", *words]
