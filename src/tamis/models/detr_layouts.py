"""Layouts of the DETR family: RT-DETR, D-FINE and RF-DETR as their authors, transformers and ultralytics export them.

A query may be two classes at once (each has a sigmoid of its own), and the authors' post-processing ranks all pairs of
query and class together; so do the layouts that hold all the scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tamis.models.layout import Candidates, Fit, Floats, Signature, Three, are_shares, best, candidates
from tamis.vision.boxes import from_centres
from tamis.vision.preprocess import IMAGENET_MEAN, IMAGENET_STD

#: Architectures of transformers that see pixels from 0 to 1, stretched to the frame, and have a sigmoid a class.
_PLAIN = frozenset(("rt_detr", "rt_detr_v2", "d_fine"))
#: Share of the queries of noise that are "no object" in a network with such a class.
_MOSTLY = 0.9


class _Detr:
    """What the DETR layouts share: the picture stretched to the frame, one box an object.

    RT-DETR and D-FINE are trained, and their authors' and transformers' code runs them, on pictures that Pillow resized
    (`Resize((640, 640))`, then `ToTensor`).
    """

    fit: ClassVar[Fit] = "stretch"
    antialias: ClassVar[bool] = True
    rounded: ClassVar[bool] = True
    mean: ClassVar[Three] = (0.0, 0.0, 0.0)
    std: ClassVar[Three] = (1.0, 1.0, 1.0)
    overlapping: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class DeployedDetr(_Detr):
    """RT-DETR and D-FINE with their post-processing inside: labels, boxes (corners) and scores in the given size."""

    title: ClassVar[str] = "D-FINE or RT-DETR with labels, boxes and scores"

    class_count: None = None
    prototypes: str = ""

    @classmethod
    def recognise(cls, signature: Signature) -> DeployedDetr | None:
        """Its outputs and its second input have telling names."""
        telling = {"labels", "boxes", "scores"} <= set(signature.outputs) and "orig_target_sizes" in signature.inputs
        return cls() if telling else None

    def decode(self, outputs: Mapping[str, NDArray[Any]], row: int, min_score: float) -> Candidates:
        """Boxes are pixels of the frame, because the frame is given as the original size."""
        return candidates(outputs["boxes"][row], outputs["scores"][row], outputs["labels"][row], min_score)


@dataclass(frozen=True, slots=True)
class RfDetr(_Detr):
    """RF-DETR: `dets` (q, 4) as centre and size over the frame's, `labels` (q, classes) before the sigmoid.

    A segmentation model adds `masks` (q, h, w), before the sigmoid. The last column of `labels` stands for the ground,
    unless the columns are COCO's category numbers, up to 90, or each of them has a name. Its authors resize floats
    (`resize(to_tensor(picture), antialias=False)`).
    """

    title: ClassVar[str] = "RF-DETR"
    antialias: ClassVar[bool] = False
    rounded: ClassVar[bool] = False
    mean: ClassVar[Three] = IMAGENET_MEAN
    std: ClassVar[Three] = IMAGENET_STD

    class_count: int
    frame_wh: tuple[int, int]
    prototypes: str = ""

    @classmethod
    def recognise(cls, signature: Signature) -> RfDetr | None:
        """Its outputs have telling names."""
        dets, labels = signature.outputs.get("dets"), signature.outputs.get("labels")
        if dets is None or labels is None or labels.ndim != 3 or dets.shape != (*labels.shape[:2], 4):
            return None
        masks = signature.outputs.get("masks")
        if masks is not None and (masks.ndim != 4 or masks.shape[1] != labels.shape[1]):
            return None
        columns = labels.shape[2]
        has_ground = columns not in (1, 91) and len(signature.names or ()) != columns
        return cls(columns - has_ground, signature.frame_wh, "" if masks is None else "masks")

    def decode(self, outputs: Mapping[str, NDArray[Any]], row: int, min_score: float) -> Candidates:
        """The best pairs of query and class."""
        scores = _sigmoid(outputs["labels"][row].astype(np.float32))[:, : self.class_count]
        return _pairs(scores, outputs["dets"][row], self.frame_wh, min_score, masks=bool(self.prototypes))


@dataclass(frozen=True, slots=True)
class DetrLogits(_Detr):
    """RT-DETR and D-FINE as transformers names their outputs: `logits` (q, classes), `pred_boxes` (q, 4)."""

    title: ClassVar[str] = "RT-DETR or D-FINE with logits and pred_boxes"

    class_count: int
    logits: str
    frame_wh: tuple[int, int]
    prototypes: str = ""

    @classmethod
    def recognise(cls, signature: Signature) -> DetrLogits | None:
        """Its outputs have telling names, and no class means "no object"."""
        boxes = signature.outputs.get("pred_boxes")
        name = next((name for name in ("logits", "pred_logits") if name in signature.outputs), "")
        if boxes is None or not name:
            return None
        logits = signature.outputs[name]
        if logits.ndim != 3 or boxes.shape != (*logits.shape[:2], 4):
            return None
        kind = signature.config.get("model_type")
        if kind is None:
            is_plain = bool((logits.argmax(axis=2) == logits.shape[2] - 1).mean() < _MOSTLY)
        else:
            is_plain = kind in _PLAIN and not signature.config.get("do_normalize")
        return cls(logits.shape[2], name, signature.frame_wh) if is_plain else None

    def decode(self, outputs: Mapping[str, NDArray[Any]], row: int, min_score: float) -> Candidates:
        """The best pairs of query and class."""
        scores = _sigmoid(outputs[self.logits][row].astype(np.float32))
        return _pairs(scores, outputs["pred_boxes"][row], self.frame_wh, min_score)


@dataclass(frozen=True, slots=True)
class DetrRows(_Detr):
    """RT-DETR as ultralytics exports it, (queries, 6): centre and size over the frame's, score, class."""

    title: ClassVar[str] = "RT-DETR, best class"
    antialias: ClassVar[bool] = False  # ultralytics resizes with OpenCV

    output: str
    frame_wh: tuple[int, int]
    class_count: None = None
    prototypes: str = ""

    @classmethod
    def recognise(cls, signature: Signature) -> DetrRows | None:
        """Six columns that are no classes, boxes within 0 and 1."""
        main = signature.main
        if main is None or main.shape[2] != 6 or not are_shares(main) or not _are_class_numbers(main[..., 5]):
            return None
        return cls(signature.name_of(main), signature.frame_wh)

    def decode(self, outputs: Mapping[str, NDArray[Any]], row: int, min_score: float) -> Candidates:
        """As they are, in pixels."""
        rows = outputs[self.output][row]
        return candidates(_from_shares(rows[:, :4], self.frame_wh), rows[:, 4], rows[:, 5], min_score)


