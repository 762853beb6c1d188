"""Currency codes and signs, and which of them a place means by an ambiguous sign (ISO 4217)."""

from __future__ import annotations

import re
from functools import lru_cache

CODES = frozenset(
    [
        "AED",
        "AFN",
        "ALL",
        "AMD",
        "AOA",
        "ARS",
        "AUD",
        "AZN",
        "BAM",
        "BDT",
        "BGN",
        "BHD",
        "BND",
        "BOB",
        "BRL",
        "BWP",
        "BYN",
        "CAD",
        "CDF",
        "CHF",
        "CLP",
        "CNY",
        "COP",
        "CRC",
        "CUP",
        "CZK",
        "DKK",
        "DOP",
        "DZD",
        "EGP",
        "ETB",
        "EUR",
        "FJD",
        "GBP",
        "GEL",
        "GHS",
        "GTQ",
        "HKD",
        "HNL",
        "HRK",
        "HUF",
        "IDR",
        "ILS",
        "INR",
        "IQD",
        "IRR",
        "ISK",
        "JMD",
        "JOD",
        "JPY",
        "KES",
        "KGS",
        "KHR",
        "KRW",
        "KWD",
        "KZT",
        "LAK",
        "LBP",
        "LKR",
        "LYD",
        "MAD",
        "MDL",
        "MGA",
        "MKD",
        "MMK",
        "MNT",
        "MOP",
        "MUR",
        "MVR",
        "MWK",
        "MXN",
        "MYR",
        "MZN",
        "NAD",
        "NGN",
        "NIO",
        "NOK",
        "NPR",
        "NZD",
        "OMR",
        "PAB",
        "PEN",
        "PGK",
        "PHP",
        "PKR",
        "PLN",
        "PYG",
        "QAR",
        "RON",
        "RSD",
        "RUB",
        "RWF",
        "SAR",
        "SDG",
        "SEK",
        "SGD",
        "SYP",
        "THB",
        "TJS",
        "TMT",
        "TND",
        "TRY",
        "TTD",
        "TWD",
        "TZS",
        "UAH",
        "UGX",
        "USD",
        "UYU",
        "UZS",
        "VES",
        "VND",
        "XAF",
        "XOF",
        "XPF",
        "YER",
        "ZAR",
        "ZMW",
        "ZWL",
    ]
)
ZERO_DECIMALS = frozenset(
    [
        "CLP",
        "COP",
        "CRC",
        "HUF",
        "IDR",
        "IQD",
        "IRR",
        "ISK",
        "JPY",
        "KHR",
        "KRW",
        "LAK",
        "LBP",
        "MMK",
        "PYG",
        "RWF",
        "UGX",
        "VND",
        "XAF",
        "XOF",
        "XPF",
    ]
)
"""Currencies whose prices are written without a fraction in shops."""
THREE_DECIMALS = frozenset(["BHD", "JOD", "KWD", "LYD", "OMR", "TND"])

_SIGNS = {
    "€": "EUR", "£": "GBP", "₤": "GBP", "₹": "INR", "₽": "RUB", "₴": "UAH", "₩": "KRW", "₫": "VND", "₪": "ILS",
    "₱": "PHP", "฿": "THB", "₺": "TRY", "₦": "NGN", "₡": "CRC", "₲": "PYG", "₸": "KZT", "₼": "AZN", "₾": "GEL",
    "₵": "GHS", "₮": "MNT", "៛": "KHR", "֏": "AMD", "৳": "BDT", "﷼": "IRR", "원": "KRW", "円": "JPY", "元": "CNY",
    "圓": "TWD", "руб": "RUB", "р.": "RUB", "грн": "UAH", "тг": "KZT", "тенге": "KZT", "лв": "BGN", "zł": "PLN",
    "zl": "PLN", "kč": "CZK", "дин": "RSD", "ден": "MKD",
    "fr.": "CHF", "sfr": "CHF", "r$": "BRL", "us$": "USD", "usd$": "USD", "a$": "AUD", "au$": "AUD", "c$": "CAD",
    "ca$": "CAD", "cad$": "CAD", "nz$": "NZD", "hk$": "HKD", "s$": "SGD", "nt$": "TWD", "mx$": "MXN", "s/": "PEN",
    "s/.": "PEN", "b/.": "PAB", "ksh": "KES", "kshs": "KES",
    "dh": "MAD", "dhs": "AED", "د.إ": "AED", "ر.س": "SAR", "ريال": "SAR", "ر.ق": "QAR", "د.ك": "KWD", "ج.م": "EGP",
    "د.ب": "BHD", "ر.ع": "OMR", "₨": "Rs", "rs": "Rs", "rs.": "Rs", "درهم": "AED", "تومان": "IRR", "ש\"ח": "ILS",
    "บาท": "THB", "đ": "VND", "vnđ": "VND", "fcfa": "XOF", "cfa": "XOF", "¥": "¥", "￥": "¥", "$": "$", "＄": "$",
    "kr": "kr", "kr.": "kr", "euro": "EUR", "euros": "EUR", "eur": "EUR", "dollars": "$", "pesos": "$",
}  # fmt: skip
_DOLLARS = {
    "ar": "ARS", "au": "AUD", "bb": "BBD", "bo": "USD", "bz": "BZD", "ca": "CAD", "cl": "CLP", "co": "COP",
    "do": "DOP", "fj": "FJD", "hk": "HKD", "jm": "JMD", "mx": "MXN", "na": "NAD", "nz": "NZD", "sg": "SGD",
    "tt": "TTD", "tw": "TWD", "uy": "UYU", "us": "USD", "bn": "BND",
}  # fmt: skip
_CROWNS = {
    "se": "SEK",
    "sv": "SEK",
    "no": "NOK",
    "nb": "NOK",
    "nn": "NOK",
    "dk": "DKK",
    "da": "DKK",
    "is": "ISK",
    "fo": "DKK",
    "gl": "DKK",
}
_RUPEES = {
    "in": "INR",
    "hi": "INR",
    "pk": "PKR",
    "ur": "PKR",
    "lk": "LKR",
    "si": "LKR",
    "np": "NPR",
    "ne": "NPR",
    "mu": "MUR",
    "sc": "SCR",
}
_YEN_OR_YUAN = {"cn": "CNY", "zh": "CNY", "jp": "JPY", "ja": "JPY"}
_AMBIGUOUS = {"$": (_DOLLARS, "USD"), "kr": (_CROWNS, "SEK"), "Rs": (_RUPEES, "INR"), "¥": (_YEN_OR_YUAN, "JPY")}
_BY_COUNTRY = {
    "ae": "AED", "at": "EUR", "be": "EUR", "bg": "BGN", "br": "BRL", "ch": "CHF", "cn": "CNY", "cz": "CZK",
    "de": "EUR", "ee": "EUR", "eg": "EGP", "es": "EUR", "fi": "EUR", "fr": "EUR", "gb": "GBP", "gr": "EUR",
    "hr": "EUR", "hu": "HUF", "id": "IDR", "ie": "EUR", "il": "ILS", "in": "INR", "ir": "IRR", "it": "EUR",
    "jp": "JPY", "ke": "KES", "kr": "KRW", "kz": "KZT", "lt": "EUR", "lu": "EUR", "lv": "EUR", "ma": "MAD",
    "my": "MYR", "ng": "NGN", "nl": "EUR", "pe": "PEN", "ph": "PHP", "pk": "PKR", "pl": "PLN", "pt": "EUR",
    "ro": "RON", "rs": "RSD", "ru": "RUB", "sa": "SAR", "si": "EUR", "sk": "EUR", "th": "THB", "tr": "TRY",
    "ua": "UAH", "uk": "GBP", "vn": "VND", "za": "ZAR", "se": "SEK", "no": "NOK", "dk": "DKK", "is": "ISK",
    "lk": "LKR", "np": "NPR", "bd": "BDT",
} | _DOLLARS  # fmt: skip

