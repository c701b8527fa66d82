"""The crop around a detector's box that gives a data set's crops back."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.preset import CropSpec, InputSpec
from shared.vision import crop_square
from training.crop_margin import FER2013_CROP, box_to_crop, measure, read_crop
from training.data import DataError, Faces
from training.evaluate import behind_detector


@given(
    x=st.floats(-20, 60),
    y=st.floats(-20, 60),
    width=st.floats(20, 200),
    height=st.floats(20, 200),
)
def test_cutting_with_it_gives_the_data_sets_crop(x: float, y: float, width: float, height: float) -> None:
    scale, shift_x, shift_y = box_to_crop(np.array([[x, y, width, height]]), 160.0)[0]
    crop = CropSpec.model_construct(scale=scale, shift_x=shift_x, shift_y=shift_y)
    assert crop_square((x, y, width, height), crop) == pytest.approx((0.0, 0.0, 160.0), abs=1e-6)


def test_the_measured_crop_is_one_that_a_preset_accepts() -> None:
    measured = json.loads(FER2013_CROP.read_text())
    assert 1.0 < read_crop().scale < 1.3
    assert measured["detected"] > 3000


def test_another_file_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "crop.json"
    path.write_text("{}")
    with pytest.raises(DataError, match="crop_margin"):
        read_crop(path)


class MiddleBox:
    """Finds a box in every face but black ones: the middle half, in pixels of the enlarged face."""

    name = "middle"

    def box(self, face: np.ndarray) -> np.ndarray | None:
        return np.array([40.0, 40.0, 80.0, 80.0]) if face.any() else None

    def cut(self, face: np.ndarray, crop: CropSpec) -> np.ndarray | None:
        return face if self.box(face) is not None else None


def test_the_median_is_taken_over_the_faces_that_are_found() -> None:
    faces = np.zeros((4, 48, 48), np.uint8)
    faces[1:] = 9
    result = measure(faces, MiddleBox())  # type: ignore[arg-type]  # a stand-in
    assert result["crop"] == {"scale": 2.0, "shift_x": 0.0, "shift_y": 0.0}
    assert (result["faces"], result["detected"]) == (4, 3)
    with pytest.raises(DataError, match="no face"):
        measure(faces[:1], MiddleBox())  # type: ignore[arg-type]  # a stand-in


def test_only_faces_that_are_found_count_behind_the_detector() -> None:
    class Always:
        name, temperature, size_bytes = "always", 1.0, 1
        input = InputSpec(height=48, width=48)

        def run(self, tensor: np.ndarray) -> np.ndarray:
            return np.eye(7, dtype=np.float32)[[3]]

    pixels = np.full((3, 48, 48), 9, np.uint8)
    pixels[0] = 0
    faces = Faces(pixels, np.array([3, 3, 4]), np.array(["PublicTest"] * 3), np.arange(3))
    logits = np.eye(7, dtype=np.float32)[[3, 3, 4]]
    result = behind_detector(Always(), faces, logits, MiddleBox(), CropSpec(scale=1.0))  # type: ignore[arg-type]  # a stand-in
    assert result["found"] == 2
    assert (result["accuracy_as_in_data"], result["accuracy_cut_anew"], result["same_answer"]) == (1.0, 0.5, 0.5)
