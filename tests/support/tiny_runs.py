"""Whole runs of tiny networks on one Keras backend: ``KERAS_BACKEND=jax python -m tests.support.tiny_runs CSV FOLDER``.

Prints what came of them as JSON, since Keras keeps to one backend in a process.
"""

import json
import sys
from pathlib import Path

import keras
import numpy as np

from training import networks
from training.checkpoint import Arrays, Checkpoint, read_variables
from training.config import TrainConfig
from training.presets import PAPER_AUGMENTATION
from training.run import Run
from training.train import load_training_set
from training.transfer import BODY


def tiny_transfer(dropout: float) -> keras.Model:
    """InceptionV3 in small: a body whose blocks have its names, and a top."""
    inside = x = keras.Input((24, 24, 1))
    for block in (8, 9, 10):
        x = keras.layers.Conv2D(4, 3, strides=2, use_bias=False, name=f"block{block}_conv")(x)
        x = keras.layers.BatchNormalization(momentum=0.5, name=f"block{block}_bn")(x)
        x = keras.layers.ReLU(name=f"mixed{block}")(x)
    body = keras.Model(inside, x, name=BODY)
    face = keras.Input((48, 48, 1), name="face")
    x = keras.layers.Rescaling(1 / 64, offset=-2.0)(face)
    x = keras.layers.AveragePooling2D(2)(x)
    x = keras.layers.Flatten()(body(x))
    x = keras.layers.Dropout(dropout)(x)
    return keras.Model(face, keras.layers.Dense(7, name="logits")(x), name="tiny_transfer")


def config_for(csv: str) -> TrainConfig:
    """Two stages, early stop and a schedule that follows the loss."""
    return TrainConfig(
        network="tiny_transfer",
        data=csv,
        epochs=7,
        top_epochs=2,
        unfrozen_learning_rate=0.02,
        early_stop_patience=4,
        batch_size=16,
        optimizer="adam",
        schedule="plateau",
        plateau_patience=1,
        learning_rate=0.02,
        weight_decay=0.0,
        mixup_alpha=0.0,
        label_smoothing=0.0,
        ema_decay=0.0,
        held_out_fraction=0.2,
        augment=PAPER_AUGMENTATION,
    )


def start(config: TrainConfig, folder: Path) -> Run:
    """A run in its folder."""
    folder.mkdir(exist_ok=True)
    train, held_out, _ = load_training_set(config)
    return Run(config, folder, train, held_out)


def moved(before: Arrays, after: Arrays) -> list[str]:
    """The variables that a stage changed."""
    return sorted(
        name
        for name, value in before.items()
        if "seed_generator" not in name and not np.array_equal(value, after[name])
    )


def run_epoch(run: Run) -> None:
    """One epoch and its checkpoint."""
    run.history.append(run.run_epoch())
    run.save()


def main(csv: str, folder: Path) -> None:
    """Train one run without a break and one with two, and compare."""
    networks.NETWORKS["tiny_transfer"] = tiny_transfer
    config = config_for(csv)

    straight = start(config, folder / "straight")
    first = read_variables(straight.model.variables)
    for _ in range(config.top_epochs):
        run_epoch(straight)
    second = read_variables(straight.model.variables)
    straight.train()
    third = read_variables(straight.model.variables)

    # Once between the stages, once within the second, each time in the middle of an epoch that is lost.
    for until in (config.top_epochs, config.top_epochs + 2):
        stopped = start(config, folder / "stopped")
        if (folder / "stopped" / "checkpoint.npz").exists():
            stopped.resume()
        while stopped.epoch < until:
            run_epoch(stopped)
        stopped.run_epoch()
    resumed = start(config, folder / "stopped")
    resumed.resume()
    resumed.train()

    one, other = Checkpoint.load(folder / "straight"), Checkpoint.load(folder / "stopped")
    difference = 0.0
    for part in ("variables", "best", "optimizer"):
        mine, theirs = getattr(one, part), getattr(other, part)
        if mine.keys() != theirs.keys():
            raise SystemExit(f"the {part} have other names after a break")
        difference = max([difference, *(float(np.abs(value - theirs[name]).max()) for name, value in mine.items())])
    result = {
        "backend": keras.backend.backend(),
        "complete": one.complete and other.complete,
        "largest_difference": difference,
        "history": one.history,
        "history_with_breaks": other.history,
        "moved_in_first_stage": moved(first, second),
        "moved_in_second_stage": moved(second, third),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
