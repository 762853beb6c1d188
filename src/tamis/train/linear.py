"""Heads fitted to the frozen backbone's features: seconds where fine-tuning takes minutes, and a good start for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from tamis.dataset.manifest import Split
from tamis.errors import UserError
from tamis.train.crops import Progress
from tamis.train.export import feature_network
from tamis.train.metrics import fit_temperature, negative_log_likelihood
from tamis.train.model import FEATURES_VERSION, MultiTaskModel, feature_gains, set_linear, zero_linear
from tamis.train.settings import TrainSettings
from tamis.train.targets import MISSING, Targets, class_weights, may_flip
from tamis.vision.preprocess import Preprocessing

#: Strengths of the penalty on the squared weights, strong to weak, each fit starting from the one before. The range is
#: narrow on purpose: over wider ones, some fifty held-out samples choose by chance.
PENALTIES = (0.3, 0.1, 0.03)

#: What a head may listen to: gains on the features of early stages and on the grid. A penalty on squared weights takes
#: all features for equally telling; a colour is told by the early ones, which are few among thousands, and not by where
#: things are. The folds choose for each attribute.
EMPHASES: Mapping[str, tuple[float, float]] = {"all": (1.0, 1.0), "early": (10.0, 0.1)}

#: Added to the variance of features before division, as in `nn.BatchNorm1d`.
_EPSILON = 1e-5
_ITERATIONS, _HISTORY = 100, 10

#: Folds of a cross-validation, and most samples that it pays for: beyond, one split tells as much.
_FOLDS, _CROSS_MOST = 10, 2_000
#: Most rows, mirrored ones included, whose products are taken apart to fit in fewer dimensions.
_ROTATED_MOST = 1_500
_BATCH = 32

#: Most samples of a split that the fit looks at: their features must fit into memory.
_MOST: dict[Split, int] = {"train": 10_000, "validation": 4_000}


@dataclass(frozen=True)
class Features:
    """Features of frozen pictures, as they are and mirrored: float16 (rows, 2, width), of those rows of the samples."""

    rows: NDArray[np.int64]
    values: NDArray[np.float16]

    def of(self, wanted: NDArray[np.int64], views: int) -> NDArray[np.float32]:
        """Return float32 (n, views, width) of those of the wanted rows that are there, all of them if `wanted` is."""
        places = np.searchsorted(self.rows, wanted)
        return self.values[places, :views].astype(np.float32)


@dataclass(frozen=True)
class HeldOutLogits:
    """What heads answer to rows of the targets that they were not fitted to; `how` says which rows, for people."""

    rows: NDArray[np.int64]
    logits: Mapping[str, NDArray[np.float32]]
    how: str


@dataclass(frozen=True)
class LinearFit:
    """The penalty and the emphasis chosen for each attribute, and the held-out answers that they were chosen by."""

    penalties: Mapping[str, float]
    emphases: Mapping[str, str]
    held_out: HeldOutLogits


@dataclass(frozen=True)
class _Plan:
    """What is fitted to what: places in `inputs`, float32 (n, views, width), in ascending order.

    `folds` are held out in turn, and heads fitted to the rest of `learned`; the last fit is to all of `final`.
    """

    inputs: torch.Tensor
    labels: torch.Tensor
    learned: NDArray[np.bool_]
    folds: tuple[NDArray[np.int64], ...]
    final: NDArray[np.bool_]
    #: From weights of `inputs` to weights of the scaled features: a rotation, and gains, float32 (width,).
    back: torch.Tensor | None
    gains: torch.Tensor | None


@dataclass(frozen=True)
class _Choice:
    """The best penalty of a plan for one attribute, its loss, and the logits of the held-out places, ascending."""

    loss: float
    penalty: float
    logits: NDArray[np.float32]


def looked_at(targets: Targets) -> NDArray[np.int64]:
    """Return the rows, ascending, that the linear fit looks at: evenly from each split, whatever their labels."""
    chosen = []
    for split, most in _MOST.items():
        rows = np.flatnonzero([sample.split == split for sample in targets.samples])
        chosen.append(rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(np.int64)])
    return np.sort(np.concatenate(chosen))


def frozen_features(
    model: MultiTaskModel,
    crops: NDArray[np.uint8],
    rows: NDArray[np.int64],
    preprocessing: Preprocessing,
    folder: Path,
    progress: Progress,
) -> Features:
    """Return the features of those rows of the crops, kept in `folder`.

    The name of the file tells crops, rows and weights apart, so that another model of the same snapshot finds them.
    """
    path = folder / f"features-{_key(model.backbone, crops, rows, preprocessing)}.npy"
    if path.exists():
        return Features(rows, np.load(path))
    parts = []
    answer = feature_network(model, preprocessing)
    for start in range(0, len(rows), _BATCH):
        parts.append(answer(np.asarray(crops[rows[start : start + _BATCH]])))
        done = min(len(rows), start + _BATCH)
        progress(done / len(rows), f"features of {done} of {len(rows)} samples")
    values = np.concatenate(parts)
    temporary = path.with_suffix(f".{os.getpid()}.npy")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        np.save(temporary, values)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"cannot write {path}: {error.strerror or error}; free some space or permit it") from error
    return Features(rows, values)


def fit_heads(
    model: MultiTaskModel, features: Features, targets: Targets, settings: TrainSettings, progress: Progress
) -> LinearFit:
    """Fit every head to the features; return the penalties chosen and the answers to held-out samples.

    Multinomial logistic regression by L-BFGS. The penalty is the one of `PENALTIES`, and where samples are few the
    emphasis that of `EMPHASES`, under which calibrated answers make the held-out samples most likely. A linear model
    holds out folds of whole groups of the training and validation splits, and is fitted to both of them in the end: few
    labels are too dear to be left out. Before fine-tuning, which chooses its best epoch by the validation split, and
    beyond `_CROSS_MOST` samples, that split alone is held out.
    """
    views = 2 if may_flip(targets.attributes, settings.flip) else 1
    splits = tuple(np.intersect1d(targets.rows(split), features.rows) for split in _MOST)
    rows = np.sort(np.concatenate(splits))
    linear = settings.method == "linear"
    final = np.ones(len(rows), bool) if linear else np.isin(rows, splits[0])
    crossed = linear and len(rows) <= _CROSS_MOST
    if crossed:
        folds = group_folds(targets.groups[rows], _FOLDS)
        how = f"{len(folds)} folds of whole groups of the train and validation splits"
    else:
        folds = (np.flatnonzero(np.isin(rows, splits[1])),)
        how = "the validation split"
    inputs, mean, variance = _scaled(features.of(rows, views), final)
    learned = np.ones(len(rows), bool) if crossed else np.isin(rows, splits[0])
    bare = _Plan(torch.empty(0), torch.from_numpy(targets.indices[rows]), learned, folds, final, None, None)
    plans = _plans(bare, inputs, model.backbone)
    heads, penalties, emphases, logits = [], {}, {}, {}
    for column, attribute in enumerate(targets.attributes):
        count = len(attribute.classes)
        told = partial(progress, column / len(targets.attributes), f"head of {attribute.name}")
        choices = {name: _choose(plan, column, count, settings, told) for name, plan in plans.items()}
        emphasis = min(choices, key=lambda name: choices[name].loss)
        choice = choices[emphasis]
        heads.append(_fit_head(plans[emphasis], column, count, settings, choice.penalty))
        penalties[attribute.name], emphases[attribute.name] = choice.penalty, emphasis
        logits[attribute.name] = choice.logits
        progress((column + 1) / len(targets.attributes), f"head of {attribute.name}")
    set_linear(model, torch.from_numpy(mean).float(), torch.from_numpy(variance).float(), heads)
    return LinearFit(penalties, emphases, HeldOutLogits(rows[np.sort(np.concatenate(folds))], logits, how))


def group_folds(groups: NDArray[np.int64], most: int) -> tuple[NDArray[np.int64], ...]:
    """Return the places of at most `most` folds of about equal size that part no group, each ascending."""
    names, where, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    count = min(most, len(names))
    fold_of, filled = np.zeros(len(names), np.int64), np.zeros(count, np.int64)
    for name in np.argsort(-sizes, kind="stable"):  # the largest first, each into the emptiest fold
        fold_of[name] = filled.argmin()
        filled[fold_of[name]] += sizes[name]
    return tuple(np.flatnonzero(fold_of[where] == fold) for fold in range(count))


def _scaled(
    inputs: NDArray[np.float32], learned: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return the inputs less the mean and over the spread of the learned ones, and that mean and variance."""
    known = inputs[learned]
    mean, variance = known.mean(axis=(0, 1)), known.var(axis=(0, 1))
    # A feature that hardly varies in training would explode elsewhere.
    variance = np.maximum(variance, 1e-6 * max(float(variance.mean()), 1e-12))
    return (inputs - mean) / np.sqrt(variance + _EPSILON), mean, variance


