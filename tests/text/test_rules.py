from __future__ import annotations

from pathlib import Path

import pytest

from tamis.errors import UserError
from tamis.text.rules import load_rules, merge_rules, parse_rules


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[colour]\nred = []\n", ["line 2", "colour.red", "phrases or a pattern"]),
        ("[colour]\nblue = ['blue']\nred = { phrase = ['red'] }\n", ["line 3", "colour.red.phrase", "'phrases'"]),
        ("[colour]\nred = { pattern = '(' }\n", ["line 2", "colour.red.pattern", "no regular expression"]),
        ("[colour]\n\nseveral = 'both'\nred = ['red']\n", ["line 3", "colour.several", '"skip"']),
        ("[colour]\nred = 3\n", ["line 2", "colour.red"]),
        ("[colour]\nred = { phrases = ['red'], fields = ['titel'] }\n", ["line 2", "fields", "'titel'"]),
        ("[colour]\nred = { phrases = ['red'], priority = 1.5 }\n", ["line 2", "priority", "whole number"]),
        ("[colour]\nred = { phrases = ['red'], confidence = 2 }\n", ["line 2", "confidence"]),
        ("[colour]\nred = { phrases = ['red'], unless = ['~'] }\n", ["line 2", "unless", "~"]),
        ("[year]\nread = 'years'\n", ["line 2", "year.read", "distance_km"]),
        ("colour = 1\n", ["colour", "must be a table"]),
        ("[colour]\n", ["colour", "no values"]),
        ("[colour\n", ["not valid TOML", "line 1"]),
    ],
)
def test_wrong_rules_are_refused_with_line_and_key(text: str, parts: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        parse_rules(text, "rules.toml")
    message = str(caught.value)
    assert message.startswith("rules.toml")
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_a_key_is_looked_for_below_its_own_table() -> None:
    text = "[body]\nred = ['red']\n\n[colour]\nblue = ['blue']\nred = []\n"
    with pytest.raises(UserError, match="line 6"):
        parse_rules(text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.toml"):
        load_rules(tmp_path / "nowhere.toml")


def test_later_rules_replace_an_attribute_as_a_whole() -> None:
    first = parse_rules("[colour]\nred = ['red']\n[body]\nvan = ['van']\n")
    second = parse_rules("[colour]\nblue = ['blue']\n")
    merged = merge_rules(first, second)
    assert merged.names == ("colour", "body")
    assert [rule.value for rule in merged.attributes[0].rules] == ["blue"]
