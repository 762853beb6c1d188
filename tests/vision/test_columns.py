from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tamis.records import Relation
from tamis.vision.columns import Signature, Signatures, equal_pixels, one_of_each
from tamis.vision.signatures import PART_BYTES

rows = st.lists(
    st.builds(
        Signature,
        st.integers(1, 10**6),
        st.integers(-(2**63), 2**63 - 1),
        st.integers(-(2**63), 2**63 - 1),
        st.sampled_from(["a", "b", "cc", "d" * 32]),
        st.integers(0, 3).map(lambda count: bytes(range(PART_BYTES)) * count),
    ),
    max_size=12,
    unique_by=lambda row: row.id,
)


@given(rows)
def test_parts_know_their_owners_and_windows(given_rows: list[Signature]) -> None:
    columns = Signatures.of(given_rows)
    counts = [len(row.parts) // PART_BYTES for row in given_rows]
    owners, windows = columns.part_owners(np.arange(sum(counts)))
    assert owners.tolist() == [place for place, count in enumerate(counts) for _ in range(count)]
    assert windows.tolist() == [window for count in counts for window in range(1, count + 1)]
    assert len(columns.part_hashes()) == sum(counts)


@given(rows, st.data())
def test_some_are_taken_whole(given_rows: list[Signature], data: st.DataObject) -> None:
    places = sorted(data.draw(st.sets(st.sampled_from(range(len(given_rows))))) if given_rows else [])
    taken = Signatures.of(given_rows).take(np.array(places, dtype=np.int64))
    expected = Signatures.of(given_rows[place] for place in places)
    for name in ("ids", "phashes", "dhashes", "digests", "parts", "part_ends"):
        assert getattr(taken, name).tolist() == getattr(expected, name).tolist()


@given(rows, st.integers(0, 12))
def test_those_of_several_parts_are_those_of_all(given_rows: list[Signature], cut: int) -> None:
    joined = Signatures.joined([Signatures.of(given_rows[:cut]), Signatures.of(given_rows[cut:])])
    expected = Signatures.of(given_rows)
    for name in ("ids", "phashes", "dhashes", "digests", "parts", "part_ends"):
        assert getattr(joined, name).tolist() == getattr(expected, name).tolist()


@given(rows, st.integers(0, 12))
def test_equal_pixels_hang_together_by_as_few_relations_as_can_be(given_rows: list[Signature], cut: int) -> None:
    known, new = Signatures.of(given_rows[:cut]), Signatures.of(given_rows[cut:])
    before, _ = equal_pixels(known, Signatures.of([]), "image")
    found, standing = equal_pixels(new, known, "image")
    groups: dict[str, set[int]] = {}
    for row in given_rows:
        groups.setdefault(row.pixel_digest, set()).add(row.id)
    relations = [*before, *found]
    assert len(relations) == sum(len(group) - 1 for group in groups.values())
    for group in groups.values():
        assert hang_together(group, relations)
    assert len({given_rows[cut:][place].pixel_digest for place in standing}) == len(standing)
    assert one_of_each(known.ids, known.digests).sum() == len({row.pixel_digest for row in given_rows[:cut]})


def hang_together(group: set[int], relations: list[Relation]) -> bool:
    reached = {min(group)}
    for _ in group:
        for relation in relations:
            pair = {relation.first_id, relation.second_id}
            if pair <= group and pair & reached:
                reached |= pair
    return reached == group
