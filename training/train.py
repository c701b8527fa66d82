"""Train a network: ``python -m training.train --data fer2013.csv.xz --run runs/first``.

A run has one folder with its configuration, environment, logs, curves, checkpoint and, at the end, the network as a
Keras file. It can be stopped at any time and goes on with ``--resume``. The test rows (PublicTest, PrivateTest) are
not looked at here, except to leave their copies among the Training rows out.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import ExitStack
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Final

import keras
import numpy as np

from training.average import averaged_network
from training.batches import TrainingSet, ferplus_targets, soft_labels
from training.checkpoint import CHECKPOINT_FILE, Checkpoint
from training.commands import ended
from training.config import PRECISIONS, WEIGHTS, TrainConfig
from training.data import Faces, fingerprint, read_faces, read_ferplus
from training.environment import environment
from training.lineage import check_unseen
from training.logs import TensorBoard, Terminal, Watcher, draw_curves
from training.networks import NETWORKS
from training.presets import PRESETS
from training.run import Run
from training.run_folder import CONFIG_FILE, ENVIRONMENT_FILE, SPLIT_FILE, read_config
from training.split import Split, split_training
from training.teaching import read_teaching
from training.warm_start import training_of

KERAS_FILE: Final = "model.keras"
_PATHS: Final = ("data", "ferplus", "teaching", "start_from")


def load_training_set(config: TrainConfig) -> tuple[TrainingSet, Faces, Split]:
    """Read and split what the configuration names.

    Raises:
        DataError: if the data cannot be used.
    """
    faces = read_faces(Path(config.data))
    for bad in faces.bad_rows[:20]:
        print(f"left out: {bad}", file=sys.stderr)
    if len(faces.bad_rows) > 20:
        print(f"left out: {len(faces.bad_rows) - 20} more bad rows", file=sys.stderr)
    split = split_training(faces, config.held_out_fraction, config.seed)
    train = faces.take(split.train)
    labels = soft_labels(train.labels, config.label_smoothing)
    if config.teaching is not None:
        labels += config.teaching_weight * (read_teaching(Path(config.teaching), train) - labels)
    targets = [labels]
    if config.ferplus is not None:
        targets.append(ferplus_targets(read_ferplus(Path(config.ferplus), train)))
    return TrainingSet(train.pixels, tuple(targets)), faces.take(split.held_out), split


def make_parser() -> argparse.ArgumentParser:
    """The command line; what is not given is what the preset says."""
    parser = argparse.ArgumentParser(
        prog="python -m training.train", description="Train an emotion model on FER2013, or go on with a stopped run."
    )
    parser.add_argument("--run", type=Path, required=True, help="folder of the run, e.g. runs/first")
    parser.add_argument("--resume", action="store_true", help="go on with the run in that folder, as it was configured")
    parser.add_argument(
        "--preset",
        choices=list(PRESETS),
        default="edge",
        help="where everything that is not given comes from: a training of the paper, or our own (default edge)",
    )
    parser.add_argument("--data", help="FER2013's CSV, plain, .gz or .xz, or a folder of class folders")
    parser.add_argument("--ferplus", help="FER+'s fer2013new.csv, for a second head that helps the first to learn")
    parser.add_argument(
        "--teaching", help="what python -m training.teach wrote, to learn from another model's view too"
    )
    parser.add_argument(
        "--teaching-weight",
        type=float,
        help=f"its share of the targets, 0 to 1 (default {TrainConfig().teaching_weight})",
    )
    parser.add_argument("--start-from", help="folder of a delivered model whose weights the run begins with")
    parser.add_argument(
        "--unseen-data",
        action="store_true",
        default=None,
        help="the model that the run starts from has seen none of these faces; without it, the data, the seed and the "
        "held-out fraction have to be those of that model",
    )
    parser.add_argument(
        "--weights", choices=WEIGHTS, help="what inception_v3 begins with; with none all of it learns at once"
    )
    parser.add_argument("--network", choices=sorted(NETWORKS))
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=int, help="length of the run in epochs, unless it stops early")
    length.add_argument("--budget-minutes", type=float, help="length of the run in minutes of training instead")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--held-out-fraction", type=float, help="share of each class that is not learnt from")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--precision", choices=PRECISIONS, help="mixed_bfloat16 is faster on processors that have it")
    return parser


def config_from_arguments(arguments: argparse.Namespace) -> TrainConfig:
    """The configuration of a new run: the preset, changed by what else is given."""
    given = {
        name: value
        for name in (item.name for item in fields(TrainConfig))
        if (value := getattr(arguments, name, None)) is not None
    }
    # Where it is run from may differ when it is resumed.
    given.update({name: str(Path(given[name]).resolve()) for name in _PATHS if name in given})
    if "budget_minutes" in given:
        given["epochs"] = None
    if given.get("weights") == "none":
        # A top alone learns nothing on features that nothing has learnt.
        given["top_epochs"] = 0
    return replace(PRESETS[arguments.preset], **given)


def watchers_of(run: Run, opened: ExitStack) -> list[Watcher]:
    """Everything that shows how the run goes on; what has to be closed is entered into ``opened``."""
    if TensorBoard.available():
        return [Terminal(), opened.enter_context(TensorBoard(run.folder, run.history))]
    print("no TensorBoard log: the package tensorboardX is not installed; history.csv has the same figures")
    return [Terminal()]


def summary(config: TrainConfig, checkpoint: Checkpoint) -> str:
    """Which epoch the run's weights are from, and what they reach."""
    records = checkpoint.history
    chosen = records[-1]
    if config.early_stop_patience is not None:
        chosen = min(records, key=lambda record: record["held_out_loss"])
    return (
        f"done after {len(records)} epochs; model.keras has the weights of epoch {chosen['epoch']:.0f}: "
        f"{100 * chosen['held_out_accuracy']:.2f}% of the held-out faces"
    )


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    folder: Path = arguments.run

    def work() -> int:
        if arguments.resume:
            if not (folder / CONFIG_FILE).is_file():
                parser.error(f"{folder} has no {CONFIG_FILE} to resume from; start it without --resume.")
            config = read_config(folder)
        else:
            if arguments.data is None:
                parser.error("--data is needed: FER2013's CSV, plain, .gz or .xz, or a folder of class folders.")
            if (folder / CHECKPOINT_FILE).exists():
                parser.error(f"{folder} already holds a run; go on with --resume, or name another folder.")
            config = config_from_arguments(arguments)
            if config.start_from is not None:
                start = Path(config.start_from)
                check_unseen(config, fingerprint(Path(config.data)), training_of(start), start)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / CONFIG_FILE).write_text(config.to_json() + "\n")
        train, held_out, split = load_training_set(config)
        (folder / ENVIRONMENT_FILE).write_text(json.dumps(environment(), indent=2) + "\n")
        (folder / SPLIT_FILE).write_text(
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
        elif config.start_from is not None:
            run.start_from(Path(config.start_from))
            print(f"started from {config.start_from}", flush=True)
        elif config.weights == "imagenet":
            run.load_imagenet()
        try:
            with ExitStack() as opened:
                run.train(watchers_of(run, opened))
        finally:
            draw_curves(folder)
        checkpoint = Checkpoint.load(folder)
        averaged_network(config, checkpoint).save(folder / KERAS_FILE)
        print(summary(config, checkpoint))
        return 0

    try:
        return ended(work)
    except KeyboardInterrupt:
        print(f"stopped; go on with: python -m training.train --run {folder} --resume", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
