"""What a reader of the page sees: the price near the title, whether it can be bought, the description."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from tamis.extract.currencies import has_sign, place_of
from tamis.extract.outline import Outline, Piece, names_of, short_text
from tamis.extract.page import Element, clean_text
from tamis.extract.prices import Price, find_prices
from tamis.extract.words import BUY, GONE, IN_STOCK, label_key

MAX_PRICE_TEXT = 90
WINDOW = (80, 400)
"""How many pieces of text before and after the title are looked at."""

_DIGIT = re.compile(r"\d")
_SPLIT_CENTS = re.compile(r"(?<![\d.,])(\d{1,3}(?:[.,\s]\d{3})*|\d+)\s*[.,]?\s(\d\d)(?!\d|\s*\d|\s*%|[.,]\d)")
_PERCENT = re.compile(r"^\D{0,12}\d+(?:[.,]\d+)?\s*%\D{0,12}$")
_PRICE_NAME = re.compile(
    r"pric|preis|prix|prezz|preci|preco|cena|prijs|pris|amount|fiyat|hinta|цен|buybox", re.IGNORECASE
)
_CURRENT_NAME = re.compile(
    r"current|sale|now|final|offer|special|actual|main|primary|product-?price|our|deal|buybox|selling|today|promo|discounted|priceblock",
    re.IGNORECASE,
)
_FORMER_NAME = re.compile(
    r"old|was|barr(?:ed|ato|é)|durchgestrichen|tachado|list-?price|strike|rrp|msrp|before|former|cross|regular|original|previous|uvp|per-?unit|unit-?price"
    r"|base-?price|shipping|delivery|versand|saving|save|installment|instalment|month|rata|cuota|finance|credit|tax|cart"
    r"|basket|total|secondary|discount-?(?:amount|percent)|cashback|points|coupon|addon|warranty|insurance|retail",
    re.IGNORECASE,
)
_HIDDEN_NAME = re.compile(r"\bhidden?\b|\bd-none\b|\bhide\b")
_STRUCK = {"del", "s", "strike"}
_BUTTON_NAME = re.compile(r"btn|button", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class VisiblePrice:
    """A price that the page shows: how likely it is the item's (higher is likelier), and where it stands."""

    price: Price
    score: float
    position: int


def visible_prices(outline: Outline) -> list[VisiblePrice]:
    """Return the prices that the page shows, the likeliest price of the item first."""
    place = place_of(outline.page.host, outline.page.language)
    seen: set[Element] = set()
    found: list[VisiblePrice] = []
    start = max(0, outline.title_position - WINDOW[0])
    for position in range(start, min(len(outline.pieces), outline.title_position + WINDOW[1])):
        piece = outline.pieces[position]
        if len(piece.text) > MAX_PRICE_TEXT or not _DIGIT.search(piece.text) or _PERCENT.match(piece.text):
            continue
        block = _price_block(outline.pieces, position, piece)
        if block is None or block[0] in seen:
            continue
        seen.add(block[0])
        price = _price_in(block[1], place)
        if price is not None:
            score = _score(outline, block[0], block[1], position - outline.title_position)
            if score > -50:
                found.append(VisiblePrice(price, score, position))
        if len(found) > 400:
            break
    return sorted(found, key=lambda entry: -entry.score)


def shown_amounts(prices: list[VisiblePrice]) -> dict[Decimal, float]:
    """Return the best score of each amount shown."""
    best: dict[Decimal, float] = {}
    for entry in prices:
        best.setdefault(entry.price.amount, entry.score)
    return best


def visible_availability(outline: Outline) -> str | None:
    """Return what the main part of the page says: sold out near the title, else a button that buys."""
    if says_gone(outline):
        return "OutOfStock"
    return "InStock" if has_buy_button(outline) or _says_in_stock(outline) else None


def _says_in_stock(outline: Outline) -> bool:
    near = outline.pieces[outline.title_position : outline.title_position + 60]
    keys = (label_key(piece.text) for piece in near if len(piece.text) <= 40 and not outline.is_aside(piece.element))
    return any(key in IN_STOCK or key.rpartition(" ")[0] in IN_STOCK for key in keys)


def says_gone(outline: Outline) -> bool:
    """Tell whether a text near the title says that the item is sold out."""
    if outline.is_gone is None:
        outline.is_gone = _finds_gone(outline)
    return outline.is_gone


def _finds_gone(outline: Outline) -> bool:
    near = outline.pieces[max(0, outline.title_position - 40) : outline.title_position + 250]
    return any(
        len(piece.text) <= 60
        and label_key(piece.text.rstrip("!")) in GONE
        and not _is_hidden(piece.element)
        and not outline.is_aside(piece.element)
        for piece in near
    )


def has_buy_button(outline: Outline) -> bool:
    """Tell whether the main part of the page offers to buy, bid on or ask for the item."""
    if outline.can_be_bought is None:
        outline.can_be_bought = _finds_buy_button(outline)
    return outline.can_be_bought


