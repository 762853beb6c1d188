"""Detection on real photos: pictures a second beside ultralytics' predict, with the same weights, in one run.

python -m benchmarks.detect [--data DIR] [--photos N] [--threads N] [--json]
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.rules import default_data
from tamis.models.folder import read_pictures
from tamis.models.onnx_detector import DetectorOptions, OnnxDetector
from tamis.models.sessions import open_session
from tamis.vision.boxes import iou

EXTERIOR = {"front", "front_quarter", "side", "rear", "rear_quarter"}
VEHICLES = {"car", "truck", "bus"}
#: Both sides keep boxes from this score on.
FLOOR = 0.25


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds on the clock and seconds of all cores: the latter hardly change on a busy machine."""

    wall: float
    cpu: float


class Stopwatch:
    """Measures from its making on."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> Cost:
        """What was spent so far."""
        return Cost(time.perf_counter() - self._wall, time.process_time() - self._cpu)


Boxes = dict[str, NDArray[np.floating[Any]]]


def read_views(data: Path, count: int) -> dict[str, str]:
    """Return the first photos, by file, and the view that each shows."""
    with (data / "cars" / "photos.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {row["file"]: row["view"] for row in rows[:count]}


def run_tamis(data: Path, weights: Path, files: list[str], threads: int) -> tuple[Cost, Boxes, dict[str, set[str]]]:
    """Return the cost, boxes (n, 6: corners, score, class) and class names by file."""
    detector = OnnxDetector(weights, DetectorOptions(min_score=FLOOR), threads)
    boxes: Boxes = {}
    names: dict[str, set[str]] = {}
    watch = Stopwatch()
    for picture in read_pictures(data / "cars", files):
        assert picture.image_rgb is not None, picture.reason
        found = detector.detect([picture.image_rgb])[0]
        boxes[picture.file] = np.column_stack([found.boxes_xyxy, found.scores, found.class_ids])
        names[picture.file] = set(found.class_names)
    return watch.read(), boxes, names


def run_network(weights: Path, count: int, threads: int) -> Cost:
    """Return what the network alone costs for so many pictures: the limit."""
    session = open_session(weights, threads)
    feed = {session.get_inputs()[0].name: np.random.default_rng(0).random((1, 3, 640, 640), np.float32)}
    session.run(None, feed)
    watch = Stopwatch()
    for _ in range(count):
        session.run(None, feed)
    return watch.read()


def run_ultralytics(data: Path, weights: Path, files: list[str], threads: int) -> tuple[Cost, Boxes]:
    """Return cost and boxes of ultralytics' predict in stream mode."""
    import torch
    from ultralytics.models import YOLO

    torch.set_num_threads(threads)
    model: Any = YOLO(str(weights), task="detect")
    paths = {str((data / "cars" / file).resolve()): file for file in files}
    options: dict[str, Any] = {"conf": FLOOR, "iou": 0.7, "stream": True, "verbose": False, "device": "cpu"}
    list(model.predict(next(iter(paths)), **options))
    boxes: Boxes = {}
    with tempfile.TemporaryDirectory() as folder:
        listing = Path(folder) / "photos.txt"  # a list of paths would be taken as one batch
        listing.write_text("\n".join(paths), encoding="utf-8")
        watch = Stopwatch()
        for result in model.predict(str(listing), **options):
            boxes[paths[result.path]] = result.boxes.data.numpy()
        return watch.read(), boxes


def agreement(ours: Boxes, theirs: Boxes) -> float:
    """Return the share of their boxes that have one of ours with IoU 0.99, a score within 0.01 and the same class."""
    agreed = total = 0
    for file, rows in theirs.items():
        overlaps = iou(rows[:, :4].astype(np.float32), ours[file][:, :4].astype(np.float32))
        scores = np.abs(rows[:, None, 4] - ours[file][None, :, 4]) <= 0.01
        classes = rows[:, None, 5] == ours[file][None, :, 5]
        agreed += int(((overlaps >= 0.99) & scores & classes).any(axis=1).sum())
        total += len(rows)
    return agreed / total


def measure(data: Path, photos: int, threads: int) -> dict[str, Any]:
    """Run all four and return the figures."""
    onnx, checkpoint = (data / "weights" / f"yolov8n_coco.{kind}" for kind in ("onnx", "pt"))
    views = read_views(data, photos)
    files = list(views)
    network = run_network(onnx, len(files), threads)
    own, ours, names = run_tamis(data, onnx, files, threads)
    peer_onnx, theirs = run_ultralytics(data, onnx, files, threads)
    peer_checkpoint, _ = run_ultralytics(data, checkpoint, files, threads)
    costs = {
        "network alone": network,
        "tamis, ONNX": own,
        "ultralytics predict, ONNX": peer_onnx,
        "ultralytics predict, .pt": peer_checkpoint,
    }
    exterior = [file for file, view in views.items() if view in EXTERIOR]
    return {
        "photos": len(files),
        "threads": threads,
        "images_per_second": {name: len(files) / cost.wall for name, cost in costs.items()},
        "cpu_seconds_per_image": {name: cost.cpu / len(files) for name, cost in costs.items()},
        "network_share": network.wall / own.wall,
        "agreement_with_ultralytics": agreement(ours, theirs),
        "exterior_views": len(exterior),
        "exterior_with_vehicle": sum(bool(names[file] & VEHICLES) for file in exterior) / len(exterior),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=default_data())
    parser.add_argument("--photos", type=int, default=500)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    os.environ |= {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false"}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["YOLO_CONFIG_DIR"] = folder
        figures = measure(arguments.data, arguments.photos, arguments.threads)
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    for name, speed in figures["images_per_second"].items():
        print(f"{name:28} {speed:7.2f} images/s, {figures['cpu_seconds_per_image'][name]:.3f} CPU s an image")
    print(f"time inside the network      {figures['network_share']:7.1%}")
    print(f"boxes as ultralytics'        {figures['agreement_with_ultralytics']:7.1%}")
    print(f"exterior views with vehicle  {figures['exterior_with_vehicle']:7.1%} of {figures['exterior_views']}")


if __name__ == "__main__":
    main()
