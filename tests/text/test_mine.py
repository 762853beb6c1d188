from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.text.mine import ItemText, Mined, mine
from tamis.text.rules import parse_rules

COLOURS = parse_rules(
    """
    [colour]
    red = ["red", "crimson"]
    black = ["black"]
    white = ["white"]
    blue = { phrases = ["blue", "navy*"], unless = ["navy seal", "team ~"] }
    "sky blue" = ["sky blue"]
    """
)


def colour(title: str = "", description: str = "", **attributes: str) -> str | None:
    found = mine(ItemText(title, description, attributes), COLOURS)
    return found[0].value if found else None


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("VW Golf, Crimson, 2019", "red"),
        ("Bored driver sells car", None),
        ("RED-HOT Golf", "red"),
        ("Golf in sky-blue", "sky blue"),
        ("Golf, not red", None),
        ("Golf ohne black", None),
        ("Golf with red interior", None),
        ("Golf with red leather interior", None),
        ("White Golf with black alloy wheels", "white"),
        ("Blue Golf, black 19 inch wheels", "blue"),
        ("Red Golf black", None),
        ("A navyblue Golf", "blue"),
        ("Navy Seal edition", None),
        ("Team blue edition", None),
        ("Interior red", "red"),
        ("", None),
    ],
)
def test_words_around_a_colour_decide_what_it_means(title: str, expected: str | None) -> None:
    assert colour(title) == expected


def test_the_more_trusted_field_wins_and_contradiction_costs_confidence() -> None:
    alone = mine(ItemText(title="Red Golf"), COLOURS)[0]
    agreed = mine(ItemText(title="Red Golf", description="a crimson car"), COLOURS)[0]
    against = mine(ItemText(title="Red Golf", description="a blue car"), COLOURS)[0]
    stated = mine(ItemText(title="Red Golf", attributes={"Colour": "Blue metallic"}), COLOURS)[0]
    assert (alone.value, agreed.value, against.value, stated.value) == ("red", "red", "red", "blue")
    assert against.confidence < alone.confidence < agreed.confidence
    assert stated.field == "attributes.colour"


def test_evidence_is_the_words_in_the_field() -> None:
    title = "VW  Golf   SKY-BLUE metallic"
    label = mine(ItemText(title=title), COLOURS)[0]
    assert title[slice(*label.evidence_span)] == "SKY-BLUE"
    assert label.field == "title"


@pytest.mark.parametrize(("several", "expected"), [("skip", None), ("first", "shirt"), ("last", "bag")])
def test_several_values_of_one_rank(several: str, expected: str | None) -> None:
    rules = parse_rules(f'[kind]\nseveral = "{several}"\nshirt = ["shirt"]\nbag = ["bag"]\n')
    found = mine(ItemText(title="shirt in a bag"), rules)
    assert (found[0].value if found else None) == expected


def test_priority_goes_before_place_and_patterns_match() -> None:
    rules = parse_rules(
        "[kind]\nset = { pattern = 'set of \\d+', priority = 1 }\nshirt = ['shirt']\nt-shirt = ['t shirt']\n"
    )
    assert [label.value for label in mine(ItemText(title="T-Shirt, set of 3"), rules)] == ["set"]
    assert [label.value for label in mine(ItemText(title="T-Shirt"), rules)] == ["t-shirt"]


def test_a_rule_reads_only_its_own_fields() -> None:
    rules = parse_rules("[kind]\nvan = { phrases = ['van'], fields = ['description'] }\n")
    assert mine(ItemText(title="van"), rules) == []
    assert mine(ItemText(description="a van"), rules)[0].field == "description"


NUMBERS = parse_rules('[year]\nread = "year"\n[mileage_km]\nread = "distance_km"\n[price]\nread = "price"\n')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("VW Golf 2019, 45.000 km, 12.990 €", {"year": "2019", "mileage_km": "45000", "price": "12990"}),
        ("03/2017, 60,000 miles", {"year": "2017", "mileage_km": "96561"}),
        ("60k miles, £4,500.50", {"mileage_km": "96561", "price": "4500.5"}),
        ("120 tkm, EZ 05/18", {"mileage_km": "120000", "year": "2018"}),
        ("0-100 km/h in 8 s", {}),
        ("2000 cc engine", {}),
        ("built 2015 or 2016", {}),
        ("5 500 mil", {"mileage_km": "55000"}),
        ("mileage 2010 km", {"mileage_km": "2010"}),
    ],
)
def test_numbers_become_plain_values(text: str, expected: dict[str, str]) -> None:
    assert {label.attribute: label.value for label in mine(ItemText(description=text), NUMBERS)} == expected


def test_a_stated_number_needs_no_unit() -> None:
    item = ItemText(attributes={"mileage_km": "45 000", "year": "2018"}, title="Golf 2017")
    found = {label.attribute: label.value for label in mine(item, NUMBERS)}
    assert found == {"mileage_km": "45000", "year": "2018"}


@given(st.text(max_size=120), st.text(max_size=120))
def test_any_text_yields_at_most_one_label_an_attribute(title: str, description: str) -> None:
    item = ItemText(title, description)
    for rules in (COLOURS, NUMBERS):
        found = mine(item, rules)
        assert len({label.attribute for label in found}) == len(found)
        for label in found:
            assert_sound(item, label)


def assert_sound(item: ItemText, label: Mined) -> None:
    start, end = label.evidence_span
    assert 0 <= start < end <= len(item.field(label.field))
    assert 0 < label.confidence < 1
