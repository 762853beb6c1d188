"""Gold labels: the rules on plain claims, and the ways by which claims reach a region, on every database."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from tamis import schema
from tamis.config import Settings
from tamis.database import open_engine, reading, writing
from tamis.dataset.claims import Claim
from tamis.dataset.gold import Gold, decide, resolve_gold, resolve_item_gold
from tamis.dataset.precision import Measured, measure_precision
from tamis.labels import Who
from tamis.migrations import migrate
from tamis.settingsfile import parse_settings
from tests.dataset.world import World, memory

TOML = """
[attribute.colour]
classes = ["red", "blue", "green"]
scope = "item"
[attribute.view]
classes = ["front", "rear"]
"""
SETTINGS = parse_settings(TOML)


def claim(number: int, value: str | None, who: Who = "person", actor: str = "anna", confidence: float = 1.0) -> Claim:
    return Claim(number, 1, None, "colour", value, who, actor, confidence, None, float(number))


def claims() -> st.SearchStrategy[list[Claim]]:
    one = st.tuples(
        st.sampled_from(["red", "blue", "green", None]),
        st.sampled_from([("person", "anna"), ("person", "ben"), ("person", "cleo"), ("rule", "r"), ("model", "m")]),
        st.sampled_from([0.2, 0.9]),
    )
    rows = st.lists(one, max_size=8)
    return rows.map(lambda made: [claim(n, v, w, a, c) for n, (v, (w, a), c) in enumerate(made)])  # type: ignore[arg-type]


@given(claims(), st.randoms())
def test_order_of_reading_does_not_matter(made: list[Claim], chance: random.Random) -> None:
    shuffled = list(made)
    chance.shuffle(shuffled)
    assert decide("colour", shuffled, {}) == decide("colour", made, {})


@given(claims())
def test_a_value_comes_from_a_claim_and_people_come_first(made: list[Claim]) -> None:
    gold = decide("colour", made, {})
    valued = [one for one in made if one.value is not None]
    if gold is None:
        assert not valued
        return
    assert {one.id for one in gold.claims} == {one.id for one in valued}
    assert (gold.value is None) == gold.disputed
    people = [one for one in valued if one.who == "person"]
    if people:
        assert gold.who == "person"
    if gold.value is not None:
        assert gold.value in {one.value for one in (people or valued)}


@pytest.mark.parametrize(
    ("votes", "value"),
    [
        (["red"], "red"),
        (["red", "red"], "red"),
        (["red", "blue"], None),
        (["red", "blue", "red"], "red"),
        (["red", "blue", "green"], None),
        (["red", "blue", "red", "blue"], None),
        (["red", "red", "red", "blue"], "red"),
    ],
)
def test_people_who_disagree_need_a_majority_of_three(votes: list[str], value: str | None) -> None:
    gold = decide("colour", [claim(n, vote, actor=f"person {n}") for n, vote in enumerate(votes)], {})
    assert gold is not None
    assert (gold.value, gold.disputed) == (value, value is None)


def test_machines_go_by_measured_precision_then_confidence() -> None:
    rule, model = claim(1, "red", "rule", "r", 0.6), claim(2, "blue", "model", "m", 0.9)
    surer = decide("colour", [rule, model], {})
    better = decide("colour", [rule, model], {("colour", "rule", "r"): Measured(8, 8)})
    assert surer is not None
    assert better is not None
    assert (surer.value, better.value) == ("blue", "red")


def test_precision_follows_laplace() -> None:
    assert Measured(0, 0).precision == 0.5
    assert Measured(8, 8).precision == 0.9
    assert Measured(0, 8).precision == pytest.approx(0.1)


def golds(connection: sa.Connection, settings: Settings = SETTINGS) -> dict[tuple[int | None, str], Gold]:
    return {(gold.region_id, gold.attribute): gold for gold in resolve_gold(connection, settings)}


def test_copies_share_their_labels_in_both_directions() -> None:
    with memory() as connection:
        world = World(connection)
        (keeper, kept), (loser, lost) = world.shot(), world.shot()
        world.cluster("image", keeper, loser)
        world.claim("front", region=lost, attribute="view")
        found = golds(connection)
        assert found[kept, "view"].value == found[lost, "view"].value == "front"
        assert found[kept, "view"].claims[0].region_id == lost


def test_labels_stay_apart_where_duplicates_are_switched_off() -> None:
    with memory() as connection:
        world = World(connection)
        (keeper, kept), (loser, lost) = world.shot(), world.shot()
        world.cluster("image", keeper, loser)
        world.claim("front", region=lost, attribute="view")
        found = golds(connection, parse_settings(TOML + "[duplicates]\nenabled = false"))
    assert (kept, "view") not in found
    assert found[lost, "view"].value == "front"


def test_copies_with_many_objects_share_part_by_part() -> None:
    settings = parse_settings(TOML + '[detect]\nmodel = "y.onnx"\nchoose = "all"\n')
    left, right = (0.0, 100.0, 400.0, 500.0), (600.0, 100.0, 1000.0, 500.0)
    with memory() as connection:
        world = World(connection)
        images = [world.image(), world.image((500, 400)), world.image()]
        regions = []
        for number, image in enumerate(images):
            scale = 0.5 if number == 1 else 1.0
            world.region(image)
            regions.append(
                [
                    world.region(image, "detected", tuple(v * scale for v in box), class_name="car")  # type: ignore[arg-type]
                    for box in (left, right)
                ]
            )
        world.cluster("image", images[0], images[1], kind="recompressed")
        connection.execute(
            schema.cluster.insert().values(
                level="image", member_id=images[2], keeper_id=images[0], kind="mirrored", score=0.9
            )
        )
        world.claim("front", region=regions[0][0], attribute="view")
        found = golds(connection, settings)
    assert {region for region, _ in found} == {regions[0][0], regions[1][0], regions[2][1]}


def test_labels_follow_superseded_regions_however_often() -> None:
    with memory() as connection:
        world = World(connection)
        image = world.image()
        newest = world.region(image)
        newer = world.region(image, "detected", (0, 0, 9, 9), superseded_at=5.0, superseded_by=newest)
        old = world.region(image, "detected", (0, 0, 8, 8), superseded_at=4.0, superseded_by=newer)
        world.claim("front", region=old, attribute="view")
        assert golds(connection)[newest, "view"].value == "front"


def test_item_labels_reach_all_its_pictures() -> None:
    with memory() as connection:
        world = World(connection)
        item = world.item()
        shots = [world.shot(item) for _ in range(3)]
        world.claim("red", item=item, who="rule", actor="rules")
        found = golds(connection)
        assert {region for region, _ in found} == {region for _, region in shots}
        (of_item,) = resolve_item_gold(connection, SETTINGS)
        assert (of_item.item_id, of_item.region_id, of_item.value, of_item.who) == (item, None, "red", "rule")


def shared_picture(connection: sa.Connection) -> tuple[World, int, int, int]:
    """A dealer's card in two listings: (world, first item, second item, region)."""
    world = World(connection)
    first, second = world.item(), world.item()
    image, region = world.shot(first)
    world.picture(second, image)
    return world, first, second, region


