"""Clusters settled bit by bit are those settled at once: in whatever portions and runs their pictures come."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
import sqlalchemy as sa

from tamis import schema
from tamis.database import reading, writing
from tamis.engine import extents, ledger
from tamis.engine.collapse import NO_SUBJECT
from tamis.engine.ledger import Entry
from tamis.engine.runner import run_stage
from tamis.engine.stage import Stage
from tamis.errors import Interrupted
from tamis.project import Project
from tamis.stages.duplicates import DUPLICATES
from tamis.stages.inspect import INSPECT
from tamis.vision.proposals import _LARGE
from tests.conftest import MakeProject
from tests.dataset.world import World
from tests.stages.test_copies import say
from tests.vision.pictures import Image, as_image, bannered, lettered, recompressed, resized, shot

#: Two runs' worth of everything: who is in whose cluster and how, and what is related to what, by content.
Outcome = tuple[dict[str, tuple[str, str]], set[tuple[frozenset[str], str]]]


def files() -> list[bytes]:
    """Three shots with four copies each, and one that is alone."""
    pictures: list[Image] = [shot(9)]
    for seed in (1, 2, 3):
        original = shot(seed)
        copies = [recompressed(original), resized(original), lettered(original), bannered(original)]
        pictures += [original, as_image(original[:, ::-1]), *copies[seed - 1 :], *copies[: seed - 2]][:5]
    return [cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))[1].tobytes() for picture in pictures]


FILES = files()
PORTIONS = replace(DUPLICATES, at_once=3)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extents, "SIZE", 2)


def add(project: Project, pictures: Sequence[bytes]) -> None:
    with writing(project.engine) as connection:
        for data in pictures:
            World(connection).add(schema.image, sha256=project.blobs.put(data), size=len(data), first_seen=1.0)
    run_stage(project, INSPECT)


def outcome(project: Project) -> Outcome:
    with reading(project.engine) as connection:
        name = {row.id: row.sha256 for row in connection.execute(sa.select(schema.image))}
        members = connection.execute(sa.select(schema.cluster)).all()
        related = connection.execute(sa.select(schema.relation)).all()
    homes = {name[row.member_id]: (name[row.keeper_id], row.kind) for row in members}
    return homes, {(frozenset((name[row.first_id], name[row.second_id])), row.kind) for row in related}


@pytest.fixture(scope="module")
def expected() -> list[Outcome]:
    """What one run over all comes to, kept by whoever makes it first."""
    return []


def at_once(make_project: MakeProject, expected: list[Outcome]) -> Outcome:
    if not expected:
        project = make_project(name="all")
        add(project, FILES)
        run_stage(project, DUPLICATES)
        expected.append(outcome(project))
        assert len(expected[0][0]) == 15
    return expected[0]


def settled_anew(project: Project, stage: Stage) -> Outcome:
    """Settle all clusters again, as after another decision, and put the decision back."""
    with reading(project.engine) as connection:
        decided = ledger.fingerprint_of(connection, f"{stage.name} decision", NO_SUBJECT)
    assert decided is not None
    run_stage(project, replace(stage, decision=lambda settings, side: "another"))
    with writing(project.engine) as connection:
        entry = Entry(NO_SUBJECT, "", "done", None, 0, 1, None)
        ledger.record(connection, f"{stage.name} decision", decided, [entry])
    return outcome(project)


def test_what_comes_in_portions_knows_all_that_bears_on_how_leniently_it_is_looked_at() -> None:
    assert max(_LARGE) <= DUPLICATES.at_once


@pytest.mark.parametrize("seed", range(3))
def test_portions_and_runs_come_to_the_same(make_project: MakeProject, expected: list[Outcome], seed: int) -> None:
    chance = random.Random(seed)
    pictures = chance.sample(FILES, len(FILES))
    project = make_project(name="bits")
    cuts = sorted(chance.sample(range(1, len(pictures)), 3))
    for start, end in pairwise([0, *cuts, len(pictures)]):
        add(project, pictures[start:end])
        run_stage(project, PORTIONS)
        assert outcome(project) == settled_anew(project, PORTIONS)
    assert outcome(project) == at_once(make_project, expected)


def test_what_a_stopped_run_found_is_kept(make_project: MakeProject, expected: list[Outcome]) -> None:
    project = make_project(name="stopped")
    add(project, FILES)
    stop = threading.Event()

    def progress(done: int, total: int | None, _: str) -> None:
        assert done <= (total or 0) == len(FILES)
        if done >= 6:
            stop.set()

    with pytest.raises(Interrupted, match="duplicates stopped at") as told:
        run_stage(project, PORTIONS, progress=progress, stop=stop)
    assert "is kept" in told.value.then
    assert len(outcome(project)[1]) > 0
    report = run_stage(project, PORTIONS)
    assert 0 < report.rows < len(FILES)
    assert outcome(project) == at_once(make_project, expected)


@pytest.mark.parametrize("seed", range(2))
def test_verdicts_and_pictures_that_change_touch_what_hangs_together(make_project: MakeProject, seed: int) -> None:
    chance = random.Random(seed)
    project = make_project(name="verdicts")
    pictures = chance.sample(FILES, len(FILES))
    add(project, pictures[:10])
    run_stage(project, PORTIONS)
    ids = list(range(1, 11))
    for _ in range(4):
        with writing(project.engine) as connection:
            say(connection, tuple(chance.sample(ids, 2)), chance.random() < 0.5)  # type: ignore[arg-type]
        run_stage(project, PORTIONS)
    changed = chance.choice(ids)
    with writing(project.engine) as connection:  # inspected anew, and another picture by its signatures
        facts = schema.inspection.c
        connection.execute(sa.update(schema.inspection).where(facts.image_id == changed).values(phash=7, dhash=9))
        connection.execute(
            sa.update(schema.ledger)
            .where(schema.ledger.c.stage == "inspect", schema.ledger.c.subject_id == changed)
            .values(fingerprint="anew")
        )
        extents.touch(connection, "inspection", [changed])
    assert run_stage(project, PORTIONS).rows == 1
    assert outcome(project) == settled_anew(project, PORTIONS)
    add(project, pictures[10:])
    run_stage(project, PORTIONS)
    assert outcome(project) == settled_anew(project, PORTIONS)
