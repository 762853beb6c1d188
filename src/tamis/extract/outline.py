"""The visible text of a page in reading order, and where its title stands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache

from lxml import etree

from tamis.extract.page import Element, Page, clean_text, element_text

MAX_PIECES = 20_000

_TEXTS = etree.XPath("//body/descendant::text()[normalize-space()]")
_UNSEEN_TAGS = frozenset({"noscript", "option", "textarea", "script", "style"})
_ASIDE_TAGS = frozenset({"header", "nav", "footer", "aside"})
_WORD = re.compile(r"\w+")
_ASIDE = re.compile(
    r"(?:^|[-_\s])(?:related|recommend\w*|similar|upsell|cross-?sell\w*|carousel-?reco|also|recently|viewed|history|sponsored|footer|"
    r"header|nav|navigation|breadcrumbs?|menu|mini-?cart|minicart|basket|reviews?|cookie|newsletter|suggest\w*|teaser|bundle|accessor\w+)"
    r"(?:$|[-_\s])",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Piece:
    """One run of visible text and the element that shows it."""

    text: str
    element: Element


class Outline:
    """Visible text in reading order."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.pieces: list[Piece] = []
        self._aside: dict[Element, bool] = {}
        self.can_be_bought: bool | None = None
        """Whether the page offers to buy the item; None until somebody has looked."""
        self.is_gone: bool | None = None
        """Whether the page says that the item is sold out; None until somebody has looked."""
        self.labelled_numbers: list[tuple[str, str]] | None = None
        """Labels and article numbers that the page shows; None until somebody has looked."""
        for node in _TEXTS(page.root)[:MAX_PIECES]:
            owner = node.getparent()
            if node.is_tail:
                owner = owner.getparent()
            if owner is not None and owner.tag not in _UNSEEN_TAGS and (text := clean_text(str(node))):
                self.pieces.append(Piece(text, owner))
        # What holds the title is no aside, even where it is a header element.
        element = self.title[0]
        while element is not None:
            self._aside[element] = False
            element = element.getparent()

    @cached_property
    def title(self) -> tuple[Element | None, str]:
        """The heading that names the item, and its text: the one that shares most words with the page's title."""
        declared = " ".join(filter(None, (self.page.meta("og:title"), self.page.document_title)))
        headings = [(element, text) for element, text in self.page.headings if len(text) <= 400]
        if headings and declared:
            scored = [(overlap(text, declared), -index) for index, (_, text) in enumerate(headings)]
            score, negative_index = max(scored)
            if score > 0.3:
                return headings[-negative_index]
        named = self._element_named(self.page.declared_titles)
        if named is not None:
            return named
        return headings[0] if headings else (None, "")

    @cached_property
    def title_position(self) -> int:
        """Index of the piece that holds the title; 0 where there is none."""
        element, _ = self.title
        if element is None:
            return 0
        inside = set(element.iter())
        return next((index for index, piece in enumerate(self.pieces) if piece.element in inside), 0)

    def is_aside(self, element: Element) -> bool:
        """Tell whether `element` stands in a part that shows something else: related items, navigation, footer."""
        path: list[Element] = []
        verdict = False
        while element is not None and element.tag not in {"body", "html"}:
            known = self._aside.get(element)
            if known is not None:
                verdict = known
                break
            path.append(element)
            if element.tag in _ASIDE_TAGS or _says_aside(names_of(element)):
                verdict = True
                break
            element = element.getparent()
        for passed in path:
            self._aside[passed] = verdict
        return verdict

    def _element_named(self, titles: list[str]) -> tuple[Element, str] | None:
        """Return the first element outside of links that shows one of `titles`, the longest title first."""
        for wanted in sorted(titles, key=len, reverse=True):
            folded = wanted.casefold()
            if len(wanted) < 4:
                continue
            for piece in self.pieces:
                if len(piece.text) == len(wanted) and piece.text.casefold() == folded and piece.element.tag != "a":
                    return piece.element, piece.text
        return None


def overlap(text: str, reference: str) -> float:
    """Return the share of the words of `text` that stand in `reference`, case ignored."""
    words = words_of(text)
    return len(words & words_of(reference)) / len(words) if words else 0.0


@lru_cache(maxsize=2048)
def words_of(text: str) -> frozenset[str]:
    """Return the words of `text` in lower case."""
    return frozenset(_WORD.findall(text.casefold()))


@lru_cache(maxsize=8192)
def _says_aside(names: str) -> bool:
    return _ASIDE.search(names) is not None


def names_of(element: Element) -> str:
    """Return the class and id of `element`, by which authors say what it is."""
    return f"{element.get('class') or ''} {element.get('id') or ''}"


def short_text(element: Element, limit: int) -> str | None:
    """Return the text of `element` unless it is longer than `limit` characters."""
    text = element_text(element, limit + 40)
    return text if len(text) <= limit else None
