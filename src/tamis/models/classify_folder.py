"""`tamis predict FOLDER`: what a model trained here says of the pictures of a plain folder, outside any project."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from tamis.models.classifier import OnnxClassifier
from tamis.models.folder import FolderPicture, Progress, picture_files, read_pictures

_BATCH = 16


def classify_folder(model_folder: Path, folder: Path, *, progress: Progress | None = None) -> dict[str, Any]:
    """Return the labels of a folder's pictures, each seen whole, from the model's folder alone.

    Args:
        model_folder: what training wrote: `model.json` and `model.onnx`.
        folder: searched with all folders below it.
        progress: called after each batch.

    Returns:
        `model`, its name; `pictures`, a list of `file` and `labels`: attribute to `value`, `confidence` and
        `probabilities` by class; `unreadable`, a list of `file` and `reason`.

    Raises:
        UserError: no such folder, or no model that fits its card.
    """
    files = picture_files(folder)
    classifier = OnnxClassifier.open(model_folder)
    pictures: list[dict[str, Any]] = []
    unreadable: list[dict[str, str]] = []
    for batch in _batches(read_pictures(folder, files)):
        shown = [(picture.file, picture.image_rgb) for picture in batch if picture.image_rgb is not None]
        unreadable += [
            {"file": picture.file, "reason": picture.reason} for picture in batch if picture.image_rgb is None
        ]
        answers = classifier.predict([image for _, image in shown])
        for row, (file, _) in enumerate(shown):
            labels = {
                name: _label(classifier.attributes[name].classes, [float(share) for share in rows[row]])
                for name, rows in answers.items()
            }
            pictures.append({"file": file, "labels": labels})
        if progress is not None:
            progress(len(pictures) + len(unreadable), len(files), "")
    return {"model": classifier.card.name, "pictures": pictures, "unreadable": unreadable}


def _batches(pictures: Iterator[FolderPicture]) -> Iterator[list[FolderPicture]]:
    while batch := list(islice(pictures, _BATCH)):
        yield batch


def _label(classes: tuple[str, ...], shares: list[float]) -> dict[str, Any]:
    best = max(range(len(classes)), key=shares.__getitem__)
    return {
        "value": classes[best],
        "confidence": round(shares[best], 4),
        "probabilities": {name: round(share, 4) for name, share in zip(classes, shares, strict=True)},
    }
