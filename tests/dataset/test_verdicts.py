"""Verdicts: every rule with its reason, people above all rules, and nothing without a verdict."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from tamis import schema
from tamis.config import Settings
from tamis.database import open_engine, reading, writing
from tamis.dataset.claims import Claim
from tamis.dataset.verdicts import (
    RegionVerdict,
    count_verdicts,
    unreadable_images,
    verdicts,
    wanted_bounds,
)
from tamis.migrations import migrate
from tamis.records import RegionKind
from tamis.settingsfile import parse_settings
from tests.dataset.world import World, memory

VIEW = '[attribute.view]\nclasses = ["front", "rear", "side"]\n'
FILTER = VIEW + '[classify]\nmodel = "models/view-1"\nattribute = "view"\nkeep = ["front"]\n'
DETECTOR = '[detect]\nmodel = "y.onnx"\n'
PLAIN = Settings()


def judge(connection: sa.Connection, settings: Settings = PLAIN) -> dict[int, RegionVerdict]:
    return {one.region_id: one for one in verdicts(connection, settings)}


def short(verdict: RegionVerdict) -> tuple[str, str]:
    return verdict.verdict, verdict.cause


def test_a_sound_picture_is_kept_with_a_reason() -> None:
    with memory() as connection:
        _, region = World(connection).shot()
        verdict = judge(connection)[region]
    assert short(verdict) == ("keep", "passes")
    assert verdict.reason == "passes all thresholds"


@pytest.mark.parametrize(
    ("facts", "text", "expected", "reason"),
    [
        ({"size_wh": (50, 900)}, "", ("reject", "small_image"), "image too small: 50 px, 64 asked for"),
        ({"size_wh": (100, 900)}, "", ("questionable", "long"), "aspect 9.0 above 5"),
        ({"contrast": 0.01}, "", ("questionable", "flat"), "contrast 0.010 below 0.03"),
        ({"sharpness": 1.5}, "min_sharpness = 2.0", ("questionable", "blurred"), "sharpness 1.50 below 2"),
        ({"text_share": 0.5}, "max_text_share = 0.4", ("questionable", "lettering"), "lettering 0.50 above 0.4"),
        ({"brightness": 0.1}, "min_brightness = 0.2", ("questionable", "dark"), "brightness 0.10 below 0.2"),
        ({"clipped_dark": 0.6}, "max_clipped_dark = 0.5", ("questionable", "black"), "share of black 0.60 above 0.5"),
        (
            {"clipped_bright": 0.6},
            "max_clipped_bright = 0.5",
            ("questionable", "white"),
            "share of white 0.60 above 0.5",
        ),
        ({"entropy": 2.0}, "min_entropy = 4", ("questionable", "empty"), "entropy 2.00 below 4"),
        (
            {"colourfulness": 0.0},
            "min_colourfulness = 0.01",
            ("questionable", "grey"),
            "colourfulness 0.000 below 0.01",
        ),
        ({"noise": 0.02}, "max_noise = 0.01", ("questionable", "noisy"), "noise 0.0200 above 0.01"),
        ({"blockiness": 2.0}, "max_blockiness = 1.5", ("questionable", "blocky"), "blockiness 2.00 above 1.5"),
    ],
)
def test_thresholds(facts: dict[str, object], text: str, expected: tuple[str, str], reason: str) -> None:
    with memory() as connection:
        _, region = World(connection).shot(**facts)  # type: ignore[arg-type]
        verdict = judge(connection, parse_settings(f"[inspect]\n{text}"))[region]
    assert (short(verdict), verdict.reason) == (expected, reason)


def test_several_doubts_are_all_told() -> None:
    with memory() as connection:
        _, region = World(connection).shot(contrast=0.01, size_wh=(100, 900))
        verdict = judge(connection)[region]
    assert verdict.reason == "contrast 0.010 below 0.03; aspect 9.0 above 5"


def test_objects_none_many_and_small() -> None:
    with memory() as connection:
        world = World(connection)
        nothing, crowd, tiny = world.image(), world.image(), world.image()
        whole = world.region(nothing)
        for image in (crowd, tiny):
            world.region(image)
        big = world.region(crowd, "detected", (0, 0, 500, 500))
        world.region(crowd, "detected", (0, 0, 300, 300))
        small = world.region(tiny, "detected", (0, 0, 600, 40))
        settings = parse_settings(DETECTOR + "max_objects = 1")
        found = judge(connection, settings)
        strict = judge(connection, parse_settings(DETECTOR + 'when_none = "reject"'))
    assert {region: short(one) for region, one in found.items()} == {
        whole: ("questionable", "no_object"),
        big: ("questionable", "many_objects"),
        small: ("reject", "small_object"),
    }
    assert found[big].reason == "2 objects found"
    assert short(strict[whole]) == ("reject", "no_object")


def test_copies_are_rejected_and_name_what_stays() -> None:
    with memory() as connection:
        world = World(connection)
        (keeper, kept), (loser, lost) = world.shot(), world.shot()
        world.cluster("image", keeper, loser)
        found = judge(connection)
        sha256 = connection.scalar(sa.select(schema.image.c.sha256).where(schema.image.c.id == keeper))
        off = judge(connection, parse_settings("[duplicates]\nenabled = false"))
    assert short(found[kept]) == ("keep", "passes")
    assert found[lost].reason == f"copy of image {str(sha256)[:12]} (recompressed, 0.90)"
    assert short(off[lost]) == ("keep", "passes")


def test_a_labelled_copy_becomes_the_keeper() -> None:
    with memory() as connection:
        world = World(connection)
        (keeper, kept), (loser, lost) = world.shot(), world.shot()
        world.cluster("image", keeper, loser)
        claim = world.claim("front", region=lost, attribute="view")
        found = judge(connection)
        assert (found[lost].verdict, found[kept].verdict) == ("keep", "reject")
        world.claim("front", region=kept, attribute="view")
        assert judge(connection)[kept].verdict == "keep"
        world.retract(claim)
        assert judge(connection)[lost].verdict == "reject"


def test_region_copies_keep_one_that_is_chosen() -> None:
    with memory() as connection:
        world = World(connection)
        image = world.image()
        gone = world.region(image, "detected", (0, 0, 9, 9), superseded_at=5.0)
        shots = [world.shot() for _ in range(3)]
        world.cluster("region", gone, *(region for _, region in shots))
        world.region(image)
        found = judge(connection)
    assert [found[region].verdict for _, region in shots] == ["keep", "reject", "reject"]
    assert found[shots[1][1]].cause == "region_copy"


def test_a_region_copy_whose_image_is_a_copy_is_nobodys_keeper() -> None:
    with memory() as connection:
        world = World(connection)
        (first, one), (second, two), (_, three) = world.shot(), world.shot(), world.shot()
        world.cluster("image", first, second)
        world.cluster("region", two, three)
        found = judge(connection)
    assert [short(found[region])[0] for region in (one, two, three)] == ["keep", "reject", "keep"]


def test_people_overrule_and_take_back() -> None:
    with memory() as connection:
        world = World(connection)
        _, region = world.shot(size_wh=(40, 40))
        claim = world.claim("keep", region=region, attribute="verdict", evidence="a rare one")
        verdict = judge(connection)[region]
        assert (short(verdict), verdict.reason) == (("keep", "person"), "anna says keep: a rare one")
        world.claim("reject", region=region, attribute="verdict", actor="ben")
        assert short(judge(connection)[region]) == ("questionable", "disputed")
        assert judge(connection)[region].reason == "people disagree (anna: keep, ben: reject)"
        world.retract(claim)
        assert short(judge(connection)[region]) == ("reject", "person")


def test_a_persons_verdict_holds_for_the_whole_cluster() -> None:
    with memory() as connection:
        world = World(connection)
        (keeper, kept), (loser, lost) = world.shot(), world.shot()
        world.cluster("image", keeper, loser)
        world.claim("reject", region=lost, attribute="verdict")
        assert {short(one) for one in judge(connection).values()} == {("reject", "person")}
        world.claim("keep", region=kept, attribute="verdict")
        found = judge(connection)
        assert short(found[kept]) == ("keep", "person")
        world.claim("keep", region=lost, attribute="verdict")
        assert short(judge(connection)[lost]) == ("keep", "person")


def test_keeping_the_keeper_keeps_no_copy() -> None:
    with memory() as connection:
        world = World(connection)
        (keeper, kept), (loser, lost) = world.shot(), world.shot()
        world.cluster("image", keeper, loser)
        world.claim("keep", region=kept, attribute="verdict")
        found = judge(connection)
    assert (short(found[kept]), short(found[lost])) == (("keep", "person"), ("reject", "copy"))


@pytest.mark.parametrize(
    ("value", "confidence", "expected"),
    [
        ("front", 0.9, ("keep", "wanted")),
        ("front", 0.5, ("questionable", "unsure")),
        ("rear", 0.9, ("reject", "unwanted")),
        ("rear", 0.5, ("questionable", "unsure")),
    ],
)
def test_filter(value: str, confidence: float, expected: tuple[str, str]) -> None:
    with memory() as connection:
        world = World(connection)
        _, region = world.shot()
        world.claim(value, region=region, attribute="view", who="model", actor="view-1", confidence=confidence)
        verdict = judge(connection, parse_settings(FILTER))[region]
    assert (short(verdict), verdict.reason) == (expected, f"view is {value} ({confidence:.2f})")


def test_filter_waits_for_its_model_and_hears_people_first() -> None:
    settings = parse_settings(FILTER)
    with memory() as connection:
        world = World(connection)
        _, region = world.shot()
        world.claim("front", region=region, attribute="view", who="model", actor="view-0", confidence=0.99)
        assert short(judge(connection, settings)[region]) == ("questionable", "unclassified")
        world.claim("front", region=region, attribute="view", who="model", actor="view-1", confidence=0.99)
        assert short(judge(connection, settings)[region]) == ("keep", "wanted")
        world.claim("rear", region=region, attribute="view")
        verdict = judge(connection, settings)[region]
    assert (short(verdict), verdict.reason) == (("reject", "unwanted"), "anna says view is rear")


@given(st.integers(2, 6), st.integers(1, 5), st.data())
def test_bounds_hold_for_every_distribution(count: int, wanted: int, data: st.DataObject) -> None:
    names = [f"class {number}" for number in range(count)]
    keep = names[: min(wanted, count - 1)]
    weights = data.draw(st.lists(st.floats(0.01, 1), min_size=count, max_size=count))
    shares = [weight / sum(weights) for weight in weights]
    best = max(range(count), key=shares.__getitem__)
    claim = Claim(1, 1, None, "view", names[best], "model", "m", shares[best], None, 1.0)
    least, most = wanted_bounds(claim, keep, names)
    truth = sum(shares[: len(keep)])
    assert least - 1e-9 <= truth <= most + 1e-9


def test_labels_of_an_earlier_detection_make_questionable() -> None:
    with memory() as connection:
        world = World(connection)
        image, region = world.shot()
        old = world.region(image, "detected", (0, 0, 9, 9), superseded_at=5.0)
        world.claim("front", region=old, attribute="view")
        verdict = judge(connection)[region]
    assert (short(verdict), verdict.reason) == (
        ("questionable", "waiting"),
        "labels of an earlier detection wait for review: 1",
    )


def test_every_image_has_one_verdict_on_every_database(database_address: str, tmp_path: Path) -> None:
    settings = parse_settings(DETECTOR + FILTER)
    engine = open_engine(database_address, tmp_path)
    migrate(engine)
    with writing(engine) as connection:
        world = World(connection)
        shots = [world.shot(world.item()) for _ in range(9)]
        world.cluster("image", shots[0][0], shots[1][0])
        cars = [world.region(image, "detected", (100, 100, 700, 700), class_name="car") for image, _ in shots[:6]]
        world.cluster("region", cars[2], cars[3])
        for car in cars:
            world.claim("front", region=car, attribute="view", who="model", actor="view-1", confidence=0.95)
        world.claim("questionable", region=cars[4], attribute="verdict")
        world.image(readable=False, width=None, height=None, reason="truncated")
    with reading(engine) as connection:
        found = judge(connection, settings)
        (broken,) = unreadable_images(connection)
        counts = count_verdicts(connection, settings)
        assert [one.region_id for one in verdicts(connection, settings, [cars[5], shots[0][1]])] == [cars[5]]
    assert {one.image_id for one in found.values()} == {image for image, _ in shots}
    assert [short(found[car]) for car in cars] == [
        ("keep", "wanted"),
        ("reject", "copy"),
        ("keep", "wanted"),
        ("reject", "region_copy"),
        ("questionable", "person"),
        ("keep", "wanted"),
    ]
    assert (broken.verdict, broken.reason) == ("reject", "unreadable: truncated")
    assert (counts.keep, counts.questionable, counts.reject) == (3, 4, 3)
    assert counts.causes["reject", "unreadable"] == 1
    engine.dispose()


@pytest.mark.parametrize(
    ("kind", "area", "holes", "expected"),
    [
        ("detected", 0.31, 0, ("questionable", "thin_mask")),
        ("drawn", 0.31, 0, ("questionable", "thin_mask")),
        ("whole", 0.1, 0, ("keep", "passes")),
        ("detected", 0.6, 5, ("keep", "passes")),
        ("detected", 0.6, 24, ("questionable", "torn_mask")),
    ],
)
def test_torn_masks_are_questionable(kind: RegionKind, area: float, holes: int, expected: tuple[str, str]) -> None:
    detector = DETECTOR if kind == "detected" else ""
    settings = parse_settings(f'{detector}[segment]\nmethod = "grabcut"\n')
    with memory() as connection:
        world = World(connection)
        image, whole = world.shot()
        region = whole if kind == "whole" else world.region(image, kind, (100, 100, 700, 700), class_name="car")
        world.add(
            schema.mask, region_id=region, method="grabcut", width=1000, height=800, counts=b"", area=area, border=0.0,
            holes=holes,
        )  # fmt: skip
        assert short(judge(connection, settings)[region]) == expected
