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

import numpy as np
from numpy.typing import NDArray

from tamis.vision.compiled import Array, compiled, native
from tamis.vision.signatures import COARSE, FINE

_SQUARE = Array(np.uint8, 1)
#: Side of the square on which the map of a pair that agrees is refined, and its steps.
CLOSE_SIDE = 80
_CLOSE_STEPS = 2
#: Agreement on that square below which two pictures are nothing to each other.
_CLOSE_FLOOR = 0.5
#: Looks at the coarse and at the fine scale: steps before each, and the agreement below which a pair is given up; one
#: copy in five hundred falls short of it.
_COARSE_LOOKS = np.array(((0, 0.42), (2, 0.58), (3, 0.66), (3, 0.7)))
_FINE_LOOKS = np.array(((0, 0.52), (2, 0.6), (2, 0.64)))
#: Agreement from which a pair deserves a closer look.
AGREEMENT = float(_FINE_LOOKS[-1, 1])
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
#: Share of the height that a banner may take, and the mean correlation below which rows of windows belong to one.
_BAND_LIMIT = 0.2
_BAND_AGREEMENT = 0.4


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
    register_pairs(glances, pairs, maps, agreements)
    return agreements


def refine_closely(first: NDArray[np.uint8], second: NDArray[np.uint8], unit_map: NDArray[np.float64]) -> bool:
    """Refine a map in place on squares of `CLOSE_SIDE`, raveled; tell whether the two agree at all there."""
    return bool(refine_pair(first, second, unit_map))


