"""Prices as people of a place write them, and as machines do, read to exact decimals."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from tamis.extract.currencies import SIGN_PATTERN, THREE_DECIMALS, ZERO_DECIMALS, currency_of
from tamis.extract.words import FORMER_PRICE, alternation

MAX_PRICE = Decimal(10) ** 13

_SIGN = re.compile(SIGN_PATTERN, re.IGNORECASE)
_NUMBER = re.compile(
    r"(?<![\w.,])(?:\d{1,3}(?:[\s'’´]\d{3})+(?!\d)(?:[.,]\d+)?|\d+(?:[.,٫٬'’]\d+)*)(?:[.,](?:-{1,2}|–|—))?"
)
_AMOUNT = re.compile(
    rf"(?P<before>{SIGN_PATTERN})?\s{{0,3}}[:-]?\s{{0,3}}(?P<number>{_NUMBER.pattern})\s{{0,3}}(?P<after>{SIGN_PATTERN})?"
    r"(?P<cents>(?<=€)\d\d(?!\d))?",
    re.IGNORECASE,
)
_DIGIT = re.compile(r"[^\x00-\x7f]")
_SPACES = re.compile("[\u00a0\u2000-\u200a\u202f\u205f\u3000]")
_GLUED = re.compile(rf"(?<=\d)(?=(?:{SIGN_PATTERN})(?!\d))|(?<=[^\W\d_])(?=\d)", re.IGNORECASE)
_RANGE_END = re.compile(rf"\s*(?:-|–|—|to|bis|à|a)\s*(?:{_NUMBER.pattern})\s*(?P<sign>{SIGN_PATTERN})", re.IGNORECASE)
_OLD = re.compile(rf"\b(?:{alternation(FORMER_PRICE)})[.:\s]*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Price:
    """An amount of money; `currency` is an ISO 4217 code or None where the text names none."""

    amount: Decimal
    currency: str | None = None


def parse_price(text: str, *, currency: str | None = None, place: tuple[str, ...] = ()) -> Price | None:
    """Return the price that `text` states, or None.

    Of several amounts the first that is marked by a currency and is not introduced as a former one wins; of a
    range the lower end. `currency` is taken where the text names none; `place` settles what `$` or `kr` mean.
    """
    prices = list(find_prices(text, currency=currency, place=place))
    marked = [price for price, is_marked, _ in prices if is_marked]
    current = [price for price, is_marked, is_old in prices if is_marked and not is_old]
    chosen = current or marked or [price for price, _, _ in prices]
    return chosen[0] if chosen else None


def find_prices(
    text: str, *, currency: str | None = None, place: tuple[str, ...] = ()
) -> Iterator[tuple[Price, bool, bool]]:
    """Yield each amount in `text` with whether a currency marks it and whether it is called a former price."""
    plain = _GLUED.sub(" ", to_ascii_digits(text[:2000]))
    for match in _AMOUNT.finditer(plain):
        sign = match["before"] or match["after"]
        if sign is None and (upper := _RANGE_END.match(plain, match.end())):
            sign = upper["sign"]
        code = (currency_of(sign, place) if sign else None) or currency
        number = match["number"] + ("," + match["cents"] if match["cents"] else "")
        amount = parse_amount(number, code)
        percent = plain[match.end() : match.end() + 2].lstrip().startswith("%")
        if amount is None or percent:
            continue
        yield Price(amount, code), sign is not None, bool(_OLD.search(plain[: match.start()]))


def parse_amount(number: str, currency: str | None = None) -> Decimal | None:
    """Return the value of one written number: `1.234,56`, `1,29,900`, `3 990`, `12,-`, `24.990`.

    A single separator before exactly three digits groups thousands, unless the currency has three decimals or
    the number begins with zero.
    """
    digits = re.sub(r"[.,](?:-{1,2}|–|—)$", "", to_ascii_digits(number)).replace("٫", ",").replace("٬", ".")
    digits = re.sub(r"[\s'’´]", "", digits)
    separators = re.findall(r"[.,]", digits)
    if separators:
        last = separators[-1]
        head, tail = digits.rsplit(last, 1)
        if len(set(separators)) == 2:
            is_decimal = separators.count(last) == 1
        elif len(separators) > 1:
            is_decimal = False
        else:
            is_decimal = len(tail) != 3 or head.lstrip("0") == "" or currency in THREE_DECIMALS
        head = re.sub(r"[.,]", "", head)
        digits = f"{head}.{tail}" if is_decimal else head + tail
    return _bounded(digits)


def machine_price(value: Any, currency: str | None = None) -> Decimal | None:
    """Return a price from structured data: a JSON number, or text meant for machines or, by mistake, people.

    In a currency without fractions, `3.34` is a number of thousands that lost its trailing zeros (3.340).
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        amount = _bounded(repr(value))
    else:
        text = to_ascii_digits(str(value)[:200]).strip()
        if re.fullmatch(r"\d+(?:\.\d+)?", text) and not re.fullmatch(r"[1-9]\d{0,2}\.\d{3}", text):
            amount = _bounded(text)
        else:
            price = parse_price(text, currency=currency)
            amount = price.amount if price else None
    if amount is None:
        return None
    if currency in ZERO_DECIMALS and amount < 1000 and amount != amount.to_integral_value():
        amount *= 1000
    return amount


def normalise(amount: Decimal) -> Decimal:
    """Return `amount` without meaningless zeros: two decimals at most where nothing is lost by it."""
    whole = amount.to_integral_value()
    if amount == whole:
        return whole.quantize(Decimal(1))
    cents = amount.quantize(Decimal("0.01"))
    return cents if cents == amount else amount.normalize()


def to_ascii_digits(text: str) -> str:
    """Return `text` with decimal digits of every script as ASCII and every kind of space as a plain one."""
    return _SPACES.sub(" ", _DIGIT.sub(_ascii_digit, text))


def _ascii_digit(match: re.Match[str]) -> str:
    digit = unicodedata.decimal(match.group(), None)
    return match.group() if digit is None else str(digit)


def _bounded(digits: str) -> Decimal | None:
    if len(digits) > 40:
        return None
    try:
        amount = Decimal(digits)
    except InvalidOperation:
        return None
    return normalise(amount) if amount.is_finite() and 0 < amount < MAX_PRICE else None
