from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.extract import extract_page
from tamis.recipes import load_recipe
from tamis.recipes.slicing import SliceRange, split_search

YEAR = SliceRange("fregfrom", "fregto", 1950, 2030, optional=True)
PRICE = SliceRange("pricefrom", "priceto", 0, 10_000_000, log=True)
URL = "https://cars.example/lst/vw/golf?cy=D&page=3"


def holds(url: str, one: SliceRange, value: int) -> bool:
    query = parse_qs(urlsplit(url).query)
    first, last = query.get(one.lower), query.get(one.upper)
    return (first is None or int(first[0]) <= value) and (last is None or value <= int(last[0]))


@given(st.sampled_from([YEAR, PRICE]), st.integers(-10, 20_000_000))
def test_each_value_is_in_one_slice_down_to_the_last(one: SliceRange, value: int) -> None:
    url, steps = URL, 0
    while slices := split_search(url, [one], "page"):
        inside = [part for part in slices if holds(part, one, value)]
        assert len(inside) == 1
        assert "page=" not in inside[0]
        assert "cy=D" in inside[0]
        url, steps = inside[0], steps + 1
    assert 0 < steps <= 50


@given(st.integers(1940, 2040) | st.none(), st.integers(0, 2_000_000))
def test_each_listing_is_in_a_last_slice_also_without_the_optional_value(year: int | None, price: int) -> None:
    waiting, last = [URL], 0
    while waiting:
        url = waiting.pop()
        slices = split_search(url, [YEAR, PRICE], "page")
        last += not slices
        for part in slices:
            in_year = holds(part, YEAR, year) if year is not None else "freg" not in part
            waiting += [part] if in_year and holds(part, PRICE, price) else []
    assert last == (1 if year is None else 2)


def test_the_next_range_is_cut_where_the_first_is_a_single_value() -> None:
    slices = split_search(f"{URL}&fregfrom=2020&fregto=2020", [YEAR, PRICE], "page")
    assert [("priceto" in url, "pricefrom" in url) for url in slices] == [(True, False), (False, True)]


def test_a_search_that_is_cut_by_price_is_not_cut_by_year_again() -> None:
    slices = split_search(f"{URL}&pricefrom=3000", [YEAR, PRICE], "page")
    assert len(slices) == 2
    assert not any("freg" in url for url in slices)


@pytest.mark.parametrize("bounds", ["fregfrom=2020&fregto=2020", "fregfrom=2021&fregto=2020", "fregfrom=2035"])
def test_what_cannot_be_cut_is_not(bounds: str) -> None:
    assert split_search(f"{URL}&{bounds}", [YEAR], "page") == ()


def test_bounds_that_are_no_numbers_are_as_none() -> None:
    first, second = split_search(f"{URL}&fregfrom=x&fregto=", [YEAR], "page")
    assert first.endswith("fregto=1990")
    assert second.endswith("fregfrom=1991")


STATE = '<script id="__NEXT_DATA__" type="application/json">{"props":{"pageProps":%s}}</script>'


@pytest.mark.parametrize(
    ("url", "state", "following", "slices"),
    [
        ("?page=2", '{"numberOfResults":400,"numberOfPages":20}', 3, 0),
        ("?page=2", '{"numberOfResults":401,"numberOfPages":20}', 3, 4),
        ("?page=20", '{"numberOfResults":401,"numberOfPages":20}', None, 4),
        ("", '{"numberOfResults":900,"numberOfPages":50}', 2, 0),
        ("?page=45", '{"numberOfResults":900,"numberOfPages":50}', None, 0),
        ("?page=50", '{"numberOfResults":990,"numberOfPages":50}', None, 0),
        ("", '{"numberOfResults":401}', 2, 4),
    ],
)
def test_the_cap_is_read_from_the_page(url: str, state: str, following: int | None, slices: int) -> None:
    body = '<h1>Golf</h1><article data-guid="g1"></article>' + STATE % state
    address = f"https://www.autoscout24.de/lst/vw/golf{url}"
    links = extract_page(body, address, recipe=load_recipe("autoscout24")).links
    assert links.items == ("https://www.autoscout24.de/angebote/g1",)
    assert links.next == (None if following is None else f"https://www.autoscout24.de/lst/vw/golf?page={following}")
    assert len(links.slices) == slices


def test_an_empty_page_tells_that_the_cap_was_passed() -> None:
    body = "<h1>Golf</h1>" + STATE % '{"numberOfResults":900,"numberOfPages":50,"listings":[]}'
    links = extract_page(body, f"{URL.replace('cars.example', 'www.autoscout24.de').replace('3', '31')}",
                         recipe=load_recipe("autoscout24")).links  # fmt: skip
    assert len(links.slices) == 4


@pytest.mark.parametrize(
    ("host", "path", "lang", "expected"),
    [
        ("www.autoscout24.de", "/lst/vw", "de", "/angebote/g1"),
        ("www.autoscout24.at", "/lst/vw", "de-at", "/angebote/g1"),
        ("www.autoscout24.com", "/lst/vw", "en", "/offers/g1"),
        ("www.autoscout24.it", "/lst/vw", "it", "/annunci/g1"),
        ("www.autoscout24.fr", "/lst/vw", "fr", "/offres/g1"),
        ("www.autoscout24.es", "/lst/vw", "es", "/anuncios/g1"),
        ("www.autoscout24.nl", "/lst/vw", "nl", "/aanbod/g1"),
        ("www.autoscout24.be", "/nl/lst/vw", "nl-be", "/nl/aanbod/g1"),
        ("www.autoscout24.be", "/fr/lst/vw", "fr-be", "/fr/offres/g1"),
        ("127.0.0.1", "/lst/vw", "it", "/annunci/g1"),
        ("127.0.0.1", "/lst/vw", "", "/offers/g1"),
    ],
)
def test_a_listing_without_a_link_has_the_address_of_its_country(
    host: str, path: str, lang: str, expected: str
) -> None:
    body = f'<html lang="{lang}"><body><article data-guid="g1"></article></body></html>'
    links = extract_page(body, f"https://{host}{path}", recipe=load_recipe("autoscout24")).links
    assert links.items == (f"https://{host}{expected}",)
