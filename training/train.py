"""Train a network: ``python -m training.train --data fer2013.csv.xz --run runs/first``.

A run has one folder with its configuration, environment, log, checkpoint and, at the end, the averaged network as a
Keras file. It can be stopped at any time and goes on with ``--resume``. The test rows (PublicTest, PrivateTest) are
not looked at here, except to leave their copies among the Training rows out.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np

from training.average import averaged_network
from training.batches import TrainingSet, ferplus_targets, soft_labels
from training.checkpoint import CHECKPOINT_FILE, Checkpoint, CheckpointError
from training.config import PRECISIONS, TrainConfig
from training.data import DataError, Faces, read_fer2013, read_ferplus
from training.environment import environment
from training.networks import NETWORKS
from training.run import Run
from training.split import Split, split_training

KERAS_FILE: Final = "model.keras"


def load_training_set(config: TrainConfig) -> tuple[TrainingSet, Faces, Split]:
    """Read and split what the configuration names.

    Raises:
        DataError: if the data cannot be used.
    """
    faces = read_fer2013(Path(config.data))
    for bad in faces.bad_rows[:20]:
        print(f"left out: line {bad.line}: {bad.reason}", file=sys.stderr)
    if len(faces.bad_rows) > 20:
        print(f"left out: {len(faces.bad_rows) - 20} more bad rows", file=sys.stderr)
    split = split_training(faces, config.held_out_fraction, config.seed)
    train = faces.take(split.train)
    targets = [soft_labels(train.labels, config.label_smoothing)]
    if config.ferplus is not None:
        targets.append(ferplus_targets(read_ferplus(Path(config.ferplus), train)))
    return TrainingSet(train.pixels, tuple(targets)), faces.take(split.held_out), split


def make_parser() -> argparse.ArgumentParser:
    """The command line; its defaults are those of ``TrainConfig``."""
    default = TrainConfig()
    parser = argparse.ArgumentParser(
        prog="python -m training.train", description="Train an emotion model on FER2013, or go on with a stopped run."
    )
    parser.add_argument("--run", type=Path, required=True, help="folder of the run, e.g. runs/first")
    parser.add_argument("--resume", action="store_true", help="go on with the run in that folder, as it was configured")
    parser.add_argument("--data", help="FER2013's CSV, plain, .gz or .xz")
    parser.add_argument("--ferplus", help="FER+'s fer2013new.csv, for a second head that helps the first to learn")
    parser.add_argument("--network", choices=sorted(NETWORKS), default=default.network)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=int, help=f"length of the run in epochs (default {default.epochs})")
    length.add_argument("--budget-minutes", type=float, help="length of the run in minutes of training instead")
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--batch-size", type=int, default=default.batch_size)
    parser.add_argument("--learning-rate", type=float, default=default.learning_rate)
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=default.precision,
        help="mixed_bfloat16 is faster on processors that have it",
    )
    return parser


def config_from_arguments(arguments: argparse.Namespace) -> TrainConfig:
    """The configuration of a new run."""
    length: dict[str, Any] = {}
    if arguments.epochs is not None:
        length = {"epochs": arguments.epochs}
    elif arguments.budget_minutes is not None:
        length = {"epochs": None, "budget_minutes": arguments.budget_minutes}
    return replace(
        TrainConfig(),
        network=arguments.network,
        data=str(Path(arguments.data).resolve()),
        ferplus=None if arguments.ferplus is None else str(Path(arguments.ferplus).resolve()),
        seed=arguments.seed,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        precision=arguments.precision,
        **length,
    )


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    folder: Path = arguments.run
    try:
        if arguments.resume:
            if not (folder / "config.json").is_file():
                parser.error(f"{folder} has no config.json to resume from; start it without --resume.")
            config = TrainConfig.read(folder / "config.json")
        else:
            if arguments.data is None:
                parser.error("--data is needed: FER2013's CSV, plain, .gz or .xz.")
            if (folder / CHECKPOINT_FILE).exists():
                parser.error(f"{folder} already holds a run; go on with --resume, or name another folder.")
            config = config_from_arguments(arguments)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "config.json").write_text(config.to_json() + "\n")
        train, held_out, split = load_training_set(config)
        (folder / "environment.json").write_text(json.dumps(environment(), indent=2) + "\n")
        (folder / "split.json").write_text(
            json.dumps({key: v.tolist() if isinstance(v, np.ndarray) else v for key, v in asdict(split).items()}) + "\n"
        )
        print(
            f"{len(train)} faces to learn from, {len(held_out)} held out, {len(split.leaked)} left out as test copies; "
            f"{split.duplicate_groups} groups of copies, {split.conflicting_groups} of them with different labels"
        )
        run = Run(config, folder, train, held_out)
        print(
            f"{config.network}: {run.model.count_params():,} parameters, {keras.backend.backend()} backend", flush=True
        )
        if arguments.resume and (folder / CHECKPOINT_FILE).exists():
            run.resume()
            print(f"resumed after epoch {run.epoch}", flush=True)
        run.train()
        averaged_network(config, Checkpoint.load(folder)).save(folder / KERAS_FILE)
    except (DataError, CheckpointError, FloatingPointError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"stopped; go on with: python -m training.train --run {folder} --resume", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
