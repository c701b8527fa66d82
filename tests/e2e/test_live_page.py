"""The live page in a real browser, fed through a real Mosquitto with messages of the contract."""

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from playwright.async_api import Browser, expect

import services.web.app
from shared.messages import Live, Problem
from shared.settings import DatabaseSettings, MqttSettings
from shared.wording import ADJECTIVES
from tests.conftest import Mosquitto
from tests.integration.test_web_control import settled
from tests.integration.test_web_live import watching
from tests.support import scenes
from tests.support.accounts import PASSWORD, add_person
from tests.support.browser import Device, press, stop_clock, visiting
from tests.support.patience import WAIT_S
from tests.support.web import records, running_web, web_settings

MAX_FIRST_LOAD_BYTES = 200_000
pytestmark = pytest.mark.timeout(180)


async def test_faces_rows_picture_and_timeline_appear_without_errors_or_foreign_requests(
    browser: Browser, mqtt_settings: MqttSettings, tmp_path: Path
) -> None:
    async with (
        running_web(web_settings(mqtt_settings)) as base,
        Device(mqtt_settings).playing(),
        visiting(browser, base) as visit,
    ):
        page = visit.page
        tile = page.get_by_role("article", name="camera-1")
        await expect(page.locator("#connection")).to_have_text("Connected")
        await expect(tile.locator(".faces li").first).to_contain_text("Looks happy")
        await expect(tile.locator(".faces li").first).to_contain_text("likely (about 80%)")
        await expect(tile.locator(".faces li").nth(1)).to_contain_text("Not sure")
        await expect(tile.locator(".faces li").nth(1)).to_contain_text("the face is far away and in the dark")
        await expect(tile.locator("[data-part=recording]")).to_have_text("Not recording pictures")
        await expect(tile.locator("[data-part=state]")).to_have_text("Online")
        await expect(tile.get_by_role("img", name="Camera picture of camera-1")).to_be_visible()
        await expect(page.locator("#back")).to_be_hidden()
        await expect(tile.locator(".chart canvas")).to_have_count(2)
        legend = tile.get_by_role("list", name="What each line stands for").get_by_role("listitem")
        await expect(legend).to_have_text([each.capitalize() for each in ADJECTIVES.values()])
        counters = tile.locator("[data-part=counters]")
        await expect(counters).to_contain_text("Frames read")
        await expect(counters).to_contain_text("Waiting to be stored")
        await tile.get_by_text("All readings of this device").click()
        await expect(tile.locator("[data-part=readings]")).to_contain_text("Fps (capture)")
        row = page.locator("#rows tr").filter(has_text="Stored").first
        await expect(row).to_contain_text("Looks happy")
        await expect(row).to_contain_text("Person 1")
        await expect(page.locator("#announce")).to_contain_text("person 1: looks happy")
        await expect(page.get_by_text("A face does not show what someone feels.")).to_be_visible()
        await page.screenshot(path=tmp_path / "live.png", full_page=True)
        assert visit.complaints == []
        assert visit.foreign == []


async def test_recording_and_problems_are_told_in_words_with_the_next_step_and_never_as_markup(
    browser: Browser, mqtt_settings: MqttSettings
) -> None:
    device = Device(mqtt_settings)
    device.scene = lambda number: scenes.live("camera-1", number=number, recording=True)
    problem = Problem(title="<img src=x onerror=alert(1)>", cause="Because.", next_step="Run `emotion-edge doctor`.")
    async with (
        running_web(web_settings(mqtt_settings)) as base,
        device.playing(),
        visiting(browser, base) as visit,
    ):
        await device.status("classifier", "degraded", problem)
        tile = visit.page.get_by_role("article", name="camera-1")
        await expect(tile.locator("[data-part=recording]")).to_have_text("Recording pictures")
        await expect(tile.locator(".faces")).to_have_text("No face in the picture")
        await expect(tile.locator(".problems")).to_contain_text("<img src=x onerror=alert(1)>")
        await expect(tile.locator(".problems code")).to_have_text("emotion-edge doctor")
        await device.status("classifier")
        await expect(tile.locator(".problems li")).to_have_count(0)
        await device.status("capture", "offline")
        await expect(tile.locator("[data-part=state]")).to_have_text("Offline")
        await expect(tile.locator(".problems")).to_contain_text("Capture is offline")
        assert visit.complaints == []


