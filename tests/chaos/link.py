"""The link between edge and broker: a TCP proxy that can be cut, slow or half-open."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from enum import Enum
from typing import Final

_CHUNK: Final = 16 * 1024
_SLOW_BYTES_A_SECOND: Final = 40_000
_SLOW_DELAY_S: Final = 0.2


class State(Enum):
    """How the link is."""

    OPEN = "bytes pass"
    CUT = "connections are reset, new ones are refused"
    SLOW = "bytes pass late and few at a time"


class _Connection:
    """A connection through the link. `dead`: the broker's side is gone and the edge's side has not been told."""

    def __init__(self, edge: asyncio.StreamWriter, broker: asyncio.StreamWriter) -> None:
        self.edge = edge
        self.broker = broker
        self.dead = False

    def reset(self) -> None:
        self.edge.transport.abort()
        self.broker.transport.abort()


class Link:
    """Made by `open_link`."""

    def __init__(self, broker_port: int) -> None:
        self.state = State.OPEN
        self._broker_port = broker_port
        self._connections: set[_Connection] = set()

    def cut(self) -> None:
        """Reset all connections and refuse new ones until `state` is another."""
        self.state = State.CUT
        self.reset()

    def reset(self) -> None:
        """Reset all connections."""
        for connection in self._connections:
            connection.reset()

    def half_open(self) -> None:
        """Take the broker's side away from the connections there are; the edge's side stays open and silent.

        So they remain until the edge gives them up. New connections pass.
        """
        for connection in self._connections:
            connection.dead = True
            connection.broker.transport.abort()

    async def carry(self, from_edge: asyncio.StreamReader, to_edge: asyncio.StreamWriter) -> None:
        """Serve one connection from the edge until either side ends it."""
        if self.state is State.CUT:
            to_edge.transport.abort()
            return
        try:
            from_broker, to_broker = await asyncio.open_connection("127.0.0.1", self._broker_port)
        except OSError:
            to_edge.transport.abort()
            return
        connection = _Connection(to_edge, to_broker)
        self._connections.add(connection)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._upwards(connection, from_edge))
                tasks.create_task(self._downwards(connection, from_broker))
        finally:
            connection.reset()
            self._connections.discard(connection)

    async def _upwards(self, connection: _Connection, from_edge: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while data := await from_edge.read(_CHUNK):
                await self._dawdle(len(data))
                if not connection.dead:
                    with contextlib.suppress(OSError):
                        connection.broker.write(data)
                        await connection.broker.drain()
        connection.reset()

    async def _downwards(self, connection: _Connection, from_broker: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while data := await from_broker.read(_CHUNK):
                await self._dawdle(len(data))
                connection.edge.write(data)
                await connection.edge.drain()
        if not connection.dead:
            connection.reset()

    async def _dawdle(self, size: int) -> None:
        if self.state is State.SLOW:
            await asyncio.sleep(_SLOW_DELAY_S + size / _SLOW_BYTES_A_SECOND)


@contextlib.asynccontextmanager
async def open_link(port: int, broker_port: int) -> AsyncIterator[Link]:
    """Listen on `port` of the loopback address and pass everything on to `broker_port`."""
    link = Link(broker_port)
    server = await asyncio.start_server(link.carry, "127.0.0.1", port, limit=_CHUNK)
    try:
        yield link
    finally:
        server.close()
        link.cut()
        await server.wait_closed()
