"""Bytes before they become an image: whether they are a picture at all, and of a size that can be decoded."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from stat import S_ISREG

from tamis.crawl.outcomes import OK, Fetched, Outcome, standing, too_large
from tamis.errors import Unreadable
from tamis.vision.formats import sniff
from tamis.vision.header import Limits, probe


def judge_picture(body: bytes, max_pixels: int) -> Outcome | None:
    """Return why bytes are no picture to keep, or None. A damaged picture is kept: it is judged when it is decoded."""
    if not body:
        return standing("empty", "no bytes")
    kind = sniff(body)
    if kind is None or not kind.startswith("image/") or kind == "image/svg+xml":
        return standing("not_image", f"the bytes are {kind}" if kind else "the bytes are no known kind of picture")
    try:
        probe(body, Limits(max_pixels=max_pixels, max_bytes=len(body)))
    except Unreadable as error:
        if "pixels exceed" in error.reason:
            return standing("too_many_pixels", error.reason)
    return None


def read_picture_file(folder: Path | None, name: str, max_bytes: int) -> Fetched:
    """Read a picture of a folder source, as if it had been fetched; `name` is its path below the folder.

    Without a folder the source has left the settings: a failure, until it is back.
    """
    if folder is None:
        return Fetched(Outcome("no_source", "its source is not in the settings any more", passing=True), name)
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        return Fetched(standing("not_found", "the path leads out of the source"), name)
    file = folder / path
    try:
        if refusal := _refusal(file, max_bytes):
            return Fetched(refusal, name)
        return Fetched(OK, name, body=file.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return Fetched(standing("not_found", f"no such file: {file}"), name)
    except OSError as error:
        return Fetched(Outcome("unreadable_file", error.strerror or type(error).__name__, passing=True), name)


def _refusal(file: Path, max_bytes: int) -> Outcome | None:
    """Why a file is not opened: a pipe would hold the reader up for ever."""
    found = file.stat()
    if not S_ISREG(found.st_mode):
        return standing("not_found", f"not a regular file: {file}")
    return too_large(max_bytes) if found.st_size > max_bytes else None
