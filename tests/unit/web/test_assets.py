"""The pins of the browser's packages, and what is said where they cannot be installed."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from services.web import assets

ROOT = Path(__file__).parents[3]


def test_every_package_is_pinned_by_version_and_hash_and_names_no_host() -> None:
    lock = json.loads((ROOT / "package-lock.json").read_text())
    wanted = json.loads((ROOT / "package.json").read_text())["dependencies"]
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    for name, version in wanted.items():
        assert packages[f"node_modules/{name}"]["version"] == version
    for entry in packages.values():
        assert entry["integrity"].startswith("sha512-")
        assert "resolved" not in entry


def test_without_npm_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(assets.AssetsError, match="pip install"):
        assets.npm_command()


def test_an_npm_that_fails_is_told_by_what_it_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    broken = tmp_path / "npm"
    broken.write_text("#!/bin/sh\necho 'getaddrinfo ENOTFOUND' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(assets, "npm_command", lambda: [str(broken)])
    assert assets.main() == 1
    assert "getaddrinfo ENOTFOUND" in capsys.readouterr().err
