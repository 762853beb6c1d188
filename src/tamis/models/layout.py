"""The contract of layouts: what is known of a model when it is opened, and what a layout makes of its outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Three = tuple[float, float, float]
Fit = Literal["letterbox", "stretch"]

#: Channels of the mask prototypes of YOLO segmentation heads.
MASK_CHANNELS = 32
#: Steps of the grids on which YOLO networks predict: usual, with P6, with P2, tiny.
_STRIDES = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32))


@dataclass(frozen=True, slots=True)
class Signature:
    """What is known of a model: its frame (width, height), inputs, the outputs of a run on noise, and class names.

    `config` is what the files of the transformers library beside the model say, empty without them.
    """

    frame_wh: tuple[int, int]
    inputs: tuple[str, ...]
    outputs: Mapping[str, NDArray[Any]]
    names: tuple[str, ...] | None
    config: Mapping[str, Any]

    @property
    def main(self) -> NDArray[Any] | None:
        """The only output of three axes, which holds the boxes of most layouts."""
        found = [output for output in self.outputs.values() if output.ndim == 3]
        return found[0] if len(found) == 1 else None

    @property
    def prototypes(self) -> str:
        """Name of the output of mask prototypes, (32, h, w) a picture, of a YOLO segmentation head; else empty."""
        named = self.outputs.items()
        return next((name for name, value in named if value.ndim == 4 and value.shape[1] == MASK_CHANNELS), "")

    @property
    def coefficients(self) -> int:
        """Mask coefficients that follow the classes in each row: 32 beside an output of prototypes, else 0."""
        return MASK_CHANNELS if self.prototypes else 0

    def grid_cells(self) -> set[int]:
        """Numbers of cells that YOLO grids have in this frame."""
        width, height = self.frame_wh
        return {sum((width // step) * (height // step) for step in steps) for steps in _STRIDES}

    def name_of(self, output: NDArray[Any]) -> str:
        """Name of one of the outputs."""
        return next(name for name, value in self.outputs.items() if value is output)


@dataclass(frozen=True, slots=True)
class Candidates:
    """Boxes of one picture in frame pixels: corners (n, 4), scores and class ids (n,), and mixtures of prototypes.

    `coefficients` is (n, channels): how each box's mask is mixed from the prototypes; no channels where a network
    makes no masks.
    """

    boxes_xyxy: Floats
    scores: Floats
    class_ids: NDArray[np.int64]
    coefficients: Floats


class Layout(Protocol):
    """One meaning of outputs."""

    #: Name for people.
    title: ClassVar[str]
    #: How pictures are brought into the frame.
    fit: ClassVar[Fit]
    #: Whether shrinking averages, as Pillow does, or samples, as OpenCV's bilinear resize does.
    antialias: ClassVar[bool]
    #: Whether resized pixels are rounded to levels of grey before they are scaled, as those of a picture are.
    rounded: ClassVar[bool]
    mean: ClassVar[Three]
    std: ClassVar[Three]
    #: Whether several boxes of one object are left in.
    overlapping: ClassVar[bool]

    @property
    def class_count(self) -> int | None:
        """How many classes the outputs tell apart; None where they hold class numbers only."""

    @property
    def prototypes(self) -> str:
        """Output whose channels are mixed to masks; empty where the network makes none."""

    @classmethod
    def recognise(cls, signature: Signature) -> Layout | None:
        """Return the layout if the signature is of this kind."""

    def decode(self, outputs: Mapping[str, NDArray[Any]], row: int, min_score: float) -> Candidates:
        """Return the boxes above `min_score` of picture `row` of the batch."""


def candidates(
    boxes_xyxy: NDArray[Any],
    scores: NDArray[Any],
    class_ids: NDArray[Any],
    min_score: float,
    coefficients: NDArray[Any] | None = None,
) -> Candidates:
    """Return the rows whose score is above `min_score`."""
    kept = scores > min_score
    rows = np.zeros((len(scores), 0)) if coefficients is None else coefficients
    return Candidates(
        boxes_xyxy[kept].astype(np.float32),
        scores[kept].astype(np.float32),
        class_ids[kept].astype(np.int64),
        rows[kept].astype(np.float32),
    )


def best(scores: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Return the best score of each row, (n,) of (n, classes), and its column."""
    class_ids = scores.argmax(axis=1) if len(scores) else np.zeros(0, np.int64)
    return scores[np.arange(len(scores)), class_ids], class_ids


def are_shares(rows: NDArray[Any]) -> bool:
    """Whether the first four columns are shares of the frame; all zero says nothing was found, in pixels."""
    return bool(0 < rows[..., :4].max() <= 2 and rows[..., :4].min() >= -1)
