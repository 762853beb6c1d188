"""Snapshots: what they hold, that equal data give equal bytes, that nothing leaks, and that bad input is told."""

from __future__ import annotations

import csv
import json
import random
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from tamis import schema
from tamis.cli import cli
from tamis.database import reading, writing
from tamis.dataset.manifest import Snapshot
from tamis.dataset.maskfile import MASKS
from tamis.dataset.snapshot import DROPPED, FOLDER, REPORT, make_snapshot, of_items, open_snapshot, warnings_of
from tamis.errors import UserError
from tamis.project import Project
from tamis.vision.masks import to_record
from tests.conftest import MakeProject
from tests.dataset.world import World

TOML = """
[attribute.colour]
classes = ["red", "blue", "green"]
scope = "item"
[attribute.view]
classes = ["front", "rear"]
[detect]
model = "y.onnx"
margin = 0.1
"""


def fill(project: Project, order: list[int]) -> None:
    """Twenty items of three pictures each, inserted in that order; every third picture shows nothing."""
    with writing(project.engine) as connection:
        world = World(connection)
        for number in order:
            url = f"http://s/car/{number:02}"
            item = world.item(f"car {number}", url=url, item_key=f"{number:032x}", seller=f"dealer {number % 4}")
            world.claim(["red", "blue", "green"][number % 3], item=item, who="rule", actor="rules")
            for position in range(3):
                name = f"{number}/{position}"
                image = world.image(data=name.encode())
                world.picture(
                    item, image, position, url=f"{url}/{position}.jpg", url_key=f"{number:030x}{position:02x}"
                )
                world.region(image)
                if position < 2:
                    car = world.region(image, "detected", (100, 100, 600.5, 500), class_name="car", score=0.9)
                    world.claim(["front", "rear"][position], region=car, attribute="view")


def test_a_snapshot_on_every_database(make_project: MakeProject, database_address: str) -> None:
    project = make_project(TOML, database=database_address)
    fill(project, list(range(20)))
    told: list[tuple[int, int | None, str]] = []
    snapshot = make_snapshot(project, progress=lambda *facts: told.append(facts))
    assert (snapshot.name, snapshot.number, len(snapshot.samples)) == ("test-1", 1, 40)
    assert told[-1][:2] == (60, 60)
    sample = next(one for one in snapshot.samples if one.item_url.endswith("/05") and one.labels["view"] == "front")
    assert sample.labels == {"colour": "green", "view": "front"}
    assert (sample.box_xyxy, sample.crop_xyxy) == ((100, 100, 600.5, 500), (49, 49, 651, 551))
    assert (sample.item_title, sample.picture_url) == ("car 5", "http://s/car/05/0.jpg")
    assert (sample.verdict, sample.reason, len(sample.id)) == ("keep", "passes all thresholds", 16)
    assert Snapshot.read(snapshot.folder).samples == snapshot.samples
    assert open_snapshot(project, "test-1").digest == snapshot.digest
    with reading(project.engine) as connection:
        row = connection.execute(sa.select(schema.snapshot)).one()
        rows = connection.execute(sa.select(schema.sample)).all()
    assert (row.name, row.folder, row.digest, row.samples) == ("test-1", "snapshots/test-1", snapshot.digest, 40)
    assert {(one.public_id, one.split) for one in rows} == {(one.id, one.split) for one in snapshot.samples}
    again = make_snapshot(project)
    assert (again.name, again.digest) == ("test-2", snapshot.digest)


def test_the_order_in_which_rows_came_does_not_matter(make_project: MakeProject) -> None:
    digests = set()
    for number in range(3):
        project = make_project(TOML, name=f"project {number}")
        order = list(range(20))
        random.Random(number).shuffle(order)
        fill(project, order)
        digests.add(make_snapshot(project).digest)
    assert len(digests) == 1


def test_splits_never_part_an_item_and_stay_when_items_are_added(make_project: MakeProject) -> None:
    project = make_project(TOML)
    fill(project, list(range(12)))
    first = make_snapshot(project)
    fill_more = list(range(12, 20))
    with writing(project.engine) as connection:
        connection.execute(schema.source.update().values(name="first crawl"))
    fill(project, fill_more)
    second = make_snapshot(project)
    for snapshot in (first, second):
        splits = defaultdict(set)
        for sample in snapshot.samples:
            splits[sample.item_url].add(sample.split)
        assert all(len(found) == 1 for found in splits.values())
        assert {sample.split for sample in snapshot.samples} == {"train", "validation", "test"}
    old = {sample.id: sample.split for sample in first.samples}
    assert {sample.id: sample.split for sample in second.samples if sample.id in old} == old


