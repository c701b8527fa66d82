"""Curves of a run as a picture: ``python -m training.curves --run runs/first``."""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path
from typing import Final

from shared.paths import unusable
from training.commands import ended

CURVES_FILE: Final = "curves.png"
_DRAWN: Final = {"epoch", "train_loss", "held_out_loss", "held_out_accuracy", "learning_rate"}


def read_history(path: Path) -> dict[str, list[float]]:
    """The columns of a run's ``history.csv``, one value per epoch; NaN where an older run did not measure one.

    Raises:
        ValueError: if the file is missing, is another one, or has no epoch.
    """
    if not path.is_file():
        raise ValueError(f"{path} is not a file; name the folder of a run that has finished an epoch.")
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        history = {name: [float(row[name] or "nan") for row in rows] for name in (rows[0] if rows else ())}
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise ValueError(unusable(path, error, "expected the table of a run; go on with it (--resume).")) from error
    if not history:
        raise ValueError(f"{path} has no epoch yet; the run has to finish one first.")
    missing = _DRAWN - set(history)
    if missing:
        raise ValueError(f"{path} has no column {', '.join(sorted(missing))}; expected the table of a run.")
    return history


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

    def work() -> int:
        draw(read_history(arguments.run / "history.csv"), out)
        print(out)
        return 0

    return ended(work)


if __name__ == "__main__":
    sys.exit(main())
