"""The page of one study session in a real browser: two who work on it at once, more than a day of it, and paper."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from playwright.async_api import Browser, Route, expect
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.db.study_tables import session_markers, study_sessions
from shared.emotions import Emotion
from shared.settings import DatabaseSettings, MqttSettings
from tests.e2e.test_every_page import RULES, wrong_with
from tests.support import scenes
from tests.support.browser import page_of, press
from tests.support.labelled import kept_minute
from tests.support.web import records, running_web, store, web_settings

NOW = datetime.now(UTC)
BEGIN = NOW - timedelta(minutes=2)
DAYS_AGO = NOW - timedelta(days=3)

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def engine(database_settings: DatabaseSettings) -> AsyncIterator[AsyncEngine]:
    days = {(DAYS_AGO + timedelta(days=day)).date() for day in range(4)}
    async with records(database_settings, *sorted(days)) as engine:
        yield engine


async def begun(engine: AsyncEngine, **more: Any) -> UUID:
    """A session of P07 that has ended."""
    values = {"participant": "P07", "devices": ["camera-1"], "started_at": BEGIN, "ended_at": NOW, "created_by": "ada"}
    async with engine.begin() as connection:
        added = await connection.execute(insert(study_sessions).values(values | more).returning(study_sessions.c.id))
        found: UUID = added.scalar_one()
        return found


async def marked(engine: AsyncEngine, session: UUID, *moments: tuple[datetime, str]) -> None:
    rows = [{"session_id": session, "at": at, "text": text, "created_by": "ada"} for at, text in moments]
    async with engine.begin() as connection:
        await connection.execute(insert(session_markers), rows)


def stored_of(engine: AsyncEngine, session: UUID) -> Callable[[str], Awaitable[Any]]:
    async def stored(name: str) -> Any:
        async with engine.connect() as connection:
            wanted = select(study_sessions.c[name]).where(study_sessions.c.id == session)
            return await connection.scalar(wanted)

    return stored


async def test_of_two_who_write_notes_at_once_neither_writes_over_the_other_unseen(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings, engine: AsyncEngine
) -> None:
    session = await begun(engine)
    stored = stored_of(engine, session)
    async with (
        running_web(web_settings(mqtt_settings, database_settings)) as base,
        page_of(browser, base, f"/sessions/{session}") as (one, _),
        page_of(browser, base, f"/sessions/{session}", width=360) as (two, _),
    ):
        first, second = one.locator("#notes"), two.locator("#notes")
        state, theirs = two.locator("#notes-state"), two.locator("#notes-theirs")
        await expect(second).to_be_editable()
        await first.fill("From one.")
        await expect(one.locator("#notes-state")).to_have_text("Saved")
        await second.fill("From two.")
        await expect(state).to_contain_text("Not saved: other notes were saved meanwhile.")
        await expect(theirs).to_have_text("From one.")
        await expect(second).to_have_value("From two.")
        assert await wrong_with(two, RULES) == []
        assert await two.evaluate("document.documentElement.scrollWidth") == 360
        # What is written on, and the page that is left, change nothing of it.
        await second.press("End")
        await second.press_sequentially(" More.")
        await two.reload()
        assert await stored("notes") == "From one."
        await two.get_by_role("button", name="Put it back").click()
        await expect(second).to_have_value("From two. More.")
        await expect(state).to_have_text("Saved")  # over what was in sight when it was put back
        assert await stored("notes") == "From two. More."

        await first.fill("One again.")
        await expect(one.locator("#notes-theirs")).to_have_text("From two. More.")
        await one.get_by_role("button", name="Keep both").click()
        await expect(one.locator("#notes-state")).to_have_text("Saved")
        await expect(one.locator("#notes-differ")).to_be_hidden()
        assert await stored("notes") == "From two. More.\n\nOne again."
        await second.fill("x" * 3490)
        await two.get_by_role("button", name="Keep both").click()
        await expect(state).to_contain_text("together they are 19 characters too long")
        await second.fill("Two alone.")
        await two.get_by_role("button", name="Keep mine alone").click()
        await expect(state).to_have_text("Saved")
        assert await stored("notes") == "Two alone."
        await first.fill("One once more.")
        await one.get_by_role("button", name="Keep these alone").click()
        await expect(first).to_have_value("Two alone.")
        await first.press("End")
        await first.press_sequentially(" And one.")
        await expect(one.locator("#notes-state")).to_have_text("Saved")
        assert await stored("notes") == "Two alone. And one."

        # What was changed besides hinders nobody; the same correction does, and is then a choice.
        for page in (one, two):
            await page.reload()
            await expect(page.locator("#correct").get_by_label("camera-1")).to_be_checked()
        save = {page: page.get_by_role("button", name="Save the corrections") for page in (one, two)}
        code = {page: page.locator("#correct").get_by_label("Participant’s code") for page in (one, two)}
        await one.locator("#correct").get_by_label("Condition").fill("alone")
        await press(save[one])
        await expect(one.locator("#corrected")).to_have_text("Saved.")
        await second.fill("Calm.")
        await expect(state).to_have_text("Saved")
        # What was sent when the page was left is no other's where the browser brings the page back.
        async with two.expect_response(lambda answer: answer.request.method == "PATCH" and answer.ok):
            await second.fill("Calm. Gone.")
            await two.evaluate("dispatchEvent(new Event('pagehide'))")
        await second.press("End")
        await second.press_sequentially(" Back.")
        await expect(state).to_have_text("Saved")
        await code[one].fill("P10")
        await press(save[one])
        await expect(one.locator("#title")).to_have_text("Session of P10")
        await code[two].fill("P11")
        await press(save[two])
        await expect(two.locator("#correct [role=alert]")).to_contain_text(
            "somebody else corrected this meanwhile (participant’s code)"
        )
        await expect(two.locator("#title")).to_have_text("Session of P10")
        await expect(code[two]).to_have_value("P11")
        await expect(two.locator("#correct").get_by_label("Condition")).to_have_value("alone")
        await press(save[two])
        await expect(two.locator("#title")).to_have_text("Session of P11")
        assert [await stored(name) for name in ("participant", "condition", "notes")] == [
            "P11",
            "alone",
            "Calm. Gone. Back.",
        ]


async def test_a_session_of_days_leads_to_each_of_its_markers_and_back(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings, engine: AsyncEngine
) -> None:
    late = DAYS_AGO + timedelta(hours=50)
    seen: list[tuple[datetime, Emotion]] = [
        (DAYS_AGO + timedelta(minutes=1), "happy"),
        (late + timedelta(seconds=1), "sad"),
    ]
    await store(engine, [scenes.detection("camera-1", scenes.face(1, how, 0.9), captured_at=at) for at, how in seen])
    session = await begun(engine, started_at=DAYS_AGO, ended_at=NOW - timedelta(hours=2))
    await marked(engine, session, (DAYS_AGO + timedelta(minutes=1), "early"), (late, "late"))
    async with (
        running_web(web_settings(mqtt_settings, database_settings)) as base,
        page_of(browser, base, f"/sessions/{session}") as (page, visit),
    ):
        bars, title = page.locator("#bars"), page.locator("#moment-title")
        earlier = page.get_by_role("button", name="Back to the earlier 24 hours")
        later = page.get_by_role("button", name="Go on to the next 24 hours")
        jumps = page.locator("#markers button:first-child")
        await expect(bars.locator(".run-happy")).to_have_count(1)
        await expect(earlier).to_be_hidden()
        # Each marker has its day.
        await expect(jumps).to_have_count(2)
        dates = [" ".join((await jump.inner_text()).split()[:3]) for jump in await jumps.all()]
        assert len(set(dates)) == 2
        await jumps.nth(1).click()
        await expect(bars.locator(".run-sad")).to_have_count(1)
        await expect(title).to_contain_text(await jumps.nth(1).inner_text())
        await expect(title).to_contain_text("2 days after the start")
        await expect(page.locator("#looks")).to_contain_text("Looks sad")
        await expect(bars.locator(".tick")).to_have_count(1)
        await earlier.click()
        await expect(bars.locator(".run-sad")).to_have_count(0)
        await earlier.click()
        await expect(bars.locator(".run-happy")).to_have_count(1)
        await expect(earlier).to_be_hidden()
        await later.click()
        await expect(bars.locator(".run-happy")).to_have_count(0)
        await jumps.first.click()
        await expect(bars.locator(".run-happy")).to_have_count(1)
        await expect(title).to_contain_text(await jumps.first.inner_text())
        assert visit.complaints == []


async def test_a_double_press_marks_once_and_overlapping_sessions_are_told_apart(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings, engine: AsyncEngine
) -> None:
    others = [await begun(engine, participant="P08", started_at=BEGIN - timedelta(hours=hour)) for hour in (1, 2)]
    session = await begun(engine, ended_at=None)
    async with (
        running_web(web_settings(mqtt_settings, database_settings)) as base,
        page_of(browser, base, f"/sessions/{session}", width=360) as (page, _),
    ):
        links = page.locator("#overlaps a")
        await expect(links).to_have_text([re.compile("^P08, begun ")] * 2)
        texts = await links.all_inner_texts()
        assert len(set(texts)) == 2
        addresses = [await link.get_attribute("href") for link in await links.all()]
        assert set(addresses) == {f"/sessions/{other}" for other in others}
        assert await page.evaluate("document.documentElement.scrollWidth") == 360

        asked, go_on = 0, asyncio.Event()

        async def hold(route: Route) -> None:
            nonlocal asked
            if route.request.method == "POST":
                asked += 1
                await go_on.wait()
            await route.continue_()

        await page.route("**/markers", hold)
        button = page.get_by_role("button", name="Mark now")
        await button.dblclick()
        await page.locator("body").press("m")
        await expect(button).to_be_disabled()
        go_on.set()
        await expect(page.locator("#announce")).to_contain_text("Marked")
        await expect(page.locator("#markers li")).to_have_count(1)
        await expect(button).to_be_enabled()
        assert asked == 1


async def test_looks_are_drawn_as_the_legend_says_and_paper_has_no_buttons(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings, engine: AsyncEngine
) -> None:
    await kept_minute(engine, BEGIN)
    face = scenes.face(1, "fear", 0.2).model_copy(update={"shown": None})
    unsure = scenes.detection("camera-1", face, captured_at=NOW - timedelta(seconds=30))
    await store(engine, [unsure], new_device=False)
    session = await begun(engine, notes="Calm at first.\n" * 20)
    await marked(engine, session, (BEGIN, "a long text " * 30))
    async with (
        running_web(web_settings(mqtt_settings, database_settings)) as base,
        page_of(browser, base, f"/sessions/{session}") as (page, _),
    ):
        for look in ("happy", "unsure"):
            await expect(page.locator(f".run-{look}").first).to_be_attached()
            drawn = await page.locator(f".run-{look}").first.evaluate("e => getComputedStyle(e, '::before').background")
            told = await page.locator(f".swatch-{look}").evaluate("e => getComputedStyle(e).background")
            assert drawn == told
        # A word begins beside a marker's tick, and one without room is not begun.
        indent = """e => { const text = document.createRange(); text.selectNodeContents(e);
            return text.getBoundingClientRect().left - e.getBoundingClientRect().left }"""
        narrow = page.locator(".run-happy").first
        await expect(narrow).to_have_class(re.compile("narrow"))
        assert await narrow.evaluate(indent) > await narrow.evaluate("e => e.clientWidth")
        await narrow.evaluate("e => e.classList.remove('narrow')")
        tick = await page.locator(".tick").first.evaluate("e => e.offsetWidth")
        assert await narrow.evaluate(indent) > tick > 0

        await page.evaluate("window.look.set('theme', 'dark')")
        ground = "getComputedStyle(document.body).backgroundColor"
        await expect(page.locator("#picture")).to_be_visible()
        await page.emulate_media(media="print")
        assert await page.evaluate(ground) == "rgb(255, 255, 255)"
        assert await page.evaluate("getComputedStyle(document.querySelector('h1')).color") == "rgb(0, 0, 0)"
        for gone in (".top", "#moment", "#mark", "#correct", "#remove", "#markers li button:last-child", "#later"):
            await expect(page.locator(gone)).to_be_hidden()
        for there in ("#title", "#facts", "#bars", "#legend", "#looks", "#picture", "#markers li button:first-child"):
            await expect(page.locator(there)).to_be_visible()
        await expect(page.get_by_text("A face does not show what someone feels.")).to_be_visible()
        # A field would cut off what it holds.
        await page.evaluate("dispatchEvent(new Event('beforeprint'))")
        await expect(page.locator("#notes-paper")).to_be_visible()
        assert (await page.locator("#notes-paper").inner_text()).count("Calm at first.") == 20
        await expect(page.locator("#markers li .only-print")).to_have_text(re.compile("^(a long text ?){30}$"))
        await page.emulate_media(media="screen")
        assert await page.evaluate(ground) != "rgb(255, 255, 255)"
        await expect(page.locator("#notes-paper")).to_be_hidden()
        await page.goto(f"{base}/privacy/notice")
        await page.emulate_media(media="print")
        for gone in (".top", ".foot", "#fill"):
            await expect(page.locator(gone)).to_be_hidden()
        await expect(page.get_by_role("heading", name="A camera reads faces here")).to_be_visible()
