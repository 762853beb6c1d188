"""Bytes from the web to a picture worth keeping: judged by content, resized if asked, measured."""

from __future__ import annotations

from hashlib import sha256

from tamis.crawl.checks import judge_picture
from tamis.crawl.outcomes import Outcome, standing
from tamis.errors import Unreadable
from tamis.fetch.options import FetchOptions, Kept
from tamis.vision.formats import HEIF_MISSING, extension, format_of
from tamis.vision.header import Header, Limits, is_whole, probe


def keep(body: bytes, options: FetchOptions) -> tuple[bytes, str, Kept] | Outcome:
    """Return the bytes to store, the extension of their file name and their facts; or why there are none.

    Without a size to fit, the bytes are those that were served. Their header is read and their end is looked for;
    with `options.verify`, or a size to fit, they are decoded.
    """
    limits = Limits(max_pixels=options.max_pixels, max_bytes=len(body))
    try:
        header = probe(body, limits)
    except Unreadable as error:
        return judge_picture(body, options.max_pixels) or _damaged(body, error)
    if refusal := _unwanted(header, options):
        return refusal
    if not is_whole(body, header.format):
        return _cut(header.format)
    try:
        stored, format_name, size_wh = body, header.format, (header.width, header.height)
        if options.resize is not None:
            from tamis.fetch.resize import FORMATS, resize  # noqa: PLC0415 - originals need no decoder

            stored, size_wh = resize(body, header, options)
            format_name = FORMATS[options.encoding]
        elif options.verify:
            from tamis.vision.decode import decode  # noqa: PLC0415

            decode(body, limits=limits)
    except Unreadable as error:
        return standing("corrupt", error.reason)
    original_sha256 = sha256(body).hexdigest()
    return (
        stored,
        extension(format_name),
        Kept(
            format=format_name,
            width=size_wh[0],
            height=size_wh[1],
            size=len(stored),
            sha256=original_sha256 if stored is body else sha256(stored).hexdigest(),
            original_width=header.width,
            original_height=header.height,
            original_size=len(body),
            original_sha256=original_sha256,
        ),
    )


def _damaged(body: bytes, error: Unreadable) -> Outcome:
    """Why a picture's header cannot be read: its kind, its missing end, or damage."""
    if error.reason == HEIF_MISSING:
        return standing("unsupported", error.reason)
    try:
        name = format_of(body)
    except Unreadable:
        return standing("unsupported", error.reason)
    return standing("corrupt", error.reason) if is_whole(body, name) else _cut(name)


def _cut(format_name: str) -> Outcome:
    return standing("truncated", f"the {format_name} file has no end")


def _unwanted(header: Header, options: FetchOptions) -> Outcome | None:
    shorter, longer = sorted((header.width, header.height))
    if shorter < options.min_side:
        return standing("too_small", f"{header.width}x{header.height} pixels: a side is below {options.min_side}")
    if options.max_aspect and longer > shorter * options.max_aspect:
        return standing("too_long", f"{header.width}x{header.height} pixels: beyond {options.max_aspect:g} to 1")
    return None
