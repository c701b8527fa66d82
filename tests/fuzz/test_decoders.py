"""No bytes from outside crash or stop a reader: everything that was ever found, and what hypothesis makes up."""

import json
import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import targets
from tests.fuzz.mutations import messages, pictures

PICTURES = [path.read_bytes() for path in targets.corpus("picture")]
BOUNDED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        pytest.param(name, kept, id=f"{name}-{kept.name}")
        for name, (_, kind) in targets.TARGETS.items()
        for kept in targets.corpus(kind)
    ],
)
def test_what_was_found_once_stays_found(name: str, kept: Path) -> None:
    targets.TARGETS[name][0](kept.read_bytes())


@pytest.mark.parametrize("name", [name for name, (_, kind) in targets.TARGETS.items() if kind == "message"])
def test_no_damaged_message_breaks_a_reader(name: str) -> None:
    @BOUNDED
    @given(messages() | st.binary(max_size=300))
    def check(data: bytes) -> None:
        targets.TARGETS[name][0](data)

    check()


@pytest.mark.parametrize("name", ["picture", "stream", "ingest", "web"])
def test_no_damaged_picture_breaks_a_reader(name: str) -> None:
    @BOUNDED
    @given(pictures(PICTURES) | st.binary(max_size=300))
    def check(data: bytes) -> None:
        targets.TARGETS[name][0](data)

    check()


@BOUNDED
@given(st.text(string.ascii_letters + string.digits + "-_=", max_size=64))
def test_no_cursor_breaks_a_page(text: str) -> None:
    targets.cursor(text.encode())


@BOUNDED
@given(field=st.text(max_size=20), value=st.recursive(st.floats() | st.text(), st.lists, max_leaves=5))
def test_no_model_folder_breaks_its_reader(field: str, value: object) -> None:
    good = json.loads((targets.CORPUS.parents[2] / "models" / "slim_resnet" / "preset.json").read_text())
    targets.preset(json.dumps(good | {field: value}).encode())
    for name in good:
        targets.preset(json.dumps(good | {name: value}).encode())
