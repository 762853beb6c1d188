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
#: Cells across and down whose steps are the gradient signature.
_CELLS_WH = (9, 8)
#: Sides of the squares of a glance.
COARSE, FINE = 20, 40
_UNSIGNED = 1 << 64
#: Bytes of one packed signature.
PART_BYTES = 8
#: Windows of a picture as shares of its sides: left, top, width, height. Those of its shape are laid out from edge to
#: edge, in three sizes; the last two are the middle squares of photos four by three.
WINDOWS = (
    (0.05, 0.05, 0.9, 0.9),
    *(
        (across * (1 - side) / (steps - 1), down * (1 - side) / (steps - 1), side, side)
        for side, steps in ((0.9, 2), (0.8, 3), (0.7, 3))
        for across in range(steps)
        for down in range(steps)
    ),
    (0.125, 0.0, 0.75, 1.0),
    (0.0, 0.125, 1.0, 0.75),
)
#: A coefficient of so few grey levels is zero but for rounding.
_NOTHING = 0.02
_MIRRORED_ROWS = np.array([255 - int(f"{value:08b}"[::-1], 2) for value in range(256)], dtype=np.uint8)


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
    # So is interpolation, which misses no pixel up to half the size.
    if max(image_grey.shape) <= 4 * _SQUARE:
        twice = cv2.resize(image_grey, (2 * _SQUARE, 2 * _SQUARE), interpolation=cv2.INTER_LINEAR)
        image_grey = np.asarray(twice, dtype=np.uint8)
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
    """Return the DCT signatures of 25 windows of a grey picture, centred and off centre, packed in a fixed order.

    A copy that was cropped looks like one of the original's windows, and a picture with a frame has a window that
    looks like the original.
    """
    return sign(to_square(image_grey))[1]


def sign(square: NDArray[np.uint8]) -> tuple[Signatures, bytes]:
    """Return the signatures of a picture and of its 25 windows, from `to_square`; see `signatures`, `part_phashes`."""
    down, across, waves, cells = _plan()
    products = (down @ square.astype(np.float32) @ across).ravel()
    positive = products[waves] > _NOTHING
    positive[:: _LOW * _LOW] = False
    packed = np.packbits(positive, bitorder="little").tobytes()
    phash = int.from_bytes(packed[:PART_BYTES], "little", signed=True)
    tones = np.rint(products[cells])
    return Signatures(phash, mirrored_phash(phash), _pack(tones[:, :-1] > tones[:, 1:])), packed[PART_BYTES:]


@cache
def _plan() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.intp], NDArray[np.intp]]:
    """Return what the square is multiplied by from both sides, and where its signatures are in the product.

    The DCT of an average is a linear map: the first matrix holds the waves of each span of the rows and the averages
    of the gradient's cells, 8 * spans + 8 rows in all, shape (4, rows / 4, 80), the second those of the columns, shape
    (80, 8 * spans + 9). The flat places in the product are those of the waves of the whole and of each window, 64 a
    signature, and those of the cells, shape (8, 9). The first is stacked so that each product is too small for the
    linear algebra to start threads.
    """
    windows = ((0.0, 0.0, 1.0, 1.0), *WINDOWS)
    spans = sorted({span for left, top, width, height in windows for span in ((left, width), (top, height))})
    waves = [_waves(start, side) for start, side in spans]
    down, across = (np.concatenate((*waves, _cells(count))).astype(np.float32) for count in _CELLS_WH[::-1])
    places = np.arange(len(down) * len(across)).reshape(len(down), len(across))
    blocks = [
        places[_LOW * spans.index((top, height)) :, _LOW * spans.index((left, width)) :][:_LOW, :_LOW].ravel()
        for left, top, width, height in windows
    ]
    cells = places[_LOW * len(spans) :, _LOW * len(spans) :]
    return down.reshape(4, -1, _SQUARE), np.ascontiguousarray(across.T), np.concatenate(blocks), cells


def _cells(count: int) -> NDArray[np.float64]:
    """What averages the square over so many cells along a side, one a row."""
    edges = np.linspace(0, _SQUARE, count + 1)
    return _covered(edges) / np.diff(edges)[:, None]


def _waves(start: float, side: float) -> NDArray[np.float64]:
    """The longest eight waves of the orthonormal DCT (type II) over the 32 cells of a span of the square, one a row."""
    edges = (start + side * np.arange(_GRID + 1) / _GRID) * _SQUARE
    waves = np.sqrt(2 / _GRID) * np.cos(np.pi / _GRID * np.outer(np.arange(_LOW), np.arange(_GRID) + 0.5))
    waves[0] /= np.sqrt(2)
    weighted: NDArray[np.float64] = waves @ (_covered(edges) / np.diff(edges)[:, None])
    return weighted


def _covered(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of each pixel along a side of the square lies in each cell between these edges, one cell a row."""
    pixels = np.arange(_SQUARE)
    covered: NDArray[np.float64] = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.clip(covered, 0, 1)


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


def mirrored_dhashes(dhashes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the gradient signatures of mirrored pictures: rows reversed, each comparison the other way round.

    Exact but for neighbouring cells of equal brightness.
    """
    return np.asarray(_MIRRORED_ROWS[_rows(dhashes)].view("<i8").ravel().astype(np.int64))


def turned_phashes(phashes: NDArray[np.int64], orientation: int) -> NDArray[np.int64]:
    """Return the signatures, shape (n,), of pictures mirrored (4 and above) and turned by so many quarters, clockwise.

    A turn by a quarter lets waves across and down change places; a mirror flips the odd waves of its direction.
    """
    across, down = np.int64(_signed(_odd_mask(down=False))), np.int64(_signed(_odd_mask(down=True)))
    flipped = phashes ^ across if orientation >= 4 else phashes
    match orientation % 4:
        case 0:
            return flipped
        case 2:
            return np.asarray(flipped ^ across ^ down)
    bits = np.unpackbits(_rows(flipped), axis=1, bitorder="little").reshape(-1, _LOW, _LOW)
    swapped = np.packbits(bits.transpose(0, 2, 1).reshape(-1, _LOW * _LOW), axis=1, bitorder="little")
    swapped = swapped.view("<i8").ravel().astype(np.int64)
    return np.asarray(swapped ^ (across if orientation % 4 == 1 else down))


def _rows(hashes: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The eight bytes of each signature, lowest first, shape (n, 8)."""
    return np.ascontiguousarray(hashes, dtype="<i8").view(np.uint8).reshape(-1, PART_BYTES)


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
