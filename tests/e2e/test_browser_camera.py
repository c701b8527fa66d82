"""A browser's own camera, end to end: Chromium's fake device, the web service, a real broker, capture."""

import asyncio
import re
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import cv2
import httpx
import pytest
from playwright.async_api import Route, expect

import services.capture.main
import services.web.camera_holds
from services.capture.settings import CaptureSettings
from services.embedded import free_port
from shared.jpeg import picture_size, read_comment
from shared.messages import FrameInfo, decode
from shared.mqtt import MqttLink
from shared.settings import HealthSettings, MqttSettings
from tests.e2e.conftest import Env, Program
from tests.e2e.test_demo import answering
from tests.e2e.test_pipeline import all_pages, until
from tests.support import scenes
from tests.support.browser import Held, Visit, chromium, press
from tests.support.patience import WAIT_S
from tests.support.web import check_problem, running_web, web_settings

DEVICE = "phone"
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def capture(mqtt_settings: MqttSettings, tmp_path: Path) -> CaptureSettings:
    """A device that waits for a browser's pictures."""
    return CaptureSettings(
        device=DEVICE, source="browser", mqtt=mqtt_settings, data_dir=tmp_path, health=HealthSettings(port=0)
    )


async def test_after_consent_a_browsers_pictures_become_camera_frames_until_it_is_stopped(
    mqtt_settings: MqttSettings, capture: CaptureSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services.web.camera_holds, "HOLD_S", 60.0)  # however slow this machine is
    frames: asyncio.Queue[bytes] = asyncio.Queue()
    link = MqttLink(mqtt_settings)
    link.subscribe(mqtt_settings.topics.camera(DEVICE), lambda _, payload: frames.put_nowait(payload))
    async with running_web(web_settings(mqtt_settings)) as base, chromium(*CAMERA) as browser:
        tasks = [asyncio.create_task(link.run()), asyncio.create_task(services.capture.main.run(capture))]
        page = await browser.new_page()
        names: set[str] = set()
        page.on("request", lambda request: names.update(v for k, v in request.headers.items() if k == "x-camera"))
        await page.goto(f"{base}/camera")
        start = page.get_by_role("button", name="Start the camera")
        await expect(page.locator("#device")).to_have_value(DEVICE)
        await expect(start).to_be_disabled()
        await page.get_by_label("Everybody in view knows this and agrees.").check()
        await press(start)
        await expect(page.locator("#camera-state")).to_have_text("The camera is on and its pictures are sent.")
        received = [await frames.get() for _ in range(3)]
        infos = [decode(FrameInfo, "f", read_comment(each)) for each in received]
        assert picture_size(received[0]) == (640, 480)
        assert [info.source.name for info in infos] == ["browser"] * 3
        assert infos[0].frame_number < infos[1].frame_number < infos[2].frame_number

        # After a picture that was long under way the next one comes soon, but not too soon for the service.
        asked: list[str] = []

        async def every_second_slowly(route: Route) -> None:
            asked.append(route.request.url)
            if len(asked) % 2:
                await asyncio.sleep(0.1)
            await route.continue_()

        answers: list[int] = []
        page.on("response", lambda answer: answers.append(answer.status) if "/camera-frames" in answer.url else None)
        await page.route("**/camera-frames", every_second_slowly)
        await until(lambda: len(answers) >= 8, "pictures are answered")
        await page.unroute_all(behavior="wait")
        assert set(answers) == {204}

        # Another page's camera, of the same browser even, is refused for as long as this one sends.
        other = await browser.new_page()
        await other.goto(f"{base}/camera")
        await expect(other.locator("#device")).to_have_value(DEVICE)
        await other.get_by_label("Everybody in view knows this and agrees.").check()
        await press(other.get_by_role("button", name="Start the camera"))
        await expect(other.locator("#camera-state")).to_contain_text("Stopped. phone has those of another browser")
        await expect(other.locator("#camera-state")).to_contain_text("Stop the other camera and start this one")
        assert await other.evaluate("document.getElementById('video').srcObject") is None
        await expect(page.locator("#camera-state")).to_have_text("The camera is on and its pictures are sent.")
        await other.close()
        await press(page.get_by_role("button", name="Stop the camera"))
        await expect(page.locator("#camera-state")).to_have_text("Stopped. The camera is off.")
        assert await page.evaluate("document.getElementById('video').srcObject") is None
        async with httpx.AsyncClient(base_url=base, timeout=WAIT_S) as api:
            path = f"/api/v1/devices/{DEVICE}/camera-frames"
            jpeg = {"Content-Type": "image/jpeg"}
            (name,) = names
            as_page = jpeg | {"X-Camera": name}
            whole = scenes.picture()
            check_problem(await api.post(path, content=whole), 415, "not-jpeg")
            check_problem(await api.post(path.replace(DEVICE, "nobody"), content=whole, headers=jpeg), 404, "not-found")

            async def answer(content: bytes) -> httpx.Response:
                """To a picture sent as the page would, once more where the last one was just before."""
                while True:
                    if (sent := await api.post(path, content=content, headers=as_page)).status_code != 429:
                        return sent

            check_problem(await api.post(path, content=whole, headers=jpeg), 409, "in-use")  # the page's for a while
            assert (await answer(whole)).status_code == 204
            check_problem(await answer(whole[:-100]), 422, "bad-picture")
            too_large = await answer(b"x" * 2_000_000)
            told = check_problem(too_large, 413, HTTPStatus(413).phrase.lower().replace(" ", "-"))
            assert "Send a smaller picture" in told["next_step"]
            assert "at most 1048576 bytes" in (await api.get("/api/v1/docs")).text
            assert "camera=(self)" in (await api.get("/camera")).headers["permissions-policy"]
            assert "camera=()" in (await api.get("/")).headers["permissions-policy"]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_picture_that_is_lost_on_its_way_does_not_end_the_camera(
    mqtt_settings: MqttSettings, capture: CaptureSettings
) -> None:
    async with running_web(web_settings(mqtt_settings)) as base, chromium(*CAMERA) as browser:
        running = asyncio.create_task(services.capture.main.run(capture))
        page = await browser.new_page()
        await page.clock.install()
        lost = await Held(page, "POST", "/camera-frames$").begin()
        await page.goto(f"{base}/camera")
        await page.get_by_label("Everybody in view knows this and agrees.").check()
        await press(page.get_by_role("button", name="Start the camera"))
        await lost.came.wait()
        await page.clock.fast_forward(20_000)
        await lost.ended.wait()
        await expect(page.locator("#counts")).to_contain_text("1 not taken")
        await page.clock.fast_forward(1_000)
        await expect(page.locator("#counts")).to_contain_text(re.compile("[1-9] pictures? sent"))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_consent_taken_back_while_the_browser_asks_for_the_camera_leaves_it_off(
    mqtt_settings: MqttSettings, capture: CaptureSettings
) -> None:
    async with running_web(web_settings(mqtt_settings)) as base, chromium(*CAMERA) as browser:
        running = asyncio.create_task(services.capture.main.run(capture))
        page = await browser.new_page()
        visit = Visit(page, base)
        await page.add_init_script("""
            const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
            window.answered = new Promise((done) => (window.allow = done));
            navigator.mediaDevices.getUserMedia = async (wanted) => {
              await window.answered;
              return (window.taken = await real(wanted));
            };
        """)
        await page.goto(f"{base}/camera")
        agree = page.get_by_label("Everybody in view knows this and agrees.")
        await agree.check()
        await press(page.get_by_role("button", name="Start the camera"))
        await agree.uncheck()
        await page.evaluate("window.allow()")
        await expect(page.locator("#camera-state")).to_have_text("Stopped, for not everybody agrees.")
        assert await page.evaluate("window.taken.getTracks().map((track) => track.readyState)") == ["ended"]
        await expect(page.get_by_role("button", name="Start the camera")).to_be_disabled()
        assert not [each for each in visit.requests if each.endswith("/camera-frames")]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def as_camera(clip: Path, to: Path) -> Path:
    """A clip as motion JPEG, which Chromium's fake camera shows over and over."""
    reader = cv2.VideoCapture(str(clip))
    with to.open("wb") as file:
        while True:
            there, picture = reader.read()
            if not there:
                break
            file.write(cv2.imencode(".jpg", picture)[1].tobytes())
    reader.release()
    assert to.stat().st_size
    return to


