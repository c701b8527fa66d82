"""Chromium, what a page does in it, and made-up devices to look at."""

import asyncio
import itertools
import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from playwright.async_api import Browser, ConsoleMessage, Locator, Page, Request, Route, async_playwright, expect
from playwright.async_api import Error as PlaywrightError

from shared.messages import Desired, Live, Problem, Status, decode, encode_ack
from shared.mqtt import MqttLink, NotConnected
from shared.settings import MqttSettings
from tests.support import scenes
from tests.support.patience import WAIT_S

CHROMIUM = shutil.which("chromium", path="/usr/bin")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
]


@asynccontextmanager
async def chromium(*flags: str) -> AsyncIterator[Browser]:
    """A real Chromium, with more flags than the usual."""
    if CHROMIUM is None:
        pytest.fail("Chromium is not installed; `make test` installs it, or: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
        try:
            yield browser
        finally:
            await browser.close()


async def press(what: Locator, key: Literal["Enter", "Space"] = "Enter") -> None:
    """Press a key on something once it takes keys: unlike a click, Playwright's `press` doesn't wait for that."""
    await expect(what).to_be_enabled()
    await what.press(key, timeout=WAIT_S * 1000)


async def stop_clock(page: Page) -> None:
    """Have the page's clock stand still until it is moved, however slow this machine is.

    It is behind the server's, so that what is done just after midnight is one of the page's today, too.
    """
    now = datetime.now(UTC)
    await page.clock.install(time=now - timedelta(hours=2))
    await page.clock.pause_at(now - timedelta(hours=1))


async def press_answer(page: Page, name: str) -> None:
    """On the page Label, with the mouse, once that counts: not just after a face came."""
    await expect(page.locator("#choices[data-settling]")).to_have_count(0)
    await page.get_by_role("button", name=name).click()


class Visit:
    """A page and what it did that it should not do."""

    def __init__(self, page: Page, base: str) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.foreign: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self._requested(request.url, base))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _requested(self, url: str, base: str) -> None:
        self.requests.append(url)
        if not url.startswith((base, "data:")):
            self.foreign.append(url)


@asynccontextmanager
async def visiting(
    browser: Browser, base: str, *, width: int = 1280, theme: Literal["light", "dark"] = "light"
) -> AsyncIterator[Visit]:
    page = await browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
    visit = Visit(page, base)
    await page.goto(base)
    try:
        yield visit
    finally:
        await page.close()


@asynccontextmanager
async def page_of(
    browser: Browser, base: str, path: str, *, width: int = 1280, touch: bool = False
) -> AsyncIterator[tuple[Page, Visit]]:
    """A page in a browser context of its own, so that what it keeps is its own."""
    context = await browser.new_context(viewport={"width": width, "height": 900}, has_touch=touch)
    page = await context.new_page()
    visit = Visit(page, base)
    await page.goto(base + path)
    try:
        yield page, visit
    finally:
        await context.close()


class Held:
    """The first request of a kind waits, the others pass: for what pages do with answers that come late.

    It waits before the server has it; with `answered` it is its answer that waits, and tells of what was before.
    """

    def __init__(self, page: Page, method: str, url: str, *, answered: bool = False) -> None:
        self.came = asyncio.Event()
        self.ended = asyncio.Event()
        """The first one is answered, or the page has called it back."""
        self.most = 0
        """How many were under way at once."""
        self.release = asyncio.Event()
        self._first: Request | None = None
        self._under_way = 0
        self._page, self._method, self._url, self._answered = page, method, re.compile(url), answered
        page.on("request", self._begun)
        page.on("requestfinished", self._ended)
        page.on("requestfailed", self._ended)

    def _mine(self, request: Request) -> bool:
        return request.method == self._method and self._url.search(request.url) is not None

    def _begun(self, request: Request) -> None:
        if self._mine(request):
            self._under_way += 1
            self.most = max(self.most, self._under_way)

    def _ended(self, request: Request) -> None:
        if self._mine(request):
            self._under_way -= 1
            if request == self._first:
                self.ended.set()

    async def _at_the_door(self, route: Route) -> None:
        if not self._mine(route.request):
            await route.fallback()
            return
        answer = None
        if self._first is None:
            self._first = route.request
            answer = await route.fetch() if self._answered else None
            self.came.set()
            await self.release.wait()
        with suppress(PlaywrightError):  # called back meanwhile
            await (route.fulfill(response=answer) if answer else route.continue_())

    async def begin(self) -> "Held":
        """Stand at the door."""
        await self._page.route(self._url, self._at_the_door)
        return self

    async def let_through(self) -> None:
        """Let the first one go on, and wait until the page has its answer."""
        self.release.set()
        await self.ended.wait()
        await self._page.evaluate("fetch('/healthz').then(answer => answer.text())")  # an answer that comes after it


