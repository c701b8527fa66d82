"""The paper's trainings, as its section V gives them."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras", reason="training's tests need Keras: pip install -e .[train]")

from training import train
from training.augment import augment, random_matrices
from training.config import TrainConfig
from training.presets import PAPER_AUGMENTATION, PRESETS

PAPER = [name for name in PRESETS if name.startswith("paper-")]


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_presets_say_what_the_paper_says(name: str) -> None:
    config = PRESETS[name]
    assert config.batch_size == 32
    assert config.held_out_fraction == 0.2
    assert config.early_stop_patience is not None
    assert config.schedule == "plateau"
    assert config.augment == PAPER_AUGMENTATION
    # Nothing that the paper did not do.
    assert (config.mixup_alpha, config.label_smoothing, config.ema_decay, config.weight_decay) == (0, 0, 0, 0)


def test_the_papers_augmentation_moves_faces_and_nothing_else() -> None:
    matrices = random_matrices(20_000, 48, PAPER_AUGMENTATION, np.random.default_rng(0))
    columns = np.linalg.norm(matrices[:, :, :2], axis=1)
    for zoom in columns.T:
        assert zoom.min() == pytest.approx(0.9, abs=1e-3)
        assert zoom.max() == pytest.approx(1.1, abs=1e-3)
    assert abs(np.corrcoef(columns.T)[0, 1]) < 0.05
    assert np.abs(matrices[:, :, 2]).max() == pytest.approx(4.8, abs=0.01)
    angles = np.degrees(np.arctan2(-matrices[:, 0, 1], matrices[:, 1, 1]))
    assert np.abs(angles).max() == pytest.approx(10, abs=0.05)
    assert np.linalg.det(matrices[:, :, :2]).mean() == pytest.approx(0, abs=0.05)

    grey = np.full((50, 48, 48), 77, np.uint8)
    np.testing.assert_allclose(augment(grey, PAPER_AUGMENTATION, np.random.default_rng(1)), 77, atol=1e-3)


def config_of(*arguments: str) -> TrainConfig:
    return train.config_from_arguments(train.make_parser().parse_args(["--run", "r", "--data", "d.csv", *arguments]))


def test_a_preset_is_taken_whole_and_changed_by_what_is_given() -> None:
    assert config_of().augment == TrainConfig().augment
    config = config_of("--preset", "paper-simple-cnn", "--seed", "7", "--epochs", "3")
    assert (config.network, config.batch_size, config.seed, config.epochs) == ("simple_cnn", 32, 7, 3)
    assert config.data == str(Path("d.csv").resolve())
    assert config_of("--preset", "paper-mini-xception", "--batch-size", "64").batch_size == 64
    assert config_of("--preset", "paper-mini-xception", "--budget-minutes", "5").epochs is None


def test_without_imagenet_weights_all_of_inception_learns() -> None:
    with_weights = config_of("--preset", "paper-inception-v3")
    assert (with_weights.weights, with_weights.top_epochs, with_weights.unfrozen_blocks) == ("imagenet", 20, 2)
    without = config_of("--preset", "paper-inception-v3", "--weights", "none")
    assert (without.weights, without.top_epochs) == ("none", 0)
