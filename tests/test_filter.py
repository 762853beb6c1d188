"""A filter that is asked for a precision: thresholds from held-out answers, and words where there are none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from tamis import schema
from tamis.config import UNREACHABLE
from tamis.database import reading, writing
from tamis.dataset.verdicts import verdicts
from tamis.engine.runner import run_stage
from tamis.errors import UserError
from tamis.modelling import evaluate_thresholds, threshold_rows
from tamis.pipeline import run_pipeline
from tamis.project import filter_triage, open_project
from tamis.stages.classify import CLASSIFY
from tamis.vision.card import AttributeHead, ModelCard, file_sha256
from tamis.vision.preprocess import Preprocessing
from tamis.vision.triage import HeldOut, write_held_out
from tests.dataset.world import World
from tests.models.networks import answer_network

VIEWS = ("front", "quarter", "rear")
SETTINGS = """
[project]
name = "cars"
[classify]
model = "models/view-1"
attribute = "view"
keep = ["front", "quarter"]
precision = {precision}
[attribute.view]
classes = ["front", "quarter", "rear"]
"""


def write(folder: Path, precision: float) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "tamis.toml").write_text(SETTINGS.format(precision=precision), encoding="utf-8")
    return folder


def write_model(folder: Path, least_right: float = 0.6) -> Path:
    """A model whose held-out answers are right from 0.6 of the wanted on, and one in two from there down to 0.3."""
    folder.mkdir(parents=True)
    unsure = np.linspace(least_right - 0.01, 0.3, 20)
    wanted = np.concatenate([np.linspace(0.99, least_right, 40), unsure, np.linspace(0.2, 0.01, 40)])
    shares = np.stack([wanted * 0.6, wanted * 0.4, 1 - wanted], axis=1)
    truth = np.where((np.arange(100) < 40) | ((np.arange(100) < 60) & (np.arange(100) % 2 == 0)), 0, 2)
    held = HeldOut(VIEWS, shares, truth.astype(np.int64), np.arange(100) // 2)
    logits = {"view": np.array([1.0, 0.0, 0.0], np.float32)}
    network = answer_network(folder / "model.onnx", logits, frame=16)
    files = [network, write_held_out(folder, {"view": held}, "10 folds")]
    head = AttributeHead("choice", VIEWS)
    sums = {path.name: file_sha256(path) for path in files}
    ModelCard("view-1", "none", {"view": head}, Preprocessing(16), {"name": "s"}, {}, sums).write(folder)
    return folder


def test_thresholds_follow_from_the_model_and_move_without_a_run(tmp_path: Path) -> None:
    write_model(tmp_path / "models" / "view-1")
    strict = open_project(write(tmp_path, 0.95)).settings.classify
    lenient = open_project(write(tmp_path, 0.7)).settings.classify
    as_set = open_project(write(tmp_path, 0.0)).settings.classify
    assert 0.5 < strict.keep_from < 0.7
    assert 0 < strict.reject_below <= 0.4
    assert lenient.keep_from < strict.keep_from
    assert (as_set.keep_from, as_set.reject_below) == (0.8, 0.2)


def test_several_wanted_classes_count_together_and_a_moved_precision_changes_verdicts(tmp_path: Path) -> None:
    write_model(tmp_path / "models" / "view-1")
    project = open_project(write(tmp_path, 0.95))
    with writing(project.engine) as connection:
        world = World(connection)
        for front, quarter in ((0.5, 0.49), (0.3, 0.25), (0.05, 0.05)):
            shares = {"front": front, "quarter": quarter, "rear": round(1 - front - quarter, 6)}
            best = max(shares, key=lambda name: shares[name])
            _, region = world.shot()
            world.claim(
                best, region=region, attribute="view", who="model", actor="view-1", confidence=shares[best],
                evidence=json.dumps(shares),
            )  # fmt: skip

    def given(precision: float) -> list[str]:
        settings = open_project(write(tmp_path, precision)).settings
        with reading(project.engine) as connection:
            return [one.verdict for one in verdicts(connection, settings)]

    assert given(0.95) == ["keep", "questionable", "reject"]
    assert given(0.7) == ["keep", "keep", "reject"]


def test_a_precision_that_no_threshold_reaches_keeps_nothing_however_sure_the_model_is(tmp_path: Path) -> None:
    write_model(tmp_path / "models" / "view-1")
    folder = write(tmp_path, 0.99)
    (folder / "tamis.toml").write_text(
        SETTINGS.format(precision=0.99).replace("[attribute", "surely = true\n[attribute")
    )
    project = open_project(folder)
    found = filter_triage(project.settings, project.folder)
    assert found is not None
    assert found.keep is None
    with writing(project.engine) as connection:
        world = World(connection)
        _, region = world.shot()
        shares = {"front": 0.7, "quarter": 0.3, "rear": 0.0}
        world.claim(
            "front", region=region, attribute="view", who="model", actor="view-1", confidence=1.0,
            evidence=json.dumps(shares),
        )  # fmt: skip
        (one,) = verdicts(connection, project.settings)
    assert one.verdict == "questionable"


def test_without_a_model_that_can_tell_nothing_is_kept_and_the_run_says_why(tmp_path: Path) -> None:
    project = open_project(write(tmp_path, 0.9))
    assert (project.settings.classify.keep_from, project.settings.classify.reject_below) == (UNREACHABLE, 0.0)
    with pytest.raises(UserError, match="no model folder"):
        filter_triage(project.settings, project.folder)
    with pytest.raises(UserError, match="no model folder"):
        run_stage(project, CLASSIFY)
    folder = write_model(tmp_path / "models" / "view-1")
    assert filter_triage(project.settings, project.folder) is not None
    wrong = project.settings.classify.model_copy(update={"keep": ("side",)})
    with pytest.raises(UserError, match="'side' is none of the model's classes"):
        filter_triage(project.settings.model_copy(update={"classify": wrong}), project.folder)
    own = project.settings.classify.model_copy(update={"model": "models/view-1/model.onnx"})
    with pytest.raises(UserError, match="set keep_from and reject_below instead"):
        filter_triage(project.settings.model_copy(update={"classify": own}), project.folder)
    assert folder.is_dir()


def test_thresholds_are_told_for_several_precisions(tmp_path: Path) -> None:
    write_model(tmp_path / "models" / "view-1")
    project = open_project(write(tmp_path, 0.93))
    told = evaluate_thresholds(project, "view-1")
    assert [one["wanted"] for one in told] == [0.9, 0.93, 0.95, 0.97, 0.98, 0.99]
    assert all(one["promise"] <= one["precision"] for one in told if one["precision"] is not None)
    promised = [one for one in told if not one["supported"]]
    assert promised
    assert all("with 95 % confidence" in one["told"] or "at no threshold" in one["told"] for one in promised)
    assert len(threshold_rows(told)[0]) == 8


def test_a_classifier_of_ones_own_labels_regions_and_filters(tmp_path: Path) -> None:
    """A bare export: its classes come from its metadata, its attribute and thresholds from the settings."""
    pictures = tmp_path / "photos"
    pictures.mkdir()
    for name, shade in (("bright", 255), ("dark", 0)):
        speckled = np.full((96, 120, 3), shade, np.uint8)
        speckled[::7, ::5] = 255 - shade if name == "bright" else 9
        Image.fromarray(speckled).save(pictures / f"{name}.png")
    logits = {"output0": np.array([3.0, 0.0, -3.0], np.float32)}
    names = {"names": "{0: 'front', 1: 'quarter', 2: 'rear'}", "task": "classify", "imgsz": "[32, 32]"}
    answer_network(tmp_path / "own-cls.onnx", logits, frame=32, metadata=names)
    settings = SETTINGS.format(precision=0.0).replace("models/view-1", "own-cls.onnx")
    settings += '[source.disk]\nkind = "folder"\naddress = "photos"\n'
    settings += "[inspect]\nmin_contrast = 0.0\n[duplicates]\nenabled = false\n"
    (tmp_path / "tamis.toml").write_text(settings, encoding="utf-8")
    project = open_project(tmp_path)
    reports = run_pipeline(project, ["crawl", "download", "inspect", "detect", "classify"])
    assert [report.rows for report in reports if report.stage == "classify"] == [2]
    with reading(project.engine) as connection:
        rows = connection.execute(sa.select(schema.label).where(schema.label.c.who == "model")).all()
        given = sorted(one.verdict for one in verdicts(connection, project.settings))
    assert {row.actor for row in rows} == {"own-cls.onnx"}
    assert {row.attribute for row in rows} == {"view"}
    for row in rows:
        shares = json.loads(row.evidence)
        assert list(shares) == list(VIEWS)
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
        assert shares[row.value] == row.confidence == max(shares.values())
    assert given == ["keep", "questionable"]  # 0.998 of the bright one is wanted, two thirds of the dark one
    (tmp_path / "tamis.toml").write_text(
        settings.replace('"quarter", "rear"]', '"rear"]', 1).replace(
            'keep = ["front", "quarter"]', 'keep = ["front"]\nfit = "letterbox"'
        ),
        encoding="utf-8",
    )
    with pytest.raises(UserError, match="quarter, which attribute view does not declare"):
        run_stage(open_project(tmp_path), CLASSIFY)
