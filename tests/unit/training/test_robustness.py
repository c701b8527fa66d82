"""Worse pictures and crops: each change does what its name says, the same every time."""

import numpy as np
import pytest

from shared.preset import InputSpec
from training import robustness
from training.data import Faces


def some_faces() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (3, 48, 48), dtype=np.uint8)


@pytest.mark.parametrize("name", sorted(robustness.CHANGES))
def test_every_change_keeps_the_form_and_can_be_repeated(name: str) -> None:
    change, strengths = robustness.CHANGES[name]
    faces = some_faces()
    before = faces.copy()
    assert len(strengths) == 5
    for strength in strengths:
        changed = change(faces, strength)
        assert changed.shape == faces.shape
        assert changed.dtype == np.uint8
        assert np.array_equal(changed, change(faces, strength))
        assert not np.array_equal(changed, faces)
    assert np.array_equal(faces, before)


def test_blur_keeps_a_flat_picture_and_spreads_a_point() -> None:
    flat = np.full((1, 48, 48), 77, np.uint8)
    assert np.array_equal(robustness.blur(flat, 2.0), flat)
    point = np.zeros((1, 48, 48), np.uint8)
    point[0, 24, 24] = 255
    spread = robustness.blur(point, 1.0)[0]
    assert spread[24, 24] == pytest.approx(255 / (2 * np.pi), abs=2)
    assert spread[24, 25] == spread[25, 24] == spread[23, 24] > 0


def test_crops_move_the_way_they_are_named() -> None:
    faces = some_faces()
    assert np.array_equal(robustness.shift_right(faces, 0.125)[:, :, :42], faces[:, :, 6:])
    assert np.array_equal(robustness.shift_down(faces, 0.125)[:, :42], faces[:, 6:])
    assert np.array_equal(robustness.roll(faces, 180), faces[:, ::-1, ::-1])
    square = np.zeros((1, 48, 48), np.uint8)
    square[0, 12:36, 12:36] = 200
    assert robustness.scale(square, 1.3).mean() < square.mean() < robustness.scale(square, 0.8).mean()


def test_a_model_is_measured_on_each() -> None:
    class Always:
        name, temperature, size_bytes = "always", 1.0, 1
        input = InputSpec(height=48, width=48)

        def run(self, tensor: np.ndarray) -> np.ndarray:
            return np.eye(7, dtype=np.float32)[[3]]

    faces = Faces(some_faces(), np.array([3, 3, 1]), np.array(["PublicTest"] * 3), np.arange(3))
    report = robustness.robustness(Always(), faces)
    assert report.keys() == robustness.CHANGES.keys()
    assert {share for shares in report.values() for share in shares.values()} == {0.6667}
