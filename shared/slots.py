"""Waiting and handing over between tasks of one loop."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
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


class Budget:
    """At most so much at once, first come first served; what is more than all of it goes alone.

    For the tasks of one event loop.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        self._size = size
        self._free = size
        self._line: deque[tuple[int, asyncio.Future[None]]] = deque()

    @contextlib.asynccontextmanager
    async def taken(self, amount: int) -> AsyncIterator[None]:
        """Hold `amount` for as long as the context lasts; waits until all who came before have theirs."""
        amount = min(amount, self._size)
        if self._line or amount > self._free:
            await self._stand_in_line(amount)
        self._free -= amount
        self._call_next()
        try:
            yield
        finally:
            self._free += amount
            self._call_next()

    async def _stand_in_line(self, amount: int) -> None:
        place = (amount, asyncio.get_running_loop().create_future())
        self._line.append(place)
        try:
            await place[1]
        except asyncio.CancelledError:
            self._line.remove(place)
            self._call_next()
            raise
        # Only now: who comes between the call and this step would overtake.
        self._line.remove(place)

    def _call_next(self) -> None:
        if self._line:
            amount, turn = self._line[0]
            if amount <= self._free and not turn.done():
                turn.set_result(None)


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
