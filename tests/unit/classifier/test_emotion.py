"""The emotion model: what it gives, and which folders it refuses."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.classifier.emotion import EmotionModel
from shared.errors import ModelError
from shared.preset import DEFAULT_MODEL, PRESET_FILE
from tests.conftest import ROOT

FOLDER = ROOT / "models" / DEFAULT_MODEL
GREY = np.random.default_rng(5).integers(0, 255, (360, 640)).astype(np.uint8)


@pytest.fixture(scope="module")
def model() -> EmotionModel:
    return EmotionModel(FOLDER)


def changed(folder: Path, **changes: Any) -> Path:
    """A copy of the model's folder with another preset."""
    target = folder / DEFAULT_MODEL
    shutil.copytree(FOLDER, target)
    preset = json.loads((target / PRESET_FILE).read_text())
    (target / PRESET_FILE).write_text(json.dumps({**preset, **changes}))
    return target


def test_probabilities_sum_to_one_for_each_face(model: EmotionModel) -> None:
    result = model.classify(GREY, [(100, 100, 90, 110), (-20, 300, 90, 110), (600, 10, 300, 300)])
    assert result.shape == (3, 7)
    assert np.allclose(result.sum(axis=1), 1.0)
    assert (result >= 0).all()


def test_no_faces_give_no_rows(model: EmotionModel) -> None:
    assert model.classify(GREY, []).shape == (0, 7)


def test_a_face_reads_the_same_alone_and_among_others(model: EmotionModel) -> None:
    one, other = (100.0, 100.0, 90.0, 110.0), (300.0, 80.0, 120.0, 140.0)
    assert np.array_equal(model.classify(GREY, [one, other])[1], model.classify(GREY, [other])[0])


def test_a_preset_that_does_not_fit_its_model_is_refused_with_both_shapes(tmp_path: Path) -> None:
    preset = json.loads((FOLDER / PRESET_FILE).read_text())
    folder = changed(tmp_path, input={**preset["input"], "height": 64, "width": 64})
    with pytest.raises(ModelError, match=r"expects the input \(1, 64, 64, 1\), the model has \(1, 48, 48, 1\)"):
        EmotionModel(folder)


@pytest.mark.parametrize("spec", [{"scale": 1 / 255}, {"scale": 1 / 127.5, "offset": -1.0}, {"offset": -129.4}])
def test_another_scaling_than_the_models_is_refused(tmp_path: Path, spec: dict[str, float]) -> None:
    preset = json.loads((FOLDER / PRESET_FILE).read_text())
    folder = changed(tmp_path, input={**preset["input"], **spec})
    with pytest.raises(ModelError, match=r"does not fit its model: .*input\.scale .* is not what it learnt with"):
        EmotionModel(folder)


def test_another_temperature_than_the_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"temperature 1 .* does not fit the model"):
        EmotionModel(changed(tmp_path, temperature=1.0))


def test_a_preset_from_before_the_probe_is_used(tmp_path: Path) -> None:
    assert EmotionModel(changed(tmp_path, probe=None, temperature=1.0)).preset.temperature == 1.0


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    import hashlib

    data = b"not a model at all"
    folder = changed(tmp_path, sha256=hashlib.sha256(data).hexdigest())
    (folder / "model.tflite").write_bytes(data)
    with pytest.raises(ModelError, match="is not a model that LiteRT can run"):
        EmotionModel(folder)
