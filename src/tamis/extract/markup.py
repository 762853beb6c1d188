"""The pictures that a page's markup shows, with all their renditions: attributes, source sets, links, styles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tamis.extract.outline import names_of
from tamis.extract.page import Element, Page
from tamis.extract.pictures import Rendition, has_picture_extension, is_photo_url, parse_srcset

MAX_PICTURES = 600
SMALLEST_SIDE = 60
LARGE, SMALL = 1_900, 120
"""Longest sides taken for attributes whose names promise a large or a small rendition."""

_TAGS = ("img", "source", "a", "div", "span", "li", "button", "figure", "section", "picture")
_ALWAYS = frozenset({"img", "source", "picture"})
_LARGE_NAME = re.compile(r"zoom|large|big|full|hi-?res|hd|orig|max|huge", re.IGNORECASE)
_SMALL_NAME = re.compile(r"thumb|small|mini|preview|tiny|sd", re.IGNORECASE)
_OTHER_NAME = re.compile(r"hover|rollover|second|swap|back|alt|video|poster|logo|gallery|images$", re.IGNORECASE)
_NO_URL = frozenset(
    {"class", "id", "alt", "title", "style", "srcset", "data-srcset", "data-lazy-srcset", "sizes", "name"}
)
_SOURCE_SETS = ("srcset", "data-srcset", "data-lazy-srcset")
_STYLE_URL = re.compile(r"url\(\s*[\"']?([^\"')]+)")
_JSON_URL = re.compile(r'"((?:https?:)?(?:\\?/){2}[^"\s]{4,600})"')
_GALLERY_NAME = re.compile(
    r"galler|carousel|slider|slick|swiper|thumb|photo|image|media|zoom|picture|bild|foto", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class PagePicture:
    """A picture that the markup shows: its element, its renditions, and whether it only leads to another page."""

    element: Element
    renditions: tuple[Rendition, ...]
    leads_away: bool
    """Stands inside a link to another page, as a thumbnail of another item does."""


def page_pictures(page: Page) -> list[PagePicture]:
    """Return the pictures in the page's markup in document order; logos, icons and tiny ones left out.

    An image takes in the renditions of an element around it that holds no other image: its link, its slide.
    """
    found: list[PagePicture] = []
    holder: tuple[Element, list[Rendition]] | None = None
    for element in page.root.iter(*_TAGS):
        tag = element.tag
        given = list(_renditions(page, element)) if tag in _ALWAYS or _may_show(element) else []
        if not given and tag != "picture":
            continue
        if holder is not None and not _is_inside(element, holder[0]):
            _keep(page, found, *holder)
            holder = None
        if tag == "picture" or (given and tag not in {"img", "source"} and sum(1 for _ in element.iter("img")) <= 1):
            if holder is None:
                holder = (element, given)
            else:
                holder[1].extend(given)
        elif holder is not None and tag in {"img", "source"}:
            holder[1].extend(given)
        elif given:
            _keep(page, found, element, given)
        if len(found) >= MAX_PICTURES:
            return found
    if holder is not None:
        _keep(page, found, *holder)
    return found


def _keep(page: Page, found: list[PagePicture], element: Element, renditions: list[Rendition]) -> None:
    if renditions and not _is_tiny(element):
        unique = tuple(dict.fromkeys(renditions))
        found.append(PagePicture(element, unique, _leads_away(page, element)))


def _is_inside(element: Element, container: Element) -> bool:
    for _ in range(12):
        if element is None:
            return False
        if element is container:
            return True
        element = element.getparent()
    return False


def _may_show(element: Element) -> bool:
    """Tell, at little cost, whether `element` may name a picture."""
    values = " ".join(element.values()).lower()
    return ".jp" in values or ".png" in values or ".webp" in values or ".avif" in values


def _renditions(page: Page, element: Element) -> Iterator[Rendition]:
    seen: set[str] = set()
    for reference, declared in _references(element):
        url = page.absolute(reference)
        if url and url not in seen and is_photo_url(url):
            seen.add(url)
            yield Rendition(url, declared)


def _references(element: Element) -> Iterator[tuple[str, int]]:
    """Yield the picture references of an element's attributes with the longest side that each declares, or 0."""
    given = dict(element.items())
    for name, value in given.items():
        if name in _NO_URL or not value:
            continue
        if value.startswith(("{", "[")):
            if name != "data-gallery":
                yield from ((match.replace("\\/", "/"), 0) for match in _JSON_URL.findall(value[:20_000]))
        elif name == "src" and element.tag == "img":
            yield value, 0
        elif has_picture_extension(value) and " " not in value.strip() and not _OTHER_NAME.search(name):
            hint = LARGE if _LARGE_NAME.search(name) else SMALL if _SMALL_NAME.search(name) else 0
            yield value, hint
    for name in _SOURCE_SETS:
        if name in given:
            yield from parse_srcset(given[name])
    style = given.get("style") or ""
    if "url(" in style:
        yield from ((match, 0) for match in _STYLE_URL.findall(style))


def _is_tiny(element: Element) -> bool:
    """Tell whether the markup shows the picture at the size of an icon. A gallery's thumbnail may be small."""
    sides = [element.get(name) or "" for name in ("width", "height")]
    known = [int(side.removesuffix("px")) for side in sides if side.removesuffix("px").isdecimal() and len(side) < 8]
    return bool(known) and max(known) < SMALLEST_SIDE and not _GALLERY_NAME.search(_names_around(element, 4))


def _names_around(element: Element, levels: int) -> str:
    names: list[str] = []
    while element is not None and levels > 0:
        names.append(names_of(element))
        element, levels = element.getparent(), levels - 1
    return " ".join(names)


def _leads_away(page: Page, element: Element) -> bool:
    for _ in range(6):
        if element is None:
            return False
        if element.tag == "a":
            return page.leads_away(element.get("href"))
        element = element.getparent()
    return False
