"""Documentation as a failing test: what lists settings and messages is what the code says."""

import re

import pytest

from shared.settings import ENV_PREFIX
from tests.docs_from_code import PAGES, ROOT, SERVICES, _rows


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_what_the_code_says(name: str) -> None:
    assert (ROOT / name).read_text() == PAGES[name](), f"{name} is behind the code: run `make docs`"


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_is_described(service: str) -> None:
    missing = [name for name, _, what in _rows(SERVICES[service], ENV_PREFIX) if not what]
    assert not missing


def test_a_setting_means_the_same_in_every_service() -> None:
    seen: dict[str, tuple[str, str, str]] = {}
    for service, settings in SERVICES.items():
        for name, default, what in _rows(settings, ENV_PREFIX):
            if name in seen:
                assert seen[name][1:] == (default, what), f"{name} differs between {seen[name][0]} and {service}"
            seen[name] = (service, default, what)


def test_the_example_environment_names_only_settings_that_exist() -> None:
    known = {name for settings in SERVICES.values() for name, _, _ in _rows(settings, ENV_PREFIX)}
    named = set(re.findall(r"^#?\s?(EMOTION_[A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert named
    assert named <= known, f"unknown: {named - known}"


def test_links_between_documents_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}, which is not there"


def test_every_row_of_a_table_stands_in_a_table() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        lines = ["", *(line.strip() for line in text.splitlines()), ""]
        for before, line, after in zip(lines, lines[1:], lines[2:], strict=False):
            if not line.endswith(" |"):
                continue
            assert line.startswith("|"), f"{page.relative_to(ROOT)}: text before the row {line!r}"
            in_table = before.startswith("|") or re.fullmatch(r"\|( :?-+:? \|)+", after)
            assert in_table, f"{page.relative_to(ROOT)}: no table around {line!r}"
