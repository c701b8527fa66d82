"""How far to go from where a run began: ``python -m training.shares --run runs/NAME``.

Prints for some shares of the way (``training.export --share``) how many of the run's held-out faces are read rightly as
they are, under noise, and blurred, and their loss as they are, which tells close shares apart better than a count of
so few faces does. No test row is looked at, so the share may be chosen by it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

import keras
import numpy as np
import numpy.typing as npt

from training import metrics
from training.average import averaged_network
from training.blend import blend
from training.checkpoint import Checkpoint
from training.commands import ended
from training.config import TrainConfig
from training.data import DataError, Faces
from training.networks import build_network
from training.robustness import Pictures, blur, noise
from training.run import predict_logits
from training.run_folder import read_run
from training.warm_start import SET_UP_FACES, warm_start

SHARES: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
# Over which a blended network's normalisations are set up.
_STATISTICS_FACES: Final = 4096
_NOISE: Final = 16
_BLUR: Final = 1.2


def network_at(config: TrainConfig, checkpoint: Checkpoint, share: float, learnt: Pictures) -> keras.Model:
    """The network that lies ``share`` of the way from the model that the run started from to what the run gave.

    Args:
        config, checkpoint: the run.
        share: 0 is the model that it started from, 1 what it gave.
        learnt: ``(N, 48, 48)`` faces that the run learnt from, for the normalisations' statistics.

    Raises:
        DataError: if the run did not start from a model, or that model is gone.
        CheckpointError: if the checkpoint belongs to another network.
        ValueError: if the share is out of range.
    """
    network = averaged_network(config, checkpoint)
    if share == 1:
        return network
    if config.start_from is None:
        raise DataError("the run did not start from a model (--start-from), so there is nothing to blend with.")
    start = build_network(config.network, config.dropout)
    warm_start(start, Path(config.start_from), learnt[:SET_UP_FACES])
    if share == 0:
        return start
    blend(network, start, share, learnt[:_STATISTICS_FACES])
    return network


def scores(network: keras.Model, faces: Faces) -> tuple[float, float, float, float]:
    """The share of the faces that is read rightly as they are, under noise, and blurred; then the loss as they are.

    The loss is the mean cross-entropy in nats at the temperature that is best for these faces.
    """
    clean = predict_logits(network, faces.pixels)

    def under(change: npt.NDArray[np.uint8]) -> float:
        return metrics.accuracy(predict_logits(network, change), faces.labels)

    loss = metrics.negative_log_likelihood(clean, faces.labels, metrics.fit_temperature(clean, faces.labels))
    noisy, blurred = under(noise(faces.pixels, _NOISE)), under(blur(faces.pixels, _BLUR))
    return metrics.accuracy(clean, faces.labels), noisy, blurred, loss


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m training.shares", description=(__doc__ or "").split(":")[0])
    parser.add_argument("--run", type=Path, required=True, help="folder of a run that started from a model")
    parser.add_argument(
        "--share", type=float, action="append", help=f"may be given again (default {', '.join(map(str, SHARES))})"
    )
    arguments = parser.parse_args(argv)

    def work() -> int:
        run = read_run(arguments.run)
        print(
            f"| share | {len(run.held_out)} held-out faces | noise of {_NOISE} grey levels | blur of sigma {_BLUR} "
            "| loss |"
        )
        print("| --- | --- | --- | --- | --- |")
        for share in arguments.share or SHARES:
            network = network_at(run.config, run.checkpoint, share, run.learnt)
            clean, noisy, blurred, loss = scores(network, run.held_out)
            row = (f"{share:g}", *(f"{100 * one:.1f}" for one in (clean, noisy, blurred)), f"{loss:.4f}")
            print(f"| {' | '.join(row)} |", flush=True)
        return 0

    return ended(work)


if __name__ == "__main__":
    sys.exit(main())
