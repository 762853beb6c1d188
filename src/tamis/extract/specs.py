"""Spec tables: definition lists, two-column tables and labelled rows as pairs of label and value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from tamis.extract.outline import Outline
from tamis.extract.page import Element, element_text

MAX_PAIRS = 300
MAX_ROWS = 15_000
MAX_LABEL, MAX_VALUE = 60, 300

_COLON = re.compile(r"^([^:：]{2,45})\s*[:：]\s+(\S.{0,250})$")
_LABEL = re.compile(r"[^\W\d_]")

_SKU_VALUE = re.compile(r"^[A-Za-z0-9][\w./\-#+]{1,39}(?: [\w./\-]{1,15}){0,3}$")


def spec_pairs(outline: Outline) -> dict[str, str]:
    """Return label and value of every spec row that belongs to the item, in document order, first value wins."""
    found: dict[str, str] = {}
    for label, value, element in _pairs(outline.page.root):
        key = label.strip(" :：*•\u200e").strip()
        if not (0 < len(key) <= MAX_LABEL and 0 < len(value) <= MAX_VALUE) or key in found:
            continue
        if not _LABEL.search(key) or key.casefold() == value.casefold() or outline.is_aside(element):
            continue
        found[key] = value
        if len(found) >= MAX_PAIRS:
            break
    return found


def is_sku(value: str) -> bool:
    """Tell whether `value` looks like an article number: short, with a digit."""
    text = value.strip("() ")
    return bool(_SKU_VALUE.match(text)) and any(character.isdigit() for character in text) and len(text) <= 40


def _pairs(root: Element) -> Iterator[tuple[str, str, Element]]:
    """Yield label, value and element of each row, in document order."""
    for element in islice(root.iter("dt", "tr", "li", "p", "div"), MAX_ROWS):
        tag = element.tag
        if tag == "dt":
            sibling = element.getnext()
            if sibling is not None and sibling.tag == "dd":
                yield element_text(element, 200), element_text(sibling, 600), element
        elif tag == "tr":
            cells = list(element)
            if len(cells) == 2 and cells[0].tag in {"th", "td"} and cells[1].tag == "td":
                yield element_text(cells[0], 200), element_text(cells[1], 600), element
        elif tag == "div":
            if len(element) == 2:
                yield from _labelled_block(element)
        elif len(element) <= 3 and not (len(element) == 1 and element[0].tag == "a"):
            yield from _labelled_entry(element)


def _labelled_block(block: Element) -> Iterator[tuple[str, str, Element]]:
    """Yield the pair of a block with two children of which the first is a label with a colon."""
    if len(block[0]) > 1 or len(block[1]) > 3:
        return
    label = element_text(block[0], 100)
    if label.endswith((":", "：")):
        yield label, element_text(block[1], 600), block


def _labelled_entry(entry: Element) -> Iterator[tuple[str, str, Element]]:
    """Yield the pair of a list entry: two children, or `label: value` in one text."""
    text = element_text(entry, 400)
    if not 3 <= len(text) <= 350:
        return
    match = _COLON.match(text)
    if match:
        yield match[1], match[2], entry
    elif len(entry) == 2 and entry.find(".//a") is None and entry.find(".//img") is None:
        label, value = element_text(entry[0], 100), element_text(entry[1], 400)
        if label and value:
            yield label, value, entry
