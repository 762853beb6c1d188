"""Detection on real photographs: agreement with ultralytics, and cars found in the exterior views."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.models.agreement import assert_agree, offline_ultralytics
from tests.realdata import data_folder

from tamis.models.onnx_detector import OnnxDetector
from tamis.models.ultralytics_detector import UltralyticsDetector
from tamis.vision.decode import decode_rgb

pytestmark = [pytest.mark.real, pytest.mark.slow]

EXTERIOR = {"front", "front_quarter", "side", "rear", "rear_quarter"}
VEHICLES = {"car", "truck", "bus"}


def photos() -> list[tuple[Path, str]]:
    folder = data_folder("cars")
    with (folder / "photos.csv").open(newline="", encoding="utf-8") as handle:
        return [(folder / row["file"], row["view"]) for row in csv.DictReader(handle)]


@pytest.mark.filterwarnings("ignore")
def test_boxes_agree_with_ultralytics() -> None:
    weights = data_folder("weights", "yolov8n_coco.onnx")
    peer = offline_ultralytics().YOLO(str(weights), task="detect")
    detector = OnnxDetector(weights)
    pictures = [decode_rgb(path.read_bytes()) for path, _ in photos()[::18]]
    assert len(pictures) == 30
    compared = 0
    for picture, ours in zip(pictures, detector.detect(pictures), strict=True):
        (theirs,) = peer.predict(
            np.ascontiguousarray(picture[..., ::-1]), conf=0.05, iou=0.7, verbose=False, device="cpu"
        )
        table = theirs.boxes.data.numpy()
        compared += assert_agree(ours, table[:, :4], table[:, 4:6], 0.06)
    assert compared > 100


def test_exterior_views_show_a_vehicle() -> None:
    detector = OnnxDetector(data_folder("weights", "yolov8n_coco.onnx"))
    exterior = [path for path, view in photos() if view in EXTERIOR][::3]
    found = 0
    for path in exterior:
        (objects,) = detector.detect([decode_rgb(path.read_bytes())])
        found += any(
            name in VEHICLES and score >= 0.25 for name, score in zip(objects.class_names, objects.scores, strict=True)
        )
    assert found / len(exterior) >= 0.98


@pytest.mark.filterwarnings("ignore")
def test_checkpoint_gives_what_ultralytics_gives() -> None:
    weights = data_folder("weights", "yolov8n_coco.pt")
    peer = offline_ultralytics().YOLO(str(weights))
    detector = UltralyticsDetector(weights, trusted=True)
    assert detector.classes[2] == "car"
    pictures = [decode_rgb(path.read_bytes()) for path, _ in photos()[::80]]
    pictures.insert(1, np.ascontiguousarray(pictures[0][:300]))
    for picture, ours in zip(pictures, detector.detect(pictures), strict=True):
        (theirs,) = peer.predict(np.ascontiguousarray(picture[..., ::-1]), conf=0.05, iou=0.7, verbose=False)
        table = theirs.boxes.data.numpy()
        assert len(table) == len(ours)
        assert_agree(ours, table[:, :4], table[:, 4:6], 0.06)


def test_a_checkpoint_says_nothing_on_standard_output_but_the_document(tmp_path: Path) -> None:
    photo, _ = photos()[0]
    (tmp_path / "photo.jpg").write_bytes(photo.read_bytes())
    weights = data_folder("weights", "yolov8n_coco.pt")
    command = [sys.executable, "-m", "tamis", "detect", str(tmp_path), "--model", str(weights)]
    done = subprocess.run([*command, "--trust-pickle", "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {"regions", "none"} <= json.loads(done.stdout).keys()
