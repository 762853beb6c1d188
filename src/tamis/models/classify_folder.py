"""`tamis predict FOLDER`: what a model says of the pictures of a plain folder, outside any project."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from tamis.models.folder import FolderPicture, Progress, read_pictures
from tamis.models.registry import ClassifierOptions, open_classifier
from tamis.vision.picturefiles import picture_files

_BATCH = 16
_PLAIN = ClassifierOptions("class")


def classify_folder(
    model: Path, folder: Path, options: ClassifierOptions = _PLAIN, *, progress: Progress | None = None
) -> dict[str, Any]:
    """Return the labels of a folder's pictures, each seen whole, from the model alone.

    Args:
        model: what training wrote, a folder with `model.json` and `model.onnx`; or a `-cls` model (.onnx, .pt).
        folder: searched with all folders below it.
        options: what a `-cls` model does not say of itself.
        progress: called after each batch.

    Returns:
        `model`, its name; `pictures`, a list of `file` and `labels`: attribute to `value`, `confidence` and
        `probabilities` by class; `unreadable`, a list of `file` and `reason`.

    Raises:
        UserError: no such folder, or no model that can be opened; see `open_classifier`.
    """
    files = picture_files(folder)
    classifier = open_classifier(model, options)
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
    return {"model": model.name, "pictures": pictures, "unreadable": unreadable}


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