def test_items_that_contradict_each_other_leave_a_picture_disputed() -> None:
    with memory() as connection:
        world, first, second, region = shared_picture(connection)
        world.claim("red", item=first, who="rule", actor="rules")
        world.claim("blue", item=second, who="rule", actor="rules")
        gold = golds(connection)[region, "colour"]
        assert (gold.value, gold.disputed) == (None, True)
        world.claim("green", region=region, who="model", actor="m")
        assert golds(connection)[region, "colour"].value == "green"
        world.claim("red", item=first)
        assert golds(connection)[region, "colour"].disputed
        world.claim("blue", region=region, actor="ben")
        assert golds(connection)[region, "colour"].value == "blue"


def test_items_that_agree_speak_with_one_voice() -> None:
    with memory() as connection:
        world, first, second, region = shared_picture(connection)
        world.claim("red", item=first)
        world.claim("red", item=second, actor="ben")
        gold = golds(connection)[region, "colour"]
        assert (gold.value, gold.disputed, len(gold.claims)) == ("red", False, 2)


def test_a_persons_word_on_the_picture_beats_theirs_on_the_item() -> None:
    with memory() as connection:
        world = World(connection)
        item = world.item()
        _, region = world.shot(item)
        world.claim("blue", region=region)
        world.claim("red", item=item)
        assert golds(connection)[region, "colour"].value == "blue"


def test_regions_can_be_named() -> None:
    with memory() as connection:
        world = World(connection)
        image, whole = world.shot()
        other = world.region(image, "detected", (0, 0, 50, 50))
        for region in (whole, other, world.shot()[1]):
            world.claim("front", region=region, attribute="view")
        found = list(resolve_gold(connection, SETTINGS, ["view"], [whole, other]))
    assert sorted(gold.region_id or 0 for gold in found) == [whole, other]


