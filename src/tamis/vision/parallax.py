"""How far parts of a picture lie from where another one that was laid over it has them.

Whatever an edit does to brightness, colour, sharpness or frame, one affine map puts every part of a copy in its place.
Another view of a thing, or its other side, is moved by depth and shape: each part a little otherwise. Of each cell the
displacement is found that explains best what differs (B. Lucas, T. Kanade, IJCAI 1981), and what an affine map explains
is taken away, so that an alignment that is a fraction of a pixel off does not count.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tamis.vision.compiled import Array, compiled, native

Grey = NDArray[np.uint8]
Plane = NDArray[np.float32]
Matrix = NDArray[np.float64]

#: Side of the cells, in pixels.
_CELL = 16
#: Variance of luma from which a cell has texture, and least correlation of cells that show the same.
_TEXTURE, _SAME = 20.0, 0.8
#: Added to variances, so that noise in flat cells correlates with nothing.
_VARIANCE_FLOOR = 6.0
#: Added to the mean square of slopes: a displacement that little supports is held small.
_DAMPING = 2.0
#: Least number of cells that say anything.
_MIN_CELLS = 12
#: Displacement, in pixels, below which all weigh about alike in the affine fit.
_TOLERANCE = 0.02
#: Share of the cells that lie nearer than what is returned.
_SHARE = 0.75


def parallax(first: Plane, second: Plane, inside: Grey) -> tuple[float, Matrix | None]:
    """Return how far parts lie from where an affine map puts them, and that map.

    The first is the upper quartile of the displacements of cells, in pixels, once the map is taken away. The map, shape
    (3, 3), takes pixels of the first picture to where the second one shows the same, in its frame. Where too few cells
    have anything to say, these are 0 and None.

    Args:
        first: a grey picture, shape (h, w).
        second: the other one in its frame, shape (h, w).
        inside: 1 where both cover a pixel, shape (h, w).
    """
    fitted = np.empty((3, 2))
    cells, left = _measure(cv2.blur(first, (3, 3)), cv2.blur(second, (3, 3)), inside, fitted)
    if cells < _MIN_CELLS:
        return 0.0, None
    height, width = first.shape
    to_places = np.array([[1.0, 0.0, 0.5 - 0.5 * width], [0.0, 1.0, 0.5 - 0.5 * height], [0.0, 0.0, width]]) / width
    drift = np.eye(3)
    drift[:2] += fitted.T @ to_places
    return left, drift


@native(Array(np.float32, 2), Array(np.float32, 2), Array(np.uint8, 2), Array(np.float64, 2), returns=(int, float))
def _measure(first: Any, second: Any, inside: Any, fitted: Any) -> Any:
    """Return the number of cells that say anything, and how far they lie from an affine map, which `fitted` becomes."""
    found = _displacements(first, second, inside)
    if len(found) < _MIN_CELLS:
        return len(found), 0.0
    left, fitted[:] = _without_affine(found)
    return len(found), left


@compiled
def _without_affine(found: Any) -> Any:
    """Return what is left of displacements, as `_displacements` gives them, without an affine map, and that map.

    It is fitted twice, the second time with little weight where much was left; shape (3, 2).
    """
    count = len(found)
    lengths, weights = np.empty(count), np.ones(count)
    fitted = _fitted(found, weights)
    for step in range(2):
        for cell in range(count):
            x, y = found[cell, 0], found[cell, 1]
            across = found[cell, 3] - fitted[0, 0] * x - fitted[1, 0] * y - fitted[2, 0]
            down = found[cell, 4] - fitted[0, 1] * x - fitted[1, 1] * y - fitted[2, 1]
            lengths[cell] = np.sqrt(across * across + down * down)
        if step == 0:
            usual = np.sort(lengths)[count // 2] + _TOLERANCE
            for cell in range(count):
                weights[cell] = 1.0 / (1.0 + (lengths[cell] / usual) ** 2) ** 2
            fitted = _fitted(found, weights)
    return np.sort(lengths)[int(_SHARE * count)], fitted


@compiled
def _fitted(found: Any, weights: Any) -> Any:
    """Return the affine map from places to displacements, shape (3, 2), by weighted least squares."""
    system = np.zeros((3, 5))
    for cell in range(len(found)):
        for row in range(3):
            for column in range(5):
                system[row, column] += weights[cell] * found[cell, row] * found[cell, column]
    # Cells in one line leave a direction open, in which nothing is to be explained.
    for row in range(3):
        system[row, row] += 1e-6
    for pivot in range(3):
        for row in range(3):
            if row != pivot:
                factor = system[row, pivot] / system[pivot, pivot]
                for column in range(5):
                    system[row, column] -= factor * system[pivot, column]
    fitted = np.empty((3, 2))
    for row in range(3):
        fitted[row, 0], fitted[row, 1] = system[row, 3] / system[row, row], system[row, 4] / system[row, row]
    return fitted


@compiled
def _displacements(first: Any, second: Any, inside: Any) -> Any:
    """Return of each cell that shows the same its place, as x, y and 1, and its displacement, shape (n, 5).

    Places count in widths of the picture from its middle, displacements in pixels.
    """
    height, width = first.shape
    found = np.empty(((height // _CELL) * (width // _CELL), 5), np.float64)
    count = 0
    for top in range(1, height - _CELL, _CELL):
        for left in range(1, width - _CELL, _CELL):
            if not _is_covered(inside, top, left):
                continue
            mean, other, gain, correlation, most = _tones(first, second, top, left)
            if correlation < _SAME or most < _TEXTURE:
                continue
            found[count, 0] = (left + 0.5 * (_CELL - width)) / width
            found[count, 1] = (top + 0.5 * (_CELL - height)) / width
            found[count, 2] = 1.0
            found[count, 3], found[count, 4] = _displacement(first, second, (top, left), mean - gain * other, gain)
            count += 1
    return found[:count]


@compiled
def _is_covered(inside: Any, top: int, left: int) -> bool:
    for y in range(top, top + _CELL):
        for x in range(left, left + _CELL):
            if not inside[y, x]:
                return False
    return True


@compiled
def _tones(first: Any, second: Any, top: int, left: int) -> Any:
    """Return of a cell both means, the gain from the second to the first, their correlation, the larger variance."""
    a = b = aa = bb = ab = np.float32(0)
    for y in range(top, top + _CELL):
        for x in range(left, left + _CELL):
            ours, theirs = first[y, x], second[y, x]
            a += ours
            b += theirs
            aa += ours * ours
            bb += theirs * theirs
            ab += ours * theirs
    share, floor = np.float32(1 / _CELL**2), np.float32(_VARIANCE_FLOOR)
    a, b = a * share, b * share
    ours, theirs = max(aa * share - a * a, np.float32(0)), max(bb * share - b * b, np.float32(0))
    correlation = (ab * share - a * b) / np.sqrt((ours + floor) * (theirs + floor))
    return a, b, np.sqrt((ours + np.float32(1)) / (theirs + np.float32(1))), correlation, max(ours, theirs)


@compiled
def _displacement(first: Any, second: Any, corner: Any, offset: Any, gain: Any) -> Any:
    """Return by how much a cell is displaced, x and y, given the tones of the second as gain and offset."""
    top, left = corner
    gg = gh = hh = ge = he = np.float32(0)
    quarter = np.float32(0.25)
    for y in range(top, top + _CELL):
        for x in range(left, left + _CELL):
            g = (first[y, x + 1] - first[y, x - 1] + gain * (second[y, x + 1] - second[y, x - 1])) * quarter
            h = (first[y + 1, x] - first[y - 1, x] + gain * (second[y + 1, x] - second[y - 1, x])) * quarter
            difference = first[y, x] - gain * second[y, x] - offset
            gg += g * g
            gh += g * h
            hh += h * h
            ge += g * difference
            he += h * difference
    damping = np.float32(_DAMPING * _CELL**2)
    gg, hh = gg + damping, hh + damping
    determinant = gg * hh - gh * gh
    return (hh * ge - gh * he) / determinant, (gg * he - gh * ge) / determinant
