"""Where one picture lies within another, found on tiny versions of both, without any feature.

A signature that met another says roughly how two pictures lie to each other: as wholes, or one as a window of the
other, mirrored, turned or not. From there the affine map is refined by Gauss-Newton steps on the difference of the
standardised brightness, with weights that let lettering and banners count little (B. Lucas, T. Kanade, IJCAI 1981;
S. Baker, I. Matthews, "Lucas-Kanade 20 years on", IJCV 2004; weights after S. Geman, D. McClure).

Coordinates are those of the unit square: a picture of any shape is stretched to it, (0, 0) its top left corner. A map
of six numbers a to f takes (x, y) of the first picture to (a x + b y + c, d x + e y + f) of the second.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from tamis.vision.signatures import COARSE, FINE

#: Side of the square on which the map of a pair that agrees is refined, and its steps.
CLOSE_SIDE = 80
_CLOSE_STEPS = 2
#: Agreement on that square below which two pictures are nothing to each other.
_CLOSE_FLOOR = 0.5
#: Steps at the coarse and at the fine scale between two looks at the result.
_COARSE_STEPS = (0, 2, 3, 3)
_FINE_STEPS = (0, 2, 2)
#: Agreement below which a pair is given up, at each look: one copy in five hundred falls short of it.
_COARSE_FLOORS = (0.42, 0.57, 0.66, 0.69)
_FINE_FLOORS = (0.52, 0.6, 0.635)
#: Agreement from which a pair deserves a closer look.
AGREEMENT = _FINE_FLOORS[-1]
#: Enlargement, as a ratio of areas, from which less agreement will do at the fine scale, and how much less: a fine
#: pattern comes out otherwise in a picture that is half as small again.
_ENLARGED, _RELIEF = 1.3, 0.06
#: Difference, in standard deviations, at which a pixel counts a quarter.
_TOLERANCE = 0.6
#: Least share of the first picture that the second must cover.
_MIN_COVERED = 0.3
#: Side of the windows of local correlation, the variance from which one has texture, and least number of such ones.
_WINDOW = 5
_TEXTURE = 20.0
_VARIANCE_FLOOR = 6.0
_MIN_WINDOWS = 20.0


def register(
    glances: NDArray[np.uint8],
    pairs: NDArray[np.int64],
    maps: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Refine the maps of pairs in place, and return how well each pair then agrees, shape (n,), 0 where given up.

    Args:
        glances: one row a picture, as `signatures.glance` gives it, shape (pictures, 2000).
        pairs: rows of the first and the second picture of each pair, shape (n, 2).
        maps: rough maps, shape (n, 6).
    """
    agreements = np.zeros(len(pairs))
    _register(glances, pairs, maps, agreements)
    return agreements


def refine_closely(first: NDArray[np.uint8], second: NDArray[np.uint8], unit_map: NDArray[np.float64]) -> bool:
    """Refine a map in place on squares of `CLOSE_SIDE`, raveled; tell whether the two agree at all there."""
    return bool(_refine_closely(first, second, unit_map))


