"""Groups: what an item or a cluster ties together stays together, and nothing more, in any world."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.config import DuplicatesSettings, RegionDuplicatesSettings, Settings, SnapshotSettings
from tamis.dataset.candidates import Candidate, Dropped, read_candidates
from tamis.dataset.grouping import group_keys, split_samples
from tamis.dataset.manifest import Split
from tests.dataset.world import World, memory

IMAGES, ITEMS = 8, 5


@dataclass(frozen=True)
class Plan:
    """Image numbers by item; clusters of image numbers; images that people reject; whether copies are rejected."""

    shown: tuple[frozenset[int], ...]
    clusters: tuple[frozenset[int], ...]
    rejected: frozenset[int]
    enabled: bool


def plans() -> st.SearchStrategy[Plan]:
    numbers = st.frozensets(st.integers(0, IMAGES - 1), max_size=4)
    split = st.lists(st.integers(0, 3), min_size=IMAGES, max_size=IMAGES).map(
        lambda marks: tuple(frozenset(n for n in range(IMAGES) if marks[n] == mark) for mark in (0, 1))
    )
    return st.builds(Plan, st.tuples(*[numbers] * ITEMS), split, numbers, st.booleans())


@settings(max_examples=25, deadline=None)
@given(plans(), st.booleans())
def test_groups_are_the_components_of_what_is_kept(plan: Plan, by_region: bool) -> None:
    with memory() as connection:
        world = World(connection)
        shots = [world.shot() for _ in range(IMAGES)]
        items = [world.item() for _ in range(ITEMS)]
        for item, numbers in zip(items, plan.shown, strict=True):
            for number in numbers:
                world.picture(item, shots[number][0])
        level, which = ("region", 1) if by_region else ("image", 0)
        for cluster in plan.clusters:
            if len(cluster) > 1:
                keeper, *losers = (shots[number][which] for number in sorted(cluster))
                world.cluster(level, keeper, *losers)
        for number in plan.rejected:
            world.claim("reject", region=shots[number][1], attribute="verdict")
        chosen = Settings(
            duplicates=DuplicatesSettings(enabled=plan.enabled),
            regionduplicates=RegionDuplicatesSettings(enabled=plan.enabled),
        )
        found = list(read_candidates(connection, chosen, []))
        kept = [one for one in found if isinstance(one, Candidate)]
        groups = group_keys(connection, kept, "item")
    assert len(found) == IMAGES
    assert {one.id for one in kept} == groups.keys()
    number_of = {region: number for number, (_, region) in enumerate(shots)}
    numbers_kept = {number_of[one.region.region_id]: groups[one.id] for one in kept}
    expected = _components(plan, set(numbers_kept), by_region)
    for one, other in combinations(numbers_kept, 2):
        assert (numbers_kept[one] == numbers_kept[other]) == (expected[one] == expected[other])


def _components(plan: Plan, kept: set[int], by_region: bool) -> dict[int, int]:
    """Image number -> mark of its component, by marking until nothing changes."""
    clusters = [cluster for cluster in plan.clusters if len(cluster) > 1]

    def shown_by(number: int) -> set[int]:
        """The items that show a kept shot: by its image, or by one of its copies where copies are rejected."""
        stands_for = {number}
        for cluster in clusters:
            if number in cluster and plan.enabled and not by_region:
                stands_for |= cluster
        return {item for item, numbers in enumerate(plan.shown) if numbers & stands_for}

    marks = {number: number for number in kept}
    changed = True
    while changed:
        changed = False
        for one, other in combinations(sorted(kept), 2):
            tied = shown_by(one) & shown_by(other) or any({one, other} <= cluster for cluster in clusters)
            if tied and marks[one] != marks[other]:
                marks[one] = marks[other] = min(marks[one], marks[other])
                changed = True
    return marks


def test_dropped_images_say_why() -> None:
    with memory() as connection:
        world = World(connection)
        _, region = world.shot()
        world.claim("reject", region=region, attribute="verdict", evidence="a dealer's card")
        world.image(readable=False, reason="truncated")
        found = list(read_candidates(connection, Settings(), []))
    assert [(type(one), getattr(one, "reason", "")) for one in found] == [
        (Dropped, "anna says reject: a dealer's card"),
        (Dropped, "unreadable: truncated"),
    ]


def test_a_group_counts_for_its_rarest_class_and_what_was_tested_on_is_never_trained_on() -> None:
    groups = {f"s{n}": f"g{n // 2}" for n in range(40)}
    labels = {sample: {"view": "rear" if int(sample[1:]) in range(0, 20, 2) else "front"} for sample in groups}
    asked = SnapshotSettings(test=0.2, validation=0.2)
    splits = split_samples(groups, labels, asked, "view", {})
    rare = {groups[sample] for sample, given_labels in labels.items() if given_labels["view"] == "rear"}
    tested = {groups[sample] for sample, split in splits.items() if split == "test"}
    assert len(tested & rare) == 2
    assert len(tested) == 4
    before: dict[str, Split] = {"s0": "train", "s1": "test", "s2": "validation", "s3": "train"}
    after = split_samples(groups, labels, asked, "view", before)
    assert {after["s0"], after["s1"]} == {"test"}
    assert {after["s2"], after["s3"]} == {"validation"}
