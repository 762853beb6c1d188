"""A web server with bad habits, on raw sockets: what it sends is what the test wrote, right or wrong.

It runs on a thread of its own, counts the requests that reach it, and keeps their times (monotonic, in seconds).
"""

from __future__ import annotations

import asyncio
import gzip
import itertools
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self


@dataclass(frozen=True)
class Request:
    """A request as it came: path with query, and headers by lower-case name."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass
class Wire:
    """The connection, as a handler uses it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


#: A handler returns whether the connection stays open.
Handler = Callable[[Request, Wire], Awaitable[bool]]


def answer(body: bytes | str = b"", status: str = "200 OK", content_type: str = "text/html", **headers: str) -> bytes:
    """A well-formed answer; names of headers are given with underscores."""
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}"]
    stated = {"Content_Type": content_type, "Content_Length": str(len(content))} | headers
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in stated.items() if value]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + content


def fixed(data: bytes, *, keep: bool = False) -> Handler:
    """Always sends these bytes; then closes, unless told to keep the connection."""

    async def handle(_: Request, wire: Wire) -> bool:
        await wire.send(data)
        return keep

    return handle


def in_turn(*handlers: Handler) -> Handler:
    """The first request gets the first handler, and so on; the last one stays."""
    count = iter(range(10**9))

    async def handle(request: Request, wire: Wire) -> bool:
        return await handlers[min(next(count), len(handlers) - 1)](request, wire)

    return handle


@dataclass
class RudeServer:
    """Use as `with RudeServer() as server`; `server.routes[path] = handler`. A path ending in `*` takes all below."""

    routes: dict[str, Handler] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)
    tls: ssl.SSLContext | None = None
    delay: float = 0.0

    def __post_init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        start = asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self.tls, limit=2**20)
        self._server = asyncio.run_coroutine_threadsafe(start, self._loop).result(10)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def url(self, path: str = "/") -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}{path}"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError, ValueError):
                while await self._serve_one(Wire(reader, writer)):
                    pass
        finally:
            self._tasks.discard(task)
            with suppress(OSError, RuntimeError):
                writer.close()

    async def _serve_one(self, wire: Wire) -> bool:
        head = (await wire.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:]) if name}
        self.counts[path] += 1
        self.times.append(time.monotonic())
        if self.delay:
            await asyncio.sleep(self.delay)
        return await self._handler(path)(Request(method, path, headers), wire)

    def _handler(self, path: str) -> Handler:
        if found := self.routes.get(path):
            return found
        for prefix, handler in self.routes.items():
            if prefix.endswith("*") and path.startswith(prefix[:-1]):
                return handler
        return fixed(answer("nothing here", "404 Not Found"), keep=True)


# --- bad habits ---------------------------------------------------------------------------------------------------


async def drip(_: Request, wire: Wire) -> bool:
    """A body that comes byte by byte, and never ends."""
    await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 100000\r\n\r\n")
    while True:
        await wire.send(b" ")
        await asyncio.sleep(0.05)


async def silence(_: Request, wire: Wire) -> bool:
    """The request is taken, and never answered."""
    await asyncio.sleep(3600)
    return False


async def endless_body(_: Request, wire: Wire) -> bool:
    """Chunks without end."""
    await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await wire.send(b"10000\r\n" + b"a" * 0x10000 + b"\r\n")


async def endless_header(_: Request, wire: Wire) -> bool:
    """Header lines without end."""
    await wire.send(b"HTTP/1.1 200 OK\r\n")
    for number in itertools.count():
        await wire.send(f"X-{number}: {'a' * 500}\r\n".encode())
    return False


async def reset_in_body(_: Request, wire: Wire) -> bool:
    """The connection is reset in the middle of the body."""
    await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5000\r\n\r\n<html>")
    await asyncio.sleep(0.05)
    wire.reset()
    return False


async def hang_up(_: Request, wire: Wire) -> bool:
    """The connection is reset instead of an answer."""
    wire.reset()
    return False


async def endless_redirects(request: Request, wire: Wire) -> bool:
    """Each step leads to the next."""
    base, _, number = request.path.rpartition("/")
    await wire.send(answer(status="302 Found", Location=f"{base}/{int(number) + 1}"))
    return True


def redirect(target: str, status: str = "302 Found", **headers: str) -> Handler:
    return fixed(answer(status=status, Location=target, **headers), keep=True)


def bomb(size: int = 50_000_000) -> bytes:
    """A page that unpacks to far more than it weighs."""
    return answer(gzip.compress(b" " * size), Content_Encoding="gzip")


def item_page(title: str, images: tuple[str, ...] = (), *, head: str = "", price: str = "1000") -> str:
    """A page of one thing for sale, with its facts as JSON-LD."""
    listed = ",".join(f'"{url}"' for url in images)
    data = (
        f'{{"@context":"https://schema.org","@type":"Product","name":"{title}","image":[{listed}],'
        f'"offers":{{"@type":"Offer","price":"{price}","priceCurrency":"EUR"}}}}'
    )
    return (
        f'<!doctype html><html><head><meta charset="utf-8"><title>{title}</title>{head}'
        f'<script type="application/ld+json">{data}</script></head>'
        f"<body><h1>{title}</h1><p>{price} €</p></body></html>"
    )


def results_page(links: list[str], following: str | None = None) -> str:
    """A page of search results."""
    listed = "".join(
        f'<li class="listing"><a href="{url}"><h3>Thing number {number}</h3></a><span>{number}00 €</span></li>'
        for number, url in enumerate(links, 1)
    )
    further = f'<a rel="next" href="{following}">Next</a>' if following else ""
    return (
        f"<!doctype html><html><head><title>Things</title></head><body><h1>Things</h1><p>{len(links)} results</p>"
        f'<ul class="results">{listed}</ul>{further}</body></html>'
    )
