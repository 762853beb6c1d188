"""Are two pictures the same shot? Alignment first, then a comparison that tells edits from look-alikes.

Signatures propose pairs leniently; this decides strictly. After alignment a copy may differ in thin strokes (lettering,
compression) and in bands along its edges (banners, frames), while another car on the same stand differs in one solid
area in the middle.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from tamis.records import RelationKind
from tamis.vision.quality import REFERENCE_SIDE, to_luma, to_reference

Grey = NDArray[np.uint8]
Plane = NDArray[np.float32]
Flags = NDArray[np.bool_]
Matrix = NDArray[np.float64]

#: How the second picture is turned before it is compared: clockwise quarter turns, plus 4 if mirrored before that.
Orientation = Literal[0, 1, 2, 3, 4, 5, 6, 7]

#: Orientation that undoes each one; a mirrored turn undoes itself.
INVERSE: tuple[Orientation, ...] = (0, 3, 2, 1, 4, 5, 6, 7)

#: Long side, in pixels, of the frame in which aligned pictures are compared.
_FRAME_SIDE = 160
#: Side of the square windows of local correlation.
_WINDOW = 9
#: Variance of luma below which a window has no texture to correlate.
_TEXTURE = 20.0
#: Added to variances, so that coding noise in flat areas correlates with nothing.
_VARIANCE_FLOOR = 6.0
#: Least textured area, in pixels of the frame; with less there is nothing to judge by.
_MIN_TEXTURED = 120
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
#: Least overlap, as a share of the smaller picture.
_MIN_OVERLAP = 0.4
_MIN_INLIERS = 7
#: Shorter sides leave the corner detector's coarser scales no pixel.
_MIN_FEATURE_SIDE = 32
_MAX_TILT = 15.0
#: Median local correlation that copies reach, whatever lies over a part of them, and the weight of what is missing.
_COPY_DETAIL = (0.92, 2.0)
_TURNED_DETAIL = (0.95, 9.0)
#: Merit at which a pair is as likely a copy as not, and the spread around it: fitted on edits and look-alikes.
_MERIT_CENTRE = 0.65
_MERIT_SPREAD = 0.05
#: Merit at which no other alignment is tried.
_CONVINCING = 0.95
#: Below this score two pictures are no relation worth keeping.
_SAME_SCENE = 0.01


class Picture:
    """A small picture with what its comparisons need, computed once and when asked for.

    `image_rgb` has shape (h, w, 3); a long side of 256 pixels is enough, a larger one is reduced.
    """

    def __init__(self, image_rgb: NDArray[np.uint8]) -> None:
        self.image_rgb = to_reference(image_rgb, REFERENCE_SIDE)
        self.grey = to_luma(self.image_rgb)
        self._turned: dict[Orientation, Picture] = {}

    @cached_property
    def content(self) -> bytes:
        """A key that depends on the pixels alone, by which pictures are put in order."""
        return blake2b(self.image_rgb.tobytes(), digest_size=16).digest()

    @cached_property
    def frame(self) -> Grey:
        """The grey picture in the size in which pictures are compared."""
        return to_reference(self.grey, _FRAME_SIDE)

    @cached_property
    def chroma(self) -> NDArray[np.uint8]:
        """Cr and Cb around 128, in the size of `frame`, shape (h, w, 2)."""
        height, width = self.frame.shape
        small = cv2.resize(self.image_rgb, (width, height), interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb)[..., 1:], dtype=np.uint8)

    @cached_property
    def features(self) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Positions (n, 2) of corners in pixels of `grey`, and their ORB descriptors (n, 32)."""
        if min(self.grey.shape) < _MIN_FEATURE_SIDE:
            return np.zeros((0, 2), dtype=np.float32), np.zeros((0, 32), dtype=np.uint8)
        detector = cv2.ORB.create(400, 1.2, 6, edgeThreshold=12, patchSize=25, fastThreshold=7)
        keypoints, descriptors = detector.detectAndCompute(self.grey, None)
        if not keypoints:
            return np.zeros((0, 2), dtype=np.float32), np.zeros((0, 32), dtype=np.uint8)
        positions = np.asarray(cv2.KeyPoint.convert(keypoints), dtype=np.float32)
        return positions, np.asarray(descriptors, dtype=np.uint8)

    def turned(self, orientation: Orientation) -> Picture:
        """Return the picture mirrored (4 and above) and turned clockwise by quarter turns."""
        if orientation == 0:
            return self
        if orientation not in self._turned:
            image_rgb = self.image_rgb[:, ::-1] if orientation >= 4 else self.image_rgb
            turned = np.ascontiguousarray(np.rot90(image_rgb, -(orientation % 4)))
            self._turned[orientation] = Picture(turned)
        return self._turned[orientation]


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
    """

    agreement: float
    detail: float
    solid: float
    colour: float
    trimmed: float
    plain: bool

    def merit(self, *, turned: bool = False) -> float:
        """One number that orders pairs from look-alikes to copies.

        Pictures that had to be mirrored or `turned` must agree in detail: the two sides of a symmetric thing in a
        symmetric room agree in everything else.
        """
        wanted, weight = _TURNED_DETAIL if turned else _COPY_DETAIL
        vague = max(0.0, wanted - self.detail)
        return self.agreement - weight * vague - 6.0 * self.solid - 2.0 * self.colour - self.trimmed

    def score(self, *, turned: bool = False) -> float:
        """The merit as a score, 0 to 1; 0.5 is as likely a copy as not."""
        return float(1.0 / (1.0 + np.exp((_MERIT_CENTRE - self.merit(turned=turned)) / _MERIT_SPREAD)))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What two pictures are to each other, and the score of that, 0 to 1."""

    kind: RelationKind
    score: float


