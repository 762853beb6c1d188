from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tamis.extract import extract_page

URL = "https://shop.example/items/blue-chair-1204"
PICTURES = ["https://shop.example/p/1204-1.jpg", "https://shop.example/p/1204-2.jpg"]


def page(head: str = "", body: str = "", lang: str = "en") -> str:
    return f"<!doctype html><html lang='{lang}'><head>{head}</head><body>{body}</body></html>"


def json_ld(value: Any) -> str:
    return f'<script type="application/ld+json">{json.dumps(value)}</script>'


PRODUCT = {
    "@context": "https://schema.org",
    "@type": "Product",
    "name": "Blue chair",
    "sku": "CH-1204",
    "gtin13": "4006381333931",
    "brand": {"@type": "Brand", "name": "Sitwell"},
    "image": PICTURES,
    "offers": {
        "@type": "Offer",
        "price": "1249.00",
        "priceCurrency": "EUR",
        "availability": "https://schema.org/OutOfStock",
        "seller": {"@type": "Organization", "name": "Chairs Ltd"},
    },
}


def test_json_ld_product() -> None:
    read = extract_page(page(json_ld(PRODUCT), "<h1>Blue chair</h1>"), URL)
    item = read.item
    assert read.kind == "item"
    assert item is not None
    assert (item.title, item.price, item.currency) == ("Blue chair", Decimal(1249), "EUR")
    assert (item.brand, item.sku, item.gtin) == ("Sitwell", "CH-1204", "4006381333931")
    assert (item.availability, item.seller) == ("OutOfStock", "Chairs Ltd")
    assert list(item.images) == PICTURES
    assert item.sources["price"] == "json-ld"
    assert item.raw["sku"] == "CH-1204"


def test_the_printed_form_has_the_agreed_keys() -> None:
    printed = extract_page(page(json_ld(PRODUCT), "<h1>Blue chair</h1>"), URL).to_json()
    assert list(printed) == ["url", "kind", "item", "links"]
    assert list(printed["item"]) == [
        "title", "price", "currency", "brand", "model", "sku", "gtin", "availability", "description", "images",
        "attributes", "sources",
    ]  # fmt: skip
    assert list(printed["links"]) == ["items", "next", "total"]
    assert printed["item"]["price"] == "1249"
    json.dumps(printed)


def test_graph_references_and_nested_types() -> None:
    graph = {
        "@graph": [
            {"@type": "WebPage", "mainEntity": {"@id": "#p"}},
            {"@type": "Offer", "@id": "#o", "price": 15990, "priceCurrency": "EUR"},
            {"@id": "#p", "@type": ["Product", "Car"], "name": "VW Golf", "offers": {"@id": "#o"}, "color": "Red"},
        ]
    }
    item = extract_page(page(json_ld(graph), "<h1>VW Golf</h1>"), URL).item
    assert item is not None
    assert item.price == 15990
    assert item.attributes["colour"] == "Red"


def test_the_product_of_this_page_wins_over_related_ones() -> None:
    others = [{"@type": "Product", "name": f"Lamp {n}", "offers": {"price": n, "priceCurrency": "EUR"}} for n in (1, 2)]
    head = json_ld(others[0]) + json_ld(PRODUCT) + json_ld(others[1])
    item = extract_page(page(head, "<h1>Blue chair</h1>"), URL).item
    assert item is not None
    assert item.title == "Blue chair"
    assert item.price == 1249


def test_microdata_product() -> None:
    body = """
    <div itemscope itemtype="http://schema.org/Product"><h1 itemprop="name">Blue chair</h1>
      <img itemprop="image" src="/p/1204-1.jpg">
      <div itemprop="offers" itemscope itemtype="http://schema.org/Offer">
        <span itemprop="price" content="12.50">12,50</span><meta itemprop="priceCurrency" content="EUR">
        <link itemprop="availability" href="http://schema.org/InStock"></div></div>"""
    item = extract_page(page(body=body), URL).item
    assert item is not None
    assert (item.title, item.price, item.currency, item.availability) == (
        "Blue chair",
        Decimal("12.5"),
        "EUR",
        "InStock",
    )
    assert item.images == (PICTURES[0],)
    assert item.sources["price"] == "microdata"


