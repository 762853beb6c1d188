"""Crops and thumbnails for the browser: rendered from the original bytes when asked for, kept on disk for a while."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock, Semaphore

from tamis.blobs import BlobStore, write_whole
from tamis.records import digest
from tamis.thumbnails import Thumbnails
from tamis.vision.boxes import CropBox
from tamis.vision.decode import Limits
from tamis.vision.inspect import THUMBNAIL_SIDE, thumbnail
from tamis.vision.render import Rendering, render_crop

#: Longer sides that are rendered; a wish is rounded up, so that the cache holds few versions of a picture.
SIZES = (96, 160, THUMBNAIL_SIDE, 384, 512, 768, 1024, 1536, 2048)
CACHE_BYTES = 1_000_000_000
_QUALITY = 86
#: The cache is swept down to this share of its limit, so that it is not swept at each new picture.
_SWEPT_SHARE = 0.8


def nearest_size(wanted: int) -> int:
    """The smallest rendered size that is at least as long as wanted, or the largest."""
    return next((size for size in SIZES if size >= wanted), SIZES[-1])


class DiskCache:
    """Files by key below a folder; the least recently used ones go when the limit is passed."""

    def __init__(self, folder: Path, limit: int = CACHE_BYTES) -> None:
        self.folder = folder
        self.limit = limit
        self._bytes: int | None = None
        self._lock = Lock()

    def get(self, key: str, make: Callable[[], bytes]) -> bytes:
        """Return what is stored under the key, a hexadecimal digest, or make and store it."""
        path = self.folder / key[:2] / key
        try:
            data = path.read_bytes()
        except OSError:
            data = make()
            self._store(path, data)
        else:
            with suppress(OSError):
                os.utime(path)
        return data

    def _store(self, path: Path, data: bytes) -> None:
        try:
            write_whole(path, data)
        except OSError:  # a full disk or a folder without permission costs speed, not the picture
            return
        with self._lock:
            if self._bytes is None:
                self._bytes = sum(size for _, size, _ in self._entries())
            else:
                self._bytes += len(data)
            if self._bytes > self.limit:
                self._bytes = self._sweep()

    def _entries(self) -> list[tuple[float, int, Path]]:
        """Last use, bytes and path of each file, longest unused first."""
        entries: list[tuple[float, int, Path]] = []
        for path in self.folder.glob("??/*"):
            with suppress(FileNotFoundError):
                status = path.stat()
                entries.append((status.st_mtime, status.st_size, path))
        return sorted(entries)

    def _sweep(self) -> int:
        entries = self._entries()
        left = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if left <= self.limit * _SWEPT_SHARE:
                break
            path.unlink(missing_ok=True)
            left -= size
        return left


class Pictures:
    """Renders pictures of a blob store through a cache; small whole ones are the thumbnails that inspection made."""

    def __init__(self, blobs: BlobStore, cache: DiskCache, thumbnails: Thumbnails, limits: Limits) -> None:
        self._blobs = blobs
        self._cache = cache
        self._thumbnails = thumbnails
        self._limits = limits
        self._decoding = Semaphore(max(2, (os.cpu_count() or 2)))  # a decoded picture can take 300 MB

    def jpeg(self, sha256: str, crop: CropBox | None, size: int) -> bytes:
        """Return a JPEG of the picture, or of its part, whose longer side is `size` pixels at most.

        Raises:
            BlobMissing, BlobCorrupt: the store does not hold it.
            Unreadable: it is no picture that can be decoded.
        """
        if crop is None and size <= THUMBNAIL_SIDE:
            return self._thumbnail(sha256)
        key = digest("picture", sha256, repr(crop), size, _QUALITY)

        def make() -> bytes:
            rendering = Rendering((size, size), quality=_QUALITY)
            with self._decoding:
                return render_crop(self._blobs.get(sha256), crop, rendering, limits=self._limits)

        return self._cache.get(key, make)

    def _thumbnail(self, sha256: str) -> bytes:
        if kept := self._thumbnails.get(sha256):
            return kept
        with self._decoding:
            made = thumbnail(self._blobs.get(sha256), self._limits)
        self._thumbnails.put(sha256, made)
        return made
