"""The wrapper around each service's `run`: logging, signals, exit code."""

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from shared import logs
from shared.errors import EmotionEdgeError
from shared.settings import LogSettings

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def run_service(service: str, log: LogSettings, run: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Run `run()` until it ends, fails or a stop signal cancels it; return the process's exit code.

    0: ended or was told to stop. 1: an error whose text is for people; it is printed as one line. Anything else is a
    defect of ours and leaves with its traceback.
    """
    logs.setup(log, service)
    code = 0
    try:
        asyncio.run(_until_signal(service, run))
    except* EmotionEdgeError as group:
        for error in _leaves(group):
            print(f"emotion-edge {service}: {error}", file=sys.stderr)
        code = 1
    return code


async def _until_signal(service: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
    loop = asyncio.get_running_loop()
    work = asyncio.create_task(run(), name=service)
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        work.cancel()

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        await work
    except asyncio.CancelledError:
        if not stopped:
            raise
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)


def _leaves(group: BaseExceptionGroup[Any]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
