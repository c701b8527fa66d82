"""The history in a real browser: the filter in the address, the timeline by keys, pointer and finger, and the way from
frame to frame.
"""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import uuid4

import pytest
from playwright.async_api import Browser, CDPSession, FloatRect, Locator, Page, expect
from sqlalchemy import insert

from shared.db.erasure import erase
from shared.db.places import Scope
from shared.db.study_tables import study_sessions
from shared.settings import DatabaseSettings, MqttSettings
from tests.e2e.test_every_page import RULES, wrong_with
from tests.integration.delivery import until
from tests.support import scenes
from tests.support.browser import Visit, page_of, press
from tests.support.web import ingested, records, running_web, store_frame, web_settings

FILTER = "?view=detections&device=camera-1&min_confidence=0.7"
pytestmark = pytest.mark.timeout(300)


async def test_from_a_filter_to_a_frame_and_on_by_keys(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings, tmp_path: Path
) -> None:
    now = (datetime.now(UTC) - timedelta(minutes=1)).replace(second=5)  # no visit goes on at midnight
    kept = scenes.new_id()
    visits = [
        scenes.detection(
            device,
            scenes.face(track, "happy" if track % 2 else "sad", 0.61 + number / 20),
            captured_at=now - timedelta(hours=6 * track, seconds=-number),
            seq=number,
            frame_id=kept if (device, track, number) == ("camera-1", 1, 2) else None,
        )
        for device in ("camera-1", "camera-2")
        for track in range(1, 5)
        for number in range(5)
    ]
    async with records(database_settings) as engine:
        await ingested(engine, visits)
        await store_frame(engine, kept, scenes.picture(), next(one.captured_at for one in visits if one.frame_id))
        async with running_web(web_settings(mqtt_settings, database_settings)) as base:
            page = await browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="dark")
            visit = Visit(page, base)
            entries = page.locator("#list li")
            state = page.locator("#state")

            def field(name: str) -> Locator:
                return page.locator(f"#filter [name={name}]")

            # The filter acts at once, stands in the address, and the back button leads back.
            await page.goto(f"{base}/history")
            await expect(state).to_contain_text("8 shown")
            models = page.locator("#models option")
            await expect(models).to_have_count(2)
            assert await models.evaluate_all("found => found.map(each => each.value)") == [
                "slim_resnet",
                "slim_resnet@1.0.0",
            ]
            await field("device").select_option("camera-1")
            await expect(page).to_have_url(f"{base}/history?device=camera-1")
            await expect(state).to_contain_text("4 shown")
            await field("emotion").select_option("happy")
            await expect(page).to_have_url(f"{base}/history?device=camera-1&emotion=happy")
            await expect(state).to_contain_text("2 shown")
            await expect(page.locator("#timeline-says")).to_contain_text("2 people and stretches in this time")
            await expect(entries.first).to_contain_text("Mostly: looks happy")
            await expect(entries.first.locator("image")).to_have_attribute("href", f"/api/v1/frames/{kept}.jpg")
            await expect(entries.nth(1)).to_contain_text("No picture kept")
            await page.screenshot(path=tmp_path / "history.png", full_page=True)
            assert await wrong_with(page, RULES) == []
            await page.go_back()
            await expect(field("emotion")).to_have_value("")
            await expect(state).to_contain_text("4 shown")

            # The last bars hold the newest two visits, also where the very last has only just begun: chosen by keys.
            timeline = page.get_by_role("slider", name="Timeline")
            await expect(page.locator("#timeline-says")).to_contain_text("4 people and stretches in this time")
            await timeline.press("End")
            for _ in range(7):
                await timeline.press("Shift+ArrowLeft")
            await expect(timeline).to_have_attribute("aria-valuetext", re.compile(": 2 people and stretches$"))
            await press(timeline)
            await expect(field("last")).to_have_value("own")
            await expect(field("from")).to_be_visible()
            await expect(state).to_contain_text("2 shown")

            # A session is chosen by name; the address has its id, and a link with an id shows the name.
            session = page.get_by_role("combobox", name="Session")
            told = page.locator("session-choice [role=status]")
            await session.click()
            await expect(told).to_have_text("No sessions yet.")
            p07, p08 = uuid4(), uuid4()
            async with engine.begin() as connection:
                for key, name, condition, hours in ((p08, "P08", "", 13), (p07, "P07", "with " + "feedback " * 8, 7)):
                    values = {"id": key, "participant": name, "condition": condition, "devices": ["camera-2"]}
                    begun = now - timedelta(hours=hours)
                    await connection.execute(
                        insert(study_sessions).values(**values, started_at=begun, created_by="anna")
                    )
            names = page.locator("session-choice [role=option]")
            await page.goto(f"{base}/history")
            await session.press("ArrowDown")
            await expect(names.nth(2)).to_have_text(re.compile("^P08, begun "))
            await expect(names.nth(1)).to_have_text(re.compile("^P07, with feedback .*, begun "))
            await session.press("ArrowDown")
            await session.press("ArrowDown")
            await session.press("Enter")
            await expect(page).to_have_url(f"{base}/history?session={p07}")
            await expect(state).to_contain_text("1 shown")
            assert await wrong_with(page, RULES) == []
            await page.reload()
            await expect(session).to_have_value(re.compile("^P07"))
            await page.set_viewport_size({"width": 360, "height": 800})
            assert await page.evaluate("document.documentElement.scrollWidth") == 360
            await page.set_viewport_size({"width": 1280, "height": 900})

            # To the frames, and through them by arrow keys, keeping the filter.
            await expect(page.locator("#timeline-unit")).to_be_hidden()
            await page.goto(f"{base}/history{FILTER}")
            await expect(state).to_contain_text("12 shown")
            await expect(page.locator("#timeline-unit")).to_contain_text("not the single frames")
            await expect(page.locator("#timeline-says")).to_contain_text(" in this time; the highest bar stands for")
            await expect(page.locator("#timeline-says")).to_contain_text("people and stretches")
            await press(entries.nth(1).get_by_role("link"))
            title = page.locator("#title")
            await expect(title).to_contain_text("camera-1")
            await expect(page.locator("#faces")).to_contain_text("Person 1: looks happy")
            await expect(page.locator(".bars li").filter(has_text="Happy")).to_contain_text("76.0%")
            adjectives = ["Angry", "Disgusted", "Afraid", "Happy", "Sad", "Surprised", "Neutral"]
            await expect(page.locator(".bars li > span:first-child")).to_have_text(adjectives)
            written = "import('/static/words.js').then(({reading}) => [-0.001, -4.256, -12.5, 1234.5].map(reading))"
            assert await page.evaluate(written) == ["0", "-4.26", "-13", "1,235"]
            earlier = page.get_by_role("link", name="Earlier")
            await expect(earlier).to_have_attribute("href", f"/history/{visits[2].event_id}{FILTER}")
            await page.keyboard.press("ArrowLeft")
            await expect(page).to_have_url(f"{base}/history/{visits[2].event_id}{FILTER}")
            await expect(page.locator("#frame image")).to_have_attribute("href", f"/api/v1/frames/{kept}.jpg")
            boxes = page.get_by_role("button", name="Boxes")
            await press(boxes)
            await expect(boxes).to_have_attribute("aria-pressed", "false")
            await expect(page.locator("#frame .boxes")).to_have_attribute("visibility", "hidden")
            await page.set_viewport_size({"width": 360, "height": 800})
            assert await page.evaluate("document.documentElement.scrollWidth") == 360
            await page.screenshot(path=tmp_path / "detection.png", full_page=True)
            assert await wrong_with(page, RULES) == []
            await expect(page.get_by_role("link", name="Later")).to_have_attribute(
                "href", f"/history/{visits[3].event_id}{FILTER}"
            )
            await page.keyboard.press("ArrowRight")
            await expect(page.locator("#picture-state")).to_contain_text("No picture of this frame was kept")
            assert visit.complaints == []

            # What was erased meanwhile is told, not shown.
            await erase(engine, Scope(item_id=visits[3].event_id), "tester")
            await page.reload()
            await expect(state).to_contain_text("This detection is not there. It was erased")
            await press(page.get_by_role("link", name="Back to the history"))
            await expect(page).to_have_url(f"{base}/history{FILTER}")
            await expect(state).to_contain_text("11 shown")
            assert visit.foreign == []
            await page.close()


