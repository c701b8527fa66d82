"""Waiting and handing over between tasks of one loop."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Newest(Generic[T]):
    """Holds at most `size` values; putting into a full one drops the oldest and counts it.

    For one consumer on one event loop.
    """

    def __init__(self, size: int = 1) -> None:
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        self._items: deque[T] = deque()
        self._size = size
        self._filled = asyncio.Event()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> None:
        """Add a value; never waits."""
        if len(self._items) == self._size:
            self._items.popleft()
            self.dropped += 1
        self._items.append(item)
        self._filled.set()

    async def get(self) -> T:
        """The oldest value that is still held; waits for one."""
        while not self._items:
            self._filled.clear()
            await self._filled.wait()
        return self._items.popleft()


async def wait_at_most(event: asyncio.Event, seconds: float | None) -> bool:
    """Wait for `event`, at most so long (None: for ever); say whether it is set.

    `asyncio.wait_for` before Python 3.12 loses a cancellation that comes in the same turn as the result, and a service
    that misses its cancellation never stops.
    """
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
