"""The market place as a web server on the loopback address, in a thread or as `python -m tamis.demo.site --port N`."""

import asyncio
import sys
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from types import TracebackType
from typing import Self

import click
from aiohttp import web
from aiohttp.typedefs import Handler

from tamis.demo.catalogue import LISTING_COUNT
from tamis.demo.copies import render_bytes, render_thumbnail
from tamis.demo.faults import HTML_BODY, RETRY_AFTER_S, SLOW_BODY_S, bomb_png, truncate
from tamis.demo.listings import Listing, Slot, build_listings
from tamis.demo.pages import THUMBNAIL_WH, render_about, render_car, render_results, thumbnail_path
from tamis.errors import UserError

HOST = "127.0.0.1"
REQUESTS_PATH = "/_requests"

_ROBOTS_TXT = "User-agent: *\nDisallow: /private/\n"
_STATIC_TYPES = {".css": "text/css", ".js": "text/javascript"}
_DRIP_INTERVAL_S = 0.5
_STOP_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class SiteOptions:
    """What is served, and how fast."""

    listings: int = LISTING_COUNT
    """Cars, from the first; second dealers' listings and broken ones come on top."""
    faults: bool = True
    latency_s: float = 0.0
    """Seconds that each answer waits."""
    port: int = 0
    """0 lets the system choose."""


class DemoSite:
    """The running site; a context manager that serves from a thread of its own."""

    def __init__(self, options: SiteOptions | None = None) -> None:
        self.options = options or SiteOptions()
        self.listings = build_listings(self.options.listings, faults=self.options.faults)
        self.requests: Counter[str] = Counter()
        """Answered requests by path and query, as they came."""
        self._cars = {listing.path: listing for listing in self.listings}
        self._slots = {slot.path: slot for listing in self.listings for slot in listing.slots}
        self._thumbnails = {thumbnail_path(path): slot for path, slot in self._slots.items()}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Address without a slash at its end."""
        return f"http://{HOST}:{self._port}"

    @property
    def start_url(self) -> str:
        """The first search page."""
        return f"{self.url}/cars"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Serve in a thread; returns when the port is open. Raises UserError where it cannot be opened."""
        started: threading.Event = threading.Event()
        failures: list[OSError] = []
        self._thread = threading.Thread(target=self._serve, args=(started, failures), name="demo-site", daemon=True)
        self._thread.start()
        started.wait()
        if failures:
            self._thread.join()
            raise UserError(f"the demo site cannot listen on port {self.options.port}: {failures[0].strerror}")

    def stop(self) -> None:
        """End the thread, and answers that are under way with it."""
        if self._loop is not None and self._thread is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_STOP_WITHIN_S)

    def _serve(self, started: threading.Event, failures: list[OSError]) -> None:
        self._loop = asyncio.new_event_loop()
        runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=0.1)
        try:
            self._loop.run_until_complete(self._open(runner))
        except OSError as error:
            failures.append(error)
        finally:
            started.set()
        if not failures:
            self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    async def _open(self, runner: web.AppRunner) -> None:
        await runner.setup()
        site = web.TCPSite(runner, HOST, self.options.port)
        await site.start()
        self._port = runner.addresses[0][1]

    def _application(self) -> web.Application:
        @web.middleware
        async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path != REQUESTS_PATH:
                self.requests[request.path_qs] += 1
                await asyncio.sleep(self.options.latency_s)
            return await handler(request)

        application = web.Application(middlewares=[count])
        application.router.add_get("/", _redirect_home)
        application.router.add_get("/robots.txt", _robots)
        application.router.add_get("/about", _about)
        application.router.add_get(REQUESTS_PATH, self._count)
        application.router.add_get("/cars", self._results)
        application.router.add_get("/{folder:cars|private/cars}/{listing}/{slug}", self._car)
        application.router.add_get("/{folder:photos|private/photos}/{listing}/{name}", self._picture)
        application.router.add_get("/{name:style.css|car.js|lazy.js}", _static)
        return application

    async def _count(self, _: web.Request) -> web.Response:
        return web.json_response(dict(self.requests))

    async def _results(self, request: web.Request) -> web.Response:
        page = request.query.get("page", "1")
        text = render_results(self.listings, int(page)) if page.isdecimal() and len(page) < 6 else None
        if text is None:
            raise web.HTTPNotFound(text="There is no such page.")
        return _html(text)

    async def _car(self, request: web.Request) -> web.Response:
        listing: Listing | None = self._cars.get(request.path)
        if listing is None or listing.fate == "not_found":
            raise web.HTTPNotFound(text="This car is not on sale any more.")
        if listing.fate == "gone":
            raise web.HTTPGone(text="This car was sold.")
        return _html(render_car(listing, self.url))

    async def _picture(self, request: web.Request) -> web.StreamResponse:
        slot = self._slots.get(request.path)
        if slot is None:
            return await self._thumbnail(request.path)
        if slot.fault is not None:
            broken = await self._broken(request, slot)
            if broken is not None:
                return broken
        if slot.rendition is None:
            raise web.HTTPNotFound(text="There is no such picture.")
        body = await asyncio.to_thread(render_bytes, slot.rendition)
        if slot.fault == "truncated":
            body = truncate(body)
        return web.Response(body=body, content_type=f"image/{slot.rendition.encoding}")

    async def _thumbnail(self, path: str) -> web.Response:
        slot = self._thumbnails.get(path)
        if slot is None or slot.rendition is None:
            raise web.HTTPNotFound(text="There is no such picture.")
        body = await asyncio.to_thread(render_thumbnail, slot.rendition, THUMBNAIL_WH)
        return web.Response(body=body, content_type="image/jpeg")

    async def _broken(self, request: web.Request, slot: Slot) -> web.StreamResponse | None:
        """Answer as the slot's fault says; None where this time the picture comes."""
        is_first = self.requests[request.path_qs] == 1
        if slot.fault == "server_error" or (slot.fault == "error_once" and is_first):
            return web.Response(status=500, text="The server stumbled.")
        if slot.fault == "too_many_requests_once" and is_first:
            return web.Response(status=429, headers={"Retry-After": str(RETRY_AFTER_S)}, text="Too many requests.")
        if slot.fault == "redirect_loop":
            target = slot.path if request.query else f"{slot.path}?moved=1"
            return web.Response(status=302, headers={"Location": target})
        if slot.fault == "html":
            return web.Response(body=HTML_BODY, content_type="image/jpeg")
        if slot.fault == "bomb":
            return web.Response(body=await asyncio.to_thread(bomb_png), content_type="image/png")
        return await _drip(request) if slot.fault == "slow" else None


