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
