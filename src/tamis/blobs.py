"""The content-addressed store: bytes under the SHA-256 of themselves, on any fsspec file system.

Names come from the content alone, never from the web. A write goes to a temporary name and is moved into place, so a
reader finds all of a blob or nothing; a read is verified against its name.
"""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from tamis.errors import ProjectError, TamisError

_TEMPORARY = "temporary"


class BlobMissing(TamisError):  # noqa: N818 - named after what happened
    """The store holds no such bytes."""


class BlobCorrupt(TamisError):  # noqa: N818 - named after what happened
    """The stored bytes are not those that their name promises."""


class BlobStore:
    """Bytes by content hash below a folder or fsspec URL. Objects of this class pickle, and open lazily."""

    def __init__(self, address: str | Path) -> None:
        self.address = str(address)
        self._opened: tuple[Any, str] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"address": self.address, "_opened": None}

    @property
    def _root(self) -> tuple[Any, str]:
        if self._opened is None:
            from fsspec.core import url_to_fs  # noqa: PLC0415 - fsspec is loaded when a store is used

            system, root = url_to_fs(self.address)
            self._opened = (system, str(root).rstrip("/"))
        return self._opened

    @property
    def _local(self) -> bool:
        return "://" not in self.address or self.address.startswith("file://")

    def path(self, key: str) -> str:
        """Where the bytes of that SHA-256 lie, on the store's file system."""
        if len(key) != 64 or not set(key) <= set("0123456789abcdef"):
            raise ValueError(f"{key[:80]!r} is no SHA-256 in hexadecimal")
        return f"{self._root[1]}/{key[:2]}/{key[2:4]}/{key}"

    def put(self, data: bytes) -> str:
        """Store the bytes and return their SHA-256. Storing the same bytes again writes nothing.

        Raises:
            ProjectError: the disk is full, or the folder may not be written.
        """
        key = sha256(data).hexdigest()
        system, root = self._root
        target = self.path(key)
        if system.exists(target) and system.size(target) == len(data):
            return key
        temporary = f"{root}/{_TEMPORARY}/{uuid4().hex}"
        try:
            if self._local:
                _write_durably(temporary, target, data)
            else:
                system.pipe_file(target, data)  # object stores publish an object whole or not at all
        except OSError as error:
            with suppress(OSError):
                system.rm_file(temporary)
            raise ProjectError(f"cannot write to the store {self.address}: {error.strerror or error}") from error
        return key

    def get(self, key: str) -> bytes:
        """Return the bytes of that SHA-256, verified.

        Raises:
            BlobMissing: the store has none.
            BlobCorrupt: what is stored is something else (a broken disk, a meddler).
        """
        try:
            data = cast(bytes, self._root[0].cat_file(self.path(key)))
        except FileNotFoundError as error:
            raise BlobMissing(f"{key} is not in the store {self.address}") from error
        if sha256(data).hexdigest() != key:
            raise BlobCorrupt(f"{self.path(key)} does not hold what its name says")
        return data

    def __contains__(self, key: str) -> bool:
        return bool(self._root[0].exists(self.path(key)))

    def delete(self, key: str) -> None:
        """Remove the bytes; nothing happens when there are none."""
        with suppress(FileNotFoundError):
            self._root[0].rm_file(self.path(key))

    def sweep(self) -> int:
        """Remove what interrupted writes left behind and return how many files that were."""
        system, root = self._root
        left = system.ls(f"{root}/{_TEMPORARY}", detail=False) if system.exists(f"{root}/{_TEMPORARY}") else []
        for name in left:
            with suppress(FileNotFoundError):
                system.rm_file(name)
        return len(left)


def _write_durably(temporary: str, target: str, data: bytes) -> None:
    for name in (temporary, target):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
    with Path(temporary).open("xb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())
    Path(temporary).replace(target)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, though it may be lost when the power fails.

    Raises:
        OSError: the disk is full, or the folder may not be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid4().hex}.part")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
