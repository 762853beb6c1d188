"""Compiled loops of the Hamming search: counting sort by a band of bits, and comparison of buckets or of all with all.

Pairs are packed as `(first << 32) | second`, so that they sort as numbers. Loops that fill an array stop where it is
full and say where to go on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tamis.vision.compiled import Array, compiled, native, popcount

Buckets = tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint32]]
_HASHES, _NUMBERS = Array(np.uint64, 1), Array(np.int64, 1)
_BUCKETS = (_NUMBERS, _HASHES, Array(np.uint32, 1))
#: Bits of a band, and the values that they can have.
BAND_BITS = 16
BUCKETS = 1 << BAND_BITS
#: Signatures that are compared before one looks whether any was near: these loops run on vector registers.
_BLOCK = 256


@compiled
def _count_near(signature: np.uint64, known: NDArray[np.uint64], start: int, end: int, radius: np.uint64) -> np.uint64:
    """Number of signatures within the radius; without branches, so that several are compared at once."""
    count = np.uint64(0)
    for other in range(start, end):
        count += np.uint64(popcount(signature ^ known[other]) <= radius)
    return count


@native(_HASHES, _HASHES, (int, bool, int), _NUMBERS, returns=(int, int))
def scan(
    queries: NDArray[np.uint64],
    known: NDArray[np.uint64],
    search: tuple[int, bool, int],
    found: NDArray[np.int64],
) -> tuple[int, int]:
    """Compare queries with all known signatures; return the number of pairs and the query to go on with.

    `search` is the radius, whether both are one set (then only pairs first < second count), and the query to begin
    with. `found` must hold the pairs of at least one query.
    """
    radius, within, begin = np.uint64(search[0]), search[1], search[2]
    count = 0
    for query in range(begin, len(queries)):
        before = count
        signature = queries[query]
        for start in range(query + 1 if within else 0, len(known), _BLOCK):
            end = min(start + _BLOCK, len(known))
            if _count_near(signature, known, start, end, radius) == 0:
                continue
            for other in range(start, end):
                if popcount(signature ^ known[other]) <= radius:
                    if count == len(found):
                        return before, query
                    found[count] = (query << 32) | other
                    count += 1
    return count, len(queries)


def sort_by_band(hashes: NDArray[np.uint64], band: int) -> Buckets:
    """Counting sort by 16 bits: start of each bucket, the signatures in order, and where each came from."""
    buckets = np.zeros(BUCKETS + 1, np.int64), np.empty(len(hashes), np.uint64), np.empty(len(hashes), np.uint32)
    _sort(hashes, band, buckets)
    return buckets


@native(_HASHES, int, _BUCKETS)
def _sort(hashes: NDArray[np.uint64], band: int, buckets: Buckets) -> None:
    shift, mask = np.uint64(band * BAND_BITS), np.uint64(BUCKETS - 1)
    starts, ordered, order = buckets
    for position in range(len(hashes)):
        starts[np.int64((hashes[position] >> shift) & mask) + 1] += 1
    for bucket in range(BUCKETS):
        starts[bucket + 1] += starts[bucket]
    free = starts[:-1].copy()
    for position in range(len(hashes)):
        home = np.int64((hashes[position] >> shift) & mask)
        ordered[free[home]] = hashes[position]
        order[free[home]] = position
        free[home] += 1


@compiled
def _found_before(difference: np.uint64, radii: NDArray[np.int64], band: int) -> bool:
    """Tell whether an earlier band finds this pair, so that each pair is reported once."""
    for earlier in range(band):
        bits = (difference >> np.uint64(BAND_BITS * earlier)) & np.uint64(BUCKETS - 1)
        if radii[earlier] >= 0 and np.int64(popcount(bits)) <= radii[earlier]:
            return True
    return False


@native(_BUCKETS, _BUCKETS, (_NUMBERS, _NUMBERS), (int, int, bool, int, int), _NUMBERS, returns=(int, int))
def join_buckets(
    left: Buckets,
    right: Buckets,
    bounds: tuple[NDArray[np.int64], NDArray[np.int64]],
    search: tuple[int, int, bool, int, int],
    found: NDArray[np.int64],
) -> tuple[int, int]:
    """Compare buckets of `left` with those of `right` that the masks lead to.

    Args:
        left: what `sort_by_band` returned.
        right: likewise, of the same band.
        bounds: patterns in which near bands may differ, and the radius searched in each band.
        search: the radius over all bits, the band, whether both sides are one set (then each pair counts once, smaller
            position first), and the buckets to begin with and to end before.
        found: takes the pairs; must hold those of at least one bucket.

    Returns:
        The number of pairs and the bucket to go on with.
    """
    masks, radii = bounds
    radius, band, within, begin, end = np.uint64(search[0]), search[1], search[2], search[3], search[4]
    left_starts, left_hashes, left_order = left
    right_starts, right_hashes, right_order = right
    count = 0
    for bucket in range(begin, end):
        before = count
        if left_starts[bucket] == left_starts[bucket + 1]:
            continue
        for mask in masks:
            other = bucket ^ mask
            if (within and other < bucket) or right_starts[other] == right_starts[other + 1]:
                continue
            for position in range(left_starts[bucket], left_starts[bucket + 1]):
                signature = left_hashes[position]
                start = position + 1 if within and other == bucket else right_starts[other]
                stop = right_starts[other + 1]
                if _count_near(signature, right_hashes, start, stop, radius) == 0:
                    continue
                for candidate in range(start, stop):
                    difference = signature ^ right_hashes[candidate]
                    if popcount(difference) > radius or _found_before(difference, radii, band):
                        continue
                    if count == len(found):
                        return before, bucket
                    first, second = np.int64(left_order[position]), np.int64(right_order[candidate])
                    if within and first > second:
                        first, second = second, first
                    found[count] = (first << 32) | second
                    count += 1
    return count, end


@native(_HASHES, _BUCKETS, (_NUMBERS, _NUMBERS), (int, int, int), _NUMBERS, returns=(int, int))
def look_up(
    queries: NDArray[np.uint64],
    side: Buckets,
    bounds: tuple[NDArray[np.int64], NDArray[np.int64]],
    search: tuple[int, int, int],
    found: NDArray[np.int64],
) -> tuple[int, int]:
    """Compare a few queries with the buckets of one band that the masks lead to, as `join_buckets` does for many.

    `search` is the radius over all bits, the band, and the query to begin with.
    """
    masks, radii = bounds
    radius, band, begin = np.uint64(search[0]), search[1], search[2]
    starts, hashes, order = side
    count = 0
    for query in range(begin, len(queries)):
        before = count
        signature = queries[query]
        home = np.int64((signature >> np.uint64(band * BAND_BITS)) & np.uint64(BUCKETS - 1))
        for mask in masks:
            for candidate in range(starts[home ^ mask], starts[(home ^ mask) + 1]):
                difference = signature ^ hashes[candidate]
                if popcount(difference) > radius or _found_before(difference, radii, band):
                    continue
                if count == len(found):
                    return before, query
                found[count] = (query << 32) | np.int64(order[candidate])
                count += 1
    return count, len(queries)


@native(_NUMBERS, _NUMBERS, _NUMBERS, _NUMBERS, returns=int)
def expand(
    pairs: NDArray[np.int64], order: NDArray[np.int64], starts: NDArray[np.int64], found: NDArray[np.int64]
) -> int:
    """Turn pairs of distinct signatures into pairs of positions, and add the pairs of equal ones; return their number.

    The positions of signature u are `order[starts[u]:starts[u + 1]]`. Only as many as `found` holds are written.
    """
    count = 0
    for pair in pairs:
        left, right = pair >> 32, pair & 0xFFFFFFFF
        for one in range(starts[left], starts[left + 1]):
            for other in range(starts[right], starts[right + 1]):
                first, second = min(order[one], order[other]), max(order[one], order[other])
                found[count] = (first << 32) | second
                count += 1
    for group in range(len(starts) - 1):
        for one in range(starts[group], starts[group + 1]):
            for other in range(one + 1, starts[group + 1]):
                first, second = min(order[one], order[other]), max(order[one], order[other])
                found[count] = (first << 32) | second
                count += 1
    return count
