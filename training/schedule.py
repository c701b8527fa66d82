"""The learning rate over a run: linear warm-up, then half a cosine to zero (Loshchilov & Hutter, arXiv:1608.03983).

It is fixed before the run begins: nothing in it looks at a test set, or at anything measured on the way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from training.config import TrainConfig


@dataclass(frozen=True)
class Schedule:
    """How far a run is, and what follows from that."""

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

    def learning_rate(self, progress: float) -> float:
        """The learning rate at that share of the run."""
        warmup = self.config.warmup_fraction
        if progress < warmup:
            # Not from zero: the first step should already do something.
            return self.config.learning_rate * (0.01 + 0.99 * progress / warmup)
        return self.config.learning_rate * 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))

    def calm(self, progress: float) -> bool:
        """Whether the run is in its last part, where faces are neither blended nor partly hidden."""
        return progress >= 1 - self.config.calm_fraction
