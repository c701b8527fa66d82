"""The pages of study sessions in a real browser, over a real Postgres."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from playwright.async_api import Browser, expect
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.db.study_tables import study_sessions
from shared.settings import DatabaseSettings, MqttSettings
from tests.integration.delivery import until
from tests.support import scenes
from tests.support.accounts import PASSWORD, add_person
from tests.support.browser import Device, page_of, press
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
    begin = datetime.now(UTC) - timedelta(minutes=2)  # not long ago, or the bar has no room for short stretches
    await kept_minute(engine, begin)
    async with (
        running_web(web_settings(mqtt_settings, database_settings)) as base,
        page_of(browser, base, "/sessions", width=360) as (page, visit),
    ):
        await expect(page.get_by_text("No session yet.")).to_be_visible()
        await page.get_by_label("Participant’s code").fill("P07")
        await page.get_by_label("Condition", exact=True).fill("video call")
        await expect(page.get_by_label("camera-1")).to_be_checked()  # the only one there is
        await page.screenshot(path=tmp_path / "sessions.png", full_page=True)
        await press(page.get_by_role("button", name="Start now"))
        await expect(page.get_by_role("heading", name="Session of P07")).to_be_visible()
        await expect(page.locator("#state")).to_have_text("Running")
        await expect(page.locator("#line-note")).to_contain_text("No face was read in this time")
        await page.locator("body").press("m")
        markers = page.locator("#markers li")
        await expect(markers).to_have_count(1)
        await expect(page.get_by_label("What was noticed at")).to_have_value("I was confused here")
        await page.get_by_label("Free text").fill("Calm at first.")
        await expect(page.locator("#notes-state")).to_have_text("Saved")
        await press(page.get_by_role("button", name="Stop session"))
        await expect(page.locator("#state")).to_have_text("Ended")
        # What was recorded before belongs to it once it began earlier.
        async with engine.begin() as connection:
            await connection.execute(study_sessions.update().values(started_at=begin))
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
        await press(page.get_by_role("button", name="Mark this moment"))
        await expect(markers).to_have_count(2)
        await expect(bar.locator(".tick")).to_have_count(2)
        await page.screenshot(path=tmp_path / "session.png", full_page=True)
        async with page.expect_download() as download:
            await page.get_by_role("link", name="All faces as CSV").click()
        assert (await download.value).suggested_filename.endswith("-faces.csv")
        await press(page.get_by_role("button", name="Delete the marker at").first)
        await expect(markers).to_have_count(1)
        await expect(page.get_by_label("Free text")).to_have_value("Calm at first.")
        await page.get_by_label("Yes, delete the record").check()
        await press(page.get_by_role("button", name="Delete", exact=True))
        await expect(page.get_by_text("No session yet.")).to_be_visible()
        assert visit.complaints == []
        assert visit.foreign == []


OUT = """fetch("/api/v1/logout", {method: "POST", body: '{"everywhere": true}',
    headers: {"Content-Type": "application/json"}}).then((answer) => answer.status)"""


async def test_what_was_typed_when_the_login_ended_is_offered_again_after_the_next(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings, engine: AsyncEngine
) -> None:
    await kept_minute(engine, BEGIN)
    await add_person(engine, "ada", "researcher")
    await add_person(engine, "berta", "researcher")
    async with (
        running_web(web_settings(mqtt_settings, database_settings, login="required")) as base,
        page_of(browser, base, "/sessions") as (page, _),
    ):
        told = page.get_by_role("alert").filter(has_text="You are logged out.")
        again = page.get_by_role("link", name="Log in again")
        offer = page.get_by_text("You typed something here that was not saved.")
        back = page.get_by_role("button", name="Put it back")

        async def log_in(name: str = "ada") -> None:
            await page.get_by_label("Name").fill(name)
            await page.get_by_label("Password").fill(PASSWORD)
            await page.get_by_role("button", name="Log in").click()

        # The form of a new session.
        await log_in()
        await expect(page.get_by_label("camera-1")).to_be_checked()
        await page.get_by_label("Participant’s code").fill("P07")
        await page.get_by_label("Condition", exact=True).fill("video call")
        assert await page.evaluate(OUT) == 200
        await page.get_by_role("button", name="Start now").click()
        await expect(told.first).to_contain_text("kept in this browser")
        await expect(page.locator("body")).not_to_contain_text("Bearer")
        await again.click()
        await expect(page).to_have_url(f"{base}/login?next=%2Fsessions")
        await log_in()
        await expect(page).to_have_url(f"{base}/sessions")
        await back.click()
        await expect(page.get_by_label("Participant’s code")).to_have_value("P07")
        await expect(page.get_by_label("Condition", exact=True)).to_have_value("video call")
        await page.get_by_role("button", name="Start now").click()

        # Notes, a marker's text, and what is to be marked next.
        await expect(page.locator("#line-note")).to_contain_text("No face was read in this time")
        await page.get_by_role("button", name="Mark now").click()
        await expect(page.locator("#markers li")).to_have_count(1)
        assert await page.evaluate(OUT) == 200
        await page.get_by_label("Free text").fill("Calm at first.\nThen not.")
        await expect(page.locator("#notes-state")).to_contain_text("Not saved. You are logged out. Log in again")
        await page.get_by_label("What was noticed at").fill("I laughed here")
        await press(page.get_by_label("What was noticed at"))
        await page.get_by_label("What you noticed").fill("I was lost here")
        address = page.url
        await again.click()
        await log_in("berta")
        # Another person at the same browser is told nothing of it.
        await expect(page).to_have_url(address)
        await expect(page.get_by_label("What was noticed at")).to_have_value("I was confused here")
        await expect(offer).to_have_count(0)
        assert await page.evaluate(OUT) == 200
        await page.reload()
        await log_in()
        await expect(offer).to_have_count(3)
        await expect(page.get_by_role("blockquote").filter(has_text="Then not.")).to_be_visible()
        for _ in range(3):
            await back.first.click()
        await expect(page.locator("#notes-state")).to_have_text("Saved")
        await expect(page.get_by_label("What you noticed")).to_have_value("I was lost here")
        await page.get_by_role("button", name="Mark now").click()
        await expect(page.locator("#markers li")).to_have_count(2)
        await page.reload()
        await expect(page.get_by_label("Free text")).to_have_value("Calm at first.\nThen not.")
        await expect(page.get_by_label("What was noticed at").first).to_have_value("I laughed here")
        await expect(offer).to_have_count(0)

        # Who logs out leaves nothing behind.
        await page.get_by_label("What you noticed").fill("I want to go")
        assert await page.evaluate("sessionStorage.length") == 1
        await page.get_by_role("button", name="Log out", exact=True).click()
        await expect(page).to_have_url(f"{base}/login")
        assert await page.evaluate("sessionStorage.length") == 0

        # The form of a dataset.
        await page.goto(f"{base}/datasets")
        await log_in()
        await page.get_by_label("Licence and consent").fill("Only in this lab.")
        await page.get_by_label("Happy").uncheck()
        assert await page.evaluate(OUT) == 200
        await page.get_by_label("Name", exact=True).fill("lab")
        await page.get_by_role("button", name="Build the dataset").click()
        await again.click()
        await log_in()
        await back.click()
        await expect(page.get_by_label("Licence and consent")).to_have_value("Only in this lab.")
        await expect(page.get_by_label("Name", exact=True)).to_have_value("lab")
        await expect(page.get_by_label("Happy")).not_to_be_checked()


async def test_sessions_are_filtered_by_an_address_and_downloaded_as_one_table(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings, engine: AsyncEngine
) -> None:
    await kept_minute(engine, BEGIN)
    begun = {"started_at": BEGIN, "ended_at": NOW, "devices": ["camera-1"], "created_by": "ada"}
    rows = [("P01", "video call"), ("P01", "alone"), ("P02", "video call")]
    async with engine.begin() as connection:
        for participant, condition in rows:
            values = begun | {"participant": participant, "condition": condition}
            await connection.execute(study_sessions.insert().values(values))
    async with (
        running_web(web_settings(mqtt_settings, database_settings)) as base,
        page_of(browser, base, "/sessions", width=360) as (page, visit),
    ):
        found = page.locator("#sessions li")
        await expect(found).to_have_count(3)
        await expect(page.locator("#conditions option")).to_have_count(2)
        wanted = page.get_by_role("form", name="Filter")
        await wanted.get_by_label("Condition").fill("video call")
        await press(wanted.get_by_role("button", name="Show"))
        await expect(page).to_have_url(f"{base}/sessions?condition=video+call")
        await expect(found).to_have_count(2)
        await expect(wanted.get_by_label("Condition")).to_have_value("video call")
        async with page.expect_download() as waiting:
            await press(page.get_by_role("link", name="All faces of these sessions as one CSV"))
        table = pd.read_csv(await (await waiting.value).path())
        assert set(table["condition"]) == {"video call"}
        assert set(table["participant"]) == {"P01", "P02"}
        assert await page.evaluate("document.documentElement.scrollWidth") == 360
        await wanted.get_by_label("Participant").fill("P09")
        await press(wanted.get_by_role("button", name="Show"))
        await expect(page.get_by_text("No session fits.")).to_be_visible()
        assert visit.complaints == []
        await wanted.get_by_label("Participant").fill("Anna Smith")
        await press(wanted.get_by_role("button", name="Show"))
        await expect(page.get_by_role("alert")).to_contain_text("expected a code such as P07")
        await press(wanted.get_by_role("link", name="Show all"))
        await expect(found).to_have_count(3)


async def test_a_session_is_corrected_on_its_page_and_says_what_keeps_a_device_from_recording(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings, engine: AsyncEngine
) -> None:
    await kept_minute(engine, BEGIN)
    device = Device(mqtt_settings)

    async def tell(service: str, **values: Any) -> None:
        told = scenes.status(device.name, service).model_copy(update={"values": values})
        await device.link.publish(device.topics.status(device.name, service), told.to_json(), qos=1, retain=True)

    async with (
        running_web(web_settings(mqtt_settings, database_settings)) as base,
        page_of(browser, base, "/sessions") as (page, visit),
        device.linked(),
    ):
        choice = page.locator("#devices")
        await expect(choice).to_contain_text("camera-1 (not reached now")
        await tell("capture", paused_by="the device itself")
        await tell("classifier", recording=False)

        async def heard(words: str) -> None:
            async def told() -> bool:
                await page.reload()
                await expect(choice).to_contain_text("camera-1")
                return words in await choice.inner_text()

            await until(told)

        await heard("camera-1 (paused by the device itself; it records nothing until it is resumed)")
        await page.get_by_label("Participant’s code").fill("P07")
        await press(page.get_by_role("button", name="Start now"))
        remarks = page.locator("#in-the-way")
        await expect(remarks).to_contain_text("camera-1: paused by the device itself")
        await tell("capture", paused_by=None)
        await expect(remarks).to_contain_text("camera-1: keeps no pictures now")
        await tell("classifier", recording=True)
        await expect(remarks).to_be_empty()

        form = page.locator("#correct")
        save = form.get_by_role("button", name="Save the corrections")
        await expect(form.get_by_label("camera-1")).to_be_checked()
        await press(save)
        await expect(page.locator("#corrected")).to_have_text("Nothing was changed.")
        code = form.get_by_label("Participant’s code")
        await code.fill("Ada Lovelace")
        await press(save)
        await expect(form.locator(".field-problem")).to_contain_text("Expected a code such as P07")
        await expect(code).to_be_focused()
        await code.fill("P08")
        await form.get_by_label("camera-1").uncheck()
        await press(save)
        await expect(form.get_by_role("alert")).to_have_text("Choose at least one device.")
        await form.get_by_label("camera-1").check()
        await form.get_by_label("Condition").fill("alone")
        await form.get_by_label("End").fill("2020-01-01T00:00:00")
        await press(save)
        await expect(form).to_contain_text(re.compile("a session ends after it started", re.IGNORECASE))
        local = "moment => new Date(moment - new Date().getTimezoneOffset() * 60e3).toISOString().slice(0, 19)"
        await form.get_by_label("Start").fill(await page.evaluate(local, BEGIN.timestamp() * 1000))
        await form.get_by_label("End").fill(await page.evaluate(local, (BEGIN.timestamp() + 60) * 1000))
        await press(save)
        await expect(page.locator("#corrected")).to_have_text("Saved.")
        await expect(page.get_by_role("heading", name="Session of P08")).to_be_visible()
        await expect(page.locator("#facts")).to_contain_text("alone")
        await expect(page.locator("#state")).to_have_text("Ended")
        await form.get_by_label("End").fill("")
        await press(save)
        await expect(page.locator("#state")).to_have_text("Running")
        assert [text for text in visit.complaints if "422" not in text] == []
    async with engine.connect() as connection:
        row = (await connection.execute(select(study_sessions))).one()
    assert (row.participant, row.condition, row.devices, row.ended_at) == ("P08", "alone", ["camera-1"], None)
    assert row.started_at == BEGIN.replace(microsecond=0)


async def test_a_start_in_the_hour_that_comes_twice_is_not_moved_by_another_correction(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings, engine: AsyncEngine
) -> None:
    start = datetime(2026, 11, 1, 6, 30, 0, 400_000, tzinfo=UTC)  # in New York the second half past one of that night
    values = {"participant": "P07", "devices": ["camera-1"], "created_by": "ada"}
    new = study_sessions.insert().values(**values, started_at=start, ended_at=start + timedelta(minutes=1))
    async with engine.begin() as connection:
        session = (await connection.execute(new.returning(study_sessions.c.id))).scalar_one()
    async with running_web(web_settings(mqtt_settings, database_settings)) as base:
        context = await browser.new_context(timezone_id="America/New_York")
        page = await context.new_page()
        await page.goto(f"{base}/sessions/{session}")
        form = page.locator("#correct")
        await expect(form.get_by_label("Start")).to_have_value(re.compile("^2026-11-01T01:30"))
        await form.get_by_label("Condition").fill("alone")
        await press(form.get_by_role("button", name="Save the corrections"))
        await expect(page.locator("#corrected")).to_have_text("Saved.")
        await context.close()
    async with engine.connect() as connection:
        row = (await connection.execute(select(study_sessions))).one()
    assert (row.condition, row.started_at, row.ended_at) == ("alone", start, start + timedelta(minutes=1))
