"""How closely two lists of detections agree."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamis.models.protocols import Detections
from tamis.vision.boxes import iou


def offline_ultralytics() -> Any:
    """Import ultralytics with its network access and its own settings folder switched off."""
    os.environ |= {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false"}
    os.environ.setdefault("YOLO_CONFIG_DIR", tempfile.gettempdir())
    import ultralytics

    return ultralytics


def assert_agree(ours: Detections, theirs_xyxy: NDArray[np.float32], theirs: NDArray[np.float32], floor: float) -> int:
    """Each box above the floor has a partner with IoU 0.99 and a score within 0.01, on both sides.

    `theirs` is float32 (n, 2): score and class. Returns how many boxes were compared.
    """
    compared = 0
    sides: list[tuple[NDArray[Any], ...]] = [
        (ours.boxes_xyxy, ours.scores, ours.class_ids, theirs_xyxy, theirs[:, 0], theirs[:, 1]),
        (theirs_xyxy, theirs[:, 0], theirs[:, 1], ours.boxes_xyxy, ours.scores, ours.class_ids),
    ]
    for boxes, scores, classes, other_boxes, other_scores, other_classes in sides:
        for box, score, class_id in zip(boxes, scores, classes, strict=True):
            if score < floor or (box[2:] <= box[:2]).any():  # ultralytics keeps what clipping leaves nothing of
                continue
            partner = (iou(box[None], other_boxes)[0] >= 0.99) & (np.abs(other_scores - score) <= 0.01)
            assert (partner & (other_classes == class_id)).any(), (box, score, class_id)
            compared += 1
    return compared
