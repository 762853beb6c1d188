"""Layouts of the YOLO family: with and without anchors, with and without suppression inside, with masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tamis.models.layout import Candidates, Fit, Signature, Three, are_shares, best, candidates
from tamis.vision.boxes import from_centres

_ANCHORS_A_CELL = 3


class _Yolo:
    """What the YOLO layouts share: a letterboxed frame, pixels from 0 to 1."""

    fit: ClassVar[Fit] = "letterbox"
    antialias: ClassVar[bool] = False
    rounded: ClassVar[bool] = True
    mean: ClassVar[Three] = (0.0, 0.0, 0.0)
    std: ClassVar[Three] = (1.0, 1.0, 1.0)
    overlapping: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class YoloGrid(_Yolo):
    """YOLOv8, v9, 11, 12 and others without anchors: (4 + classes [+ 32], cells), boxes as centre and size."""

    title: ClassVar[str] = "YOLOv8 to YOLO12"

    class_count: int
    output: str
    prototypes: str = ""

    @classmethod
    def recognise(cls, signature: Signature) -> YoloGrid | None:
        """A column a cell of the grids."""
        main = signature.main
        if main is None or main.shape[2] not in signature.grid_cells():
            return None
        classes = main.shape[1] - 4 - signature.coefficients
        return cls(classes, signature.name_of(main), signature.prototypes) if classes > 0 else None

    def decode(self, outputs: Mapping[str, NDArray[Any]], row: int, min_score: float) -> Candidates:
        """The best class of each cell."""
        columns = outputs[self.output][row]
        peaks = columns[4 : 4 + self.class_count].max(axis=0)
        rows = columns[:, peaks > min_score].T.astype(np.float32)
        scores, class_ids = best(rows[:, 4 : 4 + self.class_count])
        return Candidates(from_centres(rows[:, :4]), scores, class_ids, rows[:, 4 + self.class_count :])


@dataclass(frozen=True, slots=True)
class YoloAnchors(_Yolo):
    """YOLOv5 and v7: (3 a cell, 5 + classes [+ 32]), boxes as centre and size, objectness before the classes."""

    title: ClassVar[str] = "YOLOv5"

    class_count: int
    output: str
    prototypes: str = ""

    @classmethod
    def recognise(cls, signature: Signature) -> YoloAnchors | None:
        """Three rows a cell of the grids."""
        main = signature.main
        if main is None or main.shape[1] not in {cells * _ANCHORS_A_CELL for cells in signature.grid_cells()}:
            return None
        classes = main.shape[2] - 5 - signature.coefficients
        return cls(classes, signature.name_of(main), signature.prototypes) if classes > 0 else None

    def decode(self, outputs: Mapping[str, NDArray[Any]], row: int, min_score: float) -> Candidates:
        """The score is objectness times the best class's."""
        rows = outputs[self.output][row]
        rows = rows[rows[:, 4] > min_score].astype(np.float32)
        scores, class_ids = best(rows[:, 5 : 5 + self.class_count])
        boxes, coefficients = from_centres(rows[:, :4]), rows[:, 5 + self.class_count :]
        return candidates(boxes, scores * rows[:, 4], class_ids, min_score, coefficients)


@dataclass(frozen=True, slots=True)
class YoloRows(_Yolo):
    """YOLOv10, 26 and exports with suppression inside: (rows, 6 [+ 32]): corners, score, class."""

    title: ClassVar[str] = "YOLO end to end"
    overlapping: ClassVar[bool] = False

    output: str
    prototypes: str = ""
    class_count: None = None

    @classmethod
    def recognise(cls, signature: Signature) -> YoloRows | None:
        """Six columns, corners in pixels."""
        main = signature.main
        if main is None or main.shape[2] != 6 + signature.coefficients or are_shares(main):
            return None
        return cls(signature.name_of(main), signature.prototypes)

    def decode(self, outputs: Mapping[str, NDArray[Any]], row: int, min_score: float) -> Candidates:
        """As they are."""
        rows = outputs[self.output][row]
        return candidates(rows[:, :4], rows[:, 4], rows[:, 5], min_score, rows[:, 6:])