def verify(first: Picture, second: Picture, orientation: Orientation = 0) -> Verdict | None:
    """Return what two pictures are to each other, or None when they are nothing.

    `orientation` says how `second` is to be turned to meet `first`. A score below one half comes with the kind
    `same_scene`: much is alike, but it is not the same shot. The two may change places, and the orientation with them:
    the answer is the same.
    """
    if second.content < first.content:
        first, second, orientation = second, first, INVERSE[orientation]
    evidence = _compare_both_ways(first, second.turned(orientation))
    if evidence is None:
        return None
    score = evidence.score(turned=orientation != 0)
    if score < _SAME_SCENE:
        return None
    if score < 0.5:
        return Verdict("same_scene", score)
    if orientation == 0:
        return Verdict("recompressed" if evidence.plain else "edited", score)
    return Verdict("mirrored" if orientation == 4 else "rotated", score)


def _compare_both_ways(first: Picture, second: Picture) -> Evidence | None:
    """Compare two pictures; what does not convince must hold in either frame where neither is the smaller one."""
    found = compare(first, second)
    if found is None or found.merit() > _CONVINCING or first.grey.size != second.grey.size:
        return found
    if found.score() < 0.5:
        return found
    return min((found, compare(second, first) or found), key=Evidence.merit)


def compare(first: Picture, second: Picture) -> Evidence | None:
    """Compare two pictures as they are and, unless that convinces, aligned by their corners.

    Returns None when they do not overlap or have no texture to compare.
    """
    if second.grey.size < first.grey.size:
        first, second = second, first
    as_they_are = _judge(first, second, _stretch(second.grey, first.grey), framed=True)
    if as_they_are is not None and as_they_are.merit() > _CONVINCING:
        return as_they_are
    matrix = align(first, second)
    aligned = None if matrix is None else _judge(first, second, matrix, framed=False)
    candidates = [evidence for evidence in (as_they_are, aligned) if evidence is not None]
    return max(candidates, key=Evidence.merit, default=None)


