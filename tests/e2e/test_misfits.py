"""What does not fit is told to people at the field that it is about, once, in sentences; the rest is for programs."""

from datetime import UTC, datetime

import pytest
from playwright.async_api import Browser, Page, expect

from shared.settings import DatabaseSettings, MqttSettings
from tests.support import scenes
from tests.support.accounts import PASSWORD, add_person
from tests.support.browser import Device, page_of, press
from tests.support.web import ingested, records, running_web, web_settings

pytestmark = pytest.mark.timeout(180)

FOR_PROGRAMS = ("/api/v1/docs", "The request does not fit", "participant:", "undefined")


async def said(page: Page) -> str:
    text = await page.locator("main").inner_text()
    assert [each for each in FOR_PROGRAMS if each in text] == []
    return text


async def test_a_misfit_is_told_once_at_its_field_and_goes_when_it_fits(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings
) -> None:
    now = datetime.now(UTC)
    async with records(database_settings, now.date()) as engine:
        await ingested(engine, [scenes.detection("camera-1", scenes.face(), captured_at=now)])
        async with running_web(web_settings(mqtt_settings, database_settings)) as base:
            async with page_of(browser, base, "/sessions") as (page, _):
                field = page.get_by_label("Participant’s code")
                await expect(page.get_by_role("checkbox", name="camera-1")).to_be_checked()
                await field.fill("Ann Smith")
                await press(page.get_by_role("button", name="Start now"))
                await expect(field).to_have_attribute("aria-invalid", "true")
                await expect(field).to_be_focused()
                await expect(field).to_have_accessible_description(
                    "Expected a code such as P07: 1 to 32 letters (a to z), digits, dots, dashes and underscores, of "
                    "which the first is a letter or digit; no spaces, and never a name. A code such as P07, never a "
                    "name: whoever reads the records must not learn who it was. Letters, digits, dots, dashes and "
                    "underscores."
                )
                await expect(page.locator("#trouble")).to_be_hidden()
                assert (await said(page)).count("Expected a code") == 1
                await field.fill("P07")
                await press(page.get_by_role("button", name="Start now"))
                await expect(page.locator("#title")).to_have_text("Session of P07")
            async with page_of(browser, base, "/history?emotion=foo") as (page, _):
                emotion = page.get_by_label("Emotion")
                await expect(emotion).to_have_attribute("aria-invalid", "true")
                await expect(page.locator("#state")).to_have_text(
                    "Nothing was looked for: the filter does not fit, as it says above."
                )
                assert (await said(page)).count("Expected one of 'angry'") == 1
                await emotion.select_option("")
                await expect(page.locator("#state")).to_contain_text("1 shown")
                await expect(page.locator(".field-problem")).to_have_count(0)
                await page.goto(f"{base}/history?device=nosuch")
                await expect(page.locator(".field-problem")).to_contain_text(
                    "No device nosuch is known; the list of devices"
                )
                await page.goto(f"{base}/history?emotion=happy&has_frame=maybe&min_confidence=2")
                await expect(page.locator(".field-problem")).to_have_count(2)
            for path in ("xx", "0195532e-0000-7000-8000-000000000000"):
                async with page_of(browser, base, f"/sessions/{path}") as (page, _):
                    await expect(page.get_by_role("heading")).to_have_text(["This session is not there"])
                    await expect(page.get_by_role("alert")).to_contain_text("It may have been deleted")
                    assert "UUID" not in await said(page)


async def test_a_refused_password_and_a_model_that_is_not_there_are_told_in_sentences(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings
) -> None:
    async with records(database_settings, datetime.now(UTC).date()) as engine:
        await add_person(engine, "newton", "researcher")
        async with (
            running_web(web_settings(mqtt_settings, database_settings, login="required")) as base,
            page_of(browser, base, "/login") as (page, _),
        ):
            await page.request.post(f"{base}/api/v1/login", data={"name": "newton", "password": PASSWORD})
            await page.goto(f"{base}/account")
            await page.get_by_label("Old password").fill(PASSWORD)
            await page.get_by_label("New password", exact=True).fill("newton-newton")
            await page.get_by_label("New password again").fill("newton-newton")
            await press(page.get_by_role("button", name="Change password"))
            new = page.get_by_label("New password", exact=True)
            await expect(new).to_have_attribute("aria-invalid", "true")
            await expect(page.locator(".field-problem")).to_contain_text(".")
            await expect(page.get_by_role("alert")).to_be_hidden()
            await said(page)
            async with Device(mqtt_settings).linked() as device:
                status = scenes.status(device.name)
                await device.tell(status.model_copy(update={"values": {**status.values, "models": "other"}}))
                await page.goto(f"{base}/devices")
                card = page.get_by_role("article", name="camera-1")
                await expect(card.get_by_label("Model")).to_contain_text("other")
                await card.get_by_label("Model").evaluate("each => each.append(new Option('nope', 'nope'))")
                await card.get_by_label("Model").select_option("nope")
                await press(card.get_by_role("button", name="Send to the device"))
                await expect(card.locator("[data-part=answer]")).to_have_text(
                    "Model: the device camera-1 does not have the model nope; it has other."
                )
