"""Boxes: overlap, suppression, merging, matching, crops, and the way between a picture and a network's frame.

A box is (x0, y0, x1, y1) in pixels, right and bottom exclusive; `boxes_xyxy` is a float array (n, 4) of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tamis.records import PART_SHARE, SAME_OBJECT, Box

Floats = NDArray[np.float32]
Indices = NDArray[np.intp]
CropBox = tuple[int, int, int, int]

#: Two boxes of one picture that overlap this much show the same object to two detectors.
SAME_OBJECT_IOU = 0.8


def as_boxes(boxes_xyxy: ArrayLike) -> Floats:
    """Return the boxes as float32 (n, 4); an empty list gives (0, 4).

    Raises:
        ValueError: another shape.
    """
    boxes = np.asarray(boxes_xyxy, np.float32)
    if boxes.size == 0:
        return boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"expected boxes of shape (n, 4), not {boxes.shape}")
    return boxes


def area(boxes_xyxy: Floats) -> Floats:
    """Return the areas, (n,), in square pixels; 0 for a box that is turned inside out."""
    sides = np.maximum(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 0)
    return np.asarray(sides[:, 0] * sides[:, 1])


def intersection(first_xyxy: Floats, second_xyxy: Floats) -> Floats:
    """Return the common areas, (n, m), of n and m boxes."""
    low = np.maximum(first_xyxy[:, None, :2], second_xyxy[None, :, :2])
    high = np.minimum(first_xyxy[:, None, 2:], second_xyxy[None, :, 2:])
    sides = np.maximum(high - low, 0)
    return np.asarray(sides[..., 0] * sides[..., 1])


def iou(first_xyxy: Floats, second_xyxy: Floats) -> Floats:
    """Return intersection over union, (n, m), of n and m boxes; 0 where both are empty."""
    common = intersection(first_xyxy, second_xyxy)
    union = area(first_xyxy)[:, None] + area(second_xyxy)[None, :] - common
    return np.asarray(np.divide(common, union, out=np.zeros_like(common), where=union > 0))


def from_centres(boxes_cxcywh: Floats) -> Floats:
    """Return corners of boxes given as centre, width, height, (n, 4) each."""
    half = boxes_cxcywh[:, 2:4] / 2
    return np.concatenate([boxes_cxcywh[:, :2] - half, boxes_cxcywh[:, :2] + half], axis=1)


def suppress(boxes_xyxy: Floats, scores: Floats, class_ids: NDArray[np.int64], max_iou: float = 0.7) -> Indices:
    """Greedy non-maximum suppression within classes; return the kept indices, best score first.

    Of two boxes of a class that overlap by more than `max_iou` the one with the lower score goes; equal scores keep
    the earlier. For suppression across classes pass equal `class_ids`.
    """
    order = np.argsort(-scores, kind="stable")
    boxes, classes = boxes_xyxy[order], class_ids[order]
    kept: list[int] = []
    while order.size:
        kept.append(int(order[0]))
        overlaps = (iou(boxes[:1], boxes)[0] > max_iou) & (classes == classes[0])
        overlaps[0] = True
        boxes, classes, order = boxes[~overlaps], classes[~overlaps], order[~overlaps]
    return np.asarray(kept, np.intp)


def distinct(boxes_xyxy: Floats, scores: Floats, class_ids: NDArray[np.int64], min_iou: float = SAME_OBJECT) -> Indices:
    """Return the indices, in their order, of the boxes that show objects of their own.

    A box shows the same object as a better one that it overlaps by `min_iou` or more, whatever the classes (a van that
    is also called a truck), or of the same class that covers it to nine tenths (a car and its front half). Of equal
    scores the earlier is better. Boxes that are inside out or empty are left as they are; a `min_iou` above 1 merges
    nothing.
    """
    if min_iou > 1:
        return np.arange(len(scores), dtype=np.intp)
    own = area(boxes_xyxy)
    covered = intersection(boxes_xyxy, boxes_xyxy) >= PART_SHARE * np.maximum(own, 1e-9)[:, None]
    same = (iou(boxes_xyxy, boxes_xyxy) >= min_iou) | (covered & (class_ids[:, None] == class_ids[None, :]))
    rank = np.empty(len(scores), np.intp)
    rank[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
    better = rank[None, :] < rank[:, None]
    return np.flatnonzero(~(same & better).any(axis=1))


def match(old_xyxy: Floats, new_xyxy: Floats, min_iou: float = SAME_OBJECT_IOU) -> list[tuple[int, int]]:
    """Pair old with new boxes one to one; return (old, new) indices, best overlap first.

    The pair that overlaps most goes first, then the next of those still free, down to `min_iou`; among equals the
    smaller indices win, so that the same boxes always pair alike.
    """
    overlap = iou(old_xyxy, new_xyxy)
    candidates = np.argwhere(overlap >= min_iou)
    strength = overlap[candidates[:, 0], candidates[:, 1]]
    pairs: list[tuple[int, int]] = []
    taken_old: set[int] = set()
    taken_new: set[int] = set()
    for row in np.argsort(-strength, kind="stable"):
        old, new = int(candidates[row, 0]), int(candidates[row, 1])
        if old not in taken_old and new not in taken_new:
            pairs.append((old, new))
            taken_old.add(old)
            taken_new.add(new)
    return pairs


def clip(boxes_xyxy: Floats, size_wh: tuple[int, int]) -> Floats:
    """Return the boxes, (n, 4), with every corner moved into a picture of that size."""
    return np.asarray(np.clip(boxes_xyxy, 0, np.asarray([*size_wh, *size_wh], np.float32)))


def share(boxes_xyxy: Floats, size_wh: tuple[int, int]) -> Floats:
    """Return each box's share of the picture's area, (n,), 0 to 1."""
    return np.asarray(area(clip(boxes_xyxy, size_wh)) / np.float32(size_wh[0] * size_wh[1]))


def off_centre(boxes_xyxy: Floats, size_wh: tuple[int, int]) -> NDArray[np.float64]:
    """Return the squared distance of each box's centre from the middle of the picture, (n,), in half pixels squared."""
    offset = boxes_xyxy[:, :2].astype(np.float64) + boxes_xyxy[:, 2:] - np.asarray(size_wh)
    return np.asarray((offset**2).sum(axis=1))


