"""The choice of regions, against a plain reference and on every database."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tamis import schema
from tamis.config import DetectSettings, DuplicatesSettings, Settings
from tamis.database import open_engine, reading, writing
from tamis.engine import ledger
from tamis.migrations import migrate
from tamis.models.choice import Choice, chosen
from tamis.models.protocols import Detections
from tamis.records import Box
from tamis.stages.classify import CLASSIFY
from tamis.stages.policy import NO_OBJECT, ChosenRegion, chosen_regions, image_id_parts, read_chosen
from tamis.stages.regionduplicates import REGIONDUPLICATES
from tamis.stages.segment import SEGMENT
from tests.dataset.world import SIZE_WH, World, memory


@dataclass(frozen=True)
class Found:
    """A region to insert; `kind` also says `superseded` for a detected one that was replaced."""

    kind: str
    box: Box
    score: float
    class_name: str


@dataclass(frozen=True)
class Picture:
    readable: bool
    regions: tuple[Found, ...]


def boxes() -> st.SearchStrategy[Box]:
    """Boxes on a coarse grid, so that ties and exact thresholds happen."""
    side = st.integers(1, 5)
    corner = st.tuples(st.integers(0, 5), st.integers(0, 5), side, side)
    return corner.map(lambda c: (c[0] * 100.0, c[1] * 80.0, (c[0] + c[2]) * 100.0, (c[1] + c[3]) * 80.0))


def pictures() -> st.SearchStrategy[Picture]:
    found = st.builds(
        Found,
        kind=st.sampled_from(["detected", "detected", "detected", "drawn", "superseded"]),
        box=boxes(),
        score=st.sampled_from([0.1, 0.25, 0.5, 0.9]),
        class_name=st.sampled_from(["car", "truck", "Car"]),
    )
    unique = st.lists(found, max_size=6, unique_by=lambda one: (one.kind, one.box, one.class_name))
    return st.builds(Picture, readable=st.booleans(), regions=unique.map(tuple))


def detect_settings() -> st.SearchStrategy[DetectSettings]:
    return st.builds(
        DetectSettings,
        model=st.sampled_from(["whole", "yolo.onnx", "yolo.onnx", "yolo.onnx"]),
        classes=st.sampled_from([(), ("car",), ("car", "truck")]),
        min_score=st.sampled_from([0.0, 0.25, 0.6]),
        min_share=st.sampled_from([0.0, 0.01, 0.04, 0.2]),
        same_object=st.sampled_from([0.3, 0.6, 0.6, 2.0]),
        choose=st.sampled_from(["largest", "central", "best", "all"]),
    )


def insert(connection: sa.Connection, given_pictures: list[Picture]) -> None:
    world = World(connection)
    for picture in given_pictures:
        image = world.image(readable=picture.readable)
        if not picture.readable:
            continue
        world.region(image)
        for one in picture.regions:
            kind: Any = "detected" if one.kind == "superseded" else one.kind
            origin = "old" if one.kind == "superseded" else "new"
            gone = 5.0 if one.kind == "superseded" else None
            world.region(
                image, kind, one.box, score=one.score, class_name=one.class_name, origin=origin, superseded_at=gone
            )


def reference(connection: sa.Connection, detect: DetectSettings) -> list[tuple[int, int, str]]:
    """The rules of the module's docstring, image by image in plain Python: (region id, objects, doubt)."""
    chosen: list[tuple[int, int, str]] = []
    readable = sa.select(schema.inspection.c.image_id).where(schema.inspection.c.readable)
    for image in sorted(connection.scalars(readable)):
        query = sa.select(schema.region).where(schema.region.c.image_id == image)
        live = [row for row in connection.execute(query) if row.superseded_at is None]
        whole = next((row for row in live if row.kind == "whole"), None)
        found = [row for row in live if row.kind == "detected" and _passes(row, detect)]
        passing = [row for row in found if not any(_shows_too(better, row, detect) for better in found)]
        drawn = [row for row in live if row.kind == "drawn"]
        doubt = ""
        if drawn:
            picked = drawn
        elif detect.model == "whole":
            picked = [whole] if whole else []
        elif passing:
            picked = sorted(passing, key=lambda row: _order(row, detect))
            picked = picked if detect.choose == "all" else picked[:1]
        else:
            picked, doubt = [whole] if whole else [], NO_OBJECT
        picked = sorted(picked, key=lambda row: row.region_key)
        chosen += [(row.id, len(passing), doubt) for row in picked]
    return chosen


