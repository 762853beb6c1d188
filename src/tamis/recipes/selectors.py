"""Selectors of recipes: CSS with `::text` and `::attr(name)`, and paths into the JSON that a page embeds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import cssselect
from lxml import etree

MAX_VALUES = 2_000

_PSEUDO = re.compile(r"::(text|attr\(([\w:-]+)\))$")
_STEP = re.compile(r"([^.\[\]]+)|\[(\*|-?\d+)\]|\.\.?")
_TRANSLATOR = cssselect.HTMLTranslator()


@dataclass(frozen=True, slots=True)
class CssSelector:
    """Elements by CSS; `attribute` empty reads their text."""

    source: str
    xpath: etree.XPath
    attribute: str = ""

    def values(self, root: Any, documents: Iterable[Any]) -> Iterator[Any]:
        """Yield the text or attribute of each element found below `root`."""
        del documents
        for element in self.xpath(root)[:MAX_VALUES]:
            if self.attribute:
                value = element.get(self.attribute)
                if value is not None:
                    yield value
            else:
                yield " ".join("".join(element.itertext()).split())


@dataclass(frozen=True, slots=True)
class JsonSelector:
    """A path into embedded JSON: keys, `[n]`, `[*]`. The first document that the path fits answers."""

    source: str
    steps: tuple[str | int, ...]

    def values(self, root: Any, documents: Iterable[Any]) -> Iterator[Any]:
        """Yield what the path leads to in the first of `documents` where it leads anywhere."""
        del root
        for document in documents:
            found = list(_follow(document, self.steps))
            if found:
                yield from found[:MAX_VALUES]
                return


Selector = CssSelector | JsonSelector


def parse_selector(text: str) -> Selector:
    """Return the selector that `text` writes: `json:a.b[*].c`, or CSS such as `h1.title::text`.

    Raises ValueError, with what is wrong, for text that is neither.
    """
    if text.startswith("json:"):
        return JsonSelector(text, _steps(text.removeprefix("json:")))
    pseudo = _PSEUDO.search(text)
    css = text[: pseudo.start()] if pseudo else text
    try:
        xpath = etree.XPath(_TRANSLATOR.css_to_xpath(css.strip() or "*", prefix="descendant-or-self::"))
    except (cssselect.SelectorError, etree.XPathError) as error:
        raise ValueError(f"{text!r} is no CSS selector: {error}") from error
    return CssSelector(text, xpath, (pseudo[2] or "") if pseudo else "")


def _steps(path: str) -> tuple[str | int, ...]:
    steps: list[str | int] = []
    position = 0
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            raise ValueError(f"'json:{path}' is no path: unexpected {path[position]!r} at character {position + 1}")
        if match[1]:
            steps.append(match[1])
        elif match[2]:
            steps.append("*" if match[2] == "*" else int(match[2]))
        position = match.end()
    if not steps:
        raise ValueError("'json:' needs a path, such as json:props.pageProps.listing.title")
    return tuple(steps)


def _follow(value: Any, steps: tuple[str | int, ...]) -> Iterator[Any]:
    if not steps:
        if value is not None:
            yield value
        return
    step, rest = steps[0], steps[1:]
    if step == "*":
        children = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
        for child in children[:MAX_VALUES]:
            yield from _follow(child, rest)
    elif isinstance(step, int):
        if isinstance(value, list) and -len(value) <= step < len(value):
            yield from _follow(value[step], rest)
    elif isinstance(value, dict) and step in value:
        yield from _follow(value[step], rest)
