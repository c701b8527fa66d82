"""The pages of study sessions in a real browser, over a real Postgres."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.db.study_tables import study_sessions
from shared.settings import DatabaseSettings, MqttSettings
from tests.support.browser import page_of
from tests.support.labelled import kept_minute
from tests.support.web import records, running_web, web_settings

NOW = datetime.now(UTC)
BEGIN = NOW - timedelta(minutes=2)

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def engine(database_settings: DatabaseSettings) -> AsyncIterator[AsyncEngine]:
    async with records(database_settings, BEGIN.date(), NOW.date()) as engine:
        yield engine


async def test_a_session_is_started_marked_reviewed_and_ended(
    browser: Browser,
    mqtt_settings: MqttSettings,
    database_settings: DatabaseSettings,
    engine: AsyncEngine,
    tmp_path: Path,
) -> None:
    await kept_minute(engine, BEGIN)
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
