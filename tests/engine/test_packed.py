from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.engine.packed import Packed


@dataclass(frozen=True, slots=True)
class Thing:
    thing_id: int
    name: str
    weight: float
    raw: bytes
    tags: dict[str, int]


things = st.lists(
    st.builds(
        Thing,
        st.integers(-(2**62), 2**62),
        st.one_of(st.text(), st.none()),
        st.one_of(st.floats(allow_nan=False), st.none()),
        st.binary(),
        st.dictionaries(st.text(), st.integers()),
    ),
    unique_by=lambda thing: thing.thing_id,
)


@given(things)
def test_records_come_back_as_they_were(given_things: list[Thing]) -> None:
    packed = Packed(Thing)
    packed.extend(given_things)
    assert list(packed) == given_things
    assert packed[1:3] == given_things[1:3]
    assert [packed.find(thing.thing_id) for thing in given_things] == given_things
    assert packed.find(2**62 + 1) is None


def test_places_beyond_the_end_are_refused() -> None:
    packed = Packed(Thing)
    packed.extend([Thing(1, "a", 0.5, b"", {})])
    assert packed[-1].name == "a"
    with pytest.raises(IndexError):
        packed[1]


@given(things, things)
def test_what_is_packed_and_joined_comes_back(first: list[Thing], second: list[Thing]) -> None:
    parts = [Packed(Thing), Packed(Thing)]
    for part, given_things in zip(parts, (first, second), strict=True):
        part.extend(given_things)
    parts[0].join(parts[1])
    assert list(parts[0]) == [*first, *second]


@dataclass(frozen=True, slots=True)
class Plain:
    plain_id: int
    name: str
    weight: float
    raw: bytes


plains = st.lists(
    st.builds(Plain, st.integers(-(2**62), 2**62), st.text(), st.floats(allow_nan=False), st.binary()), max_size=9
)


@given(plains, plains)
def test_bytes_bring_the_records_back(first: list[Plain], second: list[Plain]) -> None:
    packed, found = Packed(Plain), Packed(Plain)
    packed.extend(second)
    found.extend(first)
    raw = packed.pack("as of now")
    assert raw is not None
    read = Packed.over(Plain, raw, "as of now")
    assert read is not None
    assert list(read) == second
    assert [read.find(row.plain_id) in second for row in second] == [True] * len(second)
    found.join(read)
    assert list(found) == [*first, *second]
    texts, ends = found.texts("raw")
    assert texts.tobytes() == b"".join(row.raw for row in [*first, *second])
    assert ends.tolist() == [sum(len(row.raw) for row in found[: place + 1]) for place in range(len(found))]
    assert found.numbers("weight").tolist() == [row.weight for row in found]


def test_other_damaged_or_foreign_bytes_are_refused() -> None:
    packed = Packed(Plain)
    packed.extend([Plain(1, "a", 0.5, b"xyz")])
    raw = packed.pack("then")
    assert raw is not None
    for wrong in (raw[:-1], raw[:-1] + b"?", raw.replace(b"[8", b"[7"), b"", b"{}\n", b"[1]\n", b"\x00" * 50):
        assert Packed.over(Plain, wrong, "then") is None
    assert Packed.over(Plain, raw, "now") is None
    assert Packed.over(Thing, raw, "then") is None


def test_a_column_with_none_is_not_packed() -> None:
    packed = Packed(Plain)
    packed.extend([Plain(1, "a", None, b"")])  # type: ignore[arg-type]
    assert packed.pack("now") is None