def test_rdfa_product() -> None:
    body = """
    <div vocab="https://schema.org/" typeof="Product"><h1 property="name">Blue chair</h1>
      <div property="offers" typeof="Offer"><span property="price" content="99">99</span>
      <span property="priceCurrency" content="GBP">£</span></div></div>"""
    item = extract_page(page(body=body), URL).item
    assert item is not None
    assert (item.title, item.price, item.currency) == ("Blue chair", Decimal(99), "GBP")


def test_open_graph_product() -> None:
    head = """<meta property="og:type" content="product"><meta property="og:title" content="Blue chair">
    <meta property="product:price:amount" content="99.90"><meta property="product:price:currency" content="EUR">
    <meta property="product:availability" content="in stock"><meta property="og:image" content="/p/1204-1.jpg">"""
    item = extract_page(page(head), URL).item
    assert item is not None
    assert (item.title, item.price, item.availability) == ("Blue chair", Decimal("99.9"), "InStock")
    assert item.images == (PICTURES[0],)


def test_embedded_state() -> None:
    state = {"props": {"pageProps": {"product": {
        "name": "Blue chair", "sku": "CH-1204", "price": {"value": 99.5, "currency": "EUR"}, "brand": "Sitwell",
        "images": [{"url": url} for url in PICTURES],
    }}}}  # fmt: skip
    head = f'<script id="__NEXT_DATA__" type="application/json">{json.dumps(state)}</script>'
    item = extract_page(page(head, "<h1>Blue chair</h1><button>Add to cart</button>"), URL).item
    assert item is not None
    assert (item.price, item.currency, item.sku, item.brand) == (Decimal("99.5"), "EUR", "CH-1204", "Sitwell")
    assert list(item.images) == PICTURES
    assert item.sources["sku"] == "state"


PLAIN = """
<nav><a href="/chairs">Chairs</a></nav><main><h1>Blue chair</h1>
<div class="gallery"><a href="/p/1204-1.jpg"><img src="/p/1204-1_thumb.jpg"></a>
<img src="/lazy.gif" data-src="/p/1204-2.jpg?w=100" srcset="/p/1204-2.jpg?w=400 400w, /p/1204-2.jpg?w=1600 1600w"></div>
<div class="price"><del>129,00 €</del> <span class="now">99,00 €</span></div><button>In den Warenkorb</button>
<dl><dt>Art.-Nr.</dt><dd>CH-1204</dd><dt>Material</dt><dd>Eiche</dd></dl>
<table><tr><th>Breite</th><td>45 cm</td></tr></table></main>
<div class="related"><a href="/items/lamp-77"><img src="/p/77.jpg"> Lampe 5,00 €</a></div>"""


def test_plain_html() -> None:
    item = extract_page(page("<title>Blue chair | Shop</title>", PLAIN, "de"), URL).item
    assert item is not None
    assert (item.title, item.price, item.currency) == ("Blue chair", Decimal(99), "EUR")
    assert (item.sku, item.availability) == ("CH-1204", "InStock")
    assert item.attributes["Material"] == "Eiche"
    assert item.attributes["Breite"] == "45 cm"
    assert list(item.images) == [PICTURES[0], PICTURES[1] + "?w=1600"]


CARDS = "".join(
    f'<li class="card"><a href="/cars/golf-{n}"><img src="/t/{n}.jpg"><h3>Golf {n}</h3></a><b>{n}.990 €</b></li>'
    for n in range(10, 22)
)


