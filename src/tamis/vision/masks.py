"""Masks: run lengths, polygons, prototypes of YOLO heads, and the scores that are stored with a mask.

A mask is a boolean array (height, width) of the whole upright picture.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tamis.records import Box, Mask
from tamis.vision.boxes import Placement, expand

MaskArray = NDArray[np.bool_]

#: Groups of five bits that a run of 32 bits and its sign take.
_COCO_GROUPS = 7


def run_lengths(mask: MaskArray) -> NDArray[np.uint32]:
    """Return the COCO run lengths of a mask: pixels column by column, runs of off and on in turn, off first.

    The first run is 0 where the mask starts on; the runs sum to the number of pixels.
    """
    pixels = np.asarray(mask, bool).ravel(order="F")
    if not pixels.size:
        return np.zeros(0, np.uint32)
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    bounds = np.concatenate([[0], changes, [pixels.size]])
    runs = np.diff(bounds)
    return (np.concatenate([[0], runs]) if pixels[0] else runs).astype(np.uint32)


def from_run_lengths(runs: ArrayLike, size_wh: tuple[int, int]) -> MaskArray:
    """Return the mask of that width and height.

    Raises:
        ValueError: the runs don't sum to the number of pixels.
    """
    lengths = np.asarray(runs, np.int64)
    width, height = size_wh
    if (lengths < 0).any() or int(lengths.sum()) != width * height:
        raise ValueError(f"run lengths sum to {int(lengths.sum())}, not to {width} x {height}")
    values = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values, lengths).reshape((height, width), order="F")


def encode(mask: MaskArray) -> bytes:
    """Return a mask as it is stored: zlib-compressed COCO run lengths, each a little-endian unsigned 32-bit integer."""
    return zlib.compress(run_lengths(mask).astype("<u4").tobytes(), 9)


def decode(counts: bytes, size_wh: tuple[int, int]) -> MaskArray:
    """Return the mask that `encode` stored.

    Raises:
        ValueError: the bytes are none of a mask of that width and height.
    """
    width, height = size_wh
    # A mask has no more runs than pixels and one, so more bytes than that are no mask but a bomb.
    limit = 4 * (width * height + 1)
    try:
        raw = zlib.decompressobj().decompress(counts, limit + 1)
    except zlib.error as error:
        raise ValueError(f"run lengths are damaged: {error}") from error
    if len(raw) > limit or len(raw) % 4:
        raise ValueError(f"run lengths are not those of a mask of {width} x {height}")
    return from_run_lengths(np.frombuffer(raw, "<u4"), size_wh)


def to_coco(mask: MaskArray) -> str:
    """Return a mask's run lengths as COCO compresses them into the text `counts` (`rleToString` of pycocotools).

    From the fourth run on, a run less the last but one is written, in groups of five bits, the lowest first; a set
    sixth bit says that another group follows. 48 is added, so that each group is a printable character.
    """
    numbers = run_lengths(mask).astype(np.int64)
    numbers[3:] -= numbers[1:-2].copy()
    groups = np.arange(_COCO_GROUPS)
    # A number needs as many groups as hold it and its sign.
    size = 1 + ((numbers[:, None] < -(1 << (5 * groups + 4))) | (numbers[:, None] >= 1 << (5 * groups + 4))).sum(axis=1)
    bits = (numbers[:, None] >> 5 * groups) & 31 | np.where(groups < size[:, None] - 1, 32, 0)
    characters = (bits[groups < size[:, None]] + 48).astype(np.uint8)
    return str(characters.tobytes(), "ascii")


def from_coco(counts: str, size_wh: tuple[int, int]) -> MaskArray:
    """Return the mask that `to_coco` wrote.

    Raises:
        ValueError: the text is none of a mask of that width and height.
    """
    try:
        bits = np.frombuffer(counts.encode("ascii"), np.uint8).astype(np.int64) - 48
    except UnicodeEncodeError as error:
        raise ValueError(f"run lengths are damaged: {error}") from error
    ends = np.flatnonzero(bits & 32 == 0)
    if not bits.size or bits.min() < 0 or bits.max() > 63 or ends.size == 0 or ends[-1] != bits.size - 1:
        raise ValueError("run lengths are damaged: no text that COCO writes")
    starts = np.concatenate([[0], ends[:-1] + 1])
    sizes = ends - starts + 1
    if sizes.max() > _COCO_GROUPS:
        raise ValueError("run lengths are damaged: a run is too long")
    place = np.arange(bits.size) - np.repeat(starts, sizes)
    numbers = np.add.reduceat((bits & 31) << 5 * place, starts)
    numbers -= np.where(bits[ends] & 16, 1 << 5 * sizes, 0)
    for first in (1, 2):
        numbers[first::2] = np.cumsum(numbers[first::2])
    return from_run_lengths(numbers, size_wh)


def to_record(region_id: int, method: str, mask: MaskArray, box_xyxy: Box) -> Mask:
    """Return the row to store: the mask of a region, and its scores against the region's raw box."""
    height, width = mask.shape
    return Mask(
        region_id=region_id,
        method=method,
        width=width,
        height=height,
        counts=encode(mask),
        area=share_of_box(mask, box_xyxy),
        border=border_share(mask),
        holes=holes(mask),
    )


