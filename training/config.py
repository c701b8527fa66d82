"""Everything that decides a training run, in one value that is recorded beside its results."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from training.augment import AugmentConfig

# Half precision (float16) is not among them, since it would need the loss to be scaled.
PRECISIONS: Final = ("float32", "mixed_bfloat16")


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Exactly one of ``epochs`` and ``budget_minutes`` is given. With ``epochs`` the schedule counts steps, and a run that
    is stopped and resumed reaches the same result as one that was not. With ``budget_minutes`` it counts the minutes
    spent in training, for a machine whose speed changes while others use it.
    """

    network: str = "slim_resnet"
    data: str = "fer2013.csv"
    ferplus: str | None = None
    seed: int = 0
    epochs: int | None = 60
    budget_minutes: float | None = None
    batch_size: int = 128
    learning_rate: float = 0.1
    warmup_fraction: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 5e-3
    label_smoothing: float = 0.1
    mixup_alpha: float = 0.2
    calm_fraction: float = 0.1
    ema_decay: float = 0.999
    dropout: float = 0.2
    ferplus_weight: float = 0.5
    held_out_fraction: float = 0.05
    precision: str = "float32"
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.budget_minutes is None):
            raise ValueError("give either a number of epochs or a budget in minutes, not both and not neither.")
        if self.epochs is not None and self.epochs < 1:
            raise ValueError(f"the number of epochs is {self.epochs}; it has to be at least 1.")
        if self.budget_minutes is not None and self.budget_minutes <= 0:
            raise ValueError(f"the budget is {self.budget_minutes} minutes; it has to be above 0.")
        if self.precision not in PRECISIONS:
            raise ValueError(f"the precision {self.precision!r} is not one of {', '.join(PRECISIONS)}.")

    def to_json(self) -> str:
        """The configuration as indented JSON."""
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainConfig:
        """The configuration that ``to_json`` wrote.

        Raises:
            ValueError: if there is a name that this version does not know.
        """
        known = {item.name for item in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"the configuration has unknown settings: {', '.join(unknown)}.")
        changes = dict(values)
        if "augment" in changes:
            pairs: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value for key, value in changes["augment"].items()
            }
            changes["augment"] = AugmentConfig(**pairs)
        return cls(**changes)

    @classmethod
    def read(cls, path: Path) -> TrainConfig:
        """The configuration of a run folder's ``config.json``."""
        return cls.from_dict(json.loads(path.read_text()))
