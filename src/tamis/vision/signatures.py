"""64-bit perceptual signatures of a picture, as signed integers, and what they become when it is mirrored or turned.

The DCT signature keeps signs alone, so that the signature of the mirrored or turned picture follows from its bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

_GRID = 32
_LOW = 8
#: Side to which a picture is averaged before its parts are cut out.
_SQUARE = 80
#: Sides of the squares of a glance.
COARSE, FINE = 20, 40
_UNSIGNED = 1 << 64
#: Bytes of one packed signature.
PART_BYTES = 8
#: Windows of a picture as shares of its sides: left, top, side. Each size is laid out from edge to edge.
WINDOWS = (
    (0.05, 0.05, 0.9),
    *(
        (across * (1 - side) / (steps - 1), down * (1 - side) / (steps - 1), side)
        for side, steps in ((0.9, 2), (0.8, 3), (0.7, 3))
        for across in range(steps)
        for down in range(steps)
    ),
)
#: The same in the averaged picture, as slices of its rows and columns.
_BOXES = tuple(
    tuple(slice(round(start * _SQUARE), round((start + side) * _SQUARE)) for start in (top, left))
    for left, top, side in WINDOWS
)
#: The longest eight waves of the orthonormal DCT (type II), one a row.
_WAVES = np.sqrt(2 / _GRID) * np.cos(np.pi / _GRID * np.outer(np.arange(_LOW), np.arange(_GRID) + 0.5))
_WAVES[0] /= np.sqrt(2)
#: Coefficients below this are zero but for rounding.
_NOTHING = 1e-6
_REVERSED_BYTES = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


@dataclass(frozen=True, slots=True)
class Signatures:
    """Signatures of one picture, each a signed 64-bit integer."""

    phash: int
    phash_mirrored: int
    dhash: int


def signatures(image_grey: NDArray[np.uint8]) -> Signatures:
    """Return the signatures of a grey picture of shape (h, w); its aspect is stretched to a square first.

    `phash` holds the signs of the 63 lowest two-dimensional DCT coefficients (8 by 8 without the mean) of the picture
    averaged to 32 by 32 (after C. Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010);
    bit 8r + c is set where the coefficient of r waves down and c across is positive, bit 0 is never set. `dhash` tells
    for 8 rows of 9 cells whether each is brighter than its right neighbour (N. Krawetz, 2013).
    """
    grid = _grid(image_grey)
    cells = cv2.resize(grid, (9, 8), interpolation=cv2.INTER_AREA)
    phash = _phash(grid)
    return Signatures(phash, mirrored_phash(phash), _pack(cells[:, :-1] > cells[:, 1:]))


def part_phashes(image_grey: NDArray[np.uint8]) -> bytes:
    """Return the DCT signatures of 23 windows of a grey picture, centred and off centre, packed in a fixed order.

    A copy that was cropped looks like one of the original's windows, and a picture with a frame has a window that
    looks like the original.
    """
    # Small enough that a window takes microseconds, large enough that each still fills its grid.
    square = cv2.resize(image_grey, (_SQUARE, _SQUARE), interpolation=cv2.INTER_AREA)
    grids = np.empty((len(_BOXES), _GRID, _GRID), dtype=np.uint8)
    for grid, (rows, columns) in zip(grids, _BOXES, strict=True):
        cv2.resize(square[rows, columns], (_GRID, _GRID), dst=grid, interpolation=cv2.INTER_AREA)
    across = grids.reshape(-1, _GRID).astype(np.float64) @ _WAVES.T
    coefficients = (across.reshape(-1, _GRID, _LOW).transpose(0, 2, 1) @ _WAVES.T).transpose(0, 2, 1)
    positive = coefficients > _NOTHING
    positive[:, 0, 0] = False
    return np.packbits(positive.reshape(-1, 64), axis=1, bitorder="little").tobytes()


def unpack_parts(packed: bytes | NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return packed signatures as numbers: they are signed 64-bit integers, little-endian, one after the other."""
    return np.frombuffer(packed, "<i8").astype(np.int64, copy=False)


def glance(image_grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a grey picture of shape (h, w), stretched to squares of 20 and of 40 pixels, in one row of 2000 pixels."""
    fine = cv2.resize(image_grey, (FINE, FINE), interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(fine, (COARSE, COARSE), interpolation=cv2.INTER_AREA)
    return np.concatenate((coarse.ravel(), fine.ravel())).astype(np.uint8, copy=False)


def _grid(image_grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(image_grey, (_GRID, _GRID), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _phash(grid: NDArray[np.uint8]) -> int:
    positive = np.asarray(cv2.dct(grid.astype(np.float32))[:_LOW, :_LOW] > 0)
    positive[0, 0] = False
    return _pack(positive)


def mirrored_phash(phash: int) -> int:
    """Return the signature of the picture mirrored left to right: coefficients of odd waves across change sign."""
    return _signed(phash ^ _odd_mask(down=False))


def mirrored_dhash(dhash: int) -> int:
    """Return the gradient signature of the mirrored picture: rows reversed, each comparison the other way round.

    Exact but for neighbouring cells of equal brightness.
    """
    rows = (dhash & (_UNSIGNED - 1)).to_bytes(8, "little")
    mirrored = bytes(255 - _REVERSED_BYTES[row] for row in rows)
    return int.from_bytes(mirrored, "little", signed=True)


def turned_phashes(phash: int) -> tuple[int, int, int]:
    """Return the signatures of the picture turned by 90, 180 and 270 degrees clockwise."""
    across, down = _odd_mask(down=False), _odd_mask(down=True)
    swapped = _transposed(phash)
    return _signed(swapped ^ across), _signed(phash ^ across ^ down), _signed(swapped ^ down)


def turned_phash(phash: int, orientation: int) -> int:
    """Return the signature of the picture mirrored (4 and above) and turned by so many quarters, clockwise."""
    flipped = mirrored_phash(phash) if orientation >= 4 else phash
    turns = orientation % 4
    return flipped if turns == 0 else turned_phashes(flipped)[turns - 1]


def hamming(first: int, second: int) -> int:
    """Return the number of bits in which two 64-bit signatures differ."""
    return ((first ^ second) & (_UNSIGNED - 1)).bit_count()


def as_unsigned(values: NDArray[np.int64]) -> NDArray[np.uint64]:
    """View signed signatures of any shape as unsigned ones, bit by bit."""
    return np.ascontiguousarray(values, dtype=np.int64).view(np.uint64)


def _pack(bits: NDArray[np.bool_]) -> int:
    return int.from_bytes(np.packbits(bits.ravel(), bitorder="little").tobytes(), "little", signed=True)


def _signed(value: int) -> int:
    value &= _UNSIGNED - 1
    return value - _UNSIGNED if value >> 63 else value


@cache
def _odd_mask(*, down: bool) -> int:
    """Bits of the coefficients with an odd number of half waves in one direction; a mirror flips just these."""
    return sum(
        1 << (8 * row + column) for row in range(_LOW) for column in range(_LOW) if (row if down else column) % 2
    )


def _transposed(phash: int) -> int:
    unsigned = phash & (_UNSIGNED - 1)
    return sum(
        1 << (8 * column + row) for row in range(_LOW) for column in range(_LOW) if unsigned >> (8 * row + column) & 1
    )
