"""Where workers put pictures: files of their own, or the end of a shard that is being written.

A file comes under its name whole or not at all. A shard is only appended to; the main process commits how far it is
written, and what a kill left beyond that is cut off when it is opened again.
"""

from __future__ import annotations

import json
import os
import tarfile
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO, Protocol

from tamis.fetch.options import SHARD_BYTES, FetchOptions, Kept, Place, Spool, Task
from tamis.fetch.state import HIDDEN

#: Folders of files and of shards, below the folder that the user named.
IMAGES, SHARDS = "images", "shards"
_FILES_A_FOLDER = 1_000
_BUFFER = 1 << 20
#: Tar files consist of blocks, and end with two empty ones (POSIX.1-1988, ustar).
BLOCK = 512


def key_of(number: int) -> str:
    """The name of a picture in its folder: nine digits, counted from 0 in the order of the list."""
    return f"{number:09d}"


def spool_path(folder: Path, spool: int) -> Path:
    """Where a shard lies while it is being written."""
    return folder / HIDDEN / f"shard-{spool}"


class Writer(Protocol):
    """Takes pictures, from one thread at a time."""

    def put(self, task: Task, body: bytes, extension: str, kept: Kept) -> Place:
        """Store a picture; it is committed once `flush` has returned."""

    def offer(self, spools: Sequence[Spool]) -> None:
        """Take over shards to write to."""

    def flush(self) -> tuple[Spool, ...]:
        """Hand all bytes to the system; return the shards that were written to since the last time."""

    def close(self) -> None:
        """Close all files."""


class FilesWriter:
    """One file a picture, a thousand in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: set[str] = set()

    def put(self, task: Task, body: bytes, extension: str, kept: Kept) -> Place:  # noqa: ARG002 - see Writer
        """Write the file under a temporary name and move it into place."""
        below = f"{IMAGES}/{task.number // _FILES_A_FOLDER:05d}"
        if below not in self._made:
            (self._folder / below).mkdir(parents=True, exist_ok=True)
            self._made.add(below)
        name = f"{below}/{key_of(task.number)}{extension}"
        target = f"{self._folder}/{name}"
        temporary = f"{self._folder}/{below}/.{task.number}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            written = os.write(descriptor, body)
            while written < len(body):
                written += os.write(descriptor, body[written:])
        finally:
            os.close(descriptor)
        os.replace(temporary, target)  # noqa: PTH105 - a Path costs as much as the call
        return Place(file=name)

    def offer(self, spools: Sequence[Spool]) -> None:
        """Files need no shards."""

    def flush(self) -> tuple[Spool, ...]:
        """Files are handed over one by one."""
        return ()

    def close(self) -> None:
        """Nothing stays open."""


class SpoolWriter:
    """Pictures one behind the other: as tar members with their facts beside them, or their bytes alone."""

    def __init__(self, folder: Path, options: FetchOptions) -> None:
        self._folder, self._options = folder, options
        self._free: deque[Spool] = deque()
        self._touched: dict[int, Spool] = {}
        self._file: BinaryIO | None = None
        self._id = self._size = self._count = 0

    def offer(self, spools: Sequence[Spool]) -> None:
        """Take over shards to write to, one after the other."""
        self._free.extend(spools)

    def put(self, task: Task, body: bytes, extension: str, kept: Kept) -> Place:
        """Append a picture."""
        tar = self._options.form == "webdataset"
        parts = self._members(task, body, extension, kept) if tar else [body]
        size = sum(map(len, parts))
        if self._file is None or (self._is_full(size) and self._free):
            self._turn()
        assert self._file is not None
        offset = self._size + (BLOCK if tar else 0)
        for part in parts:
            self._file.write(part)
        self._size += size
        self._count += 1
        self._touched[self._id] = Spool(self._id, self._size, self._count)
        return Place(spool=self._id, offset=offset)

    def _is_full(self, more: int) -> bool:
        return self._count >= self._options.shard_size or (self._count > 0 and self._size + more > SHARD_BYTES)

    def _turn(self) -> None:
        """Close the shard that is full, and open the next one where its committed part ends."""
        if self._file is not None:
            self._file.close()
            self._touched[self._id] = Spool(self._id, self._size, self._count, full=True)
        spool = self._free.popleft()
        path = spool_path(self._folder, spool.id)
        path.touch()
        self._file = path.open("r+b", buffering=_BUFFER)
        self._file.truncate(spool.size)
        self._file.seek(spool.size)
        self._id, self._size, self._count = spool.id, spool.size, spool.count

    def flush(self) -> tuple[Spool, ...]:
        """Hand all bytes to the system; a shard that is full is left for the next one, if there is one."""
        if self._file is not None:
            self._file.flush()
            if self._is_full(0) and self._free:
                self._turn()
        touched, self._touched = tuple(self._touched.values()), {}
        return touched

    def close(self) -> None:
        """Close the shard under way."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _members(self, task: Task, body: bytes, extension: str, kept: Kept) -> list[bytes]:
        """Tar members of one sample: the picture, its facts as JSON, and its caption where the list has one."""
        key, extra = key_of(task.number), json.loads(task.extra)
        facts = json.dumps(sample_facts(task, extra, kept), ensure_ascii=False).encode()
        parts = [*member(f"{key}{extension}", body), *member(f"{key}.json", facts)]
        caption = extra.get(self._options.caption) if self._options.caption else None
        if caption is not None:
            parts += member(f"{key}.txt", str(caption).encode())
        return parts


def sample_facts(task: Task, extra: dict[str, object], kept: Kept) -> dict[str, object]:
    """What stands beside a picture: the list's other columns, and what is known of it, which wins."""
    return {**extra, "key": key_of(task.number), "url": task.url, **asdict(kept)}


def member(name: str, data: bytes) -> list[bytes]:
    """Head, content and padding of a tar member."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return [info.tobuf(tarfile.USTAR_FORMAT), data, bytes(-len(data) % BLOCK)]


def open_writer(folder: Path, options: FetchOptions) -> Writer:
    """The writer of the form that was asked for."""
    return FilesWriter(folder) if options.form == "files" else SpoolWriter(folder, options)
