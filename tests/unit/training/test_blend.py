"""Weights between two models of one descent."""

import numpy as np
import pytest

pytest.importorskip("keras", reason="training's tests need Keras: pip install -e .[train]")

import keras

from training.blend import blend, statistics
from training.networks import build_network
from training.run import predict_logits


def some_faces(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 48, 48), dtype=np.uint8)


def kernels(network: object) -> list[np.ndarray]:
    return [np.asarray(v) for v in network.trainable_variables]  # type: ignore[attr-defined]


@pytest.fixture
def two(tiny_network: str) -> tuple[object, object]:
    keras.utils.set_random_seed(1)
    start = build_network(tiny_network, dropout=0.0)
    ended = build_network(tiny_network, dropout=0.0)
    return start, ended


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_the_weights_lie_where_the_share_says(two: tuple[object, object], share: float) -> None:
    start, ended = two
    before, after = kernels(start), kernels(ended)
    blend(ended, start, share, some_faces(40, seed=2))
    for given, begun, full in zip(kernels(ended), before, after, strict=True):
        np.testing.assert_allclose(given, (1 - share) * begun + share * full, atol=1e-6)
    for given, begun in zip(kernels(start), before, strict=True):
        np.testing.assert_array_equal(given, begun)


def test_a_model_blended_with_itself_normalises_by_what_it_sees(two: tuple[object, object]) -> None:
    start, _ = two
    faces = some_faces(600, seed=3)
    twin = keras.models.clone_model(start)
    twin.set_weights(start.get_weights())  # type: ignore[attr-defined]
    blend(twin, start, 0.5, faces)
    normalised = keras.Model(twin.input, twin.get_layer("a_bn").output)
    given = np.asarray(normalised.predict_on_batch(faces[..., None].astype(np.float32)))
    np.testing.assert_allclose(given.mean(axis=(0, 1, 2)), 0, atol=1e-3)
    np.testing.assert_allclose(given.std(axis=(0, 1, 2)), 1, atol=0.02)
    assert predict_logits(twin, faces[:4]).shape == (4, 7)


def test_statistics_are_those_of_all_pixels_at_once(two: tuple[object, object]) -> None:
    start, _ = two
    faces = some_faces(300, seed=4)[..., None].astype(np.float32)
    part = keras.Model(start.input, start.get_layer("a_conv").output)  # type: ignore[attr-defined]
    mean, variance = statistics(part, faces)
    values = np.asarray(part.predict_on_batch(faces), np.float64)
    np.testing.assert_allclose(mean, values.mean(axis=(0, 1, 2)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(variance, values.var(axis=(0, 1, 2)), rtol=1e-3)


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(two: tuple[object, object], share: float) -> None:
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        blend(two[1], two[0], share, some_faces(8, seed=5))
