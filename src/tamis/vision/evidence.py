"""How two aligned pictures compare, so that edits can be told from look-alikes.

After alignment a copy may differ in thin strokes (lettering, compression) and in bands along its edges (banners,
frames), while another car on the same stand differs in one solid area in the middle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
Plane = NDArray[np.float32]
Flags = NDArray[np.bool_]
Matrix = NDArray[np.float64]

#: Half the side of the square windows of local correlation, 9 pixels.
_REACH = 4
#: Variance of luma below which a window has no texture to correlate.
_TEXTURE = 20.0
#: Added to variances, so that coding noise in flat areas correlates with nothing.
_VARIANCE_FLOOR = 6.0
#: Least textured area, in pixels of the frame; with less there is nothing to judge by.
_MIN_TEXTURED = 120
#: Least overlap, as a share of the smaller picture.
_MIN_OVERLAP = 0.4
#: Solid differences survive an opening with this, strokes of letters do not.
_STROKES = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
#: Difference, in standard deviations of the picture, that counts.
_HOT = 0.45
#: Difference of chroma, 0 to 181, that no global change of saturation and white balance explains.
_HUE_STEP = 14.0
#: A picture whose chroma nowhere exceeds this is a grey one; dark and pale objects exceed it.
_GREY_CHROMA = 2.5
#: Share of a side that a banner or frame may take.
_BAND_LIMIT = 0.2
#: Median local correlation that copies reach, whatever lies over a part of them, and the weight of what is missing.
_COPY_DETAIL = (0.92, 2.0)
_TURNED_DETAIL = (0.95, 9.0)
#: Merit at which a pair is as likely a copy as not, and the spread around it: fitted on edits and look-alikes.
_MERIT_CENTRE = 0.65
_MERIT_SPREAD = 0.05
#: Share of the texture that must agree, whatever lies in bands along the edges.
_LEAST_AGREEING = 0.3
#: Merit below which colour is not looked at: it can only lessen it.
_HOPELESS = 0.3
#: Distortion that comes from sizes in whole pixels, and the weight of more.
_ROUNDING = 0.01
_BENT_WEIGHT = 15.0
_BINS = 256


@dataclass(frozen=True, slots=True)
class Evidence:
    """How two aligned pictures compare.

    Attributes:
        agreement: share of the textured area whose local correlation exceeds 0.5.
        detail: median of the local correlation there.
        solid: share of the area that differs in solid patches, once brightness and contrast are fitted.
        colour: share of the area whose colour differs, once saturation and white balance are fitted.
        trimmed: share of the area left out as bands along the edges.
        plain: the pictures fit as they are, without change of tone, colour or framing.
        distortion: how far the alignment is from a turned, scaled and shifted picture, as a share of its size.
    """

    agreement: float
    detail: float
    solid: float
    colour: float
    trimmed: float
    plain: bool
    distortion: float = 0.0

    def merit(self, *, turned: bool = False) -> float:
        """One number that orders pairs from look-alikes to copies.

        Pictures that had to be mirrored or `turned` must agree in detail: the two sides of a symmetric thing in a
        symmetric room agree in everything else.
        """
        wanted, weight = _TURNED_DETAIL if turned else _COPY_DETAIL
        vague = max(0.0, wanted - self.detail)
        # Copies are stretched in one direction by rounding alone; to lie on one another look-alikes must be bent.
        bent = max(0.0, self.distortion - (0.0 if turned else _ROUNDING))
        return (
            self.agreement - weight * vague - 6.0 * self.solid - 2.0 * self.colour - self.trimmed - _BENT_WEIGHT * bent
        )

    def score(self, *, turned: bool = False) -> float:
        """The merit as a score, 0 to 1; 0.5 is as likely a copy as not."""
        return float(1.0 / (1.0 + np.exp((_MERIT_CENTRE - self.merit(turned=turned)) / _MERIT_SPREAD)))


def distortion(matrix: Matrix) -> float:
    """Return how far a map, shape (2, 3), is from a similarity, as a share of its scale."""
    (a, b), (c, d) = matrix[:, :2].tolist()
    scale = math.hypot(a + d, b - c) / 2
    return math.hypot((a - d) / 2, (b + c) / 2) * math.sqrt(2) / max(scale, 1e-6)


def judge(frames: tuple[Grey, Grey], chromas: tuple[Grey, Grey], inward: Matrix, *, framed: bool) -> Evidence | None:
    """Compare two pictures in the frame of the first.

    Args:
        frames: the grey pictures, of any shapes (h, w).
        chromas: Cr and Cb around 128 of each, shape (h, w, 2), smaller or larger than the frames.
        inward: maps pixels of the second frame to pixels of the first, shape (2, 3).
        framed: the map is the one that puts edge on edge.

    Returns:
        None where the two hardly overlap, have no texture to compare, or agree in next to nothing.
    """
    first, second = frames
    outward = inverse(inward)
    smaller = min(float(first.size), second.size * abs(float(np.linalg.det(inward[:, :2]))))
    planes = np.empty((3, *first.shape), dtype=np.float32)
    flags = np.empty((3, *first.shape), dtype=np.uint8)
    area = _correlate(first, second, outward, planes, flags)
    if area < max(1.0, _MIN_OVERLAP * smaller):
        return None
    if not _worth_more(planes[1], flags):
        return None
    tone_kept = _compare_tones(first, planes, flags)
    top, bottom, left, right = _without_bands(flags, planes[2])
    agreement, detail, textured, kept = _summarise(planes[1], flags, top, bottom, left, right)
    if textured < _MIN_TEXTURED:
        return None
    patches = cv2.morphologyEx(np.ascontiguousarray(flags[2, top:bottom, left:right]), cv2.MORPH_OPEN, _STROKES)
    solid, trimmed = float(cv2.countNonZero(patches)) / kept, 1.0 - kept / area
    bent = 0.0 if framed else distortion(inward)
    found = Evidence(agreement, detail, solid, colour=0.0, trimmed=trimmed, plain=False, distortion=bent)
    if found.merit() < _HOPELESS:
        return found
    inside = np.zeros(first.shape, dtype=np.uint8)
    inside[top:bottom, left:right] = flags[0, top:bottom, left:right]
    colour, colour_kept = _colour_difference(chromas, frames, inward, inside)
    faithful = agreement > 0.95 and trimmed == 0.0 and solid == 0.0 and colour == 0.0
    return replace(found, colour=colour, plain=framed and faithful and tone_kept and colour_kept)


def inverse(matrix: Matrix) -> Matrix:
    """Return the map back, shape (2, 3)."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack((linear, -linear @ matrix[:, 2]))


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _correlate(first: Any, second: Any, outward: Any, planes: Any, flags: Any) -> float:
    """Sample the second picture where the map sends the pixels of the first, and correlate the windows around each.

    Of `planes` the first becomes the samples, the second the correlations; of `flags` the first the pixels that are
    covered, the second those with texture around them. Returns how many are covered.
    """
    height, width = first.shape
    rows, columns = second.shape
    covered = 0
    for y in range(height):
        for x in range(width):
            u = np.float32(outward[0, 0] * x + outward[0, 1] * y + outward[0, 2])
            v = np.float32(outward[1, 0] * x + outward[1, 1] * y + outward[1, 2])
            inside = -0.5 <= u <= columns - 0.5 and -0.5 <= v <= rows - 0.5
            flags[0, y, x] = inside
            covered += inside
            u, v = min(max(u, np.float32(0)), np.float32(columns - 1)), min(max(v, np.float32(0)), np.float32(rows - 1))
            left, top = np.int32(u), np.int32(v)
            right, bottom = min(left + 1, columns - 1), min(top + 1, rows - 1)
            a, b = np.float32(second[top, left]), np.float32(second[top, right])
            c, d = np.float32(second[bottom, left]), np.float32(second[bottom, right])
            upper, lower = a + (u - left) * (b - a), c + (u - left) * (d - c)
            planes[0, y, x] = upper + (v - top) * (lower - upper)
    sums = np.zeros((5, width), np.float32)
    for y in range(-_REACH, height):
        _slide(first, planes[0], sums, y + _REACH, y - _REACH - 1)
        if y >= 0:
            _correlate_row(sums, y, height, planes, flags)
    return np.float64(covered)


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _slide(first: Any, second: Any, sums: Any, entering: int, leaving: int) -> None:
    """Move the windows' rows down by one: of each column the sums of both pictures, their squares and product."""
    height, width = first.shape
    for x in range(width):
        if entering < height:
            a, b = np.float32(first[entering, x]), second[entering, x]
            sums[0, x] += a
            sums[1, x] += b
            sums[2, x] += a * a
            sums[3, x] += b * b
            sums[4, x] += a * b
        if leaving >= 0:
            a, b = np.float32(first[leaving, x]), second[leaving, x]
            sums[0, x] -= a
            sums[1, x] -= b
            sums[2, x] -= a * a
            sums[3, x] -= b * b
            sums[4, x] -= a * b


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _correlate_row(sums: Any, y: int, height: int, planes: Any, flags: Any) -> None:
    width = sums.shape[1]
    a = b = aa = bb = ab = np.float32(0)
    floor, texture = np.float32(_VARIANCE_FLOOR), np.float32(_TEXTURE)
    high = min(y + _REACH, height - 1) - max(y - _REACH, 0) + 1
    for x in range(-_REACH, width):
        entering, leaving = x + _REACH, x - _REACH - 1
        if entering < width:
            a += sums[0, entering]
            b += sums[1, entering]
            aa += sums[2, entering]
            bb += sums[3, entering]
            ab += sums[4, entering]
        if leaving >= 0:
            a -= sums[0, leaving]
            b -= sums[1, leaving]
            aa -= sums[2, leaving]
            bb -= sums[3, leaving]
            ab -= sums[4, leaving]
        if x < 0:
            continue
        share = np.float32(1) / np.float32(high * (min(x + _REACH, width - 1) - max(x - _REACH, 0) + 1))
        first = max(aa * share - a * share * a * share, np.float32(0))
        second = max(bb * share - b * share * b * share, np.float32(0))
        planes[1, y, x] = (ab * share - a * share * b * share) / np.sqrt((first + floor) * (second + floor))
        edge = flags[0, max(y - 2, 0), x] & flags[0, min(y + 2, height - 1), x]
        edge &= flags[0, y, max(x - 2, 0)] & flags[0, y, min(x + 2, width - 1)]
        flags[1, y, x] = edge and max(first, second) > texture


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _worth_more(correlation: Any, flags: Any) -> bool:
    """Tell whether enough of the texture agrees that leaving out bands along the edges could make a copy of it."""
    agreeing = textured = 0
    for y in range(correlation.shape[0]):
        for x in range(correlation.shape[1]):
            textured += flags[1, y, x]
            agreeing += flags[1, y, x] and correlation[y, x] > 0.5
    return agreeing >= _LEAST_AGREEING * textured


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _compare_tones(first: Any, planes: Any, flags: Any) -> bool:
    """Fit contrast and brightness, mark what differs after that, and tell whether the fit is no change.

    The fit rests on what agrees, so that a banner does not bend it, or on everything when too little agrees. The third
    of `flags` becomes the pixels that differ; the third of `planes` 1 for those and for what does not correlate.
    """
    height, width = first.shape
    agreeing = covered = 0
    for y in range(height):
        for x in range(width):
            covered += flags[0, y, x]
            agreeing += flags[1, y, x] and planes[1, y, x] > 0.5
    everything = agreeing <= 0.2 * covered
    count = a = b = aa = bb = ab = all_a = all_aa = 0.0
    plain = np.zeros(2 * _BINS, np.int64)
    for y in range(height):
        for x in range(width):
            if not flags[0, y, x]:
                continue
            ours, theirs = np.float64(first[y, x]), np.float64(planes[0, y, x])
            all_a += ours
            all_aa += ours * ours
            if everything or (flags[1, y, x] and planes[1, y, x] > 0.5):
                count += 1
                a += ours
                b += theirs
                aa += ours * ours
                bb += theirs * theirs
                ab += ours * theirs
                plain[np.int64(ours - theirs + _BINS)] += 1
    spread = max(bb / count - (b / count) ** 2, 0.0)
    gain = min(max((ab / count - a / count * b / count) / (spread + 1e-3), 0.4), 2.5)
    fitted = np.zeros(16 * _BINS, np.int64)
    for y in range(height):
        for x in range(width):
            if flags[0, y, x] and (everything or (flags[1, y, x] and planes[1, y, x] > 0.5)):
                rest = np.float64(first[y, x]) - gain * planes[0, y, x]
                place: Any = np.int64(4 * (rest + 2 * _BINS))
                fitted[min(max(place, 0), 16 * _BINS - 1)] += 1
    offset = (_median_bin(fitted) + 0.5) / 4 - 2 * _BINS
    deviation = np.sqrt(max(all_aa / covered - (all_a / covered) ** 2, 0.0))
    step = np.float32(_HOT * max(deviation, 12.0))
    for y in range(height):
        for x in range(width):
            rest = abs(np.float32(first[y, x]) - np.float32(gain) * planes[0, y, x] - np.float32(offset))
            flags[2, y, x] = flags[0, y, x] and rest > step
            planes[2, y, x] = flags[2, y, x] or (flags[1, y, x] and planes[1, y, x] < 0.35)
    return abs(gain - 1.0) < 0.08 and abs(_median_bin(plain) + 0.5 - _BINS) < 4.0


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _median_bin(histogram: Any) -> int:
    half, total = histogram.sum() / 2, 0
    for place in range(len(histogram)):
        total += histogram[place]
        if total >= half:
            return place
    return 0


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _summarise(correlation: Any, flags: Any, top: int, bottom: int, left: int, right: int) -> Any:
    """Agreement, detail, number of textured and of covered pixels within the frame less its bands."""
    agreeing = textured = kept = 0
    bins = np.zeros(1000, np.int64)
    for y in range(top, bottom):
        for x in range(left, right):
            kept += flags[0, y, x]
            if flags[1, y, x]:
                textured += 1
                agreeing += correlation[y, x] > 0.5
                place: Any = np.int64(correlation[y, x] * 500 + 500)
                bins[min(max(place, 0), 999)] += 1
    return agreeing / max(textured, 1), (_median_bin(bins) + 0.5) / 500 - 1, textured, np.float64(kept)


