"""The page of devices in a real browser: what is wrong and what to do, and what is wished until it is done."""

from datetime import timedelta

import pytest
from playwright.async_api import Browser, expect

from shared.messages import Problem, Sampling, StatusValue
from shared.settings import MqttSettings
from tests.integration.delivery import until
from tests.support import scenes
from tests.support.browser import Device, press, visiting
from tests.support.web import running_web, web_settings

pytestmark = pytest.mark.timeout(180)


async def test_readings_problems_and_wishes_are_shown_until_the_device_has_done_them(
    browser: Browser, mqtt_settings: MqttSettings
) -> None:
    device = Device(mqtt_settings)
    wishes = device.wishes()

    async def tell(*problems: Problem, **values: StatusValue) -> None:
        status = scenes.status(device.name, "classifier", "degraded" if problems else "online", *problems)
        await device.tell(status.model_copy(update={"values": {**status.values, **values}}))

    async def pause(by: str) -> None:
        status = scenes.status(device.name, "capture", "paused").model_copy(update={"values": {"paused_by": by}})
        await device.tell(status)

    model: dict[str, StatusValue] = {"model_folder": "slim_resnet", "models": "other, slim_resnet", "sampling": "off"}
    async with (
        running_web(web_settings(mqtt_settings)) as base,
        device.playing(),
        visiting(browser, f"{base}/devices") as visit,
    ):
        page = visit.page
        card = page.get_by_role("article", name="camera-1")
        readings, compared = card.locator("[data-part=readings]"), card.locator("[data-part=compared]")
        await expect(card.locator("[data-part=state]")).to_have_text("Online")
        await tell(latency_p50_ms=31.0, latency_p95_ms=1500.0, outbox_dropped=3, fps=14.2, **model)
        await expect(readings).to_contain_text("31 ms")
        await expect(readings).to_contain_text("the device does not tell")
        await expect(card.locator(".problems")).to_contain_text("Readings come late")
        await expect(card.locator(".problems")).to_contain_text("3 items were given up")
        await expect(card.locator(".problems")).not_to_contain_text("hot")
        await tell(latency_p50_ms=31.0, latency_p95_ms=1500.0, outbox_dropped=3, temperature_c=88.4, **model)
        await expect(readings).to_contain_text("88 °C")
        await expect(card.locator(".problems")).to_contain_text("It is hot: 88 °C")
        await expect(card.locator(".problems code").first).to_have_text("EMOTION_OUTBOX__MAX_MB")
        await card.get_by_label("Keep pictures").select_option("on")
        await card.get_by_label("At least one every (seconds)").fill("5")
        await card.get_by_label("Model").select_option("other")
        send = card.get_by_role("button", name="Send to the device")
        while True:  # the service first has to hear what the broker retains
            await press(send)
            await expect(card.locator("[data-part=answer]")).not_to_be_empty()
            if "Told." in await card.locator("[data-part=answer]").inner_text():
                break
        wish = await wishes.get()
        while wish.model is None:
            wish = await wishes.get()
        assert (wish.model, wish.sampling) == ("other", Sampling(mode="on", every_s=5.0))
        wanted = compared.get_by_role("row")
        await expect(wanted.get_by_role("rowheader")).to_have_text(["Pictures", "Model"])
        await expect(wanted.nth(2).get_by_role("cell")).to_have_text(["other", "slim_resnet", "Not done yet"])
        await tell(**{**model, "model_folder": "other", "sampling": "on", "sampling_every_s": 5.0})
        await expect(wanted.nth(2).get_by_role("cell")).to_have_text(["other", "other", "Done"])
        await expect(wanted.nth(1).get_by_role("cell").last).to_have_text("Done")
        await expect(wanted.nth(1)).to_contain_text("one every 5 s")

        async def clock_is_ahead() -> bool:
            ahead = scenes.status(device.name, "classifier")
            ahead = ahead.model_copy(update={"at": ahead.at + timedelta(hours=1), "values": {**ahead.values, **model}})
            await device.tell(ahead)
            return "ahead" in await readings.inner_text()

        await until(clock_is_ahead)
        await expect(card.locator(".problems")).to_contain_text("Its clock is")
        await press(card.get_by_role("button", name="Pause camera"))
        await expect(card.get_by_role("button", name="Resume camera")).to_be_visible()
        await expect(wanted.nth(1).get_by_role("cell")).to_have_text(["paused", "running", "Not done yet"])
        await pause("dashboard")
        await expect(card.locator("[data-part=paused-now]")).to_have_text(
            "Paused by somebody at a page like this one. The camera is off until it is resumed here."
        )
        await pause("device")
        await expect(card.locator("[data-part=paused-now]")).to_contain_text("resumed there, by emotion-edge resume")

        # On a phone no word is broken: each setting is a block of lines, still a row to who hears it.
        await page.set_viewport_size({"width": 360, "height": 800})
        await expect(wanted.get_by_role("rowheader")).to_have_text(["Pause", "Pictures", "Model"])
        line_px = await wanted.last.get_by_role("cell").first.evaluate("each => each.getBoundingClientRect().height")
        assert line_px < 30
        assert await page.evaluate("document.documentElement.scrollWidth") == 360

        # What is taken back is told as such, and no table is announced that is not there.
        await card.get_by_label("Keep pictures").select_option("")
        await card.get_by_label("Model").select_option("")
        await press(send)
        await expect(wanted.get_by_role("rowheader")).to_have_text(["Pause"])
        await expect(card.locator("[data-part=answer]")).to_contain_text("The table below says when")
        while (wish := await wishes.get()).model is not None:
            pass
        clear = await page.request.patch(f"{base}/api/v1/devices/{device.name}/desired", data={"paused": None})
        assert clear.ok
        await press(send)
        await expect(card.locator("[data-part=answer]")).to_contain_text("Nothing is wanted from here any more")
        await expect(compared).to_be_hidden()
        assert visit.complaints == []
