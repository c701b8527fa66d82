"""Whole configurations by name: the paper's three trainings, and the project's own two.

What the paper says (section V): 80% of the faces to learn from and 20% to validate, batches of 32, rotation by up to 10
degrees, shift by up to 0.1 of the side, zoom by up to 0.1, mirror images, and a training that stops "when there is no
more improvement in terms of accuracy and reduction of loss". It does not give the optimiser or the patience; its
trainings ran the program that it names as its base (``train_emotion_classifier.py`` of oarriaga/face_classification),
so what is missing is taken from there: Adam at its usual 0.001, early stop after 50 epochs, a tenth of the learning
rate after 12, both by the validation loss, and the weights with the lowest one as the result.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from training.augment import AugmentConfig
from training.config import TrainConfig

PAPER_AUGMENTATION: Final = AugmentConfig(
    scale=(0.9, 1.1),
    scale_sides_apart=True,
    shift=0.1,
    rotation=10.0,
    flip=0.5,
    gain=(1.0, 1.0),
    bias=0.0,
    blur=0.0,
    noise=0.0,
    erase=0.0,
)

_PAPER: Final = TrainConfig(
    network="simple_cnn",
    dropout=0.5,
    # The base program allows 10,000; the early stop ends it long before, in the paper after some 120.
    epochs=1000,
    early_stop_patience=50,
    batch_size=32,
    optimizer="adam",
    schedule="plateau",
    plateau_patience=12,
    plateau_factor=0.1,
    learning_rate=1e-3,
    weight_decay=0.0,
    label_smoothing=0.0,
    mixup_alpha=0.0,
    calm_fraction=0.0,
    ema_decay=0.0,
    held_out_fraction=0.2,
    augment=PAPER_AUGMENTATION,
)

# A net of some 60,000 parameters has nothing to spare: what keeps a larger one from learning by heart only hides the
# faces from it. What the product meets (boxes that jump, small faces, dim rooms) stays, weaker.
_SMALL_AUGMENTATION: Final = AugmentConfig(
    scale=(0.88, 1.14),
    aspect=0.05,
    shift=0.08,
    rotation=10.0,
    gain=(0.8, 1.2),
    bias=20.0,
    blur=0.15,
    blur_sigma=(0.3, 1.2),
    noise=0.15,
    noise_sigma=(0.0, 12.0),
    erase=0.0,
)

PRESETS: Final[dict[str, TrainConfig]] = {
    "edge": TrainConfig(),
    "edge-small": TrainConfig(
        network="mini_xception",
        dropout=0.0,
        weight_decay=1e-3,
        label_smoothing=0.0,
        mixup_alpha=0.0,
        ferplus_weight=0.25,
        augment=_SMALL_AUGMENTATION,
    ),
    "paper-simple-cnn": _PAPER,
    # "The accuracy after running 100 epochs"; the network has no dropout.
    "paper-mini-xception": replace(_PAPER, network="mini_xception", dropout=0.0, epochs=100),
    # Of this training the paper gives the two stages only; the lengths and the lower second rate are Keras's advice
    # for unfreezing the same two blocks.
    "paper-inception-v3": replace(
        _PAPER, network="inception_v3", dropout=0.0, weights="imagenet", epochs=100, top_epochs=20
    ),
}
