"""The item's photos among all pictures of a page: those that stand with a photo that is known to be the item's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import takewhile
from typing import Any
from urllib.parse import unquote, urlsplit

from tamis.extract.jsontext import walk
from tamis.extract.markup import PagePicture
from tamis.extract.outline import Outline, names_of
from tamis.extract.page import Element, Page
from tamis.extract.photos import Photos
from tamis.extract.pictures import Rendition, has_picture_extension, is_photo_url, photo_key

MAX_GALLERY = 80
MAX_ENTRY_URLS = 40
MAX_ENTRY_PHOTOS = 4
"""Different names at most under which a record of state may have the renditions of one photo."""

_NUMBER = re.compile(r"\d{6,}")
_TOKEN = re.compile(r"(?=[a-z]*\d)[a-z0-9]{5,}", re.IGNORECASE)


def gallery(
    outline: Outline, pictures: list[PagePicture], stated: list[tuple[str, ...]], documents: list[Any]
) -> list[str]:
    """Return the item's photos, each once in its largest known rendition, in the order of the page.

    `stated` holds the URLs that each source of structured data gives, the most trusted first. Photos join that the
    markup shows in the same container, or that the page's state lists in the same array; where nothing is stated,
    those nearest to the title that lead nowhere else.
    """
    seeds = stated[0] if stated else ()
    page = outline.page
    photos = Photos()
    photos.add(Rendition(url) for urls in stated for url in urls)
    own = [picture for picture in pictures if not picture.leads_away]
    for picture in own:
        photos.add(picture.renditions)
    lists = list(_picture_lists(page, documents))
    for entries in lists:
        for entry in entries:
            photos.add(entry)
    photos.join_elements([picture.renditions for picture in own])
    photos.join_elements([entry for entries in lists for entry in entries if len(entry) > 1])
    photos.join_pairs(*_mains_and_thumbs(pictures, photos))
    known = dict.fromkeys(photos.of(url) for url in seeds)
    shown = _shown_with(outline, pictures, seeds, photos)
    listed = _listed_with(lists, set(known) | set(shown), photos)
    return photos.largest(_combine(list(known), shown, listed, photos, seeds))


def _combine(
    known: list[str], shown: list[str], listed: list[str], photos: Photos, seeds: tuple[str, ...]
) -> list[str]:
    """Return the photos in order: a stated list as it is, else what is shown or listed with the stated one."""
    found = shown if len(shown) > 1 or not listed else listed
    if len(found) < len(listed) and set(found) <= set(listed):
        found = listed
    if not found:
        return known
    if len(known) == 1 and known[0] not in found and len(found) > 1:
        return found
    return list(dict.fromkeys([*known, *_of_family(found, known, photos, seeds)]))


def _of_family(found: list[str], known: list[str], photos: Photos, seeds: tuple[str, ...]) -> list[str]:
    """Return `found` without pictures from elsewhere, where the known photos show where the item's come from."""
    families = {_family(url) for url in seeds}
    same = [photo for photo in found if families & {_family(url) for url in photos.urls(photo)}]
    return same if set(same) & set(known) or len(same) > 1 else found


def _family(url: str) -> str:
    parts = urlsplit(url)
    return re.sub(r"\d", "", parts.netloc) + "/".join(parts.path.split("/")[:2])


def _shown_with(outline: Outline, pictures: list[PagePicture], seeds: tuple[str, ...], photos: Photos) -> list[str]:
    """Return the photos of the container that shows a seed, or one of the same number as a seed."""
    own = [picture for picture in pictures if not picture.leads_away and not outline.is_aside(picture.element)]
    wanted = {photos.of(url) for url in seeds}
    anchors = [picture for picture in own if photos.of(picture.renditions[0].url) in wanted]
    if not anchors and seeds:
        tokens = set().union(*map(_tokens, seeds))
        anchors = [picture for picture in own if tokens & _tokens(picture.renditions[0].url)]
    groups = [_standing_with(anchor, pictures, photos) for anchor in anchors[:12]]
    numbers = set().union(*map(_numbers, seeds))
    groups.append(_photos_of([picture for picture in own if numbers & _numbers(picture.renditions[0].url)], photos))
    if not seeds:
        groups = [_near_title(outline, own, pictures, photos)]
    return max(groups, key=len, default=[])


def _tokens(url: str) -> set[str]:
    """Return the parts of a picture's path that may be the number of an item."""
    return {token.lower() for token in _TOKEN.findall(unquote(urlsplit(url).path))}


