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
from tamis.records import ClusterMember, Relation
from tamis.stages.copies import decision, inspected_fingerprint, relate, side_inputs, signatures_in
from tamis.stages.subjects import limits_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tamis.engine.packed import Packed
    from tamis.vision.columns import Signatures


@dataclass(frozen=True, slots=True)
class SignedImage:
    """A readable image and its signatures."""

    image_id: int
    sha256: str
    width: int
    height: int
    sharpness: float
    text_share: float
    phash: int
    dhash: int
    parts: bytes
    pixel_digest: str


def _select(_: Settings) -> sa.Select[Any]:
    image, facts = schema.image.c, schema.inspection.c
    return (
        sa.select(
            image.id.label("subject_id"), inspected_fingerprint().label("input_digest"), image.id.label("image_id"),
            image.sha256, facts.width, facts.height, facts.sharpness, facts.text_share, facts.phash, facts.dhash,
            facts.parts, facts.pixel_digest,
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


def _signatures(rows: Packed[SignedImage]) -> Signatures:
    return signatures_in(rows, digest_of="pixel_digest", parts_of="parts")


def _collapse(context: Context, whole: Whole) -> Sequence[Relation | ClusterMember]:
    from tamis.vision.clusters import Facts  # noqa: PLC0415 - decoders load on use
    from tamis.vision.copies import FRAME_SIDE  # noqa: PLC0415
    from tamis.vision.inspect import small_picture  # noqa: PLC0415

    def load(image_id: int) -> NDArray[np.uint8]:
        return small_picture(context.blobs.get(whole.find(image_id).sha256), limits_of(context.settings), FRAME_SIDE)

    def facts_of(row: SignedImage) -> Facts:
        return Facts(row.width * row.height, row.sharpness, row.text_share, row.sha256)

    return relate("image", context.settings.duplicates, whole, _signatures, facts_of, load)


DUPLICATES = Stage(
    name="duplicates",
    version=3,
    help="image signatures to clusters of the same shot, one keeper each",
    reads=SignedImage,
    writes=(Relation, ClusterMember),
    select=_select,
    write=lambda _: copies_writer("image"),
    section="duplicates",
    collapse=_collapse,
    decision=lambda settings, side: decision(settings.duplicates, side),
    side=side_inputs("image", _select_labelled),
)