def align(first: Picture, second: Picture) -> Matrix | None:
    """Return the similarity, shape (2, 3), that maps pixels of `second.grey` to `first.grey`, or None.

    ORB corners (E. Rublee et al., ICCV 2011), matched by the ratio of the two nearest, and RANSAC, which OpenCV
    seeds alike each time. Tilts beyond 15 degrees and scales beyond 2.5 are refused: quarter turns are tried apart.
    """
    (targets, target_descriptors), (sources, source_descriptors) = first.features, second.features
    if min(len(targets), len(sources)) <= _MIN_INLIERS:
        return None
    distances, nearest = cv2.batchDistance(
        source_descriptors, target_descriptors, dtype=cv2.CV_32S, normType=cv2.NORM_HAMMING, K=2
    )
    clear = np.nonzero(distances[:, 0] < 0.85 * distances[:, 1])[0]
    if len(clear) < _MIN_INLIERS:
        return None
    matrix, inliers = cv2.estimateAffinePartial2D(
        sources[clear], targets[nearest[clear, 0]], method=cv2.RANSAC, ransacReprojThreshold=2.5
    )
    if matrix is None or int(inliers.sum()) < _MIN_INLIERS:
        return None
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    tilt = float(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0])))
    return np.asarray(matrix, dtype=np.float64) if 0.4 < scale < 2.5 and abs(tilt) <= _MAX_TILT else None


def _stretch(source: Grey, target: Grey) -> Matrix:
    return np.array([[target.shape[1] / source.shape[1], 0.0, 0.0], [0.0, target.shape[0] / source.shape[0], 0.0]])


def _judge(first: Picture, second: Picture, matrix: Matrix, *, framed: bool) -> Evidence | None:
    """Compare in the frame of `first`; `matrix` maps `second.grey` to `first.grey`, as they are if `framed`."""
    inward = _stretch(first.grey, first.frame)[:, :2] @ matrix
    inward[:, :2] @= np.linalg.inv(_stretch(second.grey, second.frame)[:, :2])
    covered = _covered(first.frame, second.frame, inward)
    if covered is None:
        return None
    ours, theirs = first.frame.astype(np.float32), _warp(second.frame.astype(np.float32), inward, first.frame)
    correlation, textured = _local_correlation(ours, theirs)
    textured &= np.asarray(cv2.erode(covered.astype(np.uint8), np.ones((5, 5), dtype=np.uint8)), dtype=np.bool_)
    difference, tone_kept = _difference(ours, theirs, covered, textured & (correlation > 0.5))
    hot = covered & (np.abs(difference) > _HOT * max(float(ours[covered].std()), 12.0))
    kept = covered & ~_bands(hot | (textured & (correlation < 0.35)), covered)
    textured &= kept
    if textured.sum() < _MIN_TEXTURED:
        return None
    solid = cv2.morphologyEx((hot & kept).astype(np.uint8), cv2.MORPH_OPEN, _STROKES)
    our_chroma, their_chroma = first.chroma.astype(np.float32) - 128.0, second.chroma.astype(np.float32) - 128.0
    colour, colour_kept = _colour_difference(our_chroma, _warp(their_chroma, inward, first.frame), kept)
    agreement = float((correlation[textured] > 0.5).mean())
    trimmed = 1.0 - float(kept.sum()) / float(covered.sum())
    faithful = agreement > 0.95 and trimmed == 0.0 and not solid.any() and colour == 0.0
    return Evidence(
        agreement=agreement,
        detail=float(np.median(correlation[textured])),
        solid=float(solid.sum()) / float(kept.sum()),
        colour=colour,
        trimmed=trimmed,
        plain=framed and faithful and tone_kept and colour_kept,
    )


def _covered(target: Grey, source: Grey, matrix: Matrix) -> Flags | None:
    """Pixels of the target that the mapped source covers, or None when the two hardly overlap."""
    height, width = target.shape
    covered = np.asarray(cv2.warpAffine(np.full(source.shape, 255, dtype=np.uint8), matrix, (width, height)) > 250)
    smaller = min(float(target.size), source.size * abs(float(np.linalg.det(matrix[:, :2]))))
    return covered if covered.sum() >= _MIN_OVERLAP * smaller and covered.any() else None


def _warp(source: Plane, matrix: Matrix, target: Grey) -> Plane:
    height, width = target.shape
    warped = cv2.warpAffine(source, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, dtype=np.float32)


