"""Everything that decides a training run, in one value that is recorded beside its results."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

from training.augment import AugmentConfig

# Half precision (float16) is not among them, since it would need the loss to be scaled.
PRECISIONS: Final = ("float32", "mixed_bfloat16")
OPTIMIZERS: Final = ("sgd", "adam")
SCHEDULES: Final = ("cosine", "plateau")
WEIGHTS: Final = ("none", "imagenet")


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Exactly one of ``epochs`` and ``budget_minutes`` is given. With ``epochs`` the schedule counts steps, and a run that
    is stopped and resumed reaches the same result as one that was not. With ``budget_minutes`` it counts the minutes
    spent in training, for a machine whose speed changes while others use it.

    ``teaching`` is a file of ``training.teach``; its probabilities are mixed into the targets with ``teaching_weight``.
    ``start_from`` is a delivered model's folder whose weights the run begins with, and ``unseen_data`` says that this
    model has seen none of the faces; ``weights`` is ``imagenet`` where Keras's own loader gives them instead.

    ``plateau_patience`` and ``early_stop_patience`` are numbers of epochs in which the held-out loss does not improve:
    after the first, a ``plateau`` schedule lowers its learning rate by ``plateau_factor``; after the second the run
    ends, and the weights with the lowest held-out loss are its result. Without ``early_stop_patience`` the last are.

    With ``top_epochs`` above 0 the run has two stages, which only a network with a body from elsewhere can have: for at
    most that many epochs its new top learns alone, then the last ``unfrozen_blocks`` of the body learn with it, at
    ``unfrozen_learning_rate``.
    """

    network: str = "slim_resnet"
    data: str = "fer2013.csv"
    ferplus: str | None = None
    teaching: str | None = None
    teaching_weight: float = 0.5
    start_from: str | None = None
    unseen_data: bool = False
    weights: str = "none"
    top_epochs: int = 0
    unfrozen_blocks: int = 2
    unfrozen_learning_rate: float = 1e-4
    seed: int = 0
    epochs: int | None = 60
    budget_minutes: float | None = None
    early_stop_patience: int | None = None
    batch_size: int = 128
    optimizer: str = "sgd"
    schedule: str = "cosine"
    plateau_patience: int = 12
    plateau_factor: float = 0.1
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
        if self.unseen_data and self.start_from is None:
            raise ValueError(
                "--unseen-data speaks of the model that a run starts from; give --start-from, or leave it out."
            )
        if not 0 <= self.teaching_weight <= 1:
            raise ValueError(f"the weight of the teaching is {self.teaching_weight}; it has to be within 0 and 1.")
        for name, known in (
            ("precision", PRECISIONS),
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
            ("weights", WEIGHTS),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"the {name} {getattr(self, name)!r} is not one of {', '.join(known)}.")
        for name, least in (("plateau_patience", 1), ("early_stop_patience", 1), ("top_epochs", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} is {value} epochs; it has to be at least {least}.")

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
