"""Figures of merit, in NumPy alone, since training needs them too.

``logits`` are ``(N, C)``, ``labels`` ``(N,)`` class numbers; shares lie in 0..1.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Labels = npt.NDArray[np.int64]


def accuracy(scores: Floats, labels: Labels) -> float:
    """Share of rows whose highest score is at their label."""
    return float((scores.argmax(axis=1) == labels).mean())


def negative_log_likelihood(logits: Floats, labels: Labels, temperature: float = 1.0) -> float:
    """Mean negative log-likelihood, in nats."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    log_totals = np.log(np.exp(scaled).sum(axis=1))
    return float((log_totals - scaled[np.arange(len(labels)), labels]).mean())


def brier(probabilities: Floats, labels: Labels) -> float:
    """Mean squared distance between the probabilities and the one-hot labels, 0 to 2 (Brier 1950)."""
    target = np.eye(probabilities.shape[1])[labels]
    return float(((probabilities - target) ** 2).sum(axis=1).mean())


def wilson_interval(successes: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson 1927); 95% unless ``z`` says otherwise.

    Raises:
        ValueError: unless ``0 <= successes <= count`` and ``count > 0``.
    """
    if not (count > 0 and 0 <= successes <= count):
        raise ValueError(f"an interval needs 0 <= successes <= count and a count above 0, not {successes} of {count}.")
    share = successes / count
    centre = share + z * z / (2 * count)
    spread = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def confusion_matrix(predicted: Labels, labels: Labels, classes: int) -> npt.NDArray[np.int64]:
    """``(C, C)`` counts; the row is the label, the column what was predicted."""
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def recalls(confusion: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """``(C,)`` share of each class that was found; NaN for a class without rows."""
    totals = confusion.sum(axis=1)
    found: npt.NDArray[np.float64] = np.full(len(totals), np.nan)
    np.divide(np.diag(confusion), totals, out=found, where=totals > 0)
    return found


def macro_f1(confusion: npt.NDArray[np.int64]) -> float:
    """Unweighted mean of each class's F1; a class that neither occurs nor is predicted is left out."""
    hits = np.diag(confusion).astype(np.float64)
    sizes = confusion.sum(axis=1) + confusion.sum(axis=0)
    used = sizes > 0
    return float((2 * hits[used] / sizes[used]).mean())


def reliability(
    probabilities: Floats, labels: Labels, bins: int = 15
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """The reliability curve over equally wide bins of confidence (DeGroot & Fienberg 1983).

    Returns:
        ``(bins,)`` mean confidence and ``(bins,)`` accuracy, NaN where a bin is empty, and ``(bins,)`` counts.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    which = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    counts = np.bincount(which, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = np.bincount(which, weights=confidence, minlength=bins) / counts
        shares = np.bincount(which, weights=correct, minlength=bins) / counts
    return means, shares, counts


def expected_calibration_error(probabilities: Floats, labels: Labels, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over equally wide bins (Guo et al. 2017, arXiv:1706.04599)."""
    confidence, share, counts = reliability(probabilities, labels, bins)
    return float((np.nan_to_num(np.abs(confidence - share)) * counts).sum() / len(labels))


def accuracy_by_coverage(probabilities: Floats, labels: Labels) -> npt.NDArray[np.float64]:
    """``(N,)`` accuracy over the 1, 2, ... N most confident rows: one minus the risk-coverage curve.

    (El-Yaniv & Wiener 2010, JMLR 11:1605.) Rows of the same confidence keep their order.
    """
    order = np.argsort(-probabilities.max(axis=1), kind="stable")
    correct = (probabilities.argmax(axis=1) == labels)[order]
    shares: npt.NDArray[np.float64] = np.cumsum(correct) / np.arange(1, len(labels) + 1)
    return shares


def accuracy_at_coverage(probabilities: Floats, labels: Labels, coverage: float) -> float:
    """Accuracy over the most confident share of the rows, when the rest is answered with "not sure"."""
    kept = max(1, round(coverage * len(labels)))
    return float(accuracy_by_coverage(probabilities, labels)[kept - 1])


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided exact p-value that two models are equally often right on the same rows (McNemar 1947).

    Args:
        only_first: rows that the first model alone has right.
        only_second: rows that the second model alone has right.

    Raises:
        ValueError: if a count is negative.
    """
    if min(only_first, only_second) < 0:
        raise ValueError(f"McNemar's test needs counts of 0 or more, not {only_first} and {only_second}.")
    total, least = only_first + only_second, min(only_first, only_second)
    # Whole numbers, since the powers of two of some thousand rows leave a float's range.
    tail = term = 1
    for count in range(least):
        term = term * (total - count) // (count + 1)
        tail += term
    return float(min(1.0, 2 * tail / 2**total))


def fit_temperature(logits: Floats, labels: Labels) -> float:
    """The temperature that makes the labels most likely (Guo et al. 2017, arXiv:1706.04599), between 0.1 and 10.

    The likelihood has a single optimum over the inverse temperature, so a golden-section search finds it.
    """
    ratio = (math.sqrt(5) - 1) / 2
    low, high = math.log(0.1), math.log(10)

    def loss(log_temperature: float) -> float:
        return negative_log_likelihood(logits, labels, math.exp(log_temperature))

    while high - low > 1e-4:
        inner_low, inner_high = high - ratio * (high - low), low + ratio * (high - low)
        if loss(inner_low) < loss(inner_high):
            high = inner_high
        else:
            low = inner_low
    return math.exp((low + high) / 2)
