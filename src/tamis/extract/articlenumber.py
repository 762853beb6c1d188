"""The article number: of all numbers on a page, the one by which the shop itself knows the item."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from tamis.extract.outline import Outline
from tamis.extract.records import Reading
from tamis.extract.specs import is_sku
from tamis.extract.words import SKU_LABELS, WEAK_SKU_LABELS, label_key

NEAR_TITLE = 60
"""Pieces of text around the title in which a bare number may be the article number."""

_STRUCTURED_FIELDS = ("sku", "offer_sku", "mpn", "offer_mpn")
_INLINE = re.compile(r"^\W?\s*([^\d:：#]{2,40}?)\s*(?:[:：#]|n[°º]|\s)\s*([A-Za-z0-9][\w./\-]{2,39})\W?$")
_DIGIT = re.compile(r"\d")
_PLAIN = re.compile(r"[^0-9a-z]")
_URL_NUMBER = re.compile(r"(?<![0-9])\d{5,14}(?![0-9])")
_URL_CODE = re.compile(r"(?<![A-Za-z0-9])(?=[A-Z0-9]*\d)(?=[A-Z0-9]*[A-Z])[A-Z0-9]{7,14}(?![A-Za-z0-9])")
_ID_PARAMETERS = frozenset({"id", "pid", "sku", "item", "itemid", "product", "productid", "product_id"})


@dataclass(frozen=True, slots=True)
class ArticleNumber:
    """A number and where it was read."""

    value: str
    source: str


def article_number(outline: Outline, readings: list[Reading], pairs: dict[str, str]) -> ArticleNumber | None:
    """Return the article number that most speaks for, or None.

    What stands under a label and in the URL goes first, then what linked data states and the page shows, then what
    stands under a label alone, then a shown number that the URL contains, then what is stated or in the URL alone.
    """
    url = _plain(unquote(outline.page.url))
    stated = list(_stated(readings))
    labelled = list(dict.fromkeys(_labelled(outline, pairs)))
    shown = {value for _, value in labelled} | {piece.text for piece in outline.pieces if len(piece.text) <= 40}
    strong = [value for label, value in labelled if label not in WEAK_SKU_LABELS]
    in_url = list(_url_numbers(outline.page.url))
    candidates = (
        *((value, "html") for value in strong if _plain(value) in url),
        *((entry.value, entry.source) for entry in stated if entry.value in shown and is_sku(entry.value)),
        *((value, "html") for value in strong),
        *((value, "html") for value in _bare_near_title(outline) if len(_plain(value)) >= 5 and _plain(value) in url),
        *((entry.value, entry.source) for entry in stated if _plain(entry.value) in url),
        *((value, "url") for value in in_url if any(value in text for text in shown)),
        *((entry.value, entry.source) for entry in stated if " " not in entry.value),
        *((value, "html") for _, value in labelled),
        *((value, "url") for value in in_url),
    )
    return ArticleNumber(*candidates[0]) if candidates else None


def number_evidence(outline: Outline, pairs: dict[str, str]) -> float:
    """Rate how much the article numbers under labels look like the page of one item: 0, 2, or 4 with the URL's."""
    strong = [value for label, value in _labelled(outline, pairs) if label not in WEAK_SKU_LABELS]
    url = _plain(unquote(outline.page.url))
    if any(_plain(value) in url for value in strong):
        return 4.0
    return 2.0 if 0 < len(set(strong)) <= 3 else 0.0


def _stated(readings: list[Reading]) -> Iterator[ArticleNumber]:
    for reading in readings:
        for name in _STRUCTURED_FIELDS:
            value = reading.fields.get(name)
            if isinstance(value, str) and reading.source != "html":
                yield ArticleNumber(value, reading.source)


def _labelled(outline: Outline, pairs: dict[str, str]) -> list[tuple[str, str]]:
    """Return label and number: of one piece of text (`Ref. 123`), of two that follow each other, of spec rows."""
    if outline.labelled_numbers is None:
        outline.labelled_numbers = list(_shown_numbers(outline))
    stated = [
        (label_key(label), value.strip("() "))
        for label, value in pairs.items()
        if label_key(label) in SKU_LABELS and is_sku(value)
    ]
    return outline.labelled_numbers + stated


def _shown_numbers(outline: Outline) -> Iterator[tuple[str, str]]:
    previous = ""
    for piece in outline.pieces:
        text = piece.text
        if len(text) <= 90 and _DIGIT.search(text):
            inline = _INLINE.match(text)
            label, value = (inline[1], inline[2]) if inline else (previous, text)
            if label_key(label) not in SKU_LABELS and len(previous) <= 45:
                label, value = previous, text
            if label_key(label) in SKU_LABELS and is_sku(value) and not outline.is_aside(piece.element):
                yield label_key(label), value.strip("() ")
        previous = text


def _bare_near_title(outline: Outline) -> Iterator[str]:
    start = max(0, outline.title_position - 10)
    for piece in outline.pieces[start : outline.title_position + NEAR_TITLE]:
        if len(piece.text) <= 25 and " " not in piece.text and is_sku(piece.text):
            yield piece.text.strip("()")


def _url_numbers(url: str) -> Iterator[str]:
    """Yield the numbers of `url` that may name the item: parameters that say so, then the path from its end."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    for name, value in parse_qsl(parts.query):
        if name.lower() in _ID_PARAMETERS and is_sku(value) and len(value) >= 4:
            yield value
    for segment in reversed(unquote(parts.path).split("/")):
        numbers = _URL_NUMBER.findall(segment) + _URL_CODE.findall(segment)
        yield from reversed(numbers)


def _plain(value: str) -> str:
    """Return `value` without separators, in lower case; a text of nothing else never matches."""
    return _PLAIN.sub("", value.lower()) or "\0"
