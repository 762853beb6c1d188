"""Relations of a set of pictures: complete, verified, and the same in whatever order and batches they come."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from tamis.records import Relation
from tamis.vision import proposals
from tamis.vision.clusters import Clustering, cluster
from tamis.vision.columns import Signature
from tamis.vision.duplicates import find_relations, screen, signature_of
from tamis.vision.proposals import Proposals, Search, find_candidates
from tamis.vision.quality import to_luma
from tamis.vision.signatures import glance

from .pictures import EDITS, Image, as_image, bannered, lettered, recompressed, resized, shot, stand


def collection() -> dict[int, Image]:
    """Three originals with copies, two cars on one stand, and strangers; ids out of order on purpose."""
    pictures: dict[int, Image] = {}
    for number, seed in enumerate((1, 2, 3)):
        base = 100 - 30 * number
        original = shot(seed)
        copies = [original, recompressed(original), resized(original), lettered(original), bannered(original)]
        copies += [as_image(original[:, ::-1]), as_image(np.rot90(original)), original.copy()]
        pictures |= {base + offset: copy for offset, copy in enumerate(copies)}
    pictures |= {5: stand(11), 6: stand(12), 7: shot(70), 8: shot(71)}
    return pictures


PICTURES = collection()
SIGNATURES = {identity: signature_of(identity, picture) for identity, picture in PICTURES.items()}
TURNING = Search(rotated=True)


def load(identity: int) -> Image:
    return PICTURES[identity]


def in_batches(order: list[int], cuts: list[int], search: Search) -> list[Relation]:
    known: list[Signature] = []
    found: list[Relation] = []
    for start, end in pairwise([0, *cuts, len(order)]):
        new = [SIGNATURES[identity] for identity in order[start:end]]
        found += find_relations(new, known, load, search)
        known += new
    return sorted(found, key=lambda relation: (relation.first_id, relation.second_id))


def standing(relations: list[Relation]) -> list[tuple[object, ...]]:
    """The relations with the smallest id of equal pixels in place of each; those of equal pixels as clusters."""
    equal = [relation for relation in relations if relation.kind == "same_pixels"]
    stands = {member.member_id: member.keeper_id for member in cluster(equal, Clustering(keeper="first"), facts={})}
    rows = {
        (*sorted(stands.get(one, one) for one in (relation.first_id, relation.second_id)), relation.kind,
         relation.score, relation.distance)
        for relation in relations
        if relation.kind != "same_pixels"
    }  # fmt: skip
    return [*sorted(rows), *sorted(stands.items())]


ALL_AT_ONCE = find_relations(list(SIGNATURES.values()), [], load, TURNING)


def test_threads_change_nothing_and_the_share_that_is_done_is_told() -> None:
    told: list[float] = []
    assert find_relations(list(SIGNATURES.values()), [], load, TURNING, threads=3, told=told.append) == ALL_AT_ONCE
    assert told == sorted(told)
    assert told[-1] == 1.0


@pytest.mark.parametrize("seed", range(4))
def test_relations_do_not_depend_on_order_or_batches(seed: int) -> None:
    generator = random.Random(seed)
    order = generator.sample(sorted(PICTURES), len(PICTURES))
    cuts = sorted(generator.sample(range(1, len(order)), generator.randint(1, 6)))
    assert standing(in_batches(order, cuts, TURNING)) == standing(ALL_AT_ONCE)


def test_one_at_a_time_finds_the_same() -> None:
    order = sorted(PICTURES, reverse=True)
    assert standing(in_batches(order, list(range(1, len(order))), TURNING)) == standing(ALL_AT_ONCE)


def test_which_ids_the_pictures_were_given_changes_no_score() -> None:
    turned = {identity: 1000 - identity for identity in PICTURES}
    rows = [replace(row, id=turned[row.id]) for row in SIGNATURES.values()]
    found = find_relations(rows, [], lambda identity: PICTURES[1000 - identity], TURNING)
    # Of pictures with equal pixels, those with the smallest ids are compared, which are others now.
    stands = {base + 7: base for base in (100, 70, 40)}
    back = [replace(one, first_id=1000 - one.second_id, second_id=1000 - one.first_id) for one in found]
    renamed = [
        replace(one, first_id=min(pair), second_id=max(pair))
        for one in back
        if one.kind != "same_pixels"
        for pair in [[stands.get(identity, identity) for identity in (one.first_id, one.second_id)]]
    ]
    assert sorted(map(repr, renamed)) == sorted(repr(one) for one in ALL_AT_ONCE if one.kind != "same_pixels")


def test_equal_pixels_are_a_star_and_one_of_them_is_compared() -> None:
    many = [Signature(identity, 5, 5, "placeholder") for identity in range(1, 5001)]
    near = Signature(0, 4, 5, "another")
    identical, proposals = find_candidates([*many, near], [])
    assert [(one.first_id, one.second_id) for one in identical] == [(1, other) for other in range(2, 5001)]
    assert np.unique(proposals.pairs).tolist() == [0, 1]
    identical, proposals = find_candidates([near], many)
    assert identical == []
    assert np.unique(proposals.pairs).tolist() == [0, 1]
    identical, proposals = find_candidates([Signature(7000, 5, 5, "placeholder")], many)
    assert [(one.first_id, one.second_id) for one in identical] == [(1, 7000)]
    assert not len(proposals.pairs)


def test_each_copy_is_related_to_its_original_by_its_kind() -> None:
    found = {(relation.first_id, relation.second_id): relation for relation in ALL_AT_ONCE}
    kinds = ["recompressed", "recompressed", "edited", "edited", "mirrored", "rotated", "same_pixels"]
    for base in (100, 70, 40):
        assert [found[(base, base + offset)].kind for offset in range(1, 8)] == kinds
        assert found[(base, base + 7)].score == 1.0
    for (first, second), relation in found.items():
        assert relation.kind == "same_scene" or first // 10 == second // 10
        assert 0 <= relation.score <= 1
        assert first < second


def test_mirrored_and_turned_are_left_out_on_request() -> None:
    everything = list(SIGNATURES.values())
    plain = {relation.kind for relation in find_relations(everything, [], load, Search(mirrored=False))}
    assert plain <= {"same_pixels", "recompressed", "edited", "same_scene"}
    assert "mirrored" in {relation.kind for relation in find_relations(everything, [], load)}


def test_equal_pixels_are_never_loaded() -> None:
    def refuse(identity: int) -> Image:
        raise AssertionError(f"picture {identity} was loaded")

    rows = [Signature(identity, 5, 5, "same") for identity in (3, 1, 2)]
    found = find_relations(rows[:2], rows[2:], refuse)
    assert [(relation.first_id, relation.second_id) for relation in found] == [(1, 2), (1, 3)]
    assert {relation.kind for relation in found} == {"same_pixels"}


def test_candidates_need_a_new_picture() -> None:
    known = [SIGNATURES[identity] for identity in (100, 101, 102)]
    identical, proposals = find_candidates([], known)
    assert (identical, len(proposals.pairs)) == ([], 0)
    identical, proposals = find_candidates([SIGNATURES[103]], known)
    assert identical == []
    assert 103 in proposals.pairs
    assert (proposals.pairs == 103).any(axis=1).all()


@pytest.mark.parametrize("known", [0, 7])
def test_how_many_are_searched_at_a_time_changes_nothing(known: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = list(SIGNATURES.values())
    at_once = find_candidates(rows[known:], rows[:known])
    monkeypatch.setattr(proposals, "_INDEXED", 3)
    in_shares = find_candidates(rows[known:], rows[:known])
    assert in_shares[0] == at_once[0]
    assert len(at_once[1].pairs) > 0
    for ours, theirs in zip(in_shares[1], at_once[1], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_lies_apart_at_a_glance_is_no_candidate() -> None:
    glances = {1: glance(to_luma(shot(1))), 2: glance(to_luma(recompressed(shot(1)))), 3: glance(to_luma(shot(2)))}
    pairs = np.array([[1, 2], [1, 3], [2, 3]])
    nothing = np.zeros(3, dtype=np.int64)
    found = screen(Proposals(pairs, nothing, nothing, nothing), glances.__getitem__)
    assert [(candidate.first_id, candidate.second_id) for candidate in found] == [(1, 2)]


@pytest.mark.parametrize(("waves", "gradients", "proposed"), [(20, 8, True), (20, 9, False), (21, 8, False)])
def test_gradients_propose_what_a_banner_changed_in_every_wave(waves: int, gradients: int, proposed: bool) -> None:
    first = Signature(1, 0, 0, "one")
    second = Signature(2, (1 << waves) - 1, (1 << gradients) - 1, "two")
    assert Search().radius < waves
    _, proposals = find_candidates([first, second], [])
    assert (len(proposals.pairs) == 1) == proposed
    assert proposals.distances.tolist() == [waves] * proposed


def test_regions_have_relations_of_their_own() -> None:
    crops = {1: as_image(shot(1)[40:300, 60:400]), 2: as_image(resized(shot(1))[20:150, 30:200]), 3: shot(2)}
    rows = [signature_of(identity, crop) for identity, crop in crops.items()]
    found = find_relations(rows, [], crops.__getitem__, Search(level="region", radius=14, joint_radius=26))
    assert [(relation.level, relation.first_id, relation.second_id) for relation in found] == [("region", 1, 2)]


def test_among_many_pictures_fewer_pairs_are_proposed() -> None:
    assert Search().among(8_000) == Search()
    radii = [Search().among(count).part_radius for count in (100, 10_000, 1_000_000)]
    assert radii == sorted(set(radii), reverse=True)
    assert Search(part_radius=1).among(1_000_000).part_radius == 0


@pytest.mark.parametrize("name", sorted(EDITS))
def test_edits_are_proposed_by_signatures(name: str) -> None:
    rows = [signature_of(1, shot(9)), signature_of(2, EDITS[name](shot(9)))]
    _, proposals = find_candidates(rows, [])
    assert len(proposals.pairs)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size_wh", [(480, 360), (360, 480)])
def test_the_middle_square_of_a_photo_is_proposed_by_its_window(seed: int, size_wh: tuple[int, int]) -> None:
    photo = shot(seed, *size_wh)
    top, left = ((length - 360) // 2 for length in photo.shape[:2])
    square = as_image(photo[top : top + 360, left : left + 360])
    rows = [signature_of(1, photo), signature_of(2, square)]
    _, proposals = find_candidates(rows, [])
    assert len(proposals.pairs)
    relations = find_relations(rows, [], {1: photo, 2: square}.__getitem__)
    assert [relation.kind for relation in relations] == ["edited"]
