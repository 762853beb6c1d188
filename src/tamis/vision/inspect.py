"""One decode of an image's bytes, and everything that is to be known from it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from tamis.errors import Unreadable
from tamis.records import Inspection
from tamis.vision.decode import DEFAULT_LIMITS, Decoded, Limits, decode, probe
from tamis.vision.quality import REFERENCE_SIDE, Views, lettering, measure, sharpness, to_luma, to_reference
from tamis.vision.signatures import glance, part_phashes, signatures


def inspect_image(image_id: int, data: bytes, limits: Limits = DEFAULT_LIMITS) -> Inspection:
    """Return facts, quality scores and signatures of an image from one decode at reduced scale.

    The scale is the smallest of 1/8, 1/4, 1/2 and 1 that leaves 256 pixels along the long side. Bytes that are no
    picture within the limits give a record that says why.
    """
    try:
        decoded = _decode_reduced(data, limits)
    except Unreadable as error:
        return Inspection(image_id, readable=False, reason=error.reason)
    return _record(image_id, decoded)


def _record(image_id: int, decoded: Decoded) -> Inspection:
    header, views = decoded.header, Views.of(decoded.image_rgb)
    return Inspection(
        image_id,
        readable=True,
        format=header.format,
        mode=header.mode,
        width=header.width,
        height=header.height,
        orientation=header.orientation,
        pixel_digest=pixel_digest(decoded),
        parts=part_phashes(views.reference),
        **asdict(measure(views, decoded.denominator)),
        **asdict(signatures(views.reference)),
    )


@dataclass(frozen=True, slots=True)
class Signed:
    """What copies of a picture are found by: the upright size in pixels, its signatures and its glance."""

    width: int
    height: int
    pixel_digest: str
    phash: int
    dhash: int
    parts: bytes
    glance: bytes


def sign_image(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Signed:
    """Return the signatures of an image, as `inspect_image` has them, without its quality.

    Raises:
        Unreadable: no picture within the limits.
    """
    decoded = _decode_reduced(data, limits)
    luma = to_luma(decoded.image_rgb)
    reference = to_reference(luma)
    found = signatures(reference)
    return Signed(
        decoded.header.width,
        decoded.header.height,
        pixel_digest(decoded),
        found.phash,
        found.dhash,
        part_phashes(reference),
        glance(luma).tobytes(),
    )


def sharpness_and_lettering(data: bytes, limits: Limits = DEFAULT_LIMITS) -> tuple[float, float]:
    """Return the sharpness of an image and the share of it that lettering covers, as `inspect_image` has them.

    Raises:
        Unreadable: no picture within the limits.
    """
    reference = to_reference(to_luma(_decode_reduced(data, limits).image_rgb))
    return sharpness(reference), float(lettering(reference).mean())


def small_picture(data: bytes, limits: Limits = DEFAULT_LIMITS) -> NDArray[np.uint8]:
    """Return the upright picture as RGB, shape (h, w, 3), with at most 256 pixels along the long side.

    Raises:
        Unreadable: no picture within the limits.
    """
    return to_reference(_decode_reduced(data, limits).image_rgb)


def _decode_reduced(data: bytes, limits: Limits) -> Decoded:
    header = probe(data, limits)
    least_wh = (REFERENCE_SIDE, 1) if header.width >= header.height else (1, REFERENCE_SIDE)
    return decode(data, limits=limits, at_least_wh=least_wh)


def pixel_digest(decoded: Decoded) -> str:
    """Return 32 hexadecimal digits that are equal for files of the same upright size whose decoded pixels are equal.

    Pixels are compared at the decoded scale: equal digests of large pictures say that they agree to the last bit when
    reduced in the same way, as re-wrapped files do (metadata stripped, PNG compressed anew), not after a change of
    codec.
    """
    header = decoded.header
    state = sha256(f"{header.width}x{header.height}/{decoded.denominator}".encode())
    state.update(np.ascontiguousarray(decoded.image_rgb).data)
    return state.hexdigest()[:32]
