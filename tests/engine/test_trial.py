"""What `tamis run` and `tamis status` say of models before anything is done."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from tamis import schema
from tamis.cli import run as run_cli
from tamis.database import reading
from tamis.engine.stage import Compute, Context
from tamis.engine.trial import look_ahead
from tamis.project import Project
from tamis.vision.render import encode
from tests.conftest import MakeProject
from tests.engine.sample_stages import batch_stage
from tests.models.networks import answer_network
from tests.vision.pictures import shot

CAR_AND_BUS = {"names": "{0: 'car', 1: 'bus'}"}
HEAD = '[source.disk]\nkind = "folder"\naddress = "photos"\n[detect]\n'


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    """A folder of two pictures, and a detector that sees a car in each."""
    made = make_project(HEAD)
    (made.folder / "photos").mkdir()
    for number in (1, 2):
        (made.folder / "photos" / f"{number}.jpg").write_bytes(encode(shot(number), "jpeg"))
    rows = np.zeros((60, 6), np.float32)
    rows[0] = [8, 8, 56, 56, 0.9, 0]
    answer_network(made.folder / "m.onnx", {"output0": rows}, metadata=CAR_AND_BUS)
    return made


def call(project: Project, capfd: pytest.CaptureFixture[str], detect: str, *arguments: str) -> tuple[int, str, str]:
    (project.folder / "tamis.toml").write_text(HEAD + detect, encoding="utf-8")
    capfd.readouterr()
    code = run_cli([*arguments, "--project", str(project.folder)])
    told = capfd.readouterr()
    return code, told.out, told.err


def touched(project: Project) -> int:
    with reading(project.engine) as connection:
        tables = (schema.picture, schema.image, schema.inspection, schema.region)
        return sum(connection.execute(sa.select(sa.func.count()).select_from(one)).scalar_one() for one in tables)


def wrong_layout(folder: Path) -> None:
    answer_network(folder / "odd.onnx", {"a": np.zeros((3, 5, 7, 2), np.float32), "b": np.zeros(4, np.float32)})


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ('model = "lost.onnx"\n', "lost.onnx not found"),
        ('model = "half.onnx"\n', "half.onnx is no ONNX model, or not the whole of one"),
        ('model = "m.pt"\n', "set detect.trust_pickle = true"),
        ('model = "odd.onnx"\n', "of no layout that tamis reads"),
        ('model = "m.onnx"\nclasses = ["cra"]\n', "detect.classes: model m.onnx knows no cra (did you mean car?)"),
        (
            'model = "coco.onnx"\nclasses = ["lorry"]\n',
            "detect.classes: model coco.onnx knows no lorry; it knows person,",
        ),
        ('[classify]\nmodel = "models/view"\nattribute = "view"\n', "models/view is no model folder"),
        ('[segment]\nmethod = "model"\nmodel = "lost.onnx"\n', "lost.onnx not found"),
        ('[segment]\nmethod = "model"\nmodel = "m.onnx"\n', "makes no masks"),
    ],
)
def test_a_model_that_cannot_serve_ends_a_run_before_it_begins(
    project: Project, capfd: pytest.CaptureFixture[str], settings: str, named: str
) -> None:
    whole = (project.folder / "m.onnx").read_bytes()
    (project.folder / "half.onnx").write_bytes(whole[: len(whole) // 2])
    (project.folder / "m.pt").write_bytes(b"a pickle")
    wrong_layout(project.folder)
    answer_network(project.folder / "coco.onnx", {"output0": np.full((84, 84), 0.01, np.float32)})
    code, _, told = call(project, capfd, settings, "run")
    assert (code, told.count("\n")) == (2, 1), told
    assert named in told
    assert touched(project) == 0


def test_classes_that_the_detector_does_not_know_are_told(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    model = 'model = "m.onnx"\n'
    code, told, _ = call(project, capfd, f'{model}classes = ["car", "bsu"]\n', "run")
    line = "warning: detect.classes: model m.onnx knows no bsu (did you mean bus?); it knows car, bus"
    assert (code, told.count(line)) == (0, 1)
    code, told, _ = call(project, capfd, f'{model}classes = ["car", "bsu"]\n', "run")
    assert (code, told.count(line)) == (0, 1)  # nothing is pending
    code, told, _ = call(project, capfd, f'{model}classes = ["car", "bsu"]\n', "status")
    assert (code, told.count(line)) == (0, 1)
    code, told, _ = call(project, capfd, f'{model}classes = ["cra"]\n', "status", "--json")
    detect = next(stage for stage in json.loads(told)["stages"] if stage["stage"] == "detect")
    assert (code, detect["done"]) == (0, 2)
    assert detect["idle"].startswith("detect.classes: model m.onnx knows no cra")
    code, _, told = call(project, capfd, f'{model}classes = ["cra"]\n', "run")
    assert (code, "did you mean car?" in told) == (2, True)
    code, told, _ = call(project, capfd, f'{model}classes = ["car", "bus"]\n', "run")
    assert (code, "warning" in told) == (0, False)


def talkative(_: Context) -> Compute:
    print("a library greets")
    return lambda rows: [() for _ in rows]


def test_what_a_library_prints_stays_out_of_the_output(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    stage = replace(batch_stage(), batch=talkative, look=lambda _: ("mind the model",))
    assert look_ahead(project, [stage]) == {"look": ("mind the model",)}
    told = capfd.readouterr()
    assert (told.out, told.err.strip()) == ("", "a library greets")


def test_steps_that_need_no_model_run_without_it(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    code, _, told = call(project, capfd, 'model = "lost.onnx"\n', "run", "crawl", "download", "inspect")
    assert (code, touched(project)) == (0, 6), told
