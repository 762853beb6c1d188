"""Images to regions: the whole of each, and every object that the detector sees above its floor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from tamis import schema
from tamis.config import Settings
from tamis.engine.ledger import within
from tamis.engine.stage import Compute, Context, Results, Stage, file_digest
from tamis.engine.writers import write_regions
from tamis.errors import Unreadable, UserError
from tamis.records import Box, Region
from tamis.stages.policy import WHOLE
from tamis.stages.subjects import limits_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tamis.models.protocols import Detections


@dataclass(frozen=True, slots=True)
class InspectedImage:
    """A readable image, with the signatures of the whole of it."""

    image_id: int
    sha256: str
    width: int
    height: int
    phash: int
    phash_mirrored: int
    dhash: int


def _select(_: Settings) -> sa.Select[Any]:
    image, facts = schema.image.c, schema.inspection.c
    return (
        sa.select(
            image.id.label("subject_id"), sa.literal("").label("input_digest"), image.id.label("image_id"),
            image.sha256, facts.width, facts.height, facts.phash, facts.phash_mirrored, facts.dhash,
        )
        .join(schema.inspection, facts.image_id == image.id)
        .where(facts.readable.is_(sa.true()), within(facts.image_id))
    )  # fmt: skip


def _whole(image: InspectedImage) -> Region:
    return Region(
        image_id=image.image_id,
        image_sha256=image.sha256,
        kind="whole",
        box_xyxy=(0.0, 0.0, float(image.width), float(image.height)),
        phash=image.phash,
        phash_mirrored=image.phash_mirrored,
        dhash=image.dhash,
    )


def _detect(context: Context) -> Compute:
    detect = context.settings.detect
    if detect.model == WHOLE:
        return lambda images: [[_whole(image)] for image in images]
    from tamis.models.onnx_detector import DetectorOptions  # noqa: PLC0415 - networks load in the workers
    from tamis.models.registry import open_detector  # noqa: PLC0415
    from tamis.vision.decode import decode_rgb  # noqa: PLC0415

    options, limits = DetectorOptions(min_score=detect.floor), limits_of(context.settings)
    detector = open_detector(detect.model, context.folder, options, threads=1, trusted=detect.trust_pickle)
    _check_classes(context.settings, detector.classes)

    def find(images: Sequence[InspectedImage]) -> Results:
        results: list[Sequence[Region] | Unreadable] = []
        for start in range(0, len(images), detector.batch):
            part = images[start : start + detector.batch]
            pictures = [read(image) for image in part]
            found = iter(detector.detect([picture for picture in pictures if not isinstance(picture, Unreadable)]))
            for image, picture in zip(part, pictures, strict=True):
                if isinstance(picture, Unreadable):
                    results.append(picture)
                else:
                    results.append(_regions(image, picture, next(found), detector.digest))
        return results

    def read(image: InspectedImage) -> NDArray[np.uint8] | Unreadable:
        try:
            return decode_rgb(context.blobs.get(image.sha256), limits=limits)
        except Unreadable as error:
            return error

    return find


def _regions(image: InspectedImage, picture: NDArray[np.uint8], found: Detections, origin: str) -> list[Region]:
    from tamis.vision.quality import to_luma  # noqa: PLC0415 - OpenCV loads in the workers

    luma = to_luma(picture)  # once: boxes of one picture overlap
    seen = zip(found.boxes_xyxy.tolist(), found.class_names, found.scores.tolist(), strict=True)
    return [_whole(image), *(_object(image, luma, (*box,), name, score, origin) for box, name, score in seen)]


def _object(
    image: InspectedImage, luma: NDArray[np.uint8], box: tuple[float, ...], name: str, score: float, origin: str
) -> Region:
    from tamis.vision.signatures import signatures  # noqa: PLC0415

    raw: Box = (box[0], box[1], box[2], box[3])
    left, top = int(raw[0]), int(raw[1])
    right, bottom = max(left + 1, round(raw[2])), max(top + 1, round(raw[3]))
    seen = signatures(luma[top:bottom, left:right])
    return Region(
        image_id=image.image_id,
        image_sha256=image.sha256,
        kind="detected",
        box_xyxy=raw,
        origin=origin,
        class_name=name,
        score=score,
        phash=seen.phash,
        phash_mirrored=seen.phash_mirrored,
        dhash=seen.dhash,
    )


def _look(context: Context) -> Sequence[str] | None:
    detect = context.settings.detect
    if detect.model == WHOLE:
        return None
    from tamis.models.files import find_model  # noqa: PLC0415
    from tamis.models.look import look_at  # noqa: PLC0415

    known = look_at(find_model(detect.model, context.folder), "detect", trusted=detect.trust_pickle)
    return () if known is None else _check_classes(context.settings, known)


def _check_classes(settings: Settings, known: Sequence[str]) -> Sequence[str]:
    """Warn of classes that the detector does not know; raises UserError where it knows none of those that count."""
    from tamis.models.look import unknown_classes  # noqa: PLC0415

    model, wanted = settings.detect.model, settings.detect.classes
    if wanted and not set(wanted) & set(known):
        raise UserError(f"detect.classes: {unknown_classes(model, wanted, known)}")
    told = unknown_classes(model, wanted, known, briefly=True)
    return (f"detect.classes: {told}",) if told else ()


def _depends(context: Context) -> Sequence[str]:
    if context.settings.detect.model == WHOLE:
        return ()
    from tamis.models.files import find_model, model_files  # noqa: PLC0415

    return tuple(file_digest(file) for file in model_files(find_model(context.settings.detect.model, context.folder)))


DETECT = Stage(
    name="detect",
    version=3,
    help="images to regions: the whole, and the objects that the detector sees",
    reads=InspectedImage,
    writes=(Region,),
    select=_select,
    write=lambda _: write_regions,
    section="detect",
    batch=_detect,
    depends=_depends,
    look=_look,
    batch_size=8,
)
