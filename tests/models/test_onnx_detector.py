"""ONNX detectors: every layout is recognised and decoded, every other file refused in one clear line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.models.networks import answer_network, black, white

from tamis.errors import UserError
from tamis.models.coco import COCO_NAMES, coco_names
from tamis.models.onnx_detector import DetectorOptions, OnnxDetector

NAMES = {"names": "{0: 'cat', 1: 'car', 2: 'bus'}"}
CELLS = 64 + 16 + 4  # of a frame of 64 pixels at steps of 8, 16 and 32
# Two objects in the frame of 64 pixels: corners, score, class.
OBJECTS = [((8, 16, 40, 48), 0.9, 1), ((30, 20, 60, 44), 0.6, 2)]


def centre(corners: tuple[int, ...], scale: float = 1) -> list[float]:
    x0, y0, x1, y1 = (value / scale for value in corners)
    return [(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0]


def one_hot(class_id: int, score: float) -> list[float]:
    return [score if index == class_id else score / 10 for index in range(3)]


def grid(extra: int = 0) -> NDArray[np.float32]:
    columns = np.full((7 + extra, CELLS), 0.001, np.float32)
    columns[:4] = 10
    for cell, (corners, score, class_id) in enumerate(OBJECTS):
        columns[:7, 3 * cell] = [*centre(corners), *one_hot(class_id, score)]
        moved = tuple(value + 1 for value in corners)
        columns[:7, 3 * cell + 1] = [*centre(moved), *one_hot(class_id, score - 0.1)]
    return columns


def anchors() -> NDArray[np.float32]:
    rows = np.full((3 * CELLS, 8), 0.001, np.float32)
    for row, (corners, score, class_id) in enumerate(OBJECTS):
        rows[row] = [*centre(corners), score / 0.95, *one_hot(class_id, 0.95)]
    return rows


def end_to_end(count: int = 50) -> NDArray[np.float32]:
    rows = np.zeros((count, 6), np.float32)
    for row, (corners, score, class_id) in enumerate(OBJECTS):
        rows[row] = [*corners, score, class_id]
    return rows


def detr_rows() -> NDArray[np.float32]:
    rows = np.zeros((50, 6), np.float32)
    for row, (corners, score, class_id) in enumerate(OBJECTS):
        rows[row] = [*centre(corners, 64), score, class_id]
    return rows


def detr_classes() -> NDArray[np.float32]:
    rows = np.full((50, 7), 0.001, np.float32)
    for row, (corners, score, class_id) in enumerate(OBJECTS):
        rows[row] = [*centre(corners, 64), *one_hot(class_id, score)]
    return rows


def deployed() -> dict[str, NDArray[Any]]:
    labels, boxes, scores = np.zeros(20, np.int64), np.zeros((20, 4), np.float32), np.zeros(20, np.float32)
    for row, (corners, score, class_id) in enumerate(OBJECTS):
        labels[row], boxes[row], scores[row] = class_id, corners, score
    return {"labels": labels, "boxes": boxes, "scores": scores}


def rf_detr() -> dict[str, NDArray[Any]]:
    dets, labels = np.full((20, 4), 0.1, np.float32), np.full((20, 3), -9, np.float32)
    for row, (corners, score, class_id) in enumerate(OBJECTS):
        dets[row] = centre(corners, 64)
        labels[row, class_id] = np.log(score / (1 - score))
    return {"dets": dets, "labels": labels}


LAYOUTS: dict[str, tuple[dict[str, NDArray[Any]], str, bool]] = {
    "grid": ({"output0": grid()}, "YOLOv8", True),
    "anchors": ({"output": anchors()}, "YOLOv5", True),
    "end to end": ({"output0": end_to_end()}, "YOLO end to end", True),
    "detr rows": ({"output0": detr_rows()}, "RT-DETR, best class", False),
    "detr classes": ({"output0": detr_classes()}, "RT-DETR, all classes", False),
    "deployed": (deployed(), "D-FINE", False),
    "rf-detr": (rf_detr(), "RF-DETR", False),
}


def open_network(tmp_path: Path, answers: dict[str, NDArray[Any]], **changes: Any) -> OnnxDetector:
    inputs = ("images", "orig_target_sizes") if "boxes" in answers else ("images",)
    path = answer_network(tmp_path / "network.onnx", answers, **{"inputs": inputs, "metadata": NAMES, **changes})
    return OnnxDetector(path, threads=1)


@pytest.mark.parametrize("kind", LAYOUTS)
@pytest.mark.parametrize("size_wh", [(128, 64), (64, 64), (33, 90)])
def test_layout_is_recognised_and_boxes_are_mapped_back(tmp_path: Path, kind: str, size_wh: tuple[int, int]) -> None:
    answers, title, letterboxed = LAYOUTS[kind]
    detector = open_network(tmp_path, answers)
    assert title in detector.layout
    (found,) = detector.detect([white(*size_wh)])
    assert found.class_names == ("car", "bus")
    np.testing.assert_allclose(found.scores, [0.9, 0.6], atol=2e-3)
    width, height = size_wh
    framed = np.asarray([corners for corners, _, _ in OBJECTS], np.float32)
    if letterboxed:
        scale = 64 / max(size_wh)
        inner_w, inner_h = round(width * scale), round(height * scale)
        framed = framed - np.asarray([(64 - inner_w) // 2, (64 - inner_h) // 2] * 2, np.float32)
        expected = framed / np.asarray([inner_w / width, inner_h / height] * 2, np.float32)
    else:
        expected = framed / np.asarray([64 / width, 64 / height] * 2, np.float32)
    np.testing.assert_allclose(found.boxes_xyxy, np.clip(expected, 0, [*size_wh, *size_wh]), atol=0.05)


def test_rf_detr_gets_pixels_less_the_mean_over_the_deviation(tmp_path: Path) -> None:
    detector = open_network(tmp_path, rf_detr(), limit=100)
    (found,) = detector.detect([white(64, 64)])
    peak = (1 - 0.406) / 0.225  # blue, the largest of the three
    assert found.scores[0] == pytest.approx(1 / (1 + np.exp(-peak * np.log(0.9 / 0.1))), abs=1e-4)


@pytest.mark.parametrize("kind", ["grid", "anchors", "end to end", "detr rows", "deployed"])
@pytest.mark.parametrize("batch", [1, 3, "batch"])
def test_batches_give_what_single_pictures_give(tmp_path: Path, kind: str, batch: int | str) -> None:
    detector = open_network(tmp_path, LAYOUTS[kind][0], batch=batch, frame=64)
    pictures = [white(64, 64), black(64, 64), white(100, 40), black(64, 64), white(20, 30)]
    together = detector.detect(pictures)
    assert [len(found) for found in together] == [2, 0, 2, 0, 2]
    for picture, found in zip(pictures, together, strict=True):
        (alone,) = detector.detect([picture])
        np.testing.assert_array_equal(alone.boxes_xyxy, found.boxes_xyxy)
        np.testing.assert_array_equal(alone.scores, found.scores)
    assert detector.detect([]) == []


def test_open_sizes_are_read_from_the_metadata(tmp_path: Path) -> None:
    detector = open_network(
        tmp_path, {"output0": grid()}, frame="side", batch="batch", metadata={**NAMES, "imgsz": "[64, 64]"}
    )
    assert len(detector.detect([white(50, 50)])[0]) == 2


def test_options_choose_the_boxes(tmp_path: Path) -> None:
    path = answer_network(tmp_path / "network.onnx", {"output0": grid()}, metadata=NAMES)

    def scores(**options: Any) -> list[float]:
        detector = OnnxDetector(path, DetectorOptions(**options), threads=1)
        return [round(float(score), 2) for score in detector.detect([white(64, 64)])[0].scores]

    assert scores() == [0.9, 0.6]
    assert scores(min_score=0.7) == [0.9]
    assert scores(max_iou=0.99) == [0.9, 0.8, 0.6, 0.5]
    assert scores(max_iou=0.99, max_objects=3) == [0.9, 0.8, 0.6]


def test_digest_follows_the_weights_and_the_options(tmp_path: Path) -> None:
    first = answer_network(tmp_path / "first.onnx", {"output0": grid()}, metadata=NAMES)
    same = answer_network(tmp_path / "same.onnx", {"output0": grid()}, metadata=NAMES)
    other = answer_network(tmp_path / "other.onnx", {"output0": grid() * 0.9}, metadata=NAMES)
    assert OnnxDetector(first).digest == OnnxDetector(same).digest
    digests = [
        OnnxDetector(first).digest,
        OnnxDetector(other).digest,
        OnnxDetector(first, DetectorOptions(min_score=0.1)).digest,
    ]
    assert len(set(digests)) == 3
    assert all(len(key) == 32 for key in digests)


def test_segmentation_head_gives_masks_inside_the_boxes(tmp_path: Path) -> None:
    rows = grid(extra=32)
    rows[7:] = 0
    rows[7, [0, 1]], rows[8, [3, 4]] = 1, 1
    prototypes = np.full((32, 16, 16), -1, np.float32)
    prototypes[0, :, :8] = 1  # the left half of the frame
    prototypes[1] = 1
    detector = open_network(tmp_path, {"output0": rows, "output1": prototypes})
    assert detector.makes_masks
    (found,) = detector.detect([white(128, 128)], with_masks=True)
    assert found.masks is not None
    left, whole = found.masks
    assert left.shape == (128, 128)
    rows_on, columns_on = np.nonzero(left)
    assert (columns_on.min(), columns_on.max() + 1) == (16, 64)
    assert (rows_on.min(), rows_on.max() + 1) == (32, 96)
    assert whole.sum() == (120 - 60) * (88 - 40)
    masks = detector.segment(white(128, 128), np.asarray([[60, 40, 118, 88], [0, 100, 20, 128]], np.float32))
    np.testing.assert_array_equal(masks[0], whole)
    assert masks[1] is None


def test_masks_of_a_plain_detector_are_refused(tmp_path: Path) -> None:
    detector = open_network(tmp_path, {"output0": grid()})
    for ask in (
        lambda: detector.detect([white(64, 64)], with_masks=True),
        lambda: detector.segment(white(64, 64), np.zeros((1, 4), np.float32)),
    ):
        with pytest.raises(UserError, match="makes no masks"):
            ask()


def test_names_default_to_coco(tmp_path: Path) -> None:
    answer = np.full((84, CELLS), 0.001, np.float32)
    answer[:4] = 10
    answer[4 + COCO_NAMES.index("car"), 5] = 0.9
    detector = open_network(tmp_path, {"output0": answer}, metadata={})
    assert detector.detect([white(64, 64)])[0].class_names == ("car",)
    by_number = coco_names(91)
    assert by_number is not None
    assert (by_number[3], by_number[8], by_number[90], by_number[26]) == ("car", "truck", "toothbrush", "unused")
    assert coco_names(3) is None


@pytest.mark.parametrize(
    ("answers", "changes", "named"),
    [
        ({"output0": np.ones((5, 7), np.float32) * 9}, {}, "no layout that tamis reads"),
        ({"a": grid(), "b": grid()}, {}, "no layout"),
        ({"output0": grid()}, {"metadata": {"names": "{0: 'cat'}"}}, "3 classes in its output .* but 1 names"),
        ({"output0": grid()}, {"metadata": {"names": "nonsense("}}, "class names cannot be read"),
        ({"output0": grid()}, {"metadata": {"task": "pose"}}, "made for the task pose"),
    ],
)
def test_unknown_networks_are_refused(
    tmp_path: Path, answers: dict[str, NDArray[Any]], changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(UserError, match=named) as caught:
        open_network(tmp_path, answers, **changes)
    assert "network.onnx" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_damaged_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"lost\.onnx not found; put"):
        OnnxDetector(tmp_path / "lost.onnx")
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"no model at all")
    with pytest.raises(UserError, match=r"damaged\.onnx cannot be opened as an ONNX model"):
        OnnxDetector(damaged)
