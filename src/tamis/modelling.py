"""Models in a project: trained on its snapshots, registered, and asked for labels of its regions."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast, get_type_hints

import sqlalchemy as sa

from tamis import schema
from tamis.database import reading, upsert, writing
from tamis.dataset.manifest import Snapshot, Split
from tamis.engine.run import Progress
from tamis.engine.runner import StageReport, run_stage
from tamis.errors import UserError
from tamis.models.files import is_classifier_file
from tamis.project import Project
from tamis.stages.classify import CLASSIFY
from tamis.train.settings import TrainSettings
from tamis.vision.card import ModelCard

#: Folders of the project.
SNAPSHOTS, MODELS = "snapshots", "models"
#: Wanted precisions that `tamis evaluate` tells the thresholds of.
PRECISIONS = (0.9, 0.95, 0.97, 0.98, 0.99)
_AS_SET: Mapping[str, Any] = {}


def snapshot_folder(project: Project, name: str | None) -> Path:
    """Return the folder of a snapshot by its name, or of the newest; raises UserError that lists them."""
    table = schema.snapshot
    with reading(project.engine) as connection:
        known = connection.execute(sa.select(table.c.name, table.c.folder).order_by(table.c.id)).all()
    if not known:
        raise UserError("there is no snapshot yet: `tamis snapshot` freezes one")
    if name is None:
        return project.path(known[-1].folder)
    for row in known:
        if row.name == name:
            return project.path(row.folder)
    raise UserError(f"unknown snapshot {name!r}; there are: {', '.join(row.name for row in known)}")


def train_settings(project: Project, overrides: Mapping[str, Any]) -> TrainSettings:
    """Return the settings of `[train]`, with what was given beside them."""
    return TrainSettings(**{**project.settings.train.model_dump(), **overrides})


def train_model(
    project: Project,
    snapshot: Path,
    name: str | None,
    settings: TrainSettings,
    *,
    progress: Progress | None = None,
    resume: bool = False,
) -> tuple[Path, ModelCard]:
    """Train on a snapshot, register the model, and return its folder and card.

    Raises:
        UserError: as `tamis.train.train`; or the name is no name.
        Interrupted: stopped by the user; `resume` goes on.
    """
    from tamis.report.model import write_model_report  # noqa: PLC0415 - loaded on use
    from tamis.train import train  # noqa: PLC0415

    attributes = settings.attributes
    name = name or _free_name(project, attributes[0] if len(attributes) == 1 else project.settings.project.name)
    if not re.fullmatch(r"[\w.-]{1,100}", name):
        raise UserError(f"{name!r} is no name for a model: use letters, digits, dots and dashes")
    folder = project.path(MODELS, name)
    card = train(snapshot, folder, settings, progress=_shares(progress), resume=resume)
    write_model_report(folder, Snapshot.read(snapshot))
    register(project, folder, card)
    return folder, card


def _free_name(project: Project, stem: str) -> str:
    number = 1
    while project.path(MODELS, f"{stem}-{number}").exists():
        number += 1
    return f"{stem}-{number}"


def _shares(progress: Progress | None) -> Any:
    """Training tells a share from 0 to 1; a bar counts to a thousand."""

    def show(share: float, text: str) -> None:
        if progress is not None:
            progress(round(share * 1000), 1000, text)

    return show


def register(project: Project, folder: Path, card: ModelCard) -> None:
    """Write the model's row; a model of the same name is replaced."""
    table = schema.snapshot
    with writing(project.engine) as connection:
        snapshot_id = connection.execute(
            sa.select(table.c.id).where(table.c.digest == card.snapshot.get("digest", "")).order_by(table.c.id.desc())
        ).scalar()
        row = {
            "name": folder.name, "folder": str(folder.relative_to(project.folder)), "digest": card.digest,
            "snapshot_id": snapshot_id, "metrics": dict(card.metrics), "created_at": time.time(),
            "attributes": {name: list(head.classes) for name, head in card.attributes.items()},
        }  # fmt: skip
        upsert(connection, schema.model, [row], ["name"])


def model_folder(project: Project, name: str) -> Path:
    """Return the folder of a model by its name or path; raises UserError that lists the project's models."""
    path = model_path(project, name)
    if is_classifier_file(path):
        raise UserError(f"model {path} is a file of its own, not the folder of a model trained here")
    return path


def model_path(project: Project, name: str) -> Path:
    """Return the folder of a model by its name or path, or the file of a `-cls` model (.onnx, .pt).

    Raises:
        UserError: there is neither; it lists the project's models.
    """
    for path in (project.path(MODELS, name), project.path(name), Path(name)):
        if (path / "model.json").is_file() or (is_classifier_file(path) and path.is_file()):
            return path
    with reading(project.engine) as connection:
        known = connection.execute(sa.select(schema.model.c.name)).scalars().all()
    raise UserError(f"unknown model {name!r}; there are: {', '.join(known) or 'none, `tamis train` makes one'}")


