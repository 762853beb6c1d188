"""Which of a picture's detections are wanted: the policy of the stages, for pictures outside of a project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tamis.models.protocols import Detections
from tamis.records import SAME_OBJECT
from tamis.vision.boxes import area, distinct, off_centre, share

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
    same_object: float = SAME_OBJECT
    choose: Choose = "all"
    max_objects: int = 0


def chosen(found: Detections, size_wh: tuple[int, int], choice: Choice) -> tuple[list[int], int]:
    """Return the indices of the wanted detections, best first, and how many objects there were to choose from."""
    counted = [not choice.classes or name in choice.classes for name in found.class_names]
    seen = share(found.boxes_xyxy, size_wh) >= choice.min_share
    passing = np.flatnonzero(np.asarray(counted, bool) & seen)
    own = passing[
        distinct(found.boxes_xyxy[passing], found.scores[passing], found.class_ids[passing], choice.same_object)
    ]
    if choice.choose == "all" or not own.size:
        return [int(index) for index in own], len(own)
    boxes = found.boxes_xyxy
    large, sure = -area(boxes), -found.scores
    # Which comes first, and then which among equals: as `tamis.stages.policy` ranks the regions of a project.
    keys = {
        "largest": (large, sure),
        "central": (off_centre(boxes, size_wh), large, sure),
        "best": (sure, large),
    }[choice.choose]
    order = np.lexsort([key[own] for key in reversed(keys)])
    return [int(own[order[0]])], len(own)