def _plans(bare: _Plan, inputs: NDArray[np.float32], backbone: nn.Module) -> dict[str, _Plan]:
    """Return a plan for each emphasis, of which many samples need none: they tell by themselves what matters."""
    count, views, _ = inputs.shape
    if count * views > _ROTATED_MOST:
        return {"all": replace(bare, inputs=torch.from_numpy(inputs))}
    plans = {}
    for name, (early, where) in EMPHASES.items():
        gains = feature_gains(backbone, early, where)
        rotated, back = _rotated(inputs * gains.numpy())
        plans[name] = replace(bare, inputs=torch.from_numpy(rotated), back=back, gains=gains)
    return plans


def _rotated(inputs: NDArray[np.float32]) -> tuple[NDArray[np.float32], torch.Tensor]:
    """Return few samples in as many dimensions as they span, and the rotation back, float32 (width, span).

    A squared penalty does not see rotations, and no fit leaves the span of its samples, so the fits are the same ones
    and many times as fast.
    """
    count, views, width = inputs.shape
    flat = inputs.reshape(-1, width).astype(np.float64)
    squares, basis = np.linalg.eigh(flat @ flat.T)
    spanned = squares > 1e-9 * squares[-1]
    lengths, basis = np.sqrt(squares[spanned]), basis[:, spanned]
    back = flat.T @ (basis / lengths)
    rotated = (basis * lengths).reshape(count, views, -1)
    return rotated.astype(np.float32), torch.from_numpy(back.astype(np.float32))


