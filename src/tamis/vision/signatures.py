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
#: Side to which a picture is averaged before its signatures are taken.
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
#: A coefficient of so few grey levels is zero but for rounding.
_NOTHING = 0.02
_REVERSED_BYTES = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


@dataclass(frozen=True, slots=True)
class Signatures:
    """Signatures of one picture, each a signed 64-bit integer."""

    phash: int
    phash_mirrored: int
    dhash: int


def to_square(image_grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a grey picture of shape (h, w) averaged to the square of 80 pixels from which signatures are taken."""
    height, width = image_grey.shape
    # Halved first where that is exact: averaging by whole numbers is many times faster than by fractions.
    if min(height, width) >= 2 * _SQUARE and not (height % 2 or width % 2):
        image_grey = _averaged(image_grey, (width // 2, height // 2))
    return _averaged(image_grey, (_SQUARE, _SQUARE))


def signatures(image_grey: NDArray[np.uint8]) -> Signatures:
    """Return the signatures of a grey picture of shape (h, w); its aspect is stretched to a square first.

    `phash` holds the signs of the 63 lowest two-dimensional DCT coefficients (8 by 8 without the mean) of the picture
    averaged to 32 by 32 (after C. Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010);
    bit 8r + c is set where the coefficient of r waves down and c across is positive, bit 0 is never set. `dhash` tells
    for 8 rows of 9 cells whether each is brighter than its right neighbour (N. Krawetz, 2013).
    """
    return sign(to_square(image_grey))[0]


def part_phashes(image_grey: NDArray[np.uint8]) -> bytes:
    """Return the DCT signatures of 23 windows of a grey picture, centred and off centre, packed in a fixed order.

    A copy that was cropped looks like one of the original's windows, and a picture with a frame has a window that
    looks like the original.
    """
    return sign(to_square(image_grey))[1]


def sign(square: NDArray[np.uint8]) -> tuple[Signatures, bytes]:
    """Return the signatures of a picture and of its 23 windows, from `to_square`; see `signatures`, `part_phashes`."""
    waves, rows, columns = _plan()
    down = waves @ square.astype(np.float32)
    positive = down[rows] @ columns > _NOTHING
    positive[:, 0, 0] = False
    packed = np.packbits(positive.reshape(-1, 64), axis=1, bitorder="little").tobytes()
    phash = int.from_bytes(packed[:PART_BYTES], "little", signed=True)
    cells = _averaged(square, (9, 8))
    return Signatures(phash, mirrored_phash(phash), _pack(cells[:, :-1] > cells[:, 1:])), packed[PART_BYTES:]


@cache
def _plan() -> tuple[NDArray[np.float32], NDArray[np.intp], NDArray[np.float32]]:
    """Return what the whole and each window are multiplied by: the DCT of an average is a linear map of the square.

    These are the waves of each span of a side, shape (spans, 8, 80), the number of each window's span of rows, and the
    waves of its columns, turned, shape (windows, 80, 8).
    """
    windows = ((0.0, 0.0, 1.0), *WINDOWS)
    spans = sorted({(start, side) for left, top, side in windows for start in (left, top)})
    waves = np.stack([_waves(start, side) for start, side in spans]).astype(np.float32)
    rows = np.array([spans.index((top, side)) for _, top, side in windows])
    columns = [spans.index((left, side)) for left, _, side in windows]
    return waves, rows, np.ascontiguousarray(waves[columns].transpose(0, 2, 1))


def _waves(start: float, side: float) -> NDArray[np.float64]:
    """The longest eight waves of the orthonormal DCT (type II) over the 32 cells of a span of the square, one a row."""
    edges = (start + side * np.arange(_GRID + 1) / _GRID) * _SQUARE
    pixels = np.arange(_SQUARE)
    covered = np.clip(np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels), 0, 1)
    waves = np.sqrt(2 / _GRID) * np.cos(np.pi / _GRID * np.outer(np.arange(_LOW), np.arange(_GRID) + 0.5))
    waves[0] /= np.sqrt(2)
    weighted: NDArray[np.float64] = waves @ (covered / np.diff(edges)[:, None])
    return weighted


def unpack_parts(packed: bytes | NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return packed signatures as numbers: they are signed 64-bit integers, little-endian, one after the other."""
    return np.frombuffer(packed, "<i8").astype(np.int64, copy=False)


def glance(image_grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a grey picture of shape (h, w), stretched to squares of 20 and of 40 pixels, in one row of 2000 pixels."""
    fine = _averaged(image_grey, (FINE, FINE))
    return np.concatenate((_averaged(fine, (COARSE, COARSE)).ravel(), fine.ravel()))


def _averaged(image_grey: NDArray[np.uint8], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(image_grey, size_wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)


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
