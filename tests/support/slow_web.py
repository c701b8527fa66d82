"""A pytest plugin, for `make test-slow`: answers of the web service come late, and the browser's processor is slow.

What a test or a page does before a page is ready, it does by luck on a fast machine. Here it has none.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
from playwright.async_api import Browser, BrowserContext, Page
from starlette.types import ASGIApp, Receive, Scope, Send

import services.web.main
from services.web.app import create_app

LATE_S: Final = (0.05, 1.5)
"""How late an answer of the REST interface or a script comes, drawn anew for each."""
TIMES_SLOWER: Final = 4
PATIENCE_S: Final = 1200.0
"""For one test: many pages, each with a dozen scripts."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test more time than it asks for."""
    for item in items:
        item.add_marker(pytest.mark.timeout(PATIENCE_S), append=False)


@pytest.fixture(autouse=True)
def late_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the web services of this process answer late."""

    def create_late_app(**parts: Any) -> ASGIApp:
        app = create_app(**parts)

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and (scope["path"].startswith("/api/") or scope["path"].endswith(".js")):
                await asyncio.sleep(random.uniform(*LATE_S))
            await app(scope, receive, send)

        return answer

    monkeypatch.setattr(services.web.main, "create_app", create_late_app)


@pytest.fixture(autouse=True)
def slow_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow every page's processor down."""

    def slowed(new_page: Callable[..., Awaitable[Page]]) -> Callable[..., Awaitable[Page]]:
        async def new_slow_page(*arguments: Any, **options: Any) -> Page:
            page = await new_page(*arguments, **options)
            session = await page.context.new_cdp_session(page)
            await session.send("Emulation.setCPUThrottlingRate", {"rate": TIMES_SLOWER})
            return page

        return new_slow_page

    for opener in (Browser, BrowserContext):
        monkeypatch.setattr(opener, "new_page", slowed(opener.new_page))
