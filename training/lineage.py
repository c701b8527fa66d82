"""Which faces the model has seen that a run starts from; a held-out face among them would measure nothing.

What is held out follows from the data, the seed and the fraction. Where a run goes on with the data of the model that
it starts from, all three have to be the model's own; otherwise faces that the model has learnt by heart are held out,
and every figure of the run, and the temperature fitted on them, is too good.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.config import TrainConfig
from training.data import DataError


@dataclass(frozen=True)
class SeenSplit:
    """Data that a model learnt from, and what decided which of their faces it did not see."""

    data_sha256: str
    seed: int
    held_out_fraction: float


def seen_splits(training: Mapping[str, Any]) -> list[SeenSplit]:
    """What a model has learnt from, also before it was the model it is; newest first, empty where it does not say.

    Args:
        training: the preset's record of the training.
    """
    settings = training.get("settings", {})
    before = [SeenSplit(**split) for split in training.get("seen_before", [])]
    if "data_sha256" not in training or "seed" not in settings or "held_out_fraction" not in settings:
        return before
    return [SeenSplit(training["data_sha256"], settings["seed"], settings["held_out_fraction"]), *before]


def seen_before(training: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The same for the record of a model that starts from this one."""
    return [asdict(split) for split in seen_splits(training)]


def check_unseen(config: TrainConfig, data_sha256: str, training: Mapping[str, Any], model: Path) -> None:
    """Refuse a run whose held-out faces the model that it starts from may have learnt.

    Args:
        config: of the run.
        data_sha256: of the data of the run.
        training: what the preset of the model says of its training.
        model: the model's folder.

    Raises:
        DataError: saying what differs, and how to go on.
    """
    splits = seen_splits(training)
    same = [split for split in splits if split.data_sha256 == data_sha256]
    for split in same:
        if (split.seed, split.held_out_fraction) != (config.seed, config.held_out_fraction):
            raise DataError(
                f"{model} learnt from these data with seed {split.seed} and {split.held_out_fraction:g} of them held "
                f"out, this run has seed {config.seed} and {config.held_out_fraction:g}; so it would hold out faces "
                "that the model knows, and its figures would mean nothing. "
                f"Give --seed {split.seed} --held-out-fraction {split.held_out_fraction:g}."
            )
    if same and config.unseen_data:
        raise DataError(f"{model} learnt from exactly these data, so they are not unseen; leave --unseen-data out.")
    if not same and not config.unseen_data:
        known = ", ".join(f"{split.data_sha256[:16]}..." for split in splits) or "unknown"
        raise DataError(
            f"{model} learnt from data whose sha256 is {known}, and that of --data is {data_sha256[:16]}...; if it "
            "has seen some of these faces all the same, they would be held out here too, and the figures would "
            "mean nothing. If it is the same data in another form, give the file that the model learnt from; if the "
            "model has seen none of these faces, say so with --unseen-data."
        )
