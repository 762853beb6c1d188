"""Image signatures to clusters of the same shot, one keeper each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from tamis import schema
from tamis.config import Settings
from tamis.engine.ledger import within
from tamis.engine.stage import Context, Stage, Whole
from tamis.engine.writers import copies_writer
from tamis.records import ClusterMember, Relation, Unclustered
from tamis.stages.copies import (
    SignaturesOf,
    Signed,
    decision,
    inspected_columns,
    inspected_fingerprint,
    lookups,
    relate,
    side_inputs,
)
from tamis.stages.subjects import limits_of
from tamis.vision.keepers import Facts, facts_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class SignedImage(Signed):
    """A readable image and its signatures."""

    parts: bytes
    pixel_digest: str


_SIGNATURES = SignaturesOf(digest="pixel_digest", parts="parts")


def _select(_: Settings) -> sa.Select[Any]:
    image, facts = schema.image.c, schema.inspection.c
    return (
        sa.select(
            image.id.label("subject_id"), inspected_fingerprint().label("input_digest"), image.id.label("id"),
            image.sha256, image.size, facts.width, facts.height, facts.phash, facts.dhash, facts.parts,
            facts.pixel_digest, *inspected_columns(),
        )
        .join(schema.inspection, facts.image_id == image.id)
        .where(facts.readable.is_(sa.true()), within(facts.image_id))
    )  # fmt: skip


def _select_labelled(_: Settings) -> sa.Select[Any]:
    label, region = schema.label.c, schema.region.c
    return (
        sa.select(region.image_id)
        .join(schema.label, label.region_id == region.id)
        .where(label.who == "person", label.value.is_not(None))
        .distinct()
    )


def _collapse(context: Context, whole: Whole) -> Sequence[Relation | ClusterMember | Unclustered]:
    from tamis.vision.copies import FRAME_SIDE  # noqa: PLC0415 - decoders load on use
    from tamis.vision.inspect import small_picture  # noqa: PLC0415

    def load(image_id: int) -> NDArray[np.uint8]:
        return small_picture(context.blobs.get(whole.find(image_id).sha256), limits_of(context.settings), FRAME_SIDE)

    def facts(row: SignedImage) -> Facts:
        return facts_of(row, row.width * row.height, row.size, row.sha256)

    return relate("image", context.settings.duplicates, whole, _SIGNATURES, facts, load)


DUPLICATES = Stage(
    name="duplicates",
    version=6,
    help="image signatures to clusters of the same shot, one keeper each",
    reads=SignedImage,
    writes=(Relation, ClusterMember, Unclustered),
    select=_select,
    write=lambda _: copies_writer("image"),
    section="duplicates",
    collapse=_collapse,
    decision=lambda settings, side: decision(settings.duplicates, side),
    side=side_inputs("image", _select_labelled),
    lookups=lookups("image"),
)
