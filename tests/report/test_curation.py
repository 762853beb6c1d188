"""The contact sheet: its numbers are the verdicts', its scores part as the settings decide, no text is markup."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from random import Random

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tamis import schema
from tamis.cli import run
from tamis.config import Settings
from tamis.database import reading, writing
from tamis.dataset.claims import Claim
from tamis.dataset.verdicts import count_verdicts, wanted_bounds
from tamis.errors import UserError
from tamis.project import Project, open_project
from tamis.report.curation import FATES, Drawn, Sighting, _thumbnails, read_curation, write_curation_report
from tamis.report.measures import Part, _wanted
from tamis.report.scores import BINS, Fate, Measure, Threshold, read_distribution
from tamis.settingsfile import parse_settings
from tamis.vision.masks import to_record
from tests.databases import own_database
from tests.dataset.world import World

SETTINGS = """
[project]
name = "cars"
[detect]
model = "m.onnx"
[classify]
model = "models/view-1"
attribute = "view"
keep = ["front", "side"]
keep_from = 0.6
reject_below = 0.35
[attribute.view]
classes = ["front", "side", "wheel", "interior"]
"""
HOSTILE = '<script>alert("reason")</script>'


def jpeg(number: int) -> bytes:
    stream = BytesIO()
    Image.fromarray(np.full((80, 100, 3), 10 * number % 255, np.uint8)).save(stream, "JPEG")
    return stream.getvalue()


def fill(project: Project) -> None:
    """Twenty detected regions by model score and view, two copies, two broken images and one without an object."""
    with writing(project.engine) as connection:
        world = World(connection)
        images, regions = [], []
        for number in range(20):
            data = jpeg(number)
            project.blobs.put(data)
            image = world.image((100, 80), data=data, sharpness=float(number))
            world.region(image)
            images.append(image)
            box = (0.0, 0.0, 60.0 + number, 60.0)
            regions.append(world.region(image, "detected", box, score=0.2 + 0.04 * number, class_name="car"))
        for number, region in enumerate(regions[3:], 3):
            view = ["front", "wheel", "side", "interior"][number % 4]
            sure = 0.3 + 0.03 * number
            others = {name: round((1 - sure) / 3, 6) for name in ("front", "side", "wheel", "interior")}
            told = json.dumps({**others, view: sure}) if number % 3 else None  # as labels of one class alone had it
            world.claim(
                view, region=region, attribute="view", who="model", actor="view-1", confidence=sure, evidence=told
            )
        world.claim("reject", region=regions[19], attribute="verdict", evidence=HOSTILE)
        for loser, score in ((18, 0.9), (17, 0.55)):
            pair = {"level": "image", "first_id": images[16], "second_id": images[loser], "distance": 4}

            world.add(schema.relation, kind="edited", score=score, **pair)
        for member, kind in ((16, "keeper"), (17, "edited"), (18, "edited")):
            row = {"level": "image", "member_id": images[member], "keeper_id": images[16]}
            world.add(schema.cluster, kind=kind, score=0.9, **row)
        for _ in range(2):
            world.image(data=HOSTILE.encode() + bytes([_]), readable=False, reason=HOSTILE)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server),
                        pytest.param("mariadb", marks=pytest.mark.server)])  # fmt: skip
def project(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    (tmp_path / "tamis.toml").write_text(SETTINGS)
    with nullcontext() if request.param == "sqlite" else own_database(request.param) as address:
        if address:
            monkeypatch.setenv("TAMIS_DATABASE", address)
        opened = open_project(tmp_path)
        try:
            fill(opened)
            yield opened
        finally:
            opened.close()


def test_masks_are_shown_on_their_regions_and_judged(tmp_path: Path) -> None:
    (tmp_path / "tamis.toml").write_text('[detect]\nmodel = "m.onnx"\n[segment]\nmethod = "grabcut"\nmin_area = 0.3\n')
    project = open_project(tmp_path)
    try:
        with writing(project.engine) as connection:
            world = World(connection)
            for number in range(6):
                data = jpeg(number)
                project.blobs.put(data)
                image = world.image((100, 80), data=data)
                world.region(image)
                region = world.region(image, "detected", (10.0, 10.0, 90.0, 70.0), score=0.9, class_name="car")
                mask = np.zeros((80, 100), bool)
                mask[10:70, 10 : 10 + 12 * (number + 1)] = True
                record = to_record(region, "grabcut", mask, (10.0, 10.0, 90.0, 70.0))
                connection.execute(sa.insert(schema.mask).values(asdict(record)))
        curation = write_curation_report(project, tmp_path / "curation.html")
        step = next(step for step in curation.steps if step.name == "segment")
        assert [(group.fate, group.cause, group.drawn.count) for group in step.groups] == [("doubted", "thin_mask", 1)]
        assert step.groups[0].drawn.sample[0].told == "mask fills 15% of its box, 30% asked for"
        assert all(one.part.mask_of is not None for one in (*step.groups[0].drawn.sample, *step.passed.sample))
        area, border, holes = step.distributions
        assert [threshold.setting for one in step.distributions for threshold in one.measure.thresholds] == [
            "segment.min_area", "segment.max_border", "segment.max_holes",
        ]  # fmt: skip
        assert (area.count, list(area.zones)) == (6, [1, 5])
        assert [border.zones, holes.zones] == [[6, 0], [6, 0]]
        ((value, (part,)),) = area.neighbours[0].below
        assert value == pytest.approx(0.15)
        url = _thumbnails(project, [part], None)[part]
        shown = np.asarray(Image.open(BytesIO(b64decode(url.split(",")[1]))).convert("RGB"), float)
        inside, outside = shown[shown.shape[0] // 2, 10], shown[shown.shape[0] // 2, -20]
        assert abs(inside - inside.mean()).max() < 12  # as grey as the picture
        assert outside[0] > outside[1] + 60  # tinted
    finally:
        project.close()


def test_the_steps_add_up_to_the_verdicts(project: Project) -> None:
    curation = read_curation(project)
    with reading(project.engine) as connection:
        counts = count_verdicts(connection, project.settings)
    assert curation.verdicts == {"kept": counts.keep, "doubted": counts.questionable, "rejected": counts.reject}
    told = Counter[str]()
    for step in curation.steps:
        assert step.entered == sum(step.amount(fate) for fate in FATES)
        assert step.passed.count == counts.keep + sum(
            later.amount(fate)
            for later in curation.steps[curation.steps.index(step) + 1 :]
            for fate in ("doubted", "rejected")
        )
        for group in step.groups:
            told[group.cause] += group.drawn.count
            assert len(group.drawn.sample) == min(8, group.drawn.count)
    causes = Counter[str]()
    for (_, cause), amount in counts.causes.items():
        causes[cause] += amount
    assert told == causes
    assert {"unreadable", "copy", "no_object", "wanted", "unwanted", "unsure", "person"} <= set(told)


def test_scores_are_parted_where_the_settings_part_them(project: Project) -> None:
    found = {one.measure.name: one for step in read_curation(project, 3).steps for one in step.distributions}
    detector = found["Score of the detector"]
    assert (detector.count, list(detector.zones)) == (20, [2, 18])
    assert sum(detector.counts) == 20
    near = detector.neighbours[0]
    assert [round(value, 2) for value, _ in near.below] == [0.24, 0.2]
    assert [round(value, 2) for value, _ in near.above] == [0.28, 0.32, 0.36]
    assert [(round(place, 2), change) for place, _, change in near.moved] == [(0.35, -2), (0.45, -5)]
    pairs = found["Score of compared pairs"]
    assert list(pairs.zones) == [0, 2]
    assert all(len(parts) == 2 for _, parts in pairs.neighbours[0].above)
    wanted = found["Probability that view is wanted"]
    assert sum(wanted.zones) == 17
    low, high = wanted.neighbours  # "doubted" shows nothing that is rejected or kept
    assert all(value < 0.6 for value, _ in low.above)
    assert all(value >= 0.35 for value, _ in high.below)


def test_the_page_is_whole_escaped_and_small(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    path = project.path("reports", "curation.html")
    write_curation_report(project, path, 4)
    text = path.read_text(encoding="utf-8")
    assert HOSTILE not in text
    assert "&lt;script&gt;" in text
    assert not re.findall(r'src="(?!data:image/jpeg;base64,)', text)
    assert not re.findall(r"<(?:script|link|iframe|object)\b", text)
    assert "detect.min_score = 0.25" in text
    assert "no picture" in text  # the broken ones
    assert text.count("data:image/jpeg") < 400
    assert run(["report", "curation", "--project", str(project.folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verdicts"] == read_curation(project).verdicts
    assert [step["name"] for step in told["steps"]][:2] == ["inspect", "duplicates"]


def test_a_project_without_images_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "tamis.toml").write_text(SETTINGS)
    empty = open_project(tmp_path)
    try:
        with pytest.raises(UserError, match="nothing is curated yet: `tamis run`"):
            read_curation(empty)
    finally:
        empty.close()


VALUES = sa.table("v", sa.column("value"), sa.column("name"))


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.integers(0, 20).map(lambda n: n / 20) | st.none(), max_size=40),
    marks=st.lists(st.integers(0, 20).map(lambda n: n / 20), min_size=1, max_size=2, unique=True).map(sorted),
    upper=st.booleans(), nearest=st.integers(1, 5),
)  # fmt: skip
def test_a_distribution_is_that_of_its_rows(
    values: list[float | None], marks: list[float], upper: bool, nearest: int
) -> None:
    engine = sa.create_engine("sqlite://")
    thresholds = tuple(Threshold("a.b", mark, 0.1) for mark in marks)
    all_fates: tuple[Fate, ...] = ("rejected", "doubted", "kept")
    fates = all_fates[: len(marks) + 1]
    measure = Measure("m", "", sa.select(VALUES.c.value, VALUES.c.name), thresholds, fates, lambda row: row.name, upper)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE v (value DOUBLE, name INTEGER)")
        for name, value in enumerate(values):
            connection.exec_driver_sql("INSERT INTO v VALUES (?, ?)", (value, name))
        found = read_distribution(connection, measure, nearest)
    scored = [value for value in values if value is not None]
    if not scored:
        assert found is None
        return
    assert found is not None
    assert (found.count, sum(found.counts), len(found.counts)) == (len(scored), len(scored), BINS)
    zone = [sum(value >= mark if upper else value > mark for mark in marks) for value in scored]
    assert list(found.zones) == [zone.count(place) for place in range(len(marks) + 1)]
    for place, near in enumerate(found.neighbours):
        below = sorted((value for value, at in zip(scored, zone, strict=True) if at == place), reverse=True)
        above = sorted(value for value, at in zip(scored, zone, strict=True) if at == place + 1)
        assert [value for value, _ in near.below] == below[:nearest]
        assert [value for value, _ in near.above] == above[:nearest]
        for moved, amount, change in near.moved:
            assert amount == sum(value >= moved if upper else value > moved for value in scored)
            assert change == amount - sum(at > place for at in zone)


@settings(max_examples=200, deadline=None)
@given(
    value=st.sampled_from(["a", "b", "c", "d"]), confidence=st.floats(0.26, 1),  # the likeliest of four
    all_told=st.booleans(),
    keep=st.sets(st.sampled_from(["a", "b", "c", "d"]), min_size=1).map(sorted),
    bounds=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)).map(sorted).filter(lambda both: both[1] - both[0] > 0.001),
    moved=st.tuples(st.floats(0, 0.99), st.floats(0.01, 1)).map(list),
)  # fmt: skip
def test_the_filter_scale_decides_as_the_verdicts_do(
    value: str, confidence: float, all_told: bool, keep: list[str], bounds: list[float], moved: list[float]
) -> None:
    low, high = bounds
    asked: Settings = parse_settings(
        f'[classify]\nattribute = "x"\nkeep = {json.dumps(keep)}\nkeep_from = {high!r}\nreject_below = {low!r}\n'
        '[attribute.x]\nclasses = ["a", "b", "c", "d"]\n'
    )
    rest = (1 - confidence) / 3
    told = json.dumps({name: confidence if name == value else rest for name in "abcd"}) if all_told else None
    claim = Claim(1, 1, None, "x", value, "model", "m", confidence, told, 0.0)
    least, most = wanted_bounds(claim, keep, ("a", "b", "c", "d"))
    expected = "keep" if least >= high else "reject" if most < low else "doubt"
    columns = {"value": value, "confidence": confidence, "evidence": told}
    query = sa.select(*(sa.literal(one, None if one else sa.Text).label(name) for name, one in columns.items()))
    row = query.subquery().c
    with sa.create_engine("sqlite://").connect() as connection:
        number = connection.scalar(sa.select(_wanted(row, asked)))
    assert number is not None
    assert expected == ("keep" if number >= high else "reject" if number < low else "doubt")
    half = (low + high) / 2
    reject_below, keep_from = half * moved[0], half + (1 - half) * moved[1]
    expected = "keep" if least >= keep_from else "reject" if most < reject_below else "doubt"
    assert expected == ("keep" if number >= keep_from else "reject" if number < reject_below else "doubt")


@given(st.integers(0, 200), st.integers(1, 10))
def test_samples_are_bounded_and_of_what_was_counted(count: int, most: int) -> None:
    drawn = Drawn(most, Random(1))
    for number in range(count):
        drawn.add(lambda number=number: Sighting(Part(str(number), None, "")))  # type: ignore[misc]
    names = [one.part.sha256 for one in drawn.sample]
    assert (drawn.count, len(names), len(set(names))) == (count, min(most, count), len(names))
    assert {int(name) for name in names} <= set(range(count))
