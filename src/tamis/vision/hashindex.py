"""Pairs of 64-bit signatures that differ in few bits, without comparing all with all.

Multi-index hashing (M. Norouzi, A. Punjani, D. Fleet, "Fast search in Hamming space with multi-index hashing",
CVPR 2012): signatures are cut into four bands of 16 bits; two that differ in few bits differ in very few within some
band, so only signatures in the same or a neighbouring bucket of a band are compared. Where a plain scan takes less
than that, it is made instead.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tamis.vision.hamming import BAND_BITS, BUCKETS, Buckets, expand, join_buckets, look_up, scan, sort_by_band
from tamis.vision.signatures import as_unsigned

_BANDS = 64 // BAND_BITS
#: What sorting a signature into a band and looking up a bucket take, in comparisons of a plain scan; and how much
#: dearer all is where queries come in no order, each to buckets that no cache holds.
_SORT_COST, _BUCKET_COST, _UNORDERED = 20, 8, 4
#: Signatures that an index sorts into bands: fewer are scanned as fast, more take too much memory (48 bytes each).
_WORTH_BANDS, _MOST_BANDED = 50_000, 5_000_000
#: Buckets that a thread takes at a time.
_TURN = BUCKETS // 256
#: Comparisons up to which numpy makes them: compiled code takes a tenth of a second to load.
_FEW = 4_000_000
#: Queries that a thread takes at a time in a plain scan.
_SCAN_TURN = 256
#: Pairs that a thread has room for at first.
_BUFFER = 1 << 16

#: Searches from one number to before another and fills an array; returns how much it found and how far it came.
Work = Callable[[int, int, NDArray[np.int64]], tuple[int, int]]


class Pairs(NamedTuple):
    """Pairs of positions with the Hamming distance between their signatures; three arrays of one length, int64."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    distance: NDArray[np.int64]


class DistinctPairs(NamedTuple):
    """Signatures without their repetitions, which of them each position has, and the pairs among them."""

    values: NDArray[np.int64]
    inverse: NDArray[np.int64]
    pairs: Pairs


