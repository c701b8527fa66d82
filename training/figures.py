"""The figures of a model, from its logits alone: what ``evaluate`` reports and the exporter writes into the preset.

``logits`` are ``(N, 7)`` and ``labels`` ``(N,)``, both in FER2013's class order; shares lie in 0..1, rounded to four
places.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from shared.emotions import EMOTIONS
from shared.vision import softmax
from training import metrics
from training.data import NUM_CLASSES, DataError, ferplus_majority

Logits = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

COVERAGES: Final = (0.9, 0.8, 0.7)
_CURVE_COVERAGES: Final = tuple(step / 20 for step in range(1, 21))


def _share(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)


def share_with_interval(hits: int, count: int) -> dict[str, Any]:
    """``accuracy`` and its 95% interval over ``faces``."""
    low, high = metrics.wilson_interval(hits, count)
    return {"faces": count, "accuracy": round(hits / count, 4), "accuracy_95": [round(low, 4), round(high, 4)]}


def figures(logits: Logits, labels: Labels, temperature: float) -> dict[str, Any]:
    """All single figures that follow from logits and labels."""
    predicted = logits.argmax(axis=1)
    confusion = metrics.confusion_matrix(predicted, labels, NUM_CLASSES)
    raw, calibrated = softmax(logits), softmax(logits, temperature)
    return {
        **share_with_interval(int((predicted == labels).sum()), len(labels)),
        "macro_f1": round(metrics.macro_f1(confusion), 4),
        "recall": {name: _share(share) for name, share in zip(EMOTIONS, metrics.recalls(confusion), strict=True)},
        "confusion": confusion.tolist(),
        "nll": round(metrics.negative_log_likelihood(logits, labels, temperature), 4),
        "brier": round(metrics.brier(calibrated, labels), 4),
        "ece_15_before_temperature": round(metrics.expected_calibration_error(raw, labels), 4),
        "ece_15": round(metrics.expected_calibration_error(calibrated, labels), 4),
        "temperature": round(temperature, 4),
        "accuracy_at_coverage": {
            f"{coverage:.1f}": round(metrics.accuracy_at_coverage(calibrated, labels, coverage), 4)
            for coverage in COVERAGES
        },
    }


def curves(logits: Logits, labels: Labels, temperature: float) -> dict[str, Any]:
    """The reliability curve before and after the temperature, and the risk-coverage curve after it."""
    calibrated = softmax(logits, temperature)
    by_coverage = metrics.accuracy_by_coverage(calibrated, labels)
    kept = [max(1, round(coverage * len(labels))) for coverage in _CURVE_COVERAGES]
    return {
        "reliability_before_temperature": _reliability(softmax(logits), labels),
        "reliability": _reliability(calibrated, labels),
        "risk_coverage": {
            "coverage": list(_CURVE_COVERAGES),
            "risk": [round(1 - float(by_coverage[count - 1]), 4) for count in kept],
        },
    }


def _reliability(probabilities: npt.NDArray[np.float64], labels: Labels) -> dict[str, list[Any]]:
    confidence, share, counts = metrics.reliability(probabilities, labels)
    return {
        "confidence": [_share(value) for value in confidence],
        "accuracy": [_share(value) for value in share],
        "faces": counts.tolist(),
    }


def ferplus_figures(logits: Logits, votes: npt.NDArray[np.float32]) -> dict[str, Any]:
    """Agreement with the FER+ majority.

    Rows whose most frequent vote is shared by two, or is contempt, "unknown" or "not a face", are left out.

    Raises:
        DataError: if no row is left.
    """
    majority = ferplus_majority(votes)
    usable = majority >= 0
    if not usable.any():
        raise DataError("none of these faces has a FER+ majority for one of the seven emotions.")
    labels = majority[usable]
    return share_with_interval(int((logits[usable].argmax(axis=1) == labels).sum()), len(labels))


def group_figures(
    logits: Logits, labels: Labels, groups: Mapping[str, npt.NDArray[np.str_]]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Accuracy with its interval, macro-F1 and recalls in each group of each column.

    Rows without a label in a column are the group "not given": that they were not labelled may not be by chance.
    """
    predicted = logits.argmax(axis=1)
    table: dict[str, dict[str, dict[str, Any]]] = {}
    for column, values in groups.items():
        table[column] = {}
        for value in sorted(set(values.tolist())):
            rows = values == value
            confusion = metrics.confusion_matrix(predicted[rows], labels[rows], NUM_CLASSES)
            table[column][value or "not given"] = {
                **share_with_interval(int(np.diag(confusion).sum()), int(rows.sum())),
                "macro_f1": round(metrics.macro_f1(confusion), 4),
                "recall": {n: _share(s) for n, s in zip(EMOTIONS, metrics.recalls(confusion), strict=True)},
            }
    return table


def comparison(logits: Logits, other_logits: Logits, labels: Labels) -> dict[str, Any]:
    """A second model on the same rows, and McNemar's test of the two.

    Two intervals that overlap say little, since both models see the same faces; the faces that only one of them has
    right decide.
    """
    right, other_right = logits.argmax(axis=1) == labels, other_logits.argmax(axis=1) == labels
    only_this, only_other = int((right & ~other_right).sum()), int((other_right & ~right).sum())
    return {
        **share_with_interval(int(other_right.sum()), len(labels)),
        "only_this_right": only_this,
        "only_other_right": only_other,
        "mcnemar_p": float(f"{metrics.mcnemar(only_this, only_other):.2g}"),
    }
