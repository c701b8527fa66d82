"""Programs as processes: started again whenever they end, as a service manager would, and struck down on demand."""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import psutil

_AGAIN_AFTER_S: Final = 0.5
_LOOK_EVERY_S: Final = 0.05
_UNCAUGHT: Final = ("Traceback (most recent call last)", "  + Exception Group Traceback")
_MIB: Final = 1024 * 1024


class Program:
    """One program. `before_start` runs each time while none of it is running."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
        before_start: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self._command = list(command)
        self._log = log
        self._environment = os.environ | dict(environment or {})
        self._user = user
        self._before_start = before_start
        self._own_ends: list[int] = []
        """Exit codes of ends that no fault had caused directly; below 0, the signal's number."""
        self._process: subprocess.Popen[bytes] | None = None
        self._may_run = asyncio.Event()
        self._may_run.set()

    def said(self, text: str) -> bool:
        """Whether `text` is in its log."""
        return text in self._log.read_text(errors="replace")

    def crashed(self) -> bool:
        """Whether an exception that nobody caught ever ended it; an error that is told in one line is no crash."""
        lines = self._log.read_text(errors="replace").splitlines()
        return any(line.startswith(_UNCAUGHT) for line in lines) or any(code not in (0, 1) for code in self._own_ends)

    async def run(self) -> None:
        """Keep it running until cancelled; then kill it."""
        try:
            while True:
                await self._may_run.wait()
                process = self._started()
                while process.poll() is None:  # noqa: ASYNC110 - for another process's end there is no event
                    await asyncio.sleep(_LOOK_EVERY_S)
                if self._may_run.is_set():
                    self._own_ends.append(process.returncode)
                    await asyncio.sleep(_AGAIN_AFTER_S)
        finally:
            self.kill()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._before_start is not None:
            self._before_start()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env=self._environment, user=self._user, group=self._user
            )
        return self._process

    def kill(self) -> None:
        """kill -9, its children too."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def hang_up(self) -> None:
        """SIGHUP, if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGHUP)

    async def killed_for(self, seconds: float) -> None:
        """Kill it and keep it down."""
        self._may_run.clear()
        self.kill()
        await asyncio.sleep(seconds)
        self._may_run.set()

    async def stopped_for(self, seconds: float) -> None:
        """SIGSTOP, its children too, and SIGCONT."""
        self._signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        self._signal(signal.SIGCONT)

    def resident_mib(self) -> float | None:
        """Its resident memory without its children's; None while it does not run."""
        if self._process is None or self._process.poll() is not None:
            return None
        with contextlib.suppress(psutil.NoSuchProcess):
            return float(psutil.Process(self._process.pid).memory_info().rss) / _MIB
        return None

    def _signal(self, number: int) -> None:
        for process in self._family():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _family(self) -> Iterator[psutil.Process]:
        """The process and its children; the parent first, so that it makes no more."""
        if self._process is None or self._process.poll() is not None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self._process.pid)
            children = parent.children(recursive=True)
            yield parent
            yield from children


@contextlib.asynccontextmanager
async def running(*programs: Program) -> AsyncIterator[None]:
    """Keep `programs` running."""
    tasks = [asyncio.create_task(program.run(), name=program.name) for program in programs]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result
