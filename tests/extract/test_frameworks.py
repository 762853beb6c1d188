"""State as frameworks pack it: Nuxt, Apollo, Magento, WooCommerce variations."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.extract import extract_page
from tamis.extract.frameworks import nuxt_call, nuxt_payload, with_references

URL = "https://shop.example/items/blue-chair-1204"
PICTURES = ("https://shop.example/p/1204-1.jpg", "https://shop.example/p/1204-2.jpg")
HEAD = "<html><head><title>Blue chair</title></head><body><h1>Blue chair</h1><button>Add to cart</button>"

NUXT3 = [
    ["ShallowReactive", 1], {"data": 2}, ["Reactive", 3], {"product": 4},
    {"name": 5, "sku": 6, "price": 7, "images": 8},
    "Blue chair", "CH-1204", 99.5, [9, 10], {"url": 11}, {"url": 12}, *PICTURES,
]  # fmt: skip
NUXT2 = (
    'window.__NUXT__=(function(a,b,c){return {layout:"default",data:[{product:{name:a,sku:"CH-1204",price:b,'
    'images:[{url:c},{url:"' + PICTURES[1] + '"}],shown:!0,note:void 0}}]}}("Blue chair",99.5,"' + PICTURES[0] + '"));'
)
APOLLO = {
    "Product:1": {
        "__typename": "Product", "name": "Blue chair", "sku": "CH-1204", "price": {"__ref": "Price:1"},
        "images": [{"__ref": "Image:1"}, {"__ref": "Image:2"}],
    },
    "Price:1": {"__typename": "Price", "value": 99.5, "currency": "EUR"},
    "Image:1": {"__typename": "Image", "url": PICTURES[0]},
    "Image:2": {"__typename": "Image", "url": PICTURES[1]},
    "ROOT_QUERY": {"__typename": "Query", "product": {"__ref": "Product:1"}},
}  # fmt: skip
STATES = {
    "Nuxt 3": f'<script type="application/json" id="__NUXT_DATA__">{json.dumps(NUXT3)}</script>',
    "Nuxt 2": f"<script>{NUXT2}</script>",
    "Apollo": f"<script>window.__APOLLO_STATE__ = {json.dumps(APOLLO)};</script>",
    "Redux": "<script>window.__STATE__ = "
    + json.dumps({"p": {"name": "Blue chair", "sku": "CH-1204", "price": 99.5, "images": list(PICTURES)}})
    + ";</script>",
}


@pytest.mark.parametrize("name", STATES)
def test_packed_state_is_read(name: str) -> None:
    item = extract_page(HEAD + STATES[name], URL).item
    assert item is not None
    assert (item.title, item.sku, item.price) == ("Blue chair", "CH-1204", Decimal("99.5"))
    assert item.images == PICTURES
    assert item.sources["sku"] == "state"


def test_the_gallery_of_a_magento_page() -> None:
    data = [{"thumb": url.replace(".jpg", "-thumb.jpg"), "img": url, "full": url} for url in PICTURES]
    init = {"[data-gallery-role=x]": {"mage/gallery/gallery": {"data": data}}}
    head = f'<meta property="og:image" content="{PICTURES[0]}">'
    head += f'<script type="text/x-magento-init">{json.dumps(init)}</script>'
    item = extract_page(f"{HEAD}{head}<span class=price>99,50 €</span>", URL).item
    assert item is not None
    assert item.images == PICTURES


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '__NUXT__=(function(a){return {x:a,"a":"a",y:[a,-1.5,!1]}}("(}"))',
            {"x": "(}", "a": "a", "y": ["(}", -1.5, False]},
        ),
        ("__NUXT__=(function(){return {x:'it\\'s',y:z}}())", {"x": "it's", "y": None}),
        ("__NUXT__=(function(a){return {x:a}}", None),
        ("__NUXT__=(function(a){", None),
        ("__NUXT__={}", None),
    ],
)
def test_calls_of_nuxt(text: str, expected: Any) -> None:
    assert nuxt_call(text) == expected


@given(st.text(alphabet="(){}[]:,\"'ab!01-. \\", max_size=60))
def test_no_call_raises(text: str) -> None:
    nuxt_call("__NUXT__=(function(a,b){return {" + text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 12) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a", "__ref", "__typename", "id", "type"]), inner, max_size=4)
    ),
    max_leaves=30,
)


@given(st.lists(JSON, max_size=12), JSON)
def test_no_payload_raises_and_circles_end(flat: list[Any], cache: Any) -> None:
    nuxt_payload(flat)
    nuxt_payload([{"a": 0, "b": [0]}, *flat])
    json.dumps(with_references({"a": cache, "b": {"__typename": "x", "c": {"__ref": "b"}}}))
