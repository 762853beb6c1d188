"""How two aligned pictures compare, so that edits can be told from look-alikes.

After alignment a copy may differ in thin strokes (lettering, compression) and in bands along its edges (banners,
frames), while another car on the same stand differs in one solid area in the middle. Articles of one kind on a plain
ground share their outline; their leather, cloth and hue they do not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from tamis.vision.hues import compare_hues
from tamis.vision.likeness import compare_tones, correlate, cover, fine_agreement, summarise, without_bands
from tamis.vision.parallax import parallax

Grey = NDArray[np.uint8]
Plane = NDArray[np.float32]
Matrix = NDArray[np.float64]

#: Least textured area, in pixels of the frame; with less there is nothing to judge by.
_MIN_TEXTURED = 120
#: Least overlap, as a share of the smaller picture.
_MIN_OVERLAP = 0.4
#: Solid differences survive an opening with this, strokes of letters do not.
_STROKES = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
_STROKE_AREA = int(_STROKES.sum())
#: Median local correlation that copies reach, whatever lies over a part of them, and the weight of what is missing.
_COPY_DETAIL = (0.92, 1.0)
_TURNED_DETAIL = (0.95, 9.0)
#: By how much less detail than finest detail may agree in mirrored pictures.
_BLUR = 0.05
#: The same for the mean correlation of faint texture, and for the agreement of mirrored pictures in the finest detail.
_COPY_FAINT = (0.7, 1.0)
_TURNED_FINE = (0.8, 1.5)
#: The same for all that does not convince, by its merit.
_COPY_FINE = (0.6, 1.0)
_CONVINCING = 0.85
#: Tilt, in degrees, beyond which the finest detail must agree, how much of it, and the weight for each degree more.
_TILT, _TILTED_FINE, _TILT_WEIGHT = 1.0, 0.85, 0.55
#: Weights of solid patches, of the share of colour that differs, and of trimmed bands.
_SOLID_WEIGHT, _COLOUR_WEIGHT, _TRIMMED_WEIGHT = 6.0, 0.5, 0.5
#: Mean difference of hue that edits leave behind, and the weight of more; with more, how much of the finest detail must
#: agree, and the weight of what is missing.
_HUE = (0.25, 0.8)
_HUED_FINE = (0.9, 2.6)
#: Displacement of parts, in pixels of the frame, that resampling, coding and blur leave behind, and the weight of more.
_PARALLAX = (0.22, 5.0)
#: How much more it may be where all disagrees.
_LETTERED = 0.9
#: Steps by which a map is moved to where most parts lie.
_SETTLING = 3
#: Detail from which there is none, and merit up to which nothing rests on it.
_IN_PLACE, _IN_DOUBT = 0.97, 0.4
#: Merit at which a pair is as likely a copy as not, and the spread around it: fitted on edits and look-alikes.
_MERIT_CENTRE = 0.55
_MERIT_SPREAD = 0.05
#: Merit below which nothing else is looked at: it can only lessen it, and the score is next to nothing.
_HOPELESS = 0.31
#: Distortion that comes from sizes in whole pixels, and the weight of more.
_ROUNDING = 0.01
_BENT_WEIGHT = 15.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """How two aligned pictures compare.

    Attributes:
        agreement: share of the textured area whose local correlation exceeds 0.5.
        detail: median of the local correlation there.
        faint: mean local correlation where there is little texture, as within plain things, in both pictures if that is
            enough; 1 where nothing is faint.
        solid: share of the area that differs in solid patches, once brightness and contrast are fitted.
        trimmed: share of the area left out as bands along the edges.
        distortion: how far the alignment is from a turned, scaled and shifted picture, as a share of its size.
        tilt: degrees by which the alignment turns.
        fine: agreement in the finest detail; 1 where it was not asked for.
        colour: share of the colour that differs, once saturation and white balance are fitted.
        hue: mean difference of the colour, as a share of it.
        parallax: how far parts lie from where one affine map puts them, in pixels of the frame; 0 where it was not
            asked for.
        plain: the pictures fit as they are, without change of tone, colour or framing.
    """

    agreement: float
    detail: float
    faint: float
    solid: float
    trimmed: float
    distortion: float = 0.0
    tilt: float = 0.0
    fine: float = 1.0
    colour: float = 0.0
    hue: float = 0.0
    parallax: float = 0.0
    plain: bool = False

    def merit(self, *, turned: bool = False) -> float:
        """One number that orders pairs from look-alikes to copies.

        Pictures that had to be mirrored or `turned` must agree in detail: the two sides of a symmetric thing in a
        symmetric room agree in everything else. So must those that are tilted: two instruments of one make do not.
        """
        wanted, weight = _TURNED_DETAIL if turned else _COPY_DETAIL
        # A blurred picture correlates less everywhere, and yet no worse in what detail it has.
        detail = max(self.detail, self.fine - _BLUR) if turned else self.detail
        # Copies are stretched in one direction by rounding alone; to lie on one another look-alikes must be bent.
        bent = max(0.0, self.distortion - (0.0 if turned else _ROUNDING))
        merit = self.agreement - weight * max(0.0, wanted - detail)
        merit -= _COPY_FAINT[1] * max(0.0, _COPY_FAINT[0] - self.faint)
        merit -= _SOLID_WEIGHT * self.solid + _BENT_WEIGHT * bent
        # Banners lie on pictures that stand upright; look-alikes need both a turn and a cut.
        merit -= _TRIMMED_WEIGHT * self.trimmed * (1.0 + min(2.0, self.tilt))
        merit -= _TILT_WEIGHT * max(0.0, self.tilt - _TILT) * max(0.0, _TILTED_FINE - self.fine)
        merit -= _COPY_FINE[1] * max(0.0, _COPY_FINE[0] - self.fine)
        if turned:
            merit -= _TURNED_FINE[1] * max(0.0, _TURNED_FINE[0] - self.fine)
        if self.hue > _HUE[0]:
            merit -= _HUE[1] * (self.hue - _HUE[0]) + _HUED_FINE[1] * max(0.0, _HUED_FINE[0] - self.fine)
        # Lettering, which lessens the agreement, draws aside what it crosses.
        in_place = _PARALLAX[0] + _LETTERED * (1.0 - self.agreement)
        return merit - _COLOUR_WEIGHT * self.colour - _PARALLAX[1] * max(0.0, self.parallax - in_place)

    def score(self, *, turned: bool = False) -> float:
        """The merit as a score, 0 to 1; 0.5 is as likely a copy as not."""
        return 1.0 / (1.0 + math.exp((_MERIT_CENTRE - self.merit(turned=turned)) / _MERIT_SPREAD))


def distortion(matrix: Matrix) -> float:
    """Return how far a map, shape (2, 3), is from a similarity, as a share of its scale."""
    (a, b), (c, d) = matrix[:, :2].tolist()
    scale = math.hypot(a + d, b - c) / 2
    return math.hypot((a - d) / 2, (b + c) / 2) * math.sqrt(2) / max(scale, 1e-6)


def tilt(matrix: Matrix) -> float:
    """Return by how many degrees a map, shape (2, 3), turns, 0 to 180."""
    (a, b), (c, d) = matrix[:, :2].tolist()
    return abs(math.degrees(math.atan2(c - b, a + d)))


def judge(
    frames: tuple[Grey, Grey],
    chromas: tuple[Grey, Grey],
    inward: Matrix,
    *,
    framed: bool,
    turned: bool = False,
) -> Evidence | None:
    """Compare two pictures in the frame of the first.

    Args:
        frames: the grey pictures, of any shapes (h, w).
        chromas: Cr and Cb around 128 of each, shape (h, w, 2), smaller or larger than the frames.
        inward: maps pixels of the second frame to pixels of the first, shape (2, 3).
        framed: the map is the one that puts edge on edge.
        turned: the second picture was mirrored or turned before.

    Returns:
        None where the two hardly overlap, have no texture to compare, or agree in next to nothing.
    """
    height, width = frames[0].shape
    outward = inverse(inward)
    inside = np.empty((height, width), dtype=np.uint8)
    area = cover(inside, frames[1].shape[0], frames[1].shape[1], outward)
    smaller = min(float(frames[0].size), frames[1].size * abs(_determinant(inward)))
    if area < max(1.0, _MIN_OVERLAP * smaller):
        return None
    first, second = frames[0].astype(np.float32), _laid_over(frames[1], outward, (width, height))
    correlation, texture = np.empty((2, height, width), np.float32), np.empty((height, width), np.uint8)
    if not correlate(first, second, inside, correlation, texture):
        return None
    hot = np.empty((height, width), dtype=np.uint8)
    tone_kept = compare_tones(first, second, inside, correlation, texture, hot)
    box = without_bands(inside, correlation, texture, hot)
    agreement, detail, faint, textured, kept, warm = summarise(inside, correlation, texture, hot, box)
    if textured < _MIN_TEXTURED:
        return None
    solid, trimmed = _solid(hot, box) / kept if warm >= _STROKE_AREA else 0.0, 1.0 - kept / area
    found = Evidence(agreement, detail, faint, solid, trimmed)
    if not framed:
        found = replace(found, distortion=distortion(inward), tilt=tilt(inward))
    if found.merit(turned=turned) < _HOPELESS:
        return found
    to_chroma = _scaled(outward, frames, chromas)
    colour, hue, colour_kept = compare_hues(chromas, (first, second), to_chroma, inside, box)
    found = replace(found, colour=colour, hue=hue)
    if turned or found.tilt > _TILT or hue > _HUE[0] or found.merit() < _CONVINCING:
        found = replace(found, fine=fine_agreement(first, second, inside, box))
    if detail < _IN_PLACE and found.merit(turned=turned) > _IN_DOUBT:
        found = replace(found, parallax=parallax(first, second, inside)[0])
    faithful = agreement > 0.95 and trimmed == 0.0 and solid == 0.0 and colour == 0.0
    return replace(found, plain=framed and faithful and tone_kept and colour_kept)


def settle(frames: tuple[Grey, Grey], inward: Matrix) -> Matrix:
    """Return the map, shape (2, 3), from the second frame to the first, moved to where most parts say that it lies."""
    size_wh = frames[0].shape[1], frames[0].shape[0]
    first, inside = frames[0].astype(np.float32), np.empty(frames[0].shape, dtype=np.uint8)
    outward = inverse(inward)
    for _ in range(_SETTLING):
        cover(inside, frames[1].shape[0], frames[1].shape[1], outward)
        _, drift = parallax(first, _laid_over(frames[1], outward, size_wh), inside)
        if drift is None:
            return inward
        outward = outward @ drift
    return inverse(outward)


def _laid_over(frame: Grey, outward: Matrix, size_wh: tuple[int, int]) -> Plane:
    """Return a picture as sampled where the map sends the pixels of another."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(frame, outward, size_wh, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, dtype=np.float32)


