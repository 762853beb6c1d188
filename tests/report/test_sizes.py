"""The sizes report: shares by hand and by law, a project's kept crops, a plain folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tamis.cli import run
from tamis.database import writing
from tamis.errors import UserError
from tamis.project import open_project
from tamis.report.sizes import Sizes, enlarged_at, project_sizes, proposed, sizes_summary, write_sizes_report
from tamis.settingsfile import parse_settings
from tests.dataset.world import World

SIDES = st.integers(1, 3000)


@given(st.lists(st.tuples(SIDES, SIDES), min_size=1, max_size=60), st.floats(0, 1))
def test_shares_are_those_of_the_definition(sizes: list[tuple[int, int]], most: float) -> None:
    targets = enlarged_at(Sizes.of(sizes))
    for target in targets:
        inside = sum(target.size / max(wh) > 1 for wh in sizes)
        crop = sum(max(target.size / wh[0], target.size / wh[1]) > 1 for wh in sizes)
        assert (target.inside, target.crop) == (inside / len(sizes), crop / len(sizes))
        assert target.crop >= target.inside
    chosen = proposed(targets, most)
    for target in targets:
        for fit, share in (("letterbox", target.inside), ("crop", target.crop)):
            size = chosen[fit]
            assert (share <= most) == (size is not None and target.size <= size)


def test_the_summary_of_known_sizes() -> None:
    summary = sizes_summary(Sizes.of([(100, 50)] + [(640, 480)] * 19))
    assert summary["proposed"] == {"letterbox": 640, "crop": 448}
    assert summary["longer_side"] == {"least": 100, "tenth": 640, "median": 640, "nine_tenths": 640, "largest": 640}
    assert {one["size"]: one["inside"] for one in summary["targets"]}[128] == 0.05
    assert sizes_summary(Sizes.of([(30, 20)]))["proposed"] == {"letterbox": None, "crop": None}
    with pytest.raises(UserError, match="no pictures"):
        sizes_summary(Sizes.of([]))


def test_a_project_is_measured_by_what_it_keeps(tmp_path: Path) -> None:
    (tmp_path / "tamis.toml").write_text('[project]\nname = "small"\n[detect]\nmodel = "m.onnx"\nmargin = 0.1\n')
    project = open_project(tmp_path)
    with writing(project.engine) as connection:
        world = World(connection)
        for box in ((100.0, 100.0, 300.0, 200.0), (0.0, 0.0, 1000.0, 800.0)):
            image, _ = world.shot()
            world.region(image, "detected", box)
        tiny, _ = world.shot()
        world.region(tiny, "detected", (0.0, 0.0, 500.0, 40.0))  # rejected: too small
        world.shot()  # questionable: no object
    try:
        assert parse_settings((tmp_path / "tamis.toml").read_text()).detect.min_side > 40
        sizes = project_sizes(project)
        assert dict(sizes.longer) == {240: 1, 1000: 1}
        assert dict(sizes.shorter) == {140: 1, 800: 1}
        path = tmp_path / "page.html"
        write_sizes_report("<b>small</b>", sizes, path)
        text = path.read_text(encoding="utf-8")
        assert "&lt;b&gt;small&lt;/b&gt;" in text
        assert "<b>small" not in text
    finally:
        project.close()


def test_the_command_measures_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(5):
        Image.new("RGB", (300, 200)).save(tmp_path / f"{number}.jpg")
    turned = Image.new("RGB", (300, 200)).getexif()
    turned[0x0112] = 6
    Image.new("RGB", (300, 200)).save(tmp_path / "turned.jpg", exif=turned)
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    out = tmp_path / "reports" / "sizes.html"
    assert run(["report", "sizes", "--folder", str(tmp_path), "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["pictures"], told["unreadable"]) == (6, 1)
    assert told["proposed"] == {"letterbox": 256, "crop": 192}
    assert "256 px" in out.read_text(encoding="utf-8")


def test_what_a_folder_lacks_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    command = ["report", "sizes", "--folder", str(folder), "--out", str(tmp_path / "sizes.html")]
    assert run(command) == 2
    told = capsys.readouterr().err
    assert f"there are no pictures to measure in {folder} and the folders below it" in told
    assert "tamis run" not in told
    for kind in ("jpg", "png"):
        Image.effect_noise((300, 200), 90).save(folder / f"cut.{kind}")
        data = (folder / f"cut.{kind}").read_bytes()
        (folder / f"cut.{kind}").write_bytes(data[: len(data) // 2])
    assert run(command) == 2
    assert "2 cannot be read, such as cut.jpg: truncated" in capsys.readouterr().err
    Image.new("RGB", (300, 200)).save(folder / "whole.jpg")
    assert run(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        *(f"unreadable: cut.{kind}: truncated" for kind in ("jpg", "png")),
        "1 pictures, 2 unreadable files; enlarged at each target:",
    ]
