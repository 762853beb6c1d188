"""What counts as a picture of a folder: one rule for every command; pipes and huge files never hold a command up."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.models.networks import answer_network
from tests.models.test_classifier import model_folder
from tests.vision.heic import PLAIN

from tamis.cli import run
from tamis.crawl.folders import read_folder
from tamis.errors import Unreadable, UserError
from tamis.vision.header import Limits
from tamis.vision.picturefiles import PICTURE_SUFFIXES, is_picture, picture_files, read_picture

#: Commands end within these seconds, or hang.
PATIENCE = 120


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures under all kinds of names, and what is none."""
    root = tmp_path / "pictures"
    for name in ("b.jpg", "a/x.JPE", "a/no-suffix", "a/wrong.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((80, 60), 90).save(root / name, "JPEG")
    (root / "phone.HEIC").write_bytes(PLAIN)
    (root / "old.jp2").write_bytes(b"\x00\x00\x00\x0cjP  \r\n\x87\n")
    (root / "new.jxl").write_bytes(b"\xff\x0a")
    (root / "notes.txt").write_text("no picture")
    (root / "drawing.svg").write_text("<svg></svg>")
    for name in (".hidden.jpg", ".cache/c.jpg"):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(root / "b.jpg", root / name)
    return root


PICTURES = ["b.jpg", "new.jxl", "old.jp2", "phone.HEIC", "a/no-suffix", "a/wrong.txt", "a/x.JPE"]


@pytest.fixture
def detector_file(tmp_path: Path) -> Path:
    rows = np.zeros((60, 6), np.float32)
    rows[0] = [8, 20, 40, 44, 0.9, 0]
    return answer_network(tmp_path / "m.onnx", {"output0": rows}, metadata={"names": "{0: 'car', 1: 'bus'}"})


def seen_by(command: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert run([*command, "--json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_one_rule_says_what_is_a_picture(folder: Path) -> None:
    assert picture_files(folder) == PICTURES
    assert not is_picture(folder / "notes.txt")
    assert {".heic", ".heif", ".jpe"} <= PICTURE_SUFFIXES
    with pytest.raises(UserError, match="lost is no folder"):
        picture_files(folder / "lost")


def test_all_commands_see_the_same_pictures(
    folder: Path, detector_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pi_heif", reason="the extra heif is not installed")
    broken = {"new.jxl", "old.jp2"}
    detected = seen_by(["detect", str(folder), "--model", str(detector_file)], capsys)
    assert {row["file"] for row in detected["regions"]} | set(detected["none"]) == {*PICTURES} - broken
    assert {row["file"] for row in detected["unreadable"]} == broken
    predicted = seen_by(["predict", str(folder), "--model", str(model_folder(tmp_path / "model"))], capsys)
    assert {row["file"] for row in predicted["pictures"]} == {*PICTURES} - broken
    assert {row["file"] for row in predicted["unreadable"]} == broken
    copies = seen_by(["dedupe", str(folder)], capsys)
    assert copies["images"] == len(PICTURES)
    assert {row["file"] for row in copies["unreadable"]} == broken
    out = ["--out", str(tmp_path / "sizes.html")]
    sizes = seen_by(["report", "sizes", "--folder", str(folder), *out], capsys)
    assert (sizes["pictures"], {row["file"] for row in sizes["unreadable_files"]}) == (len(PICTURES) - 2, broken)
    assert sorted(ref.url for found in read_folder(folder, "own") for ref in found.pictures) == sorted(PICTURES)


def test_only_regular_files_within_the_limit_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nothing")
    (tmp_path / "small.jpg").write_bytes(b"12345")
    assert picture_files(tmp_path) == ["gone.jpg", "pipe.jpg", "small.jpg"]
    for name, reason in {
        "pipe.jpg": "not a regular file",
        "folder.jpg": "not a regular file",
        "gone.jpg": "cannot be read: No such file or directory",
        "small.jpg": "5 bytes exceed the limit of 4",
    }.items():
        with pytest.raises(Unreadable) as error:
            read_picture(tmp_path / name, Limits(max_bytes=4))
        assert error.value.reason == reason
    assert read_picture(tmp_path / "small.jpg") == b"12345"


#: Runs a command and writes the peak memory of its processes, in KiB, to a file.
PEAK_OF = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[2:])
open(sys.argv[1], "w").write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(done.returncode)
"""


@pytest.mark.parametrize("command", ["dedupe", "detect", "predict", "sizes"])
def test_a_pipe_and_a_huge_file_are_rows_with_a_reason(command: str, tmp_path: Path, detector_file: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.effect_noise((80, 60), 90).save(folder / "a.jpg")
    os.mkfifo(folder / "pipe.jpg")
    with (folder / "big.jpg").open("wb") as file:
        file.truncate(3 * 2**30)
    arguments = {
        "dedupe": ["dedupe", str(folder)],
        "detect": ["detect", str(folder), "--model", str(detector_file)],
        "predict": ["predict", str(folder), "--model", str(model_folder(tmp_path / "model"))],
        "sizes": ["report", "sizes", "--folder", str(folder), "--out", str(tmp_path / "sizes.html")],
    }[command]
    command_line = [sys.executable, "-m", "tamis", *arguments, "--json"]
    watched = [sys.executable, "-c", PEAK_OF, str(tmp_path / "peak"), *command_line]
    done = subprocess.run(watched, capture_output=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr.decode()
    document = json.loads(done.stdout)
    rows = document["unreadable_files" if command == "sizes" else "unreadable"]
    assert {row["file"]: row["reason"] for row in rows} == {
        "big.jpg": f"{3 * 2**30} bytes exceed the limit of {64 * 2**20}",
        "pipe.jpg": "not a regular file",
    }
    assert int((tmp_path / "peak").read_text()) < 2 * 2**20  # in KiB