# Too like other words in lower case (feet, room, all, try …): matched in this case alone.
_CASED = {"Ft": "HUF", "RM": "MYR", "Rp": "IDR", "TL": "TRY", "Lei": "RON", "lei": "RON", "Bs": "BOB"}

_WORD_SIGNS = sorted((sign for sign in _SIGNS if sign[0].isalpha() and len(sign) > 1), key=len, reverse=True)
_PLAIN_SIGNS = sorted((sign for sign in _SIGNS if sign not in _WORD_SIGNS), key=len, reverse=True)
SIGN_PATTERN = (
    "(?:"
    + "|".join(map(re.escape, _PLAIN_SIGNS))
    + r"|(?<![^\W\d_])(?:"
    + "|".join(map(re.escape, _WORD_SIGNS))
    + "|(?-i:"
    + "|".join(sorted(CODES | _CASED.keys()))
    + r"))(?![^\W\d_]))"
)
"""Matches one currency sign, word or code (use with `re.IGNORECASE`)."""


_SYMBOLS = (
    frozenset("".join(_PLAIN_SIGNS))
    - set("./")
    - {sign for sign in "".join(_PLAIN_SIGNS) if sign.isascii() and sign.isalpha()}
)
_WORDS = frozenset(sign.rstrip("./") for sign in _SIGNS if sign[0].isalpha())
_WORD = re.compile(r"[^\W\d_]+")


def has_sign(text: str) -> bool:
    """Tell whether `text` may hold a currency sign, word or code: a quick test before `SIGN_PATTERN`."""
    if not _SYMBOLS.isdisjoint(text):
        return True
    return any(word in CODES or word in _CASED or word.lower() in _WORDS for word in _WORD.findall(text))


@lru_cache(maxsize=512)
def place_of(host: str, language: str) -> tuple[str, ...]:
    """Return the country codes and languages that a host name and a language tag hint at, the surest first."""
    hints: list[str] = []
    labels = host.split(".")
    if len(labels[-1]) == 2:
        hints.append(labels[-1])
    parts = [part for part in language.split("-") if part]
    if len(parts) > 1 and len(parts[-1]) == 2:
        hints.append(parts[-1])
    first = labels[0].split("-") if labels else []
    hints += [label for label in first if len(label) == 2 and first != labels[-1:]]
    if parts:
        hints.append(parts[0])
    return tuple(hints)


def currency_of(sign: str, place: tuple[str, ...] = ()) -> str | None:
    """Return the ISO code that `sign` (a sign, word or code) means at `place` (see `place_of`)."""
    trimmed = sign.strip()
    if trimmed.upper() in CODES:
        return trimmed.upper()
    meaning = _CASED.get(trimmed) or _SIGNS.get(trimmed.lower())
    if meaning in _AMBIGUOUS:
        by_place, otherwise = _AMBIGUOUS[meaning]
        return next((by_place[hint] for hint in place if hint in by_place), otherwise)
    return meaning


def currency_at(place: tuple[str, ...]) -> str | None:
    """Return the currency of the first country that `place` names; languages do not count."""
    return next((_BY_COUNTRY[hint] for hint in place[:2] if hint in _BY_COUNTRY), None)
