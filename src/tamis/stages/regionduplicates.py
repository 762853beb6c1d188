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
from tamis.records import ClusterMember, Relation
from tamis.stages.copies import decision, relate, side_inputs, signatures_in
from tamis.stages.subjects import limits_of, select_chosen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tamis.engine.packed import Packed
    from tamis.vision.clusters import Facts
    from tamis.vision.columns import Signatures

#: Long side at which pairs are compared, in pixels.
_SMALL = 256


@dataclass(frozen=True, slots=True)
class SignedRegion:
    """A chosen region and its signatures; box in pixels of the upright image."""

    region_id: int
    region_key: str
    sha256: str
    width: int
    height: int
    x0: float
    y0: float
    x1: float
    y1: float
    phash: int
    dhash: int


def _select_labelled(_: Settings) -> sa.Select[Any]:
    label = schema.label.c
    labelled = sa.and_(label.who == "person", label.value.is_not(None), label.region_id.is_not(None))
    return sa.select(label.region_id).where(labelled).distinct()


def _facts(row: SignedRegion) -> Facts:
    from tamis.vision.clusters import Facts  # noqa: PLC0415 - decoders load on use

    return Facts(round((row.x1 - row.x0) * (row.y1 - row.y0)), key=row.region_key)


def _signatures(rows: Packed[SignedRegion]) -> Signatures:
    """No two regions have the same pixels by name."""
    return signatures_in(rows, digest_of="region_key")


def _collapse(context: Context, whole: Whole) -> Sequence[Relation | ClusterMember]:
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

    return relate("region", context.settings.regionduplicates, whole, _signatures, _facts, load)


def _select(settings: Settings) -> sa.Select[Any]:
    return select_chosen(settings).where(schema.region.c.phash.is_not(None))


def _select_undone(settings: Settings, fingerprint: str) -> sa.Select[Any]:
    chosen = select_chosen(settings, undone=("regionduplicates", fingerprint))
    return chosen.where(schema.region.c.phash.is_not(None))


REGIONDUPLICATES = Stage(
    name="regionduplicates",
    version=3,
    help="chosen regions to clusters of the same view of the same thing",
    reads=SignedRegion,
    writes=(Relation, ClusterMember),
    select=_select,
    select_undone=_select_undone,
    write=lambda _: copies_writer("region"),
    section="regionduplicates",
    collapse=_collapse,
    decision=lambda settings, side: decision(settings.regionduplicates, side),
    side=side_inputs("region", _select_labelled),
)
