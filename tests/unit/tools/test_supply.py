"""What is said of dependencies: never clean where nobody looked; and each pin is in a bill of materials."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tools.audit import REQUIREMENTS, ROOT, Verdict, read_npm_audit, read_pip_audit
from tools.sbom import write, write_page

CLEAN: dict[str, Any] = {"name": "a", "version": "1", "vulns": []}
BAD: dict[str, Any] = {"name": "b", "version": "2", "vulns": [{"id": "CVE-2026-1"}]}
SKIPPED: dict[str, Any] = {"name": "c", "skip_reason": "Dependency not found on PyPI and could not be audited: c (3)"}


@pytest.mark.parametrize(
    ("found", "begins", "strict", "offline_ok"),
    [
        ([CLEAN], "audited: 1 ", 0, 0),
        ([CLEAN, SKIPPED], "NOT AUDITED: the advisory service knows 1 of 2 ", 1, 0),
        ([SKIPPED], "NOT AUDITED", 1, 0),
        ([], "NOT AUDITED", 1, 0),
        ([CLEAN, BAD, SKIPPED], "VULNERABLE: b 2: CVE-2026-1", 1, 1),
    ],
)
def test_nothing_is_called_clean_that_nobody_looked_up(
    found: list[dict[str, Any]], begins: str, strict: int, offline_ok: int
) -> None:
    verdict = Verdict()
    read_pip_audit({"dependencies": found}, verdict)
    assert verdict.told(offline_ok=False)[0].startswith(begins)
    assert (verdict.told(offline_ok=False)[1], verdict.told(offline_ok=True)[1]) == (strict, offline_ok)


def test_npm_is_asked_too() -> None:
    verdict = Verdict()
    read_npm_audit({"message": "405 Method Not Allowed"}, ["uplot"], verdict)
    assert verdict.unknown == {"uplot"}
    verdict = Verdict()
    read_npm_audit({"vulnerabilities": {"uplot": {"severity": "high", "range": "<2"}}}, ["uplot", "x"], verdict)
    assert (verdict.vulnerable, verdict.clean) == ({"uplot": "high, <2"}, {"x"})


@pytest.mark.parametrize("name", ["web", "ingest"])
def test_every_pin_is_in_a_valid_bill_of_materials(tmp_path: Path, name: str) -> None:
    requirements = REQUIREMENTS / f"{name}.txt"
    bill = json.loads(write(requirements, tmp_path).read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    pins = re.findall(r"^([\w.-]+)==", requirements.read_text(), re.MULTILINE)
    assert sorted(one["name"] for one in bill["components"]) == sorted(pins)
    assert all(one["version"] and one["purl"] for one in bill["components"])


def test_the_pages_bill_of_materials_lists_what_is_locked_with_its_hash(tmp_path: Path) -> None:
    made = write_page(tmp_path)
    locked = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    wanted = {name.removeprefix("node_modules/"): entry for name, entry in locked.items() if name}
    listed = {part["name"]: part for part in json.loads(made.read_text())["components"]}
    assert listed.keys() == wanted.keys()
    for name, part in listed.items():
        assert part["version"] == wanted[name]["version"]
        algorithm, _, digest = wanted[name]["integrity"].partition("-")
        assert algorithm == "sha512"
        assert part["hashes"] == [{"alg": "SHA-512", "content": base64.b64decode(digest).hex()}]
    first = made.read_bytes()
    assert write_page(tmp_path).read_bytes() == first


def test_the_document_names_the_bills_of_every_image() -> None:
    listed: dict[str, str] = {}
    for images, bills in re.findall(r"^\| (`.+`) \| (`.+\.json`.*) \|$", _read("docs/security.md"), re.MULTILINE):
        listed |= dict.fromkeys(re.findall(r"`(\S+?)`", images), re.findall(r"`(\S+?)\.json`", bills)[0])
    pinned: dict[str, str] = {}
    for stage in re.split(r"^FROM ", _read("Dockerfile"), flags=re.MULTILINE)[1:]:
        base, _, name = stage.partition("\n")[0].partition(" AS ")
        for pins in re.findall(r"^COPY requirements/(\S+)\.txt", stage, re.MULTILINE):
            pinned[name] = pins
        packages = re.findall(r"^COPY --from=(\S+-packages) /venv", stage, re.MULTILINE)
        if packages or base in pinned:
            pinned[name] = pinned[packages[0] if packages else base]
    images = {name: pins for name, pins in pinned.items() if not name.endswith(("-packages", "-assets"))}
    assert listed == images


def _read(name: str) -> str:
    return (ROOT / name).read_text()
