"""The network: one backbone, one linear head an attribute, over features pooled from every stage of the backbone.

The last stage knows what a thing is, the early ones know its colours and textures, a coarse grid of the last one knows
what is where (the front of a car, not its rear); heads that see all of them learn any attribute from few labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from tamis.labels import Attribute

#: Part of the name of cached features: raise it whenever `MultiTaskModel.features` changes.
FEATURES_VERSION = 1

#: Cells a side of the grid over the last stage.
GRID = 4


class MultiTaskModel(nn.Module):
    """Logits of several attributes from one picture."""

    def __init__(self, backbone: nn.Module, attributes: Sequence[Attribute], dropout: float) -> None:
        super().__init__()
        self.backbone = backbone
        width = _feature_width(backbone)
        #: Brings the features of all stages to one scale; its statistics are data, it learns nothing.
        self.scale = nn.BatchNorm1d(width, affine=False)
        self.dropout = nn.Dropout(dropout)
        self.heads = nn.ModuleList(zero_linear(width, len(attribute.classes)) for attribute in attributes)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Return the pooled features, float (n, width), of normalised images, float (n, 3, H, W)."""
        return _pooled(self.backbone, images)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the logits of each attribute, float (n, classes), of normalised images, float (n, 3, H, W)."""
        scaled = self.dropout(self.scale(self.features(images)))
        return tuple(head(scaled) for head in self.heads)


def masked_loss(
    logits: Sequence[torch.Tensor],
    targets: torch.Tensor,
    weights: Sequence[torch.Tensor],
    label_smoothing: float,
    missing: int,
) -> torch.Tensor:
    """Return the mean over attributes of their weighted cross-entropy, missing labels left out.

    `targets` is int64 (n, attributes); `weights` holds float (classes,) for each attribute. An attribute without any
    label in the batch counts nothing. The sum over samples is divided by the labels there are, not by their weights,
    so that a rare class weighs the same whatever shares its batch.
    """
    losses = []
    for column, (scores, weight) in enumerate(zip(logits, weights, strict=True)):
        wanted = targets[:, column]
        labelled = (wanted != missing).sum()
        summed = functional.cross_entropy(
            scores.float(), wanted, weight, ignore_index=missing, reduction="sum", label_smoothing=label_smoothing
        )
        losses.append(summed / labelled.clamp(min=1))
    return torch.stack(losses).mean()


def zero_linear(inputs: int, outputs: int) -> nn.Linear:
    """Return a linear layer that answers nothing yet: all classes alike."""
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def set_linear(
    model: MultiTaskModel, mean: torch.Tensor, variance: torch.Tensor, heads: Sequence[Mapping[str, torch.Tensor]]
) -> None:
    """Put the statistics of features, float (width,), and fitted heads ("weight", "bias") into the model."""
    statistics: Any = model.scale
    statistics.running_mean.copy_(mean)
    statistics.running_var.copy_(variance)
    for head, fitted in zip(model.heads, heads, strict=True):
        head.load_state_dict(dict(fitted))


def freeze_statistics(model: nn.Module) -> None:
    """Put every batch normalisation into evaluation mode: few samples would spoil what pretraining measured."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def feature_gains(backbone: nn.Module, early: float, where: float) -> torch.Tensor:
    """Return a factor for each pooled feature, float32 (width,).

    It is `early` for those of stages that shrink pictures by 8 at most, `where` for the grid, 1 for the others.
    """
    backbone.eval()
    side = 64
    with torch.no_grad():
        stages, last = _maps(backbone, torch.zeros(1, 3, side, side, device=next(backbone.parameters()).device))
    each = [torch.full((stage.shape[1],), early if stage.shape[2] * 8 >= side else 1.0) for stage in stages]
    return torch.cat([*each, *each, torch.full((last.shape[1] * GRID * GRID,), where)])


def _pooled(backbone: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Mean and maximum over every stage, and means over the cells of a grid over the last one."""
    stages, last = _maps(backbone, images)
    means, peaks = [stage.mean((2, 3)) for stage in stages], [stage.amax((2, 3)) for stage in stages]
    return torch.cat([*means, *peaks, _grid_means(last)], dim=1)


def _maps(backbone: nn.Module, images: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Return the maps to pool over whole, and the one that the grid lies over."""
    maps: Any = backbone
    last, stages = maps.forward_intermediates(images)
    if last.shape[1] != stages[-1].shape[1]:  # some networks widen after their last stage, others end with it
        return [*stages, last], stages[-1]
    return stages, stages[-1]


def _grid_means(maps: torch.Tensor) -> torch.Tensor:
    """Return means over GRID x GRID cells, (n, channels * GRID * GRID), of maps, (n, channels, H, W).

    Adaptive average pooling as two products with constant matrices, which ONNX can express for any size of map.
    """
    rows, columns = (_cell_weights(int(side)).to(maps) for side in maps.shape[2:])
    return (rows @ maps @ columns.T).flatten(1)


def _cell_weights(side: int) -> torch.Tensor:
    """Return the share of each of `side` places in each cell, float32 (GRID, side)."""
    weights = torch.zeros(GRID, side)
    for cell in range(GRID):
        first, end = cell * side // GRID, -(-(cell + 1) * side // GRID)
        weights[cell, first:end] = 1 / (end - first)
    return weights


def _feature_width(backbone: nn.Module) -> int:
    backbone.eval()
    with torch.no_grad():
        return int(_pooled(backbone, torch.zeros(1, 3, 64, 64)).shape[1])
