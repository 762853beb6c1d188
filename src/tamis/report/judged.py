"""The chosen regions of a project with the verdict on each, image by image."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from tamis.config import Settings
from tamis.dataset.copies import shots_of
from tamis.dataset.gold import batches
from tamis.dataset.verdicts import RegionVerdict, verdicts_of_chosen
from tamis.stages.policy import ChosenRegion, read_chosen
from tamis.vision.boxes import CropBox, expand


def judged_regions(connection: sa.Connection, settings: Settings) -> Iterator[tuple[ChosenRegion, RegionVerdict]]:
    """Yield every chosen region with its verdict, in parts that fit into memory."""
    for batch in batches(read_chosen(connection, settings)):
        shots = shots_of(connection, settings, batch)
        yield from zip(batch, verdicts_of_chosen(connection, settings, batch, shots), strict=True)


def crop_of(one: ChosenRegion, settings: Settings) -> CropBox:
    """Return what is cut from the upright image: the box with its margin, in whole pixels."""
    detect = settings.detect
    return expand(one.box_xyxy, one.image_wh, detect.margin, detect.crop_aspect)
