"""JSON documents as pages, and result pages whose list or next page is only in their state or their attributes."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.extract import extract_page
from tamis.recipes import Recipe, load_recipe, read_recipe

SHOP = "https://shop.example/products.json?limit=2"


def shopify_product(number: int, **changes: Any) -> dict[str, Any]:
    variant = {"id": number, "title": "Red / M", "sku": f"S-{number}-1", "price": "19.90", "available": False}
    return {
        "id": number, "title": f"Shirt {number}", "handle": f"shirt-{number}", "vendor": "Acme",
        "body_html": "<p>Cotton &amp; linen</p>", "product_type": "Shirts", "tags": ["new", "summer"],
        "variants": [variant, variant | {"sku": f"S-{number}-2", "price": "24.50", "available": True}],
        "images": [{"src": f"https://cdn.shopify.com/s/files/{number}_{k}.jpg?v=1"} for k in range(3)],
        "options": [{"name": "Size", "values": ["S", "M"]}],
    } | changes  # fmt: skip


def test_shopify_products_are_read_whole() -> None:
    read = extract_page(json.dumps({"products": [shopify_product(1), shopify_product(2)]}), SHOP)
    assert read.kind == "results"
    assert read.links.next == "https://shop.example/products.json?limit=2&page=2"
    assert read.links.items == ("https://shop.example/products/shirt-1", "https://shop.example/products/shirt-2")
    item = read.listed[0].item
    assert (item.title, item.brand, item.sku, item.price) == ("Shirt 1", "Acme", "S-1-2", Decimal("24.5"))
    assert item.availability == "InStock"
    assert item.description == "Cotton & linen"
    assert item.attributes == {"Size": "S, M", "type": "Shirts", "tags": "new, summer"}
    assert len(item.images) == 3
    assert item.sources["price"] == "shopify"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://shop.example/collections/all/products.json", "https://shop.example/products/shirt-1"),
        ("https://shop.example/en-gb/products.json?page=9", "https://shop.example/en-gb/products/shirt-1"),
    ],
)
def test_shopify_addresses_and_the_last_page(url: str, expected: str) -> None:
    read = extract_page(json.dumps({"products": [shopify_product(1)]}), url)
    assert read.links.items == (expected,)
    assert read.links.next is None


def test_one_shopify_product_is_an_item() -> None:
    product = shopify_product(1, variants=[{"price": 1990, "sku": "A"}], images=["//cdn.shopify.com/a.jpg"])
    read = extract_page(json.dumps(product), "https://shop.example/products/shirt-1.js")
    assert read.kind == "item"
    assert read.item is not None
    assert (read.item.price, read.item.images) == (Decimal("19.9"), ("https://cdn.shopify.com/a.jpg",))
    wrapped = extract_page(json.dumps({"product": shopify_product(1)}), "https://shop.example/products/shirt-1.json")
    assert wrapped.kind == "item"


def woo_product(number: int) -> dict[str, Any]:
    return {
        "id": number, "name": f"Mug {number} &#8211; blue", "permalink": f"https://shop.example/product/mug-{number}/",
        "sku": f"M{number}", "description": "<p>Holds tea</p>", "is_in_stock": number % 2 == 0,
        "prices": {"price": "129900", "currency_code": "EUR", "currency_minor_unit": 2},
        "images": [{"src": f"https://shop.example/wp-content/mug-{number}.jpg", "thumbnail": "https://x/t.jpg"}],
        "attributes": [{"name": "Colour", "terms": [{"name": "Blue"}, {"name": "White"}]}],
        "categories": [{"name": "Mugs"}], "brands": [{"name": "Claywell"}],
    }  # fmt: skip


def test_woocommerce_products_are_read_whole() -> None:
    url = "https://shop.example/wp-json/wc/store/v1/products?per_page=2&page=3"
    read = extract_page(json.dumps([woo_product(1), woo_product(2)]), url)
    assert read.links.next == "https://shop.example/wp-json/wc/store/v1/products?per_page=2&page=4"
    first, second = (listed.item for listed in read.listed)
    assert (first.title, first.price, first.currency, first.brand) == (
        "Mug 1 – blue", Decimal(1299), "EUR", "Claywell",
    )  # fmt: skip
    assert (first.availability, second.availability) == ("OutOfStock", "InStock")
    assert first.attributes == {"Colour": "Blue, White", "category": "Mugs"}
    assert first.images == ("https://shop.example/wp-content/mug-1.jpg",)


HITS = [{"title": f"Golf {n}", "url": f"/ad/{n}", "price": n * 100, "image": f"/i/{n}.jpg"} for n in range(1, 6)]
SCROLL = "https://cars.example/api/search?q=golf&page=2"


@pytest.mark.parametrize(
    ("around", "following", "total"),
    [
        ({"next": "/api/search?q=golf&page=3", "total": 57}, "?q=golf&page=3", 57),
        ({"pagination": {"currentPage": 2, "totalPages": 4, "totalCount": "57"}}, "?q=golf&page=3", 57),
        ({"pagination": {"currentPage": 4, "totalPages": 4}}, None, None),
        ({"meta": {"has_next_page": True, "page": 2}}, "?q=golf&page=3", None),
        ({"meta": {"has_next_page": False, "page": 2}}, None, None),
        ({"next_page": 3, "number_of_results": 57}, "?q=golf&page=3", 57),
        ({"links": {"next": {"href": "https://cars.example/api/search?cursor=x"}}}, "?cursor=x", None),
        ({"next": "https://other.example/steal"}, None, None),
    ],
)
def test_what_an_endless_page_loads(around: dict[str, Any], following: str | None, total: int | None) -> None:
    read = extract_page(json.dumps({"data": {"hits": HITS} | around}), SCROLL)
    assert read.kind == "results"
    assert read.links.items == tuple(f"https://cars.example/ad/{n}" for n in range(1, 6))
    assert read.links.next == (following and f"https://cars.example/api/search{following}")
    assert read.links.total == total


def test_html_inside_json_is_read_as_html() -> None:
    cards = "".join(
        f"<li class=card><a href='/ad/{n}-golf'><img src='/{n}.jpg'>Golf</a> {n}00 €</li>" for n in range(9)
    )
    read = extract_page(json.dumps({"html": f"<ul>{cards}</ul>", "next": "/more?page=3"}), SCROLL)
    assert read.kind == "results"
    assert len(read.links.items) == 9


def test_the_list_in_the_state_of_a_page_without_links() -> None:
    state = {"props": {"search": {"listings": HITS, "page": 1, "pageCount": 3, "totalResults": 57}}}
    body = f'<div id="app"></div><script type="application/json">{json.dumps(state)}</script>'
    read = extract_page(f"<html><body>{body}</body></html>", "https://cars.example/used")
    assert read.kind == "results"
    assert (len(read.links.items), read.links.total) == (5, 57)
    assert read.links.next == "https://cars.example/used?page=2"


CARDS = "".join(
    f"<li class='card'><a href='/ad/{n}-golf'><img src='/{n}.jpg'>Golf {n}</a><b>{n}00 €</b></li>"
    for n in range(10, 22)
)


@pytest.mark.parametrize(
    ("more", "following"),
    [
        ("<div data-next-url='/used/list?offset=12'></div>", "/used/list?offset=12"),
        ("<button data-url='/used/more/2'>Mehr anzeigen</button>", "/used/more/2"),
        ("<div class=scroller data-next-page=2></div>", "/used?page=2"),
        ("<a href='?page=2'>Load more</a>", "/used?page=2"),
        ("<div data-next='true'></div>", None),
        ("<div data-next-url='https://other.example/x'></div>", None),
    ],
)
def test_the_next_part_of_an_endless_page(more: str, following: str | None) -> None:
    body = f"<html><body><h1>Cars</h1><p>40 results</p><ul>{CARDS}</ul>{more}</body></html>"
    read = extract_page(body, "https://cars.example/used")
    assert read.kind == "results"
    assert read.links.next == (following and f"https://cars.example{following}")


def test_records_that_a_recipe_declares(tmp_path: Any) -> None:
    (tmp_path / "api.toml").write_text("""
