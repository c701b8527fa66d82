"""The pictures in docs: taken anew of the running demo, so that each can be, and kept where `make screenshot` asks."""

import os
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.screenshot import PICTURES, take_all

DOCS = ROOT / "docs"
FEW_COLOURS = 30
"""A page that stayed empty has its ground, its text, and what lies between them at the letters' edges."""

pytestmark = pytest.mark.timeout(600)


def test_every_page_is_pictured_with_something_on_it_and_shown_in_the_docs(models_dir: Path, tmp_path: Path) -> None:
    folder = DOCS if os.environ.get("KEEP_PICTURES") else tmp_path
    take_all(folder, models_dir)
    texts = "".join(path.read_text() for path in (ROOT / "README.md", *DOCS.glob("*.md")))
    for name in PICTURES:
        file = f"{name}-page.png"
        with Image.open(folder / file) as taken, Image.open(DOCS / file) as shown:
            assert taken.size == shown.size, file
            assert len(taken.convert("RGB").getcolors(256) or []) > FEW_COLOURS, file
        assert f"{file})" in texts, f"no document shows {file}"
