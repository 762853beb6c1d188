from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.extract.currencies import currency_of, place_of
from tamis.extract.prices import Price, machine_price, parse_amount, parse_price


@pytest.mark.parametrize(
    ("text", "amount", "currency"),
    [
        ("1.234,56 €", "1234.56", "EUR"),
        ("CLP 24.990", "24990", "CLP"),
        ("3 990 kr", "3990", "SEK"),
        ("₹1,29,900", "129900", "INR"),
        ("£12.50", "12.50", "GBP"),
        ("12,- €", "12", "EUR"),
        ("EUR 1'299.–", "1299", "EUR"),
        ("CHF 1’234.50", "1234.50", "CHF"),
        ("Was £20.00 Now £15.00", "15", "GBP"),
        ("statt 99 € 79 €", "79", "EUR"),
        ("10 – 20 €", "10", "EUR"),
        ("1 299,00 zł", "1299", "PLN"),
        ("R$ 1.299,90", "1299.90", "BRL"),
        ("19€99", "19.99", "EUR"),
        ("٩٩ ر.س", "99", "SAR"),
        ("44 890 тг", "44890", "KZT"),
        ("30,000원", "30000", "KRW"),
        ("50% off $30", "30", "USD"),
        ("KWD 12.500", "12.50", "KWD"),
        ("1 234 567 ₽", "1234567", "RUB"),
        ("NT$210", "210", "TWD"),
        ("4 x £5.00", "5", "GBP"),
        ("1299,00Kč", "1299", "CZK"),
        ("USD 0.999", "0.999", "USD"),
    ],
)
def test_prices_as_people_write_them(text: str, amount: str, currency: str) -> None:
    assert parse_price(text) == Price(Decimal(amount), currency)


@pytest.mark.parametrize("text", ["", "free", "0 €", "€", "price on request", "-", "1" * 60])
def test_what_is_no_price_is_none(text: str) -> None:
    assert parse_price(text) is None


@pytest.mark.parametrize(
    ("host", "language", "sign", "currency"),
    [
        ("shop.cl", "es", "$", "CLP"),
        ("shop.com", "en-au", "$", "AUD"),
        ("shop.com", "en", "$", "USD"),
        ("butikk.no", "nb", "kr", "NOK"),
        ("shop.com.pk", "en", "Rs", "PKR"),
        ("shop.com", "zh", "¥", "CNY"),
    ],
)
def test_the_place_says_what_an_ambiguous_sign_means(host: str, language: str, sign: str, currency: str) -> None:
    assert currency_of(sign, place_of(host, language)) == currency


@pytest.mark.parametrize(
    ("value", "currency", "amount"),
    [
        (24.99, "EUR", "24.99"),
        ("10.1400", "EUR", "10.14"),
        ("24.990", "CLP", "24990"),
        ("3.34", "CLP", "3340"),
        ("1,299.00", "USD", "1299"),
        ("13,40", "EUR", "13.40"),
        (1e400, "EUR", None),
        (True, "EUR", None),
        ("null", "EUR", None),
        (-5, "EUR", None),
    ],
)
def test_prices_as_machines_write_them(value: object, currency: str, amount: str | None) -> None:
    assert machine_price(value, currency) == (None if amount is None else Decimal(amount))


@given(st.decimals(min_value="0.01", max_value="9999999", places=2), st.sampled_from([".,", ",.", " ,", "'.", "’."]))
def test_an_amount_survives_every_notation(amount: Decimal, separators: str) -> None:
    thousands, point = separators[0], separators[1]
    written = f"{amount:,.2f}".replace(",", "\0").replace(".", point).replace("\0", thousands)
    assert parse_amount(written) == amount
    price = parse_price(f"{written} €")
    assert price is not None
    assert price.amount == amount


@given(st.text(max_size=200))
def test_any_text_is_read_without_an_exception(text: str) -> None:
    parse_price(text)
    machine_price(text)
