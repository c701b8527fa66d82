"""Augmentation and batches."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.augment import AugmentConfig, augment, blur, mixup, noise, random_matrices, resample
from training.batches import TrainingSet, epoch_batches, ferplus_targets, prefetch, soft_labels
from training.config import TrainConfig


def some_faces(count: int = 8) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 48, 48), dtype=np.uint8)


def matrix(a: float, b: float, c: float, d: float, e: float, f: float, count: int = 8) -> np.ndarray:
    return np.tile(np.array([[a, b, c], [d, e, f]], np.float32), (count, 1, 1))


def test_the_identity_changes_nothing() -> None:
    faces = some_faces()
    assert np.array_equal(resample(faces, matrix(1, 0, 0, 0, 1, 0)), faces)


def test_a_mirror_image_is_a_mirror_image() -> None:
    faces = some_faces()
    assert np.allclose(resample(faces, matrix(-1, 0, 0, 0, 1, 0)), faces[:, :, ::-1])


def test_a_shift_reads_from_where_it_points_and_repeats_the_border() -> None:
    faces = some_faces()
    shifted = resample(faces, matrix(1, 0, 3, 0, 1, -2))
    assert np.allclose(shifted[:, 2:, :-3], faces[:, :-2, 3:])
    assert np.allclose(shifted[:, 10, -1], shifted[:, 10, -3])


def test_a_quarter_turn_turns() -> None:
    faces = some_faces()
    turned = resample(faces, matrix(0, -1, 0, 1, 0, 0))
    assert np.allclose(turned, np.rot90(faces, axes=(1, 2)), atol=1e-3)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_levels_stay_levels_and_the_seed_decides(seed: int) -> None:
    faces, config = some_faces(), AugmentConfig()
    changed = augment(faces, config, np.random.default_rng(seed))
    again = augment(faces, config, np.random.default_rng(seed))
    assert changed.shape == faces.shape
    assert changed.dtype == np.float32
    assert changed.min() >= 0
    assert changed.max() <= 255
    assert np.array_equal(changed, again)


def test_blur_spreads_a_point_by_its_sigma_and_leaves_the_rest_alone() -> None:
    faces = np.full((40, 48, 48), 100, np.float32)
    faces[:, 24, 24] = 200
    before = faces.copy()
    blur(faces, AugmentConfig(blur=0.5, blur_sigma=(1.0, 1.0)), np.random.default_rng(0))
    changed = (faces != before).any(axis=(1, 2))
    assert 8 < changed.sum() < 32
    assert np.array_equal(faces[~changed], before[~changed])
    np.testing.assert_allclose(faces.sum(axis=(1, 2)), before.sum(axis=(1, 2)), rtol=1e-5)
    weights = (faces[changed][0] - 100) / 100
    offsets = np.arange(48) - 24
    # The kernel ends at 2.5 sigma, which takes a little of the variance.
    assert 0.85 < (weights.sum(axis=0) * offsets**2).sum() <= 1.0


def test_noise_is_of_the_strength_it_says_and_different_in_each_face() -> None:
    faces = np.full((40, 48, 48), 128, np.float32)
    noise(faces, AugmentConfig(noise=0.5, noise_sigma=(10.0, 10.0)), np.random.default_rng(0))
    strength = faces.std(axis=(1, 2))
    assert 8 < (strength > 0).sum() < 32
    np.testing.assert_allclose(strength[strength > 0], 10, rtol=0.1)
    one, other = faces[strength > 0][:2]
    assert not np.array_equal(one, other)


def test_maps_stay_within_the_configured_scale_and_turn() -> None:
    config = AugmentConfig(aspect=0.0)
    maps = random_matrices(2000, 48, config, np.random.default_rng(0))
    scale = np.sqrt(np.abs(np.linalg.det(maps[:, :, :2])))
    assert config.scale[0] - 1e-5 <= scale.min() < 0.85
    assert 1.15 < scale.max() <= config.scale[1] + 1e-5
    assert 0.4 < (np.linalg.det(maps[:, :, :2]) < 0).mean() < 0.6


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), alpha=st.floats(0.05, 2))
def test_mixup_keeps_each_target_a_distribution(seed: int, alpha: float) -> None:
    random = np.random.default_rng(seed)
    inputs = random.random((6, 4, 4, 1), dtype=np.float32)
    targets = soft_labels(np.arange(6), 0.1)
    mixed, (blended,) = mixup(inputs, [targets], alpha, random)
    assert np.allclose(blended.sum(axis=1), 1, atol=1e-5)
    assert np.array_equal(blended.argmax(axis=1), targets.argmax(axis=1))
    assert mixed.min() >= inputs.min() - 1e-6
    assert mixed.max() <= inputs.max() + 1e-6


def test_votes_for_no_face_weigh_nothing() -> None:
    votes = np.array([[5, 5, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 10]], np.float32)
    targets = ferplus_targets(votes)
    assert targets[0, :2].tolist() == [0.5, 0.5]
    assert targets[1].sum() == 0


def test_an_epoch_can_be_made_again_from_its_number_alone() -> None:
    data = TrainingSet(some_faces(40), (soft_labels(np.arange(40) % 7, 0.1),))
    config = TrainConfig(batch_size=16, seed=5)

    def batches(epoch: int) -> list[np.ndarray]:
        return [faces for faces, _ in epoch_batches(data, config, epoch, lambda _: False)]

    first, again, next_one = batches(3), batches(3), batches(4)
    assert len(first) == 2
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], next_one[0])


def test_a_calm_batch_is_neither_blended_nor_hidden() -> None:
    data = TrainingSet(np.full((32, 48, 48), 100, np.uint8), (soft_labels(np.arange(32) % 7, 0.0),))
    config = TrainConfig(batch_size=32, mixup_alpha=5.0, augment=AugmentConfig(erase=1.0, bias=0.0, noise=0.0))
    calm, (targets,) = next(epoch_batches(data, config, 0, lambda _: True))
    assert np.allclose(calm, 100, atol=1e-3)
    assert np.array_equal(np.sort(targets, axis=1)[:, -1], np.ones(32, np.float32))


def test_prefetch_keeps_order_raises_the_makers_error_and_stops_with_its_reader() -> None:
    assert list(prefetch(iter(range(20)))) == list(range(20))

    def failing() -> Iterator[int]:
        yield 1
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        list(prefetch(failing()))

    left_early = prefetch(iter(range(10**9)))
    assert next(left_early) == 0
    left_early.close()
