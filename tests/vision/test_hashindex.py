"""The Hamming search against brute force, on random and on skewed signatures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tamis.vision import hashindex
from tamis.vision.hashindex import HashIndex, Pairs, near_distinct, near_pairs

SIGNATURES = st.integers(-(2**63), 2**63 - 1)
#: Few bits vary, so that near and equal signatures are frequent.
CROWDED = st.lists(st.integers(0, 2**7 - 1).map(lambda bits: bits * 0x0204_0810_2040_81 % 2**62), max_size=60)


def array(values: list[int]) -> NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


def brute_force(first: NDArray[np.int64], second: NDArray[np.int64], radius: int) -> dict[tuple[int, int], int]:
    distance = np.bitwise_count(first.view(np.uint64)[:, None] ^ second.view(np.uint64)[None, :])
    return {(int(i), int(j)): int(distance[i, j]) for i, j in zip(*np.nonzero(distance <= radius), strict=True)}


def as_dict(pairs: Pairs) -> dict[tuple[int, int], int]:
    keys = list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    assert keys == sorted(set(keys)), "sorted, and each pair once"
    return dict(zip(keys, pairs.distance.tolist(), strict=True))


WAYS = ("compared", "scanned", "banded")


def force_bands(patch: pytest.MonkeyPatch) -> None:
    """Make bands look cheaper than a scan, and begin with too little room for what is found."""
    for name, value in (("_SORT_COST", 0), ("_BUCKET_COST", 0), ("_BUFFER", 1), ("_FEW", -1)):
        patch.setattr(hashindex, name, value)


@given(st.one_of(CROWDED, st.lists(SIGNATURES, max_size=40)), st.integers(0, 12), st.sampled_from(WAYS))
@settings(max_examples=150, deadline=None)
def test_all_pairs_are_those_of_brute_force(values: list[int], radius: int, way: str) -> None:
    hashes = array(values)
    expected = {pair: far for pair, far in brute_force(hashes, hashes, radius).items() if pair[0] < pair[1]}
    with pytest.MonkeyPatch.context() as patch:
        if way != "compared":
            patch.setattr(hashindex, "_FEW", -1)
        if way == "banded":
            force_bands(patch)
        assert as_dict(near_pairs(hashes, radius, threads=2)) == expected


@given(st.lists(SIGNATURES, max_size=40), st.integers(0, 64))
@settings(max_examples=40, deadline=None)
def test_any_radius_is_answered(values: list[int], radius: int) -> None:
    hashes = array(values)
    expected = {pair: far for pair, far in brute_force(hashes, hashes, radius).items() if pair[0] < pair[1]}
    assert as_dict(near_pairs(hashes, radius)) == expected


@given(CROWDED, st.integers(0, 6))
@settings(max_examples=60, deadline=None)
def test_distinct_pairs_say_the_same_without_repeating_it(values: list[int], radius: int) -> None:
    found = near_distinct(array(values), radius)
    assert found.values[found.inverse].tolist() == values
    assert len(set(found.values.tolist())) == len(found.values)
    near = as_dict(found.pairs)
    whole = as_dict(near_pairs(array(values), radius))
    for (first, second), distance in whole.items():
        groups = sorted((int(found.inverse[first]), int(found.inverse[second])))
        assert distance == (0 if groups[0] == groups[1] else near[groups[0], groups[1]])
    sizes = np.bincount(found.inverse)
    assert len(whole) == sum(sizes[a] * sizes[b] for a, b in near) + (sizes * (sizes - 1) // 2).sum()


@pytest.mark.parametrize("radius", [0, 1, 3, 8, 12])
def test_planted_neighbours_are_found_among_many(radius: int) -> None:
    random = np.random.default_rng(radius)
    hashes = random.integers(-(2**63), 2**63 - 1, 60_000, dtype=np.int64)
    for position in range(500):
        flips = random.choice(64, random.integers(0, radius + 3), replace=False)
        hashes[-1 - position] = hashes[position] ^ np.int64(
            sum(1 << int(bit) for bit in flips) - (1 << 64) * (63 in flips)
        )
    found = as_dict(near_pairs(hashes, radius, threads=2))
    scanned = as_dict(HashIndex(hashes).query(hashes[:500], radius))
    expected = {(query, entry): far for (query, entry), far in scanned.items() if query < entry}
    assert expected == {pair: far for pair, far in found.items() if pair[0] < 500}
    assert len(expected) > 100


def test_a_crowd_of_equal_signatures_costs_its_pairs_alone() -> None:
    hashes = np.concatenate((np.full(300, -5, dtype=np.int64), array([-5 ^ 1, -5 ^ 3, 77])))
    found = as_dict(near_pairs(hashes, 2))
    assert len(found) == 300 * 299 // 2 + 2 * 300 + 1
    assert found[(0, 1)] == 0
    assert found[(5, 300)] == 1
    assert found[(300, 301)] == 1


@given(st.lists(CROWDED, min_size=1, max_size=5), CROWDED, st.integers(0, 12))
@settings(max_examples=60, deadline=None)
def test_the_growing_index_answers_like_brute_force(batches: list[list[int]], queries: list[int], radius: int) -> None:
    index = HashIndex()
    for batch in batches:
        index.add(array(batch))
    known = array([value for batch in batches for value in batch])
    assert len(index) == len(known)
    assert as_dict(index.query(array(queries), radius)) == brute_force(array(queries), known, radius)


@given(st.lists(CROWDED, min_size=2, max_size=6), CROWDED, st.integers(0, 12))
@settings(max_examples=60, deadline=None)
def test_an_index_that_sorts_itself_answers_the_same(batches: list[list[int]], queries: list[int], radius: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        force_bands(patch)
        patch.setattr(hashindex, "_WORTH_BANDS", 1)
        index, known = HashIndex(), array([])
        for batch in batches:
            index.add(array(batch))
            known = np.concatenate((known, array(batch)))
            for _ in range(2):
                assert as_dict(index.query(array(queries), radius)) == brute_force(array(queries), known, radius)


def test_many_queries_take_the_banded_way_to_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(4)
    known = random.integers(-(2**20), 2**20, 3000, dtype=np.int64)
    queries = random.integers(-(2**20), 2**20, 200, dtype=np.int64)
    scanned = as_dict(HashIndex(known).query(queries, 4))
    force_bands(monkeypatch)
    assert as_dict(HashIndex(known).query(queries, 4, threads=2)) == scanned
    assert len(scanned) > 100


def test_a_wrong_radius_is_refused() -> None:
    with pytest.raises(ValueError, match="radius 65"):
        near_pairs(array([1, 2]), 65)