def _passes(row: Any, detect: DetectSettings) -> bool:
    area = (row.x1 - row.x0) * (row.y1 - row.y0)
    known = not detect.classes or row.class_name in detect.classes
    return known and row.score >= detect.min_score and area >= detect.min_share * SIZE_WH[0] * SIZE_WH[1]


def _shows_too(better: Any, row: Any, detect: DetectSettings) -> bool:
    """Whether a better detection shows the same object."""
    wide, high = min(better.x1, row.x1) - max(better.x0, row.x0), min(better.y1, row.y1) - max(better.y0, row.y0)
    if (
        detect.same_object > 1
        or wide <= 0
        or high <= 0
        or (-better.score, better.region_key) >= (-row.score, row.region_key)
    ):
        return False
    own, other = (row.x1 - row.x0) * (row.y1 - row.y0), (better.x1 - better.x0) * (better.y1 - better.y0)
    inside = wide * high >= 0.9 * own and better.class_name == row.class_name
    return inside or bool(wide * high >= detect.same_object * (own + other - wide * high))


def _order(row: Any, detect: DetectSettings) -> tuple[Any, ...]:
    area = (row.x1 - row.x0) * (row.y1 - row.y0)
    right, down = (row.x0 + row.x1) - SIZE_WH[0], (row.y0 + row.y1) - SIZE_WH[1]
    return {
        "largest": (-area, -row.score, row.region_key),
        "central": (right**2 + down**2, -area, -row.score, row.region_key),
        "best": (-row.score, -area, row.region_key),
        "all": (row.region_key,),
    }[detect.choose]


def in_short(rows: list[ChosenRegion]) -> list[tuple[int, int, str]]:
    return [(row.region_id, row.objects, row.doubt) for row in rows]


@settings(max_examples=60, deadline=None)
@given(st.lists(pictures(), max_size=4), detect_settings())
def test_choice_is_the_reference(given_pictures: list[Picture], detect: DetectSettings) -> None:
    with memory() as connection:
        insert(connection, given_pictures)
        assert in_short(list(read_chosen(connection, Settings(detect=detect)))) == reference(connection, detect)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(boxes(), st.sampled_from(["car", "truck"])), max_size=6, unique=True),
    st.permutations([0.3, 0.4, 0.5, 0.6, 0.7, 0.8]),
    detect_settings(),
)
@example(
    [((300.0, 240.0, 600.0, 480.0), "car"), ((400.0, 320.0, 700.0, 560.0), "car")],
    [0.5, 0.6],
    DetectSettings(choose="central"),
)  # both as far from the middle and as large
def test_a_plain_folder_and_a_project_choose_the_same_boxes(
    seen: list[tuple[Box, str]], scores: list[float], detect: DetectSettings
) -> None:
    detect = detect.model_copy(update={"model": "y.onnx", "min_score": 0.0})
    rows = sorted(zip(scores, seen, strict=False), reverse=True)
    found = Detections(
        np.asarray([box for _, (box, _) in rows], np.float32).reshape(-1, 4),
        np.asarray([score for score, _ in rows], np.float32),
        np.asarray([("car", "truck").index(name) for _, (_, name) in rows], np.int64),
        tuple(name for _, (_, name) in rows),
    )
    choice = Choice(frozenset(detect.classes), detect.min_share, detect.same_object, detect.choose)
    indices, objects = chosen(found, SIZE_WH, choice)
    with memory() as connection:
        regions = tuple(Found("detected", box, score, name) for score, (box, name) in rows)
        insert(connection, [Picture(True, regions)])
        stored = list(read_chosen(connection, Settings(detect=detect)))
    assert sorted(one.score for one in stored if not one.doubt) == sorted(rows[index][0] for index in indices)
    assert all(one.objects == objects for one in stored)


def test_choice_on_every_database(database_address: str, tmp_path: Path) -> None:
    engine = open_engine(database_address, tmp_path)
    migrate(engine)
    chance = random.Random(7)
    made = [_random_picture(chance) for _ in range(60)]
    with writing(engine) as connection:
        insert(connection, made)
    with reading(engine) as connection:
        for choose in ("largest", "central", "best", "all"):
            for classes in ((), ("car",)):
                detect = DetectSettings(model="y.onnx", choose=choose, classes=classes, min_score=0.25, min_share=0.04)
                got = in_short(list(read_chosen(connection, Settings(detect=detect))))
                assert got == reference(connection, detect)
                assert len(got) > 20
    engine.dispose()


