"""Thumbnails: one small JPEG of each whole picture, made while it is inspected, for galleries and reports.

They are a cache, `cache/thumbnails` below the project's folder: what is missing or damaged is made anew from the
original, and what cannot be written costs time alone.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from tamis.blobs import write_whole

_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"


class Thumbnails:
    """JPEG files by the SHA-256 of the originals. Objects of this class pickle."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, project_folder: Path) -> Thumbnails:
        """Those of a project."""
        return cls(project_folder / "cache" / "thumbnails")

    def path(self, sha256: str) -> Path:
        """Where the thumbnail of an original lies."""
        return self.folder / sha256[:2] / f"{sha256}.jpg"

    def get(self, sha256: str) -> bytes | None:
        """Return the thumbnail of an original; None where there is none, or no whole one."""
        try:
            data = self.path(sha256).read_bytes()
        except OSError:
            return None
        return data if data.startswith(_JPEG_START) and data.endswith(_JPEG_END) else None

    def put(self, sha256: str, jpeg: bytes) -> None:
        """Keep a thumbnail, in place of an earlier one; a full disk or a folder without permission loses it."""
        with suppress(OSError):
            write_whole(self.path(sha256), jpeg)
