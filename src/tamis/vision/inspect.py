"""One decode of an image's bytes, and everything that is to be known from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256, shake_128
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from tamis.errors import Unreadable
from tamis.records import Inspection
from tamis.vision.decode import DEFAULT_LIMITS, Decoded, ImageRGB, Limits, decode_luma, decode_probed, probe
from tamis.vision.quality import (
    REFERENCE_SIDE,
    Quality,
    Views,
    measure,
    soft_reduced,
    to_luma,
    to_reference,
)
from tamis.vision.signatures import glance, sign, to_square

#: Least sides, in pixels, from which signatures alone are taken: twice as many as the cells that a wave is made of.
_SIGNED_SIDE = 64
#: Pictures that are decoded before they are measured, and bytes of theirs at most: only JPEGs decode at reduced scale.
_TOGETHER = 8
_TOGETHER_BYTES = 16 * 2**20
#: Long side of a thumbnail at most, in pixels, and its quality as a JPEG.
THUMBNAIL_SIDE = 320
_THUMBNAIL_QUALITY = 80

#: Words of eight channels that are summed up at a time for the digest of the pixels.
_WORDS = 512

#: Takes the id of an image and its thumbnail.
Shown = Callable[[int, bytes], None]


def inspect_image(image_id: int, data: bytes, limits: Limits = DEFAULT_LIMITS) -> Inspection:
    """Return facts, quality scores and signatures of an image from one decode at reduced scale.

    The scale is the smallest of 1/8, 1/4, 1/2 and 1 that leaves 256 pixels along the long side. Bytes that are no
    picture within the limits give a record that says why.
    """
    (record,) = inspect_images([(image_id, data)], limits)
    return record


def inspect_images(
    images: Iterable[tuple[int, bytes]],
    limits: Limits = DEFAULT_LIMITS,
    shown: Shown | None = None,
    *,
    signed: bool = True,
) -> Iterator[Inspection]:
    """Yield what `inspect_image` returns of each image, given by its id and bytes, in their order.

    Some are taken together, step by step: processors run code that they ran just before faster, by a fifth of the
    whole. `shown` is handed a thumbnail of each readable one; see `thumbnail`. Signatures and the digest of the pixels
    are left out unless `signed`.
    """
    waiting: list[tuple[int, Decoded | Unreadable]] = []
    held = 0
    for image_id, data in images:
        found = _decoded_or_reason(data, limits)
        waiting.append((image_id, found))
        held += 0 if isinstance(found, Unreadable) else found.image_rgb.nbytes
        if len(waiting) == _TOGETHER or held > _TOGETHER_BYTES:
            yield from _records(waiting, shown, signed)
            waiting, held = [], 0
    yield from _records(waiting, shown, signed)


def _decoded_or_reason(data: bytes, limits: Limits) -> Decoded | Unreadable:
    try:
        return _decode_reduced(data, limits)
    except Unreadable as error:
        return error


def _records(
    images: Sequence[tuple[int, Decoded | Unreadable]], shown: Shown | None, signed: bool
) -> Iterator[Inspection]:
    readable = [(image_id, found) for image_id, found in images if isinstance(found, Decoded)]
    if shown is not None:
        for image_id, decoded in readable:
            shown(image_id, _thumbnail(decoded.image_rgb))
    pictures = [decoded for _, decoded in readable]
    views = [Views.of(decoded.image_rgb, decoded.denominator) for decoded in pictures]
    keys = _keys(pictures, views) if signed else [{}] * len(pictures)
    found = zip(pictures, measure(views), keys, strict=True)
    for image_id, one in images:
        if isinstance(one, Unreadable):
            yield Inspection(image_id, readable=False, reason=one.reason)
        else:
            yield _record(image_id, *next(found))


def _keys(pictures: Sequence[Decoded], views: Sequence[Views]) -> list[dict[str, Any]]:
    """Return the columns of each picture by which copies of it are found."""
    signed = [sign(to_square(one.luma)) for one in views]
    digests = [_digest(decoded, one.luma) for decoded, one in zip(pictures, views, strict=True)]
    return [
        {
            "phash": found.phash,
            "phash_mirrored": found.phash_mirrored,
            "dhash": found.dhash,
            "parts": parts,
            "pixel_digest": digest,
        }
        for (found, parts), digest in zip(signed, digests, strict=True)
    ]


def _record(image_id: int, decoded: Decoded, quality: Quality, keys: dict[str, Any]) -> Inspection:
    header = decoded.header
    return Inspection(
        image_id,
        readable=True,
        format=header.format,
        mode=header.mode,
        width=header.width,
        height=header.height,
        orientation=header.orientation,
        sharpness=quality.sharpness,
        brightness=quality.brightness,
        contrast=quality.contrast,
        clipped_dark=quality.clipped_dark,
        clipped_bright=quality.clipped_bright,
        blockiness=quality.blockiness,
        noise=quality.noise,
        entropy=quality.entropy,
        colourfulness=quality.colourfulness,
        text_share=quality.text_share,
        border_share=quality.border_share,
        **keys,
    )


@dataclass(frozen=True, slots=True)
class Signed:
    """What copies of a picture are found by: the upright size in pixels, its signatures and its glance."""

    width: int
    height: int
    phash: int
    dhash: int
    parts: bytes
    glance: bytes


def sign_image(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Signed:
    """Return the signatures of an image from its luma alone, at the least scale that serves them.

    They are within a few bits of those that `inspect_image` takes from a larger picture.

    Raises:
        Unreadable: no picture within the limits.
    """
    return sign_squared(square_image(data, limits))


@dataclass(frozen=True, slots=True)
class Squared:
    """The upright size of a picture in pixels, and its luma as the square from which signatures are taken."""

    width: int
    height: int
    square: NDArray[np.uint8]


def square_image(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Squared:
    """Return what `sign_squared` signs: both in turn do what `sign_image` does.

    Raises:
        Unreadable: no picture within the limits.
    """
    header, luma = decode_luma(data, limits=limits, at_least_wh=(_SIGNED_SIDE, _SIGNED_SIDE))
    return Squared(header.width, header.height, to_square(luma))


def sign_squared(squared: Squared) -> Signed:
    """Return the signatures of a picture."""
    found, parts = sign(squared.square)
    seen = glance(squared.square).tobytes()
    return Signed(squared.width, squared.height, found.phash, found.dhash, parts, seen)


def thumbnail(data: bytes, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Return a JPEG of the upright picture, of 256 to 320 pixels along the long side, never enlarged.

    It is made of the pixels that the inspection decodes: where these are at most 320 they stay as they are.

    Raises:
        Unreadable: no picture within the limits.
    """
    return _thumbnail(_decode_reduced(data, limits).image_rgb)


