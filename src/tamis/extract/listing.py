"""Result pages: the links of the listings, the next page, and the number of results."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from lxml import etree

from tamis.extract.currencies import SIGN_PATTERN
from tamis.extract.linked import Node, types_of, values_of
from tamis.extract.outline import Outline, names_of
from tamis.extract.page import Element, Page, clean_text, element_text
from tamis.extract.pictures import has_picture_extension
from tamis.extract.records import PageLinks
from tamis.extract.words import LOAD_MORE, NEXT_PAGE, RESULT_NOUNS, alternation, label_key

MAX_LINKS = 3_000
MIN_GROUP = 3

_ANCHORS = etree.XPath("//a[@href]")
_NEXT_LINKS = etree.XPath(
    "//link[@rel='next'][@href] | //a[@href][contains(concat(' ', normalize-space(@rel), ' '), ' next ')]"
)
_NEXT_NAMES = re.compile(r"(?:^|[-_\s])next(?:$|[-_\s])|pagination-?next|nextpage", re.IGNORECASE)
_SCROLL_ATTRIBUTES = frozenset((
    "data-next-url", "data-next-page-url", "data-nextpage-url", "data-next-page", "data-nextpage", "data-next",
    "data-next-href", "data-load-more-url", "data-load-more", "data-infinite-url", "data-infinite-scroll-next",
    "data-scroll-url", "data-ajax-url", "data-more-url",
))  # fmt: skip
"""Where pages without links keep the address of what they load when they are scrolled."""
_SCROLLERS = ("div", "button", "a", "span", "section", "ul", "ol", "nav", "main", "article", "form", "input", "body")
_BUTTON_URLS = ("data-url", "data-href", "data-link", "data-src", "formaction", "hx-get")
_MAX_SCROLLERS = 200
_TOTAL = re.compile(
    rf"(?<![\d.,])(\d{{1,3}}(?:[.,\s'’]\d{{3}})+|\d+)\s*\+?\s*(?:{alternation(RESULT_NOUNS)})(?!\w)", re.IGNORECASE
)
_PAGE_PARAMETERS = ("page", "p", "pg", "pageno", "pagenumber", "page_no", "seite", "pagina", "paged", "currentpage")
_LIST_TYPES = frozenset({"itemlist", "searchresultspage", "collectionpage", "offercatalog", "productcollection"})
_PRICE = re.compile(rf"(?:{SIGN_PATTERN})\s*\d|\d\s*(?:{SIGN_PATTERN})", re.IGNORECASE)
_DIGITS = re.compile(r"\d+")
_SERVICE = re.compile(
    r"/(?:login|signin|sign-in|register|account|cart|basket|checkout|wishlist|favou?rites|compare|help|contact|about|privacy|terms|imprint|impressum|agb|datenschutz|blog|news|faq|jobs|"
    r"careers|cookies?|press|legal|sitemap|newsletter|stores?|filialen|service)(?:[/.?]|$)|\.(?:pdf|jpe?g|png|webp|zip)$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class LinkGroup:
    """Links of one shape that stand in like places: a list of things."""

    urls: tuple[str, ...]
    score: float


def read_links(outline: Outline, nodes: list[Node]) -> PageLinks:
    """Return the links of listings, of the next result page, and the announced number of results."""
    page = outline.page
    listed = _item_list(page, nodes)
    group = best_group(outline)
    items = listed if len(listed) >= MIN_GROUP or group is None else group.urls
    return PageLinks(items=tuple(items), next=next_page(page), total=total_results(outline, nodes))


def best_group(outline: Outline) -> LinkGroup | None:
    """Return the group of links that looks most like a list of things for sale, or None."""
    page = outline.page
    groups: dict[tuple[str, ...], dict[str, list[Element]]] = defaultdict(dict)
    own = page.url.split("?")[0].rstrip("/")
    for anchor in _ANCHORS(page.root)[:MAX_LINKS]:
        url = page.absolute(anchor.get("href"))
        if url is None or url.split("?")[0].rstrip("/") == own or _SERVICE.search(urlsplit(url).path):
            continue
        if not is_same_site(page, url):
            continue
        groups[_place(anchor)].setdefault(url, []).append(anchor)
    scored = [_rate(outline, urls) for urls in groups.values() if len(urls) >= MIN_GROUP]
    best = max(scored, key=lambda group: group.score, default=None)
    return best if best is not None and best.score > 0 else None


def next_page(page: Page) -> str | None:
    """Return the URL of the following result page: a declared one, a link that says so, or the next number."""
    if "next" not in page.known:
        page.known["next"] = _find_next(page)
    known: str | None = page.known["next"]
    return known


def _find_next(page: Page) -> str | None:
    for element in _NEXT_LINKS(page.root):
        url = page.absolute(element.get("href"))
        if url and url != page.url:
            return url
    candidates: list[tuple[int, str]] = []
    current = page_number(page.url)
    for anchor in _ANCHORS(page.root)[:MAX_LINKS]:
        url = page.absolute(anchor.get("href"))
        if url is None or url == page.url or not is_same_site(page, url):
            continue
        label = clean_text(anchor.get("aria-label") or anchor.get("title") or "")
        text = element_text(anchor, 40)
        if has_picture_extension(url):
            continue
        if _says_next(text) or _says_next(label):
            candidates.append((0, url))
        elif label_key(text) in LOAD_MORE and _differs_in_page(page.url, url, current + 1):
            candidates.append((1, url))
        elif not _differs_in_page(page.url, url, current + 1):
            continue
        elif _NEXT_NAMES.search(names_of(anchor)) or _NEXT_NAMES.search(names_of(anchor.getparent())):
            candidates.append((1, url))
        elif text == str(current + 1):
            candidates.append((2, url))
    return min(candidates)[1] if candidates else _scrolled(page)


def _scrolled(page: Page) -> str | None:
    """Return what the page loads when it is scrolled or asked for more, by the attributes that tell its script."""
    stated: list[str] = []
    for element in page.root.iter(*_SCROLLERS):
        for name, value in element.items():
            if name in _SCROLL_ATTRIBUTES or (name in _BUTTON_URLS and _asks_for_more(element)):
                stated.append(value)
        if len(stated) >= _MAX_SCROLLERS:
            break
    for value in filter(None, stated):
        if value.isascii() and value.isdigit() and len(value) < 6:
            return with_page(page.url, int(value), page_parameter(page.url) or "page")
        url = page.absolute(value) if "/" in value or "?" in value else None
        if url and url != page.url and is_same_site(page, url) and not has_picture_extension(url):
            return url
    return None


def _asks_for_more(element: Element) -> bool:
    return label_key(element_text(element, 40)) in LOAD_MORE


def _says_next(text: str) -> bool:
    return text.casefold() in NEXT_PAGE or label_key(text) in NEXT_PAGE


def total_results(outline: Outline, nodes: list[Node]) -> int | None:
    """Return the number of results that the page announces, or None."""
    for node in nodes:
        if types_of(node) & _LIST_TYPES:
            for value in values_of(node, "numberOfItems"):
                if str(value).isdigit() and int(value) < 10**9:
                    return int(value)
    for piece in outline.pieces[:MAX_LINKS]:
        match = _TOTAL.search(piece.text) if len(piece.text) < 120 else None
        if match and not outline.is_aside(piece.element):
            number = re.sub(r"\D", "", match[1])
            return int(number) if len(number) < 10 else None
    return None


def with_page(url: str, number: int, parameter: str = "page") -> str:
    """Return `url` with its page parameter set to `number`."""
    parts = urlsplit(url)
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != parameter]
    return urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode([*query, (parameter, str(number))]), ""))


def _item_list(page: Page, nodes: list[Node]) -> list[str]:
    urls: list[str] = []
    for node in nodes:
        if not types_of(node) & _LIST_TYPES:
            continue
        for entry in values_of(node, "itemListElement"):
            urls += [url for url in map(page.absolute, _entry_urls(entry)) if url]
    return [url for url in dict.fromkeys(urls) if url.rstrip("/") != page.url.rstrip("/")]


def _entry_urls(entry: Any) -> list[Any]:
    if isinstance(entry, str):
        return [entry]
    if not isinstance(entry, dict):
        return []
    inner = [value for value in values_of(entry, "item") if isinstance(value, dict | str)]
    direct = [value for value in values_of(entry, "url", "@id") if isinstance(value, str)]
    nested = [url for value in inner for url in _entry_urls(value)]
    return (direct or nested)[:1]


def is_same_site(page: Page, url: str) -> bool:
    """Tell whether `url` is on the host of `page`, a leading `www.` aside."""
    host = (urlsplit(url).hostname or "").lower().removeprefix("www.")
    return host == page.host.removeprefix("www.")


def _place(anchor: Element) -> tuple[str, ...]:
    """Return the shape of where `anchor` stands: the tags and first classes of its ancestors, without numbers."""
    shape: list[str] = []
    element = anchor
    for _ in range(5):
        if element is None or element.tag == "body":
            break
        first = (element.get("class") or "").split()[:1]
        shape.append(f"{element.tag}.{_DIGITS.sub('', first[0]) if first else ''}")
        element = element.getparent()
    return tuple(shape)


def _rate(outline: Outline, urls: dict[str, list[Element]]) -> LinkGroup:
    """Rate a group of links: cards with a picture and a price and URLs of a detail page speak for a list of things."""
    sample = [anchors[0] for anchors in list(urls.values())[:12]]
    with_price = with_picture = aside = 0
    for anchor in sample:
        card = _card(anchor)
        with_price += bool(_PRICE.search(element_text(card, 600)))
        with_picture += card.find(".//img") is not None
        aside += outline.is_aside(anchor)
    share = 1 / len(sample)
    details = sum(1 for url in urls if _looks_like_detail(url)) / len(urls)
    score = 3 * with_price * share + 1.5 * with_picture * share + 2 * details - 3 * aside * share - 2.0
    return LinkGroup(tuple(urls), score * (1 + min(len(urls), 40) / 40))


def _card(anchor: Element) -> Element:
    """Return the largest element around `anchor` that holds no link to another thing."""
    card, target = anchor, anchor.get("href")
    for _ in range(6):
        parent = card.getparent()
        if parent is None or parent.tag in {"body", "html", "main"}:
            break
        others = {link.get("href") for link in parent.iter("a")} - {target, None, "#", ""}
        if len(others) > 3:
            break
        card = parent
    return card


def _looks_like_detail(url: str) -> bool:
    path = urlsplit(url).path.rstrip("/")
    last = path.rsplit("/", 1)[-1]
    return any(character.isdigit() for character in last) or last.count("-") >= 3 or last.endswith((".html", ".htm"))


def page_number(url: str, parameter: str = "", first: int = 1) -> int:
    """Return the number of the result page that `url` asks for: by `parameter`, else by a usual one or in its path."""
    parts = urlsplit(url)
    names = (parameter.lower(),) if parameter else _PAGE_PARAMETERS
    for name, value in parse_qsl(parts.query):
        if name.lower() in names and value.isdecimal() and len(value) < 7:
            return int(value)
    match = re.search(r"/(?:page|seite|pagina|p)[-/]?(\d{1,5})/?$", parts.path, re.IGNORECASE | re.ASCII)
    return int(match[1]) if match and not parameter else first


def page_parameter(url: str) -> str:
    """Return the query parameter of `url` that holds the number of a result page; empty where none does."""
    names = (name for name, value in parse_qsl(urlsplit(url).query) if value.isdecimal() and len(value) < 7)
    return next((name for name in names if name.lower() in _PAGE_PARAMETERS), "")


def _differs_in_page(url: str, other: str, number: int) -> bool:
    """Tell whether `other` is the same search as `url` at page `number`."""
    if page_number(other) == number:
        return True
    return urlsplit(url).path == urlsplit(other).path and str(number) in _DIGITS.findall(urlsplit(other).query)
