"""Compiled comparison of a picture with another one that was laid over it, pixel on pixel.

Windows of local correlation are taken on every second row. Arrays are named alike everywhere: `inside` marks the pixels
that both pictures cover, `texture` those with something around them to correlate (`TEXTURED`, `FAINT`, and `SHARED`
where both pictures have some of the latter), `correlation` holds two planes, of what is textured and of what is faint,
and `hot` marks what differs in brightness.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tamis.vision.compiled import Array, compiled, native

#: Grey pictures, what is marked in them, correlations, maps, and a box (top, bottom, left, right).
_PLANE, _MARKS, _PLANES, _MATRIX = Array(np.float32, 2), Array(np.uint8, 2), Array(np.float32, 3), Array(np.float64, 2)
_BOX = (int, int, int, int)
#: Half the side of the square windows of local correlation, 9 pixels.
_REACH = 4
#: Variance of luma below which a window has no texture to correlate.
_TEXTURE = 20.0
#: Added to variances, so that coding noise in flat areas correlates with nothing.
_VARIANCE_FLOOR = 6.0
#: The same for faint texture, and the variances between which texture is faint: leather, cloth, paint; no outlines.
_FAINT_FLOOR = 2.0
_FAINT = (4.0, 400.0)
#: The same for what is left of the finest detail alone.
_FINE_FLOOR = 1.0
_FINE_TEXTURE = 2.0
TEXTURED, FAINT, SHARED = 1, 2, 4
#: Variance from which a window of the fainter picture has some texture, and least number of windows where both have:
#: noise, lettering on a plain ground and strong compression leave texture in one picture alone.
_FAINTER = 2.0
_MIN_SHARED = 100
#: By how much these correlate better than faint windows at large do; two wallets of one shape fall short by that.
_SHARED_SURPLUS = 0.05
#: Difference, in standard deviations of the picture, that counts.
_HOT = 0.45
#: Where at least so much of the area differs in brightness, and yet as large a share of textured windows agrees, a lens
#: or a filter may have darkened the corners; the share of what differs that may remain once that is fitted, and by
#: which share of the usual difference that is told: a thing in the middle in another shade is not fitted as closely.
_SHADED, _SHADED_AGREEMENT, _UNSHADED, _CLOSELY = 0.02, 0.9, 0.1, 0.4
#: Share of a side that a banner or frame may take.
_BAND_LIMIT = 0.2
_BINS = 256
#: Least number of windows from which a mean is taken.
_MIN_WINDOWS = 40


@native(_MARKS, int, int, _MATRIX, returns=int)
def cover(inside: Any, rows: int, columns: int, outward: Any) -> Any:
    """Mark the pixels that the map sends into a picture of so many rows and columns; return their number."""
    height, width = inside.shape
    covered: Any = 0
    right, bottom = np.float32(columns - 0.5), np.float32(rows - 0.5)
    step_u, step_v = np.float32(outward[0, 0]), np.float32(outward[1, 0])
    low = np.float32(-0.5)
    for y in range(height):
        start_u = np.float32(outward[0, 1] * y + outward[0, 2])
        start_v = np.float32(outward[1, 1] * y + outward[1, 2])
        for x in range(width):
            u, v = start_u + step_u * np.float32(x), start_v + step_v * np.float32(x)
            within: Any = np.uint8((u >= low) & (u <= right) & (v >= low) & (v <= bottom))
            inside[y, x] = within
            covered += within
    return covered


@compiled
def _slide(first: Any, second: Any, sums: Any, row: int, sign: float) -> None:
    """Add a row to the sums of each column, or take it away: both pictures, their squares, their product."""
    weight = np.float32(sign)
    for x in range(first.shape[1]):
        a, b = first[row, x] * weight, second[row, x] * weight
        sums[0, x + _REACH] += a
        sums[1, x + _REACH] += b
        sums[2, x + _REACH] += a * first[row, x]
        sums[3, x + _REACH] += b * second[row, x]
        sums[4, x + _REACH] += a * second[row, x]


@compiled
def _moments(first: Any, second: Any, moments: Any) -> None:
    """Covariance and both variances of the window around each pixel of the even rows, shape (3, h, w)."""
    height, width = first.shape
    padded = width + 2 * _REACH
    sums = np.zeros((5, padded), np.float32)
    pairs, fours = np.zeros(padded, np.float32), np.zeros(padded, np.float32)
    totals, shares = np.zeros((5, width), np.float32), np.empty(width, np.float32)
    for row in range(min(_REACH, height)):
        _slide(first, second, sums, row, 1.0)
    for y in range(0, height, 2):
        for row in range(max(y + _REACH - 1, _REACH) if y else _REACH, y + _REACH + 1):
            if row < height:
                _slide(first, second, sums, row, 1.0)
        for row in range(max(y - _REACH - 2, 0), y - _REACH):
            _slide(first, second, sums, row, -1.0)
        high = min(y + _REACH, height - 1) - max(y - _REACH, 0) + 1
        for x in range(width):
            shares[x] = np.float32(1) / np.float32(high * (min(x + _REACH, width - 1) - max(x - _REACH, 0) + 1))
        for plane in range(5):
            row_sums = sums[plane]
            for x in range(padded - 1):
                pairs[x] = row_sums[x] + row_sums[x + 1]
            for x in range(padded - 3):
                fours[x] = pairs[x] + pairs[x + 2]
            for x in range(width):
                totals[plane, x] = (fours[x] + fours[x + 4] + row_sums[x + 8]) * shares[x]
        for x in range(width):
            a, b = totals[0, x], totals[1, x]
            moments[0, y, x] = totals[4, x] - a * b
            moments[1, y, x] = max(totals[2, x] - a * a, np.float32(0))
            moments[2, y, x] = max(totals[3, x] - b * b, np.float32(0))


@native(_PLANE, _PLANE, _MARKS, _PLANES, _MARKS, returns=bool)
def correlate(first: Any, second: Any, inside: Any, correlation: Any, texture: Any) -> bool:
    """Correlate two grey pictures; tell whether enough agrees that leaving out bands could make a copy of it.

    Args:
        first: float32 (h, w).
        second: the other picture in its frame, float32 (h, w).
        inside: uint8 (h, w).
        correlation: becomes the correlations, float32 (2, h, w), on even rows.
        texture: becomes the marks, uint8 (h, w), on even rows.
    """
    height, width = first.shape
    moments = np.empty((3, height, width), np.float32)
    _moments(first, second, moments)
    floor, faint_floor = np.float32(_VARIANCE_FLOOR), np.float32(_FAINT_FLOOR)
    low, high, least = np.float32(_FAINT[0]), np.float32(_FAINT[1]), np.float32(_TEXTURE)
    fainter = np.float32(_FAINTER)
    agreeing = textured = 0
    for y in range(0, height, 2):
        above, below = max(y - 2, 0), min(y + 2, height - 1)
        for x in range(width):
            a, b, both = moments[1, y, x], moments[2, y, x], moments[0, y, x]
            most = max(a, b)
            correlation[0, y, x] = both / np.sqrt((a + floor) * (b + floor))
            correlation[1, y, x] = both / np.sqrt((a + faint_floor) * (b + faint_floor))
            faint = np.uint8((most > low) & (most < high))
            shared = faint & np.uint8(min(a, b) > fainter)
            texture[y, x] = np.uint8(most > least) + np.uint8(FAINT) * faint + np.uint8(SHARED) * shared
        for x in range(width):
            edge = inside[above, x] & inside[below, x] & inside[y, max(x - 2, 0)] & inside[y, min(x + 2, width - 1)]
            texture[y, x] *= edge & inside[y, x]
            marked = texture[y, x] & TEXTURED
            textured += marked
            agreeing += marked & (correlation[0, y, x] > 0.5)
    return agreeing >= 0.3 * textured


@native(_PLANE, _PLANE, _MARKS, _PLANES, _MARKS, _MARKS, returns=bool)
def compare_tones(first: Any, second: Any, inside: Any, correlation: Any, texture: Any, hot: Any) -> Any:
    """Fit contrast and brightness, mark what differs after that, and tell whether the fit is no change.

    The fit rests on what agrees, so that a banner does not bend it, or on everything when too little agrees. A small
    thing on a plain ground has little texture, and yet enough.
    """
    height, width = first.shape
    agreeing = textured = covered = 0
    for y in range(0, height, 2):
        for x in range(width):
            covered += inside[y, x]
            textured += texture[y, x] & TEXTURED
            agreeing += (texture[y, x] & TEXTURED) & (correlation[0, y, x] > 0.5)
    everything = agreeing <= max(0.4 * textured, _MIN_WINDOWS)
    count = a = b = aa = bb = ab = all_a = all_aa = 0.0
    plain, fitted = np.zeros(2 * _BINS, np.int64), np.zeros(16 * _BINS, np.int64)
    for y in range(0, height, 2):
        for x in range(width):
            ours, theirs, within = np.float64(first[y, x]), np.float64(second[y, x]), np.float64(inside[y, x])
            all_a += ours * within
            all_aa += ours * ours * within
            if inside[y, x] and (everything or (texture[y, x] & TEXTURED and correlation[0, y, x] > 0.5)):
                count += 1
                a += ours
                b += theirs
                aa += ours * ours
                bb += theirs * theirs
                ab += ours * theirs
                plain[np.int64(ours - theirs + _BINS)] += 1
    spread = max(bb / count - (b / count) ** 2, 0.0)
    gain = np.float32(min(max((ab / count - a / count * b / count) / (spread + 1e-3), 0.4), 2.5))
    for y in range(0, height, 2):
        for x in range(width):
            if inside[y, x] and (everything or (texture[y, x] & TEXTURED and correlation[0, y, x] > 0.5)):
                place: Any = np.int64(4 * (first[y, x] - gain * second[y, x] + 2 * _BINS))
                fitted[min(max(place, 0), 16 * _BINS - 1)] += 1
    offset = np.float32((_median_bin(fitted) + 0.5) / 4 - 2 * _BINS)
    deviation = np.sqrt(max(all_aa / covered - (all_a / covered) ** 2, 0.0))
    step = np.float32(_HOT * max(deviation, 12.0))
    plainly = np.array((gain, np.float32(0), np.float32(0), offset), np.float32)
    warm = _mark_hot(first, second, inside, plainly, step, hot)
    may_be_shaded = warm > 2 * _SHADED * covered and agreeing > _SHADED_AGREEMENT * textured and not everything
    if may_be_shaded and _mark_unshaded(first, second, inside, step, hot, warm):
        return False
    return abs(gain - 1.0) < 0.08 and abs(_median_bin(plain) + 0.5 - _BINS) < 4.0


@compiled
def _mark_unshaded(first: Any, second: Any, inside: Any, step: Any, hot: Any, warm: int) -> bool:
    """Mark what differs by more than a step where the corners were darkened, if that explains nearly all that differs.

    `warm` pixels differ if they were not. Tells whether that is so, and leaves the marks as they are if not.
    """
    fit, trial = _fit_shade(first, second, inside), np.empty(hot.shape, np.uint8)
    if _mark_hot(first, second, inside, fit, step * np.float32(_CLOSELY), trial) >= _UNSHADED * warm:
        return False
    _mark_hot(first, second, inside, fit, step, hot)
    return True


@compiled
def _mark_hot(first: Any, second: Any, inside: Any, fit: Any, step: Any, hot: Any) -> int:
    """Mark the pixels that differ by more than a step once tones are fitted; return their number.

    With p the brightness of the second, and r 0 in the middle of the picture and 1 at the middles of its sides, that of
    the first is fitted by p, p r^2, p r^4 and 1; `fit` holds the four factors.
    """
    height, width = first.shape
    warm = 0
    for y in range(height):
        down = _from_middle(y, height)
        for x in range(width):
            across = _from_middle(x, width)
            square = across * across + down * down
            expected = second[y, x] * (fit[0] + square * (fit[1] + square * fit[2])) + fit[3]
            hot[y, x] = inside[y, x] & (abs(first[y, x] - expected) > step)
            warm += hot[y, x]
    return warm


@compiled
def _from_middle(place: int, length: int) -> Any:
    """Where a pixel lies along a side, from -1 to 1."""
    return np.float32(2 * place + 1 - length) / np.float32(length)


@compiled
def _fit_shade(first: Any, second: Any, inside: Any) -> Any:
    """Return the four factors of `_mark_hot` that fit best, by least squares, float32."""
    height, width = first.shape
    system, terms = np.zeros((4, 5)), np.ones(5)
    for y in range(0, height, 2):
        down = _from_middle(y, height)
        for x in range(0, width, 2):
            across = _from_middle(x, width)
            square = across * across + down * down
            terms[0], terms[4] = second[y, x], first[y, x]
            terms[1] = terms[0] * square
            terms[2] = terms[1] * square
            for row in range(4):
                for column in range(row, 5):
                    system[row, column] += inside[y, x] * terms[row] * terms[column]
    for row in range(4):
        system[row, row] += 1e-3
        for column in range(row):
            system[row, column] = system[column, row]
    for pivot in range(4):
        for row in range(pivot + 1, 4):
            system[row] -= system[pivot] * (system[row, pivot] / system[pivot, pivot])
    fit = np.zeros(4, np.float32)
    for row in range(3, -1, -1):
        rest = system[row, 4]
        for column in range(row + 1, 4):
            rest -= system[row, column] * fit[column]
        fit[row] = rest / system[row, row]
    return fit


@compiled
def _median_bin(histogram: Any) -> int:
    half, total = histogram.sum() / 2, 0
    for place in range(len(histogram)):
        total += histogram[place]
        if total >= half:
            return place
    return 0


@native(_MARKS, _PLANES, _MARKS, _MARKS, returns=_BOX)
def without_bands(inside: Any, correlation: Any, texture: Any, hot: Any) -> Any:
    """Return top, bottom, left and right of what remains without bands along the edges that mostly differ."""
    height, width = inside.shape
    down, across = np.zeros((2, height)), np.zeros((2, width))
    for y in range(height):
        even = y - y % 2
        for x in range(width):
            differs = hot[y, x] | ((texture[even, x] & TEXTURED) & (correlation[0, even, x] < 0.35))
            down[0, y] += inside[y, x]
            down[1, y] += differs
            across[0, x] += inside[y, x]
            across[1, x] += differs
    rows, columns = max(1, int(_BAND_LIMIT * height)), max(1, int(_BAND_LIMIT * width))
    top, left = _longest_surplus(down, rows), _longest_surplus(across, columns)
    bottom = height - _longest_surplus(down[:, ::-1].copy(), rows)
    right = width - _longest_surplus(across[:, ::-1].copy(), columns)
    return top, bottom, left, right


@compiled
def _longest_surplus(lines: Any, limit: int) -> int:
    """Number of leading lines whose summed surplus is largest; none unless it is worth a line."""
    total, most, best = 0.0, 1.0, 0
    for line in range(limit):
        total += lines[1, line] / max(lines[0, line], 1.0) - 0.4
        if total > most:
            most, best = total, line + 1
    return best


@native(_MARKS, _PLANES, _MARKS, _MARKS, _BOX, returns=(float, float, float, int, int, int))
def summarise(inside: Any, correlation: Any, texture: Any, hot: Any, box: Any) -> Any:
    """Return of a box (top, bottom, left, right) what its windows say.

    They are the share that agrees, the median correlation, the mean correlation of the faint ones (of those alone that
    are faint in both pictures, if there are enough; 1 where all are too few), the textured windows, the pixels covered,
    and those that are hot. Counts are of all rows.
    """
    top, bottom, left, right = box
    agreeing = textured = faint = shared = kept = warm = 0
    total = shared_total = np.float32(0)
    bins = np.zeros(1000, np.int64)
    for y in range(top, bottom):
        for x in range(left, right):
            kept += inside[y, x]
            warm += hot[y, x]
    for y in range(top + top % 2, bottom, 2):
        for x in range(left, right):
            if texture[y, x] & TEXTURED:
                textured += 1
                agreeing += correlation[0, y, x] > 0.5
                place: Any = np.int64(correlation[0, y, x] * 500 + 500)
                bins[min(max(place, 0), 999)] += 1
            if texture[y, x] & FAINT:
                faint += 1
                total += correlation[1, y, x]
            if texture[y, x] & SHARED:
                shared += 1
                shared_total += correlation[1, y, x]
    mean = total / faint if faint > _MIN_WINDOWS else 1.0
    if shared >= _MIN_SHARED:
        mean = shared_total / shared - _SHARED_SURPLUS
    return agreeing / max(textured, 1), (_median_bin(bins) + 0.5) / 500 - 1, mean, 2 * textured, kept, warm


@native(_PLANE, _PLANE, _MARKS, _BOX, returns=float)
def fine_agreement(first: Any, second: Any, inside: Any, box: Any) -> float:
    """Return the share of windows whose finest detail correlates beyond one half, among those that have any.

    The finest detail is what remains of a picture less its mean over 3 by 3 pixels.
    """
    height, width = first.shape
    edges, moments = np.zeros((2, height, width), np.float32), np.empty((3, height, width), np.float32)
    ninth = np.float32(1 / 9)
    for plane in range(2):
        source = first if plane == 0 else second
        for y in range(1, height - 1):
            for x in range(1, width - 1):
                around = np.float32(0)
                for row in range(y - 1, y + 2):
                    around += source[row, x - 1] + source[row, x] + source[row, x + 1]
                edges[plane, y, x] = source[y, x] - around * ninth
    _moments(edges[0], edges[1], moments)
    top, bottom, left, right = box
    count = agreeing = 0
    floor = np.float32(_FINE_FLOOR)
    for y in range(top + 2 + top % 2, bottom - 2, 2):
        for x in range(left + 2, right - 2):
            a, b = moments[1, y, x], moments[2, y, x]
            if max(a, b) > _FINE_TEXTURE and inside[y - 2, x] & inside[y + 2, x] & inside[y, x - 2] & inside[y, x + 2]:
                count += 1
                agreeing += moments[0, y, x] > np.float32(0.5) * np.sqrt((a + floor) * (b + floor))
    return agreeing / count if count > _MIN_WINDOWS else 1.0
