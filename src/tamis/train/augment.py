"""Augmentation of whole batches on tensors: what a photographer might have done otherwise, and no more than that."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from tamis.train.settings import Augment


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far pictures may be changed, as the largest change either way.

    `zoom`, `shift` are shares of the picture, `turn` is in radians, `light`, `contrast`, `saturation` are factors
    around 1.
    """

    zoom: float = 0.0
    shift: float = 0.0
    turn: float = 0.0
    light: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    flip: bool = False

    @classmethod
    def of(cls, level: Augment, *, flip: bool, colour: bool) -> Augmentation:
        """Return what a level stands for. Without `colour` only the brightness changes, mildly."""
        if level == "none":
            return cls(flip=flip)
        strength = 1.0 if level == "light" else 2.0
        return cls(
            zoom=0.12 * strength,
            shift=0.06 * strength,
            turn=0.05 * strength,
            light=(0.15 if colour else 0.08) * strength,
            contrast=0.15 * strength if colour else 0.0,
            saturation=0.2 * strength if colour else 0.0,
            flip=flip,
        )


def augment(images: torch.Tensor, change: Augmentation, generator: torch.Generator) -> torch.Tensor:
    """Return changed pictures, float (n, 3, H, W) from 0 to 1; each one is changed on its own.

    Random numbers come from `generator` (on the CPU), so that a resumed training draws the same.
    """
    count = len(images)

    def spread(limit: float) -> torch.Tensor:
        drawn = (torch.rand(count, generator=generator) * 2 - 1) * limit
        return drawn.to(images.device)

    flips = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0).to(images.device)
    zoom, turn, right, down = (
        1 + spread(change.zoom), spread(change.turn), spread(2 * change.shift), spread(2 * change.shift),
    )  # fmt: skip
    light, contrast, saturation = 1 + spread(change.light), 1 + spread(change.contrast), 1 + spread(change.saturation)
    if change.zoom or change.shift or change.turn:
        images = _moved(
            images, flips if change.flip else torch.ones_like(flips), zoom, turn, torch.stack([right, down])
        )
    elif change.flip:
        images = torch.where(flips.view(-1, 1, 1, 1) < 0, images.flip(3), images)
    if change.contrast:
        images = _towards(images.mean((1, 2, 3), keepdim=True), images, contrast)
    if change.saturation:
        images = _towards(images.mean(1, keepdim=True), images, saturation)
    if change.light:
        images = images * light.view(-1, 1, 1, 1)
    return images.clamp(0, 1)


def _moved(
    images: torch.Tensor, flips: torch.Tensor, zoom: torch.Tensor, turn: torch.Tensor, shift: torch.Tensor
) -> torch.Tensor:
    cosine, sine = torch.cos(turn) * zoom, torch.sin(turn) * zoom
    rows = [cosine * flips, -sine, shift[0], sine * flips, cosine, shift[1]]
    affine = torch.stack(rows, dim=1).view(-1, 2, 3)
    grid = functional.affine_grid(affine, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _towards(reference: torch.Tensor, images: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    return reference + (images - reference) * factor.view(-1, 1, 1, 1)
