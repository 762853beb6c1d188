"""A plain folder of images with an index that survives kills: what `ScrapingHandler` keeps."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Literal
from uuid import uuid4

from tamis.crawl.checks import judge_picture
from tamis.errors import Unreadable, UserError
from tamis.vision.decode import ImageRGB, Limits, decode, extension

Conversion = Literal["jpeg", "png", "webp"]
SUFFIXES: Mapping[Conversion, str] = {"jpeg": ".jpg", "png": ".png", "webp": ".webp"}
MAX_PIXELS = 100_000_000

_ORIGINALS, _CONVERTED, _INDEX = "originals", "converted", "index.jsonl"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the index: what came of a URL. An image has outcome `ok`, its hash and its file."""

    key: str
    url: str
    outcome: str
    reason: str | None = None
    sha256: str = ""
    file: str = ""
    width: int = 0
    height: int = 0
    size: int = 0


class ImageFolder:
    """Originals under the hash of their bytes, conversions beside them, and one index line for each URL.

    The index is only ever appended to, each line with one write; a line that a kill tore is dropped at the next
    opening. A later line of the same URL counts.

    Raises:
        UserError: the folder cannot be made, read or written.
    """

    def __init__(self, folder: Path, convert_to: Conversion | None) -> None:
        self.folder = folder
        self.convert_to = convert_to
        self.entries: dict[str, Entry] = {}
        self._lock = threading.Lock()
        path = folder / _INDEX
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if path.exists():
                self._read(path.read_bytes())
            self._index = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            self._end_torn_line(path)
        except OSError as error:
            raise UserError(f"{error.filename or folder} cannot be used: {error.strerror}") from error
        self._contents = {entry.sha256 for entry in self.entries.values() if entry.sha256}

    def _read(self, data: bytes) -> None:
        names = {part.name for part in fields(Entry)}
        for line in data.splitlines():
            try:
                stated = json.loads(line)
                entry = Entry(**{name: stated[name] for name in names})
            except (ValueError, KeyError, TypeError):
                continue
            self.entries[entry.key] = entry

    def _end_torn_line(self, path: Path) -> None:
        data = path.read_bytes()
        if data and not data.endswith(b"\n"):
            os.write(self._index, b"\n")

    def __len__(self) -> int:
        return len(self._contents)

    def known(self, key: str) -> Entry | None:
        """The entry of a URL, unless its file has gone since."""
        entry = self.entries.get(key)
        if entry is None or (entry.outcome == "ok" and not self.original(entry).is_file()):
            return None
        return entry

    def original(self, entry: Entry) -> Path:
        """Where the original of an image lies."""
        return self.folder / entry.file

    def converted(self, entry: Entry) -> Path | None:
        """Where the conversion lies, made where it is missing; None without `convert_to`."""
        if self.convert_to is None:
            return None
        name = Path(_CONVERTED) / entry.sha256[:2] / f"{entry.sha256}{SUFFIXES[self.convert_to]}"
        if not (self.folder / name).is_file():
            decoded = decode(self.original(entry).read_bytes(), limits=_limits(entry.size))
            self._write(name, encode(decoded.image_rgb, self.convert_to))
        return self.folder / name

    def keep(self, key: str, url: str, body: bytes) -> tuple[Entry, bool]:
        """Store the bytes of an image, and its conversion; return the entry, and whether the bytes are new.

        The bytes are decoded first: what is no image, or a damaged one, is not kept.
        """
        if refusal := judge_picture(body, MAX_PIXELS):
            return Entry(key, url, refusal.name, refusal.reason), False
        try:
            decoded = decode(body, limits=_limits(len(body)))
        except Unreadable as error:
            return Entry(key, url, "corrupt", error.reason), False
        header, name = decoded.header, sha256(body).hexdigest()
        file = Path(_ORIGINALS) / name[:2] / f"{name}{extension(header.format)}"
        self._write(file, body)
        with self._lock:
            is_new = name not in self._contents
            self._contents.add(name)
        entry = Entry(key, url, "ok", None, name, file.as_posix(), header.width, header.height, len(body))
        self.converted(entry)
        return entry, is_new

    def note(self, entry: Entry) -> None:
        """Append an entry to the index."""
        line = json.dumps(asdict(entry), ensure_ascii=False) + "\n"
        with self._lock:
            os.write(self._index, line.encode("utf-8", "replace"))
            self.entries[entry.key] = entry

    def close(self) -> None:
        """Close the index."""
        os.close(self._index)

    def _write(self, name: Path, data: bytes) -> None:
        """Write a file whole or not at all."""
        target = self.folder / name
        if target.is_file() and target.stat().st_size == len(data):
            return
        temporary = target.with_name(f".{uuid4().hex}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(data)
            temporary.replace(target)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise UserError(f"{target} cannot be written: {error.strerror}") from error


def encode(image_rgb: ImageRGB, form: Conversion) -> bytes:
    """Encode an array of shape (h, w, 3) as JPEG (quality 95), PNG, or WebP without loss."""
    from PIL import Image  # noqa: PLC0415 - only conversions need it

    buffer = BytesIO()
    # Each encoder ignores what only another one knows.
    Image.fromarray(image_rgb).save(buffer, form.upper(), quality=95, lossless=True)
    return buffer.getvalue()


def _limits(size: int) -> Limits:
    return Limits(max_pixels=MAX_PIXELS, max_bytes=size)
