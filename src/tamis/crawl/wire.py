"""Scrapy's HTTP/1.1 client with a bound on the headers of an answer, which it reads without end by itself."""

from __future__ import annotations

from typing import Any

from scrapy.core.downloader.handlers.http11 import (
    HTTP11DownloadHandler,
    _LenientHTTP11ClientFactory,
    _LenientHTTP11ClientProtocol,
    _LenientHTTPClientParser,
)
from twisted.web._newclient import ParseError

#: Bytes of the status lines and headers of one answer, interim answers included.
MAX_HEADER_BYTES = 256 * 1024


class HeaderFlood(ParseError):  # noqa: N818 - named after what happened
    """An answer with more headers than are read."""


class _BoundedParser(_LenientHTTPClientParser):
    """Counts the bytes before the body. Twisted makes the object as a class of its own, so that it starts late."""

    def lineReceived(self, line: bytes) -> None:  # noqa: N802 - Twisted's name
        """Called by Twisted."""
        received = self.__dict__.get("header_bytes", 0) + len(line) + 1
        self.__dict__["header_bytes"] = received
        if received > MAX_HEADER_BYTES:
            raise HeaderFlood(f"more than {MAX_HEADER_BYTES} bytes of headers", line[:100])  # type: ignore[no-untyped-call]
        super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: N802 - Twisted's name
        """Called by Twisted."""
        raise HeaderFlood("a header line without end", line[:100])  # type: ignore[no-untyped-call]


class _BoundedProtocol(_LenientHTTP11ClientProtocol):
    """A connection whose answers are read by the bounded parser."""

    def request(self, request: Any) -> Any:
        """Called by Twisted."""
        answer = super().request(request)
        self._parser.__class__ = _BoundedParser
        return answer


class _BoundedFactory(_LenientHTTP11ClientFactory):
    """Makes such connections."""

    def buildProtocol(self, addr: Any) -> _BoundedProtocol:  # noqa: ARG002, N802 - Twisted's name and parameters
        """Called by Twisted."""
        return _BoundedProtocol(self._quiescentCallback)  # type: ignore[no-untyped-call]


class BoundedHandler(HTTP11DownloadHandler):
    """The download handler for http and https."""

    def __init__(self, crawler: Any) -> None:
        super().__init__(crawler)
        self._pool._factory = _BoundedFactory
