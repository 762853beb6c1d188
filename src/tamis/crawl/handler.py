"""`ScrapingHandler`: a folder of downloaded images for anyone's own script, without a project."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from tamis.config import CrawlSettings
from tamis.crawl.fetch import Fetcher, FetchLimits
from tamis.crawl.imagefolder import SUFFIXES, Conversion, Entry, ImageFolder
from tamis.crawl.polite import Manners, PoliteFetcher
from tamis.crawl.urls import BadUrl, url_key
from tamis.errors import UserError
from tamis.records import digest

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class DownloadedImage:
    """An image in the folder. `is_new` says whether this call brought its bytes; sizes in pixels and bytes."""

    url: str
    sha256: str
    original: Path
    converted: Path | None
    width: int
    height: int
    size: int
    is_new: bool


@dataclass(frozen=True, slots=True)
class HandlerReport:
    """What a handler did since it was made. `refused` counts URLs without an image by the reason's short name."""

    asked: int
    new: int
    known: int
    same_content: int
    refused: dict[str, int]
    bytes: int

    def __str__(self) -> str:
        bad = ", ".join(f"{count} {name}" for name, count in self.refused.items()) or "none"
        return (
            f"{self.asked} URLs: {self.new} new images ({self.bytes / 1e6:.1f} MB), {self.known} known already, "
            f"{self.same_content} with the bytes of another URL; refused: {bad}"
        )


class ScrapingHandler:
    """Downloads images into a folder, each once, however often the script is run or killed.

    The folder is made, or reopened with all that is in it. An image is known by its URL (all spellings of one URL are
    one) and by its content: a known URL is not requested again, and equal bytes are stored once. Originals are kept
    as they were served, under the hash of their bytes; with `convert_to`, a converted copy lies beside them. What is
    no image, is damaged, missing or too large is skipped, and remembered with its reason; failures that may pass
    (time-outs, overload) are tried again, now and in the next run.

    robots.txt, `X-Robots-Tag: noai`, Retry-After and the delay between two requests to a host are heeded. Addresses of
    this machine and of private networks are refused unless `allow_private` is set.

        from tamis import ScrapingHandler

        with ScrapingHandler("pictures", convert_to="png") as handler:
            for url in my_urls:
                image = handler.download_image(url)
                if image is not None:
                    print(image.original, image.width, image.height)
            print(handler.report())

    `originals/` and `converted/` hold the files, `index.jsonl` one line for each URL.

    Args:
        folder: where the images go.
        convert_to: `jpeg`, `png`, `webp`, or None for originals alone.
        settings: user agent, attempts, delay, time-out, robots (`tamis.config.CrawlSettings`).
        max_bytes: larger files are refused.
        allow_private: whether addresses of this machine and of private networks may be asked.

    Raises:
        UserError: the folder cannot be made or written, or `convert_to` is unknown.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        convert_to: Conversion | None = None,
        settings: CrawlSettings | None = None,
        max_bytes: int = 50_000_000,
        allow_private: bool = False,
    ) -> None:
        if convert_to is not None and convert_to not in SUFFIXES:
            raise UserError(f"convert_to={convert_to!r}: images can be converted to {', '.join(SUFFIXES)}")
        self._settings = settings or CrawlSettings(delay=0.0)
        self._images = ImageFolder(Path(folder), convert_to)
        self._counts = Counter[str]()
        self._refused = Counter[str]()
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="scraping-handler", daemon=True)
        self._thread.start()
        limits = FetchLimits(
            user_agent=self._settings.user_agent,
            timeout=self._settings.timeout,
            max_bytes=max_bytes,
            allow_private=allow_private or self._settings.allow_private,
        )
        self._fetcher = self._await(Fetcher(limits).__aenter__())
        self._web = PoliteFetcher(self._fetcher, self._manners())

    # --- the public methods ---------------------------------------------------------------------------------------

    def download_image(self, url: str) -> DownloadedImage | None:
        """Return the image at a URL, downloaded or from the folder; None when there is none (see `report`).

        Raises:
            UserError: the folder cannot be written, or the handler is closed.
        """
        return self.download_images([url])[0]

    def download_images(self, urls: Iterable[str], *, concurrency: int = 8) -> list[DownloadedImage | None]:
        """Download many URLs, `concurrency` at a time, in the order given; otherwise like `download_image`."""
        if self._closed:
            raise UserError(f"the handler of {self._images.folder} is closed")
        return self._await(self._download_all(list(urls), max(concurrency, 1)))

    def reason(self, url: str) -> str | None:
        """Why a URL brought no image; None when it brought one, or was not asked for."""
        entry = self._images.entries.get(_key_of(url))
        return None if entry is None or entry.outcome == "ok" else entry.reason or entry.outcome

    def report(self) -> HandlerReport:
        """What was done since the handler was made."""
        counts = self._counts
        return HandlerReport(
            asked=counts["asked"],
            new=counts["new"],
            known=counts["known"],
            same_content=counts["same_content"],
            refused=dict(sorted(self._refused.items())),
            bytes=counts["bytes"],
        )

    def close(self) -> None:
        """Close connections and the index; the folder can be opened again at any time."""
        if self._closed:
            return
        self._closed = True
        self._await(self._fetcher.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._images.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        """Number of different images in the folder."""
        return len(self._images)

    def _manners(self) -> Manners:
        return Manners(**{one.name: getattr(self._settings, one.name) for one in fields(Manners)})

    # --- one URL --------------------------------------------------------------------------------------------------

    def _await(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _download_all(self, urls: list[str], concurrency: int) -> list[DownloadedImage | None]:
        free = asyncio.Semaphore(concurrency)

        async def one(key: str, url: str) -> tuple[Entry, bool]:
            async with free:
                return await self._download(key, url)

        keys = [_key_of(url) for url in urls]
        wanted: dict[str, str] = {}
        for key, url in zip(keys, urls, strict=True):
            wanted.setdefault(key, url)
        found = dict(zip(wanted, await asyncio.gather(*(one(key, url) for key, url in wanted.items())), strict=True))
        images: list[DownloadedImage | None] = []
        for key, url in zip(keys, urls, strict=True):
            entry, is_new = found[key]
            images.append(self._image(entry, url, is_new=is_new))
            found[key] = (entry, False)
            self._counts["asked"] += 1
        return images

    async def _download(self, key: str, url: str) -> tuple[Entry, bool]:
        known = self._images.known(key)
        if known is not None:
            self._counts["known"] += known.outcome == "ok"
            self._refused[known.outcome] += known.outcome != "ok"
            return known, False
        answer = await self._web.fetch(url)
        entry, is_new = Entry(key, url, answer.outcome.name, answer.outcome.reason), False
        if answer.ok:
            entry, is_new = await asyncio.to_thread(self._images.keep, key, url, answer.body)
        if not answer.outcome.passing:
            self._images.note(entry)
        if entry.outcome == "ok":
            self._counts["new" if is_new else "same_content"] += 1
            self._counts["bytes"] += entry.size * is_new
        else:
            self._refused[entry.outcome] += 1
        return entry, is_new

    def _image(self, entry: Entry, url: str, *, is_new: bool) -> DownloadedImage | None:
        if entry.outcome != "ok":
            return None
        return DownloadedImage(
            url=url,
            sha256=entry.sha256,
            original=self._images.original(entry),
            converted=self._images.converted(entry),
            width=entry.width,
            height=entry.height,
            size=entry.size,
            is_new=is_new,
        )


def _key_of(url: str) -> str:
    """Key of a URL; text that is no URL is its own key."""
    try:
        return url_key(url)
    except BadUrl:
        return digest("no URL", url)
