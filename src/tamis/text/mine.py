"""Labels mined from the words of an item by rules: phrases in one pass, contexts, and conflicts settled."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

import ahocorasick

from tamis.text.numbers import find_numbers
from tamis.text.rules import NEGATIONS, AttributeRules, Context, Rule, RuleSet
from tamis.text.tokens import Folded, ends_word, fold, is_whole, starts_word

MAX_FIELD_CHARACTERS = 20_000
PART_GAP = 2
"""Words that may stand between a colour and the part that it belongs to: `black 19-inch alloy wheels`."""

_TRUST = {"attributes": 0.97, "title": 0.92, "description": 0.75}
_RANK = {"attributes": 0, "title": 1, "description": 2}
_SEVERAL_FACTOR = 0.85
_CONTRADICTED_FACTOR = 0.8
_STOP = re.compile(r"[,;:.!?()\[\]|+&*]|\band\b|\bund\b|\bet\b|\bwith\b|\bmit\b|\bavec\b")


@dataclass(frozen=True, slots=True)
class ItemText:
    """The words of one item."""

    title: str = ""
    description: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)

    def field(self, name: str) -> str:
        """Return the text of `title`, `description` or `attributes.NAME`; names of attributes ignore case."""
        if name.startswith("attributes."):
            wanted = name.removeprefix("attributes.")
            found = self.attributes.get(wanted)
            if found is None:
                folded = wanted.casefold()
                found = next((value for key, value in self.attributes.items() if key.casefold() == folded), "")
            return found[:MAX_FIELD_CHARACTERS]
        return (self.title if name == "title" else self.description)[:MAX_FIELD_CHARACTERS]


@dataclass(frozen=True, slots=True)
class Mined:
    """One label by a rule. `evidence_span` is where in `field` the words stand."""

    attribute: str
    value: str
    confidence: float
    evidence_span: tuple[int, int]
    field: str


@dataclass(frozen=True, slots=True)
class _Match:
    rule: Rule
    start: int
    end: int
    """Span in the folded text."""


def mine(item: ItemText, rules: RuleSet) -> list[Mined]:
    """Return at most one label for each attribute that the rules find in the words of `item`.

    The longest of overlapping matches counts; among fields a stated attribute goes before the title and the
    title before the description; two values of one rank give no label unless the attribute says which.
    """
    compiled = _compiled(rules)
    matches: dict[str, _FieldMatches] = {}
    found: list[Mined] = []
    for attribute in rules.attributes:
        numeric = attribute.read is not None
        label = _mine_number(item, attribute) if numeric else _mine_value(item, attribute, compiled, matches)
        if label is not None:
            found.append(label)
    return found


class _FieldMatches:
    """A field's folded text and what matches in it, by attribute."""

    def __init__(self, text: str, compiled: _Compiled) -> None:
        self.folded = fold(text)
        self.by_attribute: dict[str, list[_Match]] = {}
        if self.folded.text:
            for match in compiled.find(self.folded.text):
                self.by_attribute.setdefault(match.rule.attribute, []).append(match)


class _Compiled:
    """All phrases of a rule set in one automaton (Aho and Corasick, 1975)."""

    def __init__(self, rules: RuleSet) -> None:
        by_phrase: dict[str, list[tuple[Rule, bool]]] = {}
        for attribute in rules.attributes:
            for rule in attribute.rules:
                for phrase in rule.phrases:
                    by_phrase.setdefault(phrase.rstrip("* "), []).append((rule, phrase.endswith("*")))
        self.patterns = [rule for entry in rules.attributes for rule in entry.rules if rule.pattern is not None]
        self.automaton = ahocorasick.Automaton()
        for phrase, owners in by_phrase.items():
            self.automaton.add_word(phrase, (len(phrase), tuple(owners)))
        if by_phrase:
            self.automaton.make_automaton()
        self.is_empty = not by_phrase
        self.fields = {entry.name: _fields(entry) for entry in rules.attributes}

    def find(self, text: str) -> Iterator[_Match]:
        if not self.is_empty:
            for last, (length, owners) in self.automaton.iter(text):
                start, end = last + 1 - length, last + 1
                if not starts_word(text, start):
                    continue
                whole = ends_word(text, end)
                for rule, is_prefix in owners:
                    if whole or is_prefix:
                        yield _Match(rule, start, end)
        for rule in self.patterns:
            assert rule.pattern is not None
            for match in rule.pattern.finditer(text):
                if match.end() > match.start():
                    yield _Match(rule, match.start(), match.end())


@lru_cache(maxsize=8)
def _compiled(rules: RuleSet) -> _Compiled:
    return _Compiled(rules)


def _mine_value(
    item: ItemText, attribute: AttributeRules, compiled: _Compiled, matches: dict[str, _FieldMatches]
) -> Mined | None:
    """Return the label of `attribute`: of the most trusted field that names a value; others may contradict it."""
    best: Mined | None = None
    for name in compiled.fields[attribute.name]:
        if name not in matches:
            matches[name] = _FieldMatches(item.field(name), compiled)
        field_matches = matches[name]
        own = field_matches.by_attribute.get(attribute.name)
        if not own:
            continue
        read_here = [match for match in own if name in attribute.fields_of(match.rule)]
        label = _settle(attribute, name, field_matches.folded, read_here)
        if label is None:
            continue
        if best is None:
            best = label
        elif label.value == best.value:
            combined = 1 - (1 - best.confidence) * (1 - 0.5 * label.confidence)
            best = replace(best, confidence=round(min(combined, 0.99), 4))
        else:
            best = replace(best, confidence=round(best.confidence * _CONTRADICTED_FACTOR, 4))
    return best


