"""Regions to model labels, by any model trained here; one of its attributes may filter."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tamis.config import Settings
from tamis.engine.stage import Compute, Context, Results, Stage
from tamis.engine.writers import labels_writer
from tamis.errors import RowError, UserError
from tamis.models.files import is_classifier_file
from tamis.project import filter_triage
from tamis.records import Label
from tamis.stages.subjects import ChosenSubject, read_crop, render_settings, select_chosen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tamis.models.protocols import Classifier


def _classify(context: Context) -> Compute:
    asked = context.settings.classify
    path = context.folder / asked.model
    classifier = _open(context.settings, path)
    actor = path.name

    def classify(subjects: Sequence[ChosenSubject]) -> Results:
        crops: dict[int, NDArray[np.uint8]] = {}
        results: list[Sequence[Label] | RowError] = [()] * len(subjects)
        for place, subject in enumerate(subjects):
            try:
                crops[place] = read_crop(context, subject)
            except RowError as error:
                results[place] = error
        if crops:
            answers = classifier.predict(list(crops.values()))
            for row, place in enumerate(crops):
                results[place] = [
                    _label(subjects[place].region_id, actor, name, classifier.attributes[name].classes, shares[row])
                    for name, shares in answers.items()
                ]
        return results

    return classify


def _open(settings: Settings, path: Path) -> Classifier:
    from tamis.models.registry import ClassifierOptions, open_classifier  # noqa: PLC0415 - loaded in the workers

    asked = settings.classify
    model = open_classifier(path, ClassifierOptions(asked.attribute, asked.fit, asked.trust_pickle), threads=1)
    if not is_classifier_file(path):
        return model
    (head,) = model.attributes.values()
    declared = next((one.classes for one in settings.attributes if one.name == asked.attribute), head.classes)
    if unknown := sorted(set(head.classes) - set(declared)):
        raise UserError(
            f"model {path} answers {', '.join(unknown)}, which attribute {asked.attribute} does not declare; add "
            "them to its classes"
        )
    return model


def _label(region_id: int, actor: str, attribute: str, classes: Sequence[str], shares: NDArray[np.float32]) -> Label:
    best = int(shares.argmax())
    confidence = round(float(shares[best]), 6)
    told = None
    if len(classes) > 2:  # of two classes the likelier one tells both
        told = json.dumps({name: round(float(share), 6) for name, share in zip(classes, shares, strict=True)})
    return Label(attribute, classes[best], "model", actor, confidence, region_id=region_id, evidence=told)


def _depends(context: Context) -> Sequence[str]:
    from tamis.vision.card import ModelCard  # noqa: PLC0415

    filter_triage(context.settings, context.folder)  # raises where the wanted precision cannot be told
    path, asked = context.folder / context.settings.classify.model, context.settings.classify
    if not is_classifier_file(path):
        return (ModelCard.read(path).digest, render_settings(context.settings))
    from tamis.models.yolo_classifier import yolo_digest  # noqa: PLC0415

    return (yolo_digest(path, asked.fit), asked.attribute, render_settings(context.settings))


def _look(context: Context) -> Sequence[str] | None:
    asked = context.settings.classify
    if not asked.model:
        return None
    from tamis.models.look import look_at  # noqa: PLC0415
    from tamis.vision.card import ModelCard  # noqa: PLC0415

    path = context.folder / asked.model
    if is_classifier_file(path):
        look_at(path, "classify", trusted=asked.trust_pickle)
    else:
        ModelCard.read(path)
    return ()


def _idle(settings: Settings, _: Path) -> str | None:
    return None if settings.classify.model else "no model: set classify.model to the folder of one"


CLASSIFY = Stage(
    name="classify",
    version=2,
    help="regions to model labels",
    reads=ChosenSubject,
    writes=(Label,),
    select=select_chosen,
    select_undone=lambda settings, fingerprint: select_chosen(settings, undone=("classify", fingerprint)),
    write=lambda settings: labels_writer("region", Path(settings.classify.model).name),
    section="classify",
    batch=_classify,
    depends=_depends,
    look=_look,
    idle=_idle,
    batch_size=16,
)
