"""What the outputs of exported detectors mean: each layout recognises its shapes and decodes them.

A detector's ONNX file doesn't say what its numbers are. `LAYOUTS` is asked from the most telling to the most general;
what none recognises is refused, because a wrong reading gives boxes that look plausible and are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from tamis.vision.boxes import from_centres
from tamis.vision.preprocess import IMAGENET_MEAN, IMAGENET_STD

Floats = NDArray[np.float32]
Three = tuple[float, float, float]

#: Channels of the mask prototypes of YOLO segmentation heads.
MASK_CHANNELS = 32
#: Steps of the grids on which YOLO networks predict: usual, with P6, with P2, tiny.
_STRIDES = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32))
_ANCHORS_A_CELL = 3


@dataclass(frozen=True, slots=True)
class Signature:
    """What is known of a model: its frame (width, height), inputs, the outputs of a run on noise, and metadata."""

    frame_wh: tuple[int, int]
    inputs: tuple[str, ...]
    outputs: Mapping[str, NDArray[Any]]
    metadata: Mapping[str, str]

    @property
    def main(self) -> NDArray[Any] | None:
        """The only output of three axes, which holds the boxes of most layouts."""
        found = [output for output in self.outputs.values() if output.ndim == 3]
        return found[0] if len(found) == 1 else None

    @property
    def coefficients(self) -> int:
        """Mask coefficients that follow the classes in each row: 32 beside an output of prototypes, else 0."""
        protos = [output for output in self.outputs.values() if output.ndim == 4 and output.shape[1] == MASK_CHANNELS]
        return MASK_CHANNELS if protos else 0

    def grid_cells(self) -> set[int]:
        """Numbers of cells that YOLO grids have in this frame."""
        width, height = self.frame_wh
        return {sum((width // step) * (height // step) for step in steps) for steps in _STRIDES}


@dataclass(frozen=True, slots=True)
class Candidates:
    """Boxes of one picture in frame pixels: corners (n, 4), scores and class ids (n,), mask rows (n, 0 or 32)."""

    boxes_xyxy: Floats
    scores: Floats
    class_ids: NDArray[np.int64]
    coefficients: Floats


class Layout(Protocol):
    """One meaning of outputs."""

    #: Name for people.
    title: ClassVar[str]
    #: How pictures are brought into the frame.
    fit: ClassVar[Literal["letterbox", "stretch"]]
    mean: ClassVar[Three]
    std: ClassVar[Three]
    #: Whether several boxes of one object are left in.
    overlapping: ClassVar[bool]

    @property
    def class_count(self) -> int | None:
        """How many classes the outputs tell apart; None where they hold class numbers only."""

    @classmethod
    def recognise(cls, signature: Signature) -> Layout | None:
        """Return the layout if the signature is of this kind."""

    def decode(self, outputs: Mapping[str, NDArray[Any]], row: int, min_score: float) -> Candidates:
        """Return the boxes above `min_score` of picture `row` of the batch."""


class _Yolo:
    """What the YOLO layouts share: a letterboxed frame, pixels from 0 to 1."""

    fit: ClassVar[Literal["letterbox", "stretch"]] = "letterbox"
    mean: ClassVar[Three] = (0.0, 0.0, 0.0)
    std: ClassVar[Three] = (1.0, 1.0, 1.0)
    overlapping: ClassVar[bool] = True


class _Detr:
    """What the DETR layouts share: the picture stretched to the frame, one box an object."""

    fit: ClassVar[Literal["letterbox", "stretch"]] = "stretch"
    mean: ClassVar[Three] = (0.0, 0.0, 0.0)
    std: ClassVar[Three] = (1.0, 1.0, 1.0)
    overlapping: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class DeployedDetr(_Detr):
    """RT-DETR and D-FINE with their post-processing inside: labels, boxes (corners) and scores in the given size."""

    title: ClassVar[str] = "D-FINE or RT-DETR with labels, boxes and scores"

    class_count: None = None

    @classmethod
    def recognise(cls, signature: Signature) -> DeployedDetr | None:
        """Its outputs and its second input have telling names."""
        telling = {"labels", "boxes", "scores"} <= set(signature.outputs) and "orig_target_sizes" in signature.inputs
        return cls() if telling else None

    def decode(self, outputs: Mapping[str, NDArray[Any]], row: int, min_score: float) -> Candidates:
        """Boxes are pixels of the frame, because the frame is given as the original size."""
        return _candidates(outputs["boxes"][row], outputs["scores"][row], outputs["labels"][row], min_score)


@dataclass(frozen=True, slots=True)
class RfDetr(_Detr):
    """RF-DETR: `dets` (q, 4) as centre and size over the frame's, `labels` (q, classes) before the sigmoid."""

    title: ClassVar[str] = "RF-DETR"
    mean: ClassVar[Three] = IMAGENET_MEAN
    std: ClassVar[Three] = IMAGENET_STD

    class_count: int
    frame_wh: tuple[int, int]

    @classmethod
    def recognise(cls, signature: Signature) -> RfDetr | None:
        """Its outputs have telling names."""
        dets, labels = signature.outputs.get("dets"), signature.outputs.get("labels")
        if dets is None or labels is None or labels.ndim != 3 or dets.shape != (*labels.shape[:2], 4):
            return None
        return cls(labels.shape[2], signature.frame_wh)

    def decode(self, outputs: Mapping[str, NDArray[Any]], row: int, min_score: float) -> Candidates:
        """The best class of each query."""
        scores, class_ids = _best(_sigmoid(outputs["labels"][row].astype(np.float32)))
        return _candidates(_from_shares(outputs["dets"][row], self.frame_wh), scores, class_ids, min_score)


