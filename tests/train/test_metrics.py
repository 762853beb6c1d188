"""The metric functions against hand-computed values and laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.train import metrics

TRUTH = np.array([0, 0, 0, 1, 1, 2], np.int64)
PREDICTED = np.array([0, 0, 1, 1, 2, 2], np.int64)


def test_confusion_matrix_counts_truth_by_row_and_prediction_by_column() -> None:
    confusion = metrics.confusion_matrix(TRUTH, PREDICTED, 4)
    assert confusion.tolist() == [[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]]


def test_scores_are_those_computed_by_hand() -> None:
    scores = metrics.class_scores(metrics.confusion_matrix(TRUTH, PREDICTED, 4))
    assert scores.precision.tolist() == pytest.approx([1.0, 0.5, 0.5, 0.0])
    assert scores.recall.tolist() == pytest.approx([2 / 3, 0.5, 1.0, 0.0])
    assert scores.f1.tolist() == pytest.approx([0.8, 0.5, 2 / 3, 0.0])
    assert scores.support.tolist() == [3, 2, 1, 0]


def test_macro_f1_leaves_out_classes_that_the_truth_lacks() -> None:
    assert metrics.macro_f1(metrics.confusion_matrix(TRUTH, PREDICTED, 4)) == pytest.approx((0.8 + 0.5 + 2 / 3) / 3)
    assert metrics.macro_f1(np.zeros((3, 3), np.int64)) == 0.0


def test_accuracy_is_the_share_on_the_diagonal() -> None:
    assert metrics.accuracy(metrics.confusion_matrix(TRUTH, PREDICTED, 4)) == pytest.approx(4 / 6)
    assert metrics.accuracy(np.zeros((2, 2), np.int64)) == 0.0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60))
def test_scores_agree_with_their_definitions_sample_by_sample(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = (np.array(values, np.int64) for values in zip(*pairs, strict=True))
    scores = metrics.class_scores(metrics.confusion_matrix(truth, predicted, 4))
    for label in range(4):
        hits = sum(a == b == label for a, b in pairs)
        answered, there = sum(b == label for _, b in pairs), sum(a == label for a, _ in pairs)
        assert scores.precision[label] == pytest.approx(hits / answered if answered else 0)
        assert scores.recall[label] == pytest.approx(hits / there if there else 0)
        assert scores.f1[label] == pytest.approx(2 * hits / (answered + there) if answered + there else 0)


def test_bootstrap_draws_whole_groups() -> None:
    """Twenty samples of two sellers are two pieces of evidence: the interval is wider than from twenty sellers."""
    truth = np.zeros(20, np.int64)
    predicted = np.repeat(np.array([0, 1], np.int64), 10)
    alone = np.arange(20, dtype=np.int64)
    measured = {"accuracy": metrics.accuracy}
    apart = metrics.bootstrap_intervals(truth, predicted, alone, 2, measured)["accuracy"]
    together = metrics.bootstrap_intervals(truth, predicted, alone // 10, 2, measured)["accuracy"]
    assert (together.value, together.low, together.high) == (0.5, 0.0, 1.0)
    assert apart.value == 0.5
    assert 0.2 < apart.low < 0.4
    assert 0.6 < apart.high < 0.8


def test_bootstrap_is_repeatable_and_survives_nothing() -> None:
    measured = {"f1": metrics.macro_f1}
    groups = np.arange(6, dtype=np.int64)
    first = metrics.bootstrap_intervals(TRUTH, PREDICTED, groups, 3, measured, seed=3)
    assert first == metrics.bootstrap_intervals(TRUTH, PREDICTED, groups, 3, measured, seed=3)
    nothing = np.zeros(0, np.int64)
    assert metrics.bootstrap_intervals(nothing, nothing, nothing, 3, measured)["f1"] == metrics.Interval(0, 0, 0)


@pytest.mark.parametrize("true_temperature", [0.5, 2.0, 5.0])
def test_fitted_temperature_recovers_the_one_that_made_the_labels(true_temperature: float) -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 4, (20_000, 3))
    probabilities = metrics.softmax(logits, true_temperature)
    truth = (probabilities.cumsum(axis=1) < generator.random((20_000, 1))).sum(axis=1).astype(np.int64)
    assert metrics.fit_temperature(logits, truth) == pytest.approx(true_temperature, rel=0.05)
    fitted = metrics.softmax(logits, metrics.fit_temperature(logits, truth))
    assert metrics.expected_calibration_error(fitted, truth) < 0.02
    assert metrics.expected_calibration_error(metrics.softmax(logits), truth) > 0.03


def test_temperature_stays_one_where_it_cannot_be_told() -> None:
    logits = np.array([[3.0, 0.0], [0.0, 3.0]])
    assert metrics.fit_temperature(logits, np.array([0, 1], np.int64)) == 1.0
    assert metrics.fit_temperature(np.zeros((0, 2)), np.zeros(0, np.int64)) == 1.0


def test_calibration_error_of_certain_answers_is_their_error_rate() -> None:
    probabilities = np.array([[1.0, 0.0]] * 10)
    truth = np.array([0] * 7 + [1] * 3, np.int64)
    assert metrics.expected_calibration_error(probabilities, truth) == pytest.approx(0.3)
    ((confidence, right, count),) = metrics.calibration_curve(probabilities, truth)
    assert (confidence, count) == (1.0, 10)
    assert right == pytest.approx(0.7)
    assert metrics.expected_calibration_error(np.zeros((0, 2)), np.zeros(0, np.int64)) == 0.0
