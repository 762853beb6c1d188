"""Bytes to an upright RGB array, within limits checked before any pixel is decoded.

Whatever the bytes, the only exception that leaves this module is `Unreadable`. Colour profiles and PNG gamma are
not applied: networks and signatures here are used to the stored values.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from io import BytesIO

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from tamis.errors import Unreadable
from tamis.vision.formats import HEIF_MISSING, exif_orientation, extension, read_jpeg_header, sniff
from tamis.vision.header import DEFAULT_LIMITS, Header, Limits, probe

__all__ = [
    "DEFAULT_LIMITS",
    "Decoded",
    "Header",
    "ImageRGB",
    "Limits",
    "decode",
    "decode_luma",
    "decode_rgb",
    "extension",
    "probe",
    "sniff",
]

ImageRGB = NDArray[np.uint8]

Opener = Callable[[BytesIO, str], ImageFile.ImageFile]

#: Opened by class: `Image.open` would try every plugin and apply a pixel limit of its own.
_PLUGINS: dict[str, Opener] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
}
#: All that Pillow's parsers and codecs raise on hostile bytes; they promise no narrower set.
_DECODER_FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    Warning,
    Image.DecompressionBombError,
    struct.error,
    zlib.error,
)
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
    keep_freed_memory()
    header = probe(data, limits)
    denominator = _denominator(header, at_least_wh)
    stored = _decode_jpeg(data, header, denominator) if header.format == "JPEG" else None
    if stored is None:
        stored = _shrink(_decode_pillow(data, header), denominator)
    return Decoded(header, _turn_upright(stored, header.orientation), denominator)


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
            return header, _turn_upright(stored, header.orientation)[:, :, 0]
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
    if not read_jpeg_header(data).one_scan and data.count(b"\xff\xda") > _MAX_SCANS:
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


def _opener(name: str) -> Opener:
    return _heif_opener() if name == "HEIF" else _PLUGINS[name]


@cache
def _heif_opener() -> Opener:
    """Return the reader of HEIF files, which Pillow has not.

    Raises:
        Unreadable: the optional library is not installed.
    """
    try:
        from pi_heif import HeifImageFile  # noqa: PLC0415 - optional
    except ImportError:
        raise Unreadable(HEIF_MISSING) from None
    opener: Opener = HeifImageFile
    return opener


def read_pillow_header(name: str, data: bytes) -> tuple[str, tuple[int, int], int]:
    """Return mode, stored size and orientation; Pillow's TIFF reader states the upright size, which is undone.

    HEIF is turned by its library according to the file's own properties (ISO/IEC 23008-12, irot and imir), beside
    which EXIF does not count: it comes upright, with orientation 1.

    Raises:
        Unreadable: the header is damaged, or no library reads the format.
    """
    try:
        with _opener(name)(BytesIO(data), "") as picture:
            orientation = _orientation(picture)
            size_wh = picture.size
            mode = picture.mode
    except _DECODER_FAILURES as error:
        raise _unreadable(name, error) from None
    return mode, size_wh[::-1] if name == "TIFF" and orientation >= 5 else size_wh, orientation


def _orientation(picture: Image.Image) -> int:
    if picture.format == "HEIF":
        return 1
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        value = picture.tag_v2.get(0x0112)
        return value if isinstance(value, int) and 1 <= value <= 8 else 1
    exif = picture.info.get("exif")
    return exif_orientation(exif) if isinstance(exif, bytes) else 1


def _decode_pillow(data: bytes, header: Header) -> ImageRGB:
    """Decode in full, as stored. Pillow turns TIFF upright itself, which is undone so that all formats agree."""
    try:
        with _opener(header.format)(BytesIO(data), "") as picture:
            picture.load()
            pixels = np.asarray(_to_rgb(picture))
    except _DECODER_FAILURES as error:
        raise _unreadable(header.format, error) from None
    if header.format == "TIFF" and header.orientation != 1:
        pixels = _turn_upright(pixels, _INVERSE_ORIENTATION[header.orientation])
    return pixels


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I") or picture.mode == "F":
        return Image.fromarray(_to_eight_bits(np.asarray(picture), picture.mode)).convert("RGB")
    if "transparency" in picture.info or picture.mode in ("RGBA", "RGBa", "LA", "La", "PA"):
        layered = picture.convert("RGBA")
        ground = Image.new("RGB", picture.size, "white")
        ground.paste(layered, mask=layered.getchannel("A"))
        return ground
    return picture.convert("RGB")


def _to_eight_bits(values: NDArray[np.generic], mode: str) -> NDArray[np.uint8]:
    """Scale to 0 to 255: integers from 16 bits, floats from 0 to 1 where none is larger, else as they are."""
    finite = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    unit = finite.max(initial=0.0) <= 1.0
    scale = (255.0 if unit else 1.0) if mode == "F" else 255.0 / 65535.0
    scaled: NDArray[np.uint8] = np.clip(np.rint(finite * scale), 0, 255).astype(np.uint8)
    return scaled


def _shrink(image_rgb: ImageRGB, denominator: int) -> ImageRGB:
    if denominator == 1:
        return image_rgb
    height, width = image_rgb.shape[:2]
    size_wh = -(-width // denominator), -(-height // denominator)
    return np.asarray(cv2.resize(image_rgb, size_wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)


#: EXIF orientation to the one that undoes it; only the quarter turns are not their own inverses.
_INVERSE_ORIENTATION = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}


def _turn_upright(stored: ImageRGB, orientation: int) -> ImageRGB:
    """Apply EXIF orientation (EXIF 2.32, tag 274): after this the first row is the visual top."""
    turned = stored.transpose(1, 0, 2) if orientation >= 5 else stored
    if orientation in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    if orientation in (3, 4, 7, 8):
        turned = turned[::-1]
    return np.ascontiguousarray(turned)


def _unreadable(name: str, error: BaseException) -> Unreadable:
    message = str(error).lower()
    if "truncated" in message or "end of file" in message or isinstance(error, EOFError):
        return Unreadable("truncated")
    if isinstance(error, MemoryError):
        return Unreadable("too large to decode in memory")
    if isinstance(error, Image.DecompressionBombError):
        # A GIF frame larger than the canvas that its header states.
        return Unreadable("more pixels than its header states")
    return Unreadable(f"damaged {name} data")
