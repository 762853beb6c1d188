"""Plain folders: detection and classification without a project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from tests.models.networks import answer_network, black, white
from tests.models.test_classifier import model_folder

from tamis.cli import cli, run
from tamis.errors import Interrupted, UserError
from tamis.models.choice import Choice
from tamis.models.classify_folder import classify_folder
from tamis.models.detect_folder import Crops, detect_folder
from tamis.models.folder import read_pictures
from tamis.vision.decode import decode_rgb
from tamis.vision.picturefiles import picture_files


def write(path: Path, image: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "pictures"
    write(root / "b.png", white(128, 64))
    write(root / "sub" / "a.JPG", white(64, 64))
    write(root / "dark.png", black(64, 64))
    (root / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    (root / "notes.txt").write_text("not looked at")
    write(root / ".hidden" / "c.png", white(4, 4))
    return root


@pytest.fixture
def detector_file(tmp_path: Path) -> Path:
    rows = np.zeros((60, 6), np.float32)
    rows[0] = [8, 20, 40, 44, 0.9, 0]
    rows[1] = [10, 20, 60, 40, 0.5, 1]
    rows[2] = [30, 20, 60, 40, 0.1, 0]
    return answer_network(tmp_path / "m.onnx", {"output0": rows}, metadata={"names": "{0: 'car', 1: 'bus'}"})


def test_files_are_listed_and_read_in_order(folder: Path) -> None:
    files = picture_files(folder)
    assert files == ["b.png", "broken.jpg", "dark.png", "sub/a.JPG"]
    pictures = list(read_pictures(folder, [*files, *["b.png"] * 9, "lost.png"]))
    assert [picture.file for picture in pictures] == [*files, *["b.png"] * 9, "lost.png"]
    assert [picture.image_rgb is None for picture in pictures[:4]] == [False, True, False, False]
    assert "cannot be read" in pictures[-1].reason
    reader = read_pictures(folder, files * 10)
    next(reader)
    reader.close()
    with pytest.raises(UserError, match="is no folder"):
        picture_files(folder / "lost")


def test_detection(folder: Path, detector_file: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    report = detect_folder(
        folder,
        model=str(detector_file),
        crops=Crops(tmp_path / "crops"),
        progress=lambda done, total, _: seen.append((done, total)),
    )
    assert [(row["file"], row["class"], row["score"]) for row in report["regions"]] == [
        ("b.png", "car", 0.9),
        ("b.png", "bus", 0.5),
        ("sub/a.JPG", "car", 0.9),
        ("sub/a.JPG", "bus", 0.5),
    ]
    assert report["regions"][0]["box"] == [16, 8, 80, 56]
    assert report["none"] == ["dark.png"]
    assert [row["file"] for row in report["unreadable"]] == ["broken.jpg"]
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    crops = {path.relative_to(tmp_path / "crops").as_posix() for path in (tmp_path / "crops").rglob("*.*")}
    assert crops == {"b.png-1.jpg", "b.png-2.jpg", "sub/a.JPG-1.jpg", "sub/a.JPG-2.jpg"}
    assert decode_rgb((tmp_path / "crops" / "b.png-1.jpg").read_bytes()).shape == (48, 64, 3)


def test_detection_of_some_classes(folder: Path, detector_file: Path) -> None:
    report = detect_folder(folder, model=str(detector_file), choice=Choice(frozenset(["bus"])), min_score=0.05)
    assert {row["class"] for row in report["regions"]} == {"bus"}
    with pytest.raises(UserError, match="knows no lorry, tram; it knows car, bus"):
        detect_folder(folder, model=str(detector_file), choice=Choice(frozenset(["bus", "tram", "lorry"])))


def test_policy_of_a_folder(folder: Path, detector_file: Path) -> None:
    def classes(**choice: Any) -> list[str]:
        report = detect_folder(folder, model=str(detector_file), choice=Choice(**choice), min_score=0.05)
        return [f"{row['class']} {row['score']}" for row in report["regions"] if row["file"] == "b.png"]

    # A car of 32x24, a bus of 50x20 and, in the bus's right half, a second car: twice as large in the picture.
    assert classes() == ["car 0.9", "bus 0.5"]
    assert classes(choose="largest") == ["bus 0.5"]
    assert classes(choose="best") == ["car 0.9"]
    assert classes(choose="central") == ["bus 0.5"]
    assert classes(min_share=0.4) == ["bus 0.5"]
    assert classes(same_object=0.55) == ["car 0.9", "bus 0.5"]
    assert classes(same_object=2.0) == ["car 0.9", "bus 0.5", "car 0.1"]
    report = detect_folder(folder, model=str(detector_file), choice=Choice(max_objects=1))
    assert report["questionable"] == [
        {"file": "b.png", "reason": "2 objects found"},
        {"file": "dark.png", "reason": "no object found"},
        {"file": "sub/a.JPG", "reason": "2 objects found"},
    ]


def test_boxes_of_one_object_are_merged_before_one_is_chosen(folder: Path, tmp_path: Path) -> None:
    rows = np.zeros((60, 6), np.float32)
    rows[0], rows[1] = [8, 20, 40, 44, 0.52, 0], [8, 20, 42, 44, 0.48, 1]
    path = answer_network(tmp_path / "two.onnx", {"output0": rows}, metadata={"names": "{0: 'car', 1: 'truck'}"})

    def found(*more: str) -> list[str]:
        result = CliRunner().invoke(cli, ["detect", str(folder), "--model", str(path), "--json", *more])
        assert result.exit_code == 0, result.output
        rows = json.loads(result.stdout)["regions"]
        return [f"{row['class']} {row['score']}" for row in rows if row["file"] == "b.png"]

    assert found() == ["car 0.52"]
    assert found("--choose", "largest") == ["car 0.52"]
    assert found("--no-merge") == ["car 0.52", "truck 0.48"]
    assert found("--no-merge", "--choose", "largest") == ["truck 0.48"]
    assert found("--merge", "0.97") == ["car 0.52", "truck 0.48"]


def test_crops_have_a_margin_and_an_aspect(folder: Path, detector_file: Path, tmp_path: Path) -> None:
    target = tmp_path / "crops"
    choice = Choice(choose="best")
    detect_folder(folder, model=str(detector_file), choice=choice, crops=Crops(target, margin=0.125, aspect=1.0))
    assert decode_rgb((target / "b.png-1.jpg").read_bytes()).shape == (64, 80, 3)  # the picture is no higher
    assert decode_rgb((target / "sub" / "a.JPG-1.jpg").read_bytes()).shape == (40, 40, 3)


def test_objects_are_cut_out_of_their_ground(tmp_path: Path, detector_file: Path) -> None:
    picture = white(64, 64)
    picture[24:40, 12:36] = (20, 20, 180)  # blue, as OpenCV writes it red
    write(tmp_path / "pictures" / "a.png", picture)
    arguments = ["detect", str(tmp_path / "pictures"), "--model", str(detector_file), "--choose", "best", "--cut-out"]
    for name, more in (("clear", []), ("green", ["--ground", "#00ff00"])):
        result = CliRunner().invoke(cli, [*arguments, "--save-crops", str(tmp_path / name), *more])
        assert result.exit_code == 0, result.output
    clear = cv2.imread(str(tmp_path / "clear" / "a.png-1.png"), cv2.IMREAD_UNCHANGED)
    assert clear is not None
    assert clear.shape == (24, 32, 4)
    assert (clear[12, 16, 3], clear[1, 1, 3]) == (255, 0)
    green = decode_rgb((tmp_path / "green" / "a.png-1.jpg").read_bytes()).astype(int)
    assert green[12, 16, 0] > 150
    assert np.abs(green[1, 1] - [0, 255, 0]).max() < 20


@pytest.mark.parametrize(("more", "covered"), [((), 1.0), (("--segmenter", "grabcut"), 0.25)])
def test_cut_outs_follow_the_masks_of_the_detector_unless_told_otherwise(
    tmp_path: Path, more: tuple[str, ...], covered: float
) -> None:
    rows = np.zeros((60, 38), np.float32)
    rows[0, :7] = [0, 0, 64, 64, 0.9, 0, 1]
    answers = {"output0": rows, "output1": np.ones((32, 16, 16), np.float32)}
    model = answer_network(tmp_path / "seg.onnx", answers, metadata={"names": "{0: 'car', 1: 'bus'}"})
    picture = white(64, 64)
    picture[16:48, 16:48] = (20, 20, 180)
    write(tmp_path / "pictures" / "a.png", picture)
    arguments = ["detect", str(tmp_path / "pictures"), "--model", str(model), "--cut-out", "--save-crops"]
    result = CliRunner().invoke(cli, [*arguments, str(tmp_path / "cut"), *more])
    assert result.exit_code == 0, result.output
    cut = cv2.imread(str(tmp_path / "cut" / "a.png-1.png"), cv2.IMREAD_UNCHANGED)
    assert cut is not None
    assert (cut[..., 3] > 127).mean() == pytest.approx(covered, abs=0.05)


def test_crops_never_replace_files_unasked(folder: Path, detector_file: Path, tmp_path: Path) -> None:
    target = tmp_path / "crops"
    target.mkdir()
    (target / "b.png-1.jpg").write_text("mine")
    with pytest.raises(UserError, match=r"b\.png-1\.jpg is there already, with other content"):
        detect_folder(folder, model=str(detector_file), crops=Crops(target))
    assert (target / "b.png-1.jpg").read_text() == "mine"
    detect_folder(folder, model=str(detector_file), crops=Crops(target, overwrite=True))
    assert decode_rgb((target / "b.png-1.jpg").read_bytes()).shape == (48, 64, 3)


def test_crops_that_are_there_stay_and_a_stopped_run_goes_on(folder: Path, detector_file: Path, tmp_path: Path) -> None:
    target = tmp_path / "crops"

    def stop(done: int, total: int | None, text: str) -> None:
        raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        detect_folder(folder, model=str(detector_file), crops=Crops(target), progress=stop)
    made = {path: path.stat().st_mtime_ns for path in target.rglob("*.jpg")}
    assert made
    (target / "b.png-1.jpg").unlink()
    report = detect_folder(folder, model=str(detector_file), crops=Crops(target))
    assert report["crops"] == {"written": 4 - len(made) + 1, "present": len(made) - 1}
    assert detect_folder(folder, model=str(detector_file), crops=Crops(target))["crops"]["present"] == 4
    assert len(list(target.rglob("*.*"))) == 4
    with pytest.raises(UserError, match="there already, with other content"):
        detect_folder(folder, model=str(detector_file), crops=Crops(target, margin=0.1))


def test_crops_and_pictures_stay_apart(folder: Path, detector_file: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    for target in (folder, folder / "crops", tmp_path, tmp_path / "link" / "crops"):
        with pytest.raises(UserError, match="lie within each other: name a folder outside for the crops"):
            detect_folder(folder, model=str(detector_file), crops=Crops(target))


def test_crops_stay_below_their_folder(folder: Path, detector_file: Path, tmp_path: Path) -> None:
    target, outside = tmp_path / "crops", tmp_path / "outside"
    target.mkdir()
    outside.mkdir()
    (target / "sub").symlink_to(outside)
    with pytest.raises(UserError, match="a link leads out of"):
        detect_folder(folder, model=str(detector_file), crops=Crops(target))
    assert not list(outside.iterdir())


def test_crops_that_cannot_be_written(folder: Path, detector_file: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(UserError, match="cannot write the crop"):
        detect_folder(folder, model=str(detector_file), crops=Crops(tmp_path / "taken" / "crops"))


def test_command_prints_the_shape_that_is_promised(folder: Path, detector_file: Path) -> None:
    (folder / "broken.jpg").unlink()
    arguments = ["detect", str(folder), "--model", str(detector_file), "--classes", "car", "--json"]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {
        "regions": [
            {"file": "b.png", "box": [16, 8, 80, 56], "class": "car", "score": 0.9},
            {"file": "sub/a.JPG", "box": [8, 20, 40, 44], "class": "car", "score": 0.9},
        ],
        "none": ["dark.png"],
    }


@pytest.mark.parametrize(
    ("idle", "told"),
    [
        (["--margin", "0"], "--margin: only of use with --save-crops DIR"),
        (["--aspect", "1", "--overwrite"], "--aspect, --overwrite: only of use with --save-crops DIR"),
        (["--cut-out", "--segmenter", "grabcut"], "--cut-out, --segmenter: only of use with --save-crops DIR"),
        (["--save-crops", "out", "--ground", "#ffffff"], "--ground: only of use with --cut-out"),
        (["--save-crops", "out", "--segmenter", "grabcut"], "--segmenter: only of use with --cut-out"),
    ],
)
def test_options_that_would_do_nothing_are_refused(
    folder: Path, detector_file: Path, idle: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["detect", str(folder), "--model", str(detector_file), *idle]) == 2
    printed = capsys.readouterr()
    assert printed.err == f"tamis: {told}; give it too\n"
    assert printed.out == ""


def test_crops_do_not_go_into_a_file(folder: Path, detector_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["detect", str(folder), "--model", str(detector_file), "--save-crops", str(folder / "notes.txt")]
    assert run(command) == 2
    assert "notes.txt' is a file" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--aspect", "4:0"], ["--aspect", "wide"], ["--margin", "2"], ["--merge", "0"]])
def test_command_refuses_wrong_values(folder: Path, detector_file: Path, wrong: list[str]) -> None:
    assert CliRunner().invoke(cli, ["detect", str(folder), "--model", str(detector_file), *wrong]).exit_code == 2


def test_classification(folder: Path, tmp_path: Path) -> None:
    report = classify_folder(model_folder(tmp_path / "model"), folder)
    assert [row["file"] for row in report["pictures"]] == ["b.png", "dark.png", "sub/a.JPG"]
    assert [row["file"] for row in report["unreadable"]] == ["broken.jpg"]
    label = report["pictures"][0]["labels"]["view"]
    assert label["value"] == "front"
    assert label["confidence"] == label["probabilities"]["front"] == pytest.approx(0.6652, abs=1e-4)
    assert report["pictures"][1]["labels"]["view"]["confidence"] == pytest.approx(1 / 3, abs=1e-4)