@dataclass(frozen=True, slots=True)
class YoloGrid(_Yolo):
    """YOLOv8, v9, 11, 12 and others without anchors: (4 + classes [+ 32], cells), boxes as centre and size."""

    title: ClassVar[str] = "YOLOv8 to YOLO12"

    class_count: int
    output: str

    @classmethod
    def recognise(cls, signature: Signature) -> YoloGrid | None:
        """A column a cell of the grids."""
        main = signature.main
        if main is None or main.shape[2] not in signature.grid_cells():
            return None
        classes = main.shape[1] - 4 - signature.coefficients
        return cls(classes, _name_of(main, signature)) if classes > 0 else None

    def decode(self, outputs: Mapping[str, NDArray[Any]], row: int, min_score: float) -> Candidates:
        """The best class of each cell."""
        columns = outputs[self.output][row]
        best = columns[4 : 4 + self.class_count].max(axis=0)
        rows = columns[:, best > min_score].T.astype(np.float32)
        scores, class_ids = _best(rows[:, 4 : 4 + self.class_count])
        return Candidates(from_centres(rows[:, :4]), scores, class_ids, rows[:, 4 + self.class_count :])


@dataclass(frozen=True, slots=True)
class YoloAnchors(_Yolo):
    """YOLOv5 and v7: (3 a cell, 5 + classes [+ 32]), boxes as centre and size, objectness before the classes."""

    title: ClassVar[str] = "YOLOv5"

    class_count: int
    output: str

    @classmethod
    def recognise(cls, signature: Signature) -> YoloAnchors | None:
        """Three rows a cell of the grids."""
        main = signature.main
        if main is None or main.shape[1] not in {cells * _ANCHORS_A_CELL for cells in signature.grid_cells()}:
            return None
        classes = main.shape[2] - 5 - signature.coefficients
        return cls(classes, _name_of(main, signature)) if classes > 0 else None

    def decode(self, outputs: Mapping[str, NDArray[Any]], row: int, min_score: float) -> Candidates:
        """The score is objectness times the best class's."""
        rows = outputs[self.output][row]
        rows = rows[rows[:, 4] > min_score].astype(np.float32)
        best, class_ids = _best(rows[:, 5 : 5 + self.class_count])
        return _candidates(
            from_centres(rows[:, :4]), best * rows[:, 4], class_ids, min_score, rows[:, 5 + self.class_count :]
        )


@dataclass(frozen=True, slots=True)
class YoloRows(_Yolo):
    """YOLOv10, 26 and exports with suppression inside: (rows, 6 [+ 32]): corners, score, class."""

    title: ClassVar[str] = "YOLO end to end"
    overlapping: ClassVar[bool] = False

    output: str
    class_count: None = None

    @classmethod
    def recognise(cls, signature: Signature) -> YoloRows | None:
        """Six columns, corners in pixels."""
        main = signature.main
        if main is None or main.shape[2] != 6 + signature.coefficients or _are_shares(main):
            return None
        return cls(_name_of(main, signature))

    def decode(self, outputs: Mapping[str, NDArray[Any]], row: int, min_score: float) -> Candidates:
        """As they are."""
        rows = outputs[self.output][row]
        return _candidates(rows[:, :4], rows[:, 4], rows[:, 5], min_score, rows[:, 6:])