def test_what_is_left_out_is_listed_with_its_reason(make_project: MakeProject) -> None:
    project = make_project(TOML + '[snapshot]\nrequire = ["view"]\n')
    fill(project, list(range(4)))
    with writing(project.engine) as connection:
        world = World(connection)
        bare = world.image(data=b"bare")
        world.region(bare)
        world.region(bare, "detected", (0, 0, 500, 500))
        world.image(data=b"broken", readable=False, reason="truncated")
    snapshot = make_snapshot(project)
    with (snapshot.folder / DROPPED).open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    reasons = [(row["verdict"], row["reason"]) for row in rows]
    assert sorted(set(reasons)) == [
        ("keep", "no label of view"),
        ("questionable", "no object found"),
        ("reject", "unreadable: truncated"),
    ]
    assert reasons.count(("questionable", "no object found")) == 4
    report = json.loads((snapshot.folder / REPORT).read_text(encoding="utf-8"))
    assert (report["samples"], report["dropped"]) == (8, 6)
    assert report["attributes"]["view"]["kept"] == {"front": 4, "rear": 4}


def test_masks_are_frozen_with_the_samples_where_the_project_segments(make_project: MakeProject) -> None:
    mask = np.zeros((800, 1000), bool)
    mask[200:400, 150:500] = True
    made = {}
    for method in ("grabcut", "off"):
        project = make_project(TOML + f'[segment]\nmethod = "{method}"\nmin_area = 0\n', name=method)
        fill(project, list(range(3)))
        with writing(project.engine) as connection:
            regions = connection.execute(sa.select(schema.region).where(schema.region.c.kind == "detected")).all()
            for row in regions[:4]:
                record = to_record(row.id, "grabcut", mask, (row.x0, row.y0, row.x1, row.y1))
                connection.execute(schema.mask.insert().values(asdict(record)))
        made[method] = make_snapshot(project)
    frozen = Snapshot.read(made["grabcut"].folder)
    assert frozen.digest == made["grabcut"].digest != made["off"].digest
    assert frozen.settings["segment"]["method"] == "grabcut"
    masked = [sample for sample in frozen.samples if sample.mask]
    assert (len(masked), len(frozen.samples)) == (4, 6)
    for sample in masked:
        found = frozen.masks.read(sample.id, sample.mask)
        assert (found.method, found.size_wh) == ("grabcut", (1000, 800))
        np.testing.assert_array_equal(found.array(), mask)
    assert not any(sample.mask for sample in made["off"].samples)
    assert not (made["off"].folder / MASKS).exists()


def test_questionable_samples_come_in_when_asked_for(make_project: MakeProject) -> None:
    project = make_project(TOML + '[snapshot]\nverdicts = ["keep", "questionable"]\n')
    fill(project, list(range(3)))
    samples = make_snapshot(project).samples
    assert max((one.verdict, one.reason) for one in samples) == ("questionable", "no object found")
    assert len(samples) == 9


def test_copies_and_the_items_that_show_them_share_a_group(make_project: MakeProject) -> None:
    project = make_project(
        "[snapshot]\nvalidation = 0.3\ntest = 0.3\n[duplicates]\nenabled = false\n[regionduplicates]\nenabled = false\n"
    )
    with writing(project.engine) as connection:
        world = World(connection)
        items = [world.item() for _ in range(8)]
        shots = [world.shot(item) for item in items]
        world.cluster("image", shots[0][0], shots[1][0])
        world.cluster("region", shots[2][1], shots[3][1])
        world.picture(items[5], shots[4][0])
    groups = {sample.item_url: sample.group for sample in make_snapshot(project).samples}
    urls = [f"http://s/item/{number}" for number in _numbers(project)]
    found = [groups.get(url) for url in urls]
    assert found[0] == found[1]
    assert found[2] == found[3]
    assert found[4] == found[5]
    assert len(set(found)) == 5


