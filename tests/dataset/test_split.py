"""Splits: whole groups, the shares asked for, the same everywhere, and no old group moved."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.dataset.manifest import Split
from tamis.dataset.split import SMALL_STRATUM, assign_splits, components, position
from tamis.errors import UserError


def assign(groups: dict[str, str], seed: int = 0, previous: dict[str, Split] | None = None) -> dict[str, Split]:
    return assign_splits(groups, validation=0.15, test=0.2, seed=seed, previous=previous)


def strata(size: int = 60) -> st.SearchStrategy[dict[str, str]]:
    keys = st.text("abcdef0123456789", min_size=4, max_size=8)
    return st.dictionaries(keys, st.sampled_from(["red", "blue", "rare", ""]), max_size=size)


@given(strata(), st.integers(0, 5))
def test_every_group_has_one_split_whatever_the_order(groups: dict[str, str], seed: int) -> None:
    backwards = dict(reversed(groups.items()))
    splits = assign(groups, seed=seed)
    assert splits.keys() == groups.keys()
    assert splits == assign(backwards, seed=seed)


@given(strata())
def test_shares_hold_in_every_stratum_that_is_not_small(groups: dict[str, str]) -> None:
    splits = assign(groups)
    for stratum, amount in Counter(groups.values()).items():
        if amount < SMALL_STRATUM:
            continue
        inside = Counter(splits[key] for key, name in groups.items() if name == stratum)
        assert abs(inside["test"] - 0.2 * amount) <= max(0.5, 0.02 * amount)
        assert abs(inside["validation"] - 0.15 * amount) <= max(0.5, 0.015 * amount)
        assert inside["train"] > amount / 2


@given(strata(40), strata(40), st.integers(0, 3))
def test_what_was_split_before_stays(first: dict[str, str], second: dict[str, str], seed: int) -> None:
    old = assign(first, seed=seed)
    new = assign(first | second, seed=seed, previous=old)
    assert {key: new[key] for key in old} == old


@given(strata(), st.integers(0, 3))
def test_splitting_again_changes_nothing(groups: dict[str, str], seed: int) -> None:
    once = assign(groups, seed=seed)
    assert assign(groups, seed=seed, previous=once) == once


def test_most_groups_stay_even_without_memory() -> None:
    before = {f"item {number}": "car" for number in range(400)}
    after = before | {f"new {number}": "car" for number in range(200)}
    old, new = assign(before), assign(after)
    assert sum(old[key] != new[key] for key in old) <= 0.03 * len(old)


def test_another_seed_gives_another_split() -> None:
    groups = {f"item {number}": "" for number in range(50)}
    assert assign(groups, seed=1) != assign(groups, seed=2)


def test_shares_of_zero_leave_all_for_training() -> None:
    splits = assign_splits({f"item {n}": "" for n in range(20)}, validation=0, test=0)
    assert set(splits.values()) == {"train"}


def test_shares_must_leave_something_to_train_on() -> None:
    with pytest.raises(UserError, match="leave nothing to train on"):
        assign_splits({"a": ""}, validation=0.5, test=0.5)


def test_position_is_fixed() -> None:
    assert position("item", 0) == pytest.approx(position("item", 0))
    assert 0 <= position("item", 0) < 1
    assert position("item", 0) != position("item", 1)


@given(st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=4), max_size=20))
def test_components_are_those_of_repeated_merging(sets: list[list[int]]) -> None:
    nodes = range(31)
    expected = [{node} for node in nodes]
    for members in sets:
        joined = set().union(*(group for group in expected if group & set(members)))
        expected = [group for group in expected if not group & joined] + [joined]
    found = components(nodes, sets)
    assert {frozenset(group) for group in found.values()} == {frozenset(group) for group in expected}
    assert all(node in found[node] for node in nodes)
