"""What a run left in its folder, checked before it is used."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from shared.paths import unusable
from training.checkpoint import Checkpoint
from training.config import TrainConfig
from training.data import DataError, Faces, read_faces

CONFIG_FILE: Final = "config.json"
SPLIT_FILE: Final = "split.json"
ENVIRONMENT_FILE: Final = "environment.json"


@dataclass(frozen=True)
class FinishedRun:
    """A run that has finished an epoch, and its data.

    ``split`` is what ``split.json`` says; ``held_out`` are the faces that it held out, ``learnt`` the ``(N, 48, 48)``
    pixels of those that it learnt from.
    """

    config: TrainConfig
    checkpoint: Checkpoint
    split: dict[str, Any]
    everything: Faces
    held_out: Faces
    learnt: npt.NDArray[np.uint8]


def read_config(folder: Path) -> TrainConfig:
    """How the run was configured.

    Raises:
        DataError: if the folder is not that of a run.
    """
    values = read_object(folder, CONFIG_FILE)
    try:
        return TrainConfig.from_dict(values)
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(unusable(folder / CONFIG_FILE, error, "give a run of this version.")) from error


def read_object(folder: Path, name: str) -> dict[str, Any]:
    """One of the run's JSON files.

    Raises:
        DataError: if it is not there or not what training wrote.
    """
    path = folder / name
    if not folder.is_dir() or not path.exists():
        raise DataError(
            f"{folder} is not the folder of a run, it has no {name}; give what python -m training.train has as --run."
        )
    mend = "expected what python -m training.train writes; train again, or take the folder from a copy."
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(unusable(path, error, mend)) from error
    if not isinstance(values, dict):
        raise DataError(f"{path} is not a JSON object; {mend}")
    return values


def read_run(folder: Path) -> FinishedRun:
    """A run with its last checkpoint, also of one that is still going on, and the faces that it used.

    Raises:
        DataError: if the folder is not that of a run, or its data are gone or others.
        CheckpointError: if it has not finished an epoch, or its checkpoint is damaged.
    """
    config = read_config(folder)
    checkpoint = Checkpoint.load(folder)
    split = read_object(folder, SPLIT_FILE)
    everything = read_faces(Path(config.data))
    try:
        held_out = everything.take(np.array(split["held_out"], np.int64))
        learnt = everything.pixels[np.array(split["train"], np.int64)]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise DataError(
            f"{folder / SPLIT_FILE} does not fit {config.data} ({error}); the run needs the data that it learnt from, "
            "unchanged."
        ) from error
    return FinishedRun(config, checkpoint, split, everything, held_out, learnt)