def _numbers(project: Project) -> list[int]:
    with reading(project.engine) as connection:
        urls = connection.scalars(sa.select(schema.item.c.url).order_by(schema.item.c.id)).all()
    return [int(url.rsplit("/", 1)[1]) for url in urls]


def test_a_rejected_card_in_many_listings_ties_nothing_together(make_project: MakeProject) -> None:
    project = make_project("")
    with writing(project.engine) as connection:
        world = World(connection)
        card, card_region = world.shot()
        for _ in range(10):
            item = world.item()
            world.shot(item)
            world.picture(item, card)
        reject = world.claim("reject", region=card_region, attribute="verdict")
    assert len({sample.group for sample in make_snapshot(project).samples}) == 10
    with writing(project.engine) as connection:
        World(connection).retract(reject)
    assert len({sample.group for sample in make_snapshot(project).samples}) == 1


def test_a_questionable_card_goes_with_one_listing_and_ties_nothing(make_project: MakeProject) -> None:
    project = make_project('[snapshot]\nverdicts = ["keep", "questionable"]\n')
    with writing(project.engine) as connection:
        world = World(connection)
        card, _ = world.shot(contrast=0.0)
        for _ in range(10):
            item = world.item()
            world.shot(item)
            world.picture(item, card)
    samples = make_snapshot(project).samples
    assert [sample.verdict for sample in samples].count("questionable") == 1
    assert len(samples) == 11
    assert len({sample.group for sample in samples}) == 10


def test_groups_by_seller_and_by_image(make_project: MakeProject) -> None:
    for group, expected in (("seller", 4), ("item", 12), ("image", 24)):
        project = make_project(TOML + f'[snapshot]\ngroup = "{group}"\n', name=group)
        fill(project, list(range(12)))
        assert len({sample.group for sample in make_snapshot(project).samples}) == expected


def test_classes_are_spread_evenly(make_project: MakeProject) -> None:
    project = make_project(TOML + '[snapshot]\nstratify = "colour"\ntest = 0.25\nvalidation = 0.25\n')
    fill(project, list(range(36)))
    snapshot = make_snapshot(project)
    for colour in ("red", "blue", "green"):
        inside = [sample.split for sample in snapshot.samples if sample.labels["colour"] == colour]
        assert (inside.count("test"), inside.count("validation"), inside.count("train")) == (6, 6, 12)


def test_one_class_and_no_label_are_told(make_project: MakeProject) -> None:
    project = make_project(TOML)
    with writing(project.engine) as connection:
        world = World(connection)
        for _ in range(3):
            image = world.image()
            world.region(image)
            car = world.region(image, "detected", (0, 0, 500, 500))
            world.claim("front", region=car, attribute="view")
    snapshot = make_snapshot(project)
    assert warnings_of(snapshot)[:2] == [
        "colour: no sample has a label",
        "view: all labels are front; one class cannot be learned",
    ]
    report = json.loads((snapshot.folder / REPORT).read_text(encoding="utf-8"))
    assert report["warnings"] == warnings_of(snapshot)


def test_an_empty_snapshot_says_why(make_project: MakeProject) -> None:
    project = make_project(TOML)
    with pytest.raises(UserError, match="no picture has been inspected yet"):
        make_snapshot(project)
    with writing(project.engine) as connection:
        World(connection).shot()
    with pytest.raises(UserError, match=r"none of 1 samples is keep .* \(1 x questionable: no object found\)"):
        make_snapshot(project)
    assert not project.path(FOLDER).exists()


@pytest.mark.parametrize("name", ["../out", "", ".hidden", "a/b", "x" * 101])
def test_names_that_are_no_names_are_refused(make_project: MakeProject, name: str) -> None:
    project = make_project("")
    with pytest.raises(UserError, match="cannot name a snapshot"):
        make_snapshot(project, name or "-")


def test_a_name_is_given_once(make_project: MakeProject) -> None:
    project = make_project("")
    with writing(project.engine) as connection:
        World(connection).shot()
    make_snapshot(project, "mine")
    make_snapshot(project, "project-3")
    assert make_snapshot(project).name == "project-4"
    with pytest.raises(UserError, match="there is a snapshot 'mine' already"):
        make_snapshot(project, "mine")


