"""From an answer to a result: what a page's row will say, which links are followed, and the item with its pictures.

Nothing here touches the network or the database; only the body goes into the blob store, which keeps the same bytes
once.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from w3lib.html import get_meta_refresh

from tamis.blobs import BlobStore
from tamis.config import CrawlSettings, SourceSettings
from tamis.crawl.blocks import block_page, blocked
from tamis.crawl.frontier import FEED, REDIRECTED_TO, Link, PageResult, PageTask
from tamis.crawl.itemrecords import plain_text, to_item
from tamis.crawl.items import FoundItem, web_pictures
from tamis.crawl.outcomes import REDIRECTS, Outcome, outcome_of_status, standing
from tamis.crawl.politeness import forbids_items, forbids_links, header_directives
from tamis.crawl.traps import trap_by_rule
from tamis.crawl.urls import (
    BadUrl,
    PrivateAddress,
    canonical_url,
    check_literal,
    request_url,
    same_site,
    url_key,
)
from tamis.extract.extractor import extract_page
from tamis.extract.listing import page_number
from tamis.extract.page import parse_page
from tamis.extract.records import ExtractedItem, Extraction
from tamis.recipes.recipe import Recipe
from tamis.vision.formats import sniff

#: Items first: they are what the crawl is for, and what may vanish. Then further results; a search for them last.
ITEM_PRIORITY, RESULTS_PRIORITY, OTHER_PRIORITY = 100, 50, 0
#: More links of one page are not believed.
MAX_LINKS = 3000
#: A page that sends its readers on within so many seconds is a redirect.
MAX_REFRESH_SECONDS = 5.0

_TEXTUAL = re.compile(r"^(?:text/|application/(?:[\w.+-]*(?:xml|html|json)|octet-stream)|$)", re.IGNORECASE)
_SERVICE = re.compile(
    r"/(?:log-?in|sign-?in|sign-?up|register|account|cart|basket|checkout|wishlist|compare|password|logout)(?:[/.?]|$)"
    r"|\.(?:jpe?g|png|gif|webp|avif|svg|ico|css|js|pdf|zip|gz|mp4|mp3|woff2?|xml|rss)(?:$|\?)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Place:
    """The source that a page belongs to, and the rules that its pages are read by."""

    name: str
    settings: SourceSettings
    recipe: Recipe
    reader: str = ""
    """Digest of what reads the pages (`tamis.crawl.reader`)."""


@dataclass(frozen=True, slots=True)
class PageAnswer:
    """What a server answered. Header names are in lower case; `at` is the time, in seconds since the epoch.

    `seconds` is how long the answer took to begin. The body of a 304 is the one that was stored.
    """

    url: str
    status: int
    headers: Mapping[str, tuple[str, ...]]
    body: bytes
    at: float
    seconds: float = 0.0
    rendered: bool = False
    """Whether the body is what scripts made of the page, and not what was sent."""

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        return next(iter(self.headers.get(name, ())), None)


def judge(answer: PageAnswer | Outcome) -> Outcome | None:
    """The outcome of an answer without a document; None for a document or a redirect."""
    if isinstance(answer, Outcome):
        return answer
    if service := block_page(answer.status, answer.headers, answer.body):
        return blocked(service, answer.status)
    if answer.status == 206:
        return standing("refused", "HTTP 206: a part of what was asked for whole")
    if 200 <= answer.status < 300 or answer.status in REDIRECTS or (answer.status == 304 and answer.body):
        return None
    return outcome_of_status(answer.status)


def settle(task: PageTask, outcome: Outcome, settings: CrawlSettings, now: float, **columns: Any) -> PageResult:
    """The result of a request that brought no page: it stands, is tried again later, or has failed."""
    wait = settings.retry_wait * 2**task.attempts
    state, not_before = "done", 0.0
    if outcome.passing:
        state = "pending" if task.attempts + 1 < settings.attempts else "failed"
        not_before = now + wait if state == "pending" else 0.0
    return PageResult(
        state=state,
        outcome=outcome.name,
        reason=outcome.reason,
        kind=task.kind,
        fetched_at=now,
        not_before=not_before,
        columns={name: value for name, value in columns.items() if value is not None},
    )


def read_redirect(task: PageTask, answer: PageAnswer, place: Place, settings: CrawlSettings) -> PageResult:
    """The result of a redirect: its target becomes a row of its own, unless it leads off the site."""
    columns = {"status": answer.status}
    location = (answer.header("location") or "").strip()
    if not location:
        found = standing("refused", f"HTTP {answer.status} without a target")
        return settle(task, found, settings, answer.at, **columns)
    return _redirected(task, location, answer, place, settings)


def _redirected(task: PageTask, location: str, answer: PageAnswer, place: Place, settings: CrawlSettings) -> PageResult:
    columns = {"status": answer.status}
    try:
        target = request_url(location, answer.url)
        check_literal(target, allow_private=settings.allow_private)
    except (BadUrl, PrivateAddress) as error:
        name = "private" if isinstance(error, PrivateAddress) else "refused"
        return settle(task, standing(name, error.reason), settings, answer.at, **columns)
    if not _belongs(target, place):
        reason = f"leads to another site: {target}"
        if task.depth == 0:
            reason += f"; if that is meant, make it the address of source.{place.name}"
        return settle(task, standing("offsite", reason), settings, answer.at, **columns)
    link = Link(target, task.kind, task.priority, task.depth)
    return PageResult(
        "done", "redirected", f"{REDIRECTED_TO}{target}", task.kind, answer.at, redirect=link, columns=columns
    )


def _refresh_target(answer: PageAnswer) -> str | None:
    """Where a page sends its readers at once by `<meta http-equiv="refresh">`; None where it stays."""
    if b"refresh" not in answer.body[:8192].lower():
        return None
    text = answer.body[:8192].decode("utf-8", "replace")
    seconds, target = get_meta_refresh(text, answer.url, ignore_tags=("script", "noscript", "template"))
    if seconds is None or not target or seconds > MAX_REFRESH_SECONDS:
        return None
    try:
        return None if url_key(target) == url_key(answer.url) else target
    except BadUrl:
        return target


def stored_answer(task: PageTask, blobs: BlobStore, at: float, headers: Mapping[str, tuple[str, ...]]) -> PageAnswer:
    """The answer that a page was stored from, with the headers that a 304 brought.

    Raises:
        BlobMissing: the store has no such body.
        BlobCorrupt: what is stored is something else.
    """
    assert task.body_sha256 is not None
    body = gzip.decompress(blobs.get(task.body_sha256))
    kept = {
        "content-type": task.content_type,
        "x-robots-tag": task.directives,
        "etag": task.etag,
        "last-modified": task.last_modified,
    }
    named = {name: (value,) for name, value in kept.items() if value}
    return PageAnswer(task.url, 304, {**named, **headers}, body, at)


def read_page(
    task: PageTask, answer: PageAnswer, place: Place, settings: CrawlSettings, blobs: BlobStore
) -> PageResult:
    """The result of an answer with a document: the page's kind, links and item, within what its directives allow.

    The body is stored compressed; that of a 304 is in the store already.
    """
    content_type = answer.header("content-type")
    columns: dict[str, Any] = {
        "status": answer.status,
        "content_type": _short(content_type),
        "etag": _short(answer.header("etag")),
        "last_modified": _short(answer.header("last-modified")),
        "reader": place.reader,
    }
    if reason := _no_page(answer.body, content_type):
        return settle(task, standing("unreadable", reason), settings, answer.at, **columns)
    if target := _refresh_target(answer):
        return _redirected(task, target, answer, place, settings)
    extraction = extract_page(
        answer.body, answer.url, content_type=content_type, recipe=place.recipe, linked_as=task.linked_as
    )
    directives = extraction.directives | header_directives(answer.headers.get("x-robots-tag", ()), settings.user_agent)
    heeded = directives if settings.obey_robots else frozenset()
    columns["directives"] = ", ".join(sorted(directives))[:1000] or None
    forbidden = forbids_items(heeded)
    archived = forbidden is None and "noarchive" not in heeded
    columns["body_sha256"] = _keep(task, answer, blobs) if archived else None
    links = () if forbids_links(heeded) else tuple(_links(task, answer, extraction, place, settings))
    reason = _unreached(extraction) or ("read after its scripts ran" if answer.rendered else None)
    outcome, item = "ok", None
    listed: tuple[FoundItem, ...] = ()
    if (extraction.item is not None or extraction.listed) and forbidden:
        outcome, reason = forbidden, f"the page says {forbidden}"
    elif extraction.item is not None:
        item = _found(task, extraction.item, answer.url, place.recipe.item.identity)
    else:
        listed = tuple(_listed(task, extraction, place, settings))
    return PageResult(
        "done", outcome, reason, extraction.kind, answer.at, links=links, item=item, listed=listed, columns=columns
    )


def _unreached(extraction: Extraction) -> str | None:
    beyond = extraction.links.beyond
    return f"{beyond} of {extraction.links.total} results are beyond the last page that is served" if beyond else None


def _found(task: PageTask, item: ExtractedItem, url: str, identity: str) -> FoundItem:
    """The item to save; the field `identity` tells it from others of its source, where it has one, else its URL."""
    number = getattr(item, identity) if identity else None
    key = f"{identity}:{plain_text(number)}" if number else canonical_url(url)
    return FoundItem(key, to_item(item, url), tuple(web_pictures(item.images)), task.id, task.body_sha256)


def _listed(task: PageTask, extraction: Extraction, place: Place, settings: CrawlSettings) -> Iterator[FoundItem]:
    """The items that a result page holds whole, where their own addresses belong to the site."""
    for listed in extraction.listed[:MAX_LINKS]:
        url = _followable(listed.url, extraction.url, place, settings)
        if url is not None:
            yield _found(task, listed.item, url, place.recipe.record.identity)


def _keep(task: PageTask, answer: PageAnswer, blobs: BlobStore) -> str:
    """Key of the stored body: equal bodies are one blob on every machine."""
    if answer.status == 304 and task.body_sha256 is not None:
        return task.body_sha256
    return blobs.put(gzip.compress(answer.body, 6, mtime=0))


def skipped(task: PageTask, outcome: str, reason: str, now: float, **columns: Any) -> PageResult:
    """The result for a page that is not requested."""
    return PageResult("done", outcome, reason, task.kind, now, requested=False, columns=columns)


def without_feed(task: PageTask, result: PageResult, place: Place) -> PageResult:
    """The result of a feed that yields nothing, or breaks off: the site's own pages are crawled instead."""
    if task.kind != FEED or result.state == "pending" or result.redirect is not None:
        return result
    is_feed = result.outcome == "ok" and result.kind == "results"
    if is_feed and (result.listed or page_number(task.url) > 1):
        return result
    reason = result.reason or "no product feed; the site's pages are crawled instead"
    home = Link(request_url(place.settings.address), "unknown", OTHER_PRIORITY, 0)
    return replace(result, reason=reason, links=(*result.links, home))


