"""Pictures of a plain folder, decoded ahead of the network that looks at them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tamis.errors import Unreadable
from tamis.models.protocols import ImageRGB
from tamis.vision.decode import decode_rgb
from tamis.vision.picturefiles import read_picture

#: Called with pictures done, pictures in all, and a word for people.
Progress = Callable[[int, int | None, str], None]

#: Decoded pictures that wait at most; a large one takes 100 MB and more.
_AHEAD = 4

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class FolderPicture:
    """A file of the folder: its path below it, with slashes, and its pixels or why there are none."""

    file: str
    image_rgb: ImageRGB | None
    reason: str = ""


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
        files: paths below it, as `tamis.vision.picturefiles.picture_files` gives them.
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
        return FolderPicture(file, decode_rgb(read_picture(folder / file)))
    except Unreadable as error:
        return FolderPicture(file, None, error.reason)
