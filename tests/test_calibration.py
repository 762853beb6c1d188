"""`tamis duplicates calibrate`: the proposal, what it needs, and the line that it sets."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tamis import schema
from tamis.calibration import set_number, write_threshold
from tamis.cli import run
from tamis.database import writing
from tamis.errors import ProjectError
from tamis.project import Project
from tamis.settingsfile import load_settings
from tests.conftest import MakeProject
from tests.stages.test_copies import say

TOML = """# A project.
[duplicates]
keeper = "largest"  # the best
threshold = 0.5  # by hand

[regionduplicates]
# nothing yet
"""


def judge(project: Project, same_from: float, judged: int = 60, pairs: int = 200) -> None:
    """Add pairs of even scores, of which some are judged: the same from a score on."""
    chance = random.Random(0)
    rows = [
        {"level": "image", "first_id": n, "second_id": n + 1000, "kind": "edited", "score": n / pairs, "distance": 3}
        for n in range(1, pairs + 1)
    ]
    with writing(project.engine) as connection:
        connection.execute(sa.insert(schema.relation), rows)
        for row in chance.sample(rows, judged):
            say(connection, (row["first_id"], row["second_id"]), bool(row["score"] >= same_from))  # type: ignore[arg-type,operator]


def calibrate(project: Project, capsys: pytest.CaptureFixture[str], *options: str, code: int = 0) -> Any:
    capsys.readouterr()
    assert run(["duplicates", "calibrate", "--project", str(project.folder), *options]) == code
    return capsys.readouterr()


def test_the_threshold_is_proposed_and_written_with_the_comments_kept(
    make_project: MakeProject, capsys: pytest.CaptureFixture[str]
) -> None:
    project = make_project(TOML)
    judge(project, 0.7)
    path = project.folder / "tamis.toml"
    told = calibrate(project, capsys).out
    assert "[duplicates]\nthreshold = 0." in told
    assert "now 0.5" in told
    assert path.read_text() == TOML
    document = json.loads(calibrate(project, capsys, "--json", "--write", "--precision", "1").out)
    # The lowest judged score of 0.7 or more, and those between it and the next lower one count for it.
    assert 0.69 <= document["threshold"] <= 0.75
    assert document["chosen"]["precision"] == 1.0
    assert path.read_text() == TOML.replace("threshold = 0.5 ", f"threshold = {document['threshold']!r} ")
    assert load_settings(project.folder).duplicates.threshold == document["threshold"]


def test_a_precision_that_no_threshold_reaches_is_said_and_nothing_written(
    make_project: MakeProject, capsys: pytest.CaptureFixture[str]
) -> None:
    project = make_project(TOML)
    judge(project, 0.7)
    told = calibrate(project, capsys, "--precision", "0.999", "--surely", "--write").out
    assert "no threshold reaches a precision of 0.999" in told
    assert (project.folder / "tamis.toml").read_text() == TOML


@pytest.mark.parametrize(
    ("same_from", "judged", "lacks"),
    [(0.5, 10, "20 more pairs in all"), (0.0, 40, "5 more that are not"), (2.0, 40, "5 more that are the same")],
)
def test_too_few_verdicts_are_refused_with_what_is_missing(
    make_project: MakeProject, capsys: pytest.CaptureFixture[str], same_from: float, judged: int, lacks: str
) -> None:
    project = make_project(TOML)
    judge(project, same_from, judged)
    told = calibrate(project, capsys, code=2).err
    assert lacks in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "[duplicates]\nthreshold = 0.25\n"),
        ("[project]\nname = 'x'", "[project]\nname = 'x'\n\n[duplicates]\nthreshold = 0.25\n"),
        ("[duplicates]", "[duplicates]\nthreshold = 0.25\n"),
        (
            "[duplicates] # these\nradius = 3\n[crawl]\n",
            "[duplicates] # these\nthreshold = 0.25\nradius = 3\n[crawl]\n",
        ),
        ("[duplicates]\r\nthreshold=0.5# so\r\n", "[duplicates]\r\nthreshold=0.25# so\r\n"),
        ("[other]\nthreshold = 1\n[duplicates]\n", "[other]\nthreshold = 1\n[duplicates]\nthreshold = 0.25\n"),
    ],
)
def test_one_line_is_set(before: str, after: str) -> None:
    assert set_number(before, "duplicates", "threshold", 0.25) == after


@pytest.mark.parametrize("text", ["duplicates.threshold = 0.5\n", "duplicates = { threshold = 0.5 }\n"])
def test_what_cannot_be_edited_line_by_line_stays_as_it_is(tmp_path: Path, text: str) -> None:
    (tmp_path / "tamis.toml").write_text(text)
    with pytest.raises(ProjectError, match=r"write `threshold = 0.25` below \[duplicates\] by hand"):
        write_threshold(tmp_path, "duplicates", 0.25)
    assert (tmp_path / "tamis.toml").read_text() == text