def feed_links(address: str, recipe: Recipe) -> list[Link]:
    """The feeds of a site by its recipe: below the address that is to be crawled, or below its host for a home page."""
    below = address.partition("?")[0].rstrip("/") + "/"
    is_home = urlsplit(address).path in ("", "/")
    feeds = [feed for feed in recipe.feeds if is_home or not feed.startswith("/")]
    return [Link(request_url(feed, below), FEED, RESULTS_PRIORITY, 0) for feed in feeds]


def _no_page(body: bytes, content_type: str | None) -> str | None:
    if not body.strip(b"\x00 \t\r\n"):
        return "empty body"
    seen = sniff(body) or "text/html"
    if not seen.startswith(("text/", "application/xml", "application/json")):
        return f"{seen}, not a page"
    media_type = (content_type or "").partition(";")[0].strip()
    return None if _TEXTUAL.match(media_type) else f"{media_type[:80]}, not a page"


def _short(text: str | None) -> str | None:
    return None if text is None else plain_text(text)[:1000]


# --- links --------------------------------------------------------------------------------------------------------


def _links(
    task: PageTask, answer: PageAnswer, extraction: Extraction, place: Place, settings: CrawlSettings
) -> Iterator[Link]:
    """The links to follow: listings and paging of result pages, and all of a page that is neither result nor item.

    So a crawl that starts at a list keeps to it, and one that starts at a home page finds the lists.
    """
    if place.settings.kind != "site":
        return  # pages that were named one by one
    wanted: list[tuple[str, str, int, int, bool]] = []
    deeper = task.depth + 1
    if extraction.kind == "results":
        whole = {listed.url for listed in extraction.listed}
        items = [url for url in extraction.links.items[:MAX_LINKS] if url not in whole]
        wanted += [(url, "item", ITEM_PRIORITY, deeper, False) for url in items]
        wanted += _further_results(task, extraction, place)
    elif extraction.kind == "other" and not place.recipe.limits.results_only:
        wanted += [(url, "unknown", OTHER_PRIORITY, deeper, False) for url in _anchors(answer)]
    seen: set[str] = set()
    for given, kind, priority, depth, is_paging in wanted:
        url = _followable(place.recipe.page_url(given), answer.url, place, settings)
        if url is None or url in seen or depth > _max_depth(place):
            continue
        seen.add(url)
        stated = place.recipe.kind_of(url)
        if stated in ("item", "results") and kind == "unknown":
            yield Link(url, stated, ITEM_PRIORITY if stated == "item" else RESULTS_PRIORITY, depth, is_paging)
        elif stated != "ignore":
            refusal = trap_by_rule(url, answer.at) if place.settings.refuse_traps and stated is None else None
            yield Link(url, kind, priority, depth, is_paging, refusal)


