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
from tamis.errors import Unreadable
from tamis.records import Inspection
from tamis.stages.subjects import limits_of
from tamis.vision.formats import decodable_by_now


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

    limits, kept = limits_of(context.settings), context.settings.inspect.thumbnails
    thumbnails = context.thumbnails

    def inspect(images: Sequence[StoredImage]) -> Results:
        loaded = ((image.image_id, context.blobs.get(image.sha256)) for image in images)
        names = {image.image_id: image.sha256 for image in images}

        def show(image_id: int, jpeg: bytes) -> None:
            thumbnails.put(names[image_id], jpeg)

        return [_result(record) for record in inspect_images(loaded, limits, show if kept else None)]

    return inspect


def _result(record: Inspection) -> Sequence[Inspection] | Unreadable:
    return [record] if record.readable else Unreadable(record.reason or "no picture", [record])


INSPECT = Stage(
    name="inspect",
    version=6,
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
