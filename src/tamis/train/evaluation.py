"""What a model folder is worth on a split: scores with intervals, calibration and every answer, without torch.

Judged is `model.onnx`, the file that answers later, on the pictures as training cached them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tamis.dataset.manifest import Sample, Snapshot, Split
from tamis.errors import UserError
from tamis.labels import Attribute
from tamis.train import metrics
from tamis.train.crops import Progress, load_crop
from tamis.train.metrics import Interval
from tamis.train.targets import MISSING, Targets, read_targets
from tamis.vision.card import AttributeHead, ModelCard
from tamis.vision.preprocess import Preprocessing

#: Files of a model folder, beside its card and weights.
ONNX, EVALUATION, PREDICTIONS, HISTORY = "model.onnx", "evaluation.json", "predictions.jsonl", "training.json"
INPUT = "images"
#: What is judged: a split, or the answers to folds of labelled samples by models that had not learned from them.
CROSS_VALIDATION: Literal["cross-validation"] = "cross-validation"
JudgedSplit = Split | Literal["cross-validation"]

#: RGB crops, uint8 (h, w, 3) each, to probabilities, float32 (n, classes), by attribute.
Predict = Callable[[Sequence[NDArray[np.uint8]]], Mapping[str, NDArray[np.float32]]]

_BATCH = 32
_LEAST = 1e-12


@dataclass(frozen=True)
class AttributeEvaluation:
    """The scores of one attribute on the labelled samples of a split.

    `majority` is the class most frequent in training, answered always: what any model must beat.
    `confusion` is int (classes, classes), row the truth, column the prediction.
    """

    name: str
    classes: tuple[str, ...]
    count: int
    accuracy: Interval
    macro_f1: Interval
    majority_class: str
    majority_accuracy: float
    majority_macro_f1: float
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    f1: tuple[float, ...]
    support: tuple[int, ...]
    confusion: tuple[tuple[int, ...], ...]
    temperature: float
    calibration_error: float
    calibration_error_before: float
    calibration: tuple[tuple[float, float, int], ...]

    def summary(self) -> dict[str, Any]:
        """What the model card keeps of it."""
        return {
            "samples": self.count,
            "accuracy": asdict(self.accuracy),
            "macro_f1": asdict(self.macro_f1),
            "majority_accuracy": self.majority_accuracy,
            "majority_macro_f1": self.majority_macro_f1,
            "calibration_error": self.calibration_error,
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: the true class if it is known, the predicted one and its calibrated probability."""

    true: str | None
    predicted: str
    confidence: float


@dataclass(frozen=True)
class Evaluation:
    """All that was measured on one split. `answers` maps sample ids to attributes to answers.

    `seen` says that the model had learned from these samples, so that the scores flatter it.
    """

    split: JudgedSplit
    snapshot: str
    attributes: tuple[AttributeEvaluation, ...]
    answers: Mapping[str, Mapping[str, Answer]]
    seen: bool = False

    @property
    def macro_f1(self) -> float:
        """Mean over the attributes."""
        return float(np.mean([attribute.macro_f1.value for attribute in self.attributes]))

    def summary(self) -> dict[str, Any]:
        """The scores as plain JSON values, without confusion matrices and answers."""
        return {
            "split": self.split,
            "seen": self.seen,
            "macro_f1": self.macro_f1,
            "attributes": {attribute.name: attribute.summary() for attribute in self.attributes},
        }

    def to_json(self) -> dict[str, Any]:
        """The scores as plain JSON values; the answers go to `predictions.jsonl`."""
        return {
            "split": self.split,
            "snapshot": self.snapshot,
            "macro_f1": self.macro_f1,
            "attributes": [asdict(attribute) for attribute in self.attributes],
        }

    def write_answers(self, path: Path) -> None:
        """Write one line a sample: {"sample", "split", "answers": {attribute: {"true", "predicted", "confidence"}}}."""
        lines = (
            {"sample": sample, "split": self.split, "answers": {name: asdict(one) for name, one in answers.items()}}
            for sample, answers in self.answers.items()
        )
        path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")


