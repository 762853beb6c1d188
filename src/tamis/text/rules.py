"""Rules that turn words into labels, as a user writes them in `rules.toml`.

```toml
[colour]
red = ["red", "crimson"]
blue = { phrases = ["blue", "navy*"], unless = ["navy seal", "~ stitching"], priority = 1 }
several = "first"                    # "skip" (no label), "first" or "last" where a title names two values

[mileage_km]
read = "distance_km"                 # a number: "year", "distance_km", "price" or "number"
fields = ["attributes.Kilometerstand", "description"]
```
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tamis.errors import UserError
from tamis.text.tokens import fold

Several = Literal["skip", "first", "last"]
NumberKind = Literal["year", "distance_km", "price", "number"]

_NEGATIONS = """
not no non without isn't never, nicht kein keine ohne, sans pas, senza, sin, zonder geen, bez nie,
не без, inte utan, ikke uden, sem não
"""
_OTHER_PARTS = """
interior, inside, wheels, wheel, rims, rim, alloys, seats, seat, upholstery, roof, soft top, calipers, brakes,
stitching, dashboard, carpet, trim, mirrors, stripes, innenraum, innenausstattung, felgen, sitze, dach, polster,
intérieur, jantes, sièges, toit, interni, cerchi, sedili, tetto, llantas, asientos, interieur, velgen
"""
NEGATIONS = frozenset(_NEGATIONS.replace(",", " ").split())
"""Words that, standing before a phrase, turn it round."""
OTHER_PARTS = tuple(part.strip() for part in _OTHER_PARTS.split(","))
"""Parts whose colour is not that of the thing; they count for attributes that are named after colour."""

_OPTIONS = ("read", "fields", "several", "unless", "parts", "pattern")
_RULE_KEYS = ("phrases", "pattern", "unless", "fields", "priority", "confidence")
_KINDS = ("year", "distance_km", "price", "number")


@dataclass(frozen=True, slots=True)
class Context:
    """Words around a phrase that make it mean something else: `before`, the phrase, `after`, all folded.

    With both empty, `inside` is a longer phrase that swallows the match.
    """

    before: str = ""
    after: str = ""
    inside: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """Phrases and a pattern that speak for one value of an attribute."""

    attribute: str
    value: str
    phrases: tuple[str, ...] = ()
    """Folded; a final `*` matches words that begin so."""
    pattern: re.Pattern[str] | None = None
    unless: tuple[Context, ...] = ()
    fields: tuple[str, ...] = ()
    """Fields that the rule reads; empty: those of the attribute."""
    priority: int = 0
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class AttributeRules:
    """All that is said of one attribute. `read` names the kind of a numeric one, which has no rules."""

    name: str
    rules: tuple[Rule, ...] = ()
    fields: tuple[str, ...] = ()
    several: Several = "skip"
    parts: tuple[str, ...] = ()
    read: NumberKind | None = None
    pattern: re.Pattern[str] | None = None

    def fields_of(self, rule: Rule | None = None) -> tuple[str, ...]:
        """Return the fields to read, the most trusted first: stated attributes, title, description."""
        return (rule.fields if rule else ()) or self.fields or (f"attributes.{self.name}", "title", "description")


@dataclass(frozen=True, slots=True, eq=False)
class RuleSet:
    """The rules of a project, by attribute. Compared by identity, so that what is compiled from it can be kept."""

    attributes: tuple[AttributeRules, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the attributes that have rules."""
        return tuple(entry.name for entry in self.attributes)


def load_rules(path: Path) -> RuleSet:
    """Return the rules in the TOML file `path`.

    Raises UserError with file, line and key for a file that cannot be read, an unknown key or a wrong value.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: the rules cannot be read: {error}") from error
    return parse_rules(text, str(path))


def parse_rules(text: str, name: str = "rules.toml") -> RuleSet:
    """Return the rules that the TOML document `text` writes; `name` stands in errors. Raises UserError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{name}: is not valid TOML: {error}") from error
    reader = _Reader(name, text)
    return RuleSet(tuple(reader.attribute(key, value) for key, value in document.items()))


