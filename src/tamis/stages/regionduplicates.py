"""Chosen regions to clusters: a second, lenient look at what the crops show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from tamis import schema
from tamis.config import Settings
from tamis.engine.stage import Context, Stage, Whole
from tamis.engine.writers import copies_writer
from tamis.records import ClusterMember, Relation, Unclustered
from tamis.stages.copies import SignaturesOf, Signed, decision, inspected_columns, lookups, relate, side_inputs
from tamis.stages.subjects import limits_of, select_chosen
from tamis.vision.keepers import Facts, facts_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Long side at which pairs are compared, in pixels.
_SMALL = 256


@dataclass(frozen=True, slots=True)
class SignedRegion(Signed):
    """A chosen region and its signatures; box in pixels of the upright image."""

    region_key: str
    x0: float
    y0: float
    x1: float
    y1: float


#: No two regions have the same pixels by name.
_SIGNATURES = SignaturesOf(digest="region_key")


def _select_labelled(_: Settings) -> sa.Select[Any]:
    label = schema.label.c
    labelled = sa.and_(label.who == "person", label.value.is_not(None), label.region_id.is_not(None))
    return sa.select(label.region_id).where(labelled).distinct()


def _facts(row: SignedRegion) -> Facts:
    return facts_of(row, round((row.x1 - row.x0) * (row.y1 - row.y0)), row.size, row.region_key)


def _collapse(context: Context, whole: Whole) -> Sequence[Relation | ClusterMember | Unclustered]:
    import numpy as np  # noqa: PLC0415 - decoders load on use

    from tamis.vision.decode import decode_rgb  # noqa: PLC0415

    def load(region_id: int) -> NDArray[np.uint8]:
        row = whole.find(region_id)
        share = max(row.x1 - row.x0, row.y1 - row.y0) / max(row.width, row.height)
        side = round(_SMALL / max(share, 0.01))
        picture = decode_rgb(
            context.blobs.get(row.sha256),
            limits=limits_of(context.settings),
            at_least_wh=(min(side, row.width), min(side, row.height)),
        )
        scale = picture.shape[1] / row.width
        left, top = int(row.x0 * scale), int(row.y0 * scale)
        right, bottom = max(left + 1, round(row.x1 * scale)), max(top + 1, round(row.y1 * scale))
        return np.ascontiguousarray(picture[top:bottom, left:right])

    return relate("region", context.settings.regionduplicates, whole, _SIGNATURES, _facts, load)


def _select(settings: Settings) -> sa.Select[Any]:
    return _signed(select_chosen(settings))


def _select_undone(settings: Settings, fingerprint: str) -> sa.Select[Any]:
    return _signed(select_chosen(settings, undone=("regionduplicates", fingerprint)))


def _signed(chosen: sa.Select[Any]) -> sa.Select[Any]:
    """Of chosen regions those with signatures, and what is known of their pictures."""
    region, image, inspection = schema.region.c, schema.image, schema.inspection
    return (
        chosen.add_columns(region.id.label("id"), image.c.size, *inspected_columns())
        .join(image, image.c.id == region.image_id)
        .join(inspection, inspection.c.image_id == region.image_id)
        .where(region.phash.is_not(None))
    )


REGIONDUPLICATES = Stage(
    name="regionduplicates",
    version=6,
    help="chosen regions to clusters of the same view of the same thing",
    reads=SignedRegion,
    writes=(Relation, ClusterMember, Unclustered),
    select=_select,
    select_undone=_select_undone,
    write=lambda _: copies_writer("region"),
    section="regionduplicates",
    collapse=_collapse,
    decision=lambda settings, side: decision(settings.regionduplicates, side),
    side=side_inputs("region", _select_labelled),
    lookups=lookups("region"),
)