def evaluate_folder(model_folder: Path, snapshot: Snapshot, split: Split) -> Evaluation:
    """Return how good a model folder's answers are on a split of any snapshot with the same attributes and classes.

    Raises:
        UserError: no model folder, a model for other classes, a split without labelled samples.
    """
    card = ModelCard.read(model_folder)
    path = card.verify(model_folder, ONNX)
    check_same_classes(card, snapshot)
    targets = read_targets(snapshot, tuple(card.attributes))
    rows = _judged_rows(targets, split, snapshot)
    crops = _Fitted(snapshot, card.preprocessing)
    logits = onnx_logits(path, card.preprocessing, crops, rows)
    judged = evaluate_logits(logits, rows, targets, split, card.attributes, snapshot.name)
    learned = card.snapshot.get("learned", "train").split()
    return replace(judged, seen=card.snapshot.get("digest") == snapshot.digest and split in learned)


def evaluate_predictions(
    predict: Predict, classes: Mapping[str, tuple[str, ...]], snapshot: Snapshot, split: Split
) -> Evaluation:
    """Judge any classifier; see `tamis.train.evaluate_answers`."""
    targets = read_targets(snapshot, tuple(classes))
    attributes = tuple(_with_classes(attribute, classes[attribute.name], snapshot) for attribute in targets.attributes)
    targets = replace(targets, attributes=attributes)
    rows = _judged_rows(targets, split, snapshot)
    shares = {one.name: np.zeros((len(rows), len(one.classes)), np.float32) for one in attributes}
    for start in range(0, len(rows), _BATCH):
        crops = [load_crop(snapshot, snapshot.samples[row]) for row in rows[start : start + _BATCH]]
        for name, answers in predict(crops).items():
            known = next(one.classes for one in attributes if one.name == name)
            shares[name][start : start + _BATCH, [known.index(one) for one in classes[name]]] = answers
    logits = {name: np.log(np.maximum(values, _LEAST)).astype(np.float32) for name, values in shares.items()}
    heads = {one.name: AttributeHead(one.type.name, one.classes, one.scope) for one in attributes}
    return evaluate_logits(logits, rows, targets, split, heads, snapshot.name)


def _with_classes(attribute: Attribute, answered: tuple[str, ...], snapshot: Snapshot) -> Attribute:
    """The attribute with the classes of a model that are not its own after them."""
    if not set(answered) & set(attribute.classes):
        raise UserError(
            f"the model answers {', '.join(answered)}, {attribute.name} in snapshot {snapshot.name} is one of "
            f"{', '.join(attribute.classes)}: they share no class"
        )
    others = tuple(name for name in answered if name not in attribute.classes)
    return replace(attribute, classes=attribute.classes + others)


def _judged_rows(targets: Targets, split: Split, snapshot: Snapshot) -> NDArray[np.int64]:
    rows = targets.rows(split)
    if not len(rows):
        names = ", ".join(attribute.name for attribute in targets.attributes)
        raise UserError(f"snapshot {snapshot.name}: its {split} split has no sample labelled with {names}")
    return rows


def check_same_classes(card: ModelCard, snapshot: Snapshot) -> None:
    """Raise UserError where the model answers other classes than the snapshot's labels have."""
    for name, head in card.attributes.items():
        known = snapshot.attribute(name).classes
        if tuple(head.classes) != known:
            raise UserError(
                f"model {card.name} knows {name} as {', '.join(head.classes)}, snapshot {snapshot.name} as "
                f"{', '.join(known)}; train a model on this snapshot"
            )


