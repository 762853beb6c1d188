"""One page, from a file or the web, outside any project: what `tamis extract` and `tamis recipe try` show."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tamis.config import CrawlSettings
from tamis.crawl.captures import stated_address
from tamis.crawl.fetch import Fetcher, FetchLimits, fetch_robots, run_async
from tamis.crawl.outcomes import Fetched
from tamis.errors import UserError
from tamis.extract.extractor import extract_page
from tamis.extract.records import Extraction
from tamis.recipes.library import AUTO, load_recipe
from tamis.recipes.recipe import Recipe

_MAX_PAGE = 50_000_000
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class ReadPage:
    """One page as it came, what it holds, and the recipe that read it."""

    body: bytes
    extraction: Extraction
    recipe: Recipe


def extract_one(
    page: str, url: str | None = None, *, recipe: Recipe | None = None, allow_private: bool = False
) -> dict[str, Any]:
    """Return what a page holds, in the form of `Extraction.to_json`; arguments and errors are those of `read_one`."""
    return read_one(page, url, recipe=recipe, allow_private=allow_private).extraction.to_json()


def read_one(
    page: str, url: str | None = None, *, recipe: Recipe | None = None, allow_private: bool = False
) -> ReadPage:
    """Read one page.

    Args:
        page: path of a saved page, gzip-compressed or not, or a URL.
        url: the address that a saved page was found at; none: the one that the page itself names.
        recipe: how the site is read; none: the one that is made for its host, if there is any.
        allow_private: whether addresses of this machine and of private networks may be asked.

    Raises:
        UserError: the page cannot be read; the message says why.
    """
    content_type = None
    if "://" in page:
        answer = run_async(_fetch(page, allow_private))
        if not answer.ok:
            raise UserError(f"{page}: {answer.outcome.reason or answer.outcome.name}")
        body, address, content_type = answer.body, answer.url, answer.content_type
    else:
        body = read_saved(Path(page))
        address = url or stated_address(body) or Path(page).absolute().as_uri()
    chosen = recipe or load_recipe(AUTO, address=address)
    return ReadPage(body, extract_page(body, address, content_type=content_type, recipe=chosen), chosen)


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
            recipe = load_recipe(AUTO, address=url)
            document = extract_page(read_saved(listing.parent / file), url, recipe=recipe).to_json()
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
