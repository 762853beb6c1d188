"""The threshold at which a wanted precision is reached, from scores of which some were judged.

The judged pairs need not be a fair sample of all: people see those near the threshold first. So the share of same
pairs is estimated score by score, by isotonic regression, and weighted by how many pairs have those scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Normal quantile of two-sided 95 % intervals.
_Z = 1.959964


@dataclass(frozen=True, slots=True)
class Step:
    """What a threshold would bring.

    Attributes:
        threshold: pairs of this score or more would join.
        pairs: how many of all those are.
        judged: how many of them people judged.
        different: how many of the judged ones are not the same.
        precision: estimated share of same pairs among those that join.
        low: lower end of its 95 % interval (Wilson, at the effective number of judged pairs).
        high: upper end.
        recall: estimated share of all same pairs that join.
    """

    threshold: float
    pairs: int
    judged: int
    different: int
    precision: float
    low: float
    high: float
    recall: float


def wilson(share: float, count: float) -> tuple[float, float]:
    """Return the 95 % interval of a share seen in `count` trials (Wilson 1927); (0, 1) without any."""
    if count <= 0:
        return 0.0, 1.0
    z2 = _Z * _Z
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = _Z * float(np.sqrt(share * (1 - share) / count + z2 / (4 * count * count))) / (1 + z2 / count)
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))


def isotonic(scores: Floats, same: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return the blocks of the non-decreasing fit of `same` to `scores`: their least scores, ascending, and shares.

    Pool adjacent violators (Ayer et al. 1955); equal scores share a block.
    """
    starts, where = np.unique(scores, return_inverse=True)
    counts = np.bincount(where).astype(np.float64)
    sums = np.bincount(where, weights=same.astype(np.float64))
    blocks: list[tuple[float, float, float]] = []
    for start, count, total in zip(starts.tolist(), counts.tolist(), sums.tolist(), strict=True):
        block = (start, count, total)
        while blocks and blocks[-1][2] * block[1] >= block[2] * blocks[-1][1]:
            before = blocks.pop()
            block = (before[0], before[1] + block[1], before[2] + block[2])
        blocks.append(block)
    return np.array([block[0] for block in blocks]), np.array([block[2] / block[1] for block in blocks])


def threshold_steps(all_scores: Floats, judged_scores: Floats, same: NDArray[np.bool_]) -> list[Step]:
    """Return what each threshold that tells judged pairs apart would bring, from low to high.

    Args:
        all_scores: (n,) scores of all compared pairs.
        judged_scores: (m,) scores of those that people agree on, m at least 1.
        same: (m,) what they say.
    """
    starts, shares = isotonic(judged_scores, same)
    ordered = np.sort(all_scores)
    # A score below all that were judged is worth no more than the lowest block.
    block_of = np.maximum(np.searchsorted(starts, ordered, side="right") - 1, 0)
    expected = shares[block_of]
    total = float(expected.sum())
    steps = []
    for threshold in np.unique(judged_scores):
        joins, seen = ordered >= threshold, judged_scores >= threshold
        pairs, judged = int(joins.sum()), int(seen.sum())
        precision = float(expected[joins].mean()) if pairs else float(same[seen].mean())
        weights = np.bincount(block_of[joins], minlength=len(starts)).astype(np.float64)
        heard_of = np.maximum(np.searchsorted(starts, judged_scores[seen], side="right") - 1, 0)
        heard = np.bincount(heard_of, minlength=len(starts)).astype(np.float64)
        used = (weights > 0) & (heard > 0)
        effective = weights[used].sum() ** 2 / (weights[used] ** 2 / heard[used]).sum() if used.any() else float(judged)
        low, high = wilson(precision, float(effective))
        recall = float(expected[joins].sum()) / total if total else 0.0
        different = judged - int(same[seen].sum())
        steps.append(Step(float(threshold), pairs, judged, different, precision, low, high, recall))
    return steps


def choose_step(steps: list[Step], precision: float, *, surely: bool = False) -> Step | None:
    """Return the lowest threshold that reaches a precision, by its interval's lower end if `surely`; else None."""

    def reaches(step: Step) -> bool:
        return (step.low if surely else step.precision) >= precision

    chosen = None
    for step in reversed(steps):
        # A handful of pairs at the top may prove too little under `surely`: the first that reach it open the range.
        if reaches(step):
            chosen = step
        elif chosen is not None:
            break
    return chosen


def as_document(step: Step) -> dict[str, Any]:
    """Return a step for JSON."""
    return {name: getattr(step, name) for name in Step.__slots__}
