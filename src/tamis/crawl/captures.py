"""Saved pages as they were captured: HTML files of a browser, MHTML files, WARC files.

Each capture is an answer as a server once gave it, with the address that it had; nothing here asks the web.
"""

from __future__ import annotations

import calendar
import email
import email.policy
import gzip
import re
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from html import unescape
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit

from tamis.crawl.urls import BadUrl, request_url
from tamis.errors import TamisError, UserError
from tamis.extract.page import parse_page

HTML_SUFFIXES = (".html", ".htm", ".xhtml", ".html.gz", ".htm.gz")
MHTML_SUFFIXES = (".mhtml", ".mht")
WARC_SUFFIXES = (".warc", ".warc.gz")
SUFFIXES = (*HTML_SUFFIXES, *MHTML_SUFFIXES, *WARC_SUFFIXES)
#: The host of pages whose address nobody knows; no such name exists (RFC 2606).
NOWHERE = "saved.invalid"

_MAX_BYTES = 50_000_000
_HEAD = 4_000
#: What browsers and tools write into a page that they save: its address.
_MARKS = (
    re.compile(rb"<!--\s*saved from url=\(\d+\)(\S+?)\s*-->", re.IGNORECASE),
    re.compile(rb"Page saved with SingleFile\s+url:\s*(\S+)", re.IGNORECASE),
    re.compile(rb"<!--\s*Mirrored from (\S+?) by HTTrack", re.IGNORECASE),
)
_HOST_FOLDER = re.compile(r"^(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}(?:\+\d+)?$", re.IGNORECASE)


class Damaged(TamisError):  # noqa: N818 - named after what happened
    """A file breaks off or is no archive; what was read before it stands."""


@dataclass(frozen=True, slots=True)
class Capture:
    """One answer: its address, what came, and the path of its file below the source's folder.

    `is_known` tells whether the address is the page's own, and not one that was made up for its file.
    """

    url: str
    status: int
    headers: Mapping[str, tuple[str, ...]]
    body: bytes
    at: float
    file: str
    is_known: bool = True

    @property
    def media_type(self) -> str:
        """The media type that the server stated, in lower case; empty where it stated none."""
        return next(iter(self.headers.get("content-type", ())), "").partition(";")[0].strip().lower()


def capture_files(place: Path) -> list[Path]:
    """The files of saved pages at a path, which is one of them or a folder that holds some, in a stable order."""
    if place.is_file():
        return [place]
    found = [path for path in place.rglob("*") if path.name.lower().endswith(SUFFIXES) and path.is_file()]
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(place).parts))


def read_captures(path: Path, name: str, told: Callable[[int], None] | None = None) -> Iterator[Capture]:
    """Yield what a file holds; `name` is its path below the source, `told` hears how many bytes were read so far.

    Raises:
        Damaged: the file is not what its name says, or breaks off.
        UserError: it cannot be opened, or WARC files cannot be read here.
    """
    lower = path.name.lower()
    try:
        if lower.endswith(WARC_SUFFIXES):
            yield from _read_warc(path, name, told)
        elif lower.endswith(MHTML_SUFFIXES):
            yield from _read_mhtml(_file_bytes(path), name, path.stat().st_mtime)
        else:
            yield _read_html(_file_bytes(path), name, path.stat().st_mtime)
    except OSError as error:
        if error.errno is None:  # gzip and warcio raise it for bad bytes as well
            raise Damaged(f"is damaged: {error}") from error
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except (EOFError, zlib.error) as error:
        raise Damaged(f"breaks off: {error}") from error


def _file_bytes(path: Path) -> bytes:
    if path.name.lower().endswith(".gz"):
        with gzip.open(path) as packed:
            return packed.read(_MAX_BYTES)
    with path.open("rb") as plain:
        return plain.read(_MAX_BYTES)


# --- HTML ---------------------------------------------------------------------------------------------------------


def _read_html(body: bytes, name: str, at: float) -> Capture:
    headers = {"content-type": ("text/html",)}
    url = stated_address(body) or _mirrored(name)
    if url is None:
        return Capture(f"http://{NOWHERE}/{quote(name)}", 200, headers, body, at, name, is_known=False)
    return Capture(url, 200, headers, body, at, name)


def stated_address(body: bytes) -> str | None:
    """The address that a saved page names: a mark of what saved it, else its canonical one."""
    for mark in _MARKS:
        match = mark.search(body, 0, _HEAD)
        if match:
            text = unescape(match[1].decode("utf-8", "replace"))
            return _address(text if "://" in text else f"http://{text}")
    base = f"http://{NOWHERE}/"
    canonical = parse_page(body, base).canonical
    return None if canonical is None or canonical.startswith(base) else _address(canonical)


