"""What a run shows while it goes on: a bar in the terminal, a table, curves, and TensorBoard's log.

The files are made from the history in the checkpoint, so that they never disagree with it, whenever the run is stopped.
"""

from __future__ import annotations

import csv
import importlib.util
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, Protocol, TypedDict

import keras

from training import curves

HISTORY_FILE: Final = "history.csv"
TENSORBOARD_FOLDER: Final = "tensorboard"
# TensorBoard puts into one chart what has one name before the stroke.
_SCALARS: Final = {
    "loss/train": "train_loss",
    "loss/held_out": "held_out_loss",
    "accuracy/train": "train_accuracy",
    "accuracy/held_out": "held_out_accuracy",
    "learning_rate": "learning_rate",
}


class EpochRecord(TypedDict):
    """One line of the log; ``held_out_*`` are measured with the averaged weights, ``train_*`` on augmented faces."""

    epoch: int
    stage: int
    step: int
    progress: float
    learning_rate: float
    train_loss: float
    train_accuracy: float
    held_out_loss: float
    held_out_accuracy: float
    seconds: float


class Watcher(Protocol):
    """Is told how a run goes on."""

    def epoch_begins(self, epoch: int, steps: int) -> None:
        """An epoch of so many steps begins."""

    def step_done(self, step: int, loss: float, accuracy: float) -> None:
        """So many steps of the epoch are done, with these means over them."""

    def epoch_done(self, record: EpochRecord) -> None:
        """An epoch is done and in the checkpoint."""


class Terminal:
    """A line per epoch, and a bar within it where somebody is looking on."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._step = 0

    def epoch_begins(self, epoch: int, steps: int) -> None:
        """A new bar."""
        self._bar = keras.utils.Progbar(steps, stateful_metrics=["loss", "accuracy"]) if sys.stdout.isatty() else None

    def step_done(self, step: int, loss: float, accuracy: float) -> None:
        """Draw the bar on."""
        if self._bar is not None:
            self._step = step
            self._bar.update(step, [("loss", loss), ("accuracy", accuracy)], finalize=False)

    def epoch_done(self, record: EpochRecord) -> None:
        """Print the line."""
        if self._bar is not None:
            self._bar.update(self._step, finalize=True)
        print(
            f"epoch {record['epoch']:3d}  {100 * record['progress']:5.1f}%  loss {record['train_loss']:.4f}  "
            f"accuracy {100 * record['train_accuracy']:.2f}%  held-out loss {record['held_out_loss']:.4f}  "
            f"accuracy {100 * record['held_out_accuracy']:.2f}%  {record['seconds']:.1f} s",
            flush=True,
        )


class TensorBoard(AbstractContextManager["TensorBoard"]):
    """Scalars of each epoch for TensorBoard, in ``tensorboard`` of the run's folder; needs the package tensorboardX."""

    def __init__(self, folder: Path, history: Sequence[EpochRecord]) -> None:
        """Begin anew with what the run has behind it, since a stopped run may have written an epoch that was lost."""
        # Its SummaryWriter hands events to a thread, and flushing does not wait for that: an interrupt would lose some.
        from tensorboardX.event_file_writer import EventsWriter  # type: ignore[import-untyped]  # ships no types

        shutil.rmtree(folder / TENSORBOARD_FOLDER, ignore_errors=True)
        (folder / TENSORBOARD_FOLDER).mkdir()
        self._writer = EventsWriter(str(folder / TENSORBOARD_FOLDER / "events"))
        for record in history:
            self.epoch_done(record)

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._writer.close()

    @staticmethod
    def available() -> bool:
        """Whether the package is installed."""
        return importlib.util.find_spec("tensorboardX") is not None

    def epoch_begins(self, epoch: int, steps: int) -> None:
        """Nothing to write."""

    def step_done(self, step: int, loss: float, accuracy: float) -> None:
        """Nothing to write."""

    def epoch_done(self, record: EpochRecord) -> None:
        """Write the epoch."""
        from tensorboardX.proto.event_pb2 import Event  # type: ignore[import-untyped]  # ships no types
        from tensorboardX.proto.summary_pb2 import Summary  # type: ignore[import-untyped]  # ships no types

        values = [
            Summary.Value(tag=tag, simple_value=record[column])  # type: ignore[literal-required]  # columns of the table
            for tag, column in _SCALARS.items()
            # An older run did not measure all of them.
            if column in record
        ]
        self._writer.write_event(Event(wall_time=time.time(), step=record["epoch"], summary=Summary(value=values)))
        self._writer.flush()


def write_history(folder: Path, history: Sequence[EpochRecord]) -> None:
    """Write the table of all epochs, replacing an earlier one at once."""
    partial = folder / (HISTORY_FILE + ".part")
    with partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(EpochRecord.__annotations__))
        writer.writeheader()
        writer.writerows(history)
    partial.replace(folder / HISTORY_FILE)


def draw_curves(folder: Path) -> None:
    """Draw the run's curves beside its table, if it has an epoch and Matplotlib is installed."""
    if not (folder / HISTORY_FILE).is_file():
        return
    if importlib.util.find_spec("matplotlib") is None:
        print("no curves.png: Matplotlib is not installed; draw it elsewhere with python -m training.curves")
        return
    curves.draw(curves.read_history(folder / HISTORY_FILE), folder / curves.CURVES_FILE)
