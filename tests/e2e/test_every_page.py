"""Every page in every theme, filled with what it is there to show: nothing that axe complains of, no id given twice,
and room on a phone.

A page that is added to PAGES has to be looked at here, full; one that stays empty fails.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import Browser, Page, expect

import services.web.trail
from services.web.app import STATIC
from services.web.routes.pages import PAGES
from shared.settings import DatabaseSettings, MqttSettings
from tests.support.accounts import PASSWORD, add_person
from tests.support.browser import Device, Visit, press, press_answer
from tests.support.filled import ADMIN, DEVICE, NEWCOMER, OFFLINE, PHONE, VIEWER, Filled, before_start, filled
from tests.support.labelled import START
from tests.support.web import records, running_web, web_settings

AXE: Final = (files("axe_playwright_python") / "axe.min.js").read_text()
RULES: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
COLOUR_RULES: Final = ["color-contrast", "link-in-text-block"]
RUN_AXE: Final = """async (rules) => {
  const found = await axe.run(document, { runOnly: rules, resultTypes: ["violations"] });
  const where = (each) => each.nodes.map((node) => node.html.slice(0, 120)).join(" | ");
  return found.violations.map((each) => `${each.id}: ${each.help}: ${where(each)}`);
}"""
THEMES: Final = {"calm": 7.0, "soft": 4.5, "dark": 7.0}
"""The least contrast of text in each."""
SAME_IDS: Final = """() => {
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  return [...new Set(ids.filter((id, i) => ids.indexOf(id) !== i))];
}"""
WIDTHS: Final = (1280, 360)
ROW_PX: Final = 64
"""The most that the header may take, closed."""
GRAPHICS: Final = 3.0
WORDS: Final = ("ink", "quiet", "good", "warn", "bad", "accent")
GROUNDS: Final = ("bg", "card", "fill", "warn-fill")
LINES: Final = ("line", "angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")

pytestmark = pytest.mark.timeout(900)


def variables(theme: str) -> dict[str, str]:
    """The colours of a theme by name, from the one style sheet that all pages share."""
    css = (STATIC / "app.css").read_text()
    selector = ":root {" if theme == "calm" else f':root[data-theme="{theme}"] {{'
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", css.split(selector, 1)[1].split("}", 1)[0]))


def contrast(first: str, second: str) -> float:
    """WCAG's ratio of two colours written #rrggbb."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    darker, lighter = sorted((luminance(first), luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", THEMES)
def test_a_theme_has_the_contrast_that_it_promises(theme: str) -> None:
    colours = variables(theme)
    assert set(colours) == set(variables("calm"))
    low = {
        (name, ground): round(contrast(colours[name], colours[ground]), 2)
        for names, grounds, least in ((WORDS, GROUNDS, THEMES[theme]), (LINES, ("bg", "card"), GRAPHICS))
        for name in names
        for ground in grounds
        if contrast(colours[name], colours[ground]) < least
    }
    assert low == {}


async def wrong_with(page: Page, rules: Sequence[str] | dict[str, object]) -> list[str]:
    """What axe finds on a page as it stands; `rules` as its runOnly takes them."""
    await page.evaluate(AXE + "; true")
    found: list[str] = await page.evaluate(RUN_AXE, rules)
    return found


