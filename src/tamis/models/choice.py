"""Which of a picture's detections are wanted: the policy of the stages, for pictures outside of a project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tamis.models.protocols import Detections
from tamis.vision.boxes import area, centrality, distinct, share

Choose = Literal["all", "largest", "central", "best"]


@dataclass(frozen=True, slots=True)
class Choice:
    """What makes a detection wanted.

    `classes` counts, empty for all; boxes that cover less than `min_share` of the picture do not; of boxes that
    overlap by `same_object` (IoU; above 1 merges nothing) the best counts, whatever the classes; of those that are
    left `choose` takes all, or the largest, the most central or the best-scored one. Where `max_objects` is set, a
    picture with more of them, or with none, is questionable.
    """

    classes: frozenset[str] = frozenset()
    min_share: float = 0.0
    same_object: float = 2.0
    choose: Choose = "all"
    max_objects: int = 0


def chosen(found: Detections, size_wh: tuple[int, int], choice: Choice) -> tuple[list[int], int]:
    """Return the indices of the wanted detections, best first, and how many objects there were to choose from."""
    counted = [not choice.classes or name in choice.classes for name in found.class_names]
    large = share(found.boxes_xyxy, size_wh) >= choice.min_share
    passing = np.flatnonzero(np.asarray(counted, bool) & large)
    own = passing[
        distinct(found.boxes_xyxy[passing], found.scores[passing], found.class_ids[passing], choice.same_object)
    ]
    if choice.choose == "all" or not own.size:
        return [int(index) for index in own], len(own)
    measure: NDArray[np.float32] = {
        "largest": area(found.boxes_xyxy),
        "central": centrality(found.boxes_xyxy, size_wh),
        "best": found.scores,
    }[choice.choose]
    return [int(own[measure[own].argmax()])], len(own)