async def test_a_lost_connection_is_shown_and_comes_back_by_itself(
    browser: Browser, mqtt_settings: MqttSettings
) -> None:
    settings = web_settings(mqtt_settings)
    async with running_web(settings) as base:
        page = await browser.new_page()
        await page.goto(base)
        await expect(page.locator("#empty-title")).to_have_text("No device yet")
    await expect(page.locator("#connection")).to_have_text("Connection lost, reconnecting")
    await expect(page.locator("#empty")).to_contain_text("check that the web service is running")
    async with running_web(settings), Device(mqtt_settings).playing():
        await expect(page.locator("#connection")).to_have_text("Connected")
        await expect(page.locator(".faces li").first).to_contain_text("Looks happy")
        await expect(page.locator("#empty")).to_be_hidden()
        await page.close()


async def test_a_broker_that_is_not_reached_is_shown_with_what_to_check(
    browser: Browser, own_mosquitto: Mosquitto
) -> None:
    device = Device(own_mosquitto.settings)
    async with (
        running_web(web_settings(own_mosquitto.settings)) as base,
        device.playing(),
        visiting(browser, base) as visit,
    ):
        tile = visit.page.get_by_role("article", name="camera-1")
        await expect(tile.locator(".faces li").first).to_contain_text("Looks happy")
        await asyncio.to_thread(own_mosquitto.kill)
        await expect(visit.page.locator("#connection")).to_have_text("Broker not reached")
        await expect(visit.page.locator("#empty")).to_contain_text("EMOTION_MQTT__HOST")
        await expect(tile.locator(".faces")).to_have_text("No reading now")


async def test_pausing_by_keyboard_stills_the_page_and_stops_loading_pictures(
    browser: Browser, mqtt_settings: MqttSettings
) -> None:
    device = Device(mqtt_settings)
    async with (
        running_web(web_settings(mqtt_settings)) as base,
        device.playing(),
        visiting(browser, base) as visit,
    ):
        page = visit.page
        face = page.locator(".faces li").first
        await expect(face).to_contain_text("Looks happy")
        await expect(page.locator(".picture img")).to_be_visible()
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Go to the content")).to_be_focused()
        pause = page.get_by_role("button", name="Pause updates")
        while not await pause.evaluate("button => button === document.activeElement"):
            await page.keyboard.press("Tab")  # past the menu
        await page.keyboard.press("Enter")
        button = page.get_by_role("button", name="Go on with updates")
        await expect(button).to_be_focused()
        await expect(page.locator("#paused")).to_be_visible()
        device.scene = lambda number: scenes.live("camera-1", scenes.live_face(1, "sad", 0.9), number=number)
        still = [page.locator("#rows"), page.locator(".faces")]
        before = [await each.inner_text() for each in still]
        visit.requests.clear()
        await page.wait_for_timeout(1500)  # what must not happen can only be waited for
        assert [await each.inner_text() for each in still] == before
        assert [url for url in visit.requests if "preview.jpg" in url] == []
        await page.keyboard.press("Enter")
        await expect(face).to_contain_text("Looks sad")


async def test_a_camera_is_paused_from_the_page_and_the_page_says_by_whom(
    browser: Browser, mqtt_settings: MqttSettings
) -> None:
    device = Device(mqtt_settings)
    wishes = device.wishes()

    async def wished(paused: bool) -> None:
        async with asyncio.timeout(30):
            while (await wishes.get()).paused is not paused:
                pass

    async def answer(state: Literal["online", "paused"], by: str | None) -> None:
        status = scenes.status(device.name, "capture", state)
        await device.tell(status.model_copy(update={"values": {**status.values, "paused_by": by}}))

    async with (
        running_web(web_settings(mqtt_settings)) as base,
        device.playing(),
        visiting(browser, base) as visit,
    ):
        tile = visit.page.get_by_role("article", name="camera-1")
        note = tile.locator("[data-part=paused]")
        await expect(tile.locator(".faces li").first).to_contain_text("Looks happy")
        await expect(note).to_be_hidden()
        async with httpx.AsyncClient(base_url=base, timeout=WAIT_S) as api:
            await settled(api)
        await press(tile.get_by_role("button", name="Pause camera"))
        await wished(True)
        await answer("paused", "dashboard")
        await expect(note).to_contain_text("The camera is off until it is resumed here")
        await expect(tile.locator("[data-part=recording]")).to_have_text("Not recording, paused")
        await expect(tile.locator("[data-part=picture-note]")).to_contain_text("No picture: the camera is paused.")
        await expect(tile.get_by_role("img", name="Camera picture of camera-1")).to_be_hidden()
        await answer("paused", "device and dashboard")
        await expect(note).to_contain_text("until it is resumed there, by emotion-edge resume, and here.")
        await press(tile.get_by_role("button", name="Resume camera"))
        await wished(False)
        await answer("paused", "device")
        await expect(note).to_contain_text("until it is resumed there, by emotion-edge resume.")
        await expect(tile.get_by_role("button", name="Pause camera")).to_be_visible()
        await answer("online", None)
        await expect(note).to_be_hidden()
        assert visit.complaints == []
        await visit.page.route("**/pause", lambda route: route.abort())
        await tile.get_by_role("button", name="Pause camera").click()
        await expect(note).to_contain_text("The web service is not reached: It is not known whether it was done.")


