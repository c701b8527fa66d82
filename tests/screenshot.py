"""docs/*-page.png: the demo with its public-domain sample, as a browser shows it.

A test takes them anew; `make screenshot` runs it and keeps what it took.
"""

import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from services.embedded import free_port
from tests.conftest import ROOT
from tests.e2e.test_demo import CHROMIUM, CHROMIUM_FLAGS

SIZE: Final = (1280, 1100)
STREAMING = ("live", "devices")
"""Pages whose network never rests."""
PHONE: Final = (360, 780)
PICTURES: Final = (
    "live",
    "history",
    "detection",
    "sessions",
    "session",
    "label",
    "datasets",
    "devices",
    "camera",
    "people",
    "keys",
    "audit",
    "privacy",
    "rest",
    "live-dark",
    "history-soft",
    "live-phone",
    "label-phone",
)
"""By page; then other themes, and a phone."""
ROWS: Final = 24
COLOURS: Final = 256
KEPT: Final = 4
"""Faces with a kept picture, some each ten seconds, that are enough to label and to build from."""
SURE: Final = 0.6
WAIT_S: Final = 180


def take_all(folder: Path, models: Path) -> None:
    """Start the demo, do with it what a small study does, and keep a picture of each page as `folder/NAME-page.png`.

    Args:
        folder: where to.
        models: the folder of models, with the face detector.
    """
    env = os.environ | {"EMOTION_MODELS_DIR": str(models)}
    port = free_port()
    page_url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="screenshot-") as data:
        options = ["--port", str(port), "--data", str(Path(data) / "demo")]
        demo = subprocess.Popen([sys.executable, "-m", "services.main", "demo", *options], cwd=ROOT, env=env)
        try:
            with httpx.Client(base_url=page_url, timeout=60) as api, sync_playwright() as playwright:
                _wait_until(lambda: _is_ready(api), f"{page_url} answers")
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
                page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]}, color_scheme="light")
                page.set_default_timeout(WAIT_S * 1000)
                session = _begin_study(api)
                page.goto(page_url)
                page.locator("table tbody tr").nth(ROWS).wait_for()
                _take(page, folder, "live")
                detection = _finish_study(api, session)
                addresses = {
                    "live": "/",
                    "history": "/history?last=1h",
                    "detection": f"/history/{detection}",
                    "session": f"/sessions/{session}",
                    "rest": "/api/v1/docs",
                }
                for name in PICTURES[1:]:
                    of_page, _, kind = name.partition("-")
                    width, height = PHONE if kind == "phone" else SIZE
                    page.set_viewport_size({"width": width, "height": height})
                    page.goto(page_url + addresses.get(of_page, f"/{of_page}"))
                    _dress(page, kind if kind in ("dark", "soft") else "calm")
                    if of_page not in STREAMING:
                        page.wait_for_load_state("networkidle")
                    _go_on(page, of_page)
                    loaded = "[...document.images].every(image => image.complete)"
                    _wait_until(partial(page.evaluate, loaded), f"the pictures of {name} are there")
                    _take(page, folder, name)
                browser.close()
        finally:
            demo.terminate()
            demo.wait()


def _dress(page: Page, theme: str) -> None:
    page.evaluate("theme => look.set('theme', theme)", theme)


def _go_on(page: Page, name: str) -> None:
    """To where the page shows most."""
    if name == "live":
        page.locator(".faces > li").nth(1).wait_for()
    if name == "devices":
        page.get_by_text("Online", exact=True).first.wait_for()
    if name == "session":
        page.locator("#moment").press("End")
        page.locator("#moment").press("ArrowLeft")
        page.locator("#moment").press("ArrowLeft")  # the last stretch is not yet read
        page.locator("#picture").wait_for()
    if name == "label":
        if page.locator("#labeller").is_visible():  # the browser keeps who it was
            page.locator("#labeller").fill("berta")
            page.locator("#labeller").press("Enter")
        page.locator("#face").wait_for()


def _take(page: Page, folder: Path, name: str) -> None:
    """Keep what the page shows; with few colours, since pages have few and a repository keeps every version."""
    shown = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    shown.quantize(COLOURS, dither=Image.Dither.NONE).save(folder / f"{name}-page.png", optimize=True)


def _begin_study(api: httpx.Client) -> str:
    """A session of the demo's device, once that is known, and people who may log in."""
    for name, role in (("anna", "researcher"), ("berta", "labeller"), ("karl", "viewer")):
        api.post("/api/v1/users", json={"name": name, "role": role}).raise_for_status()
    _wait_until(lambda: bool(_got(api, "/api/v1/devices")["items"]), "the device is known")
    device = _got(api, "/api/v1/devices")["items"][0]["device"]
    new = {"participant": "P07", "condition": "two portraits, moved and lit", "devices": [device]}
    answer = api.post("/api/v1/sessions", json=new).raise_for_status()
    return str(answer.json()["id"])


def _finish_study(api: httpx.Client, session: str) -> str:
    """Mark a moment, label what was kept, build a dataset and export it, stop; returns a detection with its picture."""
    here = f"/api/v1/sessions/{session}"
    api.post(f"{here}/markers", json={"text": "The light changed here"}).raise_for_status()
    queue = {"labeller": "anna", "limit": 50}
    _wait_until(lambda: _got(api, "/api/v1/labels/queue", **queue)["waiting"] >= KEPT, "pictures were kept")
    for face in _got(api, "/api/v1/labels/queue", **queue)["items"]:
        _vote(api, face["event_id"], face["face_index"])
    made = api.post("/api/v1/datasets", json={"name": "portraits", "note": "Public domain."}).raise_for_status()
    dataset = f"/api/v1/datasets/{made.json()['id']}"
    _wait_until(lambda: _got(api, dataset)["state"] == "ready", "the dataset is ready")
    export = api.post(f"{dataset}/exports", json={"format": "folders"}).raise_for_status().json()
    _wait_until(lambda: _got(api, f"/api/v1/exports/{export['id']}")["state"] == "ready", "the export is ready")
    api.post(f"{here}/stop", json={}).raise_for_status()
    return str(_got(api, "/api/v1/labels")["items"][0]["event_id"])


def _vote(api: httpx.Client, event_id: str, index: int) -> None:
    """As anna, who sees in a face what the model read, and nothing clear where it was in doubt."""
    read = _got(api, f"/api/v1/detections/{event_id}")["faces"][index]
    label = read["dominant_emotion"] if read["confidence"] >= SURE else "neutral"
    vote = {"event_id": event_id, "face_index": index, "label": label, "labeller": "anna"}
    api.post("/api/v1/labels", json=vote).raise_for_status()


def _got(api: httpx.Client, path: str, **query: Any) -> Any:
    return api.get(path, params=query).raise_for_status().json()


def _is_ready(api: httpx.Client) -> bool:
    try:
        return api.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def _wait_until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not true():
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {WAIT_S} s, and it is not so that {what}")
        time.sleep(0.2)