@dataclass(frozen=True, slots=True)
class DetrClasses(_Detr):
    """RT-DETR as earlier ultralytics exported it, (queries, 4 + classes): centre and size over the frame's, scores."""

    title: ClassVar[str] = "RT-DETR, all classes"
    antialias: ClassVar[bool] = False  # ultralytics resizes with OpenCV

    class_count: int
    output: str
    frame_wh: tuple[int, int]
    prototypes: str = ""

    @classmethod
    def recognise(cls, signature: Signature) -> DetrClasses | None:
        """Boxes and scores within 0 and 1, a column a class; rows that are no cells of a grid."""
        main = signature.main
        if main is None or main.shape[2] < 5 or main.shape[1] in signature.grid_cells():
            return None
        if not are_shares(main) or not 0 <= main.min() <= main.max() <= 1:
            return None
        return cls(main.shape[2] - 4, signature.name_of(main), signature.frame_wh)

    def decode(self, outputs: Mapping[str, NDArray[Any]], row: int, min_score: float) -> Candidates:
        """The best class of each query."""
        rows = outputs[self.output][row].astype(np.float32)
        scores, class_ids = best(rows[:, 4:])
        return candidates(_from_shares(rows[:, :4], self.frame_wh), scores, class_ids, min_score)


def _pairs(
    scores: Floats, boxes_cxcywh: NDArray[Any], frame_wh: tuple[int, int], min_score: float, *, masks: bool = False
) -> Candidates:
    """The best pairs of query and class above the score, as many as there are queries, in frame pixels.

    Args:
        scores: (queries, classes).
        boxes_cxcywh: (queries, 4), centre and size as shares of the frame.
        frame_wh: the frame.
        min_score: pairs at or below it are left out.
        masks: whether each query has a mask of its own, which its pairs share.
    """
    order = np.argsort(-scores.ravel(), kind="stable")[: len(scores)]
    order = order[scores.ravel()[order] > min_score]
    queries, class_ids = np.divmod(order, scores.shape[1])
    own = np.eye(len(scores), dtype=np.float32)[queries] if masks else np.zeros((len(queries), 0), np.float32)
    boxes = _from_shares(boxes_cxcywh[queries], frame_wh)
    return Candidates(boxes, scores[queries, class_ids], class_ids.astype(np.int64), own)


def _from_shares(boxes_cxcywh: NDArray[Any], frame_wh: tuple[int, int]) -> Floats:
    return from_centres(boxes_cxcywh.astype(np.float32)) * np.asarray(frame_wh * 2, np.float32)


def _sigmoid(logits: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -80, 80))), np.float32)


def _are_class_numbers(column: NDArray[Any]) -> bool:
    return bool((column == np.round(column)).all())
