"""Pictures into a network's frame: resized, placed on the ground and scaled, in buffers that are used again."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tamis.models.layout import Layout, Three
from tamis.models.protocols import ImageRGB
from tamis.vision.boxes import Placement

#: Ground of the letterbox with which YOLO networks are trained.
PAD = 114


class Frames:
    """Writes batches of pictures as a layout wants them; each thread has buffers of its own.

    A buffer is float (n, 3, H, W); it holds until the same thread asks for the next one.
    """

    def __init__(self, layout: Layout, dtype: type[np.floating[Any]], batch: int | None) -> None:
        self._antialias, self._rounded, self._dtype, self._batch = layout.antialias, layout.rounded, dtype, batch
        # One multiplication a level of grey instead of one a pixel.
        self._tables = [_table(layout.mean, layout.std, channel) for channel in range(3)]
        # Level / 255, less the mean, over the deviation, as one factor and one summand a channel.
        std = np.asarray(layout.std, np.float64)
        self._factors = (1 / (255 * std)).astype(np.float32)
        self._summands = (-np.asarray(layout.mean, np.float64) / std).astype(np.float32)
        self._local = threading.local()

    def fill(self, images_rgb: Sequence[ImageRGB], placements: Sequence[Placement]) -> NDArray[Any]:
        """Return the network's input for pictures that share a frame; spare rows of a fixed batch are left over."""
        width, height = placements[0].frame_wh
        count = self._batch or len(images_rgb)
        buffers: dict[tuple[int, ...], tuple[NDArray[Any], list[Placement | None]]]
        buffers = self._local.__dict__.setdefault("buffers", {})
        shape = (count, 3, height, width)
        if shape not in buffers:
            buffers.clear()  # one at a time: pictures of a folder come in few shapes
            buffers[shape] = (np.zeros(shape, self._dtype), [None] * count)
        buffer, lying = buffers[shape]
        for row, (image, placement) in enumerate(zip(images_rgb, placements, strict=True)):
            if lying[row] != placement:
                for channel, table in enumerate(self._tables):
                    buffer[row, channel] = table[PAD]
                lying[row] = placement
            self._write(buffer[row], image, placement)
        return buffer

    def _write(self, target: NDArray[Any], image_rgb: ImageRGB, placement: Placement) -> None:
        left, top, (width, height) = placement.left, placement.top, placement.inner_wh
        window = target[:, top : top + height, left : left + width]
        if not self._rounded:
            self._write_floats(window, image_rgb)
            return
        inner = _resized(image_rgb, placement.inner_wh, antialias=self._antialias)
        for channel, plane in enumerate(cv2.split(inner)):
            if self._dtype is np.float32:
                cv2.LUT(plane, self._tables[channel], dst=window[channel])
            else:
                window[channel] = cv2.LUT(plane, self._tables[channel])

    def _write_floats(self, window: NDArray[Any], image_rgb: ImageRGB) -> None:
        """Resize without rounding to levels of grey; sampled, not averaged."""
        inner = cv2.resize(image_rgb.astype(np.float32), window.shape[:0:-1], interpolation=cv2.INTER_LINEAR)
        for channel in range(3):
            window[channel] = inner[..., channel] * self._factors[channel] + self._summands[channel]


def _table(mean: Three, std: Three, channel: int) -> NDArray[np.float32]:
    """Level of grey, 0 to 255, to the network's number: from 0 to 1, less the mean, over the deviation."""
    levels = np.arange(256) / 255
    return ((levels - mean[channel]) / std[channel]).astype(np.float32)


def _resized(image_rgb: ImageRGB, size_wh: tuple[int, int], *, antialias: bool) -> ImageRGB:
    """The picture in another size, resized as the network's trainers resize."""
    if (image_rgb.shape[1], image_rgb.shape[0]) == size_wh:
        return image_rgb
    if antialias:
        return np.asarray(Image.fromarray(image_rgb).resize(size_wh, Image.Resampling.BILINEAR))
    return np.asarray(cv2.resize(image_rgb, size_wh, interpolation=cv2.INTER_LINEAR), np.uint8)
