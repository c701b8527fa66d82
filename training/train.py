"""Train a network: ``python -m training.train --data fer2013.csv.xz --run runs/first``.

A run has one folder with its configuration, environment, log, checkpoint and, at the end, the averaged network as a
Keras file. It can be stopped at any time and goes on with ``--resume``. The test rows (PublicTest, PrivateTest) are
not looked at here, except to leave their copies among the Training rows out.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypedDict

import keras
import numpy as np
import numpy.typing as npt
from keras import layers, ops

from training import metrics
from training.average import MovingAverage, averaged_network
from training.batches import FERPLUS_CLASSES, TrainingSet, epoch_batches, ferplus_targets, prefetch, soft_labels
from training.checkpoint import CHECKPOINT_FILE, Checkpoint, CheckpointError, read_variables, write_variables
from training.config import TrainConfig
from training.data import DataError, Faces, read_fer2013, read_ferplus
from training.networks import NETWORKS, build_network
from training.schedule import Schedule
from training.split import Split, split_training

FERPLUS_HEAD = "ferplus"
KERAS_FILE = "model.keras"


class EpochRecord(TypedDict):
    """One line of the log; ``held_out_*`` are measured with the averaged weights."""

    epoch: int
    step: int
    progress: float
    learning_rate: float
    train_loss: float
    held_out_loss: float
    held_out_accuracy: float
    seconds: float


def soft_cross_entropy(target: Any, logits: Any) -> Any:
    """Mean cross-entropy against soft targets; a row that sums to less than 1 counts for less."""
    log_probabilities = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    return -ops.mean(ops.sum(target * log_probabilities, axis=-1))


def with_ferplus_head(network: keras.Model) -> keras.Model:
    """The network with a second head for the FER+ votes on what its scoring layer sees; only training uses it."""
    scoring = [layer for layer in network.layers if layer.weights][-1]
    features = scoring.input
    if len(features.shape) == 4:
        features = layers.GlobalAveragePooling2D(name=f"{FERPLUS_HEAD}_pool")(features)
    votes = layers.Dense(FERPLUS_CLASSES, name=FERPLUS_HEAD)(features)
    return keras.Model(network.input, [network.output, votes], name=f"{network.name}_with_{FERPLUS_HEAD}")


def make_optimizer(config: TrainConfig, model: keras.Model) -> keras.optimizers.Optimizer:
    """SGD with Nesterov momentum, with weight decay on kernels alone."""
    optimizer = keras.optimizers.SGD(
        learning_rate=config.learning_rate,
        momentum=config.momentum,
        nesterov=True,
        weight_decay=config.weight_decay,
        name="sgd",
    )
    optimizer.exclude_from_weight_decay(var_list=[v for v in model.trainable_variables if v.name != "kernel"])
    optimizer.build(model.trainable_variables)
    return optimizer


def predict_logits(
    network: keras.Model, pixels: npt.NDArray[np.uint8], batch_size: int = 256
) -> npt.NDArray[np.float32]:
    """``(N, 7)`` logits of the first head for ``(N, 48, 48)`` pixels."""
    parts = []
    for start in range(0, len(pixels), batch_size):
        faces = pixels[start : start + batch_size, :, :, None].astype(np.float32)
        outputs = network.predict_on_batch(faces)
        parts.append(np.asarray(outputs[0] if isinstance(outputs, list | tuple) else outputs, dtype=np.float32))
    return np.concatenate(parts)


class Run:
    """A training run and its folder."""

    def __init__(self, config: TrainConfig, folder: Path, train: TrainingSet, held_out: Faces) -> None:
        self.config = config
        self.folder = folder
        self.train_set = train
        self.held_out = held_out
        keras.utils.set_random_seed(config.seed)
        keras.config.set_dtype_policy(config.precision)
        network = build_network(config.network, config.dropout)
        self.model = with_ferplus_head(network) if len(train.targets) > 1 else network
        self.optimizer = make_optimizer(config, self.model)
        self.model.compile(
            optimizer=self.optimizer,
            loss=[soft_cross_entropy] * len(train.targets),
            loss_weights=[1.0, config.ferplus_weight][: len(train.targets)],
        )
        self.average = MovingAverage(self.model, config.ema_decay)
        self.schedule = Schedule(config, len(train) // config.batch_size)
        self.epoch = 0
        self.step = 0
        self.elapsed = 0.0
        self.history: list[EpochRecord] = []

    @property
    def progress(self) -> float:
        """Share of the run that is done."""
        return self.schedule.progress(self.step, self.elapsed)

    def resume(self) -> None:
        """Go on from the folder's checkpoint.

        Raises:
            CheckpointError: if there is none or it belongs to another network.
        """
        checkpoint = Checkpoint.load(self.folder)
        write_variables(self.model.variables, checkpoint.variables)
        write_variables(self.optimizer.variables, checkpoint.optimizer)
        self.average.restore(checkpoint.averaged)
        self.epoch, self.step = checkpoint.epoch, checkpoint.step
        self.elapsed = checkpoint.elapsed_seconds
        self.history = [EpochRecord(**record) for record in checkpoint.history]  # type: ignore[typeddict-item]

    def run_epoch(self) -> EpochRecord:
        """Train for one epoch, or for what the budget leaves of it, and measure on the held-out faces."""
        began, before = time.monotonic(), self.elapsed
        # On torch, dropout draws from the process's generator, which a resumed run would find in another state.
        keras.utils.set_random_seed(int(np.random.SeedSequence([self.config.seed, self.epoch]).generate_state(1)[0]))
        first_step = self.step

        def is_calm(batch: int) -> bool:
            return self.schedule.calm(self.schedule.progress(first_step + batch, self.elapsed))

        losses = []
        rate = 0.0
        for inputs, targets in prefetch(epoch_batches(self.train_set, self.config, self.epoch, is_calm)):
            rate = self.schedule.learning_rate(self.progress)
            self.optimizer.learning_rate = rate
            result = self.model.train_on_batch(inputs, targets if len(targets) > 1 else targets[0])
            losses.append(float(result[0] if isinstance(result, list | tuple) else result))
            self.step += 1
            self.average.update(self.step)
            self.elapsed = before + time.monotonic() - began
            if self.progress >= 1:
                break
        self.epoch += 1
        with self.average.applied():
            logits = predict_logits(self.model, self.held_out.pixels)
        loss = float(np.mean(losses))
        if not np.isfinite(loss):
            raise FloatingPointError(
                f"the loss became {loss} in epoch {self.epoch}; try a lower --learning-rate or float32 precision."
            )
        self.elapsed = before + time.monotonic() - began
        return EpochRecord(
            epoch=self.epoch,
            step=self.step,
            progress=round(self.progress, 5),
            learning_rate=rate,
            train_loss=loss,
            held_out_loss=metrics.negative_log_likelihood(logits, self.held_out.labels),
            held_out_accuracy=metrics.accuracy(logits, self.held_out.labels),
            seconds=round(self.elapsed - before, 2),
        )

    def save(self) -> None:
        """Checkpoint and log; the log is written from the checkpoint's history, so the two never disagree."""
        Checkpoint(
            epoch=self.epoch,
            step=self.step,
            elapsed_seconds=self.elapsed,
            complete=self.progress >= 1,
            variables=read_variables(self.model.variables),
            averaged=self.average.arrays(),
            optimizer=read_variables(self.optimizer.variables),
            history=[dict(record) for record in self.history],  # type: ignore[arg-type]
        ).save(self.folder)
        with (self.folder / "history.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(EpochRecord.__annotations__))
            writer.writeheader()
            writer.writerows(self.history)

    def train(self) -> None:
        """Run to the end of the schedule, with a checkpoint after each epoch."""
        while self.progress < 1:
            record = self.run_epoch()
            self.history.append(record)
            self.save()
            print(
                f"epoch {record['epoch']:3d}  {100 * record['progress']:5.1f}%  loss {record['train_loss']:.4f}  "
                f"held-out loss {record['held_out_loss']:.4f}  accuracy {100 * record['held_out_accuracy']:.2f}%  "
                f"{record['seconds']:.1f} s",
                flush=True,
            )


def environment() -> dict[str, str]:
    """What the run ran on, for the record."""
    return {
        "python": platform.python_version(),
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "numpy": np.__version__,
        "processor": processor_name(),
        "cores": str(os.cpu_count()),
        "accelerator": accelerator_name(),
    }


def accelerator_name() -> str:
    """The accelerator that Keras's backend runs on, or "no accelerator"."""
    if keras.backend.backend() == "torch":
        import torch

        return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no accelerator"
    others = [name for name in keras.distribution.list_devices() if not name.startswith("cpu")]
    return ", ".join(others) or "no accelerator"


def processor_name() -> str:
    """The processor as the system names it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


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
        choices=["float32", "mixed_bfloat16", "mixed_float16"],
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