def _fields(attribute: AttributeRules) -> list[str]:
    names = [name for rule in attribute.rules for name in attribute.fields_of(rule)]
    return sorted(dict.fromkeys(names), key=lambda name: _RANK[name.split(".")[0]])


def _settle(attribute: AttributeRules, name: str, folded: Folded, found: list[_Match]) -> Mined | None:
    """Return the one value that a field speaks for, or None."""
    longest = _longest(found)
    spans = [(match.start, match.end) for match in longest]
    kept = [match for match in longest if not _is_meant_otherwise(folded.text, match, attribute, spans)]
    if not kept:
        return None
    top = max(match.rule.priority for match in kept)
    kept = [match for match in kept if match.rule.priority == top]
    values = {match.rule.value for match in kept}
    confidence = _TRUST[name.split(".", maxsplit=1)[0]]
    chosen = kept[-1] if attribute.several == "last" else kept[0]
    if len(values) > 1:
        if attribute.several == "skip":
            return None
        confidence *= _SEVERAL_FACTOR
    span = folded.span(chosen.start, chosen.end)
    return Mined(attribute.name, chosen.rule.value, round(confidence * chosen.rule.confidence, 4), span, name)


def _longest(found: list[_Match]) -> list[_Match]:
    """Return the matches without those that overlap a longer one, in order of place."""
    if len(found) < 2:
        return found
    kept: list[_Match] = []
    for match in sorted(found, key=lambda entry: (entry.start - entry.end, entry.start)):
        overlapping = [other for other in kept if match.start < other.end and other.start < match.end]
        if all((other.start, other.end) == (match.start, match.end) for other in overlapping):
            kept.append(match)
    return sorted(kept, key=lambda entry: entry.start)


def _is_meant_otherwise(text: str, match: _Match, attribute: AttributeRules, spans: list[tuple[int, int]]) -> bool:
    """Tell whether the words around `match` negate it, or give it to another part or phrase."""
    before = text[: match.start].rstrip()
    if before and before.rpartition(" ")[2] in NEGATIONS:
        return True
    if any(_swallows(text, match, context) for context in match.rule.unless):
        return True
    return bool(attribute.parts) and _names_part(text, match, attribute.parts, spans)


def _swallows(text: str, match: _Match, context: Context) -> bool:
    if context.inside:
        start = text.find(context.inside, max(0, match.start - len(context.inside)))
        while 0 <= start <= match.start:
            end = start + len(context.inside)
            if end >= match.end and is_whole(text, start, end):
                return True
            start = text.find(context.inside, start + 1)
        return False
    before, after = text[: match.start].rstrip(), text[match.end :].lstrip()
    return (not context.before or _ends_with(before, context.before)) and (
        not context.after or _starts_with(after, context.after)
    )


def _names_part(text: str, match: _Match, parts: tuple[str, ...], spans: list[tuple[int, int]]) -> bool:
    """Tell whether a part follows within a few words, with no mark and no other value between."""
    limit = min((start for start, _ in spans if start >= match.end), default=len(text))
    rest = text[match.end : min(limit, match.end + 60)]
    stop = _STOP.search(rest)
    words = rest[: stop.start() if stop else None].split()[: PART_GAP + 2]
    joined = " ".join(words)
    for start in range(min(len(words), PART_GAP + 1)):
        tail = joined.split(" ", start)[-1]
        if any(_starts_with(tail, part) for part in parts):
            return True
    return False


def _ends_with(text: str, words: str) -> bool:
    return text.endswith(words) and starts_word(text, len(text) - len(words))


def _starts_with(text: str, words: str) -> bool:
    return text.startswith(words) and ends_word(text, len(words))


def _mine_number(item: ItemText, attribute: AttributeRules) -> Mined | None:
    """Return the number that the most trusted field states; two different ones in a field give none."""
    assert attribute.read is not None
    for name in attribute.fields_of():
        text = item.field(name)
        stated = name.startswith("attributes.")
        if attribute.pattern is not None:
            spans = [
                (m.start(1) if m.re.groups else m.start(), m.group(m.re.groups and 1))
                for m in attribute.pattern.finditer(text)
            ]
        else:
            spans = [(0, text)]
        found = [
            (number, offset)
            for offset, part in spans
            for number in find_numbers(part or "", attribute.read, bare=stated or attribute.pattern is not None)
        ]
        values = {number.value for number, _ in found}
        if not found or (len(values) > 1 and attribute.several == "skip"):
            continue
        number, offset = found[-1 if attribute.several == "last" else 0]
        confidence = _TRUST[name.split(".")[0]] * (_SEVERAL_FACTOR if len(values) > 1 else 1.0)
        span = (number.start + offset, number.end + offset)
        return Mined(attribute.name, number.value, round(confidence, 4), span, name)
    return None
