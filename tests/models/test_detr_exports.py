"""Exports that ultralytics doesn't make: D-FINE, RT-DETR, RF-DETR and YOLOv5 of before 2022, built at random.

Each is read as the post-processing of its authors, or of transformers, reads the same network on the same picture.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.models.agreement import assert_agree
from tests.models.transformers_networks import SIDE, photo, transformers_model
from torch import nn

from tamis.errors import UserError
from tamis.models.onnx_detector import DetectorOptions, OnnxDetector
from tamis.models.protocols import Detections

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

FLOOR = 0.02


def export(model: nn.Module, path: Path, outputs: list[str], *, sized: bool = False, side: int = SIDE) -> Path:
    arguments: tuple[torch.Tensor, ...] = (torch.rand(1, 3, side, side),)
    names = ["images"]
    if sized:
        arguments, names = (*arguments, torch.tensor([[side, side]])), [*names, "orig_target_sizes"]
    torch.onnx.export(
        model.eval(), arguments, str(path), input_names=names, output_names=outputs, dynamo=False, opset_version=17
    )
    return path


def assert_read_alike(ours: Detections, theirs: dict[str, Any]) -> None:
    table = np.stack([theirs["scores"].numpy(), theirs["labels"].numpy()], axis=1).astype(np.float32)
    boxes = theirs["boxes"].numpy().astype(np.float32)
    # The last of a fixed number of pairs is decided by rounding.
    floor = max(FLOOR, float(ours.scores.min()), float(table[:, 0].min())) + 0.01
    assert assert_agree(ours, boxes, table, floor) > 20


# --- transformers: RT-DETR and D-FINE ------------------------------------------------------------------------------


class Raw(nn.Module):
    """Names the outputs as the exporters of transformers do."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        answer = self.model(pixel_values)
        return answer.logits, answer.pred_boxes