def _random_picture(chance: random.Random) -> Picture:
    def box() -> Box:
        x0, y0 = chance.randrange(6) * 100.0, chance.randrange(6) * 80.0
        return (x0, y0, x0 + chance.randrange(1, 5) * 100.0, y0 + chance.randrange(1, 5) * 80.0)

    found = {
        (kind, where, name): Found(kind, where, chance.choice([0.1, 0.25, 0.9]), name)
        for kind, where, name in (
            (chance.choice(["detected"] * 8 + ["drawn", "superseded"]), box(), chance.choice(["car", "Car", "truck"]))
            for _ in range(chance.randrange(5))
        )
    }
    return Picture(chance.random() < 0.9, tuple(found.values()))


def test_an_image_without_regions_gives_none() -> None:
    with memory() as connection:
        World(connection).image()
        assert list(read_chosen(connection, Settings())) == []


def test_rows_tell_all_that_rendering_needs() -> None:
    with memory() as connection:
        world = World(connection)
        image = world.image((640, 480))
        world.region(image)
        car = world.region(image, "detected", (10.5, 20.0, 300.0, 400.25), score=0.75, class_name="car")
        (row,) = read_chosen(connection, Settings(detect=DetectSettings(model="y.onnx")))
    assert (row.region_id, row.image_id, row.image_wh) == (car, image, (640, 480))
    assert (row.box_xyxy, row.class_name, row.score) == ((10.5, 20.0, 300.0, 400.25), "car", 0.75)
    assert (row.kind, row.objects, row.doubt) == ("detected", 1, "")
    assert len(row.sha256) == 64
    assert len(row.region_key) == 32


def test_images_can_be_named_and_come_in_parts() -> None:
    with memory() as connection:
        world = World(connection)
        shots = [world.shot() for _ in range(7)]
        world.image(readable=False)
        named = [image for image, _ in shots[2:5]]
        assert [row.image_id for row in read_chosen(connection, Settings(), named)] == named
        assert list(image_id_parts(connection, 3)) == [[i for i, _ in shots[a : a + 3]] for a in (0, 3, 6)]


@pytest.mark.parametrize("choose", ["largest", "all"])
def test_condition_around_the_query_selects_whole_images(choose: Any) -> None:
    settings = Settings(detect=DetectSettings(model="y.onnx", choose=choose))
    with memory() as connection:
        world = World(connection)
        for _ in range(3):
            image = world.image()
            world.region(image)
            world.region(image, "detected", (0, 0, 500, 500), class_name="car")
        query = chosen_regions(settings).subquery()
        rows = connection.execute(sa.select(query).where(query.c.image_id == image)).all()
    assert [(row.image_id, row.kind) for row in rows] == [(image, "detected")]


#: What a stage did with a region, by its number: nothing, under another fingerprint, or what it would do again.
_PAST = (None, "former", "now")


@settings(deadline=None)
@given(st.lists(pictures(), max_size=5), detect_settings(), st.booleans(), st.randoms(use_true_random=False))
def test_only_images_that_a_stage_is_done_with_are_left_out(
    given_pictures: list[Picture], detect: DetectSettings, heeds_copies: bool, chance: random.Random
) -> None:
    chosen_by = Settings(detect=detect, duplicates=DuplicatesSettings(enabled=heeds_copies))
    with memory() as connection:
        insert(connection, given_pictures)
        images = list(connection.scalars(sa.select(schema.image.c.id)))
        for image in images[1:]:
            if chance.random() < 0.3:
                row = {"level": "image", "keeper_id": images[0], "kind": "edited", "score": 0.9}
                connection.execute(schema.cluster.insert().values(row | {"member_id": image}))
        regions = list(connection.scalars(sa.select(schema.region.c.id)))
        for stage in (CLASSIFY, SEGMENT, REGIONDUPLICATES):
            for region in regions:
                if past := chance.choice(_PAST):
                    entry = ledger.Entry(region, "", "done", None, 0, 1, None)
                    ledger.record(connection, stage.name, past, [entry])
            in_full = ledger.pending(replace(stage, select_undone=None), chosen_by, "now")
            found = connection.execute(ledger.pending(stage, chosen_by, "now")).all()
            assert found == connection.execute(in_full).all()
