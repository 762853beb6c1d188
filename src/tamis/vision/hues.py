"""Compiled comparison of the colour of a picture with that of another one that lies upon it.

A change of saturation and a tint that grows with brightness (white balance) are fitted first, by least squares with
weights that let what does not fit count little (S. Geman, D. McClure). The fit is bounded, so that no change explains
another hue.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tamis.vision.compiled import Array, compiled, native

_CHROMA, _LUMA, _MARKS, _MATRIX = Array(np.uint8, 3), Array(np.float32, 2), Array(np.uint8, 2), Array(np.float64, 2)
_BOX = (int, int, int, int)
#: Side of the cells whose means are compared, in pixels of the chroma.
_CELL = 2
#: Fewest cells that say anything.
_MIN_CELLS = 20
#: Least change of saturation, most change of it, and most tint at full brightness.
_LEAST_GAIN, _MOST_GAIN, _MOST_TINT = 0.35, 2.8, 18.0
#: Difference of chroma, 0 to 181, that no fit explains, and its growth with the chroma itself: vivid colours leave more
#: behind where edges are a fraction of a cell apart.
_HUE_STEP, _STEP_GROWTH = 8.0, 0.3
#: Chroma from which a cell has a colour, and number of cells below which their share says little.
_COLOURED = 8.0
_FEW = 60.0
#: A picture whose cells nowhere exceed this is a grey one; black and white objects exceed it somewhere.
_GREY = 0.6
#: Difference of brightness that coding makes in a grey version, and the one that shows it to be none.
_GREY_GAP = (2.5, 6.0)
_ROUNDS = 4
#: Share of the height that banners at the top and at the bottom take.
_BANNER = 0.17
#: Pixels of the frame beside a trimmed band that are left out.
_TRACE = 6


@native((_CHROMA, _CHROMA), (_LUMA, _LUMA), _MATRIX, _MARKS, _BOX, returns=(float, float, bool))
def compare_hues(chromas: Any, lumas: Any, outward: Any, inside: Any, box: Any) -> Any:
    """Return the share of the coloured cells that differ, 0 to 1, the mean difference, and whether nothing changed.

    Args:
        chromas: Cr and Cb around 128 of both pictures, each uint8 (h, w, 2) in half the size of its frame.
        lumas: the first frame and the second as sampled for it, each float32 (h, w).
        outward: maps pixels of the first chroma to those of the second, shape (2, 3).
        inside: pixels of the frame that both cover, uint8 (h, w).
        box: top, bottom, left and right of what is compared, in pixels of the frame.
    """
    cells = _cells(chromas, lumas, outward, inside, box)
    if len(cells) < _MIN_CELLS:
        return 0.0, 0.0, True
    grey_first = grey_second = True
    for cell in range(len(cells)):
        grey_first &= max(abs(cells[cell, 0]), abs(cells[cell, 1])) <= _GREY
        grey_second &= max(abs(cells[cell, 2]), abs(cells[cell, 3])) <= _GREY
    unchanged = _unchanged(cells)
    if grey_first and grey_second:
        return 0.0, 0.0, unchanged
    if grey_first or grey_second:
        return _grey_gap(cells), 0.0, unchanged
    there = _misfit(cells, 0, 2)
    back = _misfit(cells, 2, 0)
    return max(there[0], back[0]), max(there[1], back[1]), unchanged


@compiled
def _cells(chromas: Any, lumas: Any, outward: Any, inside: Any, box: Any) -> Any:
    """Return of each cell that is covered the chroma of both pictures and their brightness, 0 to 1, shape (n, 6)."""
    first, second = chromas
    height, width = first.shape[:2]
    rows, columns = second.shape[:2]
    top, bottom, left, right = box
    tall, wide = inside.shape
    # A banner may be as bright as what it covers, so that it was not trimmed; and what was leaves traces beside it.
    top, bottom = max(top, int(_BANNER * tall)), min(bottom, tall - int(_BANNER * tall))
    top, left = top + _TRACE * (top > 0), left + _TRACE * (left > 0)
    bottom, right = bottom - _TRACE * (bottom < tall), right - _TRACE * (right < wide)
    cells = np.empty(((height // _CELL) * (width // _CELL), 6), np.float32)
    count = 0
    for y in range(0, height - _CELL + 1, _CELL):
        above, below = y * tall // height, (y + _CELL) * tall // height - 1
        for x in range(0, width - _CELL + 1, _CELL):
            before, after = x * wide // width, (x + _CELL) * wide // width - 1
            if above < top or below >= bottom or before < left or after >= right:
                continue
            if not (inside[above, before] & inside[above, after] & inside[below, before] & inside[below, after]):
                continue
            cells[count] = 0
            for row in range(y, y + _CELL):
                for column in range(x, x + _CELL):
                    u = np.float32(outward[0, 0] * column + outward[0, 1] * row + outward[0, 2])
                    v = np.float32(outward[1, 0] * column + outward[1, 1] * row + outward[1, 2])
                    u = min(max(u, np.float32(0)), np.float32(columns - 1))
                    v = min(max(v, np.float32(0)), np.float32(rows - 1))
                    i, j = min(np.int32(v), rows - 2), min(np.int32(u), columns - 2)
                    s, t = v - np.float32(i), u - np.float32(j)
                    for channel in range(2):
                        a, b = np.float32(second[i, j, channel]), np.float32(second[i, j + 1, channel])
                        c, d = np.float32(second[i + 1, j, channel]), np.float32(second[i + 1, j + 1, channel])
                        upper = a + t * (b - a)
                        cells[count, channel] += np.float32(first[row, column, channel])
                        cells[count, 2 + channel] += upper + s * (c + t * (d - c) - upper)
            for plane in range(2):
                luma = lumas[plane]
                around = luma[above, before] + luma[above, after] + luma[below, before] + luma[below, after]
                cells[count, 4 + plane] = around / np.float32(1020)
            for channel in range(4):
                cells[count, channel] = cells[count, channel] / np.float32(_CELL * _CELL) - np.float32(128)
            count += 1
    return cells[:count]


@compiled
def _unchanged(cells: Any) -> Any:
    """Tell whether the mean chroma and its spread are the same."""
    means, spreads = np.zeros(4), np.zeros(2)
    for cell in range(len(cells)):
        for channel in range(4):
            means[channel] += cells[cell, channel] / len(cells)
    for cell in range(len(cells)):
        for channel in range(4):
            spreads[channel // 2] += abs(cells[cell, channel] - means[channel]) / (2 * len(cells))
    shift = max(abs(means[0] - means[2]), abs(means[1] - means[3]))
    return shift < 5.0 and abs(spreads[0] - spreads[1]) < 1.0 + 0.2 * max(spreads[0], spreads[1])


@compiled
def _grey_gap(cells: Any) -> Any:
    """Tell, 0 to 1, how far a grey picture is from the grey version of another.

    That changes the brightness of what had a colour no more than that of what had none.
    """
    gaps = np.empty((2, len(cells)), np.float32)
    counts = np.zeros(2, np.int64)
    for cell in range(len(cells)):
        first = max(abs(cells[cell, 0]), abs(cells[cell, 1]))
        second = max(abs(cells[cell, 2]), abs(cells[cell, 3]))
        kind = 1 if max(first, second) > _COLOURED else 0
        gaps[kind, counts[kind]] = abs(cells[cell, 4] - cells[cell, 5]) * np.float32(255)
        counts[kind] += 1
    if min(counts[0], counts[1]) < _MIN_CELLS:
        return 0.0
    low, high = _GREY_GAP
    # Where the ground changed as well, the whole picture was made brighter or darker.
    if np.median(gaps[0, : counts[0]]) > low:
        return 0.0
    return min(max((np.median(gaps[1, : counts[1]]) - low) / (high - low), 0.0), 1.0)


@compiled
def _misfit(cells: Any, ours: int, theirs: int) -> Any:
    """Fit one chroma to the other; return the share of coloured cells left out, and the mean difference."""
    gain, tints = 1.0, np.zeros(2)
    for turn in range(_ROUNDS):
        # Normal equations of the gain and the two tints, which meet in the gain alone.
        yy = xy = ll = 0.0
        ly, lx = np.zeros(2), np.zeros(2)
        for cell in range(len(cells)):
            light = cells[cell, 4]
            rest_0 = cells[cell, ours] - gain * cells[cell, theirs] - tints[0] * light
            rest_1 = cells[cell, ours + 1] - gain * cells[cell, theirs + 1] - tints[1] * light
            # All count alike at first, so that a strong change of saturation is found.
            weight = 1.0
            if turn:
                step = _HUE_STEP + _STEP_GROWTH * (abs(cells[cell, ours]) + abs(cells[cell, ours + 1]))
                weight = 1.0 / (1.0 + (rest_0 * rest_0 + rest_1 * rest_1) / (step * step))
                weight *= weight
            ll += weight * light * light
            for channel in range(2):
                x, y = cells[cell, ours + channel], cells[cell, theirs + channel]
                yy += weight * y * y
                xy += weight * x * y
                ly[channel] += weight * light * y
                lx[channel] += weight * light * x
        system = yy + 30.0 - (ly[0] * ly[0] + ly[1] * ly[1]) / (ll + 1.0)
        gain = (xy + 30.0 - (ly[0] * lx[0] + ly[1] * lx[1]) / (ll + 1.0)) / max(system, 1.0)
        gain = min(max(gain, _LEAST_GAIN), _MOST_GAIN)
        for channel in range(2):
            tint = (lx[channel] - gain * ly[channel]) / (ll + 1.0)
            tints[channel] = min(max(tint, -_MOST_TINT), _MOST_TINT)
    apart = coloured = 0
    rests = sizes = 0.0
    for cell in range(len(cells)):
        light = cells[cell, 4]
        rest_0 = cells[cell, ours] - gain * cells[cell, theirs] - tints[0] * light
        rest_1 = cells[cell, ours + 1] - gain * cells[cell, theirs + 1] - tints[1] * light
        rest = np.sqrt(rest_0 * rest_0 + rest_1 * rest_1)
        size = np.sqrt(cells[cell, ours] ** 2 + cells[cell, ours + 1] ** 2)
        size = max(size, gain * np.sqrt(cells[cell, theirs] ** 2 + cells[cell, theirs + 1] ** 2))
        apart += rest > _HUE_STEP + _STEP_GROWTH * size
        if size > _COLOURED:
            coloured += 1
            rests += rest
            sizes += size
    trust = coloured / (coloured + _FEW)
    return min(apart / max(coloured, 8), 1.0) * trust, min(rests / max(sizes, 60.0), 1.0) * trust
