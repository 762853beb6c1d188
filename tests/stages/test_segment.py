"""The segment stage: masks of all regions of an image at once, and what becomes of rows without one."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from tamis.blobs import BlobStore
from tamis.config import DetectSettings, SegmentSettings, Settings
from tamis.engine.stage import Context, Results
from tamis.errors import RowError, Skip, Unreadable, UserError
from tamis.records import Mask
from tamis.stages.segment import SEGMENT
from tamis.stages.subjects import ChosenSubject
from tamis.vision.masks import decode
from tamis.vision.render import encode
from tests.models.networks import answer_network


def subject(region_id: int, sha256: str, box: tuple[float, float, float, float]) -> ChosenSubject:
    return ChosenSubject(region_id, sha256, 64, 64, *box)


def segmenter(path: Path) -> None:
    """A YOLO segmentation export that sees two things: the left and the right half of the frame."""
    rows = np.zeros((60, 38), np.float32)
    rows[0, :6], rows[1, :6] = [0, 0, 30, 64, 0.9, 0], [34, 0, 64, 64, 0.8, 1]
    rows[0, 6], rows[1, 7] = 1, 1
    prototypes = np.full((32, 16, 16), -1, np.float32)
    prototypes[0, :, :8], prototypes[1, :, 8:] = 1, 1
    answer_network(path, {"output0": rows, "output1": prototypes}, metadata={"names": "{0: 'car', 1: 'bus'}"})


def test_masks_of_a_model_and_of_grabcut(tmp_path: Path) -> None:
    segmenter(tmp_path / "seg.onnx")
    blobs = BlobStore(str(tmp_path / "blobs"))
    picture = np.full((64, 64, 3), 255, np.uint8)
    picture[16:48, 8:28] = (200, 30, 30)
    good, broken = blobs.put(encode(picture, "png")), blobs.put(b"no picture")
    rows = [
        subject(1, good, (0, 0, 30, 64)),
        subject(2, good, (34, 0, 64, 64)),
        subject(3, good, (20, 20, 40, 40)),
        subject(4, broken, (0, 0, 9, 9)),
    ]

    def run(method: Literal["model", "grabcut"], asked: list[ChosenSubject]) -> Results:
        settings = Settings(segment=SegmentSettings(method=method, model="seg.onnx"))
        return SEGMENT.worker()(Context(settings, tmp_path, blobs))(asked)

    by_model = run("model", rows)
    left, right = (result[0] for result in by_model[:2] if not isinstance(result, RowError))
    assert isinstance(left, Mask)
    assert (left.region_id, left.method, right.region_id) == (1, "model", 2)
    shown = decode(left.counts, (left.width, left.height))
    assert shown[:, 1:29].all()
    assert not shown[:, 32:].any()
    assert left.area > 0.95
    assert isinstance(by_model[2], Skip)
    assert isinstance(by_model[3], Unreadable)
    (by_box,) = run("grabcut", [subject(1, good, (4, 12, 32, 52))])
    assert not isinstance(by_box, RowError)
    (mask,) = by_box
    found = decode(mask.counts, (64, 64))
    assert (found == (picture[..., 1] < 100)).mean() > 0.97
    assert (mask.border, mask.holes) == (0, 0)


def test_a_project_takes_the_masks_of_its_detector_unless_it_names_a_model(tmp_path: Path) -> None:
    segmenter(tmp_path / "seg.onnx")
    blobs = BlobStore(str(tmp_path / "blobs"))
    rows = [subject(1, blobs.put(encode(np.full((64, 64, 3), 255, np.uint8), "png")), (0, 0, 30, 64))]
    both = Settings(detect=DetectSettings(model="seg.onnx"), segment=SegmentSettings(method="model"))
    context = Context(both, tmp_path, blobs)
    (result,) = SEGMENT.worker()(context)(rows)
    assert not isinstance(result, RowError)
    assert result[0].area > 0.95
    named = Settings(segment=SegmentSettings(method="model", model="seg.onnx"))
    assert SEGMENT.depends(context) == SEGMENT.depends(Context(named, tmp_path, blobs))
    with pytest.raises(UserError, match=r"segment\.model names no model, and there is no detector"):
        SEGMENT.depends(Context(Settings(segment=SegmentSettings(method="model")), tmp_path, blobs))