def share_of_box(mask: MaskArray, box_xyxy: Box) -> float:
    """Return how much of the box, taken in whole pixels inside the picture, the mask fills, 0 to 1."""
    height, width = mask.shape
    x0, y0, x1, y1 = expand(box_xyxy, (width, height))
    return float(mask[y0:y1, x0:x1].mean())


def border_share(mask: MaskArray) -> float:
    """Return how much of the picture's outermost ring of pixels the mask covers, 0 to 1."""
    ring = np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])
    return float(ring.mean())


def holes(mask: MaskArray, min_share: float = 0.001) -> int:
    """Return the number of holes: 4-connected background wholly inside the mask, of `min_share` of its area or more."""
    background = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(background, connectivity=4)
    least = max(1.0, min_share * float(mask.sum()))
    outside = int(labels[0, 0])
    return sum(1 for part in range(1, count) if part != outside and statistics[part, cv2.CC_STAT_AREA] >= least)


def from_polygons(polygons_xy: Sequence[ArrayLike], size_wh: tuple[int, int]) -> MaskArray:
    """Return the mask that polygons, each (n >= 3, 2) in pixels, enclose; where they overlap the even-odd rule holds.

    Raises:
        ValueError: a polygon has fewer than three corners, or not two coordinates each.
    """
    # OpenCV names pixel centres by whole numbers where tamis names pixel corners, hence half a pixel.
    corners = [np.asarray(polygon, np.float64).reshape(-1, 2) - 0.5 for polygon in polygons_xy]
    if any(len(polygon) < 3 for polygon in corners):
        raise ValueError("a polygon needs three corners or more")
    canvas = np.zeros(size_wh[::-1], np.uint8)
    fixed_point = [np.round(polygon * 256).astype(np.int32) for polygon in corners]
    if fixed_point:
        cv2.fillPoly(canvas, fixed_point, 1, shift=8)
    return canvas.astype(bool)


def largest_part(mask: MaskArray) -> MaskArray:
    """Return the largest 8-connected part of the mask; the mask itself where it is empty."""
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 2:
        return mask
    return np.asarray(labels == 1 + int(statistics[1:, cv2.CC_STAT_AREA].argmax()))


def from_prototypes(
    prototypes: NDArray[np.float32], coefficients: NDArray[np.float32], box_xyxy: Box, placement: Placement
) -> MaskArray:
    """Return the mask of one box from a YOLO segmentation head, in the picture's own resolution.

    Args:
        prototypes: (channels, h, w), covering the network's frame.
        coefficients: (channels,), the box's mixture of them; the mask is where the mixture is positive.
        box_xyxy: in pixels of the picture; the mask is empty outside of it.
        placement: where the picture lies in the frame.
    """
    channels, height, width = prototypes.shape
    logits = (coefficients @ prototypes.reshape(channels, -1)).reshape(height, width)
    mask = np.zeros(placement.size_wh[::-1], bool)
    x0, y0, x1, y1 = expand(box_xyxy, placement.size_wh)
    # Affine map from the centres of the crop's pixels to those of the prototypes; pixel i has its centre at i + 0.5.
    step_x = placement.inner_wh[0] / placement.size_wh[0] * width / placement.frame_wh[0]
    step_y = placement.inner_wh[1] / placement.size_wh[1] * height / placement.frame_wh[1]
    start_x = (x0 + 0.5) * step_x + placement.left * width / placement.frame_wh[0] - 0.5
    start_y = (y0 + 0.5) * step_y + placement.top * height / placement.frame_wh[1] - 0.5
    crop = cv2.warpAffine(
        np.ascontiguousarray(logits, np.float32),
        np.asarray([[step_x, 0, start_x], [0, step_y, start_y]], np.float64),
        (x1 - x0, y1 - y0),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    mask[y0:y1, x0:x1] = crop > 0
    return mask
