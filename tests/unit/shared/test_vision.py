import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.preset import CropSpec, InputSpec
from shared.vision import calibrated, crop_face, crop_square, softmax, to_input

EXACT = CropSpec(scale=1.0)


def grey(height: int = 60, width: int = 80) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (height, width)).astype(np.uint8)


def test_the_square_is_centred_on_the_box_and_scaled_by_its_geometric_mean() -> None:
    assert crop_square((10, 20, 40, 90), CropSpec(scale=2.0)) == (10 + 20 - 60, 20 + 45 - 60, 120)


def test_the_shift_is_in_units_of_the_box() -> None:
    assert crop_square((0, 0, 10, 10), CropSpec(scale=1.0, shift_x=0.1, shift_y=-0.2)) == pytest.approx((1, -2, 10))


def test_a_crop_of_its_own_size_is_the_picture_itself() -> None:
    picture = grey()
    assert np.array_equal(crop_face(picture, (8, 4, 48, 48), EXACT, (48, 48)), picture[4:52, 8:56])


def test_halving_averages_two_by_two() -> None:
    picture = grey(48, 48)
    mean = picture.reshape(24, 2, 24, 2).mean(axis=(1, 3))
    assert np.abs(crop_face(picture, (0, 0, 48, 48), EXACT, (24, 24)).astype(float) - mean).max() <= 0.51


@given(
    st.floats(-200, 200),
    st.floats(-200, 200),
    st.floats(1, 300),
    st.floats(1, 300),
    st.floats(0.31, 3.9),
    st.integers(0, 255),
)
def test_a_crop_anywhere_has_its_size_and_only_colours_of_the_picture(
    x: float, y: float, w: float, h: float, scale: float, value: int
) -> None:
    flat = np.full((60, 80), value, np.uint8)
    face = crop_face(flat, (x, y, w, h), CropSpec(scale=scale), (48, 40))
    assert face.shape == (48, 40)
    assert (face == value).all()


def test_the_input_is_not_modified() -> None:
    picture = grey()
    before = picture.copy()
    crop_face(picture, (5, 5, 30, 30), CropSpec(scale=1.4), (48, 48))
    assert np.array_equal(picture, before)


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (0, 0, 5, -1)])
def test_a_box_without_size_is_refused(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="positive size"):
        crop_face(grey(), box, EXACT, (48, 48))


def test_a_colour_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="grey uint8"):
        crop_face(np.zeros((10, 10, 3), np.uint8), (0, 0, 5, 5), EXACT, (48, 48))


def test_the_tensor_is_scaled_as_the_preset_says() -> None:
    face = np.full((48, 48), 255, np.uint8)
    tensor = to_input(face, InputSpec(height=48, width=48, scale=1 / 127.5, offset=-1.0))
    assert tensor.shape == (1, 48, 48, 1)
    assert tensor.dtype == np.float32
    assert np.allclose(tensor, 1.0)


def test_a_face_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a face"):
        to_input(np.zeros((64, 64), np.uint8), InputSpec(height=48, width=48))


@given(st.lists(st.floats(-500, 500), min_size=7, max_size=7), st.floats(0.1, 10))
def test_softmax_sums_to_one_and_keeps_the_order(logits: list[float], temperature: float) -> None:
    probabilities = softmax(np.array(logits), temperature)
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-9)
    assert probabilities[np.argmax(logits)] == probabilities.max()


def test_probabilities_and_logits_calibrate_alike() -> None:
    logits = np.array([[0.1, 2.0, -1.0, 0.5, 0.0, 1.0, -2.0]])
    assert np.allclose(calibrated(logits, "logits", 1.7), calibrated(softmax(logits), "probabilities", 1.7), atol=1e-6)