def predict_regions(
    project: Project,
    name: str,
    asked: Mapping[str, Any] = _AS_SET,
    *,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> StageReport:
    """Let a model label all chosen regions; its labels are claims beside those of rules and people.

    `asked` holds settings of `[classify]` that a `-cls` model shall follow instead: attribute, fit, trust_pickle.

    Raises:
        UserError: no such model, or an attribute for it that the project does not declare.
    """
    path = model_path(project, name).absolute()
    classify = project.settings.classify.model_copy(update=dict(asked))
    if is_classifier_file(path):
        _check_declared(project, classify.attribute)
    if path == project.path(classify.model).absolute() and classify == project.settings.classify:
        return run_stage(project, CLASSIFY, progress=progress, stop=stop)
    classify = classify.model_copy(update={"model": str(path), "precision": 0.0})
    settings = project.settings.model_copy(update={"classify": classify})
    stage = replace(CLASSIFY, name=f"predict {path.name}"[:50])
    return run_stage(replace(project, settings=settings), stage, progress=progress, stop=stop)


def _check_declared(project: Project, attribute: str) -> None:
    declared = [one.name for one in project.settings.attributes]
    if attribute and attribute not in declared:
        raise UserError(f"attribute {attribute!r} is not declared; there are: {', '.join(declared) or 'none'}")


def evaluate_model(
    project: Project, name: str, snapshot: str | None, split: str, asked: Mapping[str, Any] = _AS_SET
) -> dict[str, Any]:
    """Return the scores of a model on a split of a snapshot, by attribute; `asked` is as in `predict_regions`."""
    from tamis.models.registry import ClassifierOptions, open_classifier  # noqa: PLC0415 - loaded on use
    from tamis.train import evaluate, evaluate_answers  # noqa: PLC0415

    frozen = Snapshot.read(snapshot_folder(project, snapshot))
    path = model_path(project, name)
    if not is_classifier_file(path):
        return evaluate(path, frozen, cast("Split", split)).summary()
    how = project.settings.classify.model_copy(update=dict(asked))
    classifier = open_classifier(path, ClassifierOptions(how.attribute, how.fit, how.trust_pickle))
    heads = {attribute: head.classes for attribute, head in classifier.attributes.items()}
    return evaluate_answers(classifier.predict, heads, frozen, cast("Split", split)).summary()


def evaluate_thresholds(project: Project, name: str) -> list[dict[str, Any]]:
    """Return what the filter would do with a model at several wanted precisions, from its held-out answers.

    The wanted classes are those of `[classify]` for its attribute, and `yes` of other flags. Empty for a model that
    kept no such answers, as a `-cls` model.
    """
    from tamis.vision.triage import HELD_OUT, read_held_out, triage  # noqa: PLC0415 - loaded on use

    folder, asked = model_path(project, name), project.settings.classify
    if is_classifier_file(folder):
        return []
    card = ModelCard.read(folder)
    if HELD_OUT not in card.files:
        return []
    rows = []
    for attribute, answers in read_held_out(folder).items():
        flag = ("yes",) if card.attributes[attribute].type == "flag" else ()
        keep = asked.keep if attribute == asked.attribute else flag
        if not keep:
            continue
        scores = answers.scores(keep)
        for precision in sorted({*PRECISIONS, *({asked.precision} - {0.0})}):
            found = triage(scores, precision, surely=asked.surely)
            rows.append({"attribute": attribute, "keep": list(keep), **found.to_json()})
    return rows


def threshold_rows(thresholds: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Rows for people: attribute, wanted, thresholds, precision as estimated and as supported, kept and lost."""
    return [
        (
            one["attribute"], f"{one['wanted']:g}", "-" if one["keep_from"] is None else f"{one['keep_from']:.4f}",
            f"{one['reject_below']:.4f}", "-" if one["precision"] is None else f"{one['precision']:.3f}",
            f"{int(one['promise'] * 1000) / 1000:.3f}", f"{one['recall']:.1%}", f"{one['lost']:.1%}",
        )
        for one in thresholds
    ]  # fmt: skip


def report_snapshot(snapshot: Snapshot) -> Path:
    """Write a snapshot's report beside its rows and return its path."""
    from tamis.report.snapshot import write_snapshot_report  # noqa: PLC0415 - loaded on use

    return write_snapshot_report(snapshot, snapshot.folder / "report.html")


def report_model(project: Project, name: str) -> Path:
    """Write a model's report anew and return its path."""
    from tamis.report.model import write_model_report  # noqa: PLC0415 - loaded on use

    folder = model_folder(project, name)
    card = ModelCard.read(folder)
    return write_model_report(folder, Snapshot.read(snapshot_folder(project, card.snapshot.get("name"))))


def parse_overrides(given: Sequence[str]) -> dict[str, Any]:
    """Read `name=value` pairs for `TrainSettings`; raises UserError that lists the names."""
    types = {part.name: get_type_hints(TrainSettings)[part.name] for part in fields(TrainSettings)}
    values: dict[str, Any] = {}
    for pair in given:
        name, _, text = pair.partition("=")
        if name not in types or not text or name == "attributes":
            raise UserError(
                f"--set {pair}: give NAME=VALUE with one of {', '.join(n for n in types if n != 'attributes')}"
            )
        try:
            values[name] = _value_of(types[name], text)
        except ValueError as error:
            raise UserError(f"--set {pair}: {error}") from error
    return values


def _value_of(kind: Any, text: str) -> Any:
    if kind in (int, float, str):
        return kind(text)
    if kind == bool | None:
        words = {"true": True, "yes": True, "false": False, "no": False}
        if text.lower() not in words:
            raise ValueError("give yes or no")
        return words[text.lower()]
    return text


def metric_rows(metrics: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Rows for people: attribute, samples, accuracy and macro F1 with their 95 % intervals, majority's accuracy."""
    return [
        (
            name, str(scores["samples"]), *_with_interval(scores["accuracy"]), *_with_interval(scores["macro_f1"]),
            f"{scores['majority_accuracy']:.3f}",
        )
        for name, scores in metrics["attributes"].items()
    ]  # fmt: skip


def _with_interval(score: Mapping[str, float]) -> tuple[str, str]:
    return f"{score['value']:.3f}", f"{score['low']:.2f} to {score['high']:.2f}"
