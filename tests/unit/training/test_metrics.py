"""Figures of merit, against values known from elsewhere and invariants."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training import metrics


def test_wilson_as_in_the_literature() -> None:
    # Newcombe 1998, Statistics in Medicine 17:857, table I: 81 of 263 gives 0.2553 to 0.3662.
    low, high = metrics.wilson_interval(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


@given(data=st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_share(data: tuple[int, int]) -> None:
    hits, count = data
    low, high = metrics.wilson_interval(hits, count)
    assert 0 <= low <= hits / count <= high <= 1 or np.isclose([low, high], hits / count).any()


def test_an_interval_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        metrics.wilson_interval(0, 0)


def test_confusion_recall_and_f1_by_hand() -> None:
    labels, predicted = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 1, 0])
    confusion = metrics.confusion_matrix(predicted, labels, 4)
    assert confusion[:3, :3].tolist() == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]
    recalls = metrics.recalls(confusion)
    assert recalls[:3].tolist() == pytest.approx([2 / 3, 1, 0])
    assert np.isnan(recalls[3])
    assert metrics.macro_f1(confusion) == pytest.approx((2 / 3 + 0.8 + 0) / 3)


def test_calibration_error_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1]] * 10)
    labels = np.array([0] * 6 + [1] * 4)
    assert metrics.expected_calibration_error(probabilities, labels) == pytest.approx(0.3)
    assert metrics.brier(np.eye(3)[[0, 1]], np.array([0, 1])) == 0


def test_confident_faces_come_first() -> None:
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.55, 0.45], [0.2, 0.8]])
    labels = np.array([0, 1, 1, 1])
    assert metrics.accuracy_at_coverage(probabilities, labels, 0.5) == 1
    assert metrics.accuracy_at_coverage(probabilities, labels, 1.0) == 0.5


@settings(max_examples=10, deadline=None)
@given(temperature=st.floats(0.3, 4), seed=st.integers(0, 1000))
def test_the_temperature_that_was_hidden_is_found(temperature: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1.5, (20_000, 5))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (shares.cumsum(axis=1) > random.random((len(shares), 1))).argmax(axis=1)
    found = metrics.fit_temperature(logits * temperature, labels)
    assert found == pytest.approx(temperature, rel=0.08)
    assert metrics.negative_log_likelihood(logits * temperature, labels, found) <= (
        metrics.negative_log_likelihood(logits * temperature, labels) + 1e-9
    )


def scores_and_labels(seed: int, count: int) -> tuple[metrics.Floats, metrics.Labels]:
    random = np.random.default_rng(seed)
    return random.dirichlet(np.ones(7), count), random.integers(0, 7, count)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 300), bins=st.integers(1, 20))
def test_the_reliability_curve_holds_every_face_once(seed: int, count: int, bins: int) -> None:
    probabilities, labels = scores_and_labels(seed, count)
    confidence, share, counts = metrics.reliability(probabilities, labels, bins)
    filled = counts > 0
    assert counts.sum() == count
    assert np.dot(np.nan_to_num(share), counts) / count == pytest.approx(metrics.accuracy(probabilities, labels))
    edges = np.flatnonzero(filled) / bins
    assert ((confidence[filled] >= edges - 1e-9) & (confidence[filled] <= edges + 1 / bins + 1e-9)).all()
    error = metrics.expected_calibration_error(probabilities, labels, bins)
    # Coarser bins let errors cancel, down to the gap of the means.
    gap = abs(float(probabilities.max(axis=1).mean()) - metrics.accuracy(probabilities, labels))
    assert gap - 1e-9 <= error <= 1


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 300))
def test_the_risk_coverage_curve_ends_at_the_accuracy(seed: int, count: int) -> None:
    probabilities, labels = scores_and_labels(seed, count)
    curve = metrics.accuracy_by_coverage(probabilities, labels)
    assert curve[-1] == pytest.approx(metrics.accuracy(probabilities, labels))
    assert set(np.rint(np.diff(np.concatenate([[0], curve * np.arange(1, count + 1)]))).tolist()) <= {0.0, 1.0}


def test_mcnemar_as_in_the_literature() -> None:
    # The exact binomial test of 5 against 15 discordant pairs, e.g. R's binom.test(5, 20): 0.04139.
    assert metrics.mcnemar(5, 15) == pytest.approx(0.041389, abs=1e-6)
    assert metrics.mcnemar(0, 0) == 1
    with pytest.raises(ValueError, match="0 or more"):
        metrics.mcnemar(-1, 2)


@settings(deadline=None)
@given(one=st.integers(0, 1500), other=st.integers(0, 1500))
def test_mcnemar_is_a_probability_whoever_comes_first(one: int, other: int) -> None:
    p = metrics.mcnemar(one, other)
    assert 0 <= p <= 1
    assert p == metrics.mcnemar(other, one)
    assert metrics.mcnemar(one + 1, other) <= p or one < other
