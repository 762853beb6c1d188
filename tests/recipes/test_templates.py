from __future__ import annotations

from pathlib import Path

import pytest

from tamis.recipes import load_recipe
from tamis.settingsfile import load_settings
from tamis.templates import create_project, templates
from tamis.text.mine import ItemText, mine
from tamis.text.rules import load_rules

NAMES = ["cars", "fashion"]


def test_both_starters_are_offered() -> None:
    assert set(NAMES) <= set(templates())


@pytest.mark.parametrize("name", NAMES)
def test_a_starter_becomes_a_project_whose_rules_label_its_own_classes(tmp_path: Path, name: str) -> None:
    create_project(tmp_path / "mine", name)
    settings = load_settings(tmp_path / "mine")
    assert settings.project.name == "mine"
    assert all(load_recipe(source.recipe, tmp_path).name for source in settings.source.values())
    rules = load_rules(tmp_path / "mine" / settings.mine.rules)
    for attribute in rules.attributes:
        if attribute.name in settings.attribute:
            classes = settings.attribute[attribute.name].classes
            assert {rule.value for rule in attribute.rules} <= set(classes), attribute.name


def test_the_car_rules_read_a_listing(tmp_path: Path) -> None:
    create_project(tmp_path / "cars", "cars")
    rules = load_rules(tmp_path / "cars" / "rules.toml")
    item = ItemText("VW Golf Variant Kombi 2019, red, 45.000 km", "Black wheels, red interior.", {})
    found = {label.attribute: label.value for label in mine(item, rules)}
    assert found == {"colour": "red", "body": "estate", "year": "2019", "mileage_km": "45000"}


def test_the_fashion_rules_read_a_title(tmp_path: Path) -> None:
    create_project(tmp_path / "fashion", "fashion")
    rules = load_rules(tmp_path / "fashion" / "rules.toml")
    found = {label.attribute: label.value for label in mine(ItemText("Acme Men Navy Blue T-shirt"), rules)}
    assert found == {"type": "t-shirt", "colour": "blue", "gender": "men"}
