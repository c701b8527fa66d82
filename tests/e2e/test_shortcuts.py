"""Single keys as shortcuts, and the switch that turns them off on every page, in a real browser."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from playwright.async_api import Browser, Page, expect
from sqlalchemy import insert

from shared.db.study_tables import study_sessions
from shared.settings import DatabaseSettings, MqttSettings
from tests.support.browser import Device, page_of, press
from tests.support.labelled import kept_minute
from tests.support.patience import WAIT_S
from tests.support.web import records, running_web, web_settings

NOW = datetime.now(UTC)
BEGIN = NOW - timedelta(minutes=2)

pytestmark = pytest.mark.timeout(300)


async def switch(page: Page, state: str) -> None:
    """By keyboard, as whoever needs it does."""
    await press(page.get_by_text("Appearance", exact=True))
    await press(page.get_by_role("switch", name="Keys as shortcuts"), "Space")
    await expect(page.locator("html")).to_have_attribute("data-keys", state)
    await page.keyboard.press("Escape")
    await expect(page.get_by_text("Appearance", exact=True)).to_be_focused()


async def test_single_keys_are_switched_off_and_on_for_every_page(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings
) -> None:
    device = Device(mqtt_settings)
    async with records(database_settings, BEGIN.date(), NOW.date()) as engine:
        await kept_minute(engine, BEGIN)
        async with engine.begin() as connection:
            session = await connection.scalar(
                insert(study_sessions)
                .values(participant="P07", devices=["camera-1"], started_at=BEGIN, ended_at=NOW, created_by="a")
                .returning(study_sessions.c.id)
            )
        async with (
            running_web(web_settings(mqtt_settings, database_settings)) as base,
            device.playing(),
            page_of(browser, base, "/label") as (page, visit),
        ):
            last, face = page.locator("#last"), page.locator("#face")
            await page.get_by_label("Your name or code").fill("ada")
            await page.keyboard.press("Enter")
            await expect(face).to_be_visible()
            await expect(page.locator("#choices kbd").first).to_be_visible()
            await switch(page, "off")
            await expect(page.locator("#choices kbd").first).to_be_hidden()
            for key in ("4", "?", "z"):
                await page.locator("h1").press(key)
            await press(page.get_by_role("button", name="Sad"), "Space")  # which presses what has the focus, then
            await expect(last).to_contain_text("You said: Sad. The model:")
            await expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
            await expect(page.locator("#progress dd").first).to_have_text("1")

            await page.goto(f"{base}/sessions/{session}")
            markers = page.locator("#markers li")
            await expect(page.get_by_role("img", name="Person 1").locator(".run-happy")).not_to_have_count(0)
            await page.locator("body").press("m")
            await press(page.get_by_role("button", name="Mark this moment"))
            await expect(markers).to_have_count(1)
            async with httpx.AsyncClient(base_url=base, timeout=WAIT_S) as api:
                assert len((await api.get(f"/api/v1/sessions/{session}/markers")).json()["items"]) == 1

            await page.goto(f"{base}/?device=camera-1")
            await expect(page.locator(".faces li").first).to_contain_text("Looks happy")
            await page.locator("body").press("f")
            await switch(page, "on")
            await page.locator("body").press("f")  # had the first one acted, this one would end it
            await page.wait_for_function("document.fullscreenElement?.dataset.part === 'figure'")
            await page.evaluate("document.exitFullscreen()")
            await page.goto(f"{base}/label")
            await expect(face).to_be_visible()
            await page.keyboard.press("4")
            await expect(last).to_contain_text("You said: Happy. The model:")
            assert visit.complaints == []
