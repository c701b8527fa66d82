"""The page of the REST interface in a real browser: what to send and what comes back, as OpenAPI has it."""

import json
import re

import httpx
import pytest
from playwright.async_api import Browser, expect

from services.web.examples import contents
from shared.settings import DatabaseSettings, MqttSettings
from tests.e2e.test_every_page import RULES, SAME_IDS, THEMES, wrong_with
from tests.support.browser import Visit, press
from tests.support.patience import WAIT_S
from tests.support.web import records, running_web, web_settings

pytestmark = pytest.mark.timeout(300)


async def test_each_body_and_answer_has_its_example_in_every_theme_and_on_a_phone(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings
) -> None:
    async with records(database_settings), running_web(web_settings(mqtt_settings, database_settings)) as base:
        page = await browser.new_page(viewport={"width": 360, "height": 800})
        visit = Visit(page, base)
        await page.goto(f"{base}/api/v1/docs")
        async with httpx.AsyncClient(base_url=base, timeout=WAIT_S) as api:
            found = contents((await api.get("/api/v1/openapi.json")).json())
        assert len(found) > 60
        examples = page.locator(".example")
        shown = {}
        for summary, text in zip(
            await examples.locator("summary").all_text_contents(),
            await examples.locator("code").all_text_contents(),
            strict=True,
        ):
            match = re.fullmatch(r"(?:(Body) to send|Answer (2\d\d)), for example: ([A-Z]+ \S+)", summary)
            assert match, summary
            shown[f"{match[3]} {(match[1] or match[2]).lower()}"] = json.loads(text)
        assert shown == {name: content["example"] for name, content in found.items()}

        assert await page.evaluate(SAME_IDS) == []

        link = await page.get_by_role("link", name="/api/v1/openapi.json").bounding_box()
        assert link is not None
        assert link["height"] >= 44

        # Collapsed, and opened by keyboard.
        label = examples.filter(has_text="POST /api/v1/labels").first
        await expect(label.locator("pre")).to_be_hidden()
        await press(label.locator("summary"))
        await expect(label.locator("pre")).to_be_visible()
        await expect(label.locator("pre")).to_contain_text('"label": "happy"')

        # All open at once: whatever is in them has room, and axe has nothing to say of it.
        wrong: dict[str, list[str]] = {}
        for theme, contrast in THEMES.items():
            await page.evaluate("theme => localStorage.setItem('theme', theme)", theme)
            await page.reload()
            await expect(page.locator("html")).to_have_attribute("data-theme", theme)
            await page.evaluate("document.querySelectorAll('.example').forEach(each => { each.open = true; })")
            await expect(examples.last.locator("pre")).to_be_visible()
            assert await page.evaluate("document.documentElement.scrollWidth") == 360
            cut = "[...document.querySelectorAll('.example pre')].filter(each => each.scrollWidth > each.clientWidth)"
            assert await page.evaluate(f"{cut}.length") == 0
            found_wrong = await wrong_with(page, RULES + (["cat.color", "wcag2aaa"] if contrast >= 7 else []))
            if found_wrong:
                wrong[theme] = found_wrong
        assert wrong == {}
        assert visit.complaints == []
        assert visit.foreign == []
        await page.close()