async def test_who_may_not_pause_a_camera_is_not_offered_to_and_is_told_who_may(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings
) -> None:
    device = Device(mqtt_settings)
    settings = web_settings(mqtt_settings, database_settings, login="required")
    async with records(database_settings, datetime.now(UTC).date()) as engine:
        for name in ("labeller", "researcher"):
            await add_person(engine, name, name)
        async with running_web(settings) as base, device.playing():
            status = scenes.status(device.name, "capture", "paused")
            status = status.model_copy(update={"values": {**status.values, "paused_by": "dashboard"}})
            for name, offered, resumed in (
                ("researcher", True, "until it is resumed here."),
                ("labeller", False, "until it is resumed by a researcher, on the page Devices."),
            ):
                context = await browser.new_context()
                page = await context.new_page()
                await page.request.post(f"{base}/api/v1/login", data={"name": name, "password": PASSWORD})
                await page.goto(base)
                tile = page.get_by_role("article", name="camera-1")
                await expect(tile.locator(".faces li").first).to_contain_text("Looks happy")
                await expect(tile.get_by_role("button", name="camera")).to_have_count(1 if offered else 0)
                await device.tell(status)
                await expect(tile.locator("[data-part=paused]")).to_contain_text(resumed)
                await context.close()


async def test_the_page_camera_says_that_the_login_has_ended_with_the_way_back(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings
) -> None:
    async with records(database_settings, datetime.now(UTC).date()) as engine:
        await add_person(engine, "ada", "researcher")
        async with running_web(web_settings(mqtt_settings, database_settings, login="required")) as base:
            context = await browser.new_context()
            page = await context.new_page()
            await page.request.post(f"{base}/api/v1/login", data={"name": "ada", "password": PASSWORD})
            await page.goto(f"{base}/camera")
            await expect(page.locator("#camera-state")).to_contain_text("No device waits for a browser’s camera.")
            await page.request.post(f"{base}/api/v1/logout", data={}, headers={"Origin": base})
            told = page.get_by_role("alert").filter(has_text="You are logged out.")
            await expect(told.get_by_role("link", name="Log in again")).to_have_attribute(
                "href", re.compile("/login\\?next=%2Fcamera|/login\\?next=/camera")
            )
            await expect(page.locator("#camera-state")).to_contain_text("You are logged out.")
            await context.close()


async def test_a_hidden_page_asks_for_no_pictures_and_goes_on_when_it_is_seen_again(
    browser: Browser, mqtt_settings: MqttSettings
) -> None:
    async with (
        running_web(web_settings(mqtt_settings)) as base,
        Device(mqtt_settings).playing(),
        visiting(browser, base) as visit,
    ):
        page = visit.page
        await expect(page.locator(".picture img")).to_be_visible()
        async with page.expect_request("**/api/v1/live?*previews=false*"):
            await page.evaluate(SET_HIDDEN, True)
        visit.requests.clear()
        await page.wait_for_timeout(1000)  # what must not happen can only be waited for
        assert [url for url in visit.requests if "preview.jpg" in url] == []
        async with page.expect_request("**/preview.jpg*"):
            await page.evaluate(SET_HIDDEN, False)
        assert visit.complaints == []


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_every_text_has_a_contrast_of_seven_to_one(
    browser: Browser, mqtt_settings: MqttSettings, theme: Literal["light", "dark"]
) -> None:
    device = Device(mqtt_settings)
    async with (
        running_web(web_settings(mqtt_settings)) as base,
        device.playing(),
        visiting(browser, base, theme=theme) as visit,
    ):
        await device.status("classifier", "degraded", Problem(title="t", cause="c", next_step="Run `this`."))
        await expect(visit.page.locator(".problems li")).to_have_count(1)
        await expect(visit.page.locator("#rows tr").filter(has_text="Stored").first).to_be_visible()
        assert await visit.page.evaluate(LOW_CONTRAST) == []
        await visit.page.goto(f"{base}/api/v1/docs")
        assert await visit.page.evaluate(LOW_CONTRAST) == []
        assert visit.complaints == []


