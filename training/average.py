"""An exponential moving average of a model's variables.

Keras's own ``use_ema`` averages trainable variables only. Here the statistics of batch normalisation are averaged
alike, so that they belong to the averaged weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

from training.checkpoint import Arrays, Checkpoint, read_variables, write_variables
from training.config import TrainConfig
from training.networks import build_network


def averageable(model: keras.Model) -> list[Any]:
    """The variables that an average makes sense of: weights and statistics, but no state of a random generator."""
    return [v for v in model.variables if keras.backend.is_float_dtype(v.dtype)]


def _value(variable: Any) -> Any:
    """The variable's value without its history, which on torch would grow with every step of the run."""
    return ops.stop_gradient(ops.convert_to_tensor(variable))


class MovingAverage:
    """Averages weights over about the last ``1 / (1 - decay)`` steps (Polyak & Juditsky 1992)."""

    def __init__(self, model: keras.Model, decay: float) -> None:
        self._variables = averageable(model)
        self._decay = decay
        self._means = [ops.copy(_value(v)) for v in self._variables]

    def update(self, step: int) -> None:
        """Take in the variables as they are after ``step`` steps; early steps count more, so that it starts at once.

        Without decay there is nothing to do: the average is then what the variables are when it is asked for.
        """
        if self._decay == 0:
            return
        decay = min(self._decay, (1 + step) / (10 + step))
        self._means = [
            mean + (_value(v) - mean) * (1 - decay) for mean, v in zip(self._means, self._variables, strict=True)
        ]

    def arrays(self) -> Arrays:
        """The averages by the variable's path."""
        if self._decay == 0:
            return read_variables(self._variables)
        return {v.path: ops.convert_to_numpy(m) for v, m in zip(self._variables, self._means, strict=True)}

    def restore(self, arrays: Arrays) -> None:
        """Continue from averages that ``arrays`` gave."""
        self._means = [ops.convert_to_tensor(arrays[v.path]) for v in self._variables]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model has the averaged variables inside, and its own again afterwards."""
        own = read_variables(self._variables)
        write_variables(self._variables, self.arrays())
        try:
            yield
        finally:
            write_variables(self._variables, own)


def averaged_network(config: TrainConfig, checkpoint: Checkpoint) -> keras.Model:
    """The run's network in float32 with the weights it gives, without the heads that only training uses.

    Raises:
        CheckpointError: if the checkpoint belongs to another network.
    """
    keras.config.set_dtype_policy("float32")
    network = build_network(config.network, config.dropout)
    write_variables(averageable(network), checkpoint.result)
    return network
