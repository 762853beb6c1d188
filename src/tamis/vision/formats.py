"""What bytes are, told by their first bytes alone, and the facts that picture headers state without decoding."""

from __future__ import annotations

import importlib.util
import re
import struct
from dataclasses import dataclass

from tamis.errors import Unreadable

#: Decodable formats: name as Pillow spells it, media type, file name extension.
_FORMATS = {
    "JPEG": ("image/jpeg", ".jpg"),
    "PNG": ("image/png", ".png"),
    "WEBP": ("image/webp", ".webp"),
    "AVIF": ("image/avif", ".avif"),
    "HEIF": ("image/heic", ".heic"),
    "GIF": ("image/gif", ".gif"),
    "TIFF": ("image/tiff", ".tif"),
    "BMP": ("image/bmp", ".bmp"),
}
#: Why a HEIF picture is not read where nothing can read it.
HEIF_MISSING = "HEIF pictures need the extra heif: pip install 'tamis[heif]'"
_HEIF_LIBRARY = "pi_heif"
_FORMAT_BY_MEDIA_TYPE = {media: name for name, (media, _) in _FORMATS.items()}

_MAGIC = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"\x00\x00\x00\x0cjP  ", "image/jp2"),
    (b"\xff\x0a", "image/jxl"),
    (b"\x00\x00\x00\x0cJXL ", "image/jxl"),
    (b"8BPS", "image/vnd.adobe.photoshop"),
    (b"\x00\x00\x01\x00", "image/vnd.microsoft.icon"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"\x1aE\xdf\xa3", "video/webm"),
)
#: Major brands of ISO base media files (ISO/IEC 14496-12, 23008-12).
_BRANDS = {b"avif": "image/avif", b"avis": "image/avif"} | dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), "image/heic"
)
_HEIF_BRANDS = (b"mif1", b"msf1")
_BMP_HEADER_SIZES = (12, 16, 40, 52, 56, 64, 108, 124)
_TEXT_SAMPLE = 1024
#: What the start of a text, in lower case and without leading blanks, says about it; the first that matches counts.
_TEXT_KINDS = (
    (rb"^<!doctype html|<html|<body|^<head", "text/html"),
    (rb"^<svg|^<\?xml[^\0]*<svg", "image/svg+xml"),
    (rb"^<\?xml", "application/xml"),
    (rb"^[\[{]", "application/json"),
)
_EXIF_ORIENTATION = 0x0112
_EXIF_SHORT = 3


def sniff(data: bytes) -> str | None:
    """Return the media type that the first bytes show, or None when they show nothing known.

    A server's `Content-Type` is never asked: it is often wrong, and this decides which decoder sees the bytes.
    """
    for magic, media_type in _MAGIC:
        if data.startswith(magic):
            return media_type
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[4:8] == b"ftyp":
        return _sniff_brand(data)
    if data[:2] == b"BM" and len(data) >= 18 and int.from_bytes(data[14:18], "little") in _BMP_HEADER_SIZES:
        return "image/bmp"
    return _sniff_text(data[:_TEXT_SAMPLE])


def _sniff_brand(data: bytes) -> str:
    major = data[8:12]
    if major in _HEIF_BRANDS:
        compatible = data[16 : min(int.from_bytes(data[:4], "big"), 256)]
        return "image/avif" if b"avif" in compatible or b"avis" in compatible else "image/heic"
    return _BRANDS.get(major, "video/mp4")


def _sniff_text(sample: bytes) -> str | None:
    start = sample.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not start or any(byte < 9 or 13 < byte < 32 for byte in sample):
        return None
    for pattern, media_type in _TEXT_KINDS:
        if re.search(pattern, start):
            return media_type
    try:
        # The sample may end within a character.
        sample[:-3].decode()
    except UnicodeDecodeError:
        return None
    return "text/plain"


def decodable_by_now() -> tuple[str, ...]:
    """Return the reasons for which pictures were refused elsewhere or before, and would not be refused here now."""
    return (HEIF_MISSING,) if importlib.util.find_spec(_HEIF_LIBRARY) is not None else ()