async def test_from_an_episode_to_all_of_its_frames(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings
) -> None:
    begun = (datetime.now(UTC) - timedelta(minutes=5)).replace(second=5)  # nor does it go on at midnight
    boot = uuid4()
    seen = [
        scenes.detection("camera-1", *faces, captured_at=begun + timedelta(seconds=n), seq=n).model_copy(
            update={"boot_id": boot}
        )
        for n, faces in enumerate([(scenes.face(1),), (scenes.face(1), scenes.face(2)), (scenes.face(2),)])
    ]
    async with records(database_settings, begun.date(), datetime.now(UTC).date()) as engine:
        await ingested(engine, seen)
        async with running_web(web_settings(mqtt_settings, database_settings)) as base:
            page = await browser.new_page(viewport={"width": 360, "height": 800})
            await page.goto(f"{base}/history?last=1h")
            await page.locator("#list li").filter(has_text="Person 1").get_by_role("link").click()
            await press(page.get_by_role("link", name="All frames of this stretch"))
            await expect(page.locator("#state")).to_contain_text("2 shown")
            await expect(page.get_by_text("Only frames of one person and stretch.")).to_be_visible()
            # Through them, and back to them.
            await page.locator("#list").get_by_role("link").first.click()
            await expect(page.locator("#title")).to_contain_text("camera-1")
            await expect(page.get_by_role("link", name="Earlier")).to_have_attribute(
                "href", re.compile(f"^/history/{seen[0].event_id}")
            )
            await expect(page.locator("#later")).to_have_attribute("aria-disabled", "true")
            assert await page.evaluate("document.documentElement.scrollWidth") == 360
            await page.get_by_role("link", name="Back to the history").click()
            await expect(page.locator("#state")).to_contain_text("2 shown")
            await press(page.get_by_role("button", name="Frames of everybody"))
            await expect(page.locator("#state")).to_contain_text("3 shown")
            await page.close()