@dataclass(frozen=True, slots=True)
class DetrRows(_Detr):
    """RT-DETR as ultralytics exports it, (queries, 6): centre and size over the frame's, score, class."""

    title: ClassVar[str] = "RT-DETR, best class"

    output: str
    frame_wh: tuple[int, int]
    class_count: None = None

    @classmethod
    def recognise(cls, signature: Signature) -> DetrRows | None:
        """Six columns that are no classes, boxes within 0 and 1."""
        main = signature.main
        if main is None or main.shape[2] != 6 or not _are_shares(main) or not _are_class_numbers(main[..., 5]):
            return None
        return cls(_name_of(main, signature), signature.frame_wh)

    def decode(self, outputs: Mapping[str, NDArray[Any]], row: int, min_score: float) -> Candidates:
        """As they are, in pixels."""
        rows = outputs[self.output][row]
        return _candidates(_from_shares(rows[:, :4], self.frame_wh), rows[:, 4], rows[:, 5], min_score)


@dataclass(frozen=True, slots=True)
class DetrClasses(_Detr):
    """RT-DETR as earlier ultralytics exported it, (queries, 4 + classes): centre and size over the frame's, scores."""

    title: ClassVar[str] = "RT-DETR, all classes"

    class_count: int
    output: str
    frame_wh: tuple[int, int]

    @classmethod
    def recognise(cls, signature: Signature) -> DetrClasses | None:
        """Boxes and scores within 0 and 1, a column a class."""
        main = signature.main
        if main is None or main.shape[2] < 5 or not _are_shares(main) or not 0 <= main.min() <= main.max() <= 1:
            return None
        return cls(main.shape[2] - 4, _name_of(main, signature), signature.frame_wh)

    def decode(self, outputs: Mapping[str, NDArray[Any]], row: int, min_score: float) -> Candidates:
        """The best class of each query."""
        rows = outputs[self.output][row].astype(np.float32)
        scores, class_ids = _best(rows[:, 4:])
        return _candidates(_from_shares(rows[:, :4], self.frame_wh), scores, class_ids, min_score)


LAYOUTS: tuple[type[Layout], ...] = (
    DeployedDetr,
    RfDetr,
    YoloGrid,
    YoloAnchors,
    YoloRows,
    DetrRows,
    DetrClasses,
)


def _candidates(
    boxes_xyxy: NDArray[Any],
    scores: NDArray[Any],
    class_ids: NDArray[Any],
    min_score: float,
    coefficients: NDArray[Any] | None = None,
) -> Candidates:
    kept = scores > min_score
    rows = np.zeros((len(scores), 0)) if coefficients is None else coefficients
    return Candidates(
        boxes_xyxy[kept].astype(np.float32),
        scores[kept].astype(np.float32),
        class_ids[kept].astype(np.int64),
        rows[kept].astype(np.float32),
    )


def _best(scores: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """The best score of each row, and its column."""
    class_ids = scores.argmax(axis=1) if len(scores) else np.zeros(0, np.int64)
    return scores[np.arange(len(scores)), class_ids], class_ids


def _from_shares(boxes_cxcywh: NDArray[Any], frame_wh: tuple[int, int]) -> Floats:
    return from_centres(boxes_cxcywh.astype(np.float32)) * np.asarray(frame_wh * 2, np.float32)


def _sigmoid(logits: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -80, 80))), np.float32)


def _are_shares(rows: NDArray[Any]) -> bool:
    """Whether the first four columns are shares of the frame; all zero says nothing was found, in pixels."""
    return bool(0 < rows[..., :4].max() <= 2 and rows[..., :4].min() >= -1)


def _are_class_numbers(column: NDArray[Any]) -> bool:
    return bool((column == np.round(column)).all())


def _name_of(output: NDArray[Any], signature: Signature) -> str:
    return next(name for name, value in signature.outputs.items() if value is output)
