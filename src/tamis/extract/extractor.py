"""One page in, one record out: all that a page offers, merged field by field."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import unquote, urlsplit

from tamis.extract.articlenumber import number_evidence
from tamis.extract.cars import car_facts
from tamis.extract.choices import settle
from tamis.extract.classify import Evidence, classify
from tamis.extract.declared import declared_links, declared_records, read_declared
from tamis.extract.gallery import gallery
from tamis.extract.jsonpage import html_in, json_body, read_document
from tamis.extract.jsonresults import find_list
from tamis.extract.linked import Node, json_ld_nodes, microdata_nodes, rdfa_nodes, types_of, values_of
from tamis.extract.listing import best_group, read_links
from tamis.extract.markup import PagePicture, page_pictures
from tamis.extract.merge import merge_readings
from tamis.extract.meta import read_meta
from tamis.extract.outline import Outline, overlap
from tamis.extract.page import Page, parse_page
from tamis.extract.prices import machine_price
from tamis.extract.products import first_gtin, is_product, is_sellable, read_product
from tamis.extract.records import Extraction, PageLinks, Reading
from tamis.extract.specs import spec_pairs
from tamis.extract.state import read_state, state_documents
from tamis.extract.visible import visible_availability, visible_description, visible_prices
from tamis.extract.words import BRAND_LABELS, GTIN_LABELS, MODEL_LABELS, label_key
from tamis.recipes.recipe import Recipe

_ARTICLES = frozenset({"article", "blogposting", "newsarticle", "techarticle"})


MANY_OFFERS = 8
"""Offers from which a product may stand for a list of things."""
FAR_PRICES = 3
"""Times the lowest price that the highest may reach where both are of one thing."""
MIN_OWN_PAGES = 4
"""Pages of their own from which the offers of a product are things of their own."""


def extract_page(
    body: bytes | str,
    url: str,
    *,
    content_type: str | None = None,
    recipe: Recipe | None = None,
    linked_as: str | None = None,
) -> Extraction:
    """Read one page: what kind it is, the item that it shows, and where it leads.

    Pure: no network, no files. Never raises on hostile input; what exceeds the limits of size, nesting and
    number is left out. What `recipe` declares goes before what is found by general rules. A page that a result page
    links as one of its listings (`linked_as` is "item") needs less of its own to be taken for an item.
    """
    try:
        urlsplit(url)
    except ValueError:  # such as an open bracket in the place of the host
        return replace(extract_page(body, "", content_type=content_type, recipe=recipe, linked_as=linked_as), url=url)
    recipe = recipe or Recipe()
    document = json_body(body)
    if document is not None:
        read = read_document(document, url, recipe)
        body = html_in(document)
        if read.kind != "other" or not body:
            return read
    page = parse_page(body, url, content_type)
    outline = Outline(page)
    linked = {"json-ld": json_ld_nodes(page), "microdata": microdata_nodes(page), "rdfa": rdfa_nodes(page)}
    nodes = [node for found in linked.values() for node in found]
    documents = state_documents(page) + ([] if document is None else [document])
    structured = _structured_readings(page, outline, linked)
    declared = read_declared(page, [*documents, *linked["json-ld"]], recipe)
    readings = ([declared] if declared else []) + structured + _other_readings(page, outline, documents, structured)
    pairs = spec_pairs(outline)
    readings.append(_visible_reading(outline, pairs))
    prices = visible_prices(outline)
    pictures = page_pictures(page) if linked_as == "item" else None
    evidence = Evidence(
        structured_fit=max((_fit(page, outline, reading) for reading in structured), default=0.0),
        products=sum(map(is_product, nodes)),
        prices=prices,
        number=number_evidence(outline, pairs),
        has_state=any(r.source == "state" and ("price" in r.fields or r.images) for r in readings),
        is_aggregate=any(_is_aggregate(page, reading) for reading in structured),
        is_listed=pictures is not None and _shows_a_thing(outline, nodes, pictures),
    )
    kind = recipe.kind_of(url)
    if kind not in {"item", "results"}:
        kind = classify(outline, nodes, evidence)
        kind = "results" if kind == "other" and _lists_in_parts(outline, documents, document) else kind
    if kind == "item":
        merged = merge_readings(readings, _images(outline, readings, documents, pictures))
        item = settle(merged, outline, readings, prices, pairs)
        images = tuple(dict.fromkeys(map(recipe.picture_url, item.images)))
        return Extraction(url, "item", replace(item, images=images), directives=page.directives)
    if kind == "results":
        known = [*documents, *linked["json-ld"]]
        links = declared_links(page, known, recipe, _links(outline, nodes, documents))
        return Extraction(url, "results", None, links, declared_records(page, known, recipe), page.directives)
    return Extraction(url, "other", directives=page.directives)


def _shows_a_thing(outline: Outline, nodes: list[Node], pictures: list[PagePicture]) -> bool:
    """Tell whether the page has a heading and pictures of its own, and is no article."""
    is_article = outline.page.meta("og:type") == "article" or any(types_of(node) & _ARTICLES for node in nodes)
    if is_article or outline.title[0] is None:
        return False
    return any(not shown.leads_away and not outline.is_aside(shown.element) for shown in pictures)


def _lists_in_parts(outline: Outline, documents: list[Any], document: Any | None) -> bool:
    """Tell whether a page without a list in its markup has one in its state that says that there is more of it."""
    if document is not None:
        return best_group(outline) is not None
    listed = find_list(outline.page, documents)
    return listed is not None and (listed.next is not None or listed.total is not None)


def _links(outline: Outline, nodes: list[Node], documents: list[Any]) -> PageLinks:
    """Return the links that the markup and the linked data show, and what only the page's state knows."""
    links = read_links(outline, nodes)
    if links.items and links.next and links.total is not None:
        return links
    stated = find_list(outline.page, documents)
    if stated is None or (links.items and not set(links.items) & set(stated.urls)):
        return links
    return PageLinks(
        items=links.items if len(links.items) >= len(stated.urls) else stated.urls,
        next=links.next or stated.next,
        total=links.total if links.total is not None else stated.total,
    )