async def _drip(request: web.Request) -> web.StreamResponse:
    """Send a few bytes at a time, then cut the connection before the promised length."""
    response = web.StreamResponse(headers={"Content-Type": "image/jpeg", "Content-Length": "60000"})
    await response.prepare(request)
    with suppress(ConnectionError):  # whoever asked has given up
        for _ in range(round(SLOW_BODY_S / _DRIP_INTERVAL_S)):
            await response.write(b"\xff\xd8\xff\xe0")
            await asyncio.sleep(_DRIP_INTERVAL_S)
    if request.transport is not None:
        request.transport.abort()
    return response


def _html(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/html")


async def _redirect_home(_: web.Request) -> web.Response:
    return web.Response(status=302, headers={"Location": "/cars"})


async def _robots(_: web.Request) -> web.Response:
    return web.Response(text=_ROBOTS_TXT)


async def _about(_: web.Request) -> web.Response:
    return _html(render_about())


async def _static(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    body = (resources.files("tamis.demo") / "static" / name).read_bytes()
    return web.Response(body=body, content_type=_STATIC_TYPES[name[name.rindex(".") :]], charset="utf-8")


@click.command()
@click.option("--port", default=0, show_default=True, help="port on 127.0.0.1; 0 lets the system choose")
@click.option(
    "--listings", type=click.IntRange(1, LISTING_COUNT), default=LISTING_COUNT, show_default=True, help="cars"
)
@click.option("--faults/--no-faults", default=True, show_default=True, help="planted faults")
@click.option("--latency", default=0.0, show_default=True, help="seconds that each answer waits")
def serve(port: int, listings: int, faults: bool, latency: float) -> None:
    """Serve the market place until Ctrl-C."""
    site = DemoSite(SiteOptions(listings, faults, latency, port))
    try:
        site.start()
    except UserError as error:
        raise click.UsageError(str(error)) from error
    click.echo(f"{site.start_url} (Ctrl-C stops)")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        site.stop()


if __name__ == "__main__":
    sys.exit(serve())
