"""Crops, resizes, thumbnails and cut-outs, rendered from original bytes into new files without metadata."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tamis.vision.boxes import CropBox, expand
from tamis.vision.decode import DEFAULT_LIMITS, Limits, decode, probe
from tamis.vision.lanczos import shrink
from tamis.vision.preprocess import fitted_size, resize

OutputFormat = Literal["jpeg", "png", "webp"]
Shape = Literal["inside", "letterbox", "crop", "stretch"]

Resize = Callable[[NDArray[np.uint8], tuple[int, int]], NDArray[np.uint8]]

#: By how much a reduced decode exceeds the target where it can: the filter of the last step is the better one.
_SPARE = 1.2
#: So many pictures are shrunk by Pillow before the faster loops, of the same pixels, are loaded or even compiled.
_FEW = 200
_shrunk = count()
_SUFFIXES = {"jpeg": ".jpg", "png": ".png", "webp": ".webp"}


@dataclass(frozen=True, slots=True)
class Rendering:
    """How a crop becomes a file.

    `size_wh` is the target in pixels, or None for the crop's own size. `shape` says what becomes of another aspect:
    "inside" keeps it and fits into the target, "letterbox" fills up with `background_rgb`, "crop" cuts off what juts
    out, "stretch" distorts. Without `enlarge` no pixel is invented: a crop smaller than the target keeps its scale
    (in a letterbox it stands in the middle; "crop" and "stretch" then reach the target's aspect, not its size).
    `quality` is that of JPEG and WebP, 1 to 100. Without `background_rgb` cut-outs are transparent, and other grounds
    are black. `background_share` below 1 lets the ground of a cut-out shine through its colour.

    Raises:
        ValueError: a value out of range.
    """

    size_wh: tuple[int, int] | None = None
    shape: Shape = "inside"
    format: OutputFormat = "jpeg"
    quality: int = 92
    background_rgb: tuple[int, int, int] | None = None
    enlarge: bool = False
    background_share: float = 1.0

    def __post_init__(self) -> None:
        if self.size_wh is not None and not all(1 <= side <= 16_384 for side in self.size_wh):
            raise ValueError(f"size {self.size_wh} is out of range: 1 to 16384 pixels a side")
        if self.shape not in get_args(Shape) or self.format not in _SUFFIXES:
            raise ValueError(f"shape {self.shape!r} or format {self.format!r} is unknown")
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality {self.quality} is not within 1 to 100")
        if not 0 <= self.background_share <= 1:
            raise ValueError(f"background share {self.background_share} is not within 0 to 1")

    @property
    def suffix(self) -> str:
        """File name suffix of the format, with the dot."""
        return _SUFFIXES[self.format]


#: As it is, as JPEG.
PLAIN = Rendering()


def render_crop(
    data: bytes,
    crop_xyxy: CropBox | None = None,
    rendering: Rendering = PLAIN,
    *,
    mask: NDArray[np.bool_] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> bytes:
    """Return a file of a part of a picture, upright, without metadata; equal input gives equal bytes.

    Args:
        data: the original file; it is decoded at the scale that is needed.
        crop_xyxy: in whole pixels of the upright picture, cut to it; None is the whole picture.
        rendering: size, shape and format.
        mask: boolean (h, w) of the whole upright picture: what is off becomes ground (a cut-out).
        limits: what is refused before decoding.

    Raises:
        Unreadable: no picture, damaged, or beyond the limits.
        ValueError: the crop lies outside of the picture, the mask is of another size, or a transparent cut-out is
            wanted as JPEG.
    """
    header = probe(data, limits)
    size_wh = (header.width, header.height)
    crop = _inside(crop_xyxy or (0, 0, *size_wh), size_wh)
    if mask is not None:
        _check_mask(mask, size_wh, rendering)
    target = _target(crop, rendering)
    needed = _needed_size(crop, size_wh, target)
    decoded = decode(data, limits=limits, at_least_wh=needed)
    image = decoded.image_rgb
    scaled = _scaled(crop, size_wh, (image.shape[1], image.shape[0]))
    part = image[scaled[1] : scaled[3], scaled[0] : scaled[2]]
    return _rendered(part, target, rendering, None if mask is None else mask[crop[1] : crop[3], crop[0] : crop[2]])


def render_part(
    image_rgb: NDArray[np.uint8],
    crop_xyxy: CropBox,
    rendering: Rendering = PLAIN,
    *,
    mask: NDArray[np.bool_] | None = None,
) -> bytes:
    """Return what `render_crop` does of a picture that is decoded already, uint8 (h, w, 3), at its full size.

    Raises:
        ValueError: as `render_crop`.
    """
    size_wh = (image_rgb.shape[1], image_rgb.shape[0])
    crop = _inside(crop_xyxy, size_wh)
    rows, columns = slice(crop[1], crop[3]), slice(crop[0], crop[2])
    if mask is not None:
        _check_mask(mask, size_wh, rendering)
        mask = mask[rows, columns]
    return _rendered(image_rgb[rows, columns], _target(crop, rendering), rendering, mask)


def render_mask(mask: NDArray[np.bool_], crop_xyxy: CropBox, rendering: Rendering = PLAIN) -> bytes:
    """Return a mask in the geometry in which `render_crop` shows that part, as a grey PNG: 255 is on, 0 is off.

    Args:
        mask: boolean (h, w) of the whole upright picture.
        crop_xyxy: in whole pixels of it, cut to it.
        rendering: size and shape; what a letterbox adds is off.

    Raises:
        ValueError: the crop lies outside of the picture.
    """
    crop = _inside(crop_xyxy, (mask.shape[1], mask.shape[0]))
    alpha = _alpha(mask[crop[1] : crop[3], crop[0] : crop[2]], _target(crop, rendering), rendering)
    return encode(np.where(alpha < 128, np.uint8(0), np.uint8(255)), "png")


def _alpha(mask: NDArray[np.bool_], target: tuple[int, int], rendering: Rendering) -> NDArray[np.uint8]:
    """The mask of a part in the rendering's geometry, uint8 (h, w, 1), from 0, off, to 255.

    It goes the way of a picture, but averaged, since Lanczos filtering rings at edges: what is well inside stays on.
    """
    layers = (mask.astype(np.uint8) * 255)[..., None].repeat(3, axis=2)
    return _shaped(layers, target, replace(rendering, background_rgb=None), resize)[..., :1]


def _rendered(
    part: NDArray[np.uint8], target: tuple[int, int], rendering: Rendering, mask: NDArray[np.bool_] | None
) -> bytes:
    """A part as a file; `mask` is that of the part, perhaps of another resolution."""
    if mask is None:
        return encode(_shaped(part, target, rendering), rendering.format, rendering.quality)
    alpha = _alpha(mask, target, rendering)
    return encode(_on_ground(_shaped(part, target, rendering), alpha, rendering), rendering.format, rendering.quality)


def encode(image: NDArray[np.uint8], output: OutputFormat, quality: int = 92) -> bytes:
    """Return the bytes of a picture without metadata; uint8 (h, w, 3) RGB, (h, w, 4) RGBA, not as JPEG, or (h, w, 1).

    Raises:
        ValueError: the format cannot hold it, such as a WebP of more than 16,383 pixels a side.
    """
    if output == "jpeg" and image.shape[2] == 4:
        raise ValueError("a JPEG has no transparency: choose PNG or WebP, or a background colour")
    swaps = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    swapped = cv2.cvtColor(image, swaps[image.shape[2]]) if image.shape[2] in swaps else image
    options = {
        "jpeg": [cv2.IMWRITE_JPEG_QUALITY, quality],
        "png": [cv2.IMWRITE_PNG_COMPRESSION, 6],
        "webp": [cv2.IMWRITE_WEBP_QUALITY, quality],
    }
    try:
        done, data = cv2.imencode(_SUFFIXES[output], swapped, options[output])
    except cv2.error as error:
        raise ValueError(f"a picture of {image.shape[1]}x{image.shape[0]} cannot be a {output} file") from error
    if not done:
        raise ValueError(f"a picture of {image.shape[1]}x{image.shape[0]} cannot be a {output} file")
    return data.tobytes()


def _inside(crop: CropBox, size_wh: tuple[int, int]) -> CropBox:
    x0, y0 = max(crop[0], 0), max(crop[1], 0)
    x1, y1 = min(crop[2], size_wh[0]), min(crop[3], size_wh[1])
    if x0 >= x1 or y0 >= y1:
        raise ValueError(f"crop {crop} holds nothing of a picture of {size_wh[0]}x{size_wh[1]}")
    return (x0, y0, x1, y1)


def _check_mask(mask: NDArray[np.bool_], size_wh: tuple[int, int], rendering: Rendering) -> None:
    if mask.shape != size_wh[::-1]:
        raise ValueError(f"mask of {mask.shape[1]}x{mask.shape[0]} for a picture of {size_wh[0]}x{size_wh[1]}")
    if rendering.background_rgb is None and rendering.format == "jpeg":
        raise ValueError("a JPEG has no transparency: choose PNG or WebP, or a background colour")


def _target(crop: CropBox, rendering: Rendering) -> tuple[int, int]:
    """Size of the picture that is shown, before a letterbox is put around it."""
    crop_wh = (crop[2] - crop[0], crop[3] - crop[1])
    if rendering.size_wh is None:
        return crop_wh
    if rendering.shape in ("inside", "letterbox"):
        fitted = fitted_size(crop_wh, rendering.size_wh)
        return fitted if rendering.enlarge or (fitted[0] <= crop_wh[0] and fitted[1] <= crop_wh[1]) else crop_wh
    if rendering.enlarge:
        return rendering.size_wh
    frame = (min(rendering.size_wh[0], crop_wh[0]), min(rendering.size_wh[1], crop_wh[1]))
    return fitted_size(rendering.size_wh, frame)


def _needed_size(crop: CropBox, size_wh: tuple[int, int], target: tuple[int, int]) -> tuple[int, int] | None:
    """Size of the whole picture at which the crop is no smaller than the target; None for all there is."""
    scale = max(target[0] / (crop[2] - crop[0]), target[1] / (crop[3] - crop[1]))
    if scale * _SPARE <= 0.5:
        scale *= _SPARE
    return None if scale >= 1 else (math.ceil(size_wh[0] * scale), math.ceil(size_wh[1] * scale))


def _scaled(crop: CropBox, size_wh: tuple[int, int], decoded_wh: tuple[int, int]) -> CropBox:
    if decoded_wh == size_wh:
        return crop
    ratio_x, ratio_y = decoded_wh[0] / size_wh[0], decoded_wh[1] / size_wh[1]
    return expand((crop[0] * ratio_x, crop[1] * ratio_y, crop[2] * ratio_x, crop[3] * ratio_y), decoded_wh)


def _resample(image: NDArray[np.uint8], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the picture, uint8 (h, w, 3), in another size: Lanczos filtering where it shrinks, as `resize` else."""
    height, width = image.shape[:2]
    if (width, height) == size_wh or size_wh[0] > width or size_wh[1] > height:
        return resize(image, size_wh)
    if next(_shrunk) < _FEW:
        # One axis at a time: which one Pillow would begin with depends on the sizes, and so does the rounding.
        narrow = Image.fromarray(image).resize((size_wh[0], height), Image.Resampling.LANCZOS)
        return np.asarray(narrow.resize(size_wh, Image.Resampling.LANCZOS), dtype=np.uint8)
    return shrink(image, size_wh)


def _shaped(
    part: NDArray[np.uint8], target: tuple[int, int], rendering: Rendering, change: Resize = _resample
) -> NDArray[np.uint8]:
    """Return the part in the rendering's geometry, uint8 (h, w, 3)."""
    if rendering.shape == "crop":
        height, width = part.shape[:2]
        inner = fitted_size(target, (width, height))
        left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
        part = part[top : top + inner[1], left : left + inner[0]]
    shown = change(np.ascontiguousarray(part), target)
    if rendering.shape != "letterbox" or rendering.size_wh is None:
        return shown
    frame = np.empty((rendering.size_wh[1], rendering.size_wh[0], 3), np.uint8)
    frame[:] = rendering.background_rgb or (0, 0, 0)
    left, top = (rendering.size_wh[0] - target[0]) // 2, (rendering.size_wh[1] - target[1]) // 2
    frame[top : top + target[1], left : left + target[0]] = shown
    return frame


def _on_ground(image: NDArray[np.uint8], alpha: NDArray[np.uint8], rendering: Rendering) -> NDArray[np.uint8]:
    if rendering.background_rgb is None:
        return np.concatenate([image, alpha], axis=2)
    share = 1 - (1 - alpha.astype(np.float32) / 255) * np.float32(rendering.background_share)
    mixed = image * share + np.asarray(rendering.background_rgb, np.float32) * (1 - share)
    return np.asarray(np.rint(mixed), np.uint8)
