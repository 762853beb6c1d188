"""The picture files of a plain folder: which files count, and how their bytes are read. No decoder is loaded.

One rule holds wherever a folder is read. A file counts as a picture when its name ends like a picture's, though nothing
here may decode it, so that it is told and not passed over; or, whatever its name, when it begins like a picture of a
kind that is decoded. Hidden files, and what lies in hidden folders, do not count.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from stat import S_ISREG

from tamis.errors import Unreadable, UserError
from tamis.vision.formats import format_of
from tamis.vision.header import DEFAULT_LIMITS, Limits, check_bytes

#: Endings of names, in lower case, by which a file counts as a picture.
PICTURE_SUFFIXES = frozenset(
    (
        ".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".jxl", ".png", ".tif",
        ".tiff", ".webp",
    )
)  # fmt: skip
_BEGINNING = 64


def visible_files(folder: Path) -> Iterator[tuple[PurePosixPath, list[str]]]:
    """Yield the folder and those below it, relative to it, with the sorted names of their files, hidden ones left out.

    Raises:
        UserError: a folder cannot be listed.
    """

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename} cannot be listed: {error.strerror}") from error

    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        relative = PurePosixPath(Path(place).relative_to(folder).as_posix())
        yield relative, sorted(name for name in names if not name.startswith("."))


def picture_files(folder: Path) -> list[str]:
    """Return the pictures in a folder and below it as paths relative to it: of each folder its own before those below.

    Raises:
        UserError: there is no such folder, or it cannot be listed.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: name the folder that holds the pictures")
    return [
        str(place / name)
        for place, names in visible_files(folder)
        for name in names
        if is_picture(folder / place / name)
    ]


def is_picture(path: Path) -> bool:
    """Tell whether a file counts as a picture, by its name or by its first bytes."""
    return path.suffix.lower() in PICTURE_SUFFIXES or _begins_like_one(path)


def read_picture(path: Path, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Return the bytes of a picture file; pipes and devices, and what is beyond the limit, are not opened.

    Raises:
        Unreadable: no regular file, too many bytes, or the system refuses.
    """
    try:
        found = path.stat()
        if not S_ISREG(found.st_mode):
            raise Unreadable("not a regular file")
        check_bytes(found.st_size, limits)
        return path.read_bytes()
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from error


def _begins_like_one(path: Path) -> bool:
    try:
        if not S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as stream:
            format_of(stream.read(_BEGINNING))
    except (OSError, Unreadable):
        return False
    return True