class _Reader:
    """Turns TOML tables into rules and finds the line of what is wrong."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.lines = text.splitlines()

    def attribute(self, name: str, table: Any) -> AttributeRules:
        if not isinstance(table, dict):
            raise self.wrong((name,), "must be a table of values, such as [colour]")
        options = {key: table[key] for key in _OPTIONS if key in table}
        shared = self.contexts((name, "unless"), options.get("unless", []))
        rules = tuple(self.rule(name, value, given, shared) for value, given in table.items() if value not in _OPTIONS)
        read = options.get("read")
        if read is not None and (read not in _KINDS or rules):
            raise self.wrong((name, "read"), f"must be one of {', '.join(_KINDS)}, in a table without values")
        if read is None and not rules:
            raise self.wrong((name,), 'has no values; write one as red = ["red", "crimson"]')
        several = options.get("several", "skip")
        if several not in ("skip", "first", "last"):
            raise self.wrong((name, "several"), 'must be "skip", "first" or "last"')
        is_colour = "colour" in name.lower() or "color" in name.lower()
        parts = (
            self.texts((name, "parts"), options["parts"]) if "parts" in options else OTHER_PARTS if is_colour else ()
        )
        return AttributeRules(
            name=name,
            rules=rules,
            fields=self.fields((name, "fields"), options.get("fields", [])),
            several=several,
            parts=tuple(fold(part).text for part in parts),
            read=read,
            pattern=self.pattern((name, "pattern"), options.get("pattern")),
        )

    def rule(self, attribute: str, value: str, given: Any, shared: tuple[Context, ...]) -> Rule:
        table = {"phrases": given} if isinstance(given, list | str) else given
        if not isinstance(table, dict):
            raise self.wrong((attribute, value), "must be a list of phrases or a table")
        for key in table:
            if key not in _RULE_KEYS:
                near = difflib.get_close_matches(key, _RULE_KEYS, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"allowed are {', '.join(_RULE_KEYS)}"
                raise self.wrong((attribute, value, key), f"unknown key; {hint}")
        phrases = self.texts((attribute, value, "phrases"), table.get("phrases", []))
        pattern = self.pattern((attribute, value, "pattern"), table.get("pattern"))
        if not phrases and pattern is None:
            raise self.wrong((attribute, value), "needs phrases or a pattern")
        priority, confidence = table.get("priority", 0), table.get("confidence", 1.0)
        if type(priority) is not int:
            raise self.wrong((attribute, value, "priority"), "must be a whole number")
        if not isinstance(confidence, int | float) or isinstance(confidence, bool) or not 0 < confidence <= 1:
            raise self.wrong((attribute, value, "confidence"), "must be a number above 0, at most 1")
        return Rule(
            attribute=attribute,
            value=value,
            phrases=tuple(fold(phrase).text.strip() for phrase in phrases),
            pattern=pattern,
            unless=shared + self.contexts((attribute, value, "unless"), table.get("unless", [])),
            fields=self.fields((attribute, value, "fields"), table.get("fields", [])),
            priority=priority,
            confidence=float(confidence),
        )

    def contexts(self, path: tuple[str, ...], value: Any) -> tuple[Context, ...]:
        found: list[Context] = []
        for text in self.texts(path, value):
            folded = fold(text).text.strip()
            before, tilde, after = folded.partition("~")
            if not tilde:
                found.append(Context(inside=folded))
            elif before.strip() or after.strip():
                found.append(Context(before.strip(), after.strip()))
            else:
                raise self.wrong(path, "~ needs a word before or after it")
        return tuple(found)

    def fields(self, path: tuple[str, ...], value: Any) -> tuple[str, ...]:
        names = self.texts(path, value)
        for name in names:
            if name not in ("title", "description") and not re.fullmatch(r"attributes\..+", name):
                raise self.wrong(path, f"{name!r} must be title, description or attributes.NAME")
        return names

    def pattern(self, path: tuple[str, ...], value: Any) -> re.Pattern[str] | None:
        if value is None:
            return None
        if not isinstance(value, str):
            raise self.wrong(path, "must be a regular expression in quotes")
        try:
            return re.compile(value, re.IGNORECASE)
        except re.error as error:
            raise self.wrong(path, f"{value!r} is no regular expression: {error}") from error

    def texts(self, path: tuple[str, ...], value: Any) -> tuple[str, ...]:
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(text, str) and text.strip(" *") for text in values):
            raise self.wrong(path, "must be a list of texts, none of them empty")
        return tuple(values)

    def wrong(self, path: tuple[str, ...], problem: str) -> UserError:
        return UserError(f"{self.name}, line {self.line_of(path)}: {'.'.join(path)}: {problem}")

    def line_of(self, path: tuple[str, ...]) -> int:
        """Return the line of the deepest part of `path` that can be found below its table's heading."""
        table = re.compile(rf"""^\s*\[\s*["']?{re.escape(path[0])}["']?\s*[\].]""")
        start = next((index for index, line in enumerate(self.lines) if table.match(line)), 0)
        found = start
        for key in path[1:]:
            entry = re.compile(rf"""(?:^\s*(?:\[[^\]]*\.)?|[{{,]\s*)["']?{re.escape(key)}["']?\s*[=\]]""")
            found = next((n for n in range(found, len(self.lines)) if entry.search(self.lines[n])), found)
        return found + 1


def merge_rules(first: RuleSet, second: RuleSet) -> RuleSet:
    """Return the rules of both; for an attribute in both, the tables of `second` count."""
    by_name: Mapping[str, AttributeRules] = {entry.name: entry for entry in (*first.attributes, *second.attributes)}
    return RuleSet(tuple(by_name.values()))
