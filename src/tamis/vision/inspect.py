"""One decode of an image's bytes, and everything that is to be known from it."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from tamis.errors import Unreadable
from tamis.records import Inspection
from tamis.vision.decode import DEFAULT_LIMITS, Decoded, Header, ImageRGB, Limits, decode, decode_luma, probe
from tamis.vision.quality import REFERENCE_SIDE, Views, measure, reduced, sharpness, text_share, to_luma, to_reference
from tamis.vision.signatures import glance, sign, to_square

#: Least sides, in pixels, from which signatures alone are taken: half as much again as their square has.
_SIGNED_SIDE = 120
#: Pictures that are decoded before they are measured, and bytes of theirs at most: only JPEGs decode at reduced scale.
_TOGETHER = 8
_TOGETHER_BYTES = 16 * 2**20


def inspect_image(image_id: int, data: bytes, limits: Limits = DEFAULT_LIMITS) -> Inspection:
    """Return facts, quality scores and signatures of an image from one decode at reduced scale.

    The scale is the smallest of 1/8, 1/4, 1/2 and 1 that leaves 256 pixels along the long side. Bytes that are no
    picture within the limits give a record that says why.
    """
    (record,) = inspect_images([(image_id, data)], limits)
    return record


def inspect_images(images: Iterable[tuple[int, bytes]], limits: Limits = DEFAULT_LIMITS) -> Iterator[Inspection]:
    """Yield what `inspect_image` returns of each image, given by its id and bytes, in their order.

    Some are decoded before the first of them is measured: processors run code that they ran just before faster, by a
    tenth of the whole.
    """
    waiting: list[tuple[int, Decoded | Unreadable]] = []
    held = 0
    for image_id, data in images:
        found = _decoded_or_reason(data, limits)
        waiting.append((image_id, found))
        held += 0 if isinstance(found, Unreadable) else found.image_rgb.nbytes
        if len(waiting) == _TOGETHER or held > _TOGETHER_BYTES:
            yield from map(_recorded, waiting)
            waiting, held = [], 0
    yield from map(_recorded, waiting)


def _recorded(image: tuple[int, Decoded | Unreadable]) -> Inspection:
    image_id, found = image
    if isinstance(found, Unreadable):
        return Inspection(image_id, readable=False, reason=found.reason)
    return _record(image_id, found)


def _decoded_or_reason(data: bytes, limits: Limits) -> Decoded | Unreadable:
    try:
        return _decode_reduced(data, limits)
    except Unreadable as error:
        return error


def _record(image_id: int, decoded: Decoded) -> Inspection:
    header, views = decoded.header, Views.of(decoded.image_rgb)
    quality = measure(views, decoded.denominator)
    found, parts = sign(to_square(views.luma))
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
        phash=found.phash,
        phash_mirrored=found.phash_mirrored,
        dhash=found.dhash,
        parts=parts,
        pixel_digest=_digest(header, decoded.denominator, decoded.image_rgb, views.luma),
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
    header, luma = decode_luma(data, limits=limits, at_least_wh=(_SIGNED_SIDE, _SIGNED_SIDE))
    found, parts = sign(to_square(luma))
    return Signed(header.width, header.height, found.phash, found.dhash, parts, glance(luma).tobytes())


def sharpness_and_lettering(data: bytes, limits: Limits = DEFAULT_LIMITS) -> tuple[float, float]:
    """Return the sharpness of an image and the share of it that lettering covers, as `inspect_image` has them.

    Raises:
        Unreadable: no picture within the limits.
    """
    reference = reduced(to_luma(_decode_reduced(data, limits).image_rgb))
    return sharpness(reference), text_share(reference)


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
    return decode(data, limits=limits, at_least_wh=least_wh)


def pixel_digest(data: bytes, limits: Limits = DEFAULT_LIMITS) -> str:
    """Return 32 hexadecimal digits that are equal for files of the same upright size whose decoded pixels are equal.

    Pixels are compared at the decoded scale: equal digests of large pictures say that they agree to the last bit when
    reduced in the same way, as re-wrapped files do (metadata stripped, PNG compressed anew), not after a change of
    codec.

    Raises:
        Unreadable: no picture within the limits.
    """
    decoded = _decode_reduced(data, limits)
    return _digest(decoded.header, decoded.denominator, decoded.image_rgb, to_luma(decoded.image_rgb))


def _digest(header: Header, denominator: int, image_rgb: ImageRGB, luma: NDArray[np.uint8]) -> str:
    # A sum of all channels tells colours of one luma apart; SHA-256 of them would take as long as their decoding.
    checksum = zlib.crc32(np.ascontiguousarray(image_rgb).data)
    state = sha256(f"{header.width}x{header.height}/{denominator}/{checksum}/".encode())
    state.update(np.ascontiguousarray(luma).data)
    return state.hexdigest()[:32]
