"""Numbers that a text states: years, distances in kilometres, prices, as plain values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from tamis.text.rules import NumberKind

KM_PER_MILE = Decimal("1.609344")

_YEAR = re.compile(
    r"(?<![\d.,])(?:(?:0?[1-9]|1[0-2])\s?[/.-]\s?)?((?:19[2-9]|20[0-4])\d)(?![\d]|[.,]\d|\s?(?:km|miles|mi\b|€|\$|£|cc\b|ccm|kg|hp|ps\b|w\b|mah))",
    re.IGNORECASE,
)
_SHORT_YEAR = re.compile(r"(?<![\d.,/])(?:0[1-9]|1[0-2])/(\d\d)(?![\d/])|(?<!\w)'(\d\d)(?!\d)")
_AMOUNT = r"\d{1,3}(?:[.,\s'’]\d{3})+(?!\d)(?:[.,]\d{1,2}(?!\d))?|\d+(?:[.,]\d+)?"
_DISTANCE = re.compile(
    rf"(?<![\d.,])({_AMOUNT})\s*(k|t|tys\.?|тыс\.?)?\s*(kilomet\w*|kms?|км|miles?|mls|mi|mil)(?!\w|/|\s?per\b)|(?<![\d.,])(\d{{1,3}})\s*k\s*(miles?|mi)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(rf"(?<![\w.,])-?(?:{_AMOUNT})(?![\w])")
_PRICE = re.compile(
    rf"(?:€|£|\$|₹|¥|eur|usd|gbp|chf|inr|pln|zł|kč|kr\.?|rs\.?)\s*({_AMOUNT})|({_AMOUNT})(?:,-|\.-)?\s*(?:€|£|\$|₹|¥|eur\b|euro\b|usd\b|gbp\b|chf\b|inr\b|pln\b|zł|kč|kr\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class NumberFound:
    """A number and where it stands: `value` is plain (`2019`, `45000`, `12.5`)."""

    value: str
    start: int
    end: int


def find_numbers(text: str, kind: NumberKind, *, bare: bool = False) -> Iterator[NumberFound]:
    """Yield the numbers of `kind` in `text`.

    With `bare` the text is a stated attribute, such as `45 000`, where the unit may be left out.
    """
    if kind == "year":
        yield from _years(text)
    elif kind == "distance_km":
        found = list(_distances(text))
        yield from found or (_plain(text) if bare else ())
    elif kind == "price":
        prices = [_found(match, match[1] or match[2]) for match in _PRICE.finditer(text)]
        yield from [price for price in prices if price] or (_plain(text) if bare else ())
    else:
        yield from _plain(text)


def plain_number(written: str) -> Decimal | None:
    """Return the value of a number with separators of any kind; a single one before three digits groups thousands."""
    digits = re.sub(r"[\s'’]", "", written)
    separators = re.findall(r"[.,]", digits)
    if separators:
        last = separators[-1]
        head, tail = digits.rsplit(last, 1)
        groups = len(tail) == 3 and head.lstrip("-") not in {"", "0"}
        is_decimal = (len(set(separators)) == 2 and separators.count(last) == 1) or (
            len(separators) == 1 and not groups
        )
        digits = re.sub(r"[.,]", "", head) + ("." if is_decimal else "") + tail
    try:
        return Decimal(digits)
    except InvalidOperation:
        return None


def _years(text: str) -> Iterator[NumberFound]:
    for match in _YEAR.finditer(text):
        yield NumberFound(match[1], match.start(1), match.end(1))
    for match in _SHORT_YEAR.finditer(text):
        short = int(match[1] or match[2])
        yield NumberFound(str(short + (2000 if short < 50 else 1900)), match.start(), match.end())


def _distances(text: str) -> Iterator[NumberFound]:
    for match in _DISTANCE.finditer(text):
        amount = plain_number(match[1] or match[4])
        if amount is None:
            continue
        unit = (match[3] or match[5]).lower()
        if match[2] or match[4]:
            amount *= 1000
        if unit in {"mi", "mile", "miles", "mls"}:
            amount *= KM_PER_MILE
        elif unit == "mil":
            amount *= 10
        kilometres = int(amount.to_integral_value())
        if kilometres <= 3_000_000:
            yield NumberFound(str(kilometres), match.start(), match.end())


def _plain(text: str) -> Iterator[NumberFound]:
    for match in _NUMBER.finditer(text):
        found = _found(match, match.group())
        if found:
            yield found


def _found(match: re.Match[str], written: str) -> NumberFound | None:
    value = plain_number(written)
    if value is None or abs(value) > 10**13:
        return None
    whole = value.to_integral_value()
    shown = str(whole.quantize(Decimal(1))) if value == whole else format(value.normalize(), "f")
    return NumberFound(shown, match.start(), match.end())
