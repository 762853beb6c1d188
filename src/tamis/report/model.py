"""The report of a trained model: what it scores, where it errs, how it learned and from what."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from tamis.dataset.manifest import SPLITS, Sample, Snapshot
from tamis.errors import UserError
from tamis.report.figures import calibration_figure, confusion_figure, interval_figure, line_figure, stacked_figure
from tamis.report.page import thumbnail, write_page
from tamis.train.evaluation import EVALUATION, HISTORY, PREDICTIONS
from tamis.vision.card import ModelCard
from tamis.vision.triage import HELD_OUT, HeldOut, Triage, read_held_out, triage

REPORT = "report.html"

#: Most mistakes shown for an attribute.
MISTAKES = 12

#: Wanted precisions whose thresholds are told for each class.
PRECISIONS = (0.95, 0.98)


@dataclass(frozen=True, slots=True)
class Mistake:
    """A wrong answer on the page."""

    sample: Sample
    true: str
    predicted: str
    confidence: float
    picture: str


@dataclass(frozen=True, slots=True)
class AttributeSection:
    """One attribute on the page: its scores (as `evaluation.json` has them), figures and mistakes.

    `triages` says for each class alone what a filter would keep at several wanted precisions.
    """

    scores: Mapping[str, Any]
    figures: Mapping[str, Markup]
    mistakes: tuple[Mistake, ...]
    wrong: int
    triages: tuple[tuple[str, Triage], ...]


def write_model_report(model_folder: Path, snapshot: Snapshot, path: Path | None = None) -> Path:
    """Write the report of a model folder, into that folder unless told otherwise, and return its path.

    `snapshot` is the one that the model was trained on.

    Raises:
        UserError: no model folder, another snapshot, a file or image that is missing.
    """
    card = ModelCard.read(model_folder)
    if card.snapshot.get("digest") != snapshot.digest:
        raise UserError(
            f"model {card.name} was trained on snapshot {card.snapshot.get('name')}, which {snapshot.folder} is not"
        )
    evaluation, training = (_read_json(card.verify(model_folder, name)) for name in (EVALUATION, HISTORY))
    training.setdefault("held_out", "the validation split")
    answers = [json.loads(line) for line in card.verify(model_folder, PREDICTIONS).read_text("utf-8").splitlines()]
    held_out = read_held_out(model_folder) if HELD_OUT in card.files else {}
    triages = {name: tuple(_triages(one)) for name, one in held_out.items()}
    sections = [
        _section(scores, snapshot, answers, triages.get(scores["name"], ())) for scores in evaluation["attributes"]
    ]
    values = {
        "card": card,
        "snapshot": snapshot,
        "evaluation": evaluation,
        "training": training,
        "sections": sections,
        "curves": _curves(training),
        "splits": {split: len(snapshot.split(split)) for split in SPLITS},
        "settings": sorted(training["settings"].items()),
    }
    return write_page("model.html.j2", values, path or model_folder / REPORT)


def _triages(held_out: HeldOut) -> Iterator[tuple[str, Triage]]:
    for name in held_out.classes:
        scores = held_out.scores([name])
        if scores.wanted.any():
            yield from ((name, triage(scores, precision)) for precision in PRECISIONS)


def _section(
    scores: Mapping[str, Any],
    snapshot: Snapshot,
    answers: Sequence[Mapping[str, Any]],
    triages: tuple[tuple[str, Triage], ...],
) -> AttributeSection:
    name = scores["name"]
    wrong = [
        (line["sample"], line["answers"][name])
        for line in answers
        if line["answers"][name]["true"] not in (None, line["answers"][name]["predicted"])
    ]
    wrong.sort(key=lambda pair: (-pair[1]["confidence"], pair[0]))
    samples = {sample.id: sample for sample in snapshot.samples}
    mistakes = tuple(
        Mistake(
            samples[key], answer["true"], answer["predicted"], answer["confidence"], thumbnail(snapshot, samples[key])
        )
        for key, answer in wrong[:MISTAKES]
    )
    return AttributeSection(scores, _figures(scores, snapshot), mistakes, len(wrong), triages)


def _figures(scores: Mapping[str, Any], snapshot: Snapshot) -> dict[str, Markup]:
    figures = {
        "confusion": confusion_figure(scores["classes"], scores["confusion"]),
        "calibration": calibration_figure(scores["calibration"]),
        "counts": class_counts_figure(snapshot, scores["name"], scores["classes"]),
    }
    for measure in ("accuracy", "macro_f1"):
        interval = scores[measure]
        baseline = scores[f"majority_{measure}"]
        figures[measure] = interval_figure(interval["value"], interval["low"], interval["high"], baseline)
    return figures


def class_counts_figure(snapshot: Snapshot, attribute: str, classes: Sequence[str]) -> Markup:
    """Return the samples of each class by split."""
    places = {split: number for number, split in enumerate(SPLITS)}
    counts = {label: [0] * len(SPLITS) for label in classes}
    for sample in snapshot.samples:
        label = sample.labels.get(attribute)
        if label in counts:
            counts[label][places[sample.split]] += 1
    return stacked_figure(classes, list(counts.values()), SPLITS)


def _curves(training: Mapping[str, Any]) -> dict[str, Markup]:
    history = training["history"]
    if not history:
        return {}
    best = training["best_epoch"] - 1
    scores, losses = [epoch["score"] for epoch in history], [epoch["train_loss"] for epoch in history]
    return {
        "Macro F1 on validation": line_figure(scores, best, "Macro F1 on validation by epoch", unit_scale=True),
        "Training loss": line_figure(losses, best, "Training loss by epoch", unit_scale=False),
    }


def _read_json(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values
