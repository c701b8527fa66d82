"""A pytest plugin, for `make test-stalls`: the machine stands still now and then, as one that is shared with others.

All that the tests have started, browsers and servers too, is stopped together and goes on together. Their clocks go on.
What holds only where no second passes between two steps does not hold here.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from typing import Final

import psutil
import pytest

RUNS_S: Final = 7.0
"""How long it runs from one stop to the next, in the mean."""
STANDS_S: Final = (0.3, 5.5)
PATIENCE: Final = 5
"""How much more time than it asks for each test gets."""

_keeper: subprocess.Popen[bytes] | None = None


def pytest_configure(config: pytest.Config) -> None:
    """Have another process stop this one."""
    global _keeper
    _keeper = subprocess.Popen([sys.executable, "-m", "tests.support.stalls", str(os.getpid())], cwd=config.rootpath)


def pytest_unconfigure() -> None:
    """Stop no more."""
    if _keeper is not None:
        _keeper.terminate()
        _keeper.wait()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give every test more time."""
    for item in items:
        marker = item.get_closest_marker("timeout")
        asked = marker.args[0] if marker else float(config.getini("timeout"))
        item.add_marker(pytest.mark.timeout(PATIENCE * asked), append=False)


def keep_stopping(tests: psutil.Process) -> None:
    """Stop the tests and all that they began, and let them go on, until they have ended."""
    while tests.is_running() and tests.status() != psutil.STATUS_ZOMBIE:
        time.sleep(min(4 * RUNS_S, random.expovariate(1 / RUNS_S)))
        stopped: list[psutil.Process] = []
        try:
            for process in [tests, *tests.children(recursive=True)]:
                if process.pid != os.getpid():
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.suspend()
                        stopped.append(process)
            time.sleep(random.uniform(*STANDS_S))
        finally:
            for process in reversed(stopped):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.resume()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # also then what is stopped goes on
    with contextlib.suppress(psutil.NoSuchProcess):
        keep_stopping(psutil.Process(int(sys.argv[1])))
