"""Detection on real photos: pictures a second beside ultralytics' predict, with the same weights, in one run.

The contenders take turns on parts of the photos, so that a busy moment of the machine meets all of them.

python -m benchmarks.detect [--data DIR] [--photos N] [--threads N] [--rounds N] [--json]
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.rules import default_data
from tamis.models.folder import FolderPicture, map_pictures, read_pictures
from tamis.models.onnx_detector import DetectorOptions, OnnxDetector
from tamis.models.registry import open_detector
from tamis.models.sessions import open_session
from tamis.vision.boxes import iou

EXTERIOR = {"front", "front_quarter", "side", "rear", "rear_quarter"}
VEHICLES = {"car", "truck", "bus"}
#: Both sides keep boxes from this score on.
FLOOR = 0.25


@dataclass
class Cost:
    """Seconds on the clock and seconds of all cores: the latter hardly change on a busy machine."""

    wall: float = 0.0
    cpu: float = 0.0
    images: int = 0

    @contextmanager
    def spent(self, images: int) -> Iterator[None]:
        """Add what the body costs."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall += time.perf_counter() - wall
        self.cpu += time.process_time() - cpu
        self.images += images


Boxes = dict[str, NDArray[np.floating[Any]]]


class Contender(Protocol):
    """Finds the objects of some photos, given by their path."""

    def detect(self, paths: list[Path]) -> Boxes:
        """Return boxes (n, 6: corners, score, class) by path."""


class Tamis:
    """tamis as `tamis detect` runs it; for ONNX a picture a core, and the time inside the network is taken."""

    def __init__(self, weights: Path, threads: int) -> None:
        options = DetectorOptions(min_score=FLOOR)
        self.threads = threads if weights.suffix == ".onnx" else 1
        inside = 1 if weights.suffix == ".onnx" else threads
        self.detector = open_detector(str(weights), Path(), options, threads=inside, trusted=True)
        self.inside = Cost()
        if isinstance(self.detector, OnnxDetector):
            self.detector._run = self._timed(self.detector._run)  # type: ignore[method-assign]

    def _timed(self, run: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def timed(buffer: Any) -> Any:
            wall, cpu = time.perf_counter(), time.thread_time()
            answer = run(buffer)
            self.inside.cpu += time.thread_time() - cpu
            self.inside.wall += time.perf_counter() - wall
            return answer

        return timed

    def detect(self, paths: list[Path]) -> Boxes:
        """Return boxes by path."""

        def look(picture: FolderPicture) -> NDArray[np.floating[Any]]:
            assert picture.image_rgb is not None, picture.reason
            found = self.detector.detect([picture.image_rgb])[0]
            return np.column_stack([found.boxes_xyxy, found.scores, found.class_ids])

        names = [str(path) for path in paths]
        if self.threads > 1:
            rows = map_pictures(Path("/"), names, look, threads=self.threads)
        else:
            rows = (look(picture) for picture in read_pictures(Path("/"), names))
        return dict(zip(names, rows, strict=True))


class Network:
    """What the network alone costs for so many pictures, one a core: the limit."""

    def __init__(self, weights: Path, threads: int) -> None:
        self.session, self.threads = open_session(weights, 1), threads
        self.feed = {self.session.get_inputs()[0].name: np.random.default_rng(0).random((1, 3, 640, 640), np.float32)}

    def detect(self, paths: list[Path]) -> Boxes:
        """Return nothing: the pictures are noise."""
        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(lambda _: self.session.run(None, self.feed), paths))
        return {}


class Ultralytics:
    """ultralytics' predict in stream mode."""

    def __init__(self, weights: Path, threads: int) -> None:
        import torch
        from ultralytics.models import YOLO

        torch.set_num_threads(threads)
        self.model: Any = YOLO(str(weights), task="detect")

    def detect(self, paths: list[Path]) -> Boxes:
        """Return boxes by path."""
        options: dict[str, Any] = {"conf": FLOOR, "iou": 0.7, "stream": True, "verbose": False, "device": "cpu"}
        with tempfile.TemporaryDirectory() as folder:
            listing = Path(folder) / "photos.txt"  # a list of paths would be taken as one batch
            listing.write_text("\n".join(map(str, paths)), encoding="utf-8")
            return {result.path: result.boxes.data.numpy() for result in self.model.predict(str(listing), **options)}