class Opened:
    """One way to see a page: where it is, and what is done there until it is full."""

    def __init__(self, page: Page, world: Filled) -> None:
        self.page = page
        self.world = world
        self.main = page.locator("main")

    async def nothing(self) -> None:
        """It is full as it comes."""

    async def wall(self) -> None:
        await expect(self.page.get_by_role("article", name=OFFLINE)).to_contain_text("Offline")
        await expect(self.page.get_by_role("article", name=DEVICE).get_by_role("img")).to_be_visible()
        await expect(self.page.locator("#rows")).to_contain_text("Stored")

    async def large(self) -> None:
        device = self.page.get_by_role("article", name=DEVICE)
        await expect(device.locator(".faces li").first).to_contain_text("Looks happy")
        await expect(device.locator(".chart").first).to_be_visible()
        await device.get_by_text("All readings of this device").click()
        await expect(device.locator("[data-part=readings]")).to_contain_text("classifier")
        await expect(self.page.locator("#rows")).to_contain_text("Stored")

    async def sessions(self) -> None:
        await expect(self.page.locator("#sessions")).to_contain_text("P07")

    async def session(self) -> None:
        await expect(self.page.locator("#bars")).to_contain_text("Looks neutral")
        await expect(self.page.locator("#markers li")).to_have_count(1)
        await self.page.get_by_text("The same as a table").click()
        await expect(self.page.get_by_role("img", name=f"Picture of {DEVICE}")).to_be_visible()

    async def label(self) -> None:
        await expect(self.page.locator("#face")).to_be_visible()
        await press_answer(self.page, "Happy")
        await expect(self.page.locator("#last")).to_contain_text("The model")
        await expect(self.page.locator("#face")).to_be_visible()

    async def label_keys(self) -> None:
        await self.label()
        await self.page.locator("#help-open").click()
        await expect(self.page.get_by_role("dialog", name="Keys")).to_contain_text("Happy")

    async def appearance(self) -> None:
        await self.page.get_by_text("Appearance", exact=True).click()
        await expect(self.page.get_by_role("switch", name="Keys as shortcuts")).to_be_visible()

    async def episodes(self) -> None:
        await expect(self.page.locator("#list li").first).to_contain_text("Mostly: looks")
        await self.page.locator("#list li").first.scroll_into_view_if_needed()  # its picture is loaded then
        await expect(self.page.locator("#list image").first).to_be_visible()
        await expect(self.page.locator("#timeline-says")).to_contain_text("in this time")
        await self.page.get_by_role("slider", name="Timeline").press("End")
        await expect(self.page.locator("#timeline .chosen")).to_be_visible()

    async def frames(self) -> None:
        await expect(self.page.locator("#list li").first).to_contain_text("Looks afraid, looks happy")

    async def detection(self) -> None:
        await expect(self.page.locator("#faces")).to_contain_text("Person 2: looks happy")
        await expect(self.page.locator("#frame image")).to_be_visible()

    async def datasets(self) -> None:
        detail = self.page.get_by_role("region", name="lab-spring", exact=True)
        await expect(detail).to_contain_text("Licence and consent: In this lab only.")
        await expect(detail.locator(".exports")).to_contain_text("sha256")
        await detail.get_by_text("How to load it").first.click()
        await expect(self.page.locator("#preview")).to_contain_text("Happy")

    async def camera(self) -> None:
        await expect(self.page.locator("#device")).to_contain_text(PHONE)

    async def devices(self) -> None:
        device = self.page.get_by_role("article", name=DEVICE)
        await expect(device.locator(".problems")).to_contain_text("It is hot")
        await expect(device.locator("[data-part=compared]")).to_contain_text("Not done yet")
        await device.get_by_role("button", name="Send to the device").click()
        await expect(device.locator("[data-part=answer]")).to_contain_text("Told")

    async def keys(self) -> None:
        await self.page.get_by_label("What it is for").fill("a notebook")
        await self.page.get_by_role("button", name="Make key").click()
        await expect(self.page.get_by_role("heading", name="Your new key")).to_be_focused()
        await expect(self.page.locator("#keys")).to_contain_text("a notebook")

    async def people(self) -> None:
        newcomer = self.main.get_by_role("listitem").filter(has_text=NEWCOMER)
        await newcomer.get_by_role("button", name="New password").click()
        await expect(self.page.get_by_role("heading", name="Temporary password")).to_be_focused()
        await expect(newcomer).to_contain_text("Has not chosen a password yet")

    async def audit(self) -> None:
        await expect(self.page.locator("#lines")).to_contain_text("dataset lab-spring")

    async def privacy(self) -> None:
        await expect(self.page.locator("#erasures")).to_contain_text("Erased")
        await expect(self.page.locator("#kept div").first).to_be_visible()
        await self.page.get_by_label("Device", exact=True).fill(DEVICE)
        await self.page.get_by_label("To, not included").fill("2026-03-01T00:00:00")
        await self.page.get_by_role("button", name="Show what would go").click()
        await expect(self.page.locator("#erase-what")).to_be_focused()

    async def notice(self) -> None:
        await self.page.get_by_label("Who records").fill("The lab")
        await expect(self.page.get_by_role("article")).to_contain_text("The lab")

    async def account(self) -> None:
        await expect(self.main).to_contain_text(f"You are logged in as {ADMIN}")

    async def login(self) -> None:
        await self.page.get_by_label("Name").fill(ADMIN)
        await self.page.get_by_label("Password").fill("not this one")
        await self.page.get_by_role("button", name="Log in").click()
        await expect(self.page.get_by_role("alert")).to_contain_text("do not belong together")

    async def first_password(self) -> None:
        await expect(self.main).to_contain_text("Your password is a temporary one")

    async def refused(self) -> None:
        await expect(self.main).to_contain_text("This page is not for your role")

    async def missing(self) -> None:
        await expect(self.main).to_contain_text("There is no such page")
        await expect(self.main.get_by_role("link", name="Go to the first page")).to_be_visible()

    async def misfit(self) -> None:
        await expect(self.main.locator(".field-problem")).to_contain_text("Expected one of")

    async def no_session(self) -> None:
        await expect(self.main).to_contain_text("This session is not there")

    async def reference(self) -> None:
        """Only the first of its many sections, which are alike: test_reference_page.py looks at all of them."""
        await expect(self.page.get_by_role("heading", name="GET /api/v1/detections", exact=True)).to_be_visible()
        await self.page.evaluate(
            "document.querySelectorAll('main section:nth-of-type(n+9)').forEach(each => each.remove())"
        )