def _structured_readings(page: Page, outline: Outline, linked: dict[str, list[Node]]) -> list[Reading]:
    """Return one reading for each source of linked data that describes the item of this page."""
    readings: list[Reading] = []
    for source, nodes in linked.items():
        products = [node for node in nodes if is_product(node)] or [node for node in nodes if is_sellable(node)]
        main = [node for node in products if "@element" not in node or not outline.is_aside(node["@element"])]
        scored = [
            (_fit(page, outline, reading), reading)
            for reading in (read_product(page, node, source) for node in main[:60])
        ]
        if not scored:
            continue
        best = max(score for score, _ in scored)
        readings.append(next(reading for score, reading in scored if score == best))
    return readings


def _fit(page: Page, outline: Outline, reading: Reading) -> float:
    """Rate how well a reading describes this page: its name in the title, its URL, how much it says."""
    title = str(reading.fields.get("title", ""))
    declared = " ".join([outline.title[1], page.document_title, page.meta("og:title") or ""])
    score = 4 * overlap(title, declared)
    url = reading.raw.get("url")
    named = page.absolute(url if isinstance(url, str) else None)
    if named and unquote(named.split("?")[0]) == unquote(page.url.split("?")[0]):
        score += 1.0
    sku = str(reading.fields.get("sku", "")).lower()
    if len(sku) >= 4 and sku in unquote(page.url).lower():
        score += 1.0
    return score + 0.3 * len(reading.fields) + 0.5 * ("price" in reading.fields) + 0.2 * bool(reading.images)


def _is_aggregate(page: Page, reading: Reading) -> bool:
    """Tell whether a product may stand for a whole result page.

    It counts many offers, its prices reach far, its offers have pages of their own, or it is hardly more than a name.
    """
    offers = [offer for offer in values_of(reading.raw, "offers") if isinstance(offer, dict)]
    counts = [str(count) for offer in offers for count in values_of(offer, "offerCount")]
    if any(count.isdecimal() and int(count[:9]) >= MANY_OFFERS for count in counts):
        return True
    for offer in offers:
        low, high = (next(map(machine_price, values_of(offer, name)), None) for name in ("lowPrice", "highPrice"))
        if low is not None and high is not None and high >= FAR_PRICES * low:
            return True
    inner = [*offers, *(one for offer in offers for one in values_of(offer, "offers") if isinstance(one, dict))]
    links = {url for offer in inner for url in values_of(offer, "url") if isinstance(url, str) and page.leads_away(url)}
    if len({url.split("?")[0] for url in links}) >= MIN_OWN_PAGES:
        return True
    return not {"price", "sku", "gtin", "availability"} & reading.fields.keys() and len(reading.images) <= 1


def _other_readings(page: Page, outline: Outline, documents: list[Any], structured: list[Reading]) -> list[Reading]:
    title = next((str(r.fields["title"]) for r in structured if "title" in r.fields), "") or outline.title[1]
    state = read_state(page, documents, title)
    return ([state] if state else []) + [read_meta(page)]


def _visible_reading(outline: Outline, pairs: dict[str, str]) -> Reading:
    fields: dict[str, Any] = {
        "title": outline.title[1],
        "brand": _labelled(pairs, BRAND_LABELS),
        "model": _labelled(pairs, MODEL_LABELS),
        "gtin": first_gtin(value for label, value in pairs.items() if label_key(label) in GTIN_LABELS),
        "availability": visible_availability(outline),
        "description": visible_description(outline),
    }
    return Reading(
        source="html",
        fields={name: value for name, value in fields.items() if value},
        attributes=car_facts(pairs) | pairs,
    )


def _labelled(pairs: dict[str, str], labels: frozenset[str]) -> str | None:
    return next((value for name, value in pairs.items() if label_key(name) in labels and len(value) <= 60), None)


def _images(
    outline: Outline, readings: list[Reading], documents: list[Any], pictures: list[PagePicture] | None
) -> list[str]:
    """Return the item's photos; what a recipe selects is complete as it is."""
    holders = [reading for reading in readings if reading.images]
    if holders and holders[0].source.startswith("recipe:"):
        return list(holders[0].images)
    stated = [reading.images for reading in holders]
    return gallery(outline, page_pictures(outline.page) if pictures is None else pictures, stated, documents)