def _local_correlation(first: Plane, second: Plane) -> tuple[NDArray[np.floating], Flags]:
    """Correlation of the windows around each pixel, and where there is texture to correlate."""

    def mean(plane: Plane) -> Plane:
        return np.asarray(cv2.boxFilter(plane, -1, (_WINDOW, _WINDOW)), dtype=np.float32)

    mean_first, mean_second = mean(first), mean(second)
    variance_first = np.maximum(mean(first * first) - mean_first * mean_first, 0)
    variance_second = np.maximum(mean(second * second) - mean_second * mean_second, 0)
    covariance = mean(first * second) - mean_first * mean_second
    scale = np.sqrt((variance_first + _VARIANCE_FLOOR) * (variance_second + _VARIANCE_FLOOR))
    return covariance / scale, np.maximum(variance_first, variance_second) > _TEXTURE


def _difference(first: Plane, second: Plane, covered: Flags, agreeing: Flags) -> tuple[Plane, bool]:
    """Difference after a fit of contrast and brightness, and whether that fit is no change.

    The fit rests on what agrees, so that a banner does not bend it, or on everything when too little agrees.
    """
    base = agreeing if agreeing.sum() > 0.2 * covered.sum() else covered
    ours, theirs = first[base], second[base]
    spread = float(theirs.var())
    gain = float(((ours - ours.mean()) * (theirs - theirs.mean())).mean()) / (spread + 1e-3)
    gain = min(max(gain, 0.4), 2.5)
    offset = float(np.median(ours - gain * theirs))
    unchanged = abs(gain - 1.0) < 0.08 and abs(float(np.median(ours - theirs))) < 4.0
    return first - (gain * second + offset), unchanged


def _bands(differing: Flags, covered: Flags) -> Flags:
    """Mark bands along the four edges, each up to a fifth of the side, that mostly differ."""
    marked = np.zeros(differing.shape, dtype=np.bool_)
    for axis in (0, 1):
        across = np.maximum(covered.sum(axis=1 - axis), 1)
        surplus = differing.sum(axis=1 - axis) / across - 0.4
        limit = max(1, int(_BAND_LIMIT * len(surplus)))
        head, tail = _longest_surplus(surplus[:limit]), _longest_surplus(surplus[::-1][:limit])
        lines = marked if axis == 0 else marked.T
        lines[:head] = True
        lines[len(lines) - tail :] = True
    return marked


def _longest_surplus(surplus: NDArray[np.float64]) -> int:
    """Number of leading lines whose summed surplus is largest; none unless it is worth two lines."""
    sums = np.cumsum(surplus)
    best = int(sums.argmax())
    return best + 1 if sums[best] > 1.0 else 0


def _colour_difference(first: Plane, second: Plane, kept: Flags) -> tuple[float, bool]:
    """Share of cells whose chroma differs after a fit of saturation and tint, and whether that fit is no change.

    A grey version of a picture has no colour that could differ.
    """
    height, width = kept.shape
    cells = max(4, width // 5), max(4, height // 5)
    whole = np.asarray(cv2.resize(kept.astype(np.float32), cells, interpolation=cv2.INTER_AREA)) > 0.95
    if whole.sum() < 20:
        return 0.0, True
    ours = np.asarray(cv2.resize(first, cells, interpolation=cv2.INTER_AREA))[whole]
    theirs = np.asarray(cv2.resize(second, cells, interpolation=cv2.INTER_AREA))[whole]
    shift = np.abs(np.median(ours, axis=0) - np.median(theirs, axis=0)).max()
    ours, theirs = ours - np.median(ours, axis=0), theirs - np.median(theirs, axis=0)
    spreads = float(np.abs(ours).mean()), float(np.abs(theirs).mean())
    unchanged = bool(shift < 5.0 and abs(spreads[0] - spreads[1]) < 1.0 + 0.2 * max(spreads))
    if min(float(np.abs(chroma).max()) for chroma in (first, second)) < _GREY_CHROMA:
        return 0.0, unchanged
    gain = min(max(float((theirs * ours).sum() / ((theirs * theirs).sum() + 50.0)), 0.0), 3.0)
    # Vivid colours leave more behind where edges are a fraction of a cell apart.
    step = _HUE_STEP + 0.25 * np.linalg.norm(ours, axis=1)
    return float((np.linalg.norm(ours - gain * theirs, axis=1) > step).mean()), unchanged
