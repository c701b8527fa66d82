"""The page of datasets in a real browser: choose, build, export, download, by keyboard and on a phone."""

import asyncio
import hashlib
import re
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, Page, Request, Route, expect
from sqlalchemy import delete, insert

from services.web.datasets import previewing
from shared.db.study_tables import datasets, study_sessions
from shared.settings import DatabaseSettings, MqttSettings
from tests.e2e.test_every_page import RULES, wrong_with
from tests.support.browser import Visit, page_of, press
from tests.support.labelled import START, one_more, people
from tests.support.web import records, running_web, web_settings

LONG_MS = 60_000
LOOKS = ["Angry", "Disgusted", "Afraid", "Happy", "Sad", "Surprised", "Neutral"]
"""As every page says it, whatever the folders of an export are called."""

pytestmark = pytest.mark.timeout(300)


async def test_a_dataset_is_chosen_built_exported_and_deleted_by_keyboard_on_a_phone_in_the_dark(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings, tmp_path: Path
) -> None:
    async with records(database_settings, START.date()) as engine:
        await people(engine, persons=10)
        await one_more(engine, 1, 5000, {"happy": 1, "sad": 1}, picture=900)
        settings = web_settings(mqtt_settings, database_settings, data_dir=tmp_path)
        async with running_web(settings) as base:
            page = await browser.new_page(viewport={"width": 360, "height": 800}, color_scheme="dark")
            page.set_default_timeout(LONG_MS)
            visit = Visit(page, base)
            await page.goto(f"{base}/datasets")
            await expect(page.get_by_text("There are none yet.")).to_be_visible()
            preview = page.get_by_role("region", name="What this gives")
            await expect(preview).to_contain_text("70 faces of 10 persons. Labellers agree on 67% of their votes.")
            await expect(preview).to_contain_text("1 where two labels have the most votes")
            await expect(preview).to_contain_text("Fewer than 50 faces")
            session = page.get_by_role("combobox", name="Session")
            await session.press("ArrowDown")
            await expect(page.get_by_text("No sessions yet.")).to_be_visible()
            async with engine.begin() as connection:
                values = {"participant": "P07", "condition": "with feedback", "devices": ["elsewhere"]}
                await connection.execute(insert(study_sessions).values(**values, started_at=START, created_by="anna"))
            await page.reload()
            await session.press("ArrowDown")
            await expect(page.locator("session-choice [role=option]")).to_have_text(
                ["Every face, in a session or not", re.compile("^P07, with feedback, begun ")]
            )
            device = page.locator("#new [name=device]")
            await expect(device.locator("option")).to_have_text(["Every device", "camera-1"])
            await session.press("ArrowUp")
            await session.press("Enter")
            await expect(preview).to_contain_text("No face fits this choice.")
            await session.fill("")
            await expect(session).to_have_attribute("aria-expanded", "true")
            await session.press("Tab")
            await expect(preview).to_contain_text("70 faces of 10 persons")
            await press(page.get_by_label("Happy"), "Space")
            await expect(preview).to_contain_text("60 faces of 10 persons")
            await expect(preview.locator(".bars li").nth(3)).to_have_text("Happy0")
            await page.get_by_label("Test", exact=True).fill("30")
            await expect(preview).to_contain_text("must be 100 together")
            await page.get_by_label("Test", exact=True).fill("10")
            await expect(preview).to_contain_text("60 faces of 10 persons")

            build = page.get_by_role("button", name="Build the dataset")
            await press(build)
            await expect(page.get_by_role("alert")).to_have_text("Give the dataset a name first.")
            name = page.get_by_label("Name", exact=True)
            await expect(name).to_be_focused()
            await name.fill("no happy faces")
            await press(name)
            await expect(page.locator(".field-problem")).to_contain_text("Expected small letters")
            await name.fill("no-happy-faces")
            await page.get_by_label("Licence and consent").fill("Only in this lab.")
            await press(name)

            detail = page.get_by_role("region", name="no-happy-faces", exact=True)
            await expect(detail).to_be_focused()
            await expect(detail.locator(".dataset-head")).to_contain_text("Ready")
            await expect(detail).to_contain_text("60 faces of 10 persons")
            await expect(detail).to_contain_text("Licence and consent: Only in this lab.")
            await expect(page).to_have_url(f"{base}/datasets?dataset={await detail.get_attribute('data-id')}")
            await expect(page.get_by_role("alert")).to_be_hidden()

            await detail.get_by_label("Format").select_option("fer2013")
            await press(detail.get_by_role("button", name="Export"))
            link = detail.get_by_role("link", name="Download no-happy-faces-fer2013.zip")
            async with page.expect_download() as waiting:
                await press(link)
            download = await waiting.value
            digest = hashlib.sha256(Path(await download.path()).read_bytes()).hexdigest()
            await expect(detail.locator(".exports")).to_contain_text(f"sha256 {digest}")
            await press(detail.get_by_text("How to load it"))
            await expect(detail).to_contain_text('pandas.read_csv("no-happy-faces-fer2013/fer2013.csv")')
            await expect(detail.get_by_label("Copy the lines for pandas")).to_be_visible()

            assert await wrong_with(page, [*RULES, "cat.color", "wcag2aaa"]) == []
            assert await page.evaluate("document.documentElement.scrollWidth") == 360
            small = await page.evaluate(
                """[...document.querySelectorAll("main button, main a, main input, main select, main summary")]
                .map((each) => each.closest("label.choice") ?? each).filter((each) => each.offsetParent)
                .filter((each) => each.getBoundingClientRect().height < 44).map((each) => each.outerHTML)"""
            )
            assert small == []
            await page.reload()
            await expect(detail.locator(".dataset-head")).to_contain_text("Ready")

            page.on("dialog", lambda dialog: dialog.accept())
            await press(detail.get_by_role("button", name="Delete", exact=True))
            await expect(page.get_by_text("There are none yet.")).to_be_visible()
            await expect(detail).to_be_hidden()
            # A refused name is an answer of 422, which Chromium tells; nothing else is to be told.
            assert [text for text in visit.complaints if "422" not in text] == []
            assert visit.foreign == []
            await page.close()


