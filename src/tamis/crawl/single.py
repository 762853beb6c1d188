"""One page, from a file or the web, outside any project: what `tamis extract` and `tamis recipe try` show."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tamis.config import CrawlSettings
from tamis.crawl.fetch import Fetched, Fetcher, FetchLimits, fetch_robots, run_async
from tamis.errors import UserError
from tamis.extract.extractor import extract_page
from tamis.recipes.recipe import Recipe

_MAX_PAGE = 50_000_000
_GZIP = b"\x1f\x8b"


def extract_one(
    page: str, url: str | None = None, *, recipe: Recipe | None = None, allow_private: bool = False
) -> dict[str, Any]:
    """Return what a page holds, in the form of `Extraction.to_json`.

    Args:
        page: path of a saved page, gzip-compressed or not, or a URL.
        url: the address that a saved page was found at.
        recipe: how the site is read; none reads most.
        allow_private: whether addresses of this machine and of private networks may be asked.

    Raises:
        UserError: the page cannot be read; the message says why.
    """
    if "://" in page:
        answer = run_async(_fetch(page, allow_private))
        if not answer.ok:
            raise UserError(f"{page}: {answer.outcome.reason or answer.outcome.name}")
        return extract_page(answer.body, answer.url, content_type=answer.content_type, recipe=recipe).to_json()
    body = read_saved(Path(page))
    return extract_page(body, url or Path(page).absolute().as_uri(), recipe=recipe).to_json()


def extract_list(listing: Path) -> Iterator[str]:
    """Read the pages that a file of JSON lines names, and yield one JSON line each, in their order.

    A line is `{"file": path beside the listing, "url": address}`. A page that cannot be read yields a line with its
    `"error"`.
    """
    for number, line in enumerate(listing.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        given: dict[str, Any] = {}
        try:
            given = json.loads(line)
            file, url = str(given["file"]), str(given["url"])
            document = extract_page(read_saved(listing.parent / file), url).to_json()
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            document = {"error": f'{listing}, line {number}: expected {{"file": ..., "url": ...}} ({error})'}
        except UserError as error:
            document = {"error": str(error), "url": given.get("url")}
        yield json.dumps(document, ensure_ascii=False, default=str)


def read_saved(path: Path) -> bytes:
    """Return the bytes of a saved page, decompressed; raises UserError when it cannot be read or is too large."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    if not data.startswith(_GZIP):
        return data[:_MAX_PAGE]
    try:
        with gzip.open(path) as stream:
            return stream.read(_MAX_PAGE)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} is no sound gzip file: {error}") from error


async def _fetch(url: str, allow_private: bool) -> Fetched:
    settings = CrawlSettings(allow_private=allow_private)
    limits = FetchLimits(
        settings.user_agent, settings.timeout, settings.max_page_bytes, allow_private, accept="text/html,*/*;q=0.5"
    )
    async with Fetcher(limits) as fetcher:
        robots = await fetch_robots(fetcher, url, settings)
        verdict = robots.verdict(url, settings.user_agent)
        if verdict != "allowed":
            raise UserError(f"{url}: robots.txt of the site says {verdict}")
        return await fetcher.fetch(url)