def format_of(data: bytes) -> str:
    """Return the name of the picture format, such as JPEG.

    Raises:
        Unreadable: the bytes are empty, no picture, or a picture of a kind that is not decoded.
    """
    if not data:
        raise Unreadable("empty file")
    media_type = sniff(data)
    name = _FORMAT_BY_MEDIA_TYPE.get(media_type or "")
    if name is not None:
        return name
    if media_type is not None and media_type.startswith("image/"):
        raise Unreadable(f"kind of picture that is not decoded ({media_type})")
    raise Unreadable(f"not a picture ({media_type or 'unknown bytes'})")


def extension(format_name: str) -> str:
    """Return the usual file name extension of a format, dot included: `.jpg` for JPEG.

    Raises:
        KeyError: the format is not one that `sniff` and `format_of` know.
    """
    return _FORMATS[format_name][1]


def media_type(format_name: str) -> str:
    """Return the media type of a format: `image/jpeg` for JPEG.

    Raises:
        KeyError: the format is not one that `sniff` and `format_of` know.
    """
    return _FORMATS[format_name][0]


def exif_orientation(exif: bytes) -> int:
    """Return the orientation (1 to 8) that an EXIF block states, 1 where it states none or is damaged.

    `exif` is a TIFF structure, with or without the leading identifier of six bytes (EXIF 2.32, section 4.6).
    """
    block = exif.removeprefix(b"Exif\x00\x00")
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(f"{order}I", block, 4)
        (entries,) = struct.unpack_from(f"{order}H", block, directory)
        for index in range(min(entries, 512)):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", block, directory + 2 + 12 * index)
            if tag == _EXIF_ORIENTATION:
                return value if kind == _EXIF_SHORT and 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """Facts of a JPEG's frame header; the size is as stored, before the orientation is applied.

    `one_scan` tells that the first scan holds the whole picture, so that decoders read no other.
    """

    width: int
    height: int
    components: int
    orientation: int
    one_scan: bool = False


#: Markers that start a frame: SOF0 to SOF15 but for DHT (C4), JPG (C8) and DAC (CC).
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL_MARKERS = frozenset({0xC0, 0xC1})
_STANDALONE_MARKERS = frozenset({0x01, *range(0xD0, 0xD8)})


def read_jpeg_header(data: bytes) -> JpegHeader:
    """Walk the marker segments up to the first scan (ITU-T T.81, annex B); nothing is decoded.

    Raises:
        Unreadable: the segments end before a frame header, or are no JPEG segments.
    """
    position, orientation = 2, 1
    frame: JpegHeader | None = None
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF or marker in _STANDALONE_MARKERS:
            position += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        body = data[position + 4 : position + 2 + length]
        if frame is None and marker in _FRAME_MARKERS and len(body) >= 6:
            height, width = struct.unpack_from(">HH", body, 1)
            frame = JpegHeader(width, height, body[5], orientation)
            if marker not in _SEQUENTIAL_MARKERS:
                return frame
        elif frame is not None and marker == 0xDA:
            one_scan = body[:1] == bytes([frame.components])
            return JpegHeader(frame.width, frame.height, frame.components, frame.orientation, one_scan)
        elif marker in (0xD8, 0xD9, 0xDA) or length < 2:
            break
        elif marker == 0xE1 and body.startswith(b"Exif\x00\x00"):
            orientation = exif_orientation(body)
        position += 2 + length
    if frame is None:
        raise Unreadable("truncated" if position + 4 > len(data) else "damaged JPEG header")
    return frame


def read_webp_size(data: bytes) -> tuple[int, int]:
    """Return width and height from the first chunk of a WebP file (RFC 9649, sections 2.5 to 2.7).

    Raises:
        Unreadable: the chunk is cut off or unknown.
    """
    kind, body = data[12:16], data[20:30]
    if len(body) < 10:
        raise Unreadable("truncated")
    if kind == b"VP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", body, 6)
        return width & 0x3FFF, height & 0x3FFF
    raise Unreadable("damaged WEBP header")
