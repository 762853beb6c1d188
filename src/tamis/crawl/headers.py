"""A bound on the header of an answer, which Scrapy reads without one: lines without end would fill the memory."""

from __future__ import annotations

from scrapy.core.downloader.handlers import http11
from twisted.python.failure import Failure

#: Bytes of status line and header fields together; browsers stop at 256 KB.
MAX_HEADER_BYTES = 256_000


class HeaderTooLargeError(Exception):
    """The header is beyond the limit."""


class BoundedParser(http11._LenientHTTPClientParser):
    """Scrapy's parser of answers; the connection is given up when the header is larger than `MAX_HEADER_BYTES`."""

    _header_bytes = 0

    def lineReceived(self, line: bytes) -> None:  # noqa: N802 - the name is the base class's
        """Take one line of the header. Called by Twisted."""
        self._header_bytes += len(line) + 2
        if self._header_bytes > MAX_HEADER_BYTES:
            raise HeaderTooLargeError(f"a header of more than {MAX_HEADER_BYTES} bytes")
        super().lineReceived(line)


def bound_headers() -> None:
    """Have Scrapy use `BoundedParser` in this process; it offers no setting for the parser."""
    http11._LenientHTTPClientParser = BoundedParser  # type: ignore[misc]


def is_header_too_large(error: BaseException | None) -> bool:
    """Tell whether a failed request was given up for its header."""
    reasons = getattr(error, "reasons", None) or getattr(getattr(error, "__cause__", None), "reasons", None) or ()
    return any(isinstance(reason, Failure) and isinstance(reason.value, HeaderTooLargeError) for reason in reasons)
