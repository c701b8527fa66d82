"""How many faces a second each network learns from, on each Keras backend that is installed, and what augmenting takes.

python -m bench.training NETWORK      faces a second of one network on the backend of KERAS_BACKEND
python -m bench.training augment      faces a second of augmentation alone, in one thread
"""

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.results import Result, against

NETWORKS = ("slim_resnet", "mini_xception", "simple_cnn")
BACKENDS = ("torch", "jax", "tensorflow")
WARM_UP_STEPS = 3
SECONDS = 6.0


def rate(step: Callable[[], int]) -> float:
    """Faces a second of a step that says how many it did."""
    for _ in range(WARM_UP_STEPS):
        step()
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        done += step()
    return done / (time.perf_counter() - began)


def augmenting() -> float:
    """Faces a second that are augmented and blended, as a run of our own does it."""
    from training.augment import augment, mixup
    from training.config import TrainConfig

    config = TrainConfig()
    random = np.random.default_rng(0)
    faces = random.integers(0, 256, (config.batch_size, 48, 48), np.uint8)
    targets = [np.full((config.batch_size, 7), 1 / 7, np.float32)]

    def step() -> int:
        mixup(augment(faces, config.augment, random)[..., None], targets, config.mixup_alpha, random)
        return len(faces)

    return rate(step)


def learning(network: str) -> float:
    """Faces a second that ``network`` learns from, without augmentation."""
    from training.batches import TrainingSet, soft_labels
    from training.config import TrainConfig
    from training.data import Faces
    from training.run import Run

    config = replace(TrainConfig(), network=network)
    random = np.random.default_rng(0)
    count = config.batch_size
    pixels = random.integers(0, 256, (count, 48, 48), np.uint8)
    labels = random.integers(0, 7, count)
    train = TrainingSet(pixels, (soft_labels(labels, config.label_smoothing),))
    run = Run(config, Path(), train, Faces(pixels, labels, np.full(count, "Training"), np.arange(count)))
    inputs = pixels[..., None].astype(np.float32)

    def step() -> int:
        run.model.train_on_batch(inputs, train.targets[0])
        run.step += 1
        run.average.update(run.step)
        return count

    return rate(step)


def _alone(what: str, backend: str) -> float:
    output = subprocess.run(
        [sys.executable, "-m", "bench.training", what],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
    ).stdout
    return float(output.strip().splitlines()[-1])


def run() -> list[Result]:
    """Each network on each backend, beside TensorFlow in the same run, and augmentation beside the fastest of them."""
    present = [name for name in BACKENDS if importlib.util.find_spec(name) is not None]
    results: list[Result] = []
    fastest = 0.0
    for network in NETWORKS:
        rates = {backend: _alone(network, backend) for backend in present}
        fastest = max(fastest, *rates.values())
        for backend, value in rates.items():
            results.append(
                against(
                    f"training: {network} on {backend}",
                    value,
                    rates.get("tensorflow", 0.0),
                    "faces/s",
                    "batches of 128, float32, with averaging; baseline: TensorFlow",
                )
            )
    results.append(
        against(
            "training: augmentation alone",
            _alone("augment", present[0]),
            fastest,
            "faces/s",
            "one thread; baseline: the fastest training above; below 1 it would hold the training up",
        )
    )
    return results


if __name__ == "__main__":
    print(augmenting() if sys.argv[1] == "augment" else learning(sys.argv[1]))
