"""Pages made to break a reader: no exception leaves the extractor, and none holds it.

`python -m benchmarks.hostile` measures the seconds that each takes; here work that grows with the square of a page's
size runs into the time limit, which is far from what the pages take.
"""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tamis.extract import extract_page
from tamis.extract.page import MAX_BODY_BYTES
from tamis.recipes import list_recipes, load_recipe

URL = "https://shop.example/items/blue-chair-1204"
RECIPES = [load_recipe(entry.name) for entry in list_recipes()]
#: A page of the largest size that is read.
SIZE = MAX_BODY_BYTES
pytestmark = pytest.mark.timeout(60)


def fill(piece: str, size: int = SIZE) -> str:
    """`piece` as often as it takes to fill a page."""
    return piece * (size // len(piece))


def script(text: str, kind: str = "application/ld+json") -> str:
    return f"<script type='{kind}'>{text}</script>"


def nested(value: Any, key: str, depth: int) -> Any:
    for _ in range(depth):
        value = {key: value}
    return value


HEAD = "<html lang=en><head><title>Blue chair</title></head><body><h1>Blue chair</h1>"
HOSTILE = {
    "deep divs": fill("<div>"),
    "deep spans with text": fill("<span>12 € "),
    "deep divs with classes": fill("<div class='price product'>"),
    "tables in tables": fill("<table><tr><td>"),
    "lists in lists": fill("<ul><li>SKU: 12"),
    "links in headings": HEAD + fill("<a href='/p/1'><h1>Blue chair</h1></a>"),
    "a giant attribute": HEAD + f"<div class='{fill('a b-price ')}'>12 €</div>",
    "a giant data attribute": HEAD + "<div data-x='{&quot;a&quot;:[" + fill("{&quot;a&quot;:1},") + "1]}'></div>",
    "many attributes": HEAD + "<div " + " ".join(f"data-{n}='{{\"name\":\"a\"}}'" for n in range(90_000)) + ">",
    "many attributes with brackets": HEAD + "<div " + " ".join(f"a{n}='<>/'" for n in range(200_000)) + ">",
    "many bare attributes": HEAD + fill("<div " + " ".join(f"a{n}" for n in range(5_000)) + ">"),
    "a giant srcset": HEAD + f"<img srcset='{fill('/a.jpg 100w,')}'>",
    "a giant srcset without commas": HEAD + f"<img srcset='{fill('a ')}'>",
    "a giant style": HEAD + f"<div style='{fill('url(a.jpg) ')}'></div>",
    "a giant title": "<title>" + fill("Blue chair | ") + "</title>" + HEAD,
    "many headings": fill("<h1>Blue chair</h1>"),
    "many pictures": HEAD + fill("<img src='/p/1204-1.jpg?w=100' srcset='/p/1204-1.jpg?w=200 2x'>"),
    "many linked pictures": HEAD + "".join(f"<a href='/p/{n}.jpg'><img src='/t/{n}.jpg'></a>" for n in range(60_000)),
    "many prices": HEAD + fill("<p class=price>12,90 € "),
    "digits": HEAD + "<p>" + fill("1"),
    "grouped digits": HEAD + "<p>" + fill("1.000,"),
    "spaced digits": HEAD + "<p>" + fill("1 ") + "€",
    "currency signs": HEAD + "<p>" + fill("€"),
    "colons": HEAD + "<ul>" + fill("<li>a: b"),
    "white space": HEAD + fill(" \t\n\u00a0", SIZE // 2),
    "entities": HEAD + fill("&amp;lt;"),
    "broken entities": HEAD + fill("&#x110000;&"),
    "comments": HEAD + fill("<!-- > -->"),
    "open comments": HEAD + fill("<!--"),
    "open tags": fill("<a href="),
    "quotes": HEAD + fill("<a href='\">"),
    "next links": HEAD + "".join(f"<a href='/s?page={n}'>{n}</a>" for n in range(100_000)),
    "cards": HEAD + "".join(f"<li><a href='/ad/{n}-x-y-z'><img src='/{n}.jpg'></a>{n} €</li>" for n in range(50_000)),
    "meta tags": "".join(f"<meta property='og:image' content='/{n}.jpg'>" for n in range(80_000)) + HEAD,
    "scripts": HEAD + fill(script('{"@type":"Product","name":"Blue chair"}')),
    "assignments": HEAD + "<script>" + fill('window.a={"b":') + "</script>",
    "assignments that end": HEAD + "<script>" + fill('var product={"name":1};') + "</script>",
    "assignments of no JSON": HEAD + "<script>" + fill("product={'a':b,") + "</script>",
    "picture arrays": HEAD + "<script>" + fill('["https://a/b.jpg",') + "</script>",
    "open strings": HEAD + script('{"@type":"Product","name":"' + fill("\\\\")),
    "lists in JSON": HEAD + script(fill("[")),
    "objects in JSON": HEAD + script(fill('{"a":')),
    "commas in JSON": HEAD + script("[" + fill(",", 400_000) + "]"),
    "comments in JSON": HEAD + script("{" + fill("/* *", 400_000)),
    "slashes in JSON": HEAD + script("{" + fill("//", 400_000)),
    "no JSON": HEAD + script("{" + fill("a:'b',", 400_000) + "}"),
    "references that circle": HEAD + script(json.dumps(
        {"@graph": [{"@id": str(n), "@type": "Product", "offers": {"@id": str((n + 1) % 900)}} for n in range(900)]})),
    "deep offers": HEAD + script(json.dumps(nested({"price": 1}, "offers", 300) | {"@type": "Product"})),
    "many offers": HEAD + script(json.dumps({"@type": "Product", "name": "Blue chair", "offers": [
        {"@type": "Offer", "price": n, "offers": [{"price": n}] * 9} for n in range(9_000)]})),
    "many products": HEAD + script(json.dumps([{"@type": "Product", "name": f"Blue chair {n}", "image": f"/{n}.jpg"}
                                              for n in range(30_000)])),
    "wide state": HEAD + script(json.dumps({"a": [{"name": "Blue chair", "price": n, "images": ["/a.jpg", "/b.jpg"]}
                                                 for n in range(30_000)]}), "application/json"),
    "microdata": HEAD + fill("<div itemscope itemtype=Product itemprop=offers><i itemprop=name>1</i>"),
    "flat microdata": HEAD + fill("<div itemscope itemtype=Product><i itemprop=price>1</i></div>"),
    "microdata properties": HEAD + "<div itemscope itemtype=Product>" + fill("<i itemprop='a b c d e'>1</i>"),
    "RDFa": HEAD + fill("<div typeof=Product property=offers>"),
    "a list in JSON": json.dumps([{"url": f"/{n}", "title": "Blue chair", "price": n} for n in range(50_000)]),
    "a feed": json.dumps({"products": [{"handle": f"{n}", "variants": [{}] * 9} for n in range(15_000)]}),
    "JSON without end": fill('{"products":['),
    "HTML in JSON": json.dumps({"html": [fill("<a href='/1'>a", 40_000)] * 90}),
    "numbers in JSON": "[" + "9" * (SIZE - 10) + "]",
    "words": " ".join(random.Random(1).choices(["price", "12", "€", "SKU", "<b>", "</b>", "/", "12,5"], k=900_000)),
    "NULs": HEAD + fill("\x00"),
    "a long address": HEAD + f"<a href='{fill('/a')}'>next</a><base href='{fill('../')}'>",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_page_ends_quietly(name: str) -> None:
    read = extract_page(HOSTILE[name].encode("utf-8", "surrogatepass"), URL)
    assert json.loads(json.dumps(read.to_json()))["url"] == URL


WORDS = [
    "div",
    "span",
    "a",
    "p",
    "li",
    "ul",
    "table",
    "tr",
    "td",
    "dl",
    "dt",
    "dd",
    "h1",
    "img",
    "script",
    "style",
    "template",
    "base",
    "link",
    "meta",
    "button",
    "del",
    "s",
    "option",
    "select",
    "svg",
    "math",
    "form",
    "input",
    "iframe",
    "noscript",
    "textarea",
    "title",
]
NAMES = [
    "class",
    "id",
    "href",
    "src",
    "srcset",
    "itemprop",
    "itemscope",
    "itemtype",
    "typeof",
    "property",
    "content",
    "rel",
    "data-src",
    "data-x",
    "style",
    "value",
]
VALUES = [
    "price",
    "old-price",
    "product",
    "gallery",
    "thumb",
    "next",
    "Product",
    "Offer",
    "name",
    "offers",
    "image",
    "sku",
    "availability",
    "/p/1204-1.jpg",
    "http://[",
    "//x/y.png?w=1",
    "http://schema.org/InStock",
    "/a.jpg,b.jpg;1x",
    "{&quot;price&quot;:1e999}",
    "javascript:x",
    "12,90€",
    "#",
]
TEXTS = st.sampled_from(
    [
        "12,90 €",
        "₹1,29,900",
        "SKU: A-1",
        "Add to cart",
        "Sold out",
        "1.234 results",
        "next",
        "›",
        "&#0;",
        "\ud800",
        "\x00",
        "١٢",
    ]
) | st.text(max_size=12)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(VALUES) | st.text(max_size=6)
KEYS = st.sampled_from(
    [
        "@type",
        "@id",
        "@graph",
        "name",
        "offers",
        "price",
        "lowPrice",
        "priceCurrency",
        "image",
        "images",
        "hasVariant",
        "url",
        "sku",
        "gtin",
        "availability",
        "brand",
        "itemListElement",
        "numberOfItems",
        "listings",
        "props",
        "pageProps",
        "next",
        "page",
        "total",
        "value",
    ]
) | st.text(max_size=4)
JSONISH = st.recursive(
    SCALARS | st.just("Product"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=15,
)
SCRIPTS = st.sampled_from(["application/ld+json", "application/json", ""]).flatmap(
    lambda kind: st.tuples(st.just(kind), JSONISH)
)
ATTRIBUTES = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(VALUES) | st.text(max_size=8), max_size=4)


@st.composite
def markup(draw: st.DrawFn) -> str:
    """Tags that need not match, with the attributes, texts and scripts that the extractor looks for."""
    pieces: list[str] = []
    for _ in range(draw(st.integers(0, 25))):
        match draw(st.integers(0, 4)):
            case 0 | 1:
                given = "".join(f" {name}='{value}'" for name, value in draw(ATTRIBUTES).items())
                pieces.append(f"<{draw(st.sampled_from(WORDS))}{given}>")
            case 2:
                pieces.append(f"</{draw(st.sampled_from(WORDS))}>")
            case 3:
                pieces.append(draw(TEXTS))
            case _:
                kind, value = draw(SCRIPTS)
                text = json.dumps(value)
                pieces.append(script(text if kind else f"window.state = {text}; x={text[: len(text) // 2]}", kind))
    return "".join(pieces)


def _is_read(body: bytes | str, url: str) -> None:
    for recipe in RECIPES:
        json.dumps(extract_page(body, url, recipe=recipe).to_json())


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(markup(), st.sampled_from([URL, "https://www.autoscout24.de/lst/vw?page=2", "", "http://[", "file:///a"]))
def test_no_markup_raises(text: str, url: str) -> None:
    _is_read(text, url)
    _is_read(text.encode("utf-8", "surrogatepass"), url)


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(JSONISH)
def test_no_document_raises(value: object) -> None:
    _is_read(json.dumps(value), "https://shop.example/products.json")
    for path in ("/lst/vw", "/angebote/x"):
        state = script(json.dumps({"props": {"pageProps": value}}), "application/json")
        _is_read(HEAD + state, f"https://www.autoscout24.de{path}")


@settings(max_examples=100)
@given(st.binary(max_size=200), st.text(max_size=30), st.none() | st.text(max_size=30))
def test_no_bytes_raise(body: bytes, url: str, content_type: str | None) -> None:
    extract_page(body, url, content_type=content_type)
