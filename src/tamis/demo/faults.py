"""What is wrong with the market place on purpose: planted copies, broken answers, and listings that are not there."""

import struct
import zlib
from functools import lru_cache
from typing import Literal

from tamis.demo.copies import Alteration
from tamis.demo.render.subject import View

Fault = Literal[
    "not_found",
    "server_error",
    "error_once",
    "too_many_requests_once",
    "redirect_loop",
    "slow",
    "truncated",
    "html",
    "bomb",
    "forbidden",
]

Outcome = Literal[
    "ok",
    "not_found",
    "gone",
    "robots",
    "server_error",
    "redirect_loop",
    "timeout",
    "truncated",
    "not_image",
    "too_many_pixels",
]

#: What a polite downloader that tries again ends with.
OUTCOMES: dict[Fault, Outcome] = {
    "not_found": "not_found",
    "server_error": "server_error",
    "error_once": "ok",
    "too_many_requests_once": "ok",
    "redirect_loop": "redirect_loop",
    "slow": "timeout",
    "truncated": "truncated",
    "html": "not_image",
    "bomb": "too_many_pixels",
    "forbidden": "robots",
}

#: Pictures that are listed beside the good ones, by the number of the car.
BROKEN_PICTURES: dict[int, tuple[Fault, ...]] = {
    0: ("not_found",),
    1: ("server_error",),
    2: ("bomb",),
    4: ("redirect_loop",),
    5: ("slow",),
    6: ("truncated", "forbidden"),
    7: ("html",),
}

#: Cars whose second picture answers only when it is asked for again.
RECOVERING_PICTURES: dict[int, Fault] = {2: "error_once", 3: "too_many_requests_once"}

#: Copies that a listing shows beside the original: number of the car, view, edit.
COPIES: tuple[tuple[int, View, Alteration], ...] = (
    (0, "front", "mirrored"),
    (1, "front", "reencoded"),
    (2, "front", "resized"),
    (4, "rear", "cropped"),
    (5, "rear", "mirrored"),
    (6, "front", "watermarked"),
    (9, "rear", "reencoded"),
    (10, "rear", "resized"),
    (12, "front", "cropped"),
    (14, "rear", "watermarked"),
    (17, "front", "reencoded"),
    (18, "front", "resized"),
    (20, "rear", "cropped"),
    (21, "rear", "mirrored"),
    (25, "rear", "reencoded"),
    (28, "front", "watermarked"),
    (33, "front", "mirrored"),
)

#: Cars that a second dealer lists too, and that dealer.
RELISTED: dict[int, str] = {3: "Two Oaks Car Sales", 22: "Harbour Street Motors"}

#: How the second dealer's pictures came about, in turn: "exact" is the same bytes at another URL, "shared" the same
#: URL.
RELISTED_PICTURES: tuple[Alteration | Literal["exact", "shared"], ...] = (
    "watermarked",
    "reencoded",
    "exact",
    "cropped",
    "shared",
    "resized",
)

#: The car whose page has JSON-LD that no parser accepts.
BROKEN_JSON_LD = 7

RETRY_AFTER_S = 1
SLOW_BODY_S = 12.0

HTML_BODY = b"<!doctype html><html><head><title>Sign in</title></head><body><h1>Please sign in</h1></body></html>\n"

_BOMB_SIDE = 40_000


def truncate(body: bytes) -> bytes:
    """Cut a picture's file off in its middle."""
    return body[: len(body) * 55 // 100]


@lru_cache(maxsize=1)
def bomb_png() -> bytes:
    """Make a valid PNG of 40,000 x 40,000 black pixels in about 200 KB: 1.6 GB when decoded to 8 bits.

    The rows are one deflated block, flushed to a byte's end and repeated, so that nothing of full size is ever made.
    """
    row = 1 + _BOMB_SIDE // 8  # filter byte and one bit a pixel
    rows_in_block, blocks = 400, _BOMB_SIDE // 400
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = deflate.compress(bytes(row * rows_in_block)) + deflate.flush(zlib.Z_FULL_FLUSH)
    # Adler-32 of zeros: the low half stays 1, the high half counts them.
    checksum = ((row * _BOMB_SIDE % 65_521) << 16) | 1
    stream = b"\x78\xda" + block * blocks + b"\x03\x00" + struct.pack(">I", checksum)
    header = struct.pack(">IIBBBBB", _BOMB_SIDE, _BOMB_SIDE, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", stream), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