def _thumbnail(image_rgb: ImageRGB) -> bytes:
    shown = soft_reduced(image_rgb, THUMBNAIL_SIDE)
    return bytes(
        simplejpeg.encode_jpeg(
            shown, quality=_THUMBNAIL_QUALITY, colorspace="RGB", colorsubsampling="420", fastdct=True
        )
    )


def small_picture(data: bytes, limits: Limits = DEFAULT_LIMITS, side: int = REFERENCE_SIDE) -> ImageRGB:
    """Return the upright picture as RGB, shape (h, w, 3), from the least scale that leaves `side` pixels.

    It has at most 256 pixels along the long side.

    Raises:
        Unreadable: no picture within the limits.
    """
    return to_reference(_decode_reduced(data, limits, side).image_rgb)


def _decode_reduced(data: bytes, limits: Limits, side: int = REFERENCE_SIDE) -> Decoded:
    header = probe(data, limits)
    least_wh = (side, 1) if header.width >= header.height else (1, side)
    return decode_probed(data, header, least_wh)


def pixel_digest(data: bytes, limits: Limits = DEFAULT_LIMITS) -> str:
    """Return 32 hexadecimal digits that are equal for files of the same upright size whose decoded pixels are equal.

    Pixels are compared at the decoded scale: equal digests of large pictures say that they agree to the last bit when
    reduced in the same way, as re-wrapped files do (metadata stripped, PNG compressed anew), not after a change of
    codec.

    Raises:
        Unreadable: no picture within the limits.
    """
    decoded = _decode_reduced(data, limits)
    return _digest(decoded, to_luma(decoded.image_rgb))


def _digest(decoded: Decoded, luma: NDArray[np.uint8]) -> str:
    # Sums of all channels tell colours of one luma apart; SHA-256 of them would take as long as their decoding.
    channels = np.ascontiguousarray(decoded.image_rgb).reshape(-1)
    whole = channels.size - channels.size % (8 * _WORDS)
    header = decoded.header
    state = sha256(f"{header.width}x{header.height}/{decoded.denominator}/".encode())
    state.update((channels[:whole].view(np.uint64).reshape(-1, _WORDS) @ _weights()).data)
    state.update(channels[whole:].data)
    state.update(np.ascontiguousarray(luma).data)
    return state.hexdigest()[:32]


@cache
def _weights() -> NDArray[np.uint64]:
    """Odd, so that whatever one word turns into, its product differs (modulo 2 to the power of 64)."""
    return np.frombuffer(shake_128(b"weights").digest(8 * _WORDS), "<u8").astype(np.uint64) | np.uint64(1)