def read_views(data: Path, count: int) -> dict[Path, str]:
    """Return the first photos, by path, and the view that each shows."""
    with (data / "cars" / "photos.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {(data / "cars" / row["file"]).resolve(): row["view"] for row in rows[:count]}


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


def measure(data: Path, photos: int, threads: int, rounds: int) -> dict[str, Any]:
    """Run all in turns and return the figures."""
    cv2.setNumThreads(1)
    onnx, checkpoint = ((data / "weights" / f"yolov8n_coco.{kind}").resolve() for kind in ("onnx", "pt"))
    views = read_views(data, photos)
    paths = list(views)
    own = Tamis(onnx, threads)
    contenders: dict[str, Contender] = {
        "network alone": Network(onnx, threads),
        "tamis, ONNX": own,
        "ultralytics predict, ONNX": Ultralytics(onnx, threads),
        "tamis, .pt": Tamis(checkpoint, threads),
        "ultralytics predict, .pt": Ultralytics(checkpoint, threads),
    }
    costs = {name: Cost() for name in contenders}
    boxes: dict[str, Boxes] = {name: {} for name in contenders}
    for contender in contenders.values():
        contender.detect(paths[:2])
    own.inside = Cost()
    for turn in range(rounds):
        part = paths[turn::rounds]
        for name, contender in contenders.items():
            with costs[name].spent(len(part)):
                boxes[name] |= contender.detect(part)
    exterior = [str(path) for path, view in views.items() if view in EXTERIOR]
    vehicles = {index for index, name in enumerate(own.detector.classes) if name in VEHICLES}
    seen = sum(bool(vehicles & set(boxes["tamis, ONNX"][path][:, 5].astype(int))) for path in exterior)
    mine = costs["tamis, ONNX"]
    return {
        "photos": len(paths),
        "threads": threads,
        "images_per_second": {name: cost.images / cost.wall for name, cost in costs.items()},
        "cpu_seconds_per_image": {name: cost.cpu / cost.images for name, cost in costs.items()},
        "times_ultralytics_onnx": costs["ultralytics predict, ONNX"].wall / mine.wall,
        "times_ultralytics_pt": costs["ultralytics predict, .pt"].wall / costs["tamis, .pt"].wall,
        "network_share_of_cpu": own.inside.cpu / mine.cpu,
        "network_share_of_clock": own.inside.wall / (mine.wall * own.threads),
        "agreement_onnx": agreement(boxes["tamis, ONNX"], boxes["ultralytics predict, ONNX"]),
        "agreement_pt": agreement(boxes["tamis, .pt"], boxes["ultralytics predict, .pt"]),
        "exterior_views": len(exterior),
        "exterior_with_vehicle": seen / len(exterior),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=default_data())
    parser.add_argument("--photos", type=int, default=500)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    os.environ |= {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false"}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["YOLO_CONFIG_DIR"] = folder
        figures = measure(arguments.data.resolve(), arguments.photos, arguments.threads, arguments.rounds)
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    for name, speed in figures["images_per_second"].items():
        print(f"{name:28} {speed:7.2f} images/s, {figures['cpu_seconds_per_image'][name]:.3f} CPU s an image")
    print(f"tamis, times ultralytics     {figures['times_ultralytics_onnx']:7.2f} on ONNX (1.15 asked)")
    print(f"                             {figures['times_ultralytics_pt']:7.2f} on .pt")
    print(f"inside the network           {figures['network_share_of_cpu']:7.1%} of the CPU seconds (90 % asked)")
    print(f"                             {figures['network_share_of_clock']:7.1%} of the clock, a core each")
    print(f"boxes as ultralytics', ONNX  {figures['agreement_onnx']:7.1%}")
    print(f"boxes as ultralytics', .pt   {figures['agreement_pt']:7.1%}")
    print(f"exterior views with vehicle  {figures['exterior_with_vehicle']:7.1%} of {figures['exterior_views']}")


if __name__ == "__main__":
    main()