def _finds_buy_button(outline: Outline) -> bool:
    for button in outline.page.root.iter("button", "input", "a"):
        if button.tag == "input" and (button.get("type") or "") not in {"submit", "button", "image"}:
            continue
        if button.tag == "a" and button.get("role") != "button" and not _BUTTON_NAME.search(names_of(button)):
            continue
        label = clean_text(button.get("value") or button.get("title") or "") or (short_text(button, 60) or "")
        if not BUY.search(label) or outline.is_aside(button):
            continue
        if button.get("disabled") is None and "disabled" not in names_of(button).lower():
            return True
    near = outline.pieces[max(0, outline.title_position - 20) : outline.title_position + 120]
    return any(len(p.text) <= 30 and BUY.match(p.text) and not outline.is_aside(p.element) for p in near)


def visible_description(outline: Outline) -> str | None:
    """Return the longest text that its author calls a description and that does not hold half the page."""
    best = ""
    for element in outline.page.root.iter("div", "section", "p", "article", "span"):
        given = element.attrib
        named = given and (
            "description" in given.get("class", "").lower()
            or "description" in given.get("id", "").lower()
            or given.get("itemprop") == "description"
        )
        if not named or outline.is_aside(element):
            continue
        text = short_text(element, 8_000) or ""
        if len(text) > len(best):
            best = text
    return best if len(best) >= 10 else None


def _price_block(pieces: list[Piece], position: int, piece: Piece) -> tuple[Element, str] | None:
    """Return the smallest short element around `piece` whose text has both a digit and a currency sign."""
    near = " ".join(
        other.text for other in pieces[max(0, position - 2) : position + 4] if len(other.text) < MAX_PRICE_TEXT
    )
    named = _is_price_name(piece.element)
    if not has_sign(near) and not named:
        return None
    element = piece.element
    for _ in range(4):
        text = short_text(element, MAX_PRICE_TEXT)
        if text is None:
            return None
        if has_sign(text):
            return element, text
        parent = element.getparent()
        if parent is None:
            return None
        element = parent
    return (piece.element, piece.text) if named else None


def _price_in(text: str, place: tuple[str, ...]) -> Price | None:
    joined = _SPLIT_CENTS.sub(r"\1,\2", text) if _SPLIT_CENTS.search(text) else text
    prices = list(find_prices(joined, place=place))
    marked = [price for price, is_marked, is_old in prices if is_marked and not is_old]
    if marked:
        return marked[0]
    return prices[0][0] if len(prices) == 1 and not prices[0][2] else None


def _is_price_name(element: Element) -> bool:
    for _ in range(3):
        if element is None:
            return False
        if _name_flags(names_of(element))[0] or (element.get("itemprop") or "") == "price":
            return True
        element = element.getparent()
    return False


@lru_cache(maxsize=8192)
def _name_flags(names: str) -> tuple[bool, bool, bool, bool]:
    """Return whether class and id speak of a price, of the current one, of a former one, and of being hidden."""
    return (
        _PRICE_NAME.search(names) is not None,
        _CURRENT_NAME.search(names) is not None,
        _FORMER_NAME.search(names) is not None,
        _HIDDEN_NAME.search(names) is not None,
    )


def _is_hidden(element: Element) -> bool:
    for _ in range(8):
        if element is None:
            return False
        style = element.get("style")
        if style and "display:none" in style.replace(" ", "").lower():
            return True
        if element.get("hidden") is not None or _name_flags(names_of(element))[3]:
            return True
        element = element.getparent()
    return False


def _on_card_of_another(outline: Outline, block: Element) -> bool:
    """Tell whether `block` stands in a link to another page, or in a list entry that shows a picture with one."""
    element = block
    for _ in range(8):
        if element is None or element.tag in {"body", "main", "html"}:
            return False
        if element.tag == "a" and outline.page.leads_away(element.get("href")):
            return True
        if element.tag == "li":
            return any(
                outline.page.leads_away(link.get("href")) and link.find(".//img") is not None
                for link in element.iter("a")
            )
        element = element.getparent()
    return False


def _score(outline: Outline, block: Element, text: str, distance: int) -> float:
    """Rate a price by names, marks and its distance from the title in pieces of text."""
    if _on_card_of_another(outline, block):
        return -100.0
    score = 30.0 - (distance * 0.12 if distance >= 0 else 8 - distance * 0.3)
    score = max(score, -20.0)
    score += 6 if len(text) <= 25 else -4
    element, depth = block, 0
    while element is not None and depth < 7:
        if element.tag in _STRUCK:
            return -100.0
        weight = 1.0 if depth < 4 else 0.5
        is_price, is_current, is_former, _ = _name_flags(names_of(element))
        if is_price or element.get("itemprop") == "price":
            score += 6 * weight
        if is_current and depth < 4:
            score += 4 * weight
        if is_former and depth < 4:
            score -= 24 if depth == 0 else 14
        element, depth = element.getparent(), depth + 1
    if outline.is_aside(block):
        score -= 25
    if _is_hidden(block):
        score -= 10
    return score
