"""Pages that need JavaScript: a real Chromium runs their scripts, where the plain page yields nothing.

The browser has no network of its own. Each of its requests is answered from here, by the same fetcher as elsewhere:
private addresses are refused after the name is resolved, robots.txt is obeyed, requests to a host keep the delay, and
sizes are bounded. Only documents, scripts and data are fetched; pictures, fonts and styles are not.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import Any

from tamis.config import CrawlSettings
from tamis.crawl.fetch import Fetcher, FetchLimits, fetch_robots
from tamis.crawl.politeness import Robots
from tamis.crawl.reading import PageAnswer, Place
from tamis.crawl.urls import BadUrl, host_of
from tamis.errors import UserError
from tamis.extract.extractor import extract_page

#: Requests that one page may make.
MAX_REQUESTS = 60
#: Seconds without a request after which a page counts as built.
_QUIET_SECONDS = 0.7
_KINDS = frozenset({"document", "script", "xhr", "fetch"})
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-webrtc",
    "--proxy-server=http://127.0.0.1:9",  # what is not answered from here reaches nobody
    "--proxy-bypass-list=<-loopback>",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)


def check_browser(setting: str) -> None:
    """Raise UserError, naming `setting`, unless pages can be rendered here."""
    if importlib.util.find_spec("playwright") is None:
        raise UserError(f"{setting} needs the extra `browser`: pip install 'tamis[browser]'")


class Renderer:
    """Renders pages of the places that ask for it; the browser starts with the first of them."""

    def __init__(self, places: Mapping[int, Place], settings: CrawlSettings) -> None:
        self._places, self._settings = places, settings
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._browser: Any = None
        self._fetcher: Fetcher | None = None
        self._robots: dict[str, Robots] = {}
        self._free_at: dict[str, float] = {}

    @property
    def is_wanted(self) -> bool:
        """Whether any place asks for it."""
        return any(place.settings.render == "when-empty" for place in self._places.values())

    async def rendered(self, source_id: int, answer: PageAnswer, linked_as: str) -> PageAnswer:
        """Return the answer as it is after its scripts ran, where the plain one yields nothing and its source asks so.

        A page that cannot be rendered comes back as it was.

        Raises:
            UserError: the browser cannot be started, or ended by itself.
        """
        place = self._places[source_id]
        if place.settings.render != "when-empty" or not 200 <= answer.status < 300:
            return answer
        if not await asyncio.to_thread(yields_nothing, answer, place, linked_as):
            return answer
        from playwright.async_api import Error  # noqa: PLC0415 - an optional extra

        try:
            await self._open()
            body = await _Visit(self, answer).html()
        except Error as error:
            said = " ".join((str(error).strip().splitlines() or [type(error).__name__])[0].split())[:300]
            raise UserError(f"crawl.browser: pages cannot be rendered: {said}") from error
        if body is None:
            return answer
        headers = dict(answer.headers) | {"content-type": ("text/html; charset=utf-8",)}
        return replace(answer, headers=headers, body=body, rendered=True)

    async def _open(self) -> None:
        async with self._opening:
            if self._browser is not None:
                return
            from playwright.async_api import async_playwright  # noqa: PLC0415 - an optional extra

            settings = self._settings
            limits = FetchLimits(
                settings.user_agent, settings.timeout, settings.max_page_bytes, settings.allow_private, accept="*/*"
            )
            self._fetcher = await self._stack.enter_async_context(Fetcher(limits))
            driver = await self._stack.enter_async_context(async_playwright())
            flags = [*_FLAGS] + (["--no-sandbox"] if os.geteuid() == 0 else [])
            path = settings.browser or next(filter(None, map(shutil.which, _NAMES)), None)
            self._browser = await driver.chromium.launch(executable_path=path, args=flags)
            self._stack.push_async_callback(self._browser.close)

    async def visit(self) -> Any:
        """A browser context of its own: no cookies, no stored data, no service workers."""
        return await self._browser.new_context(user_agent=self._settings.user_agent, service_workers="block")

    @property
    def seconds(self) -> float:
        """Time that one page may take."""
        return self._settings.timeout

    async def get(self, url: str) -> tuple[int, str, bytes] | None:
        """Fetch what a page asks for; None where that is not allowed or fails."""
        assert self._fetcher is not None
        try:
            host = host_of(url)
        except BadUrl:
            return None
        if self._settings.obey_robots:
            if host not in self._robots:
                self._robots[host] = await fetch_robots(self._fetcher, url, self._settings)
            if self._robots[host].verdict(url, self._settings.user_agent) != "allowed":
                return None
        now = time.monotonic()
        start = max(now, self._free_at.get(host, 0.0))
        self._free_at[host] = start + self._settings.delay
        await asyncio.sleep(start - now)
        answer = await self._fetcher.fetch(url)
        if not answer.ok:
            return None
        return answer.status or 200, answer.content_type or "application/octet-stream", answer.body

    async def close(self) -> None:
        """End the browser, if it was started."""
        if self._browser is None:
            return
        from playwright.async_api import Error  # noqa: PLC0415 - an optional extra

        with suppress(Error):
            await self._stack.aclose()


class _Visit:
    """One page in the browser. Its own document is the answer that is there already: it is not asked for again."""

    def __init__(self, renderer: Renderer, answer: PageAnswer) -> None:
        self._renderer, self._answer = renderer, answer
        self._requests = 0
        self._busy = 0
        self._quiet_since = time.monotonic()

    async def html(self) -> bytes | None:
        """Return the document once its scripts are quiet, or None where it cannot be loaded."""
        from playwright.async_api import Error  # noqa: PLC0415 - an optional extra

        context = await self._renderer.visit()
        try:
            await context.route("**/*", self._on_request)
            page = await context.new_page()
            until = time.monotonic() + self._renderer.seconds
            await page.goto(self._answer.url, wait_until="domcontentloaded", timeout=self._renderer.seconds * 1000)
            while time.monotonic() < until and not self._is_quiet():
                await asyncio.sleep(0.05)
            content: str = await page.content()
            return content.encode("utf-8", "replace")
        except Error:
            return None
        finally:
            with suppress(Error):
                await context.close()

    def _is_quiet(self) -> bool:
        return not self._busy and time.monotonic() - self._quiet_since > _QUIET_SECONDS

    async def _on_request(self, route: Any) -> None:
        from playwright.async_api import Error  # noqa: PLC0415 - an optional extra

        request = route.request
        self._busy += 1
        try:
            with suppress(Error):
                if request.url == self._answer.url and request.is_navigation_request():
                    own = next(iter(self._answer.headers.get("content-type", ())), "text/html")
                    await route.fulfill(status=200, content_type=own, body=self._answer.body)
                elif (found := await self._fetched(request)) is None:
                    await route.abort("blockedbyclient")
                else:
                    status, content_type, body = found
                    # The page may read what it asked for: which sites may share what is not for a copy to decide.
                    headers = {"content-type": content_type, "access-control-allow-origin": "*"}
                    await route.fulfill(status=status, headers=headers, body=body)
        finally:
            self._busy -= 1
            self._quiet_since = time.monotonic()

    async def _fetched(self, request: Any) -> tuple[int, str, bytes] | None:
        if request.method != "GET" or request.resource_type not in _KINDS or self._requests >= MAX_REQUESTS:
            return None
        self._requests += 1
        return await self._renderer.get(request.url)


def yields_nothing(answer: PageAnswer, place: Place, linked_as: str) -> bool:
    """Tell whether a page with scripts holds neither an item nor listings as it was sent."""
    if b"<script" not in answer.body[:2_000_000].lower():
        return False
    read = extract_page(
        answer.body,
        answer.url,
        content_type=answer.header("content-type"),
        recipe=place.recipe,
        linked_as=linked_as,
    )
    return read.item is None and not read.links.items and not read.listed