@pytest.mark.parametrize(("path", "question"), [("/history", "/episodes"), ("/label", "/queue"), ("/audit", "/audit?")])
async def test_a_link_within_the_page_asks_for_nothing_again(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings, path: str, question: str
) -> None:
    async with (
        records(database_settings),
        running_web(web_settings(mqtt_settings, database_settings)) as base,
        page_of(browser, base, "/sessions") as (page, visit),
    ):
        await page.add_init_script("localStorage.setItem('emotion-edge labeller', 'ada')")
        await page.goto(f"{base}{path}?who=ada&device=camera-1")

        def questions() -> int:
            return len([url for url in visit.requests if f"/api/v1{question}" in url or f"/labels{question}" in url])

        await until(lambda: questions() == 1)
        await press(page.get_by_role("link", name="Go to the content"))
        await expect(page).to_have_url(re.compile("#main$"))
        await page.go_back()
        await expect(page).to_have_url(re.compile("device=camera-1$"))
        await page.evaluate("fetch('/healthz').then(answer => answer.text())")
        assert questions() == 1


AUTUMN = "last=own&from=2026-11-01T06%3A30%3A00.123Z&to=2026-11-01T06%3A45%3A00.456Z"
"""In New York the second half past one of that night."""


async def test_a_time_in_the_address_stays_as_it_is_while_its_field_is_left_alone(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings
) -> None:
    async with (
        records(database_settings),
        running_web(web_settings(mqtt_settings, database_settings)) as base,
    ):
        context = await browser.new_context(timezone_id="America/New_York")
        page = await context.new_page()
        await page.goto(f"{base}/history?{AUTUMN}")
        filters = page.get_by_role("form", name="Filter")
        start, end = filters.get_by_label("From", exact=True), filters.get_by_label("To, not included")
        await expect(start).to_have_value(re.compile("^2026-11-01T01:30"))
        await filters.get_by_label("Emotion").select_option("happy")
        await press(filters.get_by_role("button", name="Show"))
        await expect(page).to_have_url(re.compile("emotion=happy"))
        asked = parse_qs(urlsplit(page.url).query)
        assert (asked["from"], asked["to"]) == (["2026-11-01T06:30:00.123Z"], ["2026-11-01T06:45:00.456Z"])
        await end.fill("2026-11-01T12:00:00")
        await press(filters.get_by_role("button", name="Show"))
        await expect(page).to_have_url(re.compile("T17"))
        asked = parse_qs(urlsplit(page.url).query)
        assert (asked["from"], asked["to"]) == (["2026-11-01T06:30:00.123Z"], ["2026-11-01T17:00:00.000Z"])
        await context.close()


HOURS = 48
VISITS = (10, 20, 30, 40)
"""When in those hours somebody came by: between two bars of half an hour each."""


def point(box: FloatRect, hour: float) -> tuple[float, float]:
    """Where on the timeline an hour is."""
    return box["x"] + box["width"] * hour / HOURS, box["y"] + box["height"] / 2


def near(hours: tuple[float, float], first: float, last: float) -> bool:
    """Whether a time begins and ends within a bar of where it was dragged."""
    return abs(hours[0] - first) <= 0.5 and abs(hours[1] - last) <= 0.5


def asked_hours(page: Page, begin: datetime) -> tuple[float, float]:
    """The time in the page's address, as hours after `begin`."""
    query = parse_qs(urlsplit(page.url).query)
    assert query["last"] == ["own"]
    assert query["device"] == ["camera-1"]
    first, last = ((datetime.fromisoformat(query[name][0]) - begin) / timedelta(hours=1) for name in ("from", "to"))
    return first, last


async def drag(page: Page, box: FloatRect, start: float, end: float) -> None:
    """With the mouse, from one hour to another."""
    await page.mouse.move(*point(box, start))
    await page.mouse.down()
    await page.mouse.move(*point(box, end), steps=8)
    await page.mouse.up()