def test_result_page() -> None:
    body = f"<h1>Used cars</h1><p>1.240 Treffer</p><ul>{CARDS}</ul><a href='?page=3'>Nächste</a>"
    read = extract_page(page(body=body, lang="de"), "https://cars.example/search?page=2")
    assert read.kind == "results"
    assert read.item is None
    assert read.links.items == tuple(f"https://cars.example/cars/golf-{n}" for n in range(10, 22))
    assert read.links.next == "https://cars.example/search?page=3"
    assert read.links.total == 1240


OWN_PAGES = [{"@type": "Offer", "price": n, "priceCurrency": "EUR", "url": f"/cars/golf-{n}"} for n in range(10, 22)]
STANDS_FOR_ALL: dict[str, dict[str, Any]] = {
    "it counts many offers": {"offers": {"@type": "AggregateOffer", "lowPrice": 100, "offerCount": 1240}},
    "its prices reach far": {"offers": {"@type": "AggregateOffer", "lowPrice": "100", "highPrice": "90000"}},
    "its offers have pages": {"offers": OWN_PAGES},
    "offers in an offer": {"offers": {"@type": "AggregateOffer", "lowPrice": 10, "highPrice": 11, "offers": OWN_PAGES}},
    "it is but a name": {"aggregateRating": {"ratingValue": 4.5, "reviewCount": 900}, "image": "/cars.jpg"},
}


@pytest.mark.parametrize("why", STANDS_FOR_ALL)
def test_a_product_that_stands_for_a_whole_result_page_is_no_item(why: str) -> None:
    fake = {"@type": "Product", "name": "Used cars", "sku": "used"} | STANDS_FOR_ALL[why]
    if "offers" not in fake:
        del fake["sku"]
    body = f"<h1>Used cars</h1><p>1240 results</p><ul>{CARDS}</ul><a rel='next' href='?page=2'>2</a>"
    read = extract_page(page(json_ld(fake), body), "https://cars.example/used")
    assert read.kind == "results"
    assert len(read.links.items) == 12


@pytest.mark.parametrize("why", ["its prices reach far", "it is but a name"])
def test_a_product_with_variants_or_little_data_is_an_item_beside_related_ones(why: str) -> None:
    real = {"@type": "Product", "name": "Blue chair"} | STANDS_FOR_ALL[why]
    body = f"<h1>Blue chair</h1><p class=price>100 €</p><button>Add to cart</button><ul>{CARDS}</ul>"
    assert extract_page(page(json_ld(real), body), URL).kind == "item"


def test_item_list_names_the_listings() -> None:
    listed = {"@type": "ItemList", "numberOfItems": 3, "itemListElement": [
        {"@type": "ListItem", "position": n, "url": f"/cars/{n}"} for n in range(3)]}  # fmt: skip
    read = extract_page(page(json_ld(listed)), "https://cars.example/used")
    assert read.kind == "results"
    assert read.links.items == tuple(f"https://cars.example/cars/{n}" for n in range(3))
    assert read.links.total == 3


def test_other_pages_are_neither() -> None:
    assert extract_page(page("<title>About us</title>", "<h1>About us</h1><p>We sell chairs.</p>"), URL).kind == "other"


def test_robots_directives_are_reported() -> None:
    head = '<meta name="robots" content="noindex, NoFollow"><meta name="ROBOTS" content="noai, noimageai">'
    assert extract_page(page(head), URL).directives == {"noindex", "nofollow", "noai", "noimageai"}


def test_the_charset_is_found() -> None:
    body = page(
        "<meta charset='iso-8859-2'>" + json_ld(PRODUCT).replace("Blue chair", "Krzes\u0142o"), "<h1>Krzesło</h1>"
    )
    item = extract_page(body.encode("iso-8859-2"), URL).item
    assert item is not None
    assert item.title == "Krzesło"
    declared = extract_page(
        page(json_ld(PRODUCT), "<h1>Blå stol</h1>").encode("latin-1"), URL, content_type="text/html; charset=latin-1"
    )
    assert declared.kind == "item"


