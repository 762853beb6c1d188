"""Are two pictures the same shot? Alignment first, then a comparison that tells edits from look-alikes.

Signatures propose pairs leniently; this decides strictly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from tamis.records import RelationKind
from tamis.vision.evidence import Evidence, inverse, judge, settle, stretch
from tamis.vision.quality import REFERENCE_SIDE, to_luma, to_reference
from tamis.vision.registration import CLOSE_SIDE, inverse_map, refine_closely
from tamis.vision.signatures import glance

Grey = NDArray[np.uint8]
Matrix = NDArray[np.float64]

#: How the second picture is turned before it is compared: clockwise quarter turns, plus 4 if mirrored before that.
Orientation = Literal[0, 1, 2, 3, 4, 5, 6, 7]

#: Orientation that undoes each one; a mirrored turn undoes itself.
INVERSE: tuple[Orientation, ...] = (0, 3, 2, 1, 4, 5, 6, 7)

#: Long side, in pixels, of the frame in which aligned pictures are compared.
FRAME_SIDE = 160
_MIN_INLIERS = 7
#: Shorter sides leave the corner detector's coarser scales no pixel.
_MIN_FEATURE_SIDE = 32
_MAX_TILT = 15.0
#: Merit at which no other alignment is tried.
_CONVINCING = 0.95
#: Displacement of the corners, in pixels of the frame, up to which two pictures may lie edge on edge.
_FRAMED = 10.0
#: Displacement of parts, in pixels of the frame, from which the map is refined once more.
_UNSETTLED = 0.15
#: Below this score two pictures are no relation worth keeping.
_SAME_SCENE = 0.01


class Picture:
    """A small picture with what its comparisons need, computed once.

    `image_rgb` has shape (h, w, 3); a long side of 256 pixels is enough, a larger one is reduced.

    Attributes:
        grey: the luma, shape (h, w).
        frame: the same in the size in which pictures are compared.
        chroma: Cr and Cb around 128, in half the size of `frame`, shape (h, w, 2).
    """

    def __init__(self, image_rgb: NDArray[np.uint8]) -> None:
        image_rgb = to_reference(image_rgb, REFERENCE_SIDE)
        self.grey = to_luma(image_rgb)
        self.frame = to_reference(self.grey, FRAME_SIDE)
        height, width = self.frame.shape
        small = cv2.resize(image_rgb, (max(4, width // 2), max(4, height // 2)), interpolation=cv2.INTER_AREA)
        chroma = cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb)[..., 1:]
        self.chroma: NDArray[np.uint8] = np.ascontiguousarray(chroma, dtype=np.uint8)
        self._turned: dict[Orientation, Picture] = {}

    def lean(self) -> Picture:
        """Return this picture with the frame for its luma: 40 kB, which comparisons by a known map do with."""
        self.grey = self.frame
        return self

    @cached_property
    def content(self) -> bytes:
        """A key that depends on what is compared alone, by which pictures are put in order."""
        digest = blake2b(np.ascontiguousarray(self.frame).data, digest_size=16)
        digest.update(self.chroma.data)
        return digest.digest()

    @cached_property
    def square(self) -> Grey:
        """The grey picture stretched to the square in which maps are refined."""
        square = cv2.resize(self.frame, (CLOSE_SIDE, CLOSE_SIDE), interpolation=cv2.INTER_AREA)
        return np.asarray(square, dtype=np.uint8).ravel()

    @cached_property
    def glance(self) -> Grey:
        """The tiny squares in which maps are found."""
        return glance(self.grey)

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
            turned = Picture.__new__(Picture)
            turned.grey, turned.frame = _turn(self.grey, orientation), _turn(self.frame, orientation)
            turned.chroma, turned._turned = _turn(self.chroma, orientation), {}
            self._turned[orientation] = turned
        return self._turned[orientation]


def _turn(image: NDArray[np.uint8], orientation: Orientation) -> NDArray[np.uint8]:
    flipped = image[:, ::-1] if orientation >= 4 else image
    return np.ascontiguousarray(np.rot90(flipped, -(orientation % 4)))


def unit_turn(orientation: Orientation) -> Matrix:
    """Return what takes coordinates of the turned picture's unit square to those of the picture, shape (3, 3)."""
    quarter = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    mirror = np.array([[-1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    turns = np.linalg.matrix_power(quarter, orientation % 4)
    return np.asarray(mirror @ turns if orientation >= 4 else turns, dtype=np.float64)


_UNIT_TURNS = tuple(unit_turn(orientation) for orientation in get_args(Orientation))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What two pictures are to each other, and the score of that, 0 to 1."""

    kind: RelationKind
    score: float


def verify(
    first: Picture, second: Picture, orientation: Orientation = 0, unit_map: NDArray[np.float64] | None = None
) -> Verdict | None:
    """Return what two pictures are to each other, or None when they are nothing.

    `orientation` says how `second` is to be turned to meet `first`. A score below one half comes with the kind
    `same_scene`: much is alike, but it is not the same shot. The two may change places, and the orientation with them:
    the answer is the same. With a map of the unit square, as `registration` finds it, pictures are aligned by that,
    else by their corners.
    """
    if second.content < first.content:
        first, second, orientation = second, first, INVERSE[orientation]
        unit_map = None if unit_map is None else inverse_map(unit_map)
    if unit_map is not None and not refine_closely(first.square, second.square, unit_map):
        return None
    evidence = _compare_both_ways(first, second, orientation, unit_map)
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


def _compare_both_ways(
    first: Picture, second: Picture, orientation: Orientation, unit_map: NDArray[np.float64] | None
) -> Evidence | None:
    """Compare two pictures; what does not convince must hold in either frame where neither is the smaller one."""
    turned = second.turned(orientation)
    matrix = None if unit_map is None else _to_pixels(unit_map, first, turned, orientation)
    aside = orientation != 0
    found = compare(first, turned, matrix, turned=aside)
    if found is None or first.frame.size != second.frame.size:
        return found
    if found.merit(turned=aside) > _CONVINCING or found.score(turned=aside) < 0.5:
        return found
    other_way = compare(turned, first, None if matrix is None else inverse(matrix), turned=aside)
    return min((found, other_way or found), key=lambda evidence: evidence.merit(turned=aside))


def compare(first: Picture, second: Picture, matrix: Matrix | None = None, *, turned: bool = False) -> Evidence | None:
    """Compare two pictures as they are and, unless that convinces, aligned.

    `matrix`, shape (2, 3), maps pixels of `second.frame` to pixels of `first.frame`; without it the two are aligned by
    their corners. `turned` says that `second` was mirrored or turned before. Returns None when they do not overlap or
    have no texture to compare.
    """
    if second.frame.size < first.frame.size:
        first, second = second, first
        matrix = None if matrix is None else inverse(matrix)
    edge_on_edge = stretch(second.frame, first.frame)[:2]
    candidates = []
    if matrix is None or _displacement(matrix, edge_on_edge, second.frame) < _FRAMED:
        as_they_are = _judge(first, second, edge_on_edge, framed=True, turned=turned)
        if as_they_are is not None and as_they_are.merit(turned=turned) > _CONVINCING:
            return as_they_are
        candidates.append(as_they_are)
    if matrix is None:
        matrix = align(first, second)
    if matrix is not None:
        aligned = _judge(first, second, matrix, framed=False, turned=turned)
        candidates.append(aligned)
        if aligned is not None and aligned.parallax > _UNSETTLED:
            matrix = settle((first.frame, second.frame), matrix)
            candidates.append(_judge(first, second, matrix, framed=False, turned=turned))
    judged = [found for found in candidates if found is not None]
    return max(judged, key=lambda evidence: evidence.merit(turned=turned), default=None)


def _judge(first: Picture, second: Picture, matrix: Matrix, *, framed: bool, turned: bool) -> Evidence | None:
    return judge((first.frame, second.frame), (first.chroma, second.chroma), matrix, framed=framed, turned=turned)


def _displacement(matrix: Matrix, other: Matrix, source: Grey) -> float:
    """Largest distance, in pixels, between where two maps send the corners of a picture."""
    height, width = source.shape
    corners = np.array([[0, 0, 1], [width - 1, 0, 1], [0, height - 1, 1], [width - 1, height - 1, 1]], np.float64)
    return float(np.linalg.norm(corners @ (matrix - other).T, axis=1).max())


def _to_pixels(unit_map: NDArray[np.float64], first: Picture, turned: Picture, orientation: Orientation) -> Matrix:
    """Return the matrix from pixels of the turned second frame to the first, for a map from first to second."""
    (a, b, u), (c, d, v) = inverse(unit_map.reshape(2, 3)).tolist()
    (wide, _, right), (_, tall, low), _ = _unit_to_pixels(first.frame).tolist()
    (p, q, r), (s, t, w), _ = (_UNIT_TURNS[orientation] @ _pixels_to_unit(turned.frame)).tolist()
    return np.array(
        [
            [wide * (a * p + b * s), wide * (a * q + b * t), wide * (a * r + b * w + u) + right],
            [tall * (c * p + d * s), tall * (c * q + d * t), tall * (c * r + d * w + v) + low],
        ]
    )


def _unit_to_pixels(frame: Grey) -> Matrix:
    height, width = frame.shape
    return np.array([[width, 0.0, -0.5], [0.0, height, -0.5], [0.0, 0.0, 1.0]])


def _pixels_to_unit(frame: Grey) -> Matrix:
    height, width = frame.shape
    return np.array([[1 / width, 0.0, 0.5 / width], [0.0, 1 / height, 0.5 / height], [0.0, 0.0, 1.0]])


def align(first: Picture, second: Picture) -> Matrix | None:
    """Return the map, shape (2, 3), that takes pixels of `second.frame` to `first.frame`, or None.

    ORB corners (E. Rublee et al., ICCV 2011), matched by the ratio of the two nearest, and RANSAC, which OpenCV
    seeds alike each time, then refined as an affine map. Tilts beyond 15 degrees and scales beyond 2.5 are refused:
    quarter turns are tried apart.
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
    if not 0.4 < scale < 2.5 or abs(tilt) > _MAX_TILT:
        return None
    to_frames = stretch(first.grey, first.frame), np.linalg.inv(stretch(second.grey, second.frame))
    whole = to_frames[0] @ np.vstack((matrix, (0.0, 0.0, 1.0))) @ to_frames[1]
    onward = _pixels_to_unit(second.frame) @ np.linalg.inv(whole) @ _unit_to_pixels(first.frame)
    unit_map = onward[:2].ravel()
    if not refine_closely(first.square, second.square, unit_map):
        return np.asarray(whole[:2], dtype=np.float64)
    return _to_pixels(unit_map, first, second, 0)