def _choose(plan: _Plan, column: int, classes: int, settings: TrainSettings, told: Callable[[], None]) -> _Choice:
    """Return the penalty under which the held-out samples are most likely; `told` is called after each fit."""
    labels = plan.labels[:, column]
    labelled = (labels != MISSING).numpy()
    fits = []
    for fold in plan.folds:
        learned = plan.learned & labelled
        learned[fold] = False
        fits.append(_Fit(plan, learned, column, classes, settings))
    held = np.concatenate(plan.folds)
    judged = labelled[held]
    truth = labels.numpy()[held[judged]]
    order = np.argsort(held)
    best: _Choice | None = None
    for penalty in PENALTIES:
        answers = []
        for fit, fold in zip(fits, plan.folds, strict=True):
            answers.append(fit.answers(penalty, fold))
            told()
        logits = np.concatenate(answers)
        # At its best temperature: else a strong penalty would win by its modesty alone.
        loss = negative_log_likelihood(logits[judged], truth, fit_temperature(logits[judged], truth))
        if best is None or loss < best.loss:
            best = _Choice(loss, penalty, logits[order])
        elif loss > 1.05 * best.loss:
            break  # weaker penalties fit the learned samples closer still, and take the longest
    assert best is not None
    return best


def _fit_head(
    plan: _Plan, column: int, classes: int, settings: TrainSettings, penalty: float
) -> dict[str, torch.Tensor]:
    """Return the head, fitted to all samples that it may learn, as weights of the scaled features."""
    labelled = (plan.labels[:, column] != MISSING).numpy()
    fit = _Fit(plan, plan.final & labelled, column, classes, settings)
    fit.minimise(penalty)
    weight, bias = fit.head.weight.detach(), fit.head.bias.detach()
    if plan.back is not None:
        weight = weight @ plan.back.T
    return {"weight": weight if plan.gains is None else weight * plan.gains, "bias": bias}


class _Fit:
    """A head and the samples that it is fitted to; each fit starts from the one before."""

    def __init__(
        self, plan: _Plan, learned: NDArray[np.bool_], column: int, classes: int, settings: TrainSettings
    ) -> None:
        inputs, wanted = plan.inputs[learned], plan.labels[learned, column]
        self.plan = plan
        self.inputs = inputs.reshape(-1, inputs.shape[2])
        self.wanted = wanted.repeat_interleave(inputs.shape[1])
        counts = np.bincount(wanted.numpy(), minlength=classes).astype(np.int64)
        self.weights = torch.from_numpy(class_weights(counts, settings.class_weights))
        self.smoothing = settings.label_smoothing
        self.head = zero_linear(inputs.shape[2], classes)

    def minimise(self, penalty: float) -> None:
        """Fit under a penalty."""
        _minimise(self.head, self.inputs, self.wanted, (self.weights, self.smoothing, penalty))

    def answers(self, penalty: float, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """Fit under a penalty and return the logits of those places as they are, not mirrored."""
        self.minimise(penalty)
        with torch.no_grad():
            logits: NDArray[np.float32] = self.head(self.plan.inputs[places, 0]).numpy()
        return logits


def _minimise(
    head: nn.Linear, inputs: torch.Tensor, wanted: torch.Tensor, how: tuple[torch.Tensor, float, float]
) -> None:
    weights, smoothing, penalty = how
    optimiser = torch.optim.LBFGS(
        head.parameters(),
        max_iter=_ITERATIONS,
        tolerance_grad=1e-4,
        line_search_fn="strong_wolfe",
        history_size=_HISTORY,
    )

    def objective() -> torch.Tensor:
        optimiser.zero_grad()
        loss = functional.cross_entropy(head(inputs), wanted, weights, label_smoothing=smoothing)
        loss = loss + penalty * head.weight.square().sum() / 2
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(objective)  # type: ignore[no-untyped-call]


def _key(backbone: nn.Module, crops: NDArray[np.uint8], rows: NDArray[np.int64], preprocessing: Preprocessing) -> str:
    state = sha256(rows.tobytes())
    name = Path(str(getattr(crops, "filename", ""))).stem
    state.update(f"{FEATURES_VERSION} {name} {crops.shape} {preprocessing.digest}".encode())
    tensors: Mapping[str, torch.Tensor] = backbone.state_dict()
    for name in sorted(tensors):
        state.update(name.encode())
        state.update(tensors[name].detach().cpu().numpy().tobytes())
    return state.hexdigest()[:32]
