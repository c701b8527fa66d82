"""Every page of the menu in every theme: nothing that axe complains of, and room enough on a phone.

A page that is added to PAGES is looked at here by itself.
"""

import json
import re
from datetime import UTC, datetime
from importlib.resources import files
from typing import Final

import pytest
from playwright.async_api import Browser, Page, expect

from services.web.app import STATIC
from services.web.routes.pages import PAGES
from shared.settings import DatabaseSettings, MqttSettings
from tests.support import scenes
from tests.support.browser import Device
from tests.support.web import records, running_web, store, web_settings

AXE: Final = (files("axe_playwright_python") / "axe.min.js").read_text()
RULES: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RUN_AXE: Final = """async (rules) => {
  const found = await axe.run(document, { runOnly: rules, resultTypes: ["violations"] });
  const where = (each) => each.nodes.map((node) => node.html.slice(0, 120)).join(" | ");
  return found.violations.map((each) => `${each.id}: ${each.help}: ${where(each)}`);
}"""
THEMES: Final = {"calm": 7.0, "soft": 4.5, "dark": 7.0}
"""The least contrast of text in each."""
GRAPHICS: Final = 3.0
WORDS: Final = ("ink", "quiet", "good", "warn", "bad", "accent")
GROUNDS: Final = ("bg", "card", "fill", "warn-fill")
LINES: Final = ("line", "angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")

pytestmark = pytest.mark.timeout(300)


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


async def wrong_with(page: Page, rules: list[str]) -> list[str]:
    """What axe finds on a page as it stands."""
    await page.evaluate(AXE + "; true")
    found: list[str] = await page.evaluate(RUN_AXE, rules)
    return found


@pytest.mark.parametrize("theme", THEMES)
async def test_axe_finds_nothing_and_a_phone_has_room(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings, theme: str
) -> None:
    device = Device(mqtt_settings)
    # axe's AAA rule asks 7:1 of all text; the soft theme promises AA's 4.5:1.
    rules = RULES + (["cat.color", "wcag2aaa"] if THEMES[theme] >= 7 else [])
    async with records(database_settings) as engine:
        await store(engine, [scenes.detection("camera-1", scenes.face(), captured_at=datetime.now(UTC))])
        settings = web_settings(mqtt_settings, database_settings)
        async with running_web(settings) as base, device.playing():
            page = await browser.new_page(viewport={"width": 1280, "height": 900})
            await page.add_init_script(f"localStorage.setItem('theme', {json.dumps(theme)})")
            wrong: dict[str, list[str]] = {}
            for each in PAGES:
                if "cloud" not in each.roles:
                    continue
                await page.set_viewport_size({"width": 1280, "height": 900})
                await page.goto(base + each.path)
                await expect(page.locator("html")).to_have_attribute("data-theme", theme)
                if each.path == "/":
                    await expect(page.locator(".faces li").first).to_contain_text("Looks happy")
                found = await wrong_with(page, rules)
                await page.set_viewport_size({"width": 360, "height": 800})
                width = await page.evaluate("document.documentElement.scrollWidth")
                if width > 360:
                    found.append(f"{width} px wide on a screen of 360")
                if found:
                    wrong[each.path] = found
            await page.close()
            assert wrong == {}


async def test_theme_and_text_size_are_chosen_by_keyboard_and_kept(
    browser: Browser, mqtt_settings: MqttSettings
) -> None:
    async with running_web(web_settings(mqtt_settings)) as base:
        page = await browser.new_page(viewport={"width": 360, "height": 800}, color_scheme="dark")
        root = page.locator("html")
        await page.goto(base)
        await expect(root).to_have_attribute("data-theme", "dark")
        await page.get_by_text("Appearance", exact=True).press("Enter")
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
        await page.get_by_role("button", name="Menu").press("Enter")
        await expect(menu).to_be_visible()
        box = await menu.get_by_role("link", name="Live").bounding_box()
        assert box is not None
        assert box["height"] >= 44
        await menu.get_by_role("link", name="Live").press("Enter")
        await expect(page).to_have_url(f"{base}/")
        await page.get_by_text("Appearance", exact=True).click()
        await page.get_by_label("As this device is set").check()
        await expect(root).to_have_attribute("data-theme", "dark")
        await page.close()