[urls]
results = ['^/api/']
[results]
records = "json:hits[*]"
total = "json:count"
[record]
identity = "sku"
url = "json:links.web"
title = "json:name"
price = "json:cost"
currency = "json:money"
sku = "json:number"
images = "json:pics[*].big"
[record.attributes]
colour = "json:paint"
""")
    hits = [
        {"links": {"web": f"/ad/{n}"}, "name": "Golf", "cost": 100, "money": "EUR", "number": str(n), "paint": "red",
         "pics": [{"big": f"/p/{n}.jpg"}]} for n in range(3)
    ]  # fmt: skip
    read = extract_page(json.dumps({"hits": hits, "count": 3}), SCROLL, recipe=read_recipe(tmp_path / "api.toml"))
    assert [listed.url for listed in read.listed] == [f"https://cars.example/ad/{n}" for n in range(3)]
    item = read.listed[0].item
    assert (item.title, item.price, item.currency, item.sku) == ("Golf", Decimal(100), "EUR", "0")
    assert item.images == ("https://cars.example/p/0.jpg",)
    assert item.attributes == {"colour": "red"}
    assert read.links.total == 3


def test_addresses_of_shops_are_folded() -> None:
    shop = load_recipe("shopify")
    for url in ("/collections/all/products/a", "/products/a?variant=3", "/products/a/", "/products/a"):
        assert shop.page_url(f"https://s.example{url}").removesuffix("/") == "https://s.example/products/a"
    feed = "https://s.example/collections/all/products.json?limit=250"
    assert shop.page_url(feed) == feed


KEYS = st.sampled_from(
    [
        *("products", "product", "handle", "variants", "price", "images", "src", "prices", "permalink", "url", "title"),
        *("currency_minor_unit", "name", "next", "page", "totalPages", "total", "options", "values", "available"),
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=40,
)


@given(JSON)
def test_no_json_document_raises(value: object) -> None:
    for document in (value, {"products": [value]}, [value, value, value], {"product": value}):
        read = extract_page(json.dumps(document), SHOP, recipe=Recipe())
        json.dumps(read.to_json())
