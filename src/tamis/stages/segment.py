"""Regions to masks: from a segmentation model, or by the box alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from tamis.config import Settings
from tamis.engine.stage import Compute, Context, Results, Stage, file_digest
from tamis.engine.writers import write_masks
from tamis.errors import Skip, Unreadable, UserError
from tamis.records import Mask
from tamis.stages.policy import WHOLE
from tamis.stages.subjects import ChosenSubject, limits_of, select_chosen


def _segment(context: Context) -> Compute:
    import numpy as np  # noqa: PLC0415 - networks load in the workers

    from tamis.models.registry import open_segmenter  # noqa: PLC0415
    from tamis.vision.decode import decode_rgb  # noqa: PLC0415
    from tamis.vision.masks import to_record  # noqa: PLC0415

    settings, limits = context.settings.segment, limits_of(context.settings)
    spec, trusted = ("grabcut", False) if settings.method == "grabcut" else _named(context.settings)
    segmenter = open_segmenter(spec, context.folder, threads=1, trusted=trusted)

    def outline(image: Sequence[ChosenSubject]) -> Results:
        try:
            picture = decode_rgb(context.blobs.get(image[0].sha256), limits=limits)
        except Unreadable as error:
            return [error] * len(image)
        masks = segmenter.segment(picture, np.array([subject.box_xyxy for subject in image], np.float32))
        return [
            Skip("nothing stands out from the ground")
            if mask is None
            else [to_record(subject.region_id, settings.method, mask, subject.box_xyxy)]
            for subject, mask in zip(image, masks, strict=True)
        ]

    def work(subjects: Sequence[ChosenSubject]) -> Results:
        """All regions of an image at once: it is decoded, and seen by a network, a single time."""
        images = [list(group) for _, group in groupby(subjects, key=lambda subject: subject.sha256)]
        return [result for image in images for result in outline(image)]

    return work


def _named(settings: Settings) -> tuple[str, bool]:
    """The model that is set, else the detector's, and whether it is trusted if it is a pickle."""
    own, detect = settings.segment, settings.detect
    if own.model:
        return own.model, own.trust_pickle
    if detect.model == WHOLE:
        raise UserError("segment.model names no model, and there is no detector: name one, or use the method grabcut")
    return detect.model, own.trust_pickle or detect.trust_pickle


def _depends(context: Context) -> Sequence[str]:
    if context.settings.segment.method != "model":
        return ()
    from tamis.models.files import find_model, model_files  # noqa: PLC0415

    return tuple(file_digest(file) for file in model_files(find_model(_named(context.settings)[0], context.folder)))


def _look(context: Context) -> Sequence[str] | None:
    if context.settings.segment.method != "model":
        return None
    from tamis.models.files import find_model  # noqa: PLC0415
    from tamis.models.look import look_at  # noqa: PLC0415

    spec, trusted = _named(context.settings)
    look_at(find_model(spec, context.folder), "segment", trusted=trusted)
    return ()


def _idle(settings: Settings, _: Path) -> str | None:
    return "segment.method is off" if settings.segment.method == "off" else None


SEGMENT = Stage(
    name="segment",
    version=2,
    help="regions to masks",
    reads=ChosenSubject,
    writes=(Mask,),
    select=lambda settings: select_chosen(settings, certain=True),
    select_undone=lambda settings, fingerprint: select_chosen(settings, certain=True, undone=("segment", fingerprint)),
    write=lambda _: write_masks,
    section="segment",
    batch=_segment,
    depends=_depends,
    look=_look,
    idle=_idle,
    batch_size=4,
)
