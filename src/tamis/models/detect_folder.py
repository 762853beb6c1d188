"""`tamis detect FOLDER`: what a detector finds in the pictures of a plain folder, outside any project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tamis.errors import UserError
from tamis.models.folder import FolderPicture, Progress, picture_files, read_pictures
from tamis.models.onnx_detector import DetectorOptions
from tamis.models.protocols import Detections
from tamis.models.registry import open_detector
from tamis.vision.boxes import expand
from tamis.vision.render import Rendering, render_crop


def detect_folder(
    folder: Path,
    *,
    model: str,
    classes: str = "",
    min_score: float = 0.25,
    save_crops: Path | None = None,
    trust_pickle: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Return the objects in a folder's pictures.

    Args:
        folder: searched with all folders below it.
        model: an .onnx or .pt file, or `package:NAME`.
        classes: names separated by commas; empty takes all.
        min_score: objects below it are left out.
        save_crops: folder that gets a JPEG of each object, named after the picture and the object's number in it.
        trust_pickle: whether a .pt file, which can run code, may be loaded.
        progress: called after each picture.

    Returns:
        `regions`, a list of `file`, `box` (pixels of the upright picture), `class` and `score`, best first in each
        picture; `none`, the pictures that show nothing wanted; `unreadable`, a list of `file` and `reason`.

    Raises:
        UserError: no such folder or model, a class that the model doesn't know, or crops that cannot be written.
    """
    files = picture_files(folder)
    detector = open_detector(model, Path(), DetectorOptions(min_score=min_score), trusted=trust_pickle)
    wanted = _wanted(classes, detector.classes, model)
    regions: list[dict[str, Any]] = []
    none: list[str] = []
    unreadable: list[dict[str, str]] = []
    for done, picture in enumerate(read_pictures(folder, files), start=1):
        if picture.image_rgb is None:
            unreadable.append({"file": picture.file, "reason": picture.reason})
        else:
            found = _rows(picture.file, detector.detect([picture.image_rgb])[0], wanted)
            regions += found
            if not found:
                none.append(picture.file)
            if save_crops is not None:
                _save(picture, found, save_crops)
        if progress is not None:
            progress(done, len(files), f"{len(regions)} objects")
    return {"regions": regions, "none": none, "unreadable": unreadable}


def _wanted(classes: str, known: tuple[str, ...], model: str) -> frozenset[str]:
    wanted = frozenset(name.strip() for name in classes.split(",") if name.strip())
    if unknown := sorted(wanted - set(known)):
        raise UserError(f"model {model} knows no {', '.join(unknown)}; it knows {', '.join(known)}")
    return wanted or frozenset(known)


def _rows(file: str, found: Detections, wanted: frozenset[str]) -> list[dict[str, Any]]:
    return [
        {
            "file": file,
            "box": [round(float(value), 2) for value in box],
            "class": name,
            "score": round(float(score), 4),
        }
        for box, name, score in zip(found.boxes_xyxy, found.class_names, found.scores, strict=True)
        if name in wanted
    ]


def _save(picture: FolderPicture, rows: list[dict[str, Any]], target: Path) -> None:
    assert picture.image_rgb is not None
    height, width = picture.image_rgb.shape[:2]
    for number, row in enumerate(rows, start=1):
        x0, y0, x1, y1 = row["box"]
        rendering = Rendering()
        crop = render_crop(picture.data, expand((x0, y0, x1, y1), (width, height)), rendering)
        # The picture's own suffix stays in the name, so that a.jpg and a.png get crops of different names.
        path = target / f"{picture.file}-{number}{rendering.suffix}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(crop)
        except OSError as error:
            raise UserError(f"cannot write the crop {path}: {error.strerror}") from error