async def test_it_works_on_a_phone_of_360_pixels(browser: Browser, mqtt_settings: MqttSettings, tmp_path: Path) -> None:
    async with (
        running_web(web_settings(mqtt_settings)) as base,
        Device(mqtt_settings).playing(),
        visiting(browser, base, width=360) as visit,
    ):
        page = visit.page
        await expect(page.locator(".faces li").first).to_contain_text("Looks happy")
        await expect(page.locator("#rows tr").filter(has_text="Looks happy").first).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth") == 360
        for target in await page.locator("button:visible, .foot a:visible").all():
            box = await target.bounding_box()
            assert box is not None
            assert box["height"] >= 44
        await page.screenshot(path=tmp_path / "phone.png", full_page=True)
        assert visit.complaints == []


async def test_the_first_load_is_small(browser: Browser, mqtt_settings: MqttSettings) -> None:
    async with running_web(web_settings(mqtt_settings)) as base:
        page = await browser.new_page()
        await page.goto(base)
        await expect(page.locator("#empty-title")).to_have_text("No device yet")
        sizes: dict[str, int] = await page.evaluate(TRANSFERRED)
        assert any("uPlot" in name for name in sizes)
        assert sum(sizes.values()) < MAX_FIRST_LOAD_BYTES
        await page.close()


