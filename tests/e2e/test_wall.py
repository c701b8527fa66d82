"""The live wall in a real browser: many devices, one opened large, boxes drawn from data, and what idle tiles cost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from playwright.async_api import Browser, expect

from shared.messages import Live
from shared.mqtt import MqttLink
from shared.settings import MqttSettings
from tests.support import scenes
from tests.support.browser import Device, press, visiting
from tests.support.web import running_web, web_settings

IDLE_DEVICES = 16
PUBLISHED_EACH = 12
"""Pictures that each idle device sends while the page is watched."""

pytestmark = pytest.mark.timeout(180)


async def test_a_wall_opens_one_device_large_with_boxes_from_data_and_leads_back(
    browser: Browser, mqtt_settings: MqttSettings
) -> None:
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(running_web(web_settings(mqtt_settings)))
        for name in ("camera-1", "camera-2"):
            device = Device(mqtt_settings, name)
            device.drawn = False  # as one sends that a wall has asked
            await stack.enter_async_context(device.playing())
        visit = await stack.enter_async_context(visiting(browser, base))
        page = visit.page
        first, second = (page.get_by_role("article", name=name) for name in ("camera-1", "camera-2"))
        for tile in (first, second):
            await expect(tile.locator(".faces li").first).to_contain_text("Looks happy")
            await expect(tile.locator("[data-part=recording]")).to_have_text("Not recording pictures")
            await expect(tile.get_by_role("img")).to_be_visible()
            await expect(tile.locator(".timeline")).to_be_hidden()
        async with page.expect_request("**/api/v1/live?*large=camera-2*"):
            await press(second.get_by_role("link", name="camera-2"))
        await expect(page).to_have_url(f"{base}/?device=camera-2")
        await expect(first).to_be_hidden()
        await expect(second.locator(".timeline")).to_be_visible()
        boxes = second.locator("svg.overlay rect.box")
        await expect(boxes).to_have_count(2)
        await expect(second.locator("svg.overlay text").first).to_have_text("Looks happy 80%")
        toggle = second.get_by_role("button", name="Boxes and words")
        await press(toggle)
        await expect(boxes).to_have_count(0)
        await page.reload()
        await expect(second.locator(".faces li").first).to_contain_text("Looks happy")
        await expect(toggle).to_have_attribute("aria-pressed", "false")
        await press(toggle)
        await expect(boxes).to_have_count(2)
        await page.keyboard.press("f")
        await page.wait_for_function("document.fullscreenElement?.dataset.part === 'figure'")
        await page.evaluate("document.exitFullscreen()")
        await page.wait_for_function("document.fullscreenElement === null")
        await page.keyboard.press("Escape")
        await expect(page).to_have_url(f"{base}/")
        await expect(first).to_be_visible()
        await page.go_back()
        await expect(first).to_be_hidden()
        await page.goto(f"{base}/?device=nobody")
        await expect(page.locator("#empty-title")).to_have_text("This device is not known")
        assert visit.complaints == []


@asynccontextmanager
async def idle_devices(mqtt: MqttSettings) -> AsyncIterator[asyncio.Task[None]]:
    """Devices in whose pictures nobody is; gives the task that ends when each has sent its pictures."""
    link = MqttLink(mqtt)
    connection = asyncio.create_task(link.run())
    await link.connected.wait()
    names = [f"room-{number:02}" for number in range(IDLE_DEVICES)]
    for name in names:
        status = scenes.status(name, "classifier").to_json()
        await link.publish(mqtt.topics.status(name, "classifier"), status, qos=1, retain=True)

    async def play() -> None:
        for number in range(PUBLISHED_EACH):
            for name in names:
                empty: Live = scenes.live(name, number=number)
                await link.publish(mqtt.topics.live(name), empty.to_json())
                await link.publish(mqtt.topics.preview(name), scenes.picture(64, 36, name))
            await asyncio.sleep(1.0)  # a device that a wall watches sends one picture a second

    playing = asyncio.create_task(play())
    try:
        yield playing
    finally:
        for task in (playing, connection):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def test_sixteen_idle_devices_cost_one_picture_each_and_no_more(
    browser: Browser, mqtt_settings: MqttSettings
) -> None:
    async with (
        running_web(web_settings(mqtt_settings)) as base,
        visiting(browser, base) as visit,
        idle_devices(mqtt_settings) as playing,
    ):
        await expect(visit.page.get_by_role("article")).to_have_count(IDLE_DEVICES)
        await playing
        asked = [url for url in visit.requests if "preview.jpg" in url]
        # Those that are scrolled out of view are not asked for at all; the others again after a minute.
        assert 0 < len(asked) <= IDLE_DEVICES
        assert len({url.split("?")[0] for url in asked}) == len(asked)
        rest = [url for url in visit.requests if "/api/" in url and "preview.jpg" not in url]
        assert len(rest) <= 3, f"one stream, opened anew at most when devices appear: {rest}"
        assert visit.complaints == []