def onnx_logits(
    path: Path,
    preprocessing: Preprocessing,
    crops: NDArray[np.uint8] | _Fitted,
    rows: NDArray[np.int64],
    progress: Progress | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Return the logits, float32 (rows, classes), of each attribute for those rows of the fitted crops."""
    import onnxruntime  # noqa: PLC0415 - loaded where a model is run

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    parts: dict[str, list[NDArray[np.float32]]] = {name: [] for name in names}
    for start in range(0, len(rows), _BATCH):
        images = preprocessing.normalise(np.asarray(crops[rows[start : start + _BATCH]]))
        for name, values in zip(names, session.run(names, {INPUT: images}), strict=True):
            parts[name].append(values)
        if progress:
            progress(min(1.0, (start + _BATCH) / len(rows)), f"judged {min(len(rows), start + _BATCH)} samples")
    return {name: np.concatenate(values) for name, values in parts.items()}


def evaluate_logits(
    logits: Mapping[str, NDArray[np.float32]],
    rows: NDArray[np.int64],
    targets: Targets,
    split: JudgedSplit,
    heads: Mapping[str, AttributeHead],
    snapshot_name: str,
) -> Evaluation:
    """Return the scores of logits, float32 (rows, classes) an attribute, of those rows of the targets."""
    evaluations = []
    answers: dict[str, dict[str, Answer]] = {targets.samples[row].id: {} for row in rows}
    for column, attribute in enumerate(targets.attributes):
        temperature = heads[attribute.name].temperature
        scores = logits[attribute.name]
        labelled = targets.indices[rows, column] != MISSING
        if labelled.any():
            evaluations.append(_evaluate(scores[labelled], rows[labelled], targets, column, temperature))
        _add_answers(answers, scores, [targets.samples[row] for row in rows], attribute, temperature)
    return Evaluation(split, snapshot_name, tuple(evaluations), answers)


def _evaluate(
    logits: NDArray[np.float32], rows: NDArray[np.int64], targets: Targets, column: int, temperature: float
) -> AttributeEvaluation:
    attribute = targets.attributes[column]
    count = len(attribute.classes)
    truth, predicted = targets.indices[rows, column], logits.argmax(axis=1).astype(np.int64)
    _, groups = np.unique(targets.groups[rows], return_inverse=True)
    measured = {"accuracy": metrics.accuracy, "macro_f1": metrics.macro_f1}
    intervals = metrics.bootstrap_intervals(truth, predicted, groups.astype(np.int64), count, measured)
    confusion = metrics.confusion_matrix(truth, predicted, count)
    scores = metrics.class_scores(confusion)
    majority = int(targets.counts("train", column).argmax())
    baseline = metrics.majority_confusion(truth, majority, count)
    probabilities = metrics.softmax(logits, temperature)
    return AttributeEvaluation(
        name=attribute.name,
        classes=attribute.classes,
        count=len(rows),
        accuracy=intervals["accuracy"],
        macro_f1=intervals["macro_f1"],
        majority_class=attribute.classes[majority],
        majority_accuracy=metrics.accuracy(baseline),
        majority_macro_f1=metrics.macro_f1(baseline),
        precision=tuple(scores.precision.tolist()),
        recall=tuple(scores.recall.tolist()),
        f1=tuple(scores.f1.tolist()),
        support=tuple(scores.support.tolist()),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        temperature=temperature,
        calibration_error=metrics.expected_calibration_error(probabilities, truth),
        calibration_error_before=metrics.expected_calibration_error(metrics.softmax(logits), truth),
        calibration=tuple(metrics.calibration_curve(probabilities, truth)),
    )


def _add_answers(
    answers: dict[str, dict[str, Answer]],
    logits: NDArray[np.float32],
    samples: Sequence[Sample],
    attribute: Attribute,
    temperature: float,
) -> None:
    probabilities = metrics.softmax(logits, temperature)
    best = probabilities.argmax(axis=1)
    for sample, place, shares in zip(samples, best, probabilities, strict=True):
        answers[sample.id][attribute.name] = Answer(
            sample.labels.get(attribute.name), attribute.classes[place], round(float(shares[place]), 6)
        )


class _Fitted:
    """Fitted crops that are decoded when they are asked for: a split is judged once, a cache would not pay."""

    def __init__(self, snapshot: Snapshot, preprocessing: Preprocessing) -> None:
        self.snapshot, self.preprocessing = snapshot, preprocessing

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        samples = [self.snapshot.samples[row] for row in rows]
        return np.stack([self.preprocessing.fit_image(load_crop(self.snapshot, sample)) for sample in samples])
