"""Bytes to an upright RGB array, within limits checked before any pixel is decoded.

Whatever the bytes, the only exception that leaves this module is `Unreadable`. Colour profiles and PNG gamma are
not applied: networks and signatures here are used to the stored values.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from tamis.errors import Unreadable
from tamis.vision.formats import extension, sniff
from tamis.vision.header import DEFAULT_LIMITS, Header, Limits, probe

__all__ = [
    "DEFAULT_LIMITS",
    "Decoded",
    "Header",
    "ImageRGB",
    "Limits",
    "decode",
    "decode_luma",
    "decode_probed",
    "decode_rgb",
    "extension",
    "probe",
    "sniff",
]

ImageRGB = NDArray[np.uint8]

#: Scales that libjpeg-turbo decodes with fast code.
_DENOMINATORS = (8, 4, 2)
#: Each scan of a progressive JPEG passes over the whole picture: a small file of thousands takes minutes.
_MAX_SCANS = 500


#: Freed memory that is kept for the next picture, in bytes: those of pictures at full size would add up to gigabytes.
_KEPT_BYTES = 2 * 2**20


@cache
def keep_freed_memory() -> None:
    """Let the allocator of glibc keep the buffers that one picture frees for the next one; elsewhere this does nothing.

    It would hand them back to the system, so that each picture of a few hundred kilobytes faults all its pages in
    anew. Freeing one mapped block makes its size the threshold (mallopt(3), M_MMAP_THRESHOLD).
    """
    np.empty(_KEPT_BYTES, dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Decoded:
    """An upright picture of shape (h, w, 3), and the divisor by which it is smaller than the header says."""

    header: Header
    image_rgb: ImageRGB
    denominator: int


def decode_rgb(
    data: bytes,
    *,
    limits: Limits = DEFAULT_LIMITS,
    at_least_wh: tuple[int, int] | None = None,
) -> ImageRGB:
    """Return the upright picture as RGB of shape (h, w, 3); see `decode`."""
    return decode(data, limits=limits, at_least_wh=at_least_wh).image_rgb


def decode(
    data: bytes,
    *,
    limits: Limits = DEFAULT_LIMITS,
    at_least_wh: tuple[int, int] | None = None,
) -> Decoded:
    """Decode to upright RGB: alpha over white, CMYK converted, 16 bits scaled to 8, the first frame of an animation.

    With `at_least_wh`, (width, height) of the upright picture in pixels, the result is the picture at 1/8, 1/4, 1/2
    or 1 (sides rounded up): the smallest whose sides are both at least as long as asked for. JPEG scales within the
    inverse DCT, which is several times faster; other formats are averaged down.

    Raises:
        Unreadable: no picture, truncated or damaged, or beyond the limits. Nothing else, whatever the bytes.
    """
    return decode_probed(data, probe(data, limits), at_least_wh)


def decode_probed(data: bytes, header: Header, at_least_wh: tuple[int, int] | None = None) -> Decoded:
    """Decode what `probe` accepted, as `decode` does.

    Raises:
        Unreadable: truncated or damaged.
    """
    keep_freed_memory()
    denominator = _denominator(header, at_least_wh)
    stored = _decode_jpeg(data, header, denominator) if header.format == "JPEG" else None
    if stored is None:
        from tamis.vision.pillow import decode_stored  # noqa: PLC0415 - JPEG needs none of it

        stored = _shrink(decode_stored(data, header), denominator)
    return Decoded(header, turn_upright(stored, header.orientation), denominator)


def decode_luma(
    data: bytes,
    *,
    limits: Limits = DEFAULT_LIMITS,
    at_least_wh: tuple[int, int] | None = None,
) -> tuple[Header, NDArray[np.uint8]]:
    """Return the header and the upright luma (ITU-R BT.601), shape (h, w), at the scale that `decode` would choose.

    A reduced JPEG is read without its colours, which takes two thirds of the time; its luma may differ from that of
    the decoded colours by the rounding of these.

    Raises:
        Unreadable: no picture, truncated or damaged, or beyond the limits. Nothing else, whatever the bytes.
    """
    keep_freed_memory()
    header = probe(data, limits)
    denominator = _denominator(header, at_least_wh)
    if header.format == "JPEG" and denominator > 1:
        stored = _decode_jpeg(data, header, denominator, "GRAY")
        if stored is not None:
            return header, turn_upright(stored, header.orientation)[:, :, 0]
    decoded = decode(data, limits=limits, at_least_wh=at_least_wh)
    return header, np.asarray(cv2.cvtColor(decoded.image_rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def _denominator(header: Header, at_least_wh: tuple[int, int] | None) -> int:
    if at_least_wh is None:
        return 1
    for denominator in _DENOMINATORS:
        scaled = -(-header.width // denominator), -(-header.height // denominator)
        if scaled[0] >= at_least_wh[0] and scaled[1] >= at_least_wh[1]:
            return denominator
    return 1


def _decode_jpeg(data: bytes, header: Header, denominator: int, colours: str = "RGB") -> NDArray[np.uint8] | None:
    """Decode through libjpeg-turbo; None for what its simple interface does not do (CMYK, rare subsampling)."""
    if not header.one_scan and data.count(b"\xff\xda") > _MAX_SCANS:
        raise Unreadable(f"JPEG of more than {_MAX_SCANS} scans")
    if header.mode == "CMYK":
        return None
    width, height = (header.width, header.height) if header.orientation <= 4 else (header.height, header.width)
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
            data,
            colours,
            min_width=-(-width // denominator),
            min_height=-(-height // denominator),
            min_factor=denominator,
        )
    except (ValueError, RuntimeError, MemoryError, OverflowError) as error:
        message = str(error).lower()
        if "premature end of jpeg file" in message:
            raise Unreadable("truncated") from None
        if "premature end of data segment" in message:
            raise Unreadable("truncated or damaged picture data") from None
        return None
    return pixels


def _shrink(image_rgb: ImageRGB, denominator: int) -> ImageRGB:
    if denominator == 1:
        return image_rgb
    height, width = image_rgb.shape[:2]
    size_wh = -(-width // denominator), -(-height // denominator)
    return np.asarray(cv2.resize(image_rgb, size_wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def turn_upright(stored: ImageRGB, orientation: int) -> ImageRGB:
    """Apply EXIF orientation (EXIF 2.32, tag 274): after this the first row is the visual top."""
    turned = stored.transpose(1, 0, 2) if orientation >= 5 else stored
    if orientation in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    if orientation in (3, 4, 7, 8):
        turned = turned[::-1]
    return np.ascontiguousarray(turned)