def near_pairs(hashes: NDArray[np.int64], radius: int, threads: int | None = None) -> Pairs:
    """Return all pairs (first < second) of positions whose signatures differ in at most `radius` bits, sorted.

    `hashes` holds signed 64-bit signatures, shape (n,), at most 2^31 of them. Equal ones are collapsed before the
    search and expanded in the result, so that a thousand copies of one picture cost no more than their pairs; where
    these pairs are not wanted, `near_distinct` leaves them out. `threads` is by default the number of cores.

    Raises:
        ValueError: the radius is not within 0 to 64.
    """
    signatures = as_unsigned(hashes)
    values, order, starts = _collapse(signatures)
    found = _search(values, values, _checked(radius), threads, within=True)
    if len(values) < len(signatures):
        sizes = np.diff(starts)
        total = int((sizes[found >> 32] * sizes[found & 0xFFFFFFFF]).sum() + (sizes * (sizes - 1) // 2).sum())
        expanded = np.empty(total, dtype=np.int64)
        expand(found, order, starts, expanded)
        found = expanded
    else:
        first, second = order[found >> 32], order[found & 0xFFFFFFFF]
        found = (np.minimum(first, second) << 32) | np.maximum(first, second)
    return _unpacked(found, signatures, signatures)


def near_distinct(hashes: NDArray[np.int64], radius: int, threads: int | None = None) -> DistinctPairs:
    """Return what `near_pairs` does, but of each signature once: a million equal ones have no pair, not 5 * 10^11.

    Raises:
        ValueError: the radius is not within 0 to 64.
    """
    values, order, starts = _collapse(as_unsigned(hashes))
    inverse = np.empty(len(order), dtype=np.int64)
    inverse[order] = np.repeat(np.arange(len(values)), np.diff(starts))
    found = _search(values, values, _checked(radius), threads, within=True)
    return DistinctPairs(values.view(np.int64), inverse, _unpacked(found, values, values))


class HashIndex:
    """Signatures that grow in number, searched for those near to new ones, be it one or a million.

    Searches for few are scans until these have cost as much as sorting all into bands; from then on only signatures
    added later are scanned, until they in turn are worth it.
    """

    def __init__(self, hashes: NDArray[np.int64] | None = None) -> None:
        """Start from signed 64-bit signatures, shape (n,), in the order in which positions shall count them."""
        given = np.zeros(0, dtype=np.int64) if hashes is None else hashes
        self._hashes = as_unsigned(given).copy()
        self._length = len(self._hashes)
        self._bands: list[Buckets] = []
        self._banded = 0
        self._scanned = 0.0

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

    def query(self, hashes: NDArray[np.int64], radius: int, threads: int | None = None) -> Pairs:
        """Return pairs (position in `hashes`, position in the index) within `radius` bits, sorted.

        One among a million takes half a millisecond at first and hundredths of that when asked often.

        Raises:
            ValueError: the radius is not within 0 to 64.
        """
        queries, known = as_unsigned(hashes), self._hashes[: self._length]
        radii = _band_radii(_checked(radius))
        tail = len(queries) * (len(known) - self._banded)
        looking = tail + _UNORDERED * len(queries) * sum(
            _patterns(one) * (_BUCKET_COST + self._banded / BUCKETS) for one in radii.tolist()
        )
        plain, banded = len(queries) * len(known), _banded_cost(len(queries), len(known), radii, within=False)
        if not self._bands or looking >= min(plain, banded):
            if plain <= banded:
                self._account(plain)
            return _unpacked(_search(queries, known, radius, threads, within=False), queries, known)
        later = _scan_all(queries, known[self._banded :], radius, 1, within=False) + self._banded
        parts = [_look_up(queries, side, (radius, band), radii) for band, side in enumerate(self._bands)]
        self._account(tail)
        return _unpacked(np.concatenate((*parts, later)), queries, known)

    def _account(self, comparisons: int) -> None:
        """Sort all into bands once scans have cost as much as that."""
        self._scanned += comparisons
        if self._scanned > _BANDS * _SORT_COST * self._length and _WORTH_BANDS <= self._length <= _MOST_BANDED:
            known = self._hashes[: self._length]
            self._bands = [sort_by_band(known, band) for band in range(_BANDS)]
            self._banded, self._scanned = self._length, 0.0


def _checked(radius: int) -> int:
    if not 0 <= radius <= 64:
        raise ValueError(f"radius {radius} is not within 0 to 64")
    return radius


def _collapse(
    signatures: NDArray[np.uint64],
) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct signatures, sorted, and the positions of each: `order[starts[u]:starts[u + 1]]`."""
    order = np.argsort(signatures)
    ordered = signatures[order]
    starts = np.concatenate(([0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1, [len(ordered)]))
    return ordered[starts[:-1]] if len(ordered) else ordered, order, starts if len(ordered) else starts[:1]


def _unpacked(found: NDArray[np.int64], left: NDArray[np.uint64], right: NDArray[np.uint64]) -> Pairs:
    found.sort()
    first, second = found >> 32, found & 0xFFFFFFFF
    return Pairs(first, second, np.bitwise_count(left[first] ^ right[second]).astype(np.int64))


def _search(
    queries: NDArray[np.uint64], known: NDArray[np.uint64], radius: int, threads: int | None, *, within: bool
) -> NDArray[np.int64]:
    """Return packed pairs of positions, in no order."""
    if len(queries) * len(known) <= _FEW and len(known) < _WORTH_BANDS:
        return _compare_all(queries, known, radius, within=within)
    radii = _band_radii(radius)
    plain = len(queries) * len(known) * (0.5 if within else 1.0)
    banded = _banded_cost(len(queries), len(known), radii, within=within)
    if plain <= banded:
        return _scan_all(queries, known, radius, _thread_count(threads, plain), within=within)
    if not within and len(queries) > len(known):  # each signature of the first is compared with a run of the second
        found = _join(known, queries, (radius, within), radii, _thread_count(threads, banded))
        return ((found & 0xFFFFFFFF) << 32) | (found >> 32)
    return _join(queries, known, (radius, within), radii, _thread_count(threads, banded))


def _banded_cost(queries: int, known: int, radii: NDArray[np.int64], *, within: bool) -> float:
    """Comparisons of a plain scan that take as long as `_join`, for signatures that fill the buckets evenly."""
    share = 0.5 if within else 1.0
    sorting = _SORT_COST * (known if within else known + queries)
    cost = 0.0
    for patterns in map(_patterns, radii.tolist()):
        visits = share * patterns * min(queries, BUCKETS)
        cost += sorting + _BUCKET_COST * visits + share * patterns * queries * known / BUCKETS
    return cost


def _patterns(radius: int) -> int:
    """Number of 16-bit patterns of at most `radius` ones."""
    return sum(comb(BAND_BITS, bits) for bits in range(min(radius, BAND_BITS) + 1))


def _thread_count(threads: int | None, cost: float) -> int:
    """No more threads than there is work for: starting one takes as long as some hundred thousand comparisons."""
    return max(1, min(threads or os.cpu_count() or 1, int(cost / 5_000_000)))


def _compare_all(
    queries: NDArray[np.uint64], known: NDArray[np.uint64], radius: int, *, within: bool
) -> NDArray[np.int64]:
    parts = [np.zeros(0, dtype=np.int64)]
    step = max(1, 65_536 // max(1, len(known)))  # what stays in the processor's cache
    for start in range(0, len(queries), step):
        near = np.bitwise_count(queries[start : start + step, None] ^ known) <= radius
        first, second = np.nonzero(near)
        parts.append(((first + start) << 32) | second)
    found = np.concatenate(parts)
    return found[found >> 32 < (found & 0xFFFFFFFF)] if within else found


def _scan_all(
    queries: NDArray[np.uint64], known: NDArray[np.uint64], radius: int, threads: int, *, within: bool
) -> NDArray[np.int64]:
    turns = [(start, min(start + _SCAN_TURN, len(queries))) for start in range(0, len(queries), _SCAN_TURN)]

    def search(begin: int, end: int, found: NDArray[np.int64]) -> tuple[int, int]:
        return scan(queries[:end], known, (radius, within, begin), found)

    return _in_turns(search, turns, threads)


def _join(
    queries: NDArray[np.uint64],
    known: NDArray[np.uint64],
    search: tuple[int, bool],
    radii: NDArray[np.int64],
    threads: int,
) -> NDArray[np.int64]:
    """Search band by band, the buckets of a band dealt out to threads; `search` is the radius and "within"."""
    turns = [(start, start + _TURN) for start in range(0, BUCKETS, _TURN)]
    parts = [
        _join_band(queries, known, search, (band, radii), partial(_in_turns, turns=turns, threads=threads))
        for band in np.flatnonzero(radii >= 0).tolist()
    ]
    return np.concatenate(parts)


def _join_band(
    queries: NDArray[np.uint64],
    known: NDArray[np.uint64],
    search: tuple[int, bool],
    band_radii: tuple[int, NDArray[np.int64]],
    run: Callable[[Work], NDArray[np.int64]],
) -> NDArray[np.int64]:
    (radius, within), (band, radii) = search, band_radii
    right = sort_by_band(known, band)
    left = right if within else sort_by_band(queries, band)
    bounds = (_masks(int(radii[band])), radii)

    def join(begin: int, end: int, found: NDArray[np.int64]) -> tuple[int, int]:
        return join_buckets(left, right, bounds, (radius, band, within, begin, end), found)

    return run(join)


def _look_up(
    queries: NDArray[np.uint64], side: Buckets, search: tuple[int, int], radii: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Search one band for queries; `search` is the radius and the band."""
    radius, band = search
    if radii[band] < 0:
        return np.zeros(0, dtype=np.int64)
    bounds = (_masks(int(radii[band])), radii)

    def search_from(begin: int, _: int, found: NDArray[np.int64]) -> tuple[int, int]:
        return look_up(queries, side, bounds, (radius, band, begin), found)

    return _in_turns(search_from, [(0, len(queries))], 1)


def _in_turns(work: Work, turns: Sequence[tuple[int, int]], threads: int) -> NDArray[np.int64]:
    """Deal turns out to threads, and return all that they found."""

    def share(number: int) -> list[NDArray[np.int64]]:
        parts = []
        buffer = np.empty(_BUFFER, dtype=np.int64)
        for begin, end in turns[number::threads]:
            reached = begin
            while reached < end:
                count, reached = work(reached, end, buffer)
                parts.append(buffer[:count].copy())
                if reached < end and count <= len(buffer) // 2:
                    buffer = np.empty(2 * len(buffer), dtype=np.int64)
        return parts

    if threads == 1:
        parts = share(0)
    else:
        with ThreadPoolExecutor(threads) as pool:
            parts = [part for found in pool.map(share, range(threads)) for part in found]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def _band_radii(radius: int) -> NDArray[np.int64]:
    """Least radius to search in each band so that no pair is missed; -1 where a band need not be searched.

    If a pair differed in more than this in every band, it would differ in more than `radius` bits in all.
    """
    quotient, rest = divmod(radius, _BANDS)
    return np.array([quotient if band <= rest else quotient - 1 for band in range(_BANDS)], dtype=np.int64)


@cache
def _masks(radius: int) -> NDArray[np.int64]:
    """All 16-bit patterns of at most `radius` ones."""
    sizes = range(min(radius, BAND_BITS) + 1)
    return np.array([sum(1 << bit for bit in bits) for size in sizes for bits in combinations(range(BAND_BITS), size)])
