"""Where a run stands, in one file replaced at once: killed at any moment, it goes on from its last epoch."""

from __future__ import annotations

import itertools
import json
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.paths import unusable

Arrays = dict[str, npt.NDArray[Any]]

CHECKPOINT_FILE = "checkpoint.npz"
_PARTS = ("variables", "averaged", "best", "optimizer")


class CheckpointError(RuntimeError):
    """A checkpoint cannot be used; the message says why and what to do."""


@dataclass
class Checkpoint:
    """A run after some epochs.

    ``variables``, ``averaged`` (the exponential moving average), ``best`` (the averages with the lowest held-out loss,
    only of a run that may stop early) and ``optimizer`` hold arrays by the variable's path.
    """

    epoch: int
    step: int
    elapsed_seconds: float
    complete: bool
    variables: Arrays
    averaged: Arrays
    optimizer: Arrays
    best: Arrays = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def result(self) -> Arrays:
        """The weights that the run gives: its best if it may stop early, otherwise its last."""
        return self.best or self.averaged

    def save(self, folder: Path) -> None:
        """Write to ``folder``, replacing an earlier checkpoint only once the new one is on the disk."""
        state = {
            "epoch": self.epoch,
            "step": self.step,
            "elapsed_seconds": self.elapsed_seconds,
            "complete": self.complete,
            "history": self.history,
        }
        arrays: Arrays = {"state": np.array(json.dumps(state))}
        for part in _PARTS:
            arrays.update({f"{part}:{name}": value for name, value in getattr(self, part).items()})
        partial = folder / (CHECKPOINT_FILE + ".part")
        with partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(folder / CHECKPOINT_FILE)

    @classmethod
    def load(cls, folder: Path) -> Checkpoint:
        """Read the checkpoint of a run folder.

        Raises:
            CheckpointError: if there is none, or it cannot be read.
        """
        path = folder / CHECKPOINT_FILE
        if not path.is_file():
            raise CheckpointError(f"{folder} has no {CHECKPOINT_FILE}; the run has not finished an epoch yet.")
        parts: dict[str, Arrays] = {part: {} for part in _PARTS}
        try:
            with np.load(path, allow_pickle=False) as file:
                state = json.loads(str(file["state"]))
                for key in file.files:
                    part, _, name = key.partition(":")
                    if part in parts and name:
                        parts[part][name] = file[key]
            return cls(
                epoch=state["epoch"],
                step=state["step"],
                elapsed_seconds=state["elapsed_seconds"],
                complete=state["complete"],
                history=state["history"],
                **parts,
            )
        except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise CheckpointError(unusable(path, error, "remove it and train again.")) from error


def _named(variables: list[Any]) -> Iterator[tuple[str, Any]]:
    """Each variable with its path, the same in every process that builds the model.

    Keras numbers the generators behind dropout through the whole process, so they are numbered anew here.
    """
    numbers = itertools.count()
    for variable in variables:
        path: str = variable.path
        if path.startswith("seed_generator"):
            number = next(numbers)
            path = f"seed_generator{f'_{number}' if number else ''}/seed_generator_state"
        yield path, variable


def read_variables(variables: list[Any]) -> Arrays:
    """A copy of each Keras variable's value, by its path."""
    return {path: np.array(variable.numpy()) for path, variable in _named(variables)}


def write_variables(variables: list[Any], arrays: Arrays) -> None:
    """Set each Keras variable from ``arrays`` by its path.

    Raises:
        CheckpointError: if a variable is missing or has another shape.
    """
    for path, variable in _named(variables):
        if path not in arrays:
            raise CheckpointError(f"the checkpoint has no {path!r}; it belongs to another network.")
        value = arrays[path]
        if tuple(value.shape) != tuple(variable.shape):
            raise CheckpointError(
                f"{path!r} has the shape {tuple(value.shape)} in the checkpoint and {tuple(variable.shape)} in the "
                "network; it belongs to another network."
            )
        variable.assign(value)