def _further_results(task: PageTask, extraction: Extraction, place: Place) -> Iterator[tuple[str, str, int, int, bool]]:
    """The slices of a search that is not served whole, else its next page.

    A search that can be cut has an end that is known, so that pages without anything new do not end its paging.
    """
    links = extraction.links
    for url in links.slices:
        yield url, "results", RESULTS_PRIORITY, task.depth, False
    if links.next and not links.slices:
        kind = FEED if task.kind == FEED else "results"
        yield links.next, kind, RESULTS_PRIORITY, task.depth, not place.recipe.slicing


def _anchors(answer: PageAnswer) -> Iterator[str]:
    page = parse_page(answer.body, answer.url, answer.header("content-type"))
    count = 0
    for anchor in page.root.iter("a"):
        url = page.absolute(anchor.get("href"))
        if url and "nofollow" not in (anchor.get("rel") or "").lower() and not _SERVICE.search(url):
            yield url
            count += 1
            if count == MAX_LINKS:
                return


def _followable(given: str, base: str, place: Place, settings: CrawlSettings) -> str | None:
    """The URL as it is requested, or None where it must not be followed."""
    try:
        url = request_url(given, base)
        check_literal(url, allow_private=settings.allow_private)
    except (BadUrl, PrivateAddress):
        return None
    return url if _belongs(url, place) else None


def _belongs(url: str, place: Place) -> bool:
    if place.settings.kind == "urls":
        return True  # a redirect of a page that was named may lead anywhere; links are not followed
    return same_site(url, place.settings.address, subdomains=place.settings.follow_subdomains)


def _max_depth(place: Place) -> int:
    stated = place.recipe.limits.max_depth
    return min(place.settings.max_depth, stated) if stated else place.settings.max_depth