def looks_at(world: Filled) -> list[tuple[str, str, str, Callable[[Opened], Awaitable[None]]]]:
    """Who looks (nobody: ""), at which of PAGES, by which address, and how it becomes full."""
    return [
        (NEWCOMER, "/account", "/", Opened.first_password),  # before People makes another password for them
        (ADMIN, "/", "/", Opened.wall),
        (ADMIN, "/", f"/?device={DEVICE}", Opened.large),
        (ADMIN, "/sessions", "/sessions", Opened.sessions),
        (ADMIN, "/sessions/{session_id}", f"/sessions/{world.session_id}", Opened.session),
        (ADMIN, "/sessions/{session_id}", "/sessions/xx", Opened.no_session),
        (ADMIN, "/label", "/label", Opened.label_keys),
        (ADMIN, "/label", "/label", Opened.label),
        (ADMIN, "/history", "/history", Opened.episodes),
        (ADMIN, "/history", "/history?view=detections", Opened.frames),
        (ADMIN, "/history", "/history?emotion=foo", Opened.misfit),
        (ADMIN, "/history/{event_id}", f"/history/{world.event_id}", Opened.detection),
        (ADMIN, "/datasets", f"/datasets?dataset={world.dataset_id}", Opened.datasets),
        (ADMIN, "/camera", "/camera", Opened.camera),
        (ADMIN, "/devices", "/devices", Opened.devices),
        (ADMIN, "/keys", "/keys", Opened.keys),
        (ADMIN, "/people", "/people", Opened.people),
        (ADMIN, "/audit", "/audit?action=build", Opened.audit),
        (ADMIN, "/privacy", "/privacy", Opened.privacy),
        (ADMIN, "/privacy/notice", "/privacy/notice", Opened.notice),
        (ADMIN, "/account", "/account", Opened.account),
        (ADMIN, "/account", "/account", Opened.appearance),
        (ADMIN, "/api/v1/docs", "/api/v1/docs", Opened.reference),
        (VIEWER, "/people", "/people", Opened.refused),
        (ADMIN, "/", "/no-such-page", Opened.missing),
        ("", "/login", "/no-such-page", Opened.missing),
        ("", "/login", "/login", Opened.login),
    ]


