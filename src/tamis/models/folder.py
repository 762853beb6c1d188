"""Pictures of a plain folder, decoded ahead of the network that looks at them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tamis.errors import Unreadable, UserError
from tamis.models.protocols import ImageRGB
from tamis.vision.decode import decode_rgb

#: Called with pictures done, pictures in all, and a word for people.
Progress = Callable[[int, int | None, str], None]

_SUFFIXES = frozenset((".jpg", ".jpeg", ".jfif", ".png", ".webp", ".avif", ".gif", ".tif", ".tiff", ".bmp"))
#: Decoded pictures that wait at most; a large one takes 100 MB and more.
_AHEAD = 4

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class FolderPicture:
    """A file of the folder: its path below it, with slashes, its bytes, and its pixels or why there are none."""

    file: str
    data: bytes
    image_rgb: ImageRGB | None
    reason: str = ""


def picture_files(folder: Path) -> list[str]:
    """Return the pictures in a folder and below it, by suffix, as sorted relative paths; hidden ones are left out.

    Raises:
        UserError: there is no such folder, or it may not be read.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder")

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename} cannot be read: {error.strerror}") from error

    found = []
    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        wanted = [name for name in names if Path(name).suffix.lower() in _SUFFIXES and not name.startswith(".")]
        found += [(Path(place) / name).relative_to(folder).as_posix() for name in wanted]
    return sorted(found)


def read_pictures(folder: Path, files: Sequence[str]) -> Generator[FolderPicture, None, None]:
    """Yield the pictures in the order of `files`, a few decoded ahead on another thread."""
    return map_pictures(folder, files, lambda picture: picture, ahead=_AHEAD)


def map_pictures(
    folder: Path,
    files: Sequence[str],
    work: Callable[[FolderPicture], _Result],
    *,
    threads: int = 1,
    ahead: int | None = None,
) -> Generator[_Result, None, None]:
    """Yield what `work` makes of each picture, in the order of `files`.

    Args:
        folder: where the files lie.
        files: paths below it, as `picture_files` gives them.
        work: called on one of `threads` threads with a picture that it has just decoded.
        threads: how many.
        ahead: how many results may wait for the caller; twice the threads unless told.
    """
    most = 2 * threads if ahead is None else ahead
    with ThreadPoolExecutor(threads, thread_name_prefix="pictures") as pool:
        waiting: deque[Future[_Result]] = deque()
        try:
            for file in files:
                waiting.append(pool.submit(lambda name: work(_read(folder, name)), file))
                if len(waiting) > most:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for task in waiting:
                task.cancel()


def _read(folder: Path, file: str) -> FolderPicture:
    try:
        data = (folder / file).read_bytes()
    except OSError as error:
        return FolderPicture(file, b"", None, f"cannot be read: {error.strerror}")
    try:
        return FolderPicture(file, data, decode_rgb(data))
    except Unreadable as error:
        return FolderPicture(file, data, None, error.reason)
