"""Thresholds for a wanted precision: what they keep is right as often as asked, and promises are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tamis.errors import UserError
from tamis.vision.card import AttributeHead, ModelCard, file_sha256
from tamis.vision.preprocess import Preprocessing
from tamis.vision.triage import (
    HeldOut,
    Scores,
    clopper_pearson_low,
    cuts,
    design_effect,
    incomplete_beta,
    promise,
    read_held_out,
    triage,
    write_held_out,
)

JUDGED = st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.integers(0, 9)), min_size=1, max_size=60)


def scores_of(rows: list[tuple[float, bool, int]]) -> Scores:
    values, wanted, groups = zip(*rows, strict=True)
    return Scores(np.array(values, float), np.array(wanted, bool), np.array(groups, np.int64))


def drawn(groups: int, seed: int, alike: float) -> Scores:
    """Calibrated probabilities of groups of four; `alike` is the share of groups whose samples err together."""
    generator = np.random.default_rng(seed)
    same = generator.random((groups, 1)) < alike
    values = np.where(same, generator.beta(0.4, 0.6, (groups, 1)), generator.beta(0.4, 0.6, (groups, 4)))
    luck = np.where(same, generator.random((groups, 1)), generator.random((groups, 4)))
    return Scores(values.ravel(), (luck < values).ravel(), np.repeat(np.arange(groups), 4))


@pytest.mark.parametrize(
    ("first", "second", "x", "expected"),
    [(2, 3, 0.4, 0.5248), (0.5, 0.5, 0.25, 1 / 3), (1, 7, 0.1, 1 - 0.9**7), (50, 1, 0.9, 0.9**50), (3, 2, 1.0, 1.0)],
)
def test_incomplete_beta_has_its_known_values(first: float, second: float, x: float, expected: float) -> None:
    assert incomplete_beta(first, second, x) == pytest.approx(expected, abs=1e-10)


@given(st.integers(1, 300))
def test_the_bound_of_a_faultless_count_is_the_root_of_the_level(count: int) -> None:
    assert clopper_pearson_low(count, count) == pytest.approx(0.05 ** (1 / count), abs=1e-9)


@given(st.integers(1, 100), st.data())
def test_the_bound_rises_with_hits_and_stays_below_the_share(count: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, count))
    low = clopper_pearson_low(hits, count)
    assert 0 <= low <= hits / count
    assert low <= clopper_pearson_low(min(count, hits + 1), count)


@given(JUDGED)
def test_no_design_effect_is_below_one_and_lone_samples_have_none(rows: list[tuple[float, bool, int]]) -> None:
    scores = scores_of(rows)
    assert design_effect(scores.wanted, scores.groups) >= 1
    alone = np.arange(len(rows), dtype=np.int64)
    share = scores.wanted.mean()
    expected = len(rows) / (len(rows) - 1) if len(rows) > 1 and share not in (0, 1) else 1.0
    assert design_effect(scores.wanted, alone) == pytest.approx(expected)


def test_samples_that_err_together_promise_less() -> None:
    right = np.tile([True] * 9 + [False], 10)
    together, apart = np.sort(right), right
    groups = np.repeat(np.arange(10), 10)
    assert design_effect(together, groups) > 5
    assert design_effect(apart, groups) < 2
    assert promise(together, groups) < promise(apart, groups) < 0.9


@given(JUDGED, st.floats(0.5, 0.99), st.booleans())
@example([(0.0, True, 0), (1.0, True, 0), (0.25, False, 0)], 0.5, False)  # what is kept begins amid what is rejected
def test_what_is_kept_reaches_the_precision_and_nothing_is_kept_and_rejected(
    rows: list[tuple[float, bool, int]], precision: float, surely: bool
) -> None:
    scores = scores_of(rows)
    found = triage(scores, precision, surely=surely)
    kept, rejected = scores.values >= found.keep_from, scores.values < found.reject_below
    assert not (kept & rejected & (found.keep is not None)).any()
    if found.keep is not None:
        assert scores.wanted[kept].mean() >= precision
        assert found.keep.kept == kept.sum()
        assert found.promise <= scores.wanted[kept].mean()
        assert not surely or found.supported
    if rejected.any():
        assert (~scores.wanted[rejected]).mean() >= precision - 1e-9
        assert found.lost <= 1 - precision + 1e-9
    assert found.needed >= 1
    assert (found.needed == 1) >= found.supported


@given(JUDGED)
def test_cuts_run_from_strict_to_lenient_and_end_with_all(rows: list[tuple[float, bool, int]]) -> None:
    scores = scores_of(rows)
    found = cuts(scores)
    assert [cut.kept for cut in found] == sorted({int((scores.values >= value).sum()) for value in scores.values})
    assert all(cut.precision <= cut.right / cut.kept + 1e-12 for cut in found)
    assert found[-1].recall == (1 if scores.wanted.any() else 0)


@pytest.mark.parametrize("alike", [0.0, 0.5])
def test_promises_hold_as_often_as_they_say(alike: float) -> None:
    """For a threshold fixed beforehand the truth lies above the bound in 95 of 100 worlds, or more."""
    truth = drawn(20_000, 0, alike)
    true_share = truth.from_(0.8)[0].mean()
    broken = sum(promise(*drawn(40, seed, alike).from_(0.8)) > true_share for seed in range(1, 301))
    assert broken <= 0.05 * 300 + 2.33 * (0.05 * 0.95 * 300) ** 0.5  # one in a hundred runs would exceed it by chance


def test_few_labels_cannot_support_much_and_say_how_many_would() -> None:
    values = np.concatenate([np.full(40, 0.995), np.full(60, 0.01)])
    scores = Scores(values, values > 0.5, np.arange(100) // 4)
    found = triage(scores, 0.97)
    assert found.keep is not None
    assert found.keep.kept == 40
    assert found.promise < 0.97
    assert not found.supported
    assert 2 < found.needed < 10
    assert found.reject_below == pytest.approx((0.995 + 0.01) / 2)
    assert triage(scores, 0.97, surely=True).keep is None
    assert triage(scores, 0.85, surely=True).supported


def test_held_out_answers_survive_their_file_and_sum_what_is_wanted(tmp_path: Path) -> None:
    shares = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]])
    one = HeldOut(("front", "quarter", "rear"), shares, np.array([0, 2]), np.array([0, 1]))
    path = write_held_out(tmp_path, {"view": one}, "2 folds")
    head = AttributeHead("choice", one.classes)
    card = ModelCard("m", "none", {"view": head}, Preprocessing(16), {}, {}, {path.name: file_sha256(path)})
    card.write(tmp_path)
    back = read_held_out(tmp_path)["view"]
    scores = back.scores(["front", "quarter"])
    np.testing.assert_allclose(scores.values, [0.9, 0.7])
    assert scores.wanted.tolist() == [True, False]
    for keep in ([], ["front", "quarter", "rear"], ["side"]):
        with pytest.raises(UserError, match="front, quarter, rear"):
            back.scores(keep)
    ModelCard("m", "none", {"view": head}, Preprocessing(16), {}).write(tmp_path)
    with pytest.raises(UserError, match="train it anew"):
        read_held_out(tmp_path)