async def test_copies_are_told_before_a_dataset_is_built_and_its_splits_stand_in_order_with_their_labels(
    browser: Browser,
    mqtt_settings: MqttSettings,
    database_settings: DatabaseSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # So few at a time that the page has to ask again and again.
    monkeypatch.setattr(previewing, "LOOK_S", 0.0)
    async with records(database_settings, START.date()) as engine:
        await people(engine, persons=6)
        for number in range(5):
            await one_more(engine, 9, 5000 + number, {"sad": 2}, picture=900, brighter=number)
        settings = web_settings(mqtt_settings, database_settings, data_dir=tmp_path)
        async with running_web(settings) as base:
            page = await browser.new_page()
            page.set_default_timeout(LONG_MS)
            visit = Visit(page, base)
            await page.goto(f"{base}/datasets")
            preview = page.get_by_role("region", name="What this gives")
            text = preview.locator("#preview-text")
            await expect(text).to_have_text("43 faces of 7 persons. Labellers agree on 67% of their votes.")
            await expect(preview).to_contain_text("4 copies and near copies would be left out.")
            told = await preview.locator(".cautions").all_text_contents()
            splits = await preview.locator("table").all_text_contents()

            name = page.get_by_label("Name", exact=True)
            await name.fill("still")
            await press(name)
            detail = page.get_by_role("region", name="still", exact=True)
            await expect(detail.locator(".dataset-head")).to_contain_text("Ready")
            await expect(detail).to_contain_text("4 copies and near copies were left out.")
            assert await detail.locator(".cautions").all_text_contents() == told
            assert await detail.locator("table").all_text_contents() == splits
            await expect(detail.locator("thead th")).to_have_text(["Split", "Faces", "Persons", *LOOKS])
            await expect(detail.locator("tbody th")).to_have_text(["Train", "Validation", "Test"])
            await expect(detail.locator(".bars li span:first-child")).to_have_text(LOOKS)
            await expect(page.locator("#labels label")).to_have_text(LOOKS)
            sad = [int(cell) for cell in await detail.locator("tbody td:nth-child(8)").all_text_contents()]
            assert sum(sad) == 7

            await detail.get_by_role("button", name="Export").click()
            await detail.get_by_text("How to load it").click()
            await expect(detail.locator(".snippet", has_text="torchvision")).to_contain_text(
                "Run by hand with torchvision 0.29.1 (torch 2.14.1), November 2026."
            )

            monkeypatch.setattr(previewing, "LOOKED_AT_MOST", 40)
            await page.get_by_label("Seed").fill("1")
            await expect(text).to_contain_text("At most 47 faces of 7 persons.")
            await expect(text).to_contain_text("compared only when the dataset is built")
            assert visit.complaints == []
            await page.close()


async def test_the_list_stays_as_far_as_it_was_opened_and_loses_what_somebody_else_deleted(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings, tmp_path: Path
) -> None:
    async with records(database_settings, START.date()) as engine:
        rows = [
            {
                "name": f"set-{number:03}",
                "filter": {},
                "split": {},
                "state": "failed",
                "error": "Made up.",
                "created_at": START + timedelta(seconds=number),
                "created_by": "anna",
            }
            for number in range(130)
        ]
        async with engine.begin() as connection:
            await connection.execute(insert(datasets), rows)
        settings = web_settings(mqtt_settings, database_settings, data_dir=tmp_path)
        async with running_web(settings) as base, page_of(browser, base, "/datasets") as (page, visit):
            items = page.locator("#list li")
            more = page.get_by_role("button", name="Show older ones")

            async def again_without(name: str) -> None:
                """Somebody else deletes it; the page looks again, as it does when somebody comes back to it."""
                async with engine.begin() as connection:
                    await connection.execute(delete(datasets).where(datasets.c.name == name))
                await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
                await expect(page.get_by_text(name, exact=True)).to_have_count(0)

            await expect(items).to_have_count(50)
            await more.click()
            await expect(items).to_have_count(100)
            await again_without("set-060")
            await expect(items).to_have_count(100)
            await expect(page.get_by_text("set-029", exact=True)).to_be_visible()
            await more.click()
            await expect(items).to_have_count(129)
            await expect(more).to_be_hidden()
            await again_without("set-129")
            await expect(items).to_have_count(128)
            await expect(page.get_by_text("set-000", exact=True)).to_be_visible()
            assert visit.complaints == []


async def press_at_its_place(page: Page, what: Locator, count: int) -> None:
    """With the mouse; a `count` of 2 is the second press of a double click."""
    box = await what.bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    await page.mouse.down(click_count=count)
    await page.mouse.up(click_count=count)


async def test_a_double_click_builds_and_exports_once_and_one_copy_is_told_as_one(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings, tmp_path: Path
) -> None:
    pressed = asyncio.Event()
    posted: list[str] = []

    def note(request: Request) -> None:
        if request.method == "POST" and not request.url.endswith("/preview"):
            posted.append(request.url)

    async def late(route: Route) -> None:
        await pressed.wait()
        await route.continue_()

    async with records(database_settings, START.date()) as engine:
        await people(engine, persons=6)
        for number in range(2):
            await one_more(engine, 9, 5000 + number, {"sad": 2}, picture=900, brighter=number)
        async with running_web(web_settings(mqtt_settings, database_settings, data_dir=tmp_path)) as base:
            page = await browser.new_page(viewport={"width": 1280, "height": 3000})
            page.on("request", note)
            await page.goto(f"{base}/datasets")
            await expect(page.get_by_label("To, not included")).to_be_visible()
            await expect(page.locator("#preview")).to_contain_text("1 copy or near copy would be left out.")
            name = page.get_by_label("Name", exact=True)
            await name.fill("once")
            await page.route("**/api/v1/datasets?limit=50", late)  # the page stays as it is between both presses
            build = page.get_by_role("button", name="Build the dataset")
            await press_at_its_place(page, build, 1)
            await expect(name).to_have_value("")
            await expect(build).to_be_enabled()
            await press_at_its_place(page, build, 2)
            pressed.set()
            detail = page.get_by_role("region", name="once", exact=True)
            await expect(detail.locator(".dataset-head")).to_contain_text("Ready")
            await expect(detail).to_contain_text("1 copy or near copy was left out.")
            await expect(page.get_by_role("alert")).to_be_hidden()

            export = detail.get_by_role("button", name="Export", exact=True)
            done = detail.locator(".exports > li").filter(has_text="Ready")
            await press_at_its_place(page, export, 1)
            await expect(done).to_have_count(1)
            await press_at_its_place(page, export, 2)
            await press_at_its_place(page, export, 1)
            await expect(done).to_have_count(2)
            assert [url.rsplit("/", 1)[1] for url in posted] == ["datasets", "exports", "exports"]
            await page.close()
