"""The choice of a study session among thousands, in a real browser, and what was typed before a page was ready."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

import pytest
from playwright.async_api import Browser, Page, Route, expect
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.db.study_tables import study_sessions
from shared.settings import DatabaseSettings, MqttSettings
from tests.e2e.test_every_page import RULES, wrong_with
from tests.support.browser import Held, page_of, press
from tests.support.labelled import kept_minute
from tests.support.web import records, running_web, web_settings

NOW = datetime.now(UTC)
BEGIN = NOW - timedelta(minutes=2)
MANY: Final = 4000
BYTES: Final = 150_000
"""The most that a page may load of sessions when it is opened: three lists of fifty."""

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def engine(database_settings: DatabaseSettings) -> AsyncIterator[AsyncEngine]:
    async with records(database_settings, BEGIN.date(), NOW.date()) as engine:
        yield engine


async def many(engine: AsyncEngine) -> UUID:
    """Thousands of sessions with long notes; gives the id of the oldest one, P0000."""
    oldest = uuid4()
    rows = [
        {
            "id": oldest if number == 0 else uuid4(),
            "participant": f"P{number:04}",
            "condition": ("video call", "alone", "")[number % 3],
            "notes": "Looked away. " * 150,
            "devices": ["camera-1" if number % 2 else "camera-2"],
            "started_at": BEGIN - timedelta(hours=MANY - number),
            "ended_at": BEGIN - timedelta(hours=MANY - number - 1),
            "created_by": "ada",
        }
        for number in range(MANY)
    ]
    async with engine.begin() as connection:
        await connection.execute(insert(study_sessions), rows)
    return oldest


async def test_a_session_among_thousands_is_found_by_typing_and_no_page_loads_them_all(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings, engine: AsyncEngine
) -> None:
    await kept_minute(engine, BEGIN)
    oldest = await many(engine)
    async with (
        running_web(web_settings(mqtt_settings, database_settings)) as base,
        page_of(browser, base, "/history", width=360) as (page, visit),
    ):
        sizes: list[int] = []

        async def weigh(route: Route) -> None:
            answer = await route.fetch()
            sizes.append(len(await answer.body()))
            await route.fulfill(response=answer)

        await page.route(re.compile(r"/api/v1/sessions"), weigh)
        for path in ("/history", "/label", "/sessions", "/datasets", "/privacy"):
            await page.goto(base + path, wait_until="networkidle")
            assert sum(sizes) < BYTES, path
            sizes.clear()

        # By keys: words, the list, one of it. The address has the id, and a link with an id shows the name.
        await page.goto(f"{base}/history?last=all")
        session = page.get_by_role("combobox", name="Session")
        options = page.locator("session-choice [role=option]")
        told = page.locator("session-choice [role=status]")
        await expect(session).to_have_attribute("placeholder", "Any, or none")
        await session.press("ArrowDown")
        await expect(told).to_have_text("The newest 50 sessions of those that fit. Type more to find others.")
        await expect(options.filter(has_text=re.compile(r"^P\d"))).to_have_count(50)
        await expect(options.nth(1)).to_have_text(re.compile("^P3999, video call, begun "))
        assert await wrong_with(page, RULES) == []
        assert await page.evaluate("document.documentElement.scrollWidth") == 360
        await session.press_sequentially("p000")
        await expect(told).to_have_text("10 sessions.")
        await expect(session).to_have_attribute("aria-activedescendant", re.compile(".-1$"))
        # What was pointed at stays so when the answer to the last words comes.
        slow = await Held(page, "GET", r"search=p000\+VIDEO").begin()
        await session.fill("p000 VIDEO")
        await slow.came.wait()
        active = page.locator("session-choice .active")
        for number in (8, 7, 6):
            await session.press("ArrowDown")
            await expect(active).to_have_text(re.compile(f"^P000{number},"))
        await slow.let_through()
        await expect(told).to_have_text("4 sessions.")
        await expect(active).to_have_text(re.compile("^P0006,"))
        await expect(options.filter(has_text=re.compile(r"^P\d"))).to_have_text(
            [re.compile(f"^P000{number}, video call, begun ") for number in (9, 6, 3, 0)]
        )
        for number in (3, 0):
            await session.press("ArrowDown")
            await expect(active).to_have_text(re.compile(f"^P000{number},"))
        small = await options.evaluate_all(
            "all => all.filter((each) => each.getBoundingClientRect().height < 44).length"
        )
        assert small == 0
        await session.press("Enter")
        await expect(page).to_have_url(re.compile(f"session={oldest}"))
        await expect(session).to_have_value(re.compile("^P0000, video call, begun "))
        await expect(session).to_have_attribute("aria-expanded", "false")
        await page.reload()
        await expect(session).to_have_value(re.compile("^P0000, video call, begun "))

        # What fits nothing is said, and let go with Escape; what is chosen stays.
        await session.fill("nobody")
        await expect(told).to_contain_text("No session fits. Type a participant’s code")
        assert await wrong_with(page, RULES) == []
        await session.press("Escape")
        await expect(session).to_have_value(re.compile("^P0000"))
        await expect(told).to_be_empty()
        # Typed and left: nothing is chosen by it.
        await session.fill("P3")
        await expect(session).to_have_attribute("aria-expanded", "true")
        await page.locator("h1").click()
        await expect(session).to_have_value(re.compile("^P0000"))
        # By pointer; and emptied it is none of them.
        await session.click()
        await options.filter(has_text="P3998").click()
        await expect(session).to_have_value(re.compile("^P3998"))
        await expect(page).not_to_have_url(re.compile(str(oldest)))
        await session.fill("")
        await expect(session).to_have_attribute("aria-expanded", "true")  # also after all of them were offered
        await session.press("Tab")
        await expect(page).to_have_url(f"{base}/history?last=all")
        await page.go_back()
        await expect(session).to_have_value(re.compile("^P3998"))

        # Where one is needed, the browser says so; the form has its id.
        await page.goto(f"{base}/privacy")
        await page.get_by_label("What", exact=True).select_option("session")
        await press(page.get_by_role("button", name="Show what would go"))
        assert await session.evaluate("typed => typed.validity.valueMissing")
        await session.press_sequentially("P0000")
        await expect(told).to_have_text("1 session.")
        await session.press("Tab")
        await press(page.get_by_role("button", name="Show what would go"))
        await expect(page.locator("#erase-what")).to_contain_text("Study session P0000, video call, begun")
        assert await wrong_with(page, RULES) == []
        # Another choice is not what was shown.
        await session.fill("P0003")
        await expect(told).to_have_text("1 session.")
        await session.press("Enter")
        await expect(page.locator("#erase")).to_be_hidden()
        assert visit.complaints == []


async def typed_before(page: Page, opened: str, held: str, typing: dict[str, str]) -> None:
    """Open a page whose answer `held` does not come, type, let it come, and leave without saving."""
    go_on = asyncio.Event()

    async def hold(route: Route) -> None:
        await go_on.wait()
        await route.continue_()

    await page.route(held, hold)
    await page.goto(opened)
    for label, text in typing.items():
        await page.get_by_label(label, exact=True).fill(text)
    async with page.expect_response(held):
        go_on.set()
    await page.unroute(held)


@pytest.mark.parametrize(
    ("path", "typing", "ready"),
    [
        ("/datasets", {"Name": "lab", "Licence and consent": "Only in this lab."}, "#new option[value=camera-1]"),
        ("/sessions", {"Participant’s code": "P07", "Condition": "video call"}, "#devices [value=camera-1]"),
    ],
)
async def test_what_is_typed_before_a_page_is_ready_is_still_there_to_be_put_back(
    browser: Browser,
    mqtt_settings: MqttSettings,
    database_settings: DatabaseSettings,
    engine: AsyncEngine,
    path: str,
    typing: dict[str, str],
    ready: str,
) -> None:
    await kept_minute(engine, BEGIN)
    async with (
        running_web(web_settings(mqtt_settings, database_settings)) as base,
        page_of(browser, base, "/live") as (page, _),
    ):
        offer = page.get_by_text("You typed something here that was not saved.")
        await typed_before(page, base + path, f"{base}/api/v1/devices", typing)
        await expect(page.locator(ready)).to_be_attached()
        await expect(offer).to_have_count(0)  # it stands there
        # Typed again before all is there: what was left before is offered nevertheless.
        newer = {label: f"{text}2" for label, text in typing.items()}
        await typed_before(page, base + path, f"{base}/api/v1/devices", newer)
        await expect(offer).to_have_count(1)
        await page.get_by_role("button", name="Put it back").click()
        for label, text in typing.items():
            await expect(page.get_by_label(label, exact=True)).to_have_value(text)
        await page.reload()
        await expect(offer).to_have_count(1)
        await page.get_by_role("button", name="Throw it away").click()
        await page.reload()
        await expect(page.locator(ready)).to_be_attached()
        await expect(offer).to_have_count(0)
