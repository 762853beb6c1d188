"""Randomly initialised networks of every family, exported on the spot: what tamis reads is what ultralytics reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.models.agreement import assert_agree, offline_ultralytics

from tamis.models.onnx_detector import DetectorOptions, OnnxDetector
from tamis.models.protocols import Detections
from tamis.vision.boxes import iou

pytest.importorskip("ultralytics", reason="needs the extra yolo")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

SIDE = 160
EXPORTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "yolov5u": ("yolov5n.yaml", {}, "YOLOv8"),  # ultralytics builds v5 with the head of v8
    "yolov8-dynamic": ("yolov8n.yaml", {"dynamic": True}, "YOLOv8"),
    "yolov8-nms": ("yolov8n.yaml", {"nms": True, "conf": 0.01}, "YOLO end to end"),
    "yolov9": ("yolov9t.yaml", {}, "YOLOv8"),
    "yolov10": ("yolov10n.yaml", {"nms": False}, "YOLO end to end"),
    "yolo26-one-to-many": ("yolo26n.yaml", {}, "YOLOv8"),
    "yolo11-batch": ("yolo11n.yaml", {"batch": 2}, "YOLOv8"),
    "yolo12": ("yolo12n.yaml", {}, "YOLOv8"),
    "yolo26": ("yolo26n.yaml", {"nms": False}, "YOLO end to end"),
    "rtdetr": ("rtdetr-resnet50.yaml", {}, "RT-DETR"),
    "yolov8-seg": ("yolov8n-seg.yaml", {}, "YOLOv8"),
    "yolov8-seg-nms": ("yolov8n-seg.yaml", {"nms": True, "conf": 0.01}, "YOLO end to end"),
    "yolo11-seg-dynamic": ("yolo11n-seg.yaml", {"dynamic": True}, "YOLOv8"),
    "yolo26-seg": ("yolo26n-seg.yaml", {"nms": False}, "YOLO end to end"),
}


def lively(model: Any) -> None:
    """Spread the answers of an untrained network: fit its normalisation to noise, and its class scores likewise."""
    import torch

    generator = torch.Generator().manual_seed(7)
    for module in model.model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    model.model.train()
    with torch.no_grad():
        model.model(torch.rand(4, 3, SIDE, SIDE, generator=generator))
    model.model.eval()
    for name, weights in model.model.named_parameters():
        is_class_head = ("cv3" in name and name.split(".")[-2].isdigit()) or "score_head" in name
        if is_class_head and name.endswith("weight"):
            weights.data = torch.randn(weights.shape, generator=generator) * 0.03
        elif is_class_head:
            weights.data = torch.full(weights.shape, -3.0)


def noise(width: int, height: int) -> NDArray[np.uint8]:
    return np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("kind", EXPORTS)
def test_export_is_read_as_ultralytics_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    import torch

    config, options, title = EXPORTS[kind]
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(3)
    ultralytics = offline_ultralytics()
    model = (ultralytics.RTDETR if "rtdetr" in kind else ultralytics.YOLO)(config)
    lively(model)
    path = Path(model.export(format="onnx", imgsz=SIDE, simplify=False, verbose=False, **options))
    peer = (
        ultralytics.RTDETR(str(path))
        if "rtdetr" in kind
        else ultralytics.YOLO(str(path), task="segment" if "seg" in kind else "detect")
    )
    detector = OnnxDetector(path, DetectorOptions(min_score=0.01), threads=1)
    assert title in detector.layout
    compared = masks = 0
    pictures = [noise(width, height) for width, height in ((200, 150), (160, 160), (90, 210))]
    for picture, ours in zip(pictures, detector.detect(pictures, with_masks=detector.makes_masks), strict=True):
        # The best twenty: below, untrained scores lie so close that rounding decides their order.
        floor = float(ours.scores[:20].min(initial=1))
        batch = [np.ascontiguousarray(picture[..., ::-1])] * options.get("batch", 1)
        theirs = peer.predict(batch, conf=0.01, iou=0.7, imgsz=SIDE, retina_masks=True, verbose=False, device="cpu")[0]
        table = theirs.boxes.data.numpy()
        compared += assert_agree(ours, table[:, :4], table[:, 4:6], floor + 1e-4)
        if ours.masks is not None:
            masks += assert_masks_agree(ours, table, theirs.masks.data.numpy() > 0)
    assert compared > 30
    assert masks > 10 or not detector.makes_masks


def assert_masks_agree(ours: Detections, table: NDArray[np.float32], theirs: NDArray[np.bool_]) -> int:
    """Masks of boxes that both drew are alike, but for their edges: ultralytics rounds the letterbox to whole cells."""
    assert ours.masks is not None
    shared = []
    overlaps = iou(ours.boxes_xyxy[:10], table[:, :4])
    for mask, overlap, score in zip(ours.masks, overlaps, ours.scores, strict=False):
        partner = int(overlap.argmax())
        if overlap[partner] < 0.99 or abs(table[partner, 4] - score) > 0.01 or mask.sum() < 400:
            continue
        shared.append((mask & theirs[partner]).sum() / (mask | theirs[partner]).sum())
    assert not shared or (min(shared) > 0.75 and np.mean(shared) > 0.9)
    return len(shared)
