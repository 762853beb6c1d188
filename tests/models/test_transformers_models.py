"""Folders of transformers as detectors and segmenters: read as the library reads them, safely and without a network."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.models.agreement import assert_agree
from tests.models.transformers_networks import SIDE, mask2former, photo, sam, save, transformers_model, yolos

from tamis.errors import UserError
from tamis.models.detect_folder import detect_folder
from tamis.models.files import find_model, model_files
from tamis.models.onnx_detector import DetectorOptions
from tamis.models.registry import open_detector, open_segmenter
from tamis.models.transformers_models import TransformersDetector
from tamis.vision.render import encode

pytest.importorskip("transformers", reason="needs the extra transformers")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a model asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.parametrize("kind", ["rt_detr", "d_fine", "yolos"])
def test_detectors_answer_as_transformers_does(tmp_path: Path, kind: str) -> None:
    model, processor = yolos() if kind == "yolos" else transformers_model(kind)
    save(model, processor, tmp_path / "detector")
    detector = open_detector("detector", tmp_path, DetectorOptions(min_score=0.02))
    assert detector.classes[0] == "LABEL_0"
    pictures = [photo(150, 100), photo(64, 90)]
    compared = 0
    for picture, ours in zip(pictures, detector.detect(pictures), strict=True):
        height, width = picture.shape[:2]
        with torch.no_grad():
            answer = model(**processor(picture, return_tensors="pt"))
        (row,) = processor.post_process_object_detection(answer, threshold=0.02, target_sizes=[(height, width)])
        size = torch.tensor([width, height, width, height]).float()
        table = torch.stack([row["scores"], row["labels"].float()], 1)
        boxes = row["boxes"].clamp(torch.zeros(4), size).detach().numpy()
        compared += assert_agree(ours, boxes, table.detach().numpy(), 0.021)
        assert (np.diff(ours.scores) <= 0).all()
    assert compared > 10
    with pytest.raises(UserError, match="makes no masks"):
        detector.detect(pictures, with_masks=True)
    with pytest.raises(UserError, match=r"makes no masks: it is made for .*ForObjectDetection"):
        open_segmenter("detector", tmp_path)


def test_instances_are_those_that_the_boxes_mean(tmp_path: Path) -> None:
    model, processor = mask2former()
    save(model, processor, tmp_path / "segmenter")
    segmenter = open_segmenter("segmenter", tmp_path)
    picture = photo(120, 80)
    with torch.no_grad():
        answer = model(**processor(picture, return_tensors="pt"))
    (result,) = processor.post_process_instance_segmentation(
        answer, threshold=0.3, target_sizes=[(80, 120)], return_binary_maps=True
    )
    instances = [mask for mask in result["segmentation"].numpy() > 0 if mask.any()]
    assert instances
    rows, columns = np.nonzero(instances[0])
    box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    found, nothing = segmenter.segment(picture, np.asarray([box, [0, 0, 2, 2]], np.float32))
    assert found is not None
    assert any((found == mask).all() for mask in instances)
    assert nothing is None
    assert segmenter.segment(picture, np.zeros((0, 4), np.float32)) == []
    assert len(segmenter.digest) == 32
    with pytest.raises(UserError, match="not for object detection"):
        open_detector("segmenter", tmp_path)


def test_sam_outlines_the_thing_in_each_box(tmp_path: Path) -> None:
    model, processor = sam()
    save(model, processor, tmp_path / "sam")
    segmenter = open_segmenter("sam", tmp_path)
    picture = photo(120, 80)
    boxes = np.asarray([[10, 10, 60, 70], [50, 5, 115, 60]], np.float32)
    inputs = processor(images=picture, input_boxes=[boxes.tolist()], return_tensors="pt")
    with torch.no_grad():
        answer = model(**inputs, multimask_output=False)
    (expected,) = processor.post_process_masks(
        answer.pred_masks, inputs["original_sizes"], inputs["reshaped_input_sizes"]
    )
    masks = segmenter.segment(picture, boxes)
    assert len(masks) == 2
    for mask, theirs in zip(masks, expected.numpy()[:, 0], strict=True):
        if mask is None:
            assert not theirs.any()
        else:
            assert mask.shape == (80, 120)
            np.testing.assert_array_equal(mask, theirs)
    assert any(mask is not None for mask in masks)


def test_folder_of_pictures(tmp_path: Path) -> None:
    save(*transformers_model("rt_detr"), tmp_path / "detector")
    (tmp_path / "pictures").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "pictures" / name).write_bytes(encode(photo(SIDE, SIDE), "jpeg"))
    report = detect_folder(tmp_path / "pictures", model=str(tmp_path / "detector"), min_score=0.1)
    assert {row["file"] for row in report["regions"]} == {"a.jpg", "b.jpg"}


def test_the_digest_follows_the_files(tmp_path: Path) -> None:
    folder = save(*transformers_model("rt_detr"), tmp_path / "detector")
    before = TransformersDetector(folder).digest
    assert {path.name for path in model_files(find_model("detector", tmp_path))} >= {"config.json", "model.safetensors"}
    config = json.loads((folder / "config.json").read_text())
    config["id2label"]["0"] = "car"
    (folder / "config.json").write_text(json.dumps(config))
    assert TransformersDetector(folder).digest != before


def test_pickles_and_broken_folders_are_refused(tmp_path: Path) -> None:
    model, processor = transformers_model("rt_detr")
    folder = save(model, processor, tmp_path / "detector")
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="holds no weights"):
        open_detector("detector", tmp_path)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="are a pickle"):
        open_detector("detector", tmp_path)
    assert len(open_detector("detector", tmp_path, trusted=True).classes) == 5
    (folder / "model.safetensors").write_bytes(weights[:200])
    with pytest.raises(UserError, match="cannot be loaded as a model of transformers") as caught:
        open_detector("detector", tmp_path)
    assert "\n" not in str(caught.value)
    (folder / "config.json").write_text("{}")
    with pytest.raises(UserError, match="names no architecture"):
        open_detector("detector", tmp_path)
    (folder / "config.json").unlink()
    with pytest.raises(UserError, match=r"holds no config\.json"):
        open_detector("detector", tmp_path)
