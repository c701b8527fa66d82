"""A browser's own camera, end to end: Chromium's fake device, the web service, a real broker, capture."""

import asyncio
from pathlib import Path

import httpx
import pytest
from playwright.async_api import expect

import services.capture.main
from services.capture.settings import CaptureSettings
from shared.jpeg import picture_size, read_comment
from shared.messages import FrameInfo, decode
from shared.mqtt import MqttLink
from shared.settings import HealthSettings, MqttSettings
from tests.support import scenes
from tests.support.browser import chromium
from tests.support.web import check_problem, running_web, web_settings

DEVICE = "phone"
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")

pytestmark = pytest.mark.timeout(180)


async def test_after_consent_a_browsers_pictures_become_camera_frames_until_it_is_stopped(
    mqtt_settings: MqttSettings, tmp_path: Path
) -> None:
    capture = CaptureSettings(
        device=DEVICE, source="browser", mqtt=mqtt_settings, data_dir=tmp_path, health=HealthSettings(port=0)
    )
    frames: asyncio.Queue[bytes] = asyncio.Queue()
    link = MqttLink(mqtt_settings)
    link.subscribe(mqtt_settings.topics.camera(DEVICE), lambda _, payload: frames.put_nowait(payload))
    async with running_web(web_settings(mqtt_settings)) as base, chromium(*CAMERA) as browser:
        tasks = [asyncio.create_task(link.run()), asyncio.create_task(services.capture.main.run(capture))]
        page = await browser.new_page()
        await page.goto(f"{base}/camera")
        start = page.get_by_role("button", name="Start the camera")
        await expect(page.locator("#device")).to_have_value(DEVICE)
        await expect(start).to_be_disabled()
        await page.get_by_label("Everybody in view knows this and agrees.").check()
        await start.press("Enter")
        await expect(page.locator("#camera-state")).to_have_text("The camera is on and its pictures are sent.")
        received = [await frames.get() for _ in range(3)]
        infos = [decode(FrameInfo, "f", read_comment(each)) for each in received]
        assert picture_size(received[0]) == (640, 480)
        assert [info.source.name for info in infos] == ["browser"] * 3
        assert infos[0].frame_number < infos[1].frame_number < infos[2].frame_number
        await page.get_by_role("button", name="Stop the camera").press("Enter")
        await expect(page.locator("#camera-state")).to_have_text("Stopped. The camera is off.")
        assert await page.evaluate("document.getElementById('video').srcObject") is None
        async with httpx.AsyncClient(base_url=base) as api:
            path = f"/api/v1/devices/{DEVICE}/camera-frames"
            jpeg = {"Content-Type": "image/jpeg"}
            whole = scenes.picture()
            check_problem(await api.post(path, content=whole), 415, "not-jpeg")
            check_problem(await api.post(path.replace(DEVICE, "nobody"), content=whole, headers=jpeg), 404, "not-found")
            await asyncio.sleep(0.05)  # its pace is 30 a second
            check_problem(await api.post(path, content=whole[:-100], headers=jpeg), 422, "bad-picture")
            assert (await api.post(path, content=b"x" * 2_000_000, headers=jpeg)).status_code == 413
            assert "camera=(self)" in (await api.get("/camera")).headers["permissions-policy"]
            assert "camera=()" in (await api.get("/")).headers["permissions-policy"]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