STATUS_EVERY = 50
"""A made-up device's readings between two statuses."""


class Device:
    """A made-up device that publishes as a real one does, ten times a second."""

    def __init__(self, mqtt: MqttSettings, name: str = "camera-1") -> None:
        self.name = name
        self.link = MqttLink(mqtt)
        self.topics = mqtt.topics
        self.scene: Callable[[int], Live] = lambda number: scenes.live(
            name, scenes.live_face(1, "happy", 0.84), scenes.unsure_face(2), number=number
        )
        self._told: dict[str, tuple[Status, timedelta]] = {}
        self.stores = True
        self.drawn: bool | None = None
        """Whether its previews have boxes and words drawn in."""

    async def status(self, service: str, state: str = "online", *problems: Problem) -> None:
        await self.tell(scenes.status(self.name, service, state, *problems))

    async def tell(self, status: Status) -> None:
        """Publish a status. While it plays it says the same again and again, as real ones do."""
        self._told[status.service] = (status, status.at - datetime.now(UTC))
        await self.link.publish(self.topics.status(self.name, status.service), status.to_json(), qos=1, retain=True)

    def wishes(self) -> asyncio.Queue[Desired]:
        """What is wished of it from now on. To be called before it plays."""
        queue: asyncio.Queue[Desired] = asyncio.Queue()
        topic = self.topics.desired(self.name)
        self.link.subscribe(topic, lambda topic, payload: queue.put_nowait(decode(Desired, topic, payload)), qos=1)
        return queue

    async def _play(self) -> None:
        for number in itertools.count(1):
            await self.link.connected.wait()
            with suppress(NotConnected):  # lost meanwhile
                await self._show(number)
            await asyncio.sleep(0.1)

    async def _show(self, number: int) -> None:
        if number % STATUS_EVERY == 0:
            for service in list(self._told):
                status, ahead = self._told[service]  # the newest: another may have been told meanwhile
                await self.tell(status.model_copy(update={"at": datetime.now(UTC) + ahead}))
        found = scenes.detection(self.name, scenes.face(1, "happy", 0.84), seq=number)
        await self.link.publish(self.topics.live(self.name), self.scene(number).to_json())
        picture = scenes.picture(device=self.name, box_x=100 + number % 300, number=number, drawn=self.drawn)
        await self.link.publish(self.topics.preview(self.name), picture)
        await self.link.publish(self.topics.detections(self.name), found.to_json(), qos=1)
        if self.stores:
            await self.link.publish(self.topics.ack(self.name), encode_ack([found.event_id]), qos=1)

    @asynccontextmanager
    async def linked(self) -> AsyncIterator["Device"]:
        """Connected, and silent until it is told what to publish."""
        connection = asyncio.create_task(self.link.run())
        await self.link.connected.wait()
        try:
            yield self
        finally:
            connection.cancel()
            await asyncio.gather(connection, return_exceptions=True)

    @asynccontextmanager
    async def playing(self) -> AsyncIterator["Device"]:
        async with self.linked():
            await self.status("capture")
            await self.status("classifier")
            play = asyncio.create_task(self._play())
            try:
                yield self
            finally:
                play.cancel()
                await asyncio.gather(play, return_exceptions=True)