def _mirrored(name: str) -> str | None:
    """The address of a file of a mirror, which keeps pages in folders of their host's name."""
    parts = PurePosixPath(name).parts
    if len(parts) < 2 or not _HOST_FOLDER.match(parts[0]):
        return None
    path = "/".join(parts[1:]).removesuffix(".gz")
    return _address(
        f"https://{parts[0].replace('+', ':')}/{quote(unquote(path).removesuffix('index.html'), safe='/?=&')}"
    )


def _address(text: str) -> str | None:
    try:
        return request_url(text)
    except BadUrl:
        return None


# --- MHTML --------------------------------------------------------------------------------------------------------


def _read_mhtml(data: bytes, name: str, at: float) -> Iterator[Capture]:
    """Yield the page of an MHTML file, then its other parts (RFC 2557)."""
    message = email.message_from_bytes(data, policy=email.policy.default)
    if not isinstance(message, EmailMessage) or not message.get_content_type():
        raise Damaged("is no MHTML file")
    stated = str(message.get("Snapshot-Content-Location") or "").strip()
    base = ""
    found = False
    for part in message.walk():
        if part.is_multipart():
            continue
        location = "".join(str(part.get("Content-Location") or "").split()) or (stated if not found else "")
        url = _address(urljoin(base, location)) if location else None
        content = part.get_payload(decode=True)
        if not isinstance(content, bytes) or url is None:
            continue
        base, found = base or url, True
        charset = part.get_content_charset()
        media_type = part.get_content_type() + (f"; charset={charset}" if charset else "")
        yield Capture(url, 200, {"content-type": (media_type,)}, content, at, name)
    if not found:
        raise Damaged("holds no page with an address: it is no MHTML file")


# --- WARC ---------------------------------------------------------------------------------------------------------


def _read_warc(path: Path, name: str, told: Callable[[int], None] | None) -> Iterator[Capture]:
    """Yield the responses and resources of a WARC file (ISO 28500), unpacked."""
    try:
        from warcio.archiveiterator import ArchiveIterator  # noqa: PLC0415 - an optional extra
        from warcio.exceptions import ArchiveLoadFailed  # noqa: PLC0415
    except ImportError as error:
        raise UserError(f"{path}: WARC files need the extra `warc`: pip install 'tamis[warc]'") from error
    with path.open("rb") as stream:
        archive = ArchiveIterator(stream)
        try:
            for record in archive:
                if told is not None:
                    told(stream.tell())
                capture = _of_record(record, name)
                if capture is not None:
                    yield capture
        except (ArchiveLoadFailed, ValueError, AttributeError, UnicodeError) as error:
            raise Damaged(f"is damaged: {' '.join(str(error).split())[:200]}") from error


def _of_record(record: Any, name: str) -> Capture | None:
    if record.rec_type not in ("response", "resource"):
        return None
    url = _address(str(record.rec_headers.get_header("WARC-Target-URI") or "").strip("<> "))
    if url is None:
        return None
    status = 200
    headers: dict[str, tuple[str, ...]] = {}
    if record.http_headers is not None:
        code = str(record.http_headers.get_statuscode() or "")
        status = int(code) if code.isdecimal() and len(code) == 3 else 0
        for key, value in record.http_headers.headers:
            headers[key.lower()] = (*headers.get(key.lower(), ()), value)
    elif media_type := record.rec_headers.get_header("Content-Type"):
        headers["content-type"] = (media_type,)
    try:
        body = record.content_stream().read(_MAX_BYTES)
    except (zlib.error, EOFError):
        body = b""
    rest = record.raw_stream
    if getattr(rest, "limit", 0) > 0 and not rest.read(1):
        raise Damaged(f"breaks off in the record of {url}")
    return Capture(url, status, headers, body, _time_of(record.rec_headers.get_header("WARC-Date")), name)


def _time_of(stamp: str | None) -> float:
    """Seconds since the epoch of a WARC date such as 2026-01-31T12:00:00Z; 0 for one that cannot be read."""
    try:
        return float(calendar.timegm(time.strptime((stamp or "")[:19], "%Y-%m-%dT%H:%M:%S")))
    except (ValueError, OverflowError):
        return 0.0


def local_picture(capture: Capture, url: str, folder: Path) -> str | None:
    """The path below `folder` of a picture that was saved beside its page, by the address that it has there."""
    parts, base = urlsplit(url), urlsplit(urljoin(capture.url, "."))
    if parts.netloc != base.netloc or not parts.path.startswith(base.path):
        return None
    relative = PurePosixPath(unquote(parts.path.removeprefix(base.path)))
    path = PurePosixPath(capture.file).parent / relative
    if "\x00" in str(path) or relative.is_absolute() or ".." in path.parts or not relative.parts:
        return None
    return str(path) if (folder / path).is_file() else None
