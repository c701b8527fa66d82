"""The probe: a picture alike everywhere, and what does not fit it is said."""

import hashlib
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from shared.emotions import EMOTIONS
from shared.errors import ModelError
from shared.preset import Preset
from shared.probe import check_probe, probe_picture
from shared.vision import softmax

OUTPUT = (0.5, -1.0, 0.0, 3.0, 0.25, -2.0, 1.0)


def preset(**changes: Any) -> Preset:
    fields = {
        "schema": 1,
        "name": "tiny",
        "version": "1.0.0",
        "sha256": "0" * 64,
        "input": {"height": 48, "width": 48},
        "crop": {"scale": 1.1},
        "labels": list(EMOTIONS),
        "output": "logits",
        "temperature": 1.5,
        "probe": {
            "output": OUTPUT,
            "probabilities": [round(float(p), 6) for p in softmax(np.array(OUTPUT), 1.5)],
            "tolerance": 0.01,
        },
    }
    return Preset.model_validate({**fields, **changes})


def test_the_picture_is_the_same_on_every_machine() -> None:
    # A preset holds what a model gave for exactly these pixels: another picture makes every preset unusable.
    assert hashlib.sha256(probe_picture(48, 48).tobytes()).hexdigest()[:16] == "73cc54b1d277df7e"


@pytest.mark.parametrize("size", [(16, 16), (48, 64), (512, 512)])
def test_the_picture_is_drawn_at_every_size(size: tuple[int, int]) -> None:
    picture = probe_picture(*size)
    assert picture.shape == size
    assert picture.dtype == np.uint8
    assert picture.std() > 30


def test_a_model_that_fits_passes_and_rounding_does_too() -> None:
    check_probe(preset(), lambda tensor: np.array([OUTPUT]))
    check_probe(preset(), lambda tensor: np.array([OUTPUT]) + np.linspace(0, 0.02, 7))


def test_the_model_gets_the_picture_through_the_presets_own_scaling() -> None:
    seen: list[np.ndarray] = []

    def run(tensor: np.ndarray) -> np.ndarray:
        seen.append(tensor)
        return np.array([OUTPUT])

    check_probe(preset(input={"height": 20, "width": 30, "channels": 3, "scale": 0.5, "offset": -1.0}), run)
    (tensor,) = seen
    assert tensor.shape == (1, 20, 30, 3)
    assert np.array_equal(tensor[0, :, :, 2], probe_picture(20, 30) * np.float32(0.5) - 1)


@pytest.mark.parametrize("found", [np.array([OUTPUT]) * 1.5, np.full((1, 7), np.nan)])
def test_a_model_that_gives_something_else_is_refused(found: np.ndarray) -> None:
    with pytest.raises(ModelError, match=r"'tiny' 1\.0\.0 does not fit its model"):
        check_probe(preset(), lambda tensor: found)


def test_a_preset_without_a_probe_is_not_compared() -> None:
    check_probe(preset(probe=None), lambda tensor: pytest.fail("the model was asked"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"temperature": 1.4}, "temperature 1.4"),
        ({"output": "probabilities"}, "with output 'probabilities'"),
        ({"probe": {"output": OUTPUT[:6], "probabilities": OUTPUT[:6], "tolerance": 0.01}}, "there are 7 labels"),
        ({"probe": {"output": OUTPUT, "probabilities": OUTPUT, "tolerance": 0.9}}, "tolerance"),
    ],
)
def test_a_preset_that_contradicts_its_probe_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        preset(**changes)