async def test_a_newcomer_starts_the_demo_with_the_camera_of_the_browser(
    head_pose_clip: Path, models_dir: Path, tmp_path: Path, start: Callable[..., Program]
) -> None:
    base = f"http://127.0.0.1:{(port := free_port())}"
    env: Env = {"EMOTION_MODELS_DIR": str(models_dir)}
    demo = start("demo", "--source", "browser", "--port", str(port), "--data", str(tmp_path / "demo"), env=env)
    await answering(base, demo)
    await until(lambda: f"{base}/camera" in demo.log.read_text(), "it says where the camera is started")
    film = f"--use-file-for-fake-video-capture={as_camera(head_pose_clip, tmp_path / 'camera.mjpeg')}"
    async with chromium(*CAMERA, film) as browser:
        context = await browser.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(WAIT_S * 1000)
        page = await context.new_page()
        visit = Visit(page, base)
        await page.goto(base)
        await expect(page.locator(".picture-note")).to_contain_text("open the page Camera")
        await page.locator("summary").filter(has_text="More").click()
        await page.get_by_role("link", name="Camera", exact=True).click()
        await page.get_by_label("Everybody in view knows this and agrees.").check()
        await page.get_by_role("button", name="Start the camera").click()
        state = page.locator("#camera-state")
        await expect(state).to_have_text("The camera is on and its pictures are sent.")
        await expect(page.locator("#counts")).to_have_text(re.compile(r"^[1-9][\d,]* pictures sent\.$"))

        # In another tab the faces are read, while the camera goes on.
        async with context.expect_page() as opening:
            await page.get_by_role("link", name="See what is read").click()
        live = await opening.value
        watching = Visit(live, base)
        await expect(live.locator(".faces .headline").first).to_contain_text(
            re.compile("looks |not sure", re.IGNORECASE)
        )
        await until(
            lambda: live.evaluate("[...document.images].some(i => i.naturalWidth > 100)"), "the preview is shown"
        )
        await expect(live.locator("#rows").get_by_text("Stored").first).to_be_visible()

        async def both_faces() -> bool:
            found = await all_pages(base, "/api/v1/detections")
            assert {(one["source"]["name"], tuple(one["frame_size"])) for one in found} == {("browser", (480, 270))}
            return any(len(one["faces"]) == 2 for one in found)

        await until(both_faces, "both people of the clip are stored")
        assert visit.complaints == []
        assert watching.complaints == []

        # Who pauses the device has switched the camera off, not only the reading.
        await live.get_by_role("button", name="Pause camera").click()
        await expect(state).to_contain_text("Stopped. demo was paused by somebody at the dashboard.")
        assert await page.evaluate("document.getElementById('video').srcObject") is None
        await live.get_by_role("button", name="Resume camera").click()
        await expect(live.locator("[data-part=paused]")).to_be_hidden()
        await page.get_by_role("button", name="Start the camera").click()
        await expect(state).to_have_text("The camera is on and its pictures are sent.")
        await expect(live.locator(".age")).to_have_text("Up to date")
    code, _ = await asyncio.to_thread(demo.stop)
    assert code == 0
    assert "Traceback" not in demo.log.read_text()