def _numbers(url: str) -> set[str]:
    """Return the long numbers in the file name of a picture; an item's photos often share one."""
    return set(_NUMBER.findall(urlsplit(url).path.rsplit("/", 1)[-1]))


def _standing_with(anchor: PagePicture, pictures: list[PagePicture], photos: Photos) -> list[str]:
    """Climb from `anchor` to the widest container whose pictures all belong to it, and return their photos."""
    best = [photos.of(anchor.renditions[0].url)]
    container = anchor.element.getparent()
    for _ in range(9):
        if container is None or container.tag in {"body", "html"}:
            break
        held = _held(container, pictures)
        found = _photos_of(held, photos)
        if any(picture.leads_away for picture in held) or len(found) > MAX_GALLERY:
            break
        if len(best) > 1 and next(container.iter("h1"), None) is not None:
            break
        best = found or best
        container = container.getparent()
    return best


def _mains_and_thumbs(pictures: list[PagePicture], photos: Photos) -> tuple[list[str], list[str]]:
    """Return the photos of a gallery's slides and of its strip of thumbnails, where they have no URL in common."""
    thumbs = [picture for picture in pictures if not picture.leads_away and _is_thumb(picture.element)]
    if not thumbs:
        return [], []
    container = thumbs[0].element.getparent()
    for _ in range(8):
        if container is None or container.tag == "body":
            return [], []
        held = _held(container, pictures)
        mains = [picture for picture in held if not _is_thumb(picture.element)]
        if mains:
            small = [picture for picture in held if _is_thumb(picture.element)]
            return _photos_of(mains, photos), _photos_of(small, photos)
        container = container.getparent()
    return [], []


def _is_thumb(element: Element) -> bool:
    for _ in range(4):
        if element is None:
            return False
        if "thumb" in names_of(element).lower():
            return True
        element = element.getparent()
    return False


def _photos_of(pictures: list[PagePicture], photos: Photos) -> list[str]:
    return list(dict.fromkeys(photos.of(picture.renditions[0].url) for picture in pictures))


def _held(container: Element, pictures: list[PagePicture]) -> list[PagePicture]:
    """Return the pictures inside `container`; they follow each other in document order."""
    held: list[PagePicture] = []
    for picture in pictures:
        element = picture.element
        while element is not None and element is not container:
            element = element.getparent()
        if element is not None:
            held.append(picture)
        elif held:
            break
    return held


def _near_title(outline: Outline, own: list[PagePicture], pictures: list[PagePicture], photos: Photos) -> list[str]:
    """Return the photos of the smallest element around the title that holds any that lead nowhere else."""
    element, _ = outline.title
    for _ in range(8):
        if element is None:
            return []
        held = _held(element, own)
        if held:
            return _standing_with(held[0], pictures, photos)
        element = element.getparent()
    return []


def _picture_lists(page: Page, documents: list[Any]) -> Iterable[list[list[Rendition]]]:
    """Yield each array in the page's state whose entries are pictures: one list of renditions an entry."""
    for document in documents:
        for node in walk({"": document}, max_nodes=20_000):
            for value in node.values():
                if isinstance(value, list) and 2 <= len(value) <= MAX_GALLERY:
                    entries = list(takewhile(bool, (_entry(page, entry) for entry in value)))
                    if len(entries) == len(value):
                        yield entries


def _entry(page: Page, entry: Any) -> list[Rendition]:
    """Return the renditions of one photo in state; empty where `entry` is more than a picture."""
    if isinstance(entry, str):
        values: list[Any] = [entry]
    elif isinstance(entry, dict) and not any("price" in str(key).lower() for key in entry):
        values = [value for node in walk(entry, max_nodes=12) for value in node.values()]
        values += [key for node in walk(entry, max_nodes=12) for key in node if isinstance(key, str) and "/" in key]
    else:
        return []
    urls = [value for value in values if isinstance(value, str) and "/" in value and has_picture_extension(value)]
    resolved = [url for url in map(page.absolute, urls[:MAX_ENTRY_URLS]) if url and is_photo_url(url)]
    is_one_photo = len({photo_key(url) for url in resolved}) <= MAX_ENTRY_PHOTOS
    return [Rendition(url) for url in dict.fromkeys(resolved)] if is_one_photo else []


def _listed_with(lists: list[list[list[Rendition]]], wanted: set[str], photos: Photos) -> list[str]:
    """Return the photos of the longest array of state that holds one of `wanted`."""
    best: list[str] = []
    for entries in lists:
        found = list(dict.fromkeys(photos.of(entry[0].url) for entry in entries))
        if wanted & set(found) and len(found) > len(best):
            best = found
    return best
