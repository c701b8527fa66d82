"""The pages of study sessions and of labelling in a real browser, over a real Postgres."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, Route, expect
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.db.study_tables import study_sessions, votes
from shared.db.tables import frames
from shared.settings import DatabaseSettings, MqttSettings
from tests.support import scenes
from tests.support.browser import Visit
from tests.support.web import records, running_web, store, store_frame, web_settings

NOW = datetime.now(UTC)
BEGIN = NOW - timedelta(minutes=2)

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def engine(database_settings: DatabaseSettings) -> AsyncIterator[AsyncEngine]:
    async with records(database_settings, BEGIN.date(), NOW.date()) as engine:
        yield engine


async def fill(engine: AsyncEngine, faces: int = 12) -> None:
    """A minute of one camera: happy, then sad; each with its picture."""
    found = [
        scenes.detection(
            "camera-1",
            scenes.face(1, "happy" if number < faces // 2 else "sad", 0.5 + number / 100),
            captured_at=BEGIN + timedelta(seconds=5 * number),
            seq=number,
            frame_id=scenes.new_id(),
        )
        for number in range(faces)
    ]
    await store(engine, found)
    for number, one in enumerate(found):
        assert one.frame_id is not None
        picture = scenes.picture(box_x=200 + number)
        await store_frame(engine, one.frame_id, picture, one.captured_at, one.event_id)


async def labels(engine: AsyncEngine) -> list[str]:
    async with engine.connect() as connection:
        return list(await connection.scalars(select(votes.c.label).order_by(votes.c.voted_at)))


@asynccontextmanager
async def page_of(browser: Browser, base: str, path: str, *, width: int = 1280) -> AsyncIterator[tuple[Page, Visit]]:
    context = await browser.new_context(viewport={"width": width, "height": 900})
    page = await context.new_page()
    visit = Visit(page, base)
    await page.goto(base + path)
    try:
        yield page, visit
    finally:
        await context.close()


async def test_faces_are_labelled_by_keyboard_and_no_answer_is_lost(
    browser: Browser,
    mqtt_settings: MqttSettings,
    database_settings: DatabaseSettings,
    engine: AsyncEngine,
    tmp_path: Path,
) -> None:
    await fill(engine)
    async with (
        running_web(web_settings(mqtt_settings, database_settings)) as base,
        page_of(browser, base, "/label") as (page, visit),
    ):
        face = page.locator("#face")
        last = page.locator("#last")
        saved = page.locator("#saved")
        await page.get_by_label("Your name or code").fill("ada")
        await page.keyboard.press("Enter")
        await expect(face).to_be_visible()
        await expect(page.get_by_text("looks", exact=False).filter(has_text="The model")).to_have_count(0)
        await page.screenshot(path=tmp_path / "label.png", full_page=True)
        first = await face.get_attribute("src")
        await page.keyboard.press("4")
        await expect(last).to_contain_text("You said: Happy. The model:")
        await expect(face).not_to_have_attribute("src", first or "")
        assert await labels(engine) == ["happy"]
        await page.keyboard.press("z")
        await expect(face).to_have_attribute("src", first or "")
        await expect(saved).to_have_text("All your answers are on the server.")
        assert await labels(engine) == []
        await page.keyboard.press("Space")
        await expect(last).to_have_text("Skipped.")
        await page.keyboard.press("?")
        await expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
        await page.keyboard.press("5")  # a key of the list, not an answer
        await page.keyboard.press("Escape")
        await page.get_by_role("button", name="Not a face").click()
        await expect(saved).to_have_text("All your answers are on the server.")
        assert await labels(engine) == ["not_a_face"]
        assert visit.complaints == []
        assert visit.foreign == []

        # The network is away, then the login has ended; the page is closed with both answers in it.
        async def refuse(route: Route) -> None:
            if route.request.method == "POST":
                await route.fulfill(status=401, json={"title": "Log in first"})
            else:
                await route.continue_()

        await page.context.set_offline(True)
        await page.keyboard.press("1")
        await expect(saved).to_contain_text("1 answer is kept in this browser")
        await page.route("**/api/v1/labels", refuse)
        await page.context.set_offline(False)
        await expect(page.get_by_role("link", name="Log in again")).to_be_visible(timeout=30_000)
        await page.keyboard.press("8")
        await expect(saved).to_contain_text("2 answers are kept in this browser")
        assert await labels(engine) == ["not_a_face"]
        context = page.context
        await page.close()
        again = await context.new_page()
        counts = iter([True])

        async def late(route: Route) -> None:
            """The first count is from before the kept answers arrive, and reaches the page after them."""
            answer = await route.fetch()
            if next(counts, False):
                await expect(again.locator("#saved")).to_have_text("All your answers are on the server.")
            await route.fulfill(response=answer)

        await again.route("**/api/v1/labels/progress*", late)
        await again.goto(f"{base}/label")
        await expect(again.locator("#saved")).to_have_text("All your answers are on the server.")
        assert await labels(engine) == ["not_a_face", "angry", "unknown"]
        await expect(again.locator("#progress")).to_contain_text("3")
        # What is erased while it is shown is told, and the next face comes.
        await expect(again.locator("#face")).to_be_visible()
        async with engine.begin() as connection:
            await connection.execute(delete(frames))
        await again.keyboard.press("4")
        await expect(again.locator("#last")).to_contain_text("Go on with the next face")
        await expect(again.locator("#face-note")).to_contain_text("No face is left to label", timeout=30_000)
        assert await labels(engine) == ["not_a_face", "angry", "unknown"]


async def test_a_session_is_started_marked_reviewed_and_ended(
    browser: Browser,
    mqtt_settings: MqttSettings,
    database_settings: DatabaseSettings,
    engine: AsyncEngine,
    tmp_path: Path,
) -> None:
    await fill(engine)
    async with (
        running_web(web_settings(mqtt_settings, database_settings)) as base,
        page_of(browser, base, "/sessions", width=360) as (page, visit),
    ):
        await expect(page.get_by_text("No session yet.")).to_be_visible()
        await page.get_by_label("Participant’s code").fill("P07")
        await page.get_by_label("Condition").fill("video call")
        await expect(page.get_by_label("camera-1")).to_be_checked()  # the only one there is
        await page.screenshot(path=tmp_path / "sessions.png", full_page=True)
        await page.get_by_role("button", name="Start now").press("Enter")
        await expect(page.get_by_role("heading", name="Session of P07")).to_be_visible()
        await expect(page.locator("#state")).to_have_text("Running")
        await expect(page.locator("#line-note")).to_contain_text("No face was read in this time")
        await page.locator("body").press("m")
        markers = page.locator("#markers li")
        await expect(markers).to_have_count(1)
        await expect(page.get_by_label("What was noticed at")).to_have_value("I was confused here")
        await page.get_by_label("Free text").fill("Calm at first.")
        await expect(page.locator("#notes-state")).to_have_text("Saved")
        await page.get_by_role("button", name="Stop session").press("Enter")
        await expect(page.locator("#state")).to_have_text("Ended")
        # What was recorded before belongs to it once it began earlier.
        async with engine.begin() as connection:
            await connection.execute(study_sessions.update().values(started_at=BEGIN))
        await page.set_viewport_size({"width": 1280, "height": 900})
        await page.reload()
        bar = page.get_by_role("img", name="Person 1")
        await expect(bar.locator(".run-happy")).to_have_count(6)
        looks = page.locator("#looks")
        await expect(looks).to_contain_text("Looks happy")
        picture = page.get_by_role("img", name="Picture of camera-1")
        await expect(picture).to_be_visible()
        beginning = await picture.get_attribute("src")
        slider = page.get_by_label("Moment.")
        await slider.press("End")
        await expect(looks).to_contain_text("No face at this moment")
        await expect(picture).not_to_have_attribute("src", beginning or "")
        await slider.press("Home")
        for _ in range(1000):  # more than the bar has steps
            if "sad" in await looks.inner_text():
                break
            before = await slider.input_value()
            await page.locator("body").press("ArrowRight")
            await expect(slider).not_to_have_value(before)
        await expect(looks).to_contain_text("Looks sad")
        await expect(page.locator("#moment-title")).to_contain_text("after the start")
        await page.get_by_label("What you noticed").fill("I was lost here")
        await page.get_by_role("button", name="Mark this moment").press("Enter")
        await expect(markers).to_have_count(2)
        await expect(bar.locator(".tick")).to_have_count(2)
        await page.screenshot(path=tmp_path / "session.png", full_page=True)
        async with page.expect_download() as download:
            await page.get_by_role("link", name="All faces as CSV").click()
        assert (await download.value).suggested_filename.endswith("-faces.csv")
        await page.get_by_role("button", name="Delete the marker at").first.press("Enter")
        await expect(markers).to_have_count(1)
        await expect(page.get_by_label("Free text")).to_have_value("Calm at first.")
        await page.get_by_label("Yes, delete the record").check()
        await page.get_by_role("button", name="Delete", exact=True).press("Enter")
        await expect(page.get_by_text("No session yet.")).to_be_visible()
        assert visit.complaints == []
        assert visit.foreign == []
