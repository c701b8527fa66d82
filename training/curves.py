"""Curves of a run as a picture: ``python -m training.curves --run runs/first``."""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path
from typing import Final

CURVES_FILE: Final = "curves.png"


def read_history(path: Path) -> dict[str, list[float]]:
    """The columns of a run's ``history.csv``, one value per epoch; NaN where an older run did not measure one.

    Raises:
        ValueError: if the file is missing or has no epoch.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist; name the folder of a run that has finished an epoch.")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError(f"{path} has no epoch yet.")
    return {name: [float(row[name] or "nan") for row in rows] for name in rows[0]}


def draw(history: dict[str, list[float]], out: Path) -> None:
    """Draw loss and accuracy of training and held-out faces, and the learning rate, over the epochs into a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    losses, accuracies, rates = figure.subplots(1, 3)
    epochs = history["epoch"]
    stages = history.get("stage", [])
    tuned_from = next(
        (epoch for epoch, old, new in zip(epochs[1:], stages, stages[1:], strict=False) if old != new), None
    )
    losses.plot(epochs, history["train_loss"], label="training (augmented, all heads)")
    losses.plot(epochs, history["held_out_loss"], label="held out (averaged weights)")
    losses.set(title="Cross-entropy", xlabel="epoch")
    losses.legend(frameon=False)
    if "train_accuracy" in history:
        accuracies.plot(epochs, [100 * share for share in history["train_accuracy"]], label="training (augmented)")
    accuracies.plot(epochs, [100 * share for share in history["held_out_accuracy"]], label="held out")
    accuracies.set(title="Accuracy, %", xlabel="epoch")
    accuracies.legend(frameon=False)
    rates.plot(epochs, history["learning_rate"])
    rates.set(title="Learning rate", xlabel="epoch")
    for axes in (losses, accuracies, rates):
        axes.grid(alpha=0.3)
        if tuned_from is not None:
            # From here on the last blocks of the body learn with the top.
            axes.axvline(tuned_from - 0.5, color="grey", linestyle=":")
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(out, dpi=90)


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m training.curves", description="Draw the curves of a run.")
    parser.add_argument("--run", type=Path, required=True, help="folder with history.csv: a run, or a model")
    parser.add_argument("--out", type=Path, help="PNG to write (default: curves.png in that folder)")
    arguments = parser.parse_args(argv)
    out = arguments.out or arguments.run / CURVES_FILE
    try:
        draw(read_history(arguments.run / "history.csv"), out)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
