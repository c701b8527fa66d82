"""docs/live-page.png: the demo with its public-domain sample, as a browser shows it. `make screenshot`."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from playwright.sync_api import sync_playwright

from services.embedded import free_port
from tests.conftest import ROOT
from tests.e2e.test_demo import CHROMIUM, CHROMIUM_FLAGS

PICTURE = ROOT / "docs" / "live-page.png"
SIZE = (1280, 1000)
ROWS = 24
HEIGHT = 1900


def main() -> None:
    """Start the demo, wait until two faces are shown and rows have arrived, take the picture."""
    port = free_port()
    page_url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="screenshot-") as data:
        options = ["--port", str(port), "--data", str(Path(data) / "demo")]
        demo = subprocess.Popen([sys.executable, "-m", "services.main", "demo", *options], cwd=ROOT)
        try:
            _wait_for(page_url)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
                page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
                page.goto(page_url)
                page.locator("table tbody tr").nth(ROWS).wait_for(timeout=60_000)
                page.wait_for_function("document.querySelectorAll('.faces > li').length > 1", timeout=60_000)
                page.screenshot(path=PICTURE, full_page=True, clip={"x": 0, "y": 0, "width": SIZE[0], "height": HEIGHT})
                browser.close()
        finally:
            demo.terminate()
            demo.wait()
    print(PICTURE.relative_to(ROOT))


def _wait_for(page_url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{page_url}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise SystemExit(f"{page_url} did not answer")


if __name__ == "__main__":
    main()
