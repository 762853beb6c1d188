"""The demo as a newcomer runs it, on fewer cars."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tamis.cli import run


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_demo_finds_what_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    command = [sys.executable, "-m", "tamis", "demo", "--listings", "14", "--project", str(folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=800)
    assert done.returncode == 0, done.stderr[-3000:]
    document = json.loads(done.stdout)
    share = {score["what"]: score["share"] for score in document["scores"]}
    for what in ("items found", "prices", "pictures found", "good pictures downloaded", "picture faults survived"):
        assert share[what] == 1.0, what
    assert share["duplicate pairs right (precision)"] == 1.0
    assert share["duplicate pairs found (recall)"] >= 0.9
    assert share["boxes with IoU 0.5 or more"] >= 0.95
    assert share["gold labels of the view"] >= 0.9
    assert document["annotator"]["wrong"] > 0
    view = document["model"]["attributes"]["view"]
    assert view["accuracy"]["value"] > view["majority_accuracy"]
    assert sum(document["verdicts"].values()) > 50
    assert list((folder / "exports").rglob("clean/*/*.jpg"))
    assert (folder / "models" / "demo-1" / "model.onnx").is_file()


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    assert run(["demo", "--project", str(tmp_path)]) == 2
    assert "is not empty and holds no demo" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").exists()
