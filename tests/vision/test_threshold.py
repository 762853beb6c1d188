"""The fit of a threshold to judged scores: intervals, isotonic blocks, weights, and the choice."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.vision.threshold import choose_step, isotonic, threshold_steps, wilson

JUDGED = st.lists(st.tuples(st.integers(0, 20).map(lambda one: one / 20), st.booleans()), min_size=1, max_size=40)


def test_wilson_agrees_with_the_published_example() -> None:
    # Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662, 15 of 148 gives 0.0624 to 0.1605, 0 of 20 0 to 0.1611.
    for hits, count, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        assert wilson(hits / count, count) == pytest.approx((low, high), abs=1e-4)
    assert wilson(1.0, 0) == (0.0, 1.0)


@given(JUDGED)
def test_the_fit_never_falls_and_keeps_the_mean(judged: list[tuple[float, bool]]) -> None:
    scores, same = np.array([one for one, _ in judged]), np.array([two for _, two in judged])
    starts, shares = isotonic(scores, same)
    assert (np.diff(shares) > 0).all()
    assert (np.diff(starts) > 0).all()
    fitted = shares[np.searchsorted(starts, scores, side="right") - 1]
    assert fitted.mean() == pytest.approx(same.mean())
    # The greatest convex minorant: what is fitted from any score on is no less than what was judged there.
    for start in np.unique(scores):
        assert fitted[scores >= start].sum() >= same[scores >= start].sum() - 1e-9


@given(JUDGED, st.lists(st.floats(0, 1), max_size=30), st.floats(0.1, 1.0))
def test_higher_thresholds_are_more_precise_and_find_less(
    judged: list[tuple[float, bool]], others: list[float], wanted: float
) -> None:
    scores, same = np.array([one for one, _ in judged]), np.array([two for _, two in judged])
    steps = threshold_steps(np.array([*scores.tolist(), *others]), scores, same)
    for before, after in pairwise(steps):
        assert after.threshold > before.threshold
        assert after.precision >= before.precision - 1e-9
        assert after.recall <= before.recall + 1e-9
    for step in steps:
        assert step.low <= step.precision <= step.high
    chosen = choose_step(steps, wanted)
    reaching = [step for step in steps if step.precision >= wanted]
    assert chosen == (reaching[0] if reaching else None)
    if (surely := choose_step(steps, wanted, surely=True)) is not None:
        assert chosen is not None
        assert surely.threshold >= chosen.threshold


def test_what_people_looked_at_most_does_not_weigh_most() -> None:
    # A thousand certain pairs of which ten were judged, and forty doubtful ones which were all judged.
    certain, doubtful = np.full(1000, 0.9), np.full(40, 0.5)
    scores = np.concatenate([certain[:10], doubtful])
    same = np.array([True] * 10 + [True, False] * 20)
    low, high = threshold_steps(np.concatenate([certain, doubtful]), scores, same)
    assert low.precision == pytest.approx(1020 / 1040)
    assert (low.judged, low.different, low.pairs) == (50, 20, 1040)
    assert high.precision == 1.0
    assert high.low == pytest.approx(wilson(1.0, 10)[0])
    assert choose_step([low, high], 0.98) is low
    assert choose_step([low, high], 0.99) is high
    assert choose_step([low, high], 0.99, surely=True) is None
