"""What a picture's header states, within limits: size, mode, orientation. No pixel is decoded, no decoder is loaded."""

from __future__ import annotations

from dataclasses import dataclass

from tamis.errors import Unreadable
from tamis.vision.formats import format_of, read_jpeg_header, read_webp_size

_JPEG_MODES = {1: "L", 3: "RGB", 4: "CMYK"}
_JPEG_END, _JPEG_SCAN = b"\xff\xd9", b"\xff\xda"


@dataclass(frozen=True, slots=True)
class Limits:
    """What is refused before decoding: `max_pixels` in all, `max_bytes` of the file, `max_side` in pixels."""

    max_pixels: int = 100_000_000
    max_bytes: int = 64 * 2**20
    max_side: int = 30_000


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Header:
    """What a file's header states.

    `mode` is Pillow's name of the stored colour mode; `width` and `height` are those of the upright picture;
    `orientation` is EXIF's, 1 to 8, already taken into account. `one_scan` is False for a JPEG whose picture may be
    spread over several scans.
    """

    format: str
    mode: str
    width: int
    height: int
    orientation: int
    one_scan: bool = True


def check_bytes(size: int, limits: Limits) -> None:
    """Raise Unreadable where a file has more bytes than the limits allow."""
    if size > limits.max_bytes:
        raise Unreadable(f"{size} bytes exceed the limit of {limits.max_bytes}")


def probe(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Header:
    """Return what the header states, without decoding pixels.

    Raises:
        Unreadable: no picture, a damaged header, or one beyond the limits.
    """
    check_bytes(len(data), limits)
    name = format_of(data)
    if name == "JPEG":
        stated = read_jpeg_header(data)
        mode = _JPEG_MODES.get(stated.components)
        if mode is None:
            raise Unreadable(f"JPEG of {stated.components} components")
        return _upright_header(name, mode, (stated.width, stated.height), stated.orientation, limits, stated.one_scan)
    if name == "WEBP":
        # Pillow's WebP reader takes memory for the whole canvas as soon as it is opened.
        _check_size(*read_webp_size(data), limits)
    from tamis.vision import pillow  # noqa: PLC0415 - most pictures need none of it

    mode, stored_wh, orientation = pillow.read_header(name, data)
    return _upright_header(name, mode, stored_wh, orientation, limits)


def is_whole(data: bytes, format_name: str) -> bool:
    """Tell whether a file has the end that its format asks for; True for formats without such a mark.

    A cheap look that finds cut files: JPEG's end marker after the last scan (ITU-T T.81, annex B; within a scan FF is
    followed by 00), PNG's last chunk, WebP's stated length (RFC 9649, section 2.3).
    """
    if format_name == "JPEG":
        end = data.rfind(_JPEG_END)
        return end > 0 and data.find(_JPEG_SCAN, end) < 0
    if format_name == "PNG":
        return data.rfind(b"IEND") > 0
    if format_name == "WEBP":
        return int.from_bytes(data[4:8], "little") + 8 <= len(data) + 1  # the padding byte may be missing
    return True


def _check_size(width: int, height: int, limits: Limits) -> None:
    if width <= 0 or height <= 0:
        raise Unreadable("zero-sized")
    if width * height > limits.max_pixels:
        raise Unreadable(f"{width}x{height} pixels exceed the limit of {limits.max_pixels}")
    if max(width, height) > limits.max_side:
        raise Unreadable(f"{width}x{height} pixels exceed the limit of {limits.max_side} a side")


def _upright_header(
    name: str, mode: str, stored_wh: tuple[int, int], orientation: int, limits: Limits, one_scan: bool = True
) -> Header:
    width, height = stored_wh if orientation <= 4 else stored_wh[::-1]
    _check_size(width, height, limits)
    return Header(name, mode, width, height, orientation, one_scan)
