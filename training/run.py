"""The training loop of one run, around Keras's own step, with a checkpoint after each epoch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt
from keras import layers, ops

from training import metrics
from training.average import MovingAverage
from training.batches import FERPLUS_CLASSES, TrainingSet, epoch_batches, prefetch
from training.checkpoint import Arrays, Checkpoint, read_variables, write_variables
from training.config import TrainConfig
from training.data import DataError, Faces
from training.logs import EpochRecord, Watcher, write_history
from training.networks import build_network
from training.schedule import Schedule
from training.transfer import BODY, freeze_body, load_imagenet, unfreeze_blocks
from training.warm_start import SET_UP_FACES, warm_start

FERPLUS_HEAD: Final = "ferplus"
ACCURACY: Final = "accuracy"


def soft_cross_entropy(target: Any, logits: Any) -> Any:
    """Mean cross-entropy against soft targets; a row that sums to less than 1 counts for less."""
    log_probabilities = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    return -ops.mean(ops.sum(target * log_probabilities, axis=-1))


def with_ferplus_head(network: keras.Model) -> keras.Model:
    """The network with a second head for the FER+ votes on what its scoring layer sees; only training uses it."""
    scoring = [layer for layer in network.layers if layer.weights][-1]
    features = scoring.input
    if len(features.shape) == 4:
        features = layers.GlobalAveragePooling2D(name=f"{FERPLUS_HEAD}_pool")(features)
    votes = layers.Dense(FERPLUS_CLASSES, name=FERPLUS_HEAD)(features)
    return keras.Model(network.input, [network.output, votes], name=f"{network.name}_with_{FERPLUS_HEAD}")


def make_optimizer(config: TrainConfig, model: keras.Model) -> keras.optimizers.Optimizer:
    """SGD with Nesterov momentum, or Adam; with weight decay on kernels alone."""
    decay = config.weight_decay or None
    if config.optimizer == "adam":
        optimizer = keras.optimizers.Adam(learning_rate=config.learning_rate, weight_decay=decay, name="adam")
    else:
        optimizer = keras.optimizers.SGD(
            learning_rate=config.learning_rate,
            momentum=config.momentum,
            nesterov=True,
            weight_decay=decay,
            name="sgd",
        )
    optimizer.exclude_from_weight_decay(var_list=[v for v in model.trainable_variables if v.name != "kernel"])
    optimizer.build(model.trainable_variables)
    return optimizer


def predict_logits(
    network: keras.Model, pixels: npt.NDArray[np.uint8], batch_size: int = 256
) -> npt.NDArray[np.float32]:
    """``(N, 7)`` logits of the first head for ``(N, 48, 48)`` pixels."""
    parts = []
    for start in range(0, len(pixels), batch_size):
        faces = pixels[start : start + batch_size, :, :, None].astype(np.float32)
        outputs = network.predict_on_batch(faces)
        parts.append(np.asarray(outputs[0] if isinstance(outputs, list | tuple) else outputs, dtype=np.float32))
    return np.concatenate(parts)


class Run:
    """A training run and its folder."""

    def __init__(self, config: TrainConfig, folder: Path, train: TrainingSet, held_out: Faces) -> None:
        """Build and compile the network, with a second head where the training set has a second target.

        Raises:
            DataError: if there are too few faces for a single batch, or the configuration asks for two stages of a
                network that has no body from elsewhere.
        """
        if len(train) < config.batch_size:
            raise DataError(
                f"{len(train)} faces to learn from do not fill one batch of {config.batch_size}; lower --batch-size."
            )
        self.config = config
        self.folder = folder
        self.train_set = train
        self.held_out = held_out
        keras.utils.set_random_seed(config.seed)
        keras.config.set_dtype_policy(config.precision)
        network = build_network(config.network, config.dropout)
        self.network = network
        self.model = with_ferplus_head(network) if len(train.targets) > 1 else network
        if config.top_epochs > 0 and BODY not in {layer.name for layer in network.layers}:
            raise DataError(f"{config.network} has no top to train alone, only inception_v3 has; set top_epochs to 0.")
        self.schedule = Schedule(config, len(train) // config.batch_size)
        self.best: Arrays = {}
        self.stage = self._enter_stage(self.schedule.stage([]))
        self.average = MovingAverage(self.model, config.ema_decay)
        self.epoch = 0
        self.step = 0
        self.elapsed = 0.0
        self.history: list[EpochRecord] = []

    def _enter_stage(self, stage: int) -> int:
        """Let learn what learns in that stage, with an optimizer that knows nothing of the one before."""
        if self.config.top_epochs > 0:
            if stage == 1:
                freeze_body(self.network)
            else:
                unfreeze_blocks(self.network, self.config.unfrozen_blocks)
        self.optimizer = make_optimizer(self.config, self.model)
        heads = len(self.train_set.targets)
        accuracy = keras.metrics.CategoricalAccuracy(name=ACCURACY)
        self.model.compile(
            optimizer=self.optimizer,
            loss=[soft_cross_entropy] * heads,
            loss_weights=[1.0, self.config.ferplus_weight][:heads],
            metrics=[[accuracy], []][:heads],
        )
        return stage

    @property
    def losses(self) -> Sequence[float]:
        """The loss on the held-out faces after each epoch."""
        return [record["held_out_loss"] for record in self.history]

    @property
    def finished(self) -> bool:
        """Whether nothing is left to be done."""
        return self.schedule.finished(self.progress, self.losses)

    @property
    def progress(self) -> float:
        """Share of the run that is done."""
        return self.schedule.progress(self.step, self.elapsed)

    def load_imagenet(self) -> None:
        """Begin with what the network's body learnt on ImageNet.

        Raises:
            DataError: if the weights cannot be had, or the network has no such body.
        """
        load_imagenet(self.network)
        self.average = MovingAverage(self.model, self.config.ema_decay)

    def start_from(self, folder: Path) -> None:
        """Begin with the weights of a delivered model of the same design.

        Raises:
            DataError: if the folder is not one.
        """
        warm_start(self.network, folder, self.train_set.pixels[:SET_UP_FACES])
        self.average = MovingAverage(self.model, self.config.ema_decay)

    def resume(self) -> None:
        """Go on from the folder's checkpoint.

        Raises:
            CheckpointError: if there is none or it belongs to another network.
        """
        checkpoint = Checkpoint.load(self.folder)
        self.history = [EpochRecord(**record) for record in checkpoint.history]  # type: ignore[typeddict-item]  # JSON's keys are those we wrote
        # The stage of the last epoch, whose optimizer this is; the next epoch may begin another.
        self.stage = self._enter_stage(self.schedule.stage(self.losses[:-1]))
        write_variables(self.model.variables, checkpoint.variables)
        write_variables(self.optimizer.variables, checkpoint.optimizer)
        self.average.restore(checkpoint.averaged)
        self.epoch, self.step = checkpoint.epoch, checkpoint.step
        self.elapsed = checkpoint.elapsed_seconds
        self.best = checkpoint.best

    def run_epoch(self, watchers: Sequence[Watcher] = ()) -> EpochRecord:
        """Train for one epoch, or for what the budget leaves of it, and measure on the held-out faces."""
        began, before = time.monotonic(), self.elapsed
        behind = self.losses
        stage = self.schedule.stage(behind)
        if stage != self.stage:
            self.stage = self._enter_stage(stage)
        for watcher in watchers:
            watcher.epoch_begins(self.epoch + 1, self.schedule.steps_per_epoch)
        # On torch, dropout draws from the process's generator, which a resumed run would find in another state.
        keras.utils.set_random_seed(int(np.random.SeedSequence([self.config.seed, self.epoch]).generate_state(1)[0]))
        first_step = self.step

        def is_calm(batch: int) -> bool:
            return self.schedule.calm(self.schedule.progress(first_step + batch, self.elapsed))

        losses: list[float] = []
        hits: list[float] = []
        rate = 0.0
        for inputs, targets in prefetch(epoch_batches(self.train_set, self.config, self.epoch, is_calm)):
            rate = self.schedule.learning_rate(self.progress, behind)
            self.optimizer.learning_rate = rate
            result = self.model.train_on_batch(inputs, targets if len(targets) > 1 else targets[0], return_dict=True)
            losses.append(float(result["loss"]))
            hits.append(float(next(value for name, value in result.items() if name.endswith(ACCURACY))))
            for watcher in watchers:
                watcher.step_done(len(losses), float(np.mean(losses)), float(np.mean(hits)))
            self.step += 1
            self.average.update(self.step)
            self.elapsed = before + time.monotonic() - began
            if self.progress >= 1:
                break
        self.epoch += 1
        with self.average.applied():
            logits = predict_logits(self.model, self.held_out.pixels)
        loss = float(np.mean(losses))
        if not np.isfinite(loss):
            raise FloatingPointError(
                f"the loss became {loss} in epoch {self.epoch}; try a lower --learning-rate or float32 precision."
            )
        self.elapsed = before + time.monotonic() - began
        return EpochRecord(
            epoch=self.epoch,
            stage=stage,
            step=self.step,
            progress=round(self.progress, 5),
            learning_rate=rate,
            train_loss=loss,
            train_accuracy=float(np.mean(hits)),
            held_out_loss=metrics.negative_log_likelihood(logits, self.held_out.labels),
            held_out_accuracy=metrics.accuracy(logits, self.held_out.labels),
            seconds=round(self.elapsed - before, 2),
        )

    def save(self) -> None:
        """Checkpoint and log; the log is written from the checkpoint's history, so the two never disagree."""
        losses = self.losses
        if self.config.early_stop_patience is not None and losses[-1] < min(losses[:-1], default=float("inf")):
            self.best = self.average.arrays()
        Checkpoint(
            epoch=self.epoch,
            step=self.step,
            elapsed_seconds=self.elapsed,
            complete=self.finished,
            variables=read_variables(self.model.variables),
            averaged=self.average.arrays(),
            best=self.best,
            optimizer=read_variables(self.optimizer.variables),
            history=[dict(record) for record in self.history],  # type: ignore[arg-type]  # a TypedDict is a dict at run time
        ).save(self.folder)
        write_history(self.folder, self.history)

    def train(self, watchers: Sequence[Watcher] = ()) -> None:
        """Run to the end of the schedule, with a checkpoint after each epoch."""
        while not self.finished:
            record = self.run_epoch(watchers)
            self.history.append(record)
            self.save()
            for watcher in watchers:
                watcher.epoch_done(record)
