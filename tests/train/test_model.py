"""The parts of the network and its training that have laws of their own."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tamis.train.augment import Augmentation, augment
from tamis.train.backbones import create_backbone
from tamis.train.batches import batches
from tamis.train.model import GRID, MultiTaskModel, _grid_means, masked_loss
from tamis.train.targets import MISSING
from tests.train.factory import ATTRIBUTES

ONES = (torch.ones(3), torch.ones(3))


def test_missing_labels_give_no_gradient() -> None:
    logits = [torch.randn(4, 3, requires_grad=True), torch.randn(4, 3, requires_grad=True)]
    targets = torch.tensor([[0, MISSING], [1, 2], [MISSING, 1], [MISSING, MISSING]])
    masked_loss(logits, targets, ONES, 0.1, MISSING).backward()  # type: ignore[no-untyped-call]
    for column, scores in enumerate(logits):
        assert scores.grad is not None
        assert ((scores.grad != 0).any(dim=1) == (targets[:, column] != MISSING)).all()


def test_a_batch_without_any_label_costs_nothing() -> None:
    logits = [torch.randn(2, 3, requires_grad=True)] * 2
    loss = masked_loss(logits, torch.full((2, 2), MISSING), ONES, 0.1, MISSING)
    assert float(loss.detach()) == 0.0


def test_the_loss_is_the_mean_of_the_attributes_losses() -> None:
    logits = [torch.randn(6, 3), torch.randn(6, 3)]
    targets = torch.randint(0, 3, (6, 2))
    expected = sum(float(nn.functional.cross_entropy(scores, targets[:, place])) for place, scores in enumerate(logits))
    assert float(masked_loss(logits, targets, ONES, 0.0, MISSING)) == pytest.approx(expected / 2, rel=1e-5)


@pytest.mark.parametrize("name", ["resnet18", "tf_efficientnet_lite0", "efficientnet_b0"])
def test_heads_see_every_stage_once(name: str) -> None:
    model = MultiTaskModel(create_backbone(name), ATTRIBUTES, 0.0).eval()
    widths = {"resnet18": 2 * (64 + 64 + 128 + 256 + 512) + 16 * 512}
    narrow = 2 * (16 + 24 + 40 + 112 + 320 + 1280) + 16 * 320
    with torch.inference_mode():
        features = model.features(torch.zeros(2, 3, 64, 64))
        assert [tuple(scores.shape) for scores in model(torch.zeros(2, 3, 64, 64))] == [(2, 3), (2, 3)]
    assert features.shape == (2, widths.get(name, narrow))


@pytest.mark.parametrize("side", [2, 4, 7, 9])
def test_the_grid_is_adaptive_average_pooling(side: int) -> None:
    maps = torch.rand(2, 5, side, side + 1)
    expected = nn.functional.adaptive_avg_pool2d(maps, GRID).flatten(1)
    assert torch.allclose(_grid_means(maps), expected, atol=1e-6)


def test_augmentation_repeats_with_its_generator_and_keeps_the_range() -> None:
    images = torch.rand(6, 3, 40, 40)
    change = Augmentation.of("strong", flip=True, colour=True)
    first, second, other = (augment(images, change, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert first.shape == images.shape
    assert 0 <= float(first.min()) <= float(first.max()) <= 1


def test_no_augmentation_changes_nothing_and_flip_alone_mirrors_some() -> None:
    images = torch.rand(16, 3, 8, 8)
    assert torch.equal(augment(images, Augmentation.of("none", flip=False, colour=True), torch.Generator()), images)
    mirrored = augment(images, Augmentation.of("none", flip=True, colour=True), torch.Generator().manual_seed(0))
    kept = (mirrored == images).flatten(1).all(dim=1)
    turned = (mirrored == images.flip(3)).flatten(1).all(dim=1)
    assert (kept | turned).all()
    assert kept.any()
    assert turned.any()


def test_a_spared_colour_keeps_its_hue_and_saturation() -> None:
    """Brightness alone scales the channels alike."""
    images = torch.full((8, 3, 16, 16), 0.5) * torch.tensor([1.0, 0.5, 0.2]).view(1, 3, 1, 1)
    changed = augment(images, Augmentation.of("light", flip=True, colour=False), torch.Generator().manual_seed(0))
    ratio = changed / images
    assert torch.allclose(ratio, ratio[:, :1], atol=1e-4)
    assert float(ratio.std()) > 0


def test_batches_take_every_row_once_in_an_order_of_the_epoch() -> None:
    crops, indices = np.arange(40, dtype=np.uint8).reshape(40, 1, 1, 1), np.arange(40).reshape(40, 1)
    rows = np.arange(3, 40)
    loader = batches(crops, indices, rows, 16, 7)
    orders = []
    for epoch in (0, 1, 0):
        order: Any = loader.sampler
        order.set_epoch(epoch)
        drawn = [(seen.flatten().tolist(), wanted.flatten().tolist()) for seen, wanted in loader]
        assert all(seen == wanted for seen, wanted in drawn)
        assert {len(seen) for seen, _ in drawn} == {12, 13}
        orders.append([row for seen, _ in drawn for row in seen])
        assert sorted(orders[-1]) == rows.tolist()
    assert orders[0] == orders[2] != orders[1]
    in_order = [row for _, wanted in batches(crops, indices, rows, 16, None) for row in wanted.flatten().tolist()]
    assert in_order == rows.tolist()


def test_importing_the_package_leaves_torch_alone() -> None:
    code = "import sys, tamis.train, tamis.train.metrics, tamis.train.evaluation; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
