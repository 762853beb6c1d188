"""Images to facts, quality scores and signatures, from one decode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tamis import schema
from tamis.config import Settings
from tamis.engine.stage import Compute, Context, Results, Stage
from tamis.engine.writers import write_inspections
from tamis.errors import Lacking
from tamis.records import Inspection
from tamis.stages.subjects import limits_of
from tamis.vision.formats import HEIF_MISSING, decodable_by_now


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image of the blob store."""

    image_id: int
    sha256: str


def _select(_: Settings) -> sa.Select[Any]:
    image = schema.image.c
    return sa.select(
        image.id.label("subject_id"), sa.literal("").label("input_digest"), image.id.label("image_id"), image.sha256
    )


def _inspect(context: Context) -> Compute:
    from tamis.vision.inspect import inspect_images  # noqa: PLC0415 - decoders load in the workers

    limits = limits_of(context.settings)

    def inspect(images: Sequence[StoredImage]) -> Results:
        loaded = ((image.image_id, context.blobs.get(image.sha256)) for image in images)
        return [_result(record) for record in inspect_images(loaded, limits)]

    return inspect


def _result(record: Inspection) -> Sequence[Inspection] | Lacking:
    return Lacking(HEIF_MISSING, [record]) if record.reason == HEIF_MISSING else [record]


INSPECT = Stage(
    name="inspect",
    version=3,
    help="images to facts, quality and signatures",
    reads=StoredImage,
    writes=(Inspection,),
    select=_select,
    write=lambda _: write_inspections,
    section="inspect",
    batch=_inspect,
    cured=decodable_by_now,
    batch_size=32,
)