def test_precision_and_gold_on_every_database(database_address: str, tmp_path: Path) -> None:
    engine = open_engine(database_address, tmp_path)
    migrate(engine)
    with writing(engine) as connection:
        world = World(connection)
        regions = []
        for number in range(6):
            item = world.item()
            _, region = world.shot(item)
            regions.append(region)
            world.claim("red", item=item)
            world.claim("red" if number else "blue", item=item, who="rule", actor="rules")
            world.claim("green" if number < 4 else "red", region=region, who="model", actor="colours-1")
        unlabelled = world.item()
        _, open_region = world.shot(unlabelled)
        world.claim("blue", item=unlabelled, who="rule", actor="rules", confidence=0.5)
        world.claim("green", region=open_region, who="model", actor="colours-1", confidence=0.99)
    with reading(engine) as connection:
        measured = measure_precision(connection)
        assert measured["colour", "rule", "rules"] == Measured(5, 6)
        assert measured["colour", "model", "colours-1"] == Measured(2, 6)
        assert golds(connection)[open_region, "colour"].value == "blue"
        assert all(golds(connection)[region, "colour"].value == "red" for region in regions)
    engine.dispose()


def test_what_a_model_learned_from_proves_nothing() -> None:
    with memory() as connection:
        world = World(connection)
        snapshot = world.add(
            schema.snapshot, name="s-1", folder="x", digest="0" * 64, samples=1, settings={}, created_at=1.0
        )
        world.add(
            schema.model, name="view-1", folder="x", digest="0" * 64, snapshot_id=snapshot, attributes={}, metrics={},
            created_at=1.0,
        )  # fmt: skip
        for split in ("train", "test"):
            _, region = world.shot()
            world.claim("front", region=region, attribute="view")
            world.claim("front", region=region, attribute="view", who="model", actor="view-1")
            world.add(schema.sample, snapshot_id=snapshot, public_id=f"{region:016x}", region_id=region, split=split)
        assert measure_precision(connection)["view", "model", "view-1"] == Measured(1, 1)


def test_claims_on_superseded_regions_measure_the_new_region() -> None:
    with memory() as connection:
        world = World(connection)
        image = world.image()
        new = world.region(image)
        old = world.region(image, "detected", (0, 0, 9, 9), superseded_at=5.0, superseded_by=new)
        world.claim("front", region=old, attribute="view")
        world.claim("rear", region=new, attribute="view", who="model", actor="m")
        assert measure_precision(connection)["view", "model", "m"] == Measured(0, 1)


SIDED = parse_settings(
    '[attribute.facing]\nclasses = ["left", "right"]\n[attribute.view]\nclasses = ["front", "rear"]\n'
    '[attribute.wheel]\nclasses = ["left-hand drive", "right-hand drive"]\nscope = "item"\n'
)


@pytest.mark.parametrize("kind", ["recompressed", "mirrored", "confirmed"])
@pytest.mark.parametrize("level", ["image", "region"])
def test_a_label_that_names_a_side_does_not_count_for_a_mirrored_copy(kind: str, level: str) -> None:
    with memory() as connection:
        world = World(connection)
        (keeper, kept), (loser, lost) = world.shot(world.item()), world.shot(copier := world.item())
        keeper, loser = (keeper, loser) if level == "image" else (kept, lost)
        world.cluster(level, keeper, loser, kind=kind)
        world.claim("left", region=lost, attribute="facing")
        world.claim("front", region=lost, attribute="view")
        world.claim("left-hand drive", item=copier, attribute="wheel")
        found = golds(connection, SIDED)
    assert found[kept, "view"].value == "front", "what names no side is shared by all copies"
    assert found[lost, "facing"].value == "left"
    assert found[lost, "wheel"].value == "left-hand drive"
    assert ((kept, "facing") in found) == (kind == "recompressed")
    assert ((kept, "wheel") in found) == (kind == "recompressed" and level == "image")


def test_two_copies_that_mirror_the_keeper_share_their_sides() -> None:
    with memory() as connection:
        world = World(connection)
        (keeper, kept), (first, one), (second, two) = world.shot(), world.shot(), world.shot()
        world.cluster("image", keeper, first, second, kind="mirrored")
        world.claim("left", region=one, attribute="facing")
        found = golds(connection, SIDED)
    assert found[two, "facing"].value == "left"
    assert (kept, "facing") not in found