HOSTILE = [
    b"",
    b"\x00\xff\xfe",
    b"<",
    b"%PDF-1.4",
    b"<div>" * 200_000,
    b"<a href=x>" * 50_000,
    b'<script type="application/ld+json">' + b"[" * 500_000 + b"</script>",
    b'<script type="application/ld+json">' + b'{"@type":"Product","offers":' * 20_000 + b"</script>",
    b"<script>window.x={" + b'"a":{' * 50_000 + b"</script>",
    b"<h1>" + b"x" * 5_000_000,
    b"<meta name=robots content='" + b"a," * 500_000 + b"'>",
    b"<div itemscope>" * 20_000,
    b"<p>1" + b".000" * 300_000 + b" EUR",
    b"<img src='http://[::1'>" + b"<base href='http://['>" + b"<a href='//'>",
    b"<dl>" + b"<dt>a<dd>b" * 50_000,
    b"<a href='http://x/" + b"%" * 100_000 + b"'>next</a>",
    b'<script type="application/ld+json">' + b'"\\' * 400_000 + b"</script>",
    b"<p>12 EUR " * 400_000,
    b"<div itemscope itemtype=Product><i itemprop=name>1</i></div>" * 50_000,
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_pages_end_quietly(body: bytes) -> None:
    assert extract_page(body, URL).url == URL


PIECES = """
<h1>|</h1>|<a href='|'>|12 €|<script type="application/ld+json">|{|"@type":"Product"|,|"price":|1e999|]|[|}
</script>|<dl><dt>|<dd>|itemscope |<div itemprop='offers' |itemtype=Product>|<img srcset='a 1w,,b|&#x110000;
<base href='http://['>|SKU: 1|<table><tr><td>|http://[|\0|\ud800|<p>1.000|window.a={|<link rel=next href=
"""
FRAGMENTS = st.sampled_from(PIECES.replace("\n", "|").split("|"))


@settings(max_examples=150, deadline=2000, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(FRAGMENTS | st.text(max_size=8), max_size=40), st.text(max_size=30))
def test_no_page_raises(fragments: list[str], url: str) -> None:
    text = "".join(fragments)
    for body in (text, text.encode("utf-8", "surrogatepass")):
        for address in (URL, url):
            json.dumps(extract_page(body, address).to_json())


def plain_item(title: str = "Red scarf", head: str = "") -> str:
    """A page without structured data and without a price."""
    gallery = "<div class='gallery'><img src='/photos/7.jpg' alt=''></div>"
    return page(f"<title>{title}</title>{head}", f"<h1>{title}</h1>{gallery}<dl><dt>Seller</dt><dd>Ann</dd></dl>")


@pytest.mark.parametrize("url", ["https://shop.example/item/7.html", "https://shop.example/red-scarf"])
def test_a_plain_page_without_a_price_is_an_item_where_a_result_page_lists_it(url: str) -> None:
    read = extract_page(plain_item(), url, linked_as="item")
    assert read.kind == "item"
    assert read.item is not None
    assert (read.item.title, read.item.price) == ("Red scarf", None)
    assert list(read.item.images) == ["https://shop.example/photos/7.jpg"]
    assert read.item.attributes["Seller"] == "Ann"
    assert extract_page(plain_item(), "https://shop.example/red-scarf").kind == "other"


def test_what_a_result_page_lists_is_no_item_for_that_alone() -> None:
    article = plain_item(head="<meta property='og:type' content='article'>")
    assert extract_page(article, URL, linked_as="item").kind == "other"
    without_pictures = page("<title>About us</title>", "<h1>About us</h1><p>We sell scarves.</p>")
    assert extract_page(without_pictures, "https://shop.example/about", linked_as="item").kind == "other"
    cards = "".join(
        f"<li><a href='/s/{n}'><img src='/t/{n}.jpg'><h2>Scarf {n}</h2></a> $1{n}.00</li>" for n in range(12)
    )
    category = page("<title>Scarves</title>", f"<h1>Scarves</h1><p>12 results</p><ul>{cards}</ul>")
    assert extract_page(category, "https://shop.example/scarves", linked_as="item").kind == "results"
