"""Heads fitted to the frozen backbone's features: seconds where fine-tuning takes minutes, and a good start for it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from tamis.dataset.manifest import Split
from tamis.errors import UserError
from tamis.train.batches import pixels, standardised
from tamis.train.crops import Progress
from tamis.train.metrics import fit_temperature, negative_log_likelihood
from tamis.train.model import FEATURES_VERSION, MultiTaskModel, set_linear, zero_linear
from tamis.train.settings import TrainSettings
from tamis.train.targets import MISSING, Targets, class_weights, may_flip
from tamis.vision.preprocess import Preprocessing

#: Strengths of the penalty on the squared weights, strong to weak, each fit starting from the one before. The range is
#: narrow on purpose: over wider ones, validation splits of some fifty samples choose by chance.
PENALTIES = (0.3, 0.1, 0.03)

#: Added to the variance of features before division, as in `nn.BatchNorm1d`.
_EPSILON = 1e-5
_ITERATIONS = 100
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
class _Data:
    """Scaled features, float32 (n, views, width) of training and (n, width) of validation, and class indices."""

    train: torch.Tensor
    validation: torch.Tensor
    train_labels: torch.Tensor
    validation_labels: torch.Tensor


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
    model.eval()
    device = next(model.parameters()).device
    parts = []
    with torch.inference_mode():
        for start in range(0, len(rows), _BATCH):
            images = standardised(pixels(crops[rows[start : start + _BATCH]], device), preprocessing)
            both = [model.features(images), model.features(images.flip(3))]
            parts.append(torch.stack(both, dim=1).half().cpu().numpy())
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
) -> dict[str, float]:
    """Fit every head to the features and return the penalty chosen for each.

    Multinomial logistic regression by L-BFGS; the penalty is the one of `PENALTIES` under which the calibrated answers
    make the validation split most likely.
    """
    views = 2 if may_flip(targets.attributes, settings.flip) else 1
    train, validation = (np.intersect1d(targets.rows(split), features.rows) for split in _MOST)
    inputs = features.of(train, views)
    mean, variance = inputs.mean(axis=(0, 1)), inputs.var(axis=(0, 1))
    # A feature that hardly varies in training would explode elsewhere.
    variance = np.maximum(variance, 1e-6 * max(float(variance.mean()), 1e-12))
    scale = np.sqrt(variance + _EPSILON)
    data = _Data(
        torch.from_numpy((inputs - mean) / scale),
        torch.from_numpy((features.of(validation, 1)[:, 0] - mean) / scale),
        torch.from_numpy(targets.indices[train]),
        torch.from_numpy(targets.indices[validation]),
    )
    heads, chosen = [], {}
    for column, attribute in enumerate(targets.attributes):
        weights = torch.from_numpy(class_weights(targets.counts("train", column), settings.class_weights))
        head, penalty = _fit_head(data, column, weights, settings.label_smoothing)
        heads.append(head)
        chosen[attribute.name] = penalty
        progress((column + 1) / len(targets.attributes), f"head of {attribute.name}")
    set_linear(model, torch.from_numpy(mean).float(), torch.from_numpy(variance).float(), heads)
    return chosen


def _fit_head(
    data: _Data, column: int, weights: torch.Tensor, smoothing: float
) -> tuple[dict[str, torch.Tensor], float]:
    labelled, judged = data.train_labels[:, column] != MISSING, data.validation_labels[:, column] != MISSING
    inputs, wanted = data.train[labelled], data.train_labels[labelled, column]
    views = inputs.shape[1]
    inputs, wanted = inputs.reshape(-1, inputs.shape[2]), wanted.repeat_interleave(views)
    outside, truth = data.validation[judged], data.validation_labels[judged, column].numpy()
    head = zero_linear(inputs.shape[1], len(weights))
    best: tuple[float, float, dict[str, torch.Tensor]] | None = None
    for penalty in PENALTIES:
        _minimise(head, inputs, wanted, (weights, smoothing, penalty))
        with torch.no_grad():
            logits = head(outside).numpy()
        # At its best temperature: else a strong penalty would win by its modesty alone.
        loss = negative_log_likelihood(logits, truth, fit_temperature(logits, truth))
        if best is None or loss < best[0]:
            best = (loss, penalty, {key: value.clone() for key, value in head.state_dict().items()})
        elif loss > 1.05 * best[0]:
            break  # weaker penalties fit the training split closer still, and take the longest
    assert best is not None
    return best[2], best[1]


def _minimise(
    head: nn.Linear, inputs: torch.Tensor, wanted: torch.Tensor, how: tuple[torch.Tensor, float, float]
) -> None:
    weights, smoothing, penalty = how
    optimiser = torch.optim.LBFGS(
        head.parameters(), max_iter=_ITERATIONS, tolerance_grad=1e-4, line_search_fn="strong_wolfe"
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