async def test_axe_finds_nothing_on_any_filled_page_in_any_theme_ids_differ_and_a_phone_has_room(
    browser: Browser,
    mqtt_settings: MqttSettings,
    database_settings: DatabaseSettings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(services.web.trail, "WRITE_EVERY_S", 0.05)
    device = Device(mqtt_settings)
    settings = web_settings(mqtt_settings, database_settings, login="required", data_dir=tmp_path)
    wrong: dict[str, list[str]] = {}
    async with (
        records(database_settings, START.date(), datetime.now(UTC).date()) as engine,
        AsyncExitStack() as stack,
    ):
        event_id = await before_start(engine)
        base = await stack.enter_async_context(running_web(settings))
        world = await stack.enter_async_context(filled(engine, base, device, event_id))
        looks = looks_at(world)
        assert {path for _, path, _, _ in looks} == {each.path for each in PAGES if "cloud" in each.roles}
        contexts = {name: await browser.new_context() for name in (ADMIN, VIEWER, NEWCOMER, "")}
        for name, context in contexts.items():
            if name:
                answer = await context.request.post(f"{base}/api/v1/login", data={"name": name, "password": PASSWORD})
                assert answer.ok, await answer.text()
        for name, _, address, fill in looks:
            page = await contexts[name].new_page()
            visit = Visit(page, base)
            page.on("dialog", lambda dialog: dialog.accept())
            await page.goto(base + address)
            await fill(Opened(page, world))
            await expect(page.locator("main [aria-busy=true]")).to_have_count(0)
            # axe looks at those alone that ARIA refers to; labels, links and scripts find the first of two as well.
            if same := await page.evaluate(SAME_IDS):
                wrong[f"{address} by {name or 'nobody'}, {fill.__name__}"] = [f"ids given twice: {same}"]
            for width in WIDTHS:
                await page.set_viewport_size({"width": width, "height": 900})
                for theme, least in THEMES.items():
                    await page.evaluate("theme => window.look.set('theme', theme)", theme)
                    # axe's AAA rule asks 7:1 of all text; the soft theme promises AA's 4.5:1.
                    strict = least >= 7
                    rules: Sequence[str] | dict[str, object] = [*RULES, "cat.color", "wcag2aaa"]
                    if theme != "calm":  # themes differ in their colours alone, as the test above says
                        rules = {
                            "type": "rule",
                            "values": COLOUR_RULES + (["color-contrast-enhanced"] if strict else []),
                        }
                    found = await wrong_with(page, rules)
                    if found:
                        wrong[f"{address} by {name or 'nobody'}, {theme}, {width} px, {fill.__name__}"] = found
                wide = await page.evaluate("document.documentElement.scrollWidth")
                if wide > width:
                    wrong[f"{address}, {width} px"] = [f"{wide} px wide"]
            assert visit.foreign == []
            await page.close()
    assert wrong == {}


async def height(page: Page) -> float:
    """Of what is above every page, in CSS pixels."""
    box = await page.get_by_role("banner").bounding_box()
    assert box is not None
    return box["height"]


async def test_the_header_is_one_row_whose_rare_pages_open_by_keyboard(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings
) -> None:
    settings = web_settings(mqtt_settings, database_settings, login="required")
    long_name = "somebody.with.a.long.name@institute.example"
    async with records(database_settings, datetime.now(UTC).date()) as engine:
        for name, role in ((ADMIN, "admin"), (long_name, "admin"), (VIEWER, "viewer")):
            await add_person(engine, name, role)
        async with running_web(settings) as base:
            for name in (ADMIN, long_name, VIEWER):
                context = await browser.new_context(viewport={"width": 1280, "height": 900})
                page = await context.new_page()
                assert (await page.request.post(f"{base}/api/v1/login", data={"name": name, "password": PASSWORD})).ok
                for path in ("/", "/label", "/devices", "/history"):
                    await page.set_viewport_size({"width": 1280, "height": 900})
                    await page.goto(base + path)
                    assert await height(page) <= ROW_PX, (name, path)
                    await page.set_viewport_size({"width": 360, "height": 800})
                    assert await height(page) <= ROW_PX, (name, path)
                await context.close()

            page = await browser.new_page(viewport={"width": 1280, "height": 900})
            await page.request.post(f"{base}/api/v1/login", data={"name": ADMIN, "password": PASSWORD})
            await page.goto(f"{base}/history")
            menu = page.get_by_role("navigation", name="Pages")
            await expect(menu.get_by_role("link")).to_have_text(
                ["Live", "Sessions", "Label", "History", "Datasets", "Devices"]
            )
            more = menu.locator("summary")
            await expect(more).to_have_text("More")
            await press(more)
            await expect(menu.get_by_role("link", name="Audit log")).to_be_visible()
            assert await height(page) <= ROW_PX  # it hangs over the page
            assert await wrong_with(page, RULES) == []
            await page.keyboard.press("Escape")
            await expect(menu.get_by_role("link", name="Audit log")).to_be_hidden()
            await expect(more).to_be_focused()
            await press(more, "Space")
            await page.keyboard.press("Tab")
            await expect(menu.get_by_role("link", name="Camera")).to_be_focused()
            for _ in range(6):
                await page.keyboard.press("Tab")  # past the last of them, which closes it
            await expect(menu.get_by_role("link", name="Camera")).to_be_hidden()
            await press(more)
            await press(menu.get_by_role("link", name="Audit log"))
            await expect(page).to_have_url(f"{base}/audit")
            await expect(more).to_have_text("More, here: Audit log")

            # On a phone one button opens all of it at once.
            await page.set_viewport_size({"width": 360, "height": 800})
            await expect(menu).to_be_hidden()
            await press(page.get_by_role("button", name="Menu"))
            await expect(menu.get_by_role("link", name="Audit log")).to_be_visible()
            await expect(page.get_by_role("button", name="Log out")).to_be_visible()
            assert await page.evaluate("document.documentElement.scrollWidth") == 360
            assert await wrong_with(page, RULES) == []
            await page.keyboard.press("Escape")
            await expect(menu).to_be_hidden()
            await expect(page.get_by_role("button", name="Menu")).to_be_focused()
            await page.close()


async def test_theme_and_text_size_are_chosen_by_keyboard_and_kept(
    browser: Browser, mqtt_settings: MqttSettings
) -> None:
    async with running_web(web_settings(mqtt_settings)) as base:
        page = await browser.new_page(viewport={"width": 360, "height": 800}, color_scheme="dark")
        root = page.locator("html")
        await page.goto(base)
        await expect(root).to_have_attribute("data-theme", "dark")
        opener = page.get_by_role("button", name="Menu")
        await press(opener)
        await press(page.get_by_text("Appearance", exact=True))
        await page.get_by_label("Soft").check()
        await page.get_by_label("20 px").check()
        await expect(root).to_have_attribute("data-theme", "soft")
        assert await page.evaluate("getComputedStyle(document.body).fontSize") == "20px"
        await page.keyboard.press("Escape")
        await expect(page.get_by_text("Appearance", exact=True)).to_be_focused()
        await expect(page.get_by_label("Soft")).to_be_hidden()
        await page.goto(f"{base}/api/v1/docs")
        await expect(root).to_have_attribute("data-theme", "soft")
        assert await page.evaluate("getComputedStyle(document.body).fontSize") == "20px"
        menu = page.get_by_role("navigation", name="Pages")
        await expect(menu).to_be_hidden()
        await press(opener)
        await expect(menu).to_be_visible()
        box = await menu.get_by_role("link", name="Live").bounding_box()
        assert box is not None
        assert box["height"] >= 44
        await press(menu.get_by_role("link", name="Live"))
        await expect(page).to_have_url(f"{base}/")
        await opener.click()
        await page.get_by_text("Appearance", exact=True).click()
        await page.get_by_label("As this device is set").check()
        await expect(root).to_have_attribute("data-theme", "dark")
        await page.close()
