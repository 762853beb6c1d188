from __future__ import annotations

import pytest

from tamis.extract import extract_page
from tamis.extract.listing import page_number, with_page

CARS = "https://cars.example/search?q=golf"


def results(cards: str, extra: str = "", url: str = CARS) -> tuple[tuple[str, ...], str | None, int | None]:
    top = "<nav><a href='/'>Home</a><a href='/login'>Log in</a></nav><h1>Golf</h1>"
    read = extract_page(f"<html lang=en><body>{top}{cards}{extra}</body></html>", url)
    assert read.kind == "results"
    return read.links.items, read.links.next, read.links.total


def card(n: int) -> str:
    link = f"<a href='/ad/{n}-vw-golf'>"
    return f"<div class='hit-{n}'>{link}<img src='/i/{n}.jpg'></a>{link}Golf</a> £{n},500</div>"


CARDS = "".join(map(card, range(1, 13)))
LINKS = tuple(f"https://cars.example/ad/{n}-vw-golf" for n in range(1, 13))


@pytest.mark.parametrize(
    ("extra", "following"),
    [
        ("<a rel='next' href='/search?q=golf&page=2'>more</a>", "https://cars.example/search?q=golf&page=2"),
        ("<a href='/search?q=golf&start=12'>Weiter</a>", "https://cars.example/search?q=golf&start=12"),
        ("<a aria-label='Next page' href='/p2'>›</a>", "https://cars.example/p2"),
        ("<a href='?q=golf&page=2'>2</a><a href='?q=golf&page=9'>9</a>", "https://cars.example/search?q=golf&page=2"),
        ("<a class='slide next' href='/i/2.jpg'>x</a>", None),
        ("<a href='https://other.example/?page=2'>next</a>", None),
        ("", None),
    ],
)
def test_the_next_page(extra: str, following: str | None) -> None:
    items, found, _ = results(CARDS, extra)
    assert items == LINKS
    assert found == following


@pytest.mark.parametrize(
    ("text", "total"), [("1,234 results", 1234), ("1.234 Treffer", 1234), ("12 annonces", 12), ("Page 3", None)]
)
def test_the_announced_number(text: str, total: int | None) -> None:
    assert results(CARDS, f"<p>{text}</p>")[2] == total


def test_links_of_navigation_and_of_related_parts_are_no_listings() -> None:
    aside = "<aside class='related'>" + "".join(card(n) for n in range(50, 90)) + "</aside>"
    assert results(CARDS, aside)[0] == LINKS


def test_page_numbers_are_read_and_set() -> None:
    assert page_number("https://x.example/cars?page=3") == 3
    assert page_number("https://x.example/cars/page/4/") == 4
    assert page_number("https://x.example/cars") == 1
    assert page_number("https://x.example/cars?seite=7", "seite") == 7
    assert with_page("https://x.example/cars?page=3&q=a b", 4) == "https://x.example/cars?q=a+b&page=4"
