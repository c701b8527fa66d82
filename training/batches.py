"""Batches for training, made beside it in a thread.

All randomness of a batch follows from the seed, the epoch and the batch's number, so that a resumed run sees the
batches it would have seen, and no generator's state needs to be stored.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from training.augment import FloatArray, augment, mixup
from training.config import TrainConfig
from training.data import NUM_CLASSES

# Contempt is FER+'s own eighth class; it stays in, since the votes only shape what the backbone learns.
FERPLUS_CLASSES: Final = 8

T = TypeVar("T")


def soft_labels(labels: npt.NDArray[np.int64], smoothing: float) -> FloatArray:
    """``(N, 7)`` targets with label smoothing (Szegedy et al. 2015, arXiv:1512.00567)."""
    targets = np.full((len(labels), NUM_CLASSES), smoothing / NUM_CLASSES, np.float32)
    targets[np.arange(len(labels)), labels] += 1 - smoothing
    return targets


def ferplus_targets(votes: FloatArray) -> FloatArray:
    """``(N, 8)`` shares of the FER+ votes for an emotion, in FER+'s order.

    Votes for "unknown" and "not a face" are left out of the shares, so a row that sums to less than 1 weighs less in
    the loss, and one that nobody took for a face weighs nothing.
    """
    shares: FloatArray = votes[:, :FERPLUS_CLASSES] / np.maximum(votes.sum(axis=1, keepdims=True), np.float32(1))
    return shares


@dataclass(frozen=True)
class TrainingSet:
    """What is learnt from: ``(N, 48, 48)`` uint8 pixels and the targets of each head, ``(N, C)``."""

    pixels: npt.NDArray[np.uint8]
    targets: tuple[FloatArray, ...]

    def __len__(self) -> int:
        return len(self.pixels)


def epoch_batches(
    data: TrainingSet, config: TrainConfig, epoch: int, is_calm: Callable[[int], bool]
) -> Iterator[tuple[FloatArray, list[FloatArray]]]:
    """The batches of one epoch: ``(B, 48, 48, 1)`` pixels and one ``(B, C)`` target per head.

    Args:
        data: what is learnt from; the remainder that fills no batch is left out and differs from epoch to epoch.
        config: batch size, augmentation, mixup and seed.
        epoch: number of the epoch, from 0.
        is_calm: whether blending and hiding are over at the given batch of the epoch.
    """
    order = np.random.default_rng([config.seed, epoch]).permutation(len(data))
    for number in range(len(data) // config.batch_size):
        random = np.random.default_rng([config.seed, epoch, number])
        rows = order[number * config.batch_size : (number + 1) * config.batch_size]
        calm = is_calm(number)
        faces = augment(data.pixels[rows], config.augment, random, erasing=not calm)
        targets = [target[rows] for target in data.targets]
        yield mixup(faces[..., None], targets, 0.0 if calm else config.mixup_alpha, random)


def prefetch(items: Iterator[T], depth: int = 4) -> Generator[T, None, None]:
    """The same items, made ahead of time by a thread; an error of the maker is raised here."""
    ready: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: T | None, error: BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                ready.put((item, error), timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def make() -> None:
        try:
            for item in items:
                if not put(item, None):
                    return
            put(None, StopIteration())
        except BaseException as error:  # handed over, not swallowed: the consumer raises it
            put(None, error)

    maker = threading.Thread(target=make, name="batches", daemon=True)
    maker.start()
    try:
        while True:
            item, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            assert item is not None
            yield item
    finally:
        stopped.set()
        maker.join()
