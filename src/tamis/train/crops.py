"""The fitted crops of a snapshot in one file of raw bytes, so that each image is decoded once and not once an epoch.

The file grows by whole rows and takes its final name when it is complete: a killed training goes on where it was.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from tamis.dataset.manifest import Sample, Snapshot
from tamis.errors import TamisError, UserError
from tamis.vision.decode import decode_rgb
from tamis.vision.preprocess import Preprocessing

#: Called with a share from 0 to 1 and one line of text.
Progress = Callable[[float, str], None]

#: Samples written at once.
_BLOCK = 64
_FOLDER = ".cache"


def load_crop(snapshot: Snapshot, sample: Sample) -> NDArray[np.uint8]:
    """Return the sample's crop as RGB, uint8 (h, w, 3).

    Raises:
        UserError: the store lacks the image, or it cannot be decoded; the line names both.
    """
    try:
        image_rgb = decode_rgb(snapshot.blobs.get(sample.sha256))
    except TamisError as error:
        raise UserError(f"snapshot {snapshot.name}, sample {sample.id}: {error}") from error
    left, top, right, bottom = sample.crop_xyxy
    crop_rgb = image_rgb[top:bottom, left:right]
    if 0 in crop_rgb.shape:
        raise UserError(f"snapshot {snapshot.name}, sample {sample.id}: its crop lies outside the image")
    return crop_rgb


def fitted_crops(
    snapshot: Snapshot, preprocessing: Preprocessing, folder: Path, progress: Progress
) -> NDArray[np.uint8]:
    """Return all crops of the snapshot as the network sees them, uint8 (samples, H, W, 3), mapped from a file.

    The file lies in the snapshot's folder, where the next training finds it; where that may not be written to, in
    `folder`.

    Raises:
        UserError: an image is missing or broken, or the disk is full.
    """
    width, height = preprocessing.size_wh
    shape = (len(snapshot.samples), height, width, 3)
    path = _cache_path(snapshot, preprocessing, folder)
    if not path.exists():
        try:
            _write_rows(snapshot, preprocessing, path, progress)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror or error}; free some space or permit it") from error
    if path.stat().st_size != int(np.prod(shape)):
        raise UserError(f"{path} has the wrong size; delete it and train again")
    return np.memmap(path, np.uint8, "r", shape=shape)


def _cache_path(snapshot: Snapshot, preprocessing: Preprocessing, folder: Path) -> Path:
    key = sha256(f"{snapshot.digest} {preprocessing.digest}".encode()).hexdigest()[:32]
    parent = snapshot.folder if os.access(snapshot.folder, os.W_OK) else folder
    return parent / _FOLDER / f"crops-{key}.u8"


def _write_rows(snapshot: Snapshot, preprocessing: Preprocessing, path: Path, progress: Progress) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    width, height = preprocessing.size_wh
    row_bytes = width * height * 3
    total = len(snapshot.samples)
    with unfinished.open("ab") as handle:
        first = handle.tell() // row_bytes
        handle.truncate(first * row_bytes)
        for start in range(first, total, _BLOCK):
            block = snapshot.samples[start : start + _BLOCK]
            _append(handle, [preprocessing.fit_image(load_crop(snapshot, sample)) for sample in block])
            progress(min(total, start + _BLOCK) / total, f"read {min(total, start + _BLOCK)} of {total} samples")
        handle.flush()
        os.fsync(handle.fileno())
    unfinished.replace(path)


def _append(handle: IO[bytes], crops: list[NDArray[np.uint8]]) -> None:
    for crop in crops:
        handle.write(np.ascontiguousarray(crop).tobytes())
    handle.flush()
