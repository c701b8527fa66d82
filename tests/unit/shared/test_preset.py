import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from shared.emotions import EMOTIONS
from shared.errors import ModelError
from shared.preset import load_model


def write(folder: Path, **changes: Any) -> Path:
    (folder / "model.tflite").write_bytes(b"weights")
    preset = {
        "schema": 1,
        "name": "tiny",
        "version": "1.0.0",
        "sha256": hashlib.sha256(b"weights").hexdigest(),
        "input": {"height": 48, "width": 48},
        "crop": {"scale": 1.1},
        "labels": list(EMOTIONS),
        "output": "logits",
        "temperature": 1.5,
    } | changes
    (folder / "preset.json").write_text(json.dumps(preset))
    return folder


def test_a_folder_that_fits_is_loaded(tmp_path: Path) -> None:
    model = load_model(write(tmp_path))
    assert model.preset.input.shape == (1, 48, 48, 1)
    assert model.path == tmp_path / "model.tflite"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"labels": ["happy"]}, "expected the labels angry"),
        ({"labels": list(EMOTIONS[::-1])}, "in this order"),
        ({"sha256": "0" * 64}, "is not the file"),
        ({"model_file": "../other.tflite"}, "model_file"),
        ({"model_file": ".."}, "model_file"),
        ({"model_file": "absent.tflite"}, "cannot be read"),
        ({"temperature": 0}, "temperature"),
        ({"input": {"height": 48}}, "input.width"),
        ({"crop": {"scale": 9}}, "crop.scale"),
        ({"schema": 2}, "schema"),
    ],
)
def test_what_does_not_fit_is_said_in_words(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        load_model(write(tmp_path, **changes))


def test_an_absent_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere.*preset\.json cannot be read"):
        load_model(tmp_path / "nowhere")


def test_a_preset_that_is_not_json_is_named(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "preset.json").write_text("{")
    with pytest.raises(ModelError, match=r"preset\.json"):
        load_model(tmp_path)
