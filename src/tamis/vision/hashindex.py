"""Pairs of 64-bit signatures that differ in few bits, without comparing all with all.

Multi-index hashing (M. Norouzi, A. Punjani, D. Fleet, "Fast search in Hamming space with multi-index hashing",
CVPR 2012): signatures are cut into four bands of 16 bits; two that differ in few bits differ in very few within some
band, so only signatures in the same or a neighbouring bucket of a band are compared.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from typing import Any, NamedTuple

import numba
import numpy as np
from numba.extending import intrinsic
from numpy.typing import NDArray

from tamis.vision.signatures import as_unsigned

_BANDS = 4
_BAND_BITS = 16
_BUCKETS = 1 << _BAND_BITS
#: Comparisons that one plain scan may take: about a second. Below this it is as fast as an index, and simpler.
_SCAN_LIMIT = 1_000_000_000
_BUCKETS_PER_TURN = 64


class Pairs(NamedTuple):
    """Pairs of positions with the Hamming distance between their signatures; three arrays of one length, int64."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    distance: NDArray[np.int64]


def near_pairs(hashes: NDArray[np.int64], radius: int, threads: int | None = None) -> Pairs:
    """Return all pairs (first < second) of positions whose signatures differ in at most `radius` bits, sorted.

    `hashes` holds signed 64-bit signatures, shape (n,). Equal ones are collapsed before the search and expanded in
    the result, so that a thousand copies of one picture cost no more than their pairs. `threads` is by default the
    number of cores.

    Raises:
        ValueError: the radius is not within 0 to 64.
    """
    if not 0 <= radius <= 64:
        raise ValueError(f"radius {radius} is not within 0 to 64")
    unique, inverse = np.unique(as_unsigned(hashes), return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    starts = np.concatenate(([0], np.cumsum(np.bincount(inverse, minlength=len(unique)))))
    if len(unique) * len(unique) <= 2 * _SCAN_LIMIT:
        near = _scan_all(unique, unique, radius, within=True)
    else:
        near = _join(unique, radius, threads or os.cpu_count() or 1)
    return _sorted(_expand(near, order, starts))


class HashIndex:
    """Signatures that grow in number, searched for those near to one or a few new ones."""

    def __init__(self, hashes: NDArray[np.int64] | None = None) -> None:
        """Start from signed 64-bit signatures, shape (n,), in the order in which positions shall count them."""
        given = np.zeros(0, dtype=np.int64) if hashes is None else hashes
        self._hashes = as_unsigned(given).copy()
        self._length = len(self._hashes)

    def __len__(self) -> int:
        return self._length

    def add(self, hashes: NDArray[np.int64]) -> None:
        """Append signatures; their positions follow those already there."""
        needed = self._length + len(hashes)
        if needed > len(self._hashes):
            grown = np.empty(max(needed, 2 * len(self._hashes)), dtype=np.uint64)
            grown[: self._length] = self._hashes[: self._length]
            self._hashes = grown
        self._hashes[self._length : needed] = as_unsigned(hashes)
        self._length = needed

    def query(self, hashes: NDArray[np.int64], radius: int) -> Pairs:
        """Return pairs (position in `hashes`, position in the index) within `radius` bits, sorted.

        Few queries are a scan of the whole index, which takes under a millisecond a million; many go through the
        banded search of `near_pairs`.
        """
        queries, known = as_unsigned(hashes), self._hashes[: self._length]
        if len(queries) * len(known) <= _SCAN_LIMIT:
            return _sorted(_scan_all(queries, known, radius, within=False))
        both = near_pairs(np.concatenate((queries, known)).view(np.int64), radius)
        crossing = (both.first < len(queries)) & (both.second >= len(queries))
        return Pairs(both.first[crossing], both.second[crossing] - len(queries), both.distance[crossing])


def _sorted(pairs: Pairs) -> Pairs:
    order = np.lexsort((pairs.second, pairs.first))
    return Pairs(pairs.first[order], pairs.second[order], pairs.distance[order])


def _expand(near: Pairs, order: NDArray[np.int64], starts: NDArray[np.int64]) -> Pairs:
    """Turn pairs of distinct signatures into pairs of positions; `order[starts[u]:starts[u + 1]]` holds those of u."""
    sizes = np.diff(starts)
    repeats = sizes[near.first] * sizes[near.second]
    source = np.repeat(np.arange(len(near.first)), repeats)
    offset = np.arange(len(source)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    across = sizes[near.second][source]
    first = order[starts[near.first][source] + offset // np.maximum(across, 1)]
    second = order[starts[near.second][source] + offset % np.maximum(across, 1)]
    equal = [np.array(list(combinations(order[starts[u] : starts[u + 1]], 2))) for u in np.nonzero(sizes > 1)[0]]
    twins = np.concatenate(equal) if equal else np.zeros((0, 2), dtype=np.int64)
    return Pairs(
        np.concatenate((np.minimum(first, second), twins.min(axis=1, initial=np.iinfo(np.int64).max))),
        np.concatenate((np.maximum(first, second), twins.max(axis=1, initial=-1))),
        np.concatenate((near.distance[source], np.zeros(len(twins), dtype=np.int64))),
    )


def _scan_all(queries: NDArray[np.uint64], known: NDArray[np.uint64], radius: int, *, within: bool) -> Pairs:
    capacity = 4096
    while True:
        found = np.empty((capacity, 2), dtype=np.int64)
        count = _scan(queries, known, radius, within, found)
        if count <= capacity:
            break
        capacity = count
    found = found[:count]
    distance = np.bitwise_count(queries[found[:, 0]] ^ known[found[:, 1]]).astype(np.int64)
    return Pairs(found[:, 0], found[:, 1], distance)


def _join(unique: NDArray[np.uint64], radius: int, threads: int) -> Pairs:
    """Search distinct signatures band by band, the buckets of a band dealt out to threads."""
    radii = _band_radii(radius)
    parts = []
    with ThreadPoolExecutor(threads) as pool:
        for band, band_radius in enumerate(radii.tolist()):
            if band_radius < 0:
                continue
            starts, hashes, order = _sort_by_band(unique, np.uint64(band * _BAND_BITS))
            masks = _masks(band_radius)
            jobs = [
                pool.submit(_join_share, (starts, hashes, masks, radii), (radius, band, share, threads))
                for share in range(threads)
            ]
            parts += [order[job.result()] for job in jobs]
    found = np.concatenate(parts)
    distance = np.bitwise_count(unique[found[:, 0]] ^ unique[found[:, 1]]).astype(np.int64)
    return Pairs(found.min(axis=1), found.max(axis=1), distance)


_Buckets = tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]


def _join_share(buckets: _Buckets, search: tuple[int, int, int, int]) -> NDArray[np.int64]:
    capacity = max(4096, len(buckets[1]) // 2)
    while True:
        found = np.empty((capacity, 2), dtype=np.int64)
        count = _join_buckets(*buckets, search, found)
        if count <= capacity:
            return found[:count]
        capacity = count


def _band_radii(radius: int) -> NDArray[np.int64]:
    """Least radius to search in each band so that no pair is missed; -1 where a band need not be searched.

    If a pair differed in more than this in every band, it would differ in more than `radius` bits in all.
    """
    quotient, rest = divmod(radius, _BANDS)
    return np.array([quotient if band <= rest else quotient - 1 for band in range(_BANDS)], dtype=np.int64)


def _masks(radius: int) -> NDArray[np.int64]:
    """All 16-bit patterns of at most `radius` ones."""
    sizes = range(min(radius, _BAND_BITS) + 1)
    return np.array([sum(1 << bit for bit in bits) for size in sizes for bits in combinations(range(_BAND_BITS), size)])


def _generate_popcount(_typing_context: Any, _value: Any) -> tuple[Any, Callable[..., Any]]:
    """Compile to the processor's own bit count."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return numba.types.uint64(numba.types.uint64), generate


_popcount: Any = intrinsic(_generate_popcount)


@numba.njit(cache=True, nogil=True)
def _scan(
    queries: NDArray[np.uint64],
    known: NDArray[np.uint64],
    radius: int,
    within: bool,
    found: NDArray[np.int64],
) -> int:
    """Compare every query with every known signature, with later ones only if `within` one set; return the count."""
    count = 0
    for query in range(len(queries)):
        signature = queries[query]
        for other in range(query + 1 if within else 0, len(known)):
            if _popcount(signature ^ known[other]) <= radius:
                if count < len(found):
                    found[count, 0] = query
                    found[count, 1] = other
                count += 1
    return count


@numba.njit(cache=True, nogil=True)
def _sort_by_band(
    hashes: NDArray[np.uint64], shift: np.uint64
) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.int64]]:
    """Counting sort by 16 bits: start of each bucket, the signatures in order, and where each came from."""
    mask = np.uint64(_BUCKETS - 1)
    starts = np.zeros(_BUCKETS + 1, np.int64)
    for position in range(len(hashes)):
        starts[np.int64((hashes[position] >> shift) & mask) + 1] += 1
    for bucket in range(_BUCKETS):
        starts[bucket + 1] += starts[bucket]
    free = starts[:-1].copy()
    ordered = np.empty(len(hashes), np.uint64)
    order = np.empty(len(hashes), np.int64)
    for position in range(len(hashes)):
        home = np.int64((hashes[position] >> shift) & mask)
        ordered[free[home]] = hashes[position]
        order[free[home]] = position
        free[home] += 1
    return starts, ordered, order


@numba.njit(cache=True, nogil=True)
def _found_before(difference: np.uint64, radii: NDArray[np.int64], band: int) -> bool:
    """Tell whether an earlier band finds this pair, so that each pair is reported once."""
    for earlier in range(band):
        bits = (difference >> np.uint64(_BAND_BITS * earlier)) & np.uint64(_BUCKETS - 1)
        if radii[earlier] >= 0 and np.int64(_popcount(bits)) <= radii[earlier]:
            return True
    return False


@numba.njit(cache=True, nogil=True)
def _join_buckets(
    starts: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    masks: NDArray[np.int64],
    radii: NDArray[np.int64],
    search: tuple[int, int, int, int],
    found: NDArray[np.int64],
) -> int:
    """Compare each bucket of this share with itself and with the later buckets that its masks lead to.

    `search` is the radius over all bits, the band, this share's number and the number of shares.
    """
    radius, band, share, shares = search
    count = 0
    for turn in range(share * _BUCKETS_PER_TURN, _BUCKETS, shares * _BUCKETS_PER_TURN):
        for bucket in range(turn, min(turn + _BUCKETS_PER_TURN, _BUCKETS)):
            if starts[bucket] == starts[bucket + 1]:
                continue
            for mask in masks:
                other = bucket ^ mask
                if other < bucket:
                    continue
                for left in range(starts[bucket], starts[bucket + 1]):
                    for right in range(left + 1 if other == bucket else starts[other], starts[other + 1]):
                        difference = hashes[left] ^ hashes[right]
                        if np.int64(_popcount(difference)) > radius or _found_before(difference, radii, band):
                            continue
                        if count < len(found):
                            found[count, 0] = left
                            found[count, 1] = right
                        count += 1
    return count
