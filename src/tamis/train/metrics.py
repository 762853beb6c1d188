"""How good answers are: counts, rates, intervals and calibration, as pure functions over arrays.

`truth` and `predicted` are class indices, int64 (n,); a class without samples in `truth` has no say in macro averages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

#: Bins of the expected calibration error, as in Guo et al. 2017.
CALIBRATION_BINS = 15


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and its 95 % confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Precision, recall and F1 of each class, float64 (classes,), and `support`, its samples in the truth."""

    precision: FloatArray
    recall: FloatArray
    f1: FloatArray
    support: IntArray


def confusion_matrix(truth: IntArray, predicted: IntArray, classes: int) -> IntArray:
    """Return counts, int64 (classes, classes): row is the truth, column the prediction."""
    counts = np.bincount(truth * classes + predicted, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.int64)


def class_scores(confusion: NDArray[np.number]) -> ClassScores:
    """Return the scores of each class; a rate over nothing is 0."""
    hits = np.diag(confusion).astype(np.float64)
    support, answered = confusion.sum(axis=1), confusion.sum(axis=0)
    return ClassScores(
        precision=_ratio(hits, answered),
        recall=_ratio(hits, support),
        f1=_ratio(2 * hits, support + answered),
        support=support.astype(np.int64),
    )


def accuracy(confusion: NDArray[np.number]) -> float:
    """Share of right answers; 0 over nothing."""
    total = float(confusion.sum())
    return float(np.trace(confusion)) / total if total else 0.0


def macro_f1(confusion: NDArray[np.number]) -> float:
    """Mean F1 of the classes that occur in the truth; 0 over nothing."""
    scores = class_scores(confusion)
    present = scores.support > 0
    return float(scores.f1[present].mean()) if present.any() else 0.0


def majority_confusion(truth: IntArray, majority: int, classes: int) -> IntArray:
    """Return the confusion matrix of always answering `majority`."""
    return confusion_matrix(truth, np.full_like(truth, majority), classes)


def bootstrap_intervals(
    truth: IntArray,
    predicted: IntArray,
    groups: IntArray,
    classes: int,
    metrics: Mapping[str, Callable[[NDArray[np.number]], float]],
    *,
    rounds: int = 1000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return percentile bootstrap intervals of metrics of the confusion matrix.

    Whole groups are drawn (the cluster bootstrap, Field and Welsh 2007), since pictures of one seller or item are
    no independent evidence. `groups` is int64 (n,) from 0.
    """
    codes = truth * classes + predicted
    whole = confusion_matrix(truth, predicted, classes)
    group_count = int(groups.max()) + 1 if len(groups) else 0
    generator = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {name: [] for name in metrics}
    for _ in range(rounds if group_count else 0):
        times = np.bincount(generator.integers(0, group_count, group_count), minlength=group_count)
        counts = np.bincount(codes, weights=times[groups], minlength=classes * classes).reshape(classes, classes)
        for name, metric in metrics.items():
            drawn[name].append(metric(counts))
    result = {}
    for name, metric in metrics.items():
        low, high = np.quantile(drawn[name], (0.025, 0.975)) if drawn[name] else (0.0, 0.0)
        result[name] = Interval(metric(whole), float(low), float(high))
    return result


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> FloatArray:
    """Return probabilities, float64 (n, classes)."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    exponentials = np.exp(scaled)
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), np.float64)


def negative_log_likelihood(logits: NDArray[np.floating], truth: IntArray, temperature: float = 1.0) -> float:
    """Mean of -log p(truth)."""
    probabilities = softmax(logits, temperature)[np.arange(len(truth)), truth]
    return float(-np.log(np.maximum(probabilities, 1e-300)).mean())


def fit_temperature(logits: NDArray[np.floating], truth: IntArray) -> float:
    """Return the temperature that makes the probabilities of held-out samples most likely (Guo et al. 2017).

    The likelihood has one optimum in log temperature; golden-section search finds it between 1/20 and 20. Without
    samples, or where all of them are right (the optimum lies at the bound), it is 1.
    """
    if not len(truth) or bool((logits.argmax(axis=1) == truth).all()):
        return 1.0
    low, high, golden = -np.log(20.0), np.log(20.0), (np.sqrt(5.0) - 1) / 2
    for _ in range(40):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if negative_log_likelihood(logits, truth, np.exp(left)) < negative_log_likelihood(logits, truth, np.exp(right)):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


def calibration_curve(
    probabilities: FloatArray, truth: IntArray, bins: int = CALIBRATION_BINS
) -> list[tuple[float, float, int]]:
    """Return (mean confidence, accuracy, samples) of each bin of confidence that holds samples."""
    confidence, hits = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    places = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    curve = []
    for place in range(bins):
        inside = places == place
        if inside.any():
            curve.append((float(confidence[inside].mean()), float(hits[inside].mean()), int(inside.sum())))
    return curve


def expected_calibration_error(probabilities: FloatArray, truth: IntArray, bins: int = CALIBRATION_BINS) -> float:
    """Mean gap between confidence and accuracy over equal bins of confidence (Naeini et al. 2015); 0 over nothing."""
    curve = calibration_curve(probabilities, truth, bins)
    total = sum(count for _, _, count in curve)
    return sum(abs(confidence - right) * count for confidence, right, count in curve) / total if total else 0.0


def _ratio(above: NDArray[np.number], below: NDArray[np.number]) -> FloatArray:
    rates = np.zeros(len(above), np.float64)
    np.divide(above, below, out=rates, where=below > 0)
    return rates
