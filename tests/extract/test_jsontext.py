from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.extract.jsontext import parse_json, walk

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 10) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "A // b, }"}',
        '/*<![CDATA[*/ {"name": "A // b, }"} /*]]>*/',
        '<!-- {"name": "A // b, }"} -->',
        '{"name": "A // b, }",}',
        '{"name": "A // b, }"}}',
        '{/* what */ "name": "A // b, }" // the name\n}',
        "{&quot;name&quot;: &quot;A // b, }&quot;}",
        "{name: 'A // b, }'}",
        ' ;{"name": "A // b, }"};',
        '\ufeff{"name": "A // b, }"}',
    ],
)
def test_json_as_pages_carry_it(text: str) -> None:
    assert parse_json(text) == {"name": "A // b, }"}


def test_control_characters_and_line_breaks_in_strings_are_read() -> None:
    assert parse_json('{"a": "x\n\ty\x01"}') == {"a": "x\n\ty\x01"}


def test_values_after_each_other_come_as_a_list() -> None:
    assert parse_json('{"a": 1} {"b": 2}') == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize("text", ["", "x", "[" * 200_000, '{"a":' * 100_000, "{" * 50_000, '"', "1" * 5000])
def test_hostile_text_is_refused_quickly(text: str) -> None:
    parse_json(text)


@given(JSON.filter(lambda value: isinstance(value, dict)))
def test_what_is_json_stays_what_it_is(value: object) -> None:
    assert parse_json(json.dumps(value)) == value


@given(st.text(alphabet='{}[]",:/*<!-&;ab01\n', max_size=60))
def test_any_text_is_read_without_an_exception(text: str) -> None:
    parse_json(text)


def test_walking_keeps_the_order_and_the_limit() -> None:
    assert [node.get("n") for node in walk({"n": 0, "a": [{"n": 1}, {"n": 2, "b": {"n": 3}}]})] == [0, 1, 2, 3]
    assert sum(1 for _ in walk([{} for _ in range(100)], max_nodes=10)) < 10
