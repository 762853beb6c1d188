"""Detection on real photographs: agreement with ultralytics, and cars found in the exterior views."""

from __future__ import annotations

import csv
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tests.models.agreement import assert_agree, offline_ultralytics
from tests.realdata import data_folder

from tamis.models.onnx_detector import DEFAULT_OPTIONS, OnnxDetector
from tamis.models.protocols import Detections
from tamis.models.registry import open_detector_for_cores
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


@pytest.mark.filterwarnings("ignore")
def test_threads_share_a_checkpoint_without_mixing_their_pictures() -> None:
    weights = data_folder("weights", "yolov8n_coco.pt")
    pictures = [decode_rgb(path.read_bytes()) for path, _ in photos()[::60]]
    pictures = [picture[: 540 - 40 * (number % 4)] for number, picture in enumerate(pictures)]
    one = UltralyticsDetector(weights, threads=1, trusted=True)
    alone = [one.detect([picture])[0] for picture in pictures]
    detector, threads = open_detector_for_cores(
        str(weights), Path(), DEFAULT_OPTIONS, trusted=True, pictures=len(pictures)
    )
    assert threads == (os.cpu_count() or 1)
    gate = threading.Barrier(3)

    def look(numbers: range) -> list[Detections]:
        gate.wait()
        return [detector.detect([pictures[number]])[0] for number in numbers]

    with ThreadPoolExecutor(3) as pool:
        parts = list(pool.map(look, [range(start, len(pictures), 3) for start in range(3)]))
    assert sum(map(len, parts)) == len(pictures)
    for start, part in enumerate(parts):
        for expected, found in zip(alone[start::3], part, strict=True):
            np.testing.assert_allclose(found.boxes_xyxy, expected.boxes_xyxy, atol=0.01)
            np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
            assert found.class_names == expected.class_names