async def swipe(finger: CDPSession, start: tuple[float, float], end: tuple[float, float]) -> None:
    """With a finger, which the browser may take for scrolling."""
    steps = 12
    for step in range(steps + 1):
        x, y = (a + (b - a) * step / steps for a, b in zip(start, end, strict=True))
        kind = "touchMove" if step else "touchStart"
        await finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    await finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


async def box_of(timeline: Locator) -> FloatRect:
    await timeline.scroll_into_view_if_needed()
    box = await timeline.bounding_box()
    assert box is not None
    return box


async def test_a_part_of_the_timeline_is_chosen_by_mouse_and_by_finger(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings
) -> None:
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    begin = end - timedelta(hours=HOURS)
    visits = [
        scenes.detection("camera-1", scenes.face(track), captured_at=begin + timedelta(hours=hour), seq=track)
        for track, hour in enumerate(VISITS)
    ]
    times = {"device": "camera-1", "last": "own", "from": begin.isoformat(), "to": end.isoformat()}
    async with records(database_settings) as engine:
        await ingested(engine, visits)
        async with running_web(web_settings(mqtt_settings, database_settings)) as base:
            whole = f"{base}/history?{urlencode(times)}"
            context = await browser.new_context(viewport={"width": 1280, "height": 900})
            page = await context.new_page()
            visit = Visit(page, base)
            timeline = page.get_by_role("slider", name="Timeline")
            said = page.locator("#timeline-says")
            state = page.locator("#state")
            chosen = page.locator("#timeline .chosen")
            await page.goto(whole)
            await expect(state).to_contain_text("4 shown")
            await expect(said).to_contain_text("4 people and stretches in this time")
            box = await box_of(timeline)

            # A click says how many a bar stands for, and asks for nothing else; neither does the other button.
            await page.mouse.click(*point(box, 30.25))
            await expect(said).to_contain_text(re.compile(": 1 person or stretch$"))
            await expect(chosen).to_be_visible()
            await page.mouse.click(*point(box, 5), button="right")
            await expect(said).to_contain_text(re.compile(": 1 person or stretch$"))
            await timeline.press("Escape")
            await expect(chosen).to_be_hidden()
            await expect(said).to_contain_text("4 people and stretches in this time")
            assert page.url == whole
            await expect(state).to_contain_text("4 shown")

            # Dragged from right to left, as well as from left to right.
            await drag(page, box, 34, 16)
            await expect(state).to_contain_text("2 shown")
            assert near(asked_hours(page, begin), 16, 34)
            await expect(said).to_contain_text("2 people and stretches in this time")
            await expect(page.locator("#filter [name=from]")).to_be_visible()
            first, last = asked_hours(page, begin)
            await drag(page, box, 0, HOURS * (25 - first) / (last - first))  # a second one, within the first
            await expect(state).to_contain_text("1 shown")
            assert near(asked_hours(page, begin), first, 25)
            await page.go_back()
            await expect(state).to_contain_text("2 shown")
            assert asked_hours(page, begin) == (first, last)
            await page.go_back()
            await expect(state).to_contain_text("4 shown")
            assert page.url == whole
            await expect(said).to_contain_text("4 people and stretches in this time")
            assert visit.complaints == []
            await context.close()

            # A finger that goes along the bars chooses; one that goes up scrolls the page and chooses nothing.
            context = await browser.new_context(viewport={"width": 360, "height": 700}, has_touch=True, is_mobile=True)
            page = await context.new_page()
            visit = Visit(page, base)
            timeline = page.get_by_role("slider", name="Timeline")
            state = page.locator("#state")
            finger = await context.new_cdp_session(page)
            await page.goto(whole)
            await expect(state).to_contain_text("4 shown")
            await expect(page.locator("#timeline-says")).to_contain_text("4 people and stretches in this time")
            box = await box_of(timeline)
            scrolled = await page.evaluate("scrollY")
            x, y = point(box, 24)
            await swipe(finger, (x, y), (x, y - 200))
            await page.wait_for_function("before => scrollY > before", arg=scrolled)
            await expect(page.locator("#timeline .chosen")).to_be_hidden()
            assert page.url == whole
            box = await box_of(timeline)
            await page.touchscreen.tap(*point(box, 30.25))
            await expect(page.locator("#timeline-says")).to_contain_text(re.compile(": 1 person or stretch$"))
            assert page.url == whole
            await swipe(finger, point(box, 16), point(box, 34))
            await expect(state).to_contain_text("2 shown")
            assert near(asked_hours(page, begin), 16, 34)
            await page.go_back()
            await expect(state).to_contain_text("4 shown")
            assert page.url == whole
            assert visit.complaints == []
            await context.close()