def inverse_map(unit_map: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the map from the second picture to the first."""
    a, b, u, c, d, v = unit_map.tolist()
    scale = a * d - b * c
    a, b, c, d = d / scale, -b / scale, -c / scale, a / scale
    return np.array((a, b, -a * u - b * v, c, d, -c * u - d * v))


@native(_SQUARE, _SQUARE, Array(np.float64, 1), returns=bool)
def refine_pair(first: Any, second: Any, matrix: Any) -> bool:
    """What `refine_closely` compiles to."""
    planes, span = np.empty((4, CLOSE_SIDE * CLOSE_SIDE), np.float32), np.array((0, CLOSE_SIDE))
    if _agreement(first, second, CLOSE_SIDE, matrix, planes, span) < _CLOSE_FLOOR:
        return False
    _refine(first, second, CLOSE_SIDE, matrix, planes, span, _CLOSE_STEPS)
    return True


@native(Array(np.uint8, 2), Array(np.int64, 2), Array(np.float64, 2), Array(np.float64, 1))
def register_pairs(glances: Any, pairs: Any, maps: Any, agreements: Any) -> None:
    """What `register` compiles to."""
    planes = np.empty((4, FINE * FINE), np.float32)
    border = COARSE * COARSE
    for pair in range(len(pairs)):
        first, second, matrix = glances[pairs[pair, 0]], glances[pairs[pair, 1]], maps[pair]
        relief = _RELIEF if abs(matrix[0] * matrix[4] - matrix[1] * matrix[3]) > _ENLARGED else 0.0
        coarse, fine = (first[:border], second[:border]), (first[border:], second[border:])
        if _approach(coarse, COARSE, matrix, planes, _COARSE_LOOKS, 0.0):
            found = _approach(fine, FINE, matrix, planes, _FINE_LOOKS, relief)
            agreements[pair] = found + relief if found else 0.0


@compiled
def _approach(squares: Any, side: int, matrix: Any, planes: Any, looks: Any, relief: float) -> Any:
    """Refine a map in place, look by look; return the agreement that it comes to, 0 where it falls below a floor.

    `looks` holds the steps before each look and its floor. A map that agrees less after its steps is put back, and goes
    no further.
    """
    first, second = squares
    span, before, reached = np.array((0, side)), matrix.copy(), np.float32(0)
    for look in range(len(looks)):
        _refine(first, second, side, matrix, planes, span, int(looks[look, 0]))
        found = _agreement(first, second, side, matrix, planes, span)
        if found < reached:
            matrix[:] = before
            return reached if reached >= looks[-1, 1] - relief else np.float32(0)
        if found < looks[look, 1] - relief:
            return np.float32(0)
        before[:], reached = matrix, found
    return reached


@compiled
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


@compiled
def _moments(target: Any, planes: Any, start: int, end: int) -> Any:
    """Means and reciprocal deviations of a stretch of a square and of what was sampled for it."""
    total = first_sum = second_sum = first_square = second_square = np.float32(0)
    for place in range(start, end):
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


@compiled
def _refine(target: Any, source: Any, side: int, matrix: Any, planes: Any, span: Any, steps: int) -> None:
    """Refine a map in place by so many steps over a span of rows, or leave it where the two hardly overlap.

    `planes` holds what `_warp` sampled by this map, as `_agreement` leaves it.
    """
    sums = np.empty(27, np.float32)
    for step in range(steps):
        if step and _warp(source, side, matrix, planes) < _MIN_COVERED * side * side:
            return
        means = _moments(target, planes, span[0] * side, span[1] * side)
        sums[:] = 0
        for row in range(span[0], span[1]):
            _add_row(target, planes, means, sums, row, side)
        _step(sums, matrix, np.float64(side * (span[1] - span[0])))


@compiled
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


@compiled
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


@compiled
def _agreement(target: Any, source: Any, side: int, matrix: Any, planes: Any, span: Any) -> Any:
    """Mean correlation of the windows that have texture, less what lies in bands at the top or bottom.

    `span` becomes the first row and the one behind the last that remain. A banner has more texture than a thing on a
    plain ground has, and would draw the map to itself.
    """
    if _warp(source, side, matrix, planes) < _MIN_COVERED * side * side:
        return np.float32(0)
    windows = side - _WINDOW + 1
    totals, counts = np.zeros(windows, np.float32), np.zeros(windows, np.float32)
    _correlate_rows(target, side, planes, totals, counts)
    limit = int(_BAND_LIMIT * side)
    span[0] = _band(totals, counts, limit)
    span[1] = side - _band(totals[::-1], counts[::-1], limit)
    rows = slice(span[0], span[1] - _WINDOW + 1)
    return totals[rows].sum() / max(counts[rows].sum(), np.float32(_MIN_WINDOWS))


@compiled
def _band(totals: Any, counts: Any, limit: int) -> int:
    """Number of leading rows, up to a limit, whose windows fall short of `_BAND_AGREEMENT` by most in all."""
    short, most, best = np.float32(0), np.float32(0), 0
    for row in range(limit):
        short += np.float32(_BAND_AGREEMENT) * counts[row] - totals[row]
        if short > most:
            most, best = short, row + 1
    return best


@compiled
def _correlate_rows(target: Any, side: int, planes: Any, totals: Any, counts: Any) -> None:
    """Sum up the correlations of the windows with texture, and count them, of each row of windows."""
    # Of each column the sums over the rows of a window: both pictures, their squares, their product, pixels within.
    columns, windows = np.zeros((6, side), np.float32), np.empty((6, side), np.float32)
    pairs, fours = np.empty(side, np.float32), np.empty(side, np.float32)
    share, floor, least = np.float32(1 / _WINDOW**2), np.float32(_VARIANCE_FLOOR), np.float32(_TEXTURE)
    for row in range(side):
        for sign in (1, -1):
            if sign < 0 and row < _WINDOW:
                continue
            start, weight = row * side if sign > 0 else (row - _WINDOW) * side, np.float32(sign)
            for column in range(side):
                inside = planes[3, start + column] * weight
                first, second = np.float32(target[start + column]), planes[0, start + column]
                columns[0, column] += first * inside
                columns[1, column] += second * inside
                columns[2, column] += first * first * inside
                columns[3, column] += second * second * inside
                columns[4, column] += first * second * inside
                columns[5, column] += inside
        if row < _WINDOW - 1:
            continue
        for plane in range(6):
            sums = columns[plane]
            for left in range(side - 1):
                pairs[left] = sums[left] + sums[left + 1]
            for left in range(side - 3):
                fours[left] = pairs[left] + pairs[left + 2]
            for left in range(side - 4):
                windows[plane, left] = (fours[left] + sums[left + 4]) * share
        total = textured = np.float32(0)
        for left in range(side - _WINDOW + 1):
            a, b, inside = windows[0, left], windows[1, left], windows[5, left]
            first = max(windows[2, left] - a * a, np.float32(0))
            second = max(windows[3, left] - b * b, np.float32(0))
            counted = np.float32((inside > np.float32(0.99)) & (max(first, second) > least))
            textured += counted
            total += counted * (windows[4, left] - a * b) / np.sqrt((first + floor) * (second + floor))
        totals[row - _WINDOW + 1], counts[row - _WINDOW + 1] = total, textured
