"""The regions that later stages work on: those that the settings choose, of images that no better copy stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from tamis import schema
from tamis.config import Settings
from tamis.engine.ledger import within
from tamis.engine.stage import Context
from tamis.records import Box
from tamis.stages.policy import chosen_regions, images_undone, is_loser

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tamis.vision.decode import Limits


@dataclass(frozen=True, slots=True)
class ChosenSubject:
    """A chosen region; sizes and box in pixels of the upright image."""

    region_id: int
    sha256: str
    width: int
    height: int
    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def box_xyxy(self) -> Box:
        """The raw box."""
        return (self.x0, self.y0, self.x1, self.y1)


def select_chosen(
    settings: Settings, *, certain: bool = False, undone: tuple[str, str] | None = None
) -> sa.Select[Any]:
    """Select the chosen regions of images that are no losers of a cluster.

    Args:
        settings: the project's settings.
        certain: only regions without doubt.
        undone: name and fingerprint of a stage; of the images with which it is surely done, nothing is selected.
    """
    images = [within(schema.region.c.image_id)]
    if undone is not None:
        images.append(schema.region.c.image_id.in_(images_undone(settings, *undone, certain=certain)))
    if settings.duplicates.enabled:
        images.append(~is_loser(schema.region.c.image_id))
    chosen = chosen_regions(settings, sa.and_(*images)).subquery("chosen")
    column = chosen.c
    region = schema.region.c
    statement = sa.select(
        column.region_id.label("subject_id"), sa.literal("").label("input_digest"),
        column.image_id.label("unit_id"), column.region_id, column.sha256, column.width, column.height,
        column.x0, column.y0, column.x1, column.y1, column.region_key, region.phash, region.dhash,
    ).join(schema.region, region.id == column.region_id)  # fmt: skip
    if certain:
        statement = statement.where(column.doubt == "")
    return statement


def limits_of(settings: Settings) -> Limits:
    """Limits within which pictures are decoded: what inspection let through, later stages take too."""
    from tamis.vision.decode import Limits  # noqa: PLC0415 - decoders load in the workers

    return Limits(max_pixels=settings.inspect.max_pixels)


def render_settings(settings: Settings) -> str:
    """What a rendering of a region depends on besides its raw box."""
    aspect = settings.detect.crop_aspect
    shape = f"square={aspect is not None}" if aspect in (None, 1) else f"aspect={aspect!r}"
    return f"margin={settings.detect.margin!r}, {shape}"


def read_crop(context: Context, subject: ChosenSubject) -> NDArray[np.uint8]:
    """Return a region as it is rendered: RGB of shape (h, w, 3), the box with its margin, at full resolution.

    Raises:
        Unreadable: the image cannot be decoded.
    """
    import numpy as np  # noqa: PLC0415 - decoders load in the workers

    from tamis.vision.boxes import expand  # noqa: PLC0415
    from tamis.vision.decode import decode_rgb  # noqa: PLC0415

    detect = context.settings.detect
    size_wh = (subject.width, subject.height)
    left, top, right, bottom = expand(subject.box_xyxy, size_wh, detect.margin, detect.crop_aspect)
    picture = decode_rgb(context.blobs.get(subject.sha256), limits=limits_of(context.settings))
    return np.ascontiguousarray(picture[top:bottom, left:right])
