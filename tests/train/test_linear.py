"""Heads on features: the folds choose what a head listens to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tamis.labels import Attribute
from tamis.train import TrainSettings, linear
from tamis.train.backbones import create_backbone
from tamis.train.linear import Features, fit_heads
from tamis.train.model import GRID, MultiTaskModel, feature_gains
from tamis.train.targets import Targets

COLOUR, VIEW = Attribute.of("colour", "choice", ("red", "blue")), Attribute.of("view", "choice", ("front", "rear"))
SAMPLES = 160
STAGES = (64, 64, 128, 256, 512)
#: Those of the stages that halve a picture three times at most.
EARLY = 64 + 64 + 128


def quiet(share: float, text: str) -> None:
    """No progress."""


def told(model: MultiTaskModel) -> tuple[Features, Targets]:
    """Features of noise, among which some early ones tell the colour and all of the grid together tell the view."""
    generator = np.random.default_rng(0)
    gains = feature_gains(model.backbone, 2.0, 0.0).numpy()
    indices = np.stack([np.arange(SAMPLES) % 2, np.arange(SAMPLES) // 2 % 2], axis=1).astype(np.int64)
    values = generator.normal(0, 1, (SAMPLES, 2, len(gains)))
    values[:, :, np.flatnonzero(gains == 2.0)[::12]] += 0.8 * indices[:, 0, None, None]
    values[:, :, gains == 0.0] += (
        0.12 * generator.choice([-1.0, 1.0], int((gains == 0.0).sum())) * (2.0 * indices[:, 1, None, None] - 1)
    )
    splits = ["train", "train", "validation", "test"]
    samples = tuple(SimpleNamespace(split=splits[row // 4 % 4]) for row in range(SAMPLES))
    targets = Targets((COLOUR, VIEW), cast("Any", samples), indices, np.arange(SAMPLES, dtype=np.int64) // 4)
    return Features(np.arange(SAMPLES), values.astype(np.float16)), targets


def right(model: MultiTaskModel, features: Features, targets: Targets, column: int) -> float:
    """Share of the test samples whose answer is right."""
    rows: NDArray[np.int64] = targets.rows("test")
    model.eval()
    with torch.inference_mode():
        logits = model.heads[column](model.scale(torch.from_numpy(features.of(rows, 1)[:, 0])))
    return float((logits.argmax(dim=1).numpy() == targets.indices[rows, column]).mean())


def test_gains_know_the_stages_of_a_network() -> None:
    backbone = create_backbone("resnet18")
    gains = feature_gains(backbone, 7.0, 0.5).numpy()
    each = [*[7.0] * EARLY, *[1.0] * (sum(STAGES) - EARLY)]
    np.testing.assert_array_equal(gains, np.array([*each, *each, *[0.5] * 512 * GRID * GRID], np.float32))


def test_each_head_listens_to_what_tells_its_attribute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "_FOLDS", 4)
    model = MultiTaskModel(create_backbone("resnet18"), (COLOUR, VIEW), 0.0)
    features, targets = told(model)
    settings = TrainSettings(method="linear")
    fit = fit_heads(model, features, targets, settings, quiet)
    assert fit.emphases == {"colour": "early", "view": "all"}
    colour, view = (right(model, features, targets, column) for column in (0, 1))
    assert min(colour, view) > 0.9
    monkeypatch.setattr(linear, "EMPHASES", {"all": (1.0, 1.0)})
    assert fit_heads(model, features, targets, settings, quiet).emphases == {"colour": "all", "view": "all"}
    assert right(model, features, targets, 0) < colour
    assert right(model, features, targets, 1) == view
