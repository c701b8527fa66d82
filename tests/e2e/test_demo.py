"""`emotion-edge demo`: one command, one process, and one clear line where it cannot start."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from playwright.async_api import Page, async_playwright

from services.embedded import free_port
from shared.health import listen
from shared.mqtt import MqttLink
from shared.settings import MqttSettings
from shared.topics import LEGACY_JSON
from tests.conftest import ROOT
from tests.e2e.conftest import Env, Program
from tests.e2e.test_pipeline import all_pages, until
from tests.support.patience import STOPS_WITHIN_S, WAIT_S

CHROMIUM = "/usr/bin/chromium"
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = pytest.mark.timeout(300)


async def answering(page: str, program: Program) -> None:
    async def ready() -> bool:
        assert program.process.poll() is None, program.log.read_text()
        try:
            async with httpx.AsyncClient(timeout=WAIT_S) as client:
                return (await client.get(f"{page}/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    await until(ready, "the page answers")


async def test_a_newcomer_sees_faces_read_live_and_stored_and_ctrl_c_leaves_nothing_running(
    head_pose_clip: Path, models_dir: Path, tmp_path: Path, start: Callable[..., Program]
) -> None:
    port = free_port()
    page_url = f"http://127.0.0.1:{port}"
    data = tmp_path / "demo"
    env: Env = {"EMOTION_MODELS_DIR": str(models_dir), "EMOTION_LOOP": "true"}
    arguments = ("demo", "--source", str(head_pose_clip), "--port", str(port), "--data", str(data))
    demo = start(*arguments, env=env)
    await answering(page_url, demo)

    legacy: list[dict[str, Any]] = []
    found = re.search(r"MQTT is on 127\.0\.0\.1:(\d+)", demo.log.read_text())
    assert found, demo.log.read_text()
    link = MqttLink(MqttSettings(port=int(found[1])))
    link.subscribe(LEGACY_JSON, lambda _, payload: legacy.append(json.loads(payload)))
    watching = asyncio.create_task(link.run())

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        page = await browser.new_page(viewport={"width": 1280, "height": 1000})
        complaints = complaints_of(page)
        await page.goto(page_url)
        await page.get_by_text(re.compile("looks |not sure", re.IGNORECASE)).first.wait_for()
        await page.locator("table tbody tr").nth(5).wait_for()
        await page.get_by_text(re.compile("stored", re.IGNORECASE)).first.wait_for()
        await until(
            lambda: page.evaluate("[...document.images].some(i => i.naturalWidth > 100)"), "the preview is shown"
        )
        screenshots = ROOT / "build" / "screenshots"
        screenshots.mkdir(parents=True, exist_ok=True)
        await page.screenshot(path=screenshots / "demo.png")
        assert complaints == []
        await browser.close()

    # What the paper's topic said while we listened is what REST says was stored, frame for frame.
    await until(lambda: len(legacy) >= 30, "legacy messages")
    watching.cancel()
    heard = {item["frame_number"] for item in legacy}
    assert len(heard) == len(legacy)

    async def listed() -> bool:
        return heard <= {item["frame_number"] for item in await all_pages(page_url, "/api/v1/detections")}

    await until(listed, "what was heard is stored")

    children = psutil.Process(demo.process.pid).children(recursive=True)
    maps = Path(f"/proc/{demo.process.pid}/maps").read_text()
    assert "tensorflow" not in maps
    demo.process.send_signal(signal.SIGINT)
    code = await asyncio.to_thread(demo.process.wait, 30)
    text = demo.log.read_text()
    assert code == 0, text
    assert "Traceback" not in text
    assert str(data) in text
    _, alive = await asyncio.to_thread(psutil.wait_procs, children, STOPS_WITHIN_S)
    assert not alive
    listen("127.0.0.1", port).close()  # free again

    # A second start goes on from the same data.
    again = start(*arguments, env=env)
    await answering(page_url, again)
    assert heard <= {item["frame_number"] for item in await all_pages(page_url, "/api/v1/detections")}
    code, _ = await asyncio.to_thread(again.stop)
    assert code == 0


def complaints_of(page: Page) -> list[str]:
    """What the browser complains about, and requests that leave this machine."""
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: None if "//127.0.0.1" in request.url else said.append(request.url))
    return said


def run_to_end(*arguments: str, env: Env | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.main", *arguments],
        cwd=ROOT,
        env=os.environ | (env or {}),
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )


def told_in_one_line(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 1, result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    return lines[0]


def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        line = told_in_one_line(run_to_end("demo", "--port", str(port), "--data", str(tmp_path)))
    assert f"127.0.0.1:{port}: the port is taken" in line


def test_a_second_demo_is_one_clear_line(tmp_path: Path) -> None:
    import fcntl

    with (tmp_path / "demo.lock").open("w") as lock:
        lock.write("4711")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        line = told_in_one_line(run_to_end("demo", "--port", str(free_port()), "--data", str(tmp_path)))
    assert "a demo (process 4711) already runs" in line


def test_a_broken_model_is_one_clear_line(tmp_path: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(ROOT / "models", models, ignore=shutil.ignore_patterns("detectors"))
    for weights in models.rglob("*.tflite"):
        weights.write_bytes(b"not a model")
    env = {"EMOTION_MODELS_DIR": str(models)}
    result = run_to_end("demo", "--port", str(free_port()), "--data", str(tmp_path / "data"), env=env)
    assert "is not the file that preset" in told_in_one_line(result)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("/nowhere/clip.mp4", "/nowhere/clip.mp4"),
        ("gst:", "gst"),
    ],
)
def test_a_source_that_cannot_be_is_one_clear_line(tmp_path: Path, source: str, said: str) -> None:
    result = run_to_end("demo", "--source", source, "--port", str(free_port()), "--data", str(tmp_path))
    assert said in told_in_one_line(result)


def test_a_setting_that_does_not_fit_is_one_clear_line() -> None:
    line = told_in_one_line(run_to_end("capture", env={"EMOTION_MQTT__PORT": "0"}))
    assert "EMOTION_MQTT__PORT is '0'" in line
