"""Clusters: keepers, policies, protected images, people's verdicts, and no chains of look-alikes."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.records import ClusterMember, Relation, RelationKind
from tamis.vision.clusters import Clustering, Pair, cluster
from tamis.vision.keepers import Facts


def relation(first: int, second: int, kind: RelationKind = "edited", score: float = 0.9) -> Relation:
    return Relation("image", min(first, second), max(first, second), kind, score, 3)


def as_dict(members: list[ClusterMember]) -> dict[int, tuple[int, str]]:
    return {member.member_id: (member.keeper_id, member.kind) for member in members}


SIZES = {identity: Facts(pixels=1000 - identity, sharpness=float(identity)) for identity in range(20)}


def test_the_largest_keeps_and_its_copies_follow() -> None:
    members = cluster([relation(1, 2), relation(1, 3, "recompressed", 0.97)], Clustering(), facts=SIZES)
    assert as_dict(members) == {1: (1, "keeper"), 2: (1, "edited"), 3: (1, "recompressed")}
    assert [member.score for member in members] == [1.0, 0.9, 0.97]


@pytest.mark.parametrize("score", [0.7, 0.97])
def test_the_two_sides_of_a_symmetric_thing_do_not_join_by_a_mirrored_copy(score: float) -> None:
    left = [relation(1, 2, "recompressed", 0.99), relation(1, 3, "recompressed", 0.99), relation(2, 3, score=0.99)]
    mirrored = relation(2, 4, "mirrored", 0.99)
    crossing = relation(4, 5, "edited", score)
    found = as_dict(cluster([*left, mirrored, crossing], Clustering(), facts=SIZES))
    assert set(found) == {1, 2, 3, 4}
    direct = relation(3, 5, "mirrored", 0.6)
    assert set(as_dict(cluster([*left, mirrored, crossing, direct], Clustering(), facts=SIZES))) == {1, 2, 3, 4, 5}


def test_one_mirrored_copy_that_joined_the_other_side_does_not_bring_its_own_after_it() -> None:
    left, right = ([relation(a, b, score=0.99) for a, b in ((i, i + 1), (i, i + 2), (i + 1, i + 2))] for i in (1, 11))
    stray = [relation(10, 11, score=0.99), relation(10, 12, score=0.99), relation(1, 10, "mirrored", 0.96)]
    found = as_dict(cluster([*left, *right, *stray], Clustering(), facts=SIZES))
    assert {found[member][0] for member in (1, 2, 3)} != {found[member][0] for member in (11, 12, 13)}
    more = [relation(2, 12, "mirrored", 0.9)]
    assert (
        len(
            {
                keeper
                for keeper, _ in as_dict(cluster([*left, *right, *stray, *more], Clustering(), facts=SIZES)).values()
            }
        )
        == 1
    )


def test_the_poorest_copies_of_two_look_alikes_do_not_join_them() -> None:
    groups = [
        relation(a, b, score=0.99) for first in (1, 11) for a, b in permutations(range(first, first + 3), 2) if a < b
    ]
    tie = relation(3, 13, score=0.7)
    apart = [relation(1, 11, "same_scene", 0.04), relation(2, 12, "same_scene", 0.04)]

    def keepers(*more: Relation, verdicts: dict[Pair, bool] | None = None) -> set[int]:
        found = cluster([*groups, tie, *more], Clustering(), facts=SIZES, verdicts=verdicts)
        return {member.keeper_id for member in found}

    assert keepers() == {1}
    assert keepers(apart[0]) == {1}
    assert keepers(*apart) == {1, 11}
    assert keepers(*apart, relation(2, 13, score=0.93)) == {1}
    assert keepers(*apart, verdicts={(3, 13): True}) == {1}


def test_look_alikes_do_not_chain() -> None:
    chain = [relation(1, 2), relation(2, 3), relation(3, 4)]
    assert as_dict(cluster(chain, Clustering(), facts=SIZES)) == {
        1: (1, "keeper"),
        2: (1, "edited"),
        3: (3, "keeper"),
        4: (3, "edited"),
    }


def test_strong_relations_chain() -> None:
    strong = [relation(1, 2, score=0.97), relation(2, 3, score=0.96), relation(3, 4)]
    found = as_dict(cluster(strong, Clustering(), facts=SIZES))
    assert found == {1: (1, "keeper"), 2: (1, "edited"), 3: (1, "edited"), 4: (1, "edited")}
    assert len(as_dict(cluster(strong, Clustering(strong=0.99), facts=SIZES))) == 4
    assert {keeper for keeper, _ in as_dict(cluster(strong, Clustering(strong=0.99), facts=SIZES)).values()} == {1, 3}


def test_equal_pixels_chain() -> None:
    edges = [relation(1, 2, "same_pixels", 1.0), relation(2, 3, "same_pixels", 1.0), relation(3, 4)]
    found = as_dict(cluster(edges, Clustering(), facts=SIZES))
    assert found == {1: (1, "keeper"), 2: (1, "same_pixels"), 3: (1, "same_pixels"), 4: (1, "edited")}


def test_the_threshold_and_the_kinds_decide() -> None:
    edges = [
        relation(1, 2, score=0.6),
        relation(3, 4, "mirrored"),
        relation(5, 6, "rotated"),
        relation(7, 8, "same_scene"),
    ]
    assert set(as_dict(cluster(edges, Clustering(), facts=SIZES))) == {1, 2, 3, 4}
    strict = Clustering(threshold=0.7, mirrored=False, rotated=True)
    assert set(as_dict(cluster(edges, strict, facts=SIZES))) == {5, 6}
    assert cluster(edges, Clustering(level="region"), facts=SIZES) == []


def test_a_labelled_image_stays_the_keeper() -> None:
    edges = [relation(1, 2), relation(1, 3)]
    found = as_dict(cluster(edges, Clustering(), facts=SIZES, protected={3}))
    assert found == {1: (3, "edited"), 3: (3, "keeper")}
    assert as_dict(cluster([*edges, relation(2, 3)], Clustering(), facts=SIZES, protected={3}))[2] == (3, "edited")


def test_people_have_the_last_word() -> None:
    edges = [relation(1, 2), relation(1, 3, "same_pixels", 1.0)]
    found = as_dict(cluster(edges, Clustering(), facts=SIZES, verdicts={(1, 2): False, (1, 9): True}))
    assert found == {1: (1, "keeper"), 3: (1, "same_pixels"), 9: (1, "confirmed")}
    divided = as_dict(cluster([relation(1, 2), relation(1, 3)], Clustering(), facts=SIZES, verdicts={(2, 3): False}))
    assert divided == {1: (1, "keeper"), 2: (1, "edited")}


def test_what_people_join_chains_and_keeps_its_kind_where_it_is_known() -> None:
    found = as_dict(cluster([relation(1, 2), relation(2, 3)], Clustering(), facts=SIZES, verdicts={(2, 3): True}))
    assert found == {1: (1, "keeper"), 2: (1, "edited"), 3: (1, "edited")}
    weak = [relation(1, 2), relation(2, 3, "mirrored", 0.1)]
    assert as_dict(cluster(weak, Clustering(), facts=SIZES, verdicts={(2, 3): True}))[3] == (1, "confirmed")


@given(
    st.lists(st.booleans(), min_size=10, max_size=10),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.floats(0.5, 1.0)), max_size=20),
)
def test_the_kind_tells_whether_a_member_mirrors_its_keeper(
    flipped: list[bool], pairs: list[tuple[int, int, float]]
) -> None:
    edges = [
        relation(first, second, "mirrored" if flipped[first] != flipped[second] else "edited", score)
        for first, second, score in {(min(a, b), max(a, b)): (a, b, score) for a, b, score in pairs if a != b}.values()
    ]
    for member in cluster(edges, Clustering(strong=0.7), facts=SIZES):
        assert (member.kind == "mirrored") == (flipped[member.member_id] != flipped[member.keeper_id])


IDS = st.integers(0, 9)
EDGES = st.lists(
    st.builds(
        relation,
        IDS,
        IDS,
        st.sampled_from(["same_pixels", "recompressed", "edited", "mirrored", "same_scene"]),
        st.floats(0.2, 1.0),
    ).filter(lambda edge: edge.first_id != edge.second_id),
    max_size=14,
    unique_by=lambda edge: (edge.first_id, edge.second_id),
)
VERDICTS = st.dictionaries(st.tuples(IDS, IDS).filter(lambda pair: pair[0] < pair[1]), st.booleans(), max_size=5)


@given(EDGES, st.sets(IDS, max_size=3), VERDICTS, st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_laws_of_clusters(
    edges: list[Relation], protected: set[int], verdicts: dict[Pair, bool], random: object
) -> None:
    members = cluster(edges, Clustering(), facts=SIZES, protected=protected, verdicts=verdicts)
    homes = {member.member_id: member.keeper_id for member in members}
    assert len(homes) == len(members), "each id is in one cluster"
    for member in members:
        assert homes[member.keeper_id] == member.keeper_id
        assert (member.kind == "keeper") == (member.member_id == member.keeper_id)
        if member.member_id in protected:
            assert member.keeper_id in protected
    for (first, second), same in verdicts.items():
        assert same or homes.get(first, -1) != homes.get(second, -2), "those told apart stay apart"
    assert all(list(homes.values()).count(keeper) > 1 for keeper in homes.values())
    for shuffled in list(permutations(edges))[:6] if len(edges) < 6 else [edges[::-1]]:
        assert cluster(shuffled, Clustering(), facts=SIZES, protected=protected, verdicts=verdicts) == members
