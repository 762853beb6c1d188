"""What a network has to offer to serve a stage: one protocol a kind, and the records that they return.

Pictures are uint8 RGB arrays (height, width, 3), upright, of any sizes. `digest` changes with the weights and with
whatever else changes the answers, and is part of a stage's fingerprint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tamis.vision.card import AttributeHead

ImageRGB = NDArray[np.uint8]
MaskArray = NDArray[np.bool_]

#: Detections are kept from this score on, so that a deciding threshold can move without a new run.
SCORE_FLOOR = 0.05


@dataclass(frozen=True, slots=True)
class Detections:
    """Objects that a detector found in one picture, best score first.

    `boxes_xyxy` is float32 (n, 4) in pixels of the picture, inside it; `scores` float32 (n,), 0 to 1; `class_ids`
    int64 (n,), indices into the detector's classes, whose names are `class_names`, n of them; `masks`, where asked
    for, n boolean arrays of the picture's size.
    """

    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    class_names: tuple[str, ...]
    masks: tuple[MaskArray, ...] | None = None

    def __post_init__(self) -> None:
        count = len(self.scores)
        shapes = (self.boxes_xyxy.shape, self.scores.shape, self.class_ids.shape)
        if shapes != ((count, 4), (count,), (count,)) or len(self.class_names) != count:
            raise ValueError(
                f"boxes, scores, classes and names do not belong together: {shapes}, {len(self.class_names)}"
            )
        if self.masks is not None and len(self.masks) != count:
            raise ValueError(f"{len(self.masks)} masks for {count} boxes")

    def __len__(self) -> int:
        return len(self.scores)


class Detector(Protocol):
    """Finds objects of known classes."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by class id."""

    @property
    def digest(self) -> str:
        """Key of the weights and the adapter, 32 hexadecimal digits."""

    @property
    def batch(self) -> int:
        """How many pictures at once make the best of the machine."""

    @property
    def makes_masks(self) -> bool:
        """Whether it outlines what it finds, and so is a segmenter too."""

    def detect(self, images_rgb: Sequence[ImageRGB], *, with_masks: bool = False) -> list[Detections]:
        """Return what is in each picture.

        Raises:
            UserError: masks are asked of a model that makes none.
        """


class Segmenter(Protocol):
    """Outlines the objects in given boxes."""

    @property
    def digest(self) -> str:
        """Key of the weights or the algorithm, up to 64 characters."""

    def segment(self, image_rgb: ImageRGB, boxes_xyxy: NDArray[np.float32]) -> list[MaskArray | None]:
        """Return a mask of the picture's size for each of the boxes, (n, 4); None where nothing was found."""


class Embedder(Protocol):
    """Turns pictures into vectors whose closeness is likeness."""

    @property
    def dimension(self) -> int:
        """Length of a vector."""

    @property
    def digest(self) -> str:
        """Key of the weights and the preprocessing, 32 hexadecimal digits."""

    def embed(self, images_rgb: Sequence[ImageRGB]) -> NDArray[np.float32]:
        """Return float32 (n, dimension), each row of unit length."""


class Classifier(Protocol):
    """Answers attributes of a picture."""

    @property
    def attributes(self) -> Mapping[str, AttributeHead]:
        """What it answers, and in which classes."""

    @property
    def digest(self) -> str:
        """Key of the weights, the preprocessing and the calibration."""

    def predict(self, images_rgb: Sequence[ImageRGB]) -> dict[str, NDArray[np.float32]]:
        """Return for each attribute the probabilities, float32 (n, classes), whose rows sum to one."""
