"""Batches of cached crops: rows of one array, read by the training process itself, in an order that can be repeated."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from tamis.vision.preprocess import Preprocessing

#: Fitted crops, uint8 (n, H, W, 3), and class indices, int64 (n, attributes).
Batch = tuple[torch.Tensor, torch.Tensor]


def batches(
    crops: NDArray[np.uint8],
    indices: NDArray[np.int64],
    rows: NDArray[np.int64],
    batch_size: int,
    shuffle_seed: int | None,
) -> DataLoader[Batch]:
    """Return a loader over the rows; without a seed they come in their order. Reading rows needs no workers."""
    sampler = _BatchRows(rows, batch_size, shuffle_seed)
    return DataLoader(_Crops(crops, indices), sampler=sampler, batch_size=None, num_workers=0)


def pixels(crops: torch.Tensor | NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    """Return float32 (n, 3, H, W) from 0 to 1, channels last, of fitted crops uint8 (n, H, W, 3)."""
    images = crops if isinstance(crops, torch.Tensor) else torch.from_numpy(np.array(crops))
    return images.to(device).permute(0, 3, 1, 2).float().div_(255)


def standardised(images: torch.Tensor, preprocessing: Preprocessing) -> torch.Tensor:
    """Return pixels from 0 to 1, float32 (n, 3, H, W), less the mean and over the standard deviation."""
    mean = torch.tensor(preprocessing.mean, device=images.device).view(1, 3, 1, 1)
    std = torch.tensor(preprocessing.std, device=images.device).view(1, 3, 1, 1)
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)


class _Crops(Dataset[Batch]):
    """Whole batches of cached crops and their class indices, by lists of rows."""

    def __init__(self, crops: NDArray[np.uint8], indices: NDArray[np.int64]) -> None:
        self.crops, self.indices = crops, indices

    def __getitem__(self, rows: Any) -> Batch:
        return torch.from_numpy(self.crops[rows]), torch.from_numpy(self.indices[rows])


class _BatchRows(Sampler[NDArray[np.int64]]):
    """Batches of almost equal size over the rows, shuffled anew and reproducibly for each epoch."""

    def __init__(self, rows: NDArray[np.int64], batch_size: int, seed: int | None) -> None:
        self.rows, self.count, self.seed, self.epoch = rows, ceil(len(rows) / batch_size), seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        rows = self.rows
        if self.seed is not None:
            rows = np.random.default_rng((self.seed, self.epoch)).permutation(rows)
        return iter(np.array_split(rows, self.count))
