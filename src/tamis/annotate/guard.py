"""What every request must pass before a route sees it: host, origin, size; and the headers every answer carries.

The loopback address is no protection by itself: any web page can send requests to it, and a host name that is made
to resolve to 127.0.0.1 (DNS rebinding) makes the browser take that page for the application. So the host name must
be a known one, and what changes something must come from the application's own pages.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Names of this machine to itself.
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
#: In a list of allowed hosts: any IP address. Only names can be rebound, so a literal address is what was typed.
ANY_ADDRESS = "any address"
MAX_BODY_BYTES = 2_000_000
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

#: Scripts, styles and pictures come from the application alone; the page's code may not turn text into markup.
CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_HEADERS = {
    "content-security-policy": CONTENT_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


@dataclass(frozen=True, slots=True)
class _Refusal:
    status: int
    reason: str


class Guard:
    """ASGI middleware that refuses foreign hosts, foreign origins and oversized bodies."""

    def __init__(self, app: ASGIApp, allowed_hosts: Iterable[str]) -> None:
        self.app = app
        self.allowed_hosts = frozenset(name.lower() for name in allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer why not."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        refusal = self._judge(scope["method"], scope["path"], Headers(scope=scope))
        if refusal is None:
            await self.app(scope, receive, send_with_headers)
        else:
            answer = JSONResponse({"detail": refusal.reason}, refusal.status)
            await answer(scope, receive, send_with_headers)

    def _judge(self, method: str, path: str, headers: Headers) -> _Refusal | None:
        host = headers.get("host", "")
        if not is_allowed_host(host, self.allowed_hosts):
            return _Refusal(421, f"this server does not answer as {host[:100]!r}")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return _Refusal(403, "the request comes from a page of another site")
        fetched_by = headers.get("sec-fetch-site", "none")
        opens_page = headers.get("sec-fetch-mode") == "navigate" and method in _SAFE_METHODS
        if fetched_by not in ("same-origin", "none") and (not opens_page or path.startswith(("/api/", "/image/"))):
            return _Refusal(403, "the request comes from a page of another site")
        return None if method in _SAFE_METHODS else _judge_body(headers)


def _judge_body(headers: Headers) -> _Refusal | None:
    # A form of another site can send plain text and form fields without asking, but never JSON.
    if headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        return _Refusal(415, "the body must be application/json")
    length = headers.get("content-length", "")
    if not length.isdigit():
        return _Refusal(411, "the body must state its length")
    if int(length) > MAX_BODY_BYTES:
        return _Refusal(413, f"the body exceeds {MAX_BODY_BYTES} bytes")
    return None


def is_allowed_host(host: str, allowed: Iterable[str]) -> bool:
    """Return whether the Host header names one of the allowed hosts, on any port."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return False
    if not name or any(sign in host for sign in "@/?#\\"):
        return False
    return name in allowed or (ANY_ADDRESS in allowed and _is_address(name))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