def inverse_map(unit_map: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the map from the second picture to the first."""
    a, b, u, c, d, v = unit_map.tolist()
    scale = a * d - b * c
    a, b, c, d = d / scale, -b / scale, -c / scale, a / scale
    return np.array((a, b, -a * u - b * v, c, d, -c * u - d * v))


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _refine_closely(first: Any, second: Any, matrix: Any) -> bool:
    planes = np.empty((4, CLOSE_SIDE * CLOSE_SIDE), np.float32)
    if _agreement(first, second, CLOSE_SIDE, matrix, planes) < _CLOSE_FLOOR:
        return False
    _refine(first, second, CLOSE_SIDE, matrix, planes, _CLOSE_STEPS)
    return True


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _register(glances: Any, pairs: Any, maps: Any, agreements: Any) -> None:
    planes = np.empty((4, FINE * FINE), np.float32)
    border = COARSE * COARSE
    for pair in range(len(pairs)):
        first, second, matrix = glances[pairs[pair, 0]], glances[pairs[pair, 1]], maps[pair]
        coarse = first[:border], second[:border]
        relief = _RELIEF if abs(matrix[0] * matrix[4] - matrix[1] * matrix[3]) > _ENLARGED else 0.0
        found = np.float32(1)
        for look in range(len(_COARSE_STEPS)):
            _refine(coarse[0], coarse[1], COARSE, matrix, planes, _COARSE_STEPS[look])
            found = np.float32(_agreement(coarse[0], coarse[1], COARSE, matrix, planes))
            if found < _COARSE_FLOORS[look]:
                break
        if found < _COARSE_FLOORS[-1]:
            continue
        for look in range(len(_FINE_STEPS)):
            _refine(first[border:], second[border:], FINE, matrix, planes, _FINE_STEPS[look])
            found = np.float32(_agreement(first[border:], second[border:], FINE, matrix, planes))
            if found < _FINE_FLOORS[look] - relief:
                break
        agreements[pair] = found + relief if found >= _FINE_FLOORS[-1] - relief else 0.0


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _warp(source: Any, side: int, matrix: Any, planes: Any) -> int:
    """Sample a square where the map sends the pixels of another; return how many lie within.

    `planes` becomes the values, their slopes by x and by y in pixels of the source, and 1 where a pixel lies within.
    """
    count = 0
    step_u, step_v = np.float32(matrix[0]), np.float32(matrix[3])
    low, high = np.float32(-0.5), np.float32(side - 0.5)
    for row in range(side):
        y = row + 0.5
        u = np.float32(matrix[0] * 0.5 + matrix[1] * y + matrix[2] * side - 0.5)
        v = np.float32(matrix[3] * 0.5 + matrix[4] * y + matrix[5] * side - 0.5)
        for place in range(row * side, row * side + side):
            if low <= u <= high and low <= v <= high:
                left: Any = min(max(np.int32(u), 0), side - 2)
                top: Any = min(max(np.int32(v), 0), side - 2)
                across, down = u - np.float32(left), v - np.float32(top)
                corner = top * side + left
                a, b = np.float32(source[corner]), np.float32(source[corner + 1])
                c, d = np.float32(source[corner + side]), np.float32(source[corner + side + 1])
                upper, lower = b - a, d - c
                planes[1, place] = upper + down * (lower - upper)
                planes[2, place] = (c - a) + across * (lower - upper)
                planes[0, place] = a + across * upper + down * planes[2, place]
                planes[3, place] = 1
                count += 1
            else:
                planes[:, place] = 0
            u += step_u
            v += step_v
    return count


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _moments(target: Any, planes: Any, length: int) -> Any:
    """Means and reciprocal deviations of a square and of what was sampled for it."""
    total = first_sum = second_sum = first_square = second_square = np.float32(0)
    for place in range(length):
        inside, second = planes[3, place], planes[0, place] * planes[3, place]
        first = np.float32(target[place]) * inside
        total += inside
        first_sum += first
        second_sum += second
        first_square += first * first
        second_square += second * second
    first_mean, second_mean = first_sum / total, second_sum / total
    first_scale = 1 / (np.sqrt(max(first_square / total - first_mean * first_mean, np.float32(0))) + np.float32(0.5))
    second_scale = 1 / (
        np.sqrt(max(second_square / total - second_mean * second_mean, np.float32(0))) + np.float32(0.5)
    )
    return np.float32(first_mean), np.float32(second_mean), np.float32(first_scale), np.float32(second_scale)


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _refine(target: Any, source: Any, side: int, matrix: Any, planes: Any, steps: int) -> None:
    """Refine a map in place by so many steps, or leave it where the two hardly overlap."""
    length = side * side
    sums = np.empty(27, np.float32)
    for _ in range(steps):
        if _warp(source, side, matrix, planes) < _MIN_COVERED * length:
            return
        means = _moments(target, planes, length)
        sums[:] = 0
        for row in range(side):
            _add_row(target, planes, means, sums, row, side)
        _step(sums, matrix, np.float64(length))


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _add_row(target: Any, planes: Any, means: Any, sums: Any, row: int, side: int) -> None:
    """Add a row's share to the normal equations.

    With slopes g by x and h by y they are the sums of g g, g h and h h, each times 1, x, y, x x, x y and y y, and
    those of g e and h e, each times x, y and 1, for the difference e. Within a row y is constant.
    """
    one, zero = np.float32(1), np.float32(0)
    tolerance, slope_scale = np.float32(1 / _TOLERANCE**2), np.float32(means[3] * side)
    gg = gh = hh = ggx = ghx = hhx = ggxx = ghxx = hhxx = ge = he = gex = hex_ = zero
    for column in range(side):
        place = row * side + column
        difference = (np.float32(target[place]) - means[0]) * means[2] - (planes[0, place] - means[1]) * means[3]
        weight = one / (one + difference * difference * tolerance)
        weight *= weight * planes[3, place]
        # Steps turn around the middle of the picture, which keeps the system well conditioned.
        x = (np.float32(column) + np.float32(0.5)) / np.float32(side) - np.float32(0.5)
        g, h = planes[1, place] * slope_scale, planes[2, place] * slope_scale
        wg, wh = weight * g, weight * h
        gg += wg * g
        gh += wg * h
        hh += wh * h
        ggx += wg * g * x
        ghx += wg * h * x
        hhx += wh * h * x
        ggxx += wg * g * x * x
        ghxx += wg * h * x * x
        hhxx += wh * h * x * x
        ge += wg * difference
        he += wh * difference
        gex += wg * difference * x
        hex_ += wh * difference * x
    y = (np.float32(row) + np.float32(0.5)) / np.float32(side) - np.float32(0.5)
    upper = (
        ggxx, ggx * y, ggx, ghxx, ghx * y, ghx, gex,
        gg * y * y, gg * y, ghx * y, gh * y * y, gh * y, ge * y,
        gg, ghx, gh * y, gh, ge,
        hhxx, hhx * y, hhx, hex_,
        hh * y * y, hh * y, he * y,
        hh, he,
    )  # fmt: skip
    for entry in range(27):
        sums[entry] += upper[entry]


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _step(sums: Any, matrix: Any, length: float) -> None:
    """Solve the damped normal equations, given their upper triangle with the right side, and move the map."""
    system = np.empty((6, 7))
    entry = 0
    for row in range(6):
        for column in range(row, 7):
            system[row, column] = sums[entry]
            if column < 6:
                system[column, row] = sums[entry]
            entry += 1
        system[row, row] = system[row, row] * 1.01 + 0.002 * length
    for pivot in range(6):
        for row in range(pivot + 1, 6):
            factor = system[row, pivot] / system[pivot, pivot]
            for column in range(pivot, 7):
                system[row, column] -= factor * system[pivot, column]
    for row in range(5, -1, -1):
        for column in range(row + 1, 6):
            system[row, 6] -= system[row, column] * system[column, 6]
        system[row, 6] = min(max(system[row, 6] / system[row, row], -0.1), 0.1)
    for half in (0, 3):
        matrix[half] += system[half, 6]
        matrix[half + 1] += system[half + 1, 6]
        matrix[half + 2] += system[half + 2, 6] - 0.5 * (system[half, 6] + system[half + 1, 6])


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _agreement(target: Any, source: Any, side: int, matrix: Any, planes: Any) -> Any:
    """Mean correlation of the windows that have texture."""
    length = side * side
    if _warp(source, side, matrix, planes) < _MIN_COVERED * length:
        return 0.0
    # Of each column the sums over the rows of a window: both pictures, their squares, their product, pixels within.
    columns = np.zeros((6, side), np.float32)
    area, floor = np.float32(_WINDOW * _WINDOW), np.float32(_VARIANCE_FLOOR)
    total = textured = np.float32(0)
    for row in range(side):
        for sign in (1, -1):
            if sign < 0 and row < _WINDOW:
                continue
            start = row * side if sign > 0 else (row - _WINDOW) * side
            for column in range(side):
                inside = planes[3, start + column] * sign
                first, second = np.float32(target[start + column]), planes[0, start + column]
                columns[0, column] += first * inside
                columns[1, column] += second * inside
                columns[2, column] += first * first * inside
                columns[3, column] += second * second * inside
                columns[4, column] += first * second * inside
                columns[5, column] += inside
        if row < _WINDOW - 1:
            continue
        for left in range(side - _WINDOW + 1):
            a = b = aa = bb = ab = inside = np.float32(0)
            for column in range(left, left + _WINDOW):
                a += columns[0, column]
                b += columns[1, column]
                aa += columns[2, column]
                bb += columns[3, column]
                ab += columns[4, column]
                inside += columns[5, column]
            first = max((aa - a * a / area) / area, np.float32(0))
            second = max((bb - b * b / area) / area, np.float32(0))
            if inside > area - 1 and max(first, second) > np.float32(_TEXTURE):
                textured += 1
                total += (ab - a * b / area) / area / np.sqrt((first + floor) * (second + floor))
    return total / max(textured, np.float32(_MIN_WINDOWS))
