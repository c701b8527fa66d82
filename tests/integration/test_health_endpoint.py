"""/healthz, /readyz and /metrics over real HTTP."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

from services.embedded import free_port
from shared.errors import SettingsError
from shared.health import Server, listen, serve_health
from shared.metrics import Metrics
from shared.settings import HealthSettings
from tests.support.patience import STOPS_WITHIN_S, WAIT_S


async def reachable(client: httpx.AsyncClient, url: str) -> httpx.Response:
    while True:
        try:
            return await client.get(url)
        except httpx.ConnectError:
            await asyncio.sleep(0.01)


async def test_the_three_routes_tell_life_readiness_and_metrics() -> None:
    missing: dict[str, str] = {"broker": "not reached"}
    metrics = Metrics("example")
    metrics.counter("things", "Things seen.").inc(3)
    settings = HealthSettings(port=free_port())
    task = asyncio.create_task(serve_health(settings, metrics, lambda: missing))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{settings.port}", timeout=WAIT_S) as client:
        assert (await reachable(client, "/healthz")).json() == {"status": "ok", "service": "example"}
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["missing"]) == (503, {"broker": "not reached"})
        missing.clear()
        assert (await client.get("/readyz")).status_code == 200
        assert "emotion_example_things_total 3.0" in (await client.get("/metrics")).text
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_taken_port_is_told_in_words() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"127.0.0.1:{port}: the port is taken"):
            listen("127.0.0.1", port)


async def test_an_endless_response_does_not_hold_up_the_stop() -> None:
    ended = asyncio.Event()

    async def endless(_: object) -> StreamingResponse:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"begin\n"
            await ended.wait()

        return StreamingResponse(chunks())

    sock = listen("127.0.0.1", 0)
    port = sock.getsockname()[1]
    server = Server(Starlette(routes=[Route("/", endless)]), on_stop=ended.set)
    task = asyncio.create_task(server.run_until_cancelled(sock))
    async with (
        httpx.AsyncClient(timeout=WAIT_S) as client,
        client.stream("GET", f"http://127.0.0.1:{port}/") as response,
    ):
        assert await anext(response.aiter_lines()) == "begin"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, STOPS_WITHIN_S)
