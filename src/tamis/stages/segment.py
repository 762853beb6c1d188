"""Regions to masks: from a segmentation model, or by the box alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tamis.config import Settings
from tamis.engine.stage import Context, Stage, file_digest
from tamis.engine.writers import write_masks
from tamis.errors import Skip
from tamis.records import Mask
from tamis.stages.subjects import ChosenSubject, select_chosen


def _segment(context: Context) -> Callable[[ChosenSubject], Sequence[Mask]]:
    from tamis.models.registry import open_segmenter  # noqa: PLC0415 - networks load in the workers
    from tamis.vision.decode import decode_rgb  # noqa: PLC0415
    from tamis.vision.masks import to_record  # noqa: PLC0415

    settings = context.settings.segment
    spec = "grabcut" if settings.method == "grabcut" else settings.model
    segmenter = open_segmenter(spec, context.folder, threads=1, trusted=settings.trust_pickle)

    def work(subject: ChosenSubject) -> Sequence[Mask]:
        picture = decode_rgb(context.blobs.get(subject.sha256))
        mask = segmenter.segment(picture, np.array([subject.box_xyxy], np.float32))[0]
        if mask is None:
            raise Skip("nothing stands out from the ground")
        return [to_record(subject.region_id, settings.method, mask, subject.box_xyxy)]

    return work


def _depends(context: Context) -> Sequence[str]:
    if context.settings.segment.method != "model":
        return ()
    from tamis.models.registry import find_model, model_files  # noqa: PLC0415

    return tuple(file_digest(file) for file in model_files(find_model(context.settings.segment.model, context.folder)))


def _idle(settings: Settings, _: Path) -> str | None:
    return "segment.method is off" if settings.segment.method == "off" else None


SEGMENT = Stage(
    name="segment",
    version=1,
    help="regions to masks",
    reads=ChosenSubject,
    writes=(Mask,),
    select=lambda settings: select_chosen(settings, certain=True),
    write=lambda _: write_masks,
    section="segment",
    row=_segment,
    depends=_depends,
    idle=_idle,
    batch_size=4,
)