def _without_bands(flags: NDArray[np.uint8], differing: Plane) -> tuple[int, int, int, int]:
    """Return the rows and columns that remain without bands along the edges that mostly differ."""
    limits: list[int] = []
    for axis in (1, 0):
        across = np.maximum(flags[0].sum(axis=axis, dtype=np.int64), 1)
        surplus = differing.sum(axis=axis, dtype=np.float64) / across - 0.4
        limit = max(1, int(_BAND_LIMIT * len(surplus)))
        limits += _longest_surplus(surplus[:limit]), len(surplus) - _longest_surplus(surplus[::-1][:limit])
    top, bottom, left, right = limits
    return top, bottom, left, right


def _longest_surplus(surplus: NDArray[np.float64]) -> int:
    """Number of leading lines whose summed surplus is largest; none unless it is worth two lines."""
    sums = np.cumsum(surplus)
    best = int(sums.argmax())
    return best + 1 if sums[best] > 1.0 else 0


def _colour_difference(
    chromas: tuple[Grey, Grey], frames: tuple[Grey, Grey], inward: Matrix, kept: Grey
) -> tuple[float, bool]:
    """Share of cells whose chroma differs after a fit of saturation and tint, and whether that fit is no change.

    A grey version of a picture has no colour that could differ.
    """
    height, width = kept.shape
    cells = max(4, width // 5), max(4, height // 5)
    whole = np.asarray(cv2.resize(kept * 255, cells, interpolation=cv2.INTER_AREA)) > 242
    if np.count_nonzero(whole) < 20:
        return 0.0, True
    first, second = chromas
    shrunk = _scaled(inward, frames, chromas)
    warped = cv2.warpAffine(second, shrunk, first.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    ours = _cells(first, cells)[whole]
    theirs = _cells(np.asarray(warped, dtype=np.uint8), cells)[whole]
    centres = np.median(ours, axis=0), np.median(theirs, axis=0)
    shift = np.abs(centres[0] - centres[1]).max()
    ours, theirs = ours - centres[0], theirs - centres[1]
    spreads = float(np.abs(ours).mean()), float(np.abs(theirs).mean())
    unchanged = bool(shift < 5.0 and abs(spreads[0] - spreads[1]) < 1.0 + 0.2 * max(spreads))
    if min(_vividness(first), _vividness(second)) < _GREY_CHROMA:
        return 0.0, unchanged
    gain = min(max(float((theirs * ours).sum() / ((theirs * theirs).sum() + 50.0)), 0.0), 3.0)
    # Vivid colours leave more behind where edges are a fraction of a cell apart.
    step = _HUE_STEP + 0.25 * np.hypot(ours[:, 0], ours[:, 1])
    rest = ours - gain * theirs
    return float((np.hypot(rest[:, 0], rest[:, 1]) > step).mean()), unchanged


def _scaled(inward: Matrix, frames: tuple[Grey, Grey], chromas: tuple[Grey, Grey]) -> Matrix:
    """Return the map between the chroma of two pictures, given that between their frames."""
    to_first, to_second = (stretch(frame, chroma) for frame, chroma in zip(frames, chromas, strict=True))
    whole = np.vstack((inward, (0.0, 0.0, 1.0)))
    return np.asarray((to_first @ whole @ np.linalg.inv(to_second))[:2], dtype=np.float64)


def stretch(source: Grey, target: Grey) -> Matrix:
    """Return the map that puts edge on edge, shape (3, 3); pixels have their coordinates at their centres."""
    across, down = target.shape[1] / source.shape[1], target.shape[0] / source.shape[0]
    return np.array([[across, 0.0, across / 2 - 0.5], [0.0, down, down / 2 - 0.5], [0.0, 0.0, 1.0]])


def _cells(chroma: Grey, size_wh: tuple[int, int]) -> Plane:
    return np.asarray(cv2.resize(chroma, size_wh, interpolation=cv2.INTER_AREA), dtype=np.float32)


def _vividness(chroma: Grey) -> float:
    return float(max(int(chroma.max()) - 128, 128 - int(chroma.min())))
