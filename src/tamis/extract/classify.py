"""Whether a page shows one item, a list of items, or neither."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from tamis.extract.linked import Node, types_of
from tamis.extract.listing import LinkGroup, best_group, next_page, total_results
from tamis.extract.meta import says_product
from tamis.extract.outline import Outline
from tamis.extract.records import PageKind
from tamis.extract.visible import VisiblePrice, has_buy_button, says_gone

_LIST_TYPES = frozenset({"searchresultspage", "itemlist"})
_SEARCH_URL = re.compile(
    r"[?&](?:q|query|search|page|s|keyword|keywords|sort|filter)=|/search\b|/(?:category|categories|collections?)/[^/]+/?$|/lst\b",
    re.IGNORECASE,
)
_DETAIL_URL = re.compile(
    r"\d{4,}|/(?:p|dp|itm|item|product|products|produkt|listing|detail|angebote|offers|annunci|offres|anuncios|aanbod)/[^/?]+",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for an item's page, gathered before anything is decided."""

    structured_fit: float
    """How well linked data fits this page; 0 where there is none, 3 and more where it surely does."""
    products: int
    """Number of products in linked data."""
    prices: list[VisiblePrice]
    number: float
    """How much the article numbers that it shows speak for one item."""
    has_state: bool
    """Embedded state holds an object of the page's name that has a price or pictures."""
    is_aggregate: bool
    """The product that fits stands for several offers, as one may that stands for a whole result page."""
    is_listed: bool
    """A result page links the page as one of its listings, and it shows a heading and pictures of its own."""


def classify(outline: Outline, nodes: list[Node], evidence: Evidence) -> PageKind:
    """Return the kind of a page: linked data that fits decides, else what the page shows."""
    page = outline.page
    is_list = any(types_of(node) & _LIST_TYPES for node in nodes)
    fits = evidence.structured_fit >= 3.5 and not (is_list and evidence.products >= 4)
    item_score = _item_score(outline, evidence)
    shown = item_score >= 5 and not is_list
    if says_product(page) or ((fits or shown) and not evidence.is_aggregate):
        return "item"
    group = best_group(outline)
    results_score = _results_score(outline, nodes, group) + 2.0 * is_list
    if fits and results_score < 6:
        return "item"
    if max(item_score, results_score) < 2.0:
        return "other"
    says_item = evidence.prices or evidence.structured_fit or evidence.is_listed or item_score >= 4
    if item_score >= results_score and says_item:
        return "item"
    return "results" if group is not None or is_list else "other"


def _results_score(outline: Outline, nodes: list[Node], group: LinkGroup | None) -> float:
    score = 0.0 if group is None else min(group.score, 4.0) + (1.0 if len(group.urls) >= 8 else 0.0)
    score += 2.0 * (next_page(outline.page) is not None)
    score += 1.0 * (total_results(outline, nodes) is not None)
    return score + 1.0 * bool(_SEARCH_URL.search(outline.page.url))


def _item_score(outline: Outline, evidence: Evidence) -> float:
    page = outline.page
    near = [entry for entry in evidence.prices if entry.score >= 20]
    score = evidence.structured_fit / 2
    score += 2.0 * has_buy_button(outline)
    score += 2.0 if near else 0.5 * bool(evidence.prices)
    score += evidence.number + 2.0 * evidence.has_state + 1.0 * says_gone(outline) + 2.0 * evidence.is_listed
    score += 1.0 * bool(_DETAIL_URL.search(urlsplit(page.url).path))
    return score + 0.5 * (outline.title[0] is not None)