def test_snapshots_made_at_once_get_numbers_of_their_own(make_project: MakeProject, database_address: str) -> None:
    project = make_project("", database=database_address)
    with writing(project.engine) as connection:
        World(connection).shot()
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: make_snapshot(project), range(4)))
    assert len({snapshot.name for snapshot in made}) == 4
    assert len({snapshot.digest for snapshot in made}) == 1
    for snapshot in made:
        assert Snapshot.read(snapshot.folder).name == snapshot.name


def test_remains_of_a_killed_attempt_are_replaced_and_other_things_are_not(make_project: MakeProject) -> None:
    project = make_project("")
    with writing(project.engine) as connection:
        World(connection).shot()
    remains = make_snapshot(project)
    with writing(project.engine) as connection:
        connection.execute(schema.sample.delete())
        connection.execute(schema.snapshot.delete())
    replace(remains, samples=()).write()
    again = make_snapshot(project)
    assert (again.folder, len(Snapshot.read(again.folder).samples)) == (remains.folder, 1)
    other = project.path(FOLDER, "other")
    other.mkdir()
    (other / "diary.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="holds something else"):
        make_snapshot(project, "other")
    assert (other / "diary.txt").exists()
    assert sorted(path.name for path in project.path(FOLDER).iterdir()) == ["other", "project-1"]


def test_a_folder_that_cannot_be_made_is_told(make_project: MakeProject) -> None:
    project = make_project("")
    with writing(project.engine) as connection:
        World(connection).shot()
    project.path(FOLDER).write_text("a file", encoding="utf-8")
    with pytest.raises(UserError, match="cannot write the snapshot"):
        make_snapshot(project)


def test_unknown_attributes_in_the_settings_are_refused(make_project: MakeProject) -> None:
    for key, value in (("attributes", '["hue"]'), ("stratify", '"hue"')):
        project = make_project(TOML + f"[snapshot]\n{key} = {value}\n", name=key)
        with pytest.raises(UserError, match=f"snapshot.{key}: 'hue' is no attribute; declared: colour, view"):
            make_snapshot(project)


def test_a_snapshot_that_is_not_there_is_told(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project("")
    with pytest.raises(UserError, match=r"no snapshot 'cars-9' here; there are: none"):
        open_snapshot(project, "cars-9")


def test_chosen_items_are_exported_by_number_or_url(make_project: MakeProject) -> None:
    project = make_project(TOML)
    fill(project, list(range(20)))
    frozen = make_snapshot(project)
    with reading(project.engine) as connection:
        item = schema.item.c
        number = connection.execute(sa.select(item.id).where(item.url == "http://s/car/03")).scalar_one()
    urls = {"http://s/car/03", "http://s/car/05"}
    part = of_items(project, frozen, [str(number), "http://s/car/05"])
    assert part.samples == tuple(sample for sample in frozen.samples if sample.item_url in urls)
    assert {sample.item_url for sample in part.samples} == urls
    assert part.digest != frozen.digest

    def run(*items: str) -> Result:
        chosen = [argument for item in items for argument in ("--item", item)]
        told = ["export", frozen.name, "--format", "csv", "--project", str(project.folder), "--json", *chosen]
        return CliRunner().invoke(cli, told)

    folders = [
        Path(json.loads(run(*items).stdout)["out"]) for items in ((), ("http://s/car/03",), ("http://s/car/05",))
    ]
    assert len(set(folders)) == 3
    texts = [(folder / "samples.csv").read_text(encoding="utf-8") for folder in folders]
    rows = [list(csv.DictReader(text.splitlines())) for text in texts]
    assert [{row["item_url"] for row in one} for one in rows[1:]] == [{"http://s/car/03"}, {"http://s/car/05"}]
    assert len(rows[0]) == len(frozen.samples)


def test_items_that_a_snapshot_cannot_show_are_told(make_project: MakeProject) -> None:
    project = make_project(TOML)
    fill(project, [1, 2])
    frozen = make_snapshot(project)
    with pytest.raises(UserError, match="there is no item http://s/car/77"):
        of_items(project, frozen, ["http://s/car/01", "http://s/car/77"])
    seen = tuple(one for one in frozen.samples if one.item_url != "http://s/car/02")
    with pytest.raises(UserError, match="has no sample of http://s/car/02"):
        of_items(project, replace(frozen, samples=seen), ["http://s/car/01", "http://s/car/02"])