class Deployed(nn.Module):
    """RT-DETR and D-FINE as their authors export them: with the post-processing of their repositories inside."""

    def __init__(self, model: nn.Module, top: int) -> None:
        super().__init__()
        self.raw, self.top = Raw(model), top

    def forward(self, images: torch.Tensor, sizes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        logits, boxes = self.raw(images)
        centre, half = boxes[..., :2], boxes[..., 2:] / 2
        corners = torch.cat([centre - half, centre + half], -1) * sizes.repeat(1, 2).unsqueeze(1)
        scores, index = torch.topk(logits.sigmoid().flatten(1), self.top, dim=-1)
        rows = (index // logits.shape[2]).unsqueeze(-1).repeat(1, 1, 4)
        return index % logits.shape[2], corners.gather(1, rows), scores


@pytest.mark.parametrize("deployed", [False, True])
@pytest.mark.parametrize("kind", ["rt_detr", "d_fine"])
def test_transformers_exports_are_read_as_transformers_reads_them(tmp_path: Path, kind: str, deployed: bool) -> None:
    model, processor = transformers_model(kind)
    if deployed:
        path = export(Deployed(model, 84), tmp_path / "m.onnx", ["labels", "boxes", "scores"], sized=True)
    else:
        path = export(Raw(model), tmp_path / "m.onnx", ["logits", "pred_boxes"])
        model.config.save_pretrained(tmp_path)
        processor.save_pretrained(tmp_path)
    detector = OnnxDetector(path, DetectorOptions(min_score=FLOOR), threads=1)
    assert "D-FINE" in detector.layout
    if not deployed:
        assert detector.classes == tuple(f"LABEL_{index}" for index in range(5))
    picture = photo(150, 100)
    with torch.no_grad():
        answer = model(**processor(picture, return_tensors="pt"))
    (theirs,) = processor.post_process_object_detection(answer, threshold=FLOOR, target_sizes=[(100, 150)])
    theirs["boxes"] = theirs["boxes"].clamp(torch.zeros(4), torch.tensor([150.0, 100, 150, 100]))
    assert_read_alike(detector.detect([picture])[0], theirs)


@pytest.mark.parametrize("told", [True, False])
def test_a_softmax_over_classes_is_refused(tmp_path: Path, told: bool) -> None:
    """DETR itself: one class means "no object", told by its settings or seen in its answers to noise."""

    class Detr(nn.Module):
        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            peak = images.amax((1, 2, 3))[:, None, None]
            logits = torch.zeros(1, 20, 6)
            logits[..., 5] = 4.0
            return logits * peak, torch.full((1, 20, 4), 0.5) * peak

    path = export(Detr(), tmp_path / "m.onnx", ["logits", "pred_boxes"])
    if told:
        (tmp_path / "config.json").write_text('{"model_type": "detr"}')
    with pytest.raises(UserError, match="no layout that tamis reads"):
        OnnxDetector(path)


# --- RF-DETR --------------------------------------------------------------------------------------------------------


class RfDetrLike(nn.Module):
    """Outputs named and shaped as rfdetr 1.11 exports them; the real package is too heavy for a test.

    Beside `dets` (q, 4), centre and size as shares, and `labels` (q, classes + 1), whose last column is the ground, a
    segmentation model gives `masks` (q, h / 4, w / 4).
    """

    def __init__(self, classes: int, masks: bool) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 12, 8, 8)
        self.boxes, self.labels = nn.Linear(12, 4), nn.Linear(12, classes + 1)
        self.masks = nn.Linear(12, 3) if masks else None
        rows, columns = torch.meshgrid(torch.linspace(-1, 1, 16), torch.linspace(-1, 1, 16), indexing="ij")
        self.register_buffer("waves", torch.stack([rows, columns, torch.cos(4 * rows * columns)]))
        nn.init.normal_(self.boxes.weight, std=0.15)
        nn.init.normal_(self.labels.weight, std=0.3)
        nn.init.constant_(self.labels.bias, -2)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        queries = self.body(images).flatten(2).transpose(1, 2)
        found = self.boxes(queries).sigmoid(), self.labels(queries)
        if self.masks is None:
            return found
        return (*found, (self.masks(queries) @ self.get_buffer("waves").flatten(1)).unflatten(2, (16, 16)))


def rf_detr_reference(model: RfDetrLike, picture: NDArray[np.uint8], classes: int) -> dict[str, Any]:
    """What rfdetr's own `preprocess_to_nchw` and `decode_detections` do, in torch."""
    import torch.nn.functional as fn

    height, width = picture.shape[:2]
    pixels = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    pixels = fn.interpolate(pixels, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=False)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        boxes, labels, *masks = model((pixels - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1))
    scores, index = labels[0].sigmoid()[:, :classes].flatten().sort(descending=True, stable=True)
    scores, index = scores[: boxes.shape[1]], index[: boxes.shape[1]]
    kept = scores > FLOOR
    scores, index = scores[kept], index[kept]
    rows = index // classes
    centre, half = boxes[0, rows, :2], boxes[0, rows, 2:] / 2
    size = torch.tensor([width, height, width, height]).float()
    corners = (torch.cat([centre - half, centre + half], 1) * size).clamp(torch.zeros(4), size)
    full = fn.interpolate(masks[0][:, rows], (height, width), mode="bilinear")[0] > 0 if masks else None
    return {"scores": scores, "labels": index % classes, "boxes": corners, "masks": full}


@pytest.mark.parametrize(("classes", "masks"), [(3, False), (90, False), (3, True)])
def test_rf_detr_is_read_as_its_authors_read_it(tmp_path: Path, classes: int, masks: bool) -> None:
    torch.manual_seed(4)
    model = RfDetrLike(classes, masks).eval()
    path = export(model, tmp_path / "m.onnx", ["dets", "labels", *(["masks"] if masks else [])])
    detector = OnnxDetector(path, DetectorOptions(min_score=FLOOR), threads=1)
    # Columns up to 90 are COCO's category numbers, whose last is a thing and not the ground.
    known = 91 if classes == 90 else classes
    assert detector.layout == "RF-DETR"
    assert len(detector.classes) == known
    assert detector.makes_masks == masks
    picture = photo(150, 100)
    (ours,) = detector.detect([picture], with_masks=masks)
    theirs = rf_detr_reference(model, picture, known)
    assert_read_alike(ours, theirs)
    if masks:
        assert ours.masks is not None
        for mask, box, score in list(zip(ours.masks, ours.boxes_xyxy, ours.scores, strict=True))[:10]:
            partner = int(np.abs(theirs["scores"].numpy() - score).argmin())
            inside = np.zeros_like(mask)
            x0, y0, x1, y1 = (int(value) for value in (*np.floor(box[:2]), *np.ceil(box[2:])))
            inside[y0:y1, x0:x1] = True
            expected = theirs["masks"][partner].numpy() & inside
            assert (mask & expected).sum() >= 0.95 * (mask | expected).sum()


# --- YOLOv5 ---------------------------------------------------------------------------------------------------------


class YoloV5Like(nn.Module):
    """The head of YOLOv5 up to 7.0, which has anchors and objectness; that repository is no package.

    A row a cell and anchor: x, y, w, h in pixels of the frame, objectness and classes after the sigmoid
    [, 32 coefficients beside prototypes (32, h / 4, w / 4)].
    """

    ANCHORS = ((10, 13, 16, 30, 33, 23), (30, 61, 62, 45, 59, 119), (116, 90, 156, 198, 373, 326))

    def __init__(self, classes: int, masks: bool) -> None:
        super().__init__()
        self.columns, self.classes = 5 + classes + 32 * masks, classes
        self.heads = nn.ModuleList(nn.Conv2d(3, 3 * self.columns, step, step) for step in (8, 16, 32))
        self.prototypes = nn.Conv2d(3, 32, 4, 4) if masks else None
        for head, step in zip(self.heads, (8, 16, 32), strict=True):
            nn.init.normal_(next(head.parameters()), std=2 / step)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        rows = []
        for head, anchors, step in zip(self.heads, self.ANCHORS, (8, 16, 32), strict=True):
            cells = SIDE // step
            raw = head(images).view(1, 3, self.columns, cells, cells).permute(0, 1, 3, 4, 2)
            across, down = np.meshgrid(np.arange(cells), np.arange(cells))
            grid = torch.from_numpy(np.stack([across, down], 2)).float()[None, None]
            split = raw[..., : 5 + self.classes].sigmoid()
            centre = (split[..., :2] * 2 - 0.5 + grid) * step
            size = (split[..., 2:4] * 2) ** 2 * torch.tensor(anchors).float().view(1, 3, 1, 1, 2)
            rows.append(torch.cat([centre, size, split[..., 4:], raw[..., 5 + self.classes :]], -1).flatten(1, 3))
        answer = torch.cat(rows, 1)
        return (answer,) if self.prototypes is None else (answer, self.prototypes(images))


def yolov5_reference(model: YoloV5Like, picture: NDArray[np.uint8]) -> dict[str, Any]:
    """What `non_max_suppression` of YOLOv5 does with a picture of the frame's size, best class only."""
    from torchvision.ops import batched_nms

    with torch.no_grad():
        rows = model(torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255)[0][0]
    rows = rows[rows[:, 4] > FLOOR]
    scores, labels = (rows[:, 5 : 5 + model.classes] * rows[:, 4:5]).max(1)
    kept = scores > FLOOR
    rows, scores, labels = rows[kept], scores[kept], labels[kept]
    boxes = torch.cat([rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2], 1)
    best = batched_nms(boxes, scores, labels, 0.7)
    return {"boxes": boxes[best].clamp(0, SIDE), "scores": scores[best], "labels": labels[best]}


@pytest.mark.parametrize("masks", [False, True])
def test_yolov5_with_anchors_is_read_as_its_authors_read_it(tmp_path: Path, masks: bool) -> None:
    torch.manual_seed(6)
    model = YoloV5Like(4, masks).eval()
    path = export(model, tmp_path / "m.onnx", ["output0", *(["output1"] if masks else [])])
    detector = OnnxDetector(path, DetectorOptions(min_score=FLOOR), threads=1)
    assert detector.layout == "YOLOv5"
    assert len(detector.classes) == 4
    assert detector.makes_masks == masks
    picture = photo(SIDE, SIDE)
    (ours,) = detector.detect([picture], with_masks=masks)
    assert_read_alike(ours, yolov5_reference(model, picture))


def test_yolox_is_refused(tmp_path: Path) -> None:
    """A row a cell, with objectness and without decoded boxes: no layout, though its shape is near to several."""

    class YoloX(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.heads = nn.ModuleList(nn.Conv2d(3, 85, step, step) for step in (8, 16, 32))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.cat([head(images).sigmoid().flatten(2) for head in self.heads], 2).transpose(1, 2)

    with pytest.raises(UserError, match="no layout that tamis reads"):
        OnnxDetector(export(YoloX(), tmp_path / "m.onnx", ["output"], side=96))