async def test_without_the_chart_package_the_page_says_so_and_works(
    browser: Browser, mqtt_settings: MqttSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(services.web.app, "CHART_FILES", (tmp_path / "missing.js",))
    async with (
        running_web(web_settings(mqtt_settings)) as base,
        Device(mqtt_settings).playing(),
        visiting(browser, base) as visit,
    ):
        await expect(visit.page.get_by_text("make assets")).to_be_visible()
        await expect(visit.page.locator(".faces li").first).to_contain_text("Looks happy")
        await expect(visit.page.locator(".timeline")).to_be_hidden()
        assert visit.complaints == []


async def remembered(base: str, fits: Callable[[list[Any]], bool]) -> None:
    """Wait until what the service remembers of camera-1 fits."""
    async with asyncio.timeout(WAIT_S):
        while True:
            async with watching(base, "?wall=true&large=camera-1") as events:
                # Where nothing is remembered yet, a stream tells of it neither at its beginning nor later.
                kind, data = await events.next()
                while kind not in ("recent", "live"):
                    kind, data = await events.next()
                if kind == "recent" and fits(data["readings"]):
                    return


def seen(*persons: int) -> Callable[[int], Live]:
    """What a device sees from now on."""
    return lambda number: scenes.live("camera-1", *(scenes.live_face(person) for person in persons), number=number)


async def test_the_timeline_is_there_at_once_after_a_reload_and_back_in_the_tab(
    browser: Browser, mqtt_settings: MqttSettings
) -> None:
    device = Device(mqtt_settings)
    device.scene = seen(1, 2)
    async with running_web(web_settings(mqtt_settings)) as base, device.playing():
        await remembered(base, lambda readings: len(readings) > 10)
        device.scene = seen()
        await remembered(base, lambda readings: readings[-1][1] == [])
        # Nobody is before the camera any more: what is drawn is what was before the page was opened.
        page = await browser.new_page()
        await page.clock.install()
        await page.goto(f"{base}/?device=camera-1")
        tile = page.get_by_role("article", name="camera-1")
        for again in (False, True):
            if again:
                await page.reload()
            await expect(tile.locator(".faces")).to_have_text("No face in the picture")
            await expect(tile.locator(".chart h4")).to_have_text(["Person 1", "Person 2"])
            await expect(tile.locator("[data-part=no-charts]")).to_be_hidden()
            # Two seconds of a minute are drawn as a line, not as a point.
            assert await tile.locator(".chart canvas").first.evaluate(COLUMNS_OF_LINES) > 10
        await page.evaluate(SET_HIDDEN, True)
        async with page.expect_event("requestfailed", lambda request: "/api/v1/live" in request.url):
            await page.clock.fast_forward(61_000)  # it lets its stream go
        device.scene = seen(3)
        await remembered(base, lambda readings: any(face[0] == 3 for _, faces in readings for face in faces))
        device.scene = seen()
        await remembered(base, lambda readings: readings[-1][1] == [])
        await expect(tile.locator(".chart h4")).to_have_count(2)
        await page.evaluate(SET_HIDDEN, False)
        await expect(tile.locator(".chart h4")).to_have_text(["Person 1", "Person 2", "Person 3"])
        await page.close()


async def test_what_was_before_a_pause_is_not_shown_to_who_opens_the_page(
    browser: Browser, mqtt_settings: MqttSettings
) -> None:
    device = Device(mqtt_settings)
    async with running_web(web_settings(mqtt_settings)) as base, device.linked(), visiting(browser, base) as visit:
        tile = visit.page.get_by_role("article", name="camera-1")
        await device.status("capture")
        await device.link.publish(device.topics.live(device.name), device.scene(1).to_json(), qos=1)
        await expect(tile.locator(".chart")).to_have_count(2)
        await visit.page.reload()
        await expect(tile.locator(".chart")).to_have_count(2)
        await device.status("capture", "paused")
        await expect(tile.locator("[data-part=recording]")).to_have_text("Not recording, paused")
        await visit.page.reload()
        await expect(tile.locator("[data-part=recording]")).to_have_text("Not recording, paused")
        await expect(tile.locator("[data-part=no-charts]")).to_have_text("No face was read in this time.")
        await expect(tile.locator(".chart")).to_have_count(0)
        assert visit.complaints == []


async def test_who_is_one_viewer_too_many_is_told_why_and_let_in_when_there_is_room(
    browser: Browser, mqtt_settings: MqttSettings
) -> None:
    async with running_web(web_settings(mqtt_settings, max_viewers=1)) as base:
        page = await browser.new_page()
        await stop_clock(page)
        async with watching(base) as other:
            await other.until("heartbeat")
            await page.goto(base)
            await expect(page.locator("#connection")).to_have_text("No live data, trying again")
            await expect(page.locator("#empty-title")).to_have_text("Too many viewers")
            await expect(page.locator("#empty-text")).to_have_text(
                "1 live streams are open already. Close pages that are not needed, or raise EMOTION_MAX_VIEWERS. "
                "This page tries again by itself."
            )
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await page.clock.fast_forward(4000)  # its own first wait is half a second; the service asks for ten
        await page.wait_for_timeout(500)  # what must not happen can only be waited for
        assert [url for url in asked if "/api/v1/live" in url] == []
        await page.clock.fast_forward(20_000)
        await page.clock.resume()
        await expect(page.locator("#connection")).to_have_text("Connected")
        await expect(page.locator("#empty-title")).to_have_text("No device yet")
        await page.close()


async def test_who_has_too_many_pages_open_is_told_whose_they_are(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings
) -> None:
    settings = web_settings(mqtt_settings, database_settings, login="required", max_viewers_each=1)
    async with records(database_settings, datetime.now(UTC).date()) as engine:
        await add_person(engine, "ada", "researcher")
        async with running_web(settings) as base:
            context = await browser.new_context()
            await context.request.post(f"{base}/api/v1/login", data={"name": "ada", "password": PASSWORD})
            first, second = await context.new_page(), await context.new_page()
            await first.goto(base)
            await expect(first.locator("#connection")).to_have_text("Connected")
            await second.goto(base)
            await expect(second.locator("#empty-title")).to_have_text("Too many live streams of one person")
            await expect(second.locator("#empty-text")).to_contain_text("counting those of all your browsers and keys.")
            await expect(second.locator("#announce")).to_contain_text("Too many live streams of one person: 1 that you")
            await first.close()
            await expect(second.locator("#connection")).to_have_text("Connected")
            await context.close()


# How many columns of a chart hold a pixel of a strong colour, as lines are and axes and words are not.
COLUMNS_OF_LINES = """(canvas) => {
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  const columns = new Set();
  for (let i = 0; i < data.length; i += 4) {
    const colour = [data[i], data[i + 1], data[i + 2]];
    if (data[i + 3] > 200 && Math.max(...colour) - Math.min(...colour) > 60) columns.add((i / 4) % width);
  }
  return columns.size;
}"""

SET_HIDDEN = """(hidden) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""

TRANSFERRED = """() => Object.fromEntries(
  [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
    .filter((entry) => !entry.name.includes("/api/")).map((entry) => [entry.name, entry.transferSize])
)"""

LOW_CONTRAST = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (element) => {
    for (; element; element = element.parentElement) {
      const colour = parse(getComputedStyle(element).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const low = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility()) continue;
    const [a, b] = [parse(getComputedStyle(element).color), ground(element)].map(luminance).sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 7) low.push(`${ratio.toFixed(2)} ${element.tagName} ${walker.currentNode.textContent.trim()}`);
  }
  return low;
}"""
