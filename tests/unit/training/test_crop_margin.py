"""The crop around a detector's box that gives a data set's crops back."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.preset import CropSpec
from shared.vision import crop_square
from training.crop_margin import box_to_crop
from training.export import DEFAULT_CROP


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
    measured = json.loads(DEFAULT_CROP.read_text())
    crop = CropSpec(**measured["crop"])
    assert 1.0 < crop.scale < 1.3
    assert measured["detected"] > 3000
