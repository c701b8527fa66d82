"""What a run does when: its learning rate, its stages and its end.

The cosine schedule is linear warm-up, then half a cosine to zero (Loshchilov & Hutter, arXiv:1608.03983); it is fixed
before the run begins. The plateau schedule and the early stop follow the loss on the held-out faces, which are part of
Training; no test row is looked at. Both are worked out anew from all losses so far, so that there is no state that a
resumed run could lose.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from training.config import TrainConfig

# What Keras's ReduceLROnPlateau takes for an improvement; its EarlyStopping takes any.
PLATEAU_MIN_DELTA = 1e-4


def plateau_factor(losses: Sequence[float], patience: int, factor: float) -> float:
    """What the learning rate is multiplied by after epochs with these losses, as Keras's ``ReduceLROnPlateau`` does."""
    best, waited, result = math.inf, 0, 1.0
    for loss in losses:
        if loss < best - PLATEAU_MIN_DELTA:
            best, waited = loss, 0
            continue
        waited += 1
        if waited >= patience:
            result, waited = result * factor, 0
    return result


def stopped_improving(losses: Sequence[float], patience: int | None) -> bool:
    """Whether the lowest loss is ``patience`` epochs ago, as Keras's ``EarlyStopping`` counts; never if None."""
    if patience is None or not losses:
        return False
    return len(losses) - 1 - min(range(len(losses)), key=losses.__getitem__) >= patience


@dataclass(frozen=True)
class Schedule:
    """How far a run is, and what follows from that and from the held-out loss of each epoch behind."""

    config: TrainConfig
    steps_per_epoch: int

    def progress(self, step: int, elapsed_seconds: float) -> float:
        """Share of the run that is behind, 0 to 1.

        Args:
            step: steps done since the beginning of the run.
            elapsed_seconds: time spent in training since the beginning of the run, over all resumptions.
        """
        if self.config.budget_minutes is not None:
            done = elapsed_seconds / (60 * self.config.budget_minutes)
        else:
            assert self.config.epochs is not None
            done = step / (self.config.epochs * self.steps_per_epoch)
        return min(1.0, done)

    def stage(self, losses: Sequence[float]) -> int:
        """1 while only the top learns, 2 afterwards; a run of one stage is in its second from the beginning."""
        return 1 if self._top_epochs(losses) is None else 2

    def _top_epochs(self, losses: Sequence[float]) -> int | None:
        """How many epochs the first stage took; None if it goes on."""
        for done in range(len(losses) + 1):
            if done >= self.config.top_epochs or stopped_improving(losses[:done], self.config.early_stop_patience):
                return done
        return None

    def _of_this_stage(self, losses: Sequence[float]) -> Sequence[float]:
        return losses[self._top_epochs(losses) or 0 :]

    def learning_rate(self, progress: float, losses: Sequence[float] = ()) -> float:
        """The learning rate at that share of the run, after epochs with these losses."""
        config = self.config
        unfrozen = config.top_epochs > 0 and self.stage(losses) == 2
        highest = config.unfrozen_learning_rate if unfrozen else config.learning_rate
        if config.schedule == "plateau":
            return highest * plateau_factor(self._of_this_stage(losses), config.plateau_patience, config.plateau_factor)
        warmup = config.warmup_fraction
        if progress < warmup:
            # Not from zero: the first step should already do something.
            return highest * (0.01 + 0.99 * progress / warmup)
        return highest * 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))

    def calm(self, progress: float) -> bool:
        """Whether the run is in its last part, where faces are neither blended nor partly hidden."""
        return progress >= 1 - self.config.calm_fraction

    def finished(self, progress: float, losses: Sequence[float]) -> bool:
        """Whether the run is over: at its full length, or because its last stage stopped improving."""
        if progress >= 1:
            return True
        return self.stage(losses) == 2 and stopped_improving(
            self._of_this_stage(losses), self.config.early_stop_patience
        )
