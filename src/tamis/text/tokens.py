"""Words of a text with their places, in any script, and word boundaries that hold without spaces too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

_WORD = re.compile(r"[^\W_]+(?:['’.,][^\W_]+)*", re.UNICODE)
_JOINERS = frozenset("-‐‑‒–—_/\\|\t\n\r\u00a0\u2007\u202f")
_APOSTROPHES = frozenset("’‘ʼ´`")
_PLAIN = str.maketrans(dict.fromkeys(_JOINERS | {" ", "\x0b", "\x0c"}, " ") | dict.fromkeys(_APOSTROPHES, "'"))
# Scripts that are written without spaces between words: a boundary cannot be asked of them.
_UNSPACED = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF), (0x20000, 0x2FA1F),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Token:
    """A word: `text[start:end]` of the text that it comes from."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Folded:
    """A text made comparable: lower case, joiners as spaces, one space at a time.

    `offsets[i]` is the place in the original text of character `i`, with one more entry for the end; None where
    every character kept its place.
    """

    text: str
    offsets: tuple[int, ...] | None = None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return the span of the original text that `text[start:end]` comes from."""
        if self.offsets is None:
            return start, end
        return self.offsets[start], self.offsets[end - 1] + 1 if end > start else self.offsets[start]


def tokens(text: str) -> Iterator[Token]:
    """Yield the words of `text`; `don't`, `1.5` and `12,000` are one word each."""
    for match in _WORD.finditer(text):
        yield Token(match.group(), match.start(), match.end())


def fold(text: str) -> Folded:
    """Return `text` in the form in which phrases are compared; no character moves far, see `Folded`."""
    lower = text.translate(_PLAIN).lower()
    if len(lower) == len(text) and "  " not in lower:
        return Folded(lower)
    characters: list[str] = []
    offsets: list[int] = []
    previous = ""
    for place, character in enumerate(text):
        plain = _fold_character(character)
        if plain == " " and previous == " ":
            continue
        characters.append(plain)
        offsets.append(place)
        previous = plain
    return Folded("".join(characters), (*offsets, len(text)))


def is_whole(text: str, start: int, end: int) -> bool:
    """Tell whether `text[start:end]` begins and ends at word boundaries. Scripts without spaces always do."""
    return starts_word(text, start) and ends_word(text, end)


def starts_word(text: str, start: int) -> bool:
    """Tell whether a word begins at `start`."""
    return start == 0 or not (_joins(text[start - 1]) and _joins(text[start]))


def ends_word(text: str, end: int) -> bool:
    """Tell whether a word ends before `end`."""
    return end >= len(text) or not (_joins(text[end - 1]) and _joins(text[end]))


@lru_cache(maxsize=4096)
def _fold_character(character: str) -> str:
    if character in _JOINERS or character.isspace():
        return " "
    if character in _APOSTROPHES:
        return "'"
    lower = character.lower()
    return lower if len(lower) == 1 else character


@lru_cache(maxsize=4096)
def _joins(character: str) -> bool:
    """Tell whether `character` forms one word with a neighbour of its kind."""
    if not character.isalnum():
        return False
    code = ord(character)
    return not any(first <= code <= last for first, last in _UNSPACED)
