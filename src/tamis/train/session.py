"""One training from the snapshot's folder to the model's folder, in steps that can be interrupted between."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tamis.dataset.manifest import SPLITS, Snapshot
from tamis.errors import UserError
from tamis.train.backbones import create_backbone, load_pretrained, preprocessing_of
from tamis.train.crops import Progress, fitted_crops
from tamis.train.evaluation import (
    CROSS_VALIDATION,
    EVALUATION,
    HISTORY,
    ONNX,
    PREDICTIONS,
    Evaluation,
    JudgedSplit,
    evaluate_logits,
    onnx_logits,
)
from tamis.train.export import WEIGHTS, check_names, check_onnx, write_onnx, write_weights
from tamis.train.linear import HeldOutLogits, LinearFit, fit_heads, frozen_features, looked_at
from tamis.train.loop import Fitted, Job, device_of, finetune
from tamis.train.metrics import confusion_matrix, fit_temperature, macro_f1, softmax
from tamis.train.model import MultiTaskModel
from tamis.train.settings import TrainSettings
from tamis.train.targets import MISSING, Targets, check_trainable, choose_method, choose_size, read_targets
from tamis.vision.card import AttributeHead, ModelCard, file_sha256
from tamis.vision.triage import HELD_OUT, HeldOut, write_held_out

#: Where the parts of a training begin and end on the scale of its progress.
_READ, _FEATURES, _HEADS, _TRAINED = 0.1, 0.2, 0.25, 0.92


def run_training(
    snapshot_folder: Path, out: Path, settings: TrainSettings, progress: Progress, *, resume: bool
) -> ModelCard:
    """Train and write the model folder; see `tamis.train.train`."""
    if out.exists():
        raise UserError(f"{out} exists already; give the model another name or delete the folder")
    began = time.monotonic()
    snapshot = Snapshot.read(snapshot_folder)
    targets = read_targets(snapshot, settings.attributes)
    check_trainable(targets, snapshot.name)
    check_names(targets.attributes)
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise UserError('device = "cuda", but torch finds no graphics card; check its driver or use device = "cpu"')
    work = _work_folder(out, snapshot, settings, resume=resume)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(settings.seed)
        job, linear = _prepare(snapshot, targets, settings, work, progress)
        fitted = _fit(job, linear, work, _part(progress, _HEADS, _TRAINED), resume=resume)
    folder = work / "model"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    facts = {
        "penalties": linear.penalties if linear else {},
        "emphases": linear.emphases if linear else {}, "score": fitted.score, "best_epoch": fitted.best_epoch,
        "history": fitted.history, "began": began,
    }  # fmt: skip
    held = linear.held_out if linear and job.settings.method == "linear" else None
    card = _write_folder(job, snapshot, folder, out.name, facts, held, _part(progress, _TRAINED, 1.0))
    out.parent.mkdir(parents=True, exist_ok=True)
    folder.replace(out)
    shutil.rmtree(work)
    progress(1.0, f"model {out.name}: macro F1 {card.metrics['macro_f1']:.3f} on the {card.metrics['split']} split")
    return card


def _work_folder(out: Path, snapshot: Snapshot, settings: TrainSettings, *, resume: bool) -> Path:
    """Return the folder of unfinished work beside the model's; it remembers what it was started with."""
    work = out.with_name(f".{out.name}.training")
    started = work / "started.json"
    facts: dict[str, Any] = {"snapshot": snapshot.digest, "settings": settings.to_json()}
    if resume and started.exists():
        before = json.loads(started.read_text(encoding="utf-8"))
        changed = [key for key, value in facts["settings"].items() if before["settings"].get(key) != value]
        if before["snapshot"] != snapshot.digest:
            raise UserError(f"cannot resume {out.name}: it was started on another snapshot; train it anew")
        if changed := [key for key in changed if key != "time_limit_s"]:
            raise UserError(f"cannot resume {out.name}: it was started with another {changed[0]}; train it anew")
        return work
    shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir(parents=True)
        started.write_text(json.dumps(facts), encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {work}: {error.strerror or error}") from error
    return work


def _prepare(
    snapshot: Snapshot, targets: Targets, settings: TrainSettings, work: Path, progress: Progress
) -> tuple[Job, LinearFit | None]:
    """Build the network, read the crops and, where the backbone is pretrained, fit its heads."""
    backbone = create_backbone(settings.backbone)
    device = device_of(settings)
    pretrained = load_pretrained(backbone, settings.backbone, settings.weights)
    labelled = sum(len(targets.rows(split)) for split in SPLITS[:2])
    method = choose_method(settings, labelled, pretrained=pretrained, on_card=device.type == "cuda")
    settings = replace(settings, method=method)
    settings = replace(settings, size=choose_size(settings, len(targets.samples)))
    preprocessing = preprocessing_of(backbone, settings)
    crops = fitted_crops(snapshot, preprocessing, work, _part(progress, 0.0, _READ))
    model = MultiTaskModel(backbone, targets.attributes, settings.dropout)
    model = model.to(device).to(memory_format=torch.channels_last)
    job = Job(model, crops, targets, preprocessing, settings, pretrained)
    if not pretrained:
        return job, None
    # Beside the crops, so that the next model of this snapshot finds them.
    folder = Path(str(getattr(crops, "filename", work))).parent
    rows = looked_at(targets)
    features = frozen_features(model, crops, rows, preprocessing, folder, _part(progress, _READ, _FEATURES))
    return job, fit_heads(model, features, targets, settings, _part(progress, _FEATURES, _HEADS))


def _fit(job: Job, linear: LinearFit | None, work: Path, progress: Progress, *, resume: bool) -> Fitted:
    """Train the prepared model, or take what an interrupted run had already finished."""
    if job.settings.method == "linear":
        assert linear is not None
        return Fitted((), _mean_f1(job.targets, linear.held_out), 0)
    done, weights = work / "fitted.json", work / "fitted.pt"
    if resume and done.exists():
        job.model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        before = json.loads(done.read_text(encoding="utf-8"))
        return Fitted(tuple(before["history"]), before["score"], before["best_epoch"])
    fitted = finetune(job, work, progress, resume=resume)
    torch.save(job.model.state_dict(), weights)
    done.write_text(json.dumps(asdict(fitted)), encoding="utf-8")
    return fitted


def _mean_f1(targets: Targets, held: HeldOutLogits) -> float:
    """Macro F1 on held-out samples, mean of the attributes."""
    scores = []
    for column, attribute in enumerate(targets.attributes):
        logits, truth, _ = _labelled(targets, held, column)
        answers = logits.argmax(axis=1).astype(np.int64)
        scores.append(macro_f1(confusion_matrix(truth, answers, len(attribute.classes))))
    return float(np.mean(scores))


def _write_folder(
    job: Job,
    snapshot: Snapshot,
    folder: Path,
    name: str,
    facts: Mapping[str, Any],
    held: HeldOutLogits | None,
    progress: Progress,
) -> ModelCard:
    """Write all files of the model; `held` are the answers to samples it had not learned from, None for validation."""
    attributes, targets = job.targets.attributes, job.targets
    write_weights(job.model, folder / WEIGHTS)
    write_onnx(job.model, attributes, job.preprocessing, folder / ONNX)
    rows: dict[str, NDArray[np.int64]] = {split: targets.rows(split) for split in SPLITS}
    difference = check_onnx(job.model, attributes, job.preprocessing, folder / ONNX, job.crops[rows["train"][:4]])
    learned = "train and validation"
    if held is None:
        learned, part = "train", _part(progress, 0.0, 0.4)
        logits = onnx_logits(folder / ONNX, job.preprocessing, job.crops, rows["validation"], part)
        held = HeldOutLogits(rows["validation"], logits, "the validation split")
    heads = calibrated_heads(targets, held)
    write_held_out(folder, held_out_answers(targets, held, heads), held.how)
    if len(rows["test"]):
        logits = onnx_logits(folder / ONNX, job.preprocessing, job.crops, rows["test"], _part(progress, 0.4, 1.0))
        evaluation = evaluate_logits(logits, rows["test"], targets, "test", heads, snapshot.name)
    else:
        split: JudgedSplit = "validation" if learned == "train" else CROSS_VALIDATION
        evaluation = evaluate_logits(held.logits, held.rows, targets, split, heads, snapshot.name)
    seconds = time.monotonic() - facts["began"]
    record = {**facts, "settings": job.settings.to_json(), "seconds": seconds, "onnx": difference, "held_out": held.how}
    del record["began"]
    (folder / HISTORY).write_text(json.dumps(record, indent=2), encoding="utf-8")
    (folder / EVALUATION).write_text(json.dumps(evaluation.to_json(), indent=2, ensure_ascii=False), encoding="utf-8")
    evaluation.write_answers(folder / PREDICTIONS)
    card = _card(job, snapshot, (name, learned), heads, evaluation, folder)
    card.write(folder)
    return card


def _labelled(
    targets: Targets, held: HeldOutLogits, column: int
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Return logits, class indices and groups of the held-out samples that have a label of the attribute."""
    labelled = targets.indices[held.rows, column] != MISSING
    rows = held.rows[labelled]
    logits = held.logits[targets.attributes[column].name][labelled]
    return logits, targets.indices[rows, column], targets.groups[rows]


def calibrated_heads(targets: Targets, held: HeldOutLogits) -> dict[str, AttributeHead]:
    """Return the heads with the temperatures under which the held-out samples are most likely."""
    heads = {}
    for column, attribute in enumerate(targets.attributes):
        logits, truth, _ = _labelled(targets, held, column)
        temperature = fit_temperature(logits, truth)
        heads[attribute.name] = AttributeHead(attribute.type.name, attribute.classes, attribute.scope, temperature)
    return heads


def held_out_answers(targets: Targets, held: HeldOutLogits, heads: Mapping[str, AttributeHead]) -> dict[str, HeldOut]:
    """Return the calibrated answers to held-out samples by attribute, of those that have a label of it."""
    answers = {}
    for column, attribute in enumerate(targets.attributes):
        logits, truth, groups = _labelled(targets, held, column)
        shares = softmax(logits, heads[attribute.name].temperature)
        _, numbers = np.unique(groups, return_inverse=True)
        answers[attribute.name] = HeldOut(attribute.classes, shares, truth, numbers.astype(np.int64))
    return answers


def _card(
    job: Job,
    snapshot: Snapshot,
    named: tuple[str, str],
    heads: Mapping[str, AttributeHead],
    evaluation: Evaluation,
    folder: Path,
) -> ModelCard:
    """Return the card of a folder; `named` has the model's name and the splits that it learned from."""
    names = (ONNX, WEIGHTS, HISTORY, EVALUATION, PREDICTIONS, HELD_OUT)
    return ModelCard(
        name=named[0],
        backbone=job.settings.backbone,
        attributes=heads,
        preprocessing=job.preprocessing,
        snapshot={"name": snapshot.name, "digest": snapshot.digest, "learned": named[1]},
        metrics=evaluation.summary(),
        files={file: file_sha256(folder / file) for file in names},
    )


def _part(progress: Progress, low: float, high: float) -> Progress:
    return lambda fraction, text: progress(low + (high - low) * fraction, text)