def expand(box_xyxy: Box, size_wh: tuple[int, int], margin: float = 0.0, aspect: float | None = None) -> CropBox:
    """Return the crop in whole pixels that shows a box with a margin, inside a picture of `size_wh`.

    `margin` is added on each side, as a share of the box's longer side. `aspect` (width / height, 1 for a square) is
    reached by growing the side that is too short and moving the crop into the picture; where the picture ends before
    the aspect is reached, the crop ends too. What the box holds of the picture is never cut off.
    """
    extra = margin * max(box_xyxy[2] - box_xyxy[0], box_xyxy[3] - box_xyxy[1], 0.0)
    x0, x1 = _whole_pixels(box_xyxy[0] - extra, box_xyxy[2] + extra, size_wh[0])
    y0, y1 = _whole_pixels(box_xyxy[1] - extra, box_xyxy[3] + extra, size_wh[1])
    if aspect is not None:
        x0, x1 = _lengthen(x0, x1, round((y1 - y0) * aspect), size_wh[0])
        y0, y1 = _lengthen(y0, y1, round((x1 - x0) / aspect), size_wh[1])
    return (x0, y0, x1, y1)


def _whole_pixels(low: float, high: float, limit: int) -> tuple[int, int]:
    """Whole pixels around [low, high], inside [0, limit] and at least one pixel long."""
    start = min(max(math.floor(low), 0), limit - 1)
    return start, max(min(math.ceil(high), limit), start + 1)


def _lengthen(start: int, end: int, wanted: int, limit: int) -> tuple[int, int]:
    """Grow [start, end] to `wanted` pixels about its middle, moved into [0, limit]; never shrink it."""
    missing = min(wanted, limit) - (end - start)
    if missing <= 0:
        return start, end
    moved = min(max(start - missing // 2, 0), limit - (end - start) - missing)
    return moved, moved + (end - start) + missing


def _multiple(side: int, stride: int) -> int:
    return -(-side // stride) * stride


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a picture of `size_wh` lies in a network's frame of `frame_wh`: `inner_wh` pixels from (left, top)."""

    size_wh: tuple[int, int]
    frame_wh: tuple[int, int]
    inner_wh: tuple[int, int]
    left: int = 0
    top: int = 0

    @classmethod
    def letterboxed(cls, size_wh: tuple[int, int], frame_wh: tuple[int, int]) -> Placement:
        """The placement with which YOLO networks are trained: aspect kept, centred, odd padding pixel at the end."""
        scale = min(frame_wh[0] / size_wh[0], frame_wh[1] / size_wh[1])
        inner = (max(round(size_wh[0] * scale), 1), max(round(size_wh[1] * scale), 1))
        left, top = ((frame - side) // 2 for frame, side in zip(frame_wh, inner, strict=True))
        return cls(size_wh, frame_wh, inner, left, top)

    @classmethod
    def boxed(cls, size_wh: tuple[int, int], limit_wh: tuple[int, int], stride: int) -> Placement:
        """As `letterboxed`, in the smallest frame inside `limit_wh` whose sides are multiples of `stride`."""
        inner = cls.letterboxed(size_wh, limit_wh).inner_wh
        frame = (_multiple(inner[0], stride), _multiple(inner[1], stride))
        left, top = ((outer - side) // 2 for outer, side in zip(frame, inner, strict=True))
        return cls(size_wh, frame, inner, left, top)

    @classmethod
    def stretched(cls, size_wh: tuple[int, int], frame_wh: tuple[int, int]) -> Placement:
        """The placement with which DETR networks are trained: the frame filled, the aspect not kept."""
        return cls(size_wh, frame_wh, frame_wh)

    def to_frame(self, boxes_xyxy: Floats) -> Floats:
        """Map boxes, (n, 4), from pixels of the picture to pixels of the frame."""
        return boxes_xyxy * self._scale + self._offset

    def to_picture(self, boxes_xyxy: Floats) -> Floats:
        """Map boxes, (n, 4), from pixels of the frame to pixels of the picture, clipped to it."""
        return clip((boxes_xyxy - self._offset) / self._scale, self.size_wh)

    @property
    def _scale(self) -> Floats:
        ratio = (self.inner_wh[0] / self.size_wh[0], self.inner_wh[1] / self.size_wh[1])
        return np.asarray(ratio * 2, np.float32)

    @property
    def _offset(self) -> Floats:
        return np.asarray((self.left, self.top) * 2, np.float32)
