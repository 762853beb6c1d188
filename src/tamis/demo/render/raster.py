"""A vectorised rasteriser: all fragments of all triangles, and the nearest of each pixel."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tamis.demo.render.numerics import FloatArray, IntArray

_FRAGMENTS_AT_ONCE = 2_500_000


@dataclass(frozen=True, slots=True)
class Fragments:
    """Pieces of triangles that cover pixel centres."""

    pixel: IntArray  # (n,) row * width + column
    inverse_depth: FloatArray  # (n,) larger is nearer
    triangle: IntArray  # (n,)
    weights: FloatArray  # (n, 3) perspective-correct barycentric coordinates


def rasterise(
    screen_xy: FloatArray, inverse_depth: FloatArray, triangles: IntArray, size_wh: tuple[int, int]
) -> Fragments:
    """Find the fragments of triangles that lie wholly in front of the eye.

    `screen_xy` (n, 2) in pixels and `inverse_depth` (n,) belong to vertices; the latter is negative behind the eye.
    """
    chunks = list(_fragment_chunks(screen_xy, inverse_depth, triangles, size_wh))
    pixel, depth, triangle, weights = (np.concatenate(column) for column in zip(*chunks, strict=True))
    return Fragments(pixel, depth, triangle, weights)


def _fragment_chunks(
    screen_xy: FloatArray, inverse_depth: FloatArray, triangles: IntArray, size_wh: tuple[int, int]
) -> Iterator[tuple[IntArray, FloatArray, IntArray, FloatArray]]:
    width, height = size_wh
    number = np.flatnonzero((inverse_depth[triangles] > 0).all(1))
    corners = screen_xy[triangles[number]]
    low = np.clip(np.floor(corners.min(1)), 0, (width, height)).astype(np.int64)
    high = np.clip(np.ceil(corners.max(1)), 0, (width, height)).astype(np.int64)
    span = np.maximum(high - low, 0)
    area = span[:, 0] * span[:, 1]
    visible = area > 0
    number, corners, low, span, area = number[visible], corners[visible], low[visible], span[visible], area[visible]
    ends = np.cumsum(area)
    start = 0
    while start < len(area):
        done = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + _FRAGMENTS_AT_ONCE)))
        counts = area[start:stop]
        which = np.repeat(np.arange(start, stop), counts)
        step = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
        column, row = low[which, 0] + step % span[which, 0], low[which, 1] + step // span[which, 0]
        flat = _flat_weights(corners[start:stop], which - start, column + 0.5, row + 0.5)
        inside = np.flatnonzero((flat[0] >= 0) & (flat[1] >= 0) & (flat[2] >= 0))
        triangle = number[which[inside]]
        weighted = np.stack([share[inside] for share in flat], 1) * inverse_depth[triangles[triangle]]
        depth = weighted[:, 0] + weighted[:, 1] + weighted[:, 2]
        pixel = row[inside] * width + column[inside]
        yield pixel, depth.astype(np.float32), triangle, (weighted / depth[:, None]).astype(np.float32)
        start = stop


def _flat_weights(
    corners: FloatArray, which: IntArray, x: FloatArray, y: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Barycentric coordinates on the screen, as planes a x + b y + c that are set up once a triangle."""
    (x0, y0), (x1, y1), (x2, y2) = (corners[:, corner].T for corner in range(3))
    doubled = (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)
    doubled = np.where(np.abs(doubled) < 1e-12, 1e-12, doubled)
    planes = []
    for (xa, ya), (xb, yb) in (((x1, y1), (x2, y2)), ((x2, y2), (x0, y0))):
        planes.append(((ya - yb) / doubled, (xb - xa) / doubled, (xa * yb - xb * ya) / doubled))
    first, second = (along_x[which] * x + along_y[which] * y + constant[which] for along_x, along_y, constant in planes)
    return first, second, 1 - first - second


def nearest_fragments(fragments: Fragments, chosen: IntArray) -> IntArray:
    """Keep of the `chosen` fragments the nearest of each pixel; the result indexes all fragments."""
    if not len(chosen):
        return chosen
    order = chosen[np.argsort(fragments.inverse_depth[chosen], kind="stable")]
    pixel = fragments.pixel[order]
    winner = np.full(int(pixel.max()) + 1, -1, np.int64)
    winner[pixel] = order
    return winner[winner >= 0]
