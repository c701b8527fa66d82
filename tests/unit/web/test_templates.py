"""What holds of every page as it comes, before its script has run."""

import re
from pathlib import Path

import pytest

import services.web

TEMPLATES = sorted((Path(services.web.__file__).parent / "templates").glob("*.html"))
SENDS = re.compile(r'<button[^>]*type="submit"[^>]*>')


def test_there_are_forms() -> None:
    assert any(SENDS.search(each.read_text()) for each in TEMPLATES)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_what_sends_a_form_is_off_until_the_script_takes_the_form(template: Path) -> None:
    assert [each for each in SENDS.findall(template.read_text()) if " disabled" not in each] == []
