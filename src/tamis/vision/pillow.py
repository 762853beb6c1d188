"""What libjpeg-turbo does not read, through Pillow: other formats, CMYK, rare kinds of JPEG; loaded when it is used."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import cache
from io import BytesIO

import numpy as np
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
from tamis.vision.decode import ImageRGB, turn_upright
from tamis.vision.formats import HEIF_MISSING, exif_orientation
from tamis.vision.header import Header

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
#: EXIF orientation to the one that undoes it; only the quarter turns are not their own inverses.
_INVERSE_ORIENTATION = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}


def _opener(name: str) -> Opener:
    return heif_opener() if name == "HEIF" else _PLUGINS[name]


@cache
def heif_opener() -> Opener:
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


def read_header(name: str, data: bytes) -> tuple[str, tuple[int, int], int]:
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


def decode_stored(data: bytes, header: Header) -> ImageRGB:
    """Return the picture in full as it is stored, RGB of shape (h, w, 3), not turned upright.

    Pillow turns TIFF upright itself, which is undone so that all formats agree.

    Raises:
        Unreadable: truncated or damaged, or no library reads the format.
    """
    try:
        with _opener(header.format)(BytesIO(data), "") as picture:
            picture.load()
            pixels = np.asarray(_to_rgb(picture))
    except _DECODER_FAILURES as error:
        raise _unreadable(header.format, error) from None
    if header.format == "TIFF" and header.orientation != 1:
        pixels = turn_upright(pixels, _INVERSE_ORIENTATION[header.orientation])
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
