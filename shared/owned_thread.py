"""One thread that blocking work happens on, in order: vision, and cutting pictures."""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class OwnedThread:
    """Runs functions one after the other on its one thread. Made by `owned_thread`."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self._executor = executor

    def submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "asyncio.Future[T]":
        """Have `function` run; the future gives its result or its error."""
        context = contextvars.copy_context()

        def call() -> Any:
            return context.run(function, *args, **kwargs)

        return asyncio.get_running_loop().run_in_executor(self._executor, call)


@asynccontextmanager
async def owned_thread(name: str) -> AsyncIterator[OwnedThread]:
    """A thread for the length of the block; what runs on it at the end is waited for, without blocking the loop."""
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
    try:
        yield OwnedThread(executor)
    finally:
        await asyncio.get_running_loop().run_in_executor(executor, _nothing)
        executor.shutdown(wait=False)


def _nothing() -> None:
    """What runs last."""
