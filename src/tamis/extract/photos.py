"""Which URLs of a page are renditions of one photo: by their form, and by standing in one element or record."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from tamis.extract.pictures import UNKNOWN_SIZE, Rendition, implied_size, photo_key

MAX_STEPS = 60
MAX_STRANGERS = 2
"""Elements with nothing else in common from which a URL that they share is taken for a placeholder."""

_CDN_LARGEST = (
    (re.compile(r"(?<=/)s-l\d{2,4}(?=\.\w{3,4}$)"), "s-l1600"),
    (re.compile(r"_(?:\d{2,4}x\d{0,4}|x\d{2,4}|compact|grande)(?=\.(?:jpe?g|png|webp)\?v=\d+$)"), ""),
)
"""Content networks whose URLs imply their largest rendition by a documented pattern."""


class Photos:
    """Photos of a page, each a set of renditions (a union-find over `photo_key`)."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}
        self._renditions: dict[str, dict[str, int]] = {}

    def add(self, renditions: Iterable[Rendition]) -> None:
        """Take in renditions; each is known from then on under the photo that its URL's form names."""
        for rendition in renditions:
            key = photo_key(rendition.url)
            self._parent.setdefault(key, key)
            sizes = self._renditions.setdefault(key, {})
            sizes[rendition.url] = max(sizes.get(rendition.url, 0), rendition.declared)

    def join_elements(self, elements: Iterable[Sequence[Rendition]]) -> None:
        """Join the URLs of each element: they show one photo at several sizes.

        A key that stands beside altogether different ones in several elements is a placeholder and joins nothing.
        """
        groups = [frozenset(photo_key(rendition.url) for rendition in element) for element in elements]
        groups = [group for group in dict.fromkeys(groups) if len(group) > 1]
        beside: dict[str, frozenset[str]] = {}
        strangers: Counter[str] = Counter()
        for group in groups:
            for key in group:
                others = group - {key}
                if key in beside and beside[key].isdisjoint(others):
                    strangers[key] += 1
                beside[key] = beside.get(key, frozenset()) | others
        placeholders = {key for key, count in strangers.items() if count >= MAX_STRANGERS}
        for group in groups:
            first, *rest = sorted(group - placeholders) or [""]
            for key in rest:
                self._parent[self._root(key)] = self._root(first)

    def join_pairs(self, mains: Sequence[str], thumbs: Sequence[str]) -> None:
        """Join the photos of two lists place by place, where these are as long as each other and share none."""
        if len(mains) == len(thumbs) and not set(mains) & set(thumbs):
            for main, thumb in zip(mains, thumbs, strict=True):
                self._parent[self._root(thumb)] = self._root(main)

    def of(self, url: str) -> str:
        """Return the photo that `url` shows."""
        return self._root(photo_key(url))

    def urls(self, photo: str) -> list[str]:
        """Return the known renditions of `photo`."""
        return [url for key, sizes in self._renditions.items() if self._root(key) == photo for url in sizes]

    def largest(self, photos: Iterable[str]) -> list[str]:
        """Return the largest rendition of each photo that the page names or, by what it names of others, implies."""
        wanted = list(dict.fromkeys(photos))
        members: dict[str, dict[str, int]] = {photo: {} for photo in wanted}
        for key, sizes in self._renditions.items():
            root = self._root(key)
            if root in members:
                members[root].update(sizes)
        steps = [step for sizes in members.values() for step in _enlargements(sizes)]
        steps = list(dict.fromkeys(steps))[:MAX_STEPS]
        best = [_largest_of(members[photo], steps) for photo in wanted if members[photo]]
        return list(dict.fromkeys(map(_cdn_largest, best)))

    def _root(self, key: str) -> str:
        while (parent := self._parent.get(key, key)) != key:
            self._parent[key] = self._parent.get(parent, parent)
            key = parent
        return key


def _best(sizes: dict[str, int]) -> str:
    """Return the URL of the largest rendition; of equals the first."""
    return max(sizes, key=lambda url: _size(url, sizes[url]))


def _size(url: str, declared: int) -> int:
    """Return the longest side that `url` names, else the one that its markup declares, else the usual one."""
    implied = implied_size(url)
    return declared if declared and implied == UNKNOWN_SIZE else implied


def _largest_of(sizes: dict[str, int], steps: list[tuple[str, str]]) -> str:
    """Return the largest of the renditions and of what `steps` make of them."""
    best = _best(sizes)
    implied = max((_enlarged(url, steps) for url in sizes), key=implied_size)
    return implied if implied_size(implied) > _size(best, sizes[best]) else best


def _enlargements(sizes: dict[str, int]) -> list[tuple[str, str]]:
    """Return (small, large) pieces of URLs by which renditions of this photo differ, with a mark of context each."""
    best = _best(sizes)
    steps: list[tuple[str, str]] = []
    for url in sizes:
        if url == best or photo_key(url) != photo_key(best):
            continue
        start = 0
        while start < min(len(url), len(best)) and url[start] == best[start]:
            start += 1
        end = 0
        while end < min(len(url), len(best)) - start and url[-1 - end] == best[-1 - end]:
            end += 1
        while start > 0 and url[start - 1].isalnum():
            start -= 1
        while end > 0 and url[len(url) - end].isalnum():
            end -= 1
        small, large = url[start - 1 : len(url) - end], best[start - 1 : len(best) - end]
        if 2 <= len(small) <= 60 and len(large) <= 60:
            steps.append((small, large))
    return list(dict.fromkeys(steps))


def _enlarged(url: str, steps: list[tuple[str, str]]) -> str:
    """Return `url` changed in the way in which another photo's small rendition becomes its largest, where one fits."""
    size = implied_size(url)
    for small, large in steps:
        place = url.rfind(small)
        if place < 0 or (place + len(small) < len(url) and url[place + len(small)].isalnum()):
            continue
        changed = url[:place] + large + url[place + len(small) :]
        if photo_key(changed) == photo_key(url) and implied_size(changed) > size:
            url, size = changed, implied_size(changed)
    return url


def _cdn_largest(url: str) -> str:
    for pattern, replacement in _CDN_LARGEST:
        url = pattern.sub(replacement, url)
    return url