def _solid(hot: Grey, box: tuple[int, int, int, int]) -> int:
    """Number of pixels of a box that differ in solid patches."""
    top, bottom, left, right = box
    return cv2.countNonZero(cv2.morphologyEx(hot[top:bottom, left:right], cv2.MORPH_OPEN, _STROKES))


def _determinant(matrix: Matrix) -> float:
    (a, b, _), (c, d, _) = matrix.tolist()
    return float(a * d - b * c)


def inverse(matrix: Matrix) -> Matrix:
    """Return the map back, shape (2, 3)."""
    (a, b, u), (c, d, v) = matrix.tolist()
    scale = a * d - b * c
    a, b, c, d = d / scale, -b / scale, -c / scale, a / scale
    return np.array([[a, b, -a * u - b * v], [c, d, -c * u - d * v]])


def _scaled(outward: Matrix, frames: tuple[Grey, Grey], chromas: tuple[Grey, Grey]) -> Matrix:
    """Return the map from the first chroma to the second, given that between the frames."""
    (across, _, x), (_, down, y), _ = stretch(chromas[0], frames[0]).tolist()
    (wide, _, right), (_, tall, low), _ = stretch(frames[1], chromas[1]).tolist()
    (a, b, u), (c, d, v) = outward.tolist()
    u, v = a * x + b * y + u, c * x + d * y + v
    return np.array(
        [
            [wide * a * across, wide * b * down, wide * u + right],
            [tall * c * across, tall * d * down, tall * v + low],
        ]
    )


def stretch(source: Grey, target: Grey) -> Matrix:
    """Return the map that puts edge on edge, shape (3, 3); pixels have their coordinates at their centres."""
    across, down = target.shape[1] / source.shape[1], target.shape[0] / source.shape[0]
    return np.array([[across, 0.0, across / 2 - 0.5], [0.0, down, down / 2 - 0.5], [0.0, 0.0, 1.0]])
