"""/healthz, /readyz and /metrics: the same three on every service."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from shared.errors import SettingsError
from shared.metrics import CONTENT_TYPE, Metrics
from shared.settings import HealthSettings

Readiness = Callable[[], dict[str, str]]
"""What keeps a service from working now, by part, in words; empty when it is ready."""

GRACE_S = 2
"""Seconds that open requests get when a server is told to stop."""


def health_routes(metrics: Metrics, readiness: Readiness) -> list[Route]:
    """The three routes, for a service's own application or for `serve_health`."""

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok", "service": metrics.service})

    async def readyz(_: Request) -> Response:
        missing = readiness()
        body = {"status": "not ready" if missing else "ready", "service": metrics.service, "missing": missing}
        return JSONResponse(body, status_code=503 if missing else 200)

    async def prometheus(_: Request) -> Response:
        return Response(metrics.render(), media_type=CONTENT_TYPE)

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", prometheus)]


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any that is free.

    Raises:
        SettingsError: if the port is taken or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(512)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            reason = "the port is taken by another program; stop it or choose another port"
        else:
            reason = error.strerror or str(error)
        raise SettingsError(f"cannot listen on {host}:{port}: {reason}") from None
    sock.setblocking(False)
    return sock


class Server(uvicorn.Server):
    """uvicorn without its signal handlers: the process's runner owns the signals and cancels `run`.

    uvicorn waits for open requests before it tells the application to stop, so endless responses (server-sent events)
    must be ended by `on_stop`, which is called first.
    """

    def __init__(self, app: ASGIApp, on_stop: Callable[[], None] | None = None) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=GRACE_S,
                server_header=False,
            )
        )
        self._on_stop = on_stop

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the process's signal handlers as they are."""
        yield

    async def run_until_cancelled(self, sock: socket.socket) -> None:
        """Serve on `sock`; on cancellation end open responses, then stop within the grace period."""
        serving = asyncio.create_task(self.serve(sockets=[sock]), name="http")
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            if self._on_stop is not None:
                self._on_stop()
            self.should_exit = True
            await serving
            raise
        finally:
            sock.close()


async def serve_health(settings: HealthSettings, metrics: Metrics, readiness: Readiness) -> None:
    """Serve the three routes until cancelled; with port 0, do nothing."""
    if settings.port == 0:
        return
    app = Starlette(routes=list(health_routes(metrics, readiness)))
    await Server(app).run_until_cancelled(listen(settings.host, settings.port))
