"""`tamis detect FOLDER`: what a detector finds in the pictures of a plain folder, outside any project."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from threading import Lock
from types import NoneType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tamis.errors import UserError
from tamis.models.choice import Choice, chosen
from tamis.models.folder import FolderPicture, Progress, map_pictures, picture_files, read_pictures
from tamis.models.onnx_detector import DetectorOptions, OnnxDetector
from tamis.models.protocols import Detections, Detector
from tamis.models.registry import open_detector_for_cores, open_segmenter
from tamis.vision.boxes import expand
from tamis.vision.grabcut import GrabCutSegmenter
from tamis.vision.render import Rendering, render_part


@dataclass(frozen=True, slots=True)
class Crops:
    """Where the crops of the objects go, and how they are cut.

    `margin` is a share of the box's longer side, `aspect` is width over height that a crop grows to where the picture
    allows (None keeps the box's own). An existing file is overwritten only if `overwrite`. With a `segmenter` (as
    `tamis.models.registry.open_segmenter` takes it) the objects are cut out of their ground: PNG files with
    transparency, or JPEGs on a ground of colour `ground_rgb`; an object that no mask is found for keeps its ground.
    """

    folder: Path
    margin: float = 0.0
    aspect: float | None = None
    overwrite: bool = False
    segmenter: str = ""
    ground_rgb: tuple[int, int, int] | None = None

    @property
    def rendering(self) -> Rendering:
        """How a crop becomes a file."""
        is_transparent = bool(self.segmenter) and self.ground_rgb is None
        return Rendering(format="png" if is_transparent else "jpeg", background_rgb=self.ground_rgb)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What came of one picture."""

    file: str
    rows: Sequence[dict[str, Any]]
    objects: int
    reason: str = ""


def detect_folder(
    folder: Path,
    *,
    model: str,
    choice: Choice | None = None,
    min_score: float = 0.25,
    crops: Crops | None = None,
    trust_pickle: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Return the objects in a folder's pictures.

    Args:
        folder: searched with all folders below it.
        model: as `tamis.models.registry.find_model` takes it.
        choice: which objects are wanted; all unless told.
        min_score: objects below it are left out.
        crops: where a JPEG of each object goes, named after the picture and the object's number in it.
        trust_pickle: whether a pickle, which can run code, may be loaded.
        progress: called after each picture.

    Returns:
        `regions`, a list of `file`, `box` (pixels of the upright picture), `class` and `score`, best first in each
        picture; `none`, the pictures that show nothing wanted. Where there are any: `unreadable`, a list of `file` and
        `reason`; and `questionable` (nothing or too much found), of `file` and `reason`, if the choice asks for it.

    Raises:
        UserError: no such folder or model, a class that the model doesn't know, or crops that cannot be written.
    """
    files = picture_files(folder)
    options = DetectorOptions(min_score=min_score)
    detector, threads = open_detector_for_cores(model, Path(), options, trusted=trust_pickle, pictures=len(files))
    wanted = choice or Choice()
    if unknown := sorted(wanted.classes - set(detector.classes)):
        raise UserError(f"model {model} knows no {', '.join(unknown)}; it knows {', '.join(detector.classes)}")
    report: dict[str, Any] = {"regions": [], "none": []}
    for done, seen in enumerate(_look(folder, files, detector, threads, (wanted, crops, trust_pickle)), start=1):
        _add(report, seen, wanted.max_objects)
        if progress is not None:
            progress(done, len(files), f"{len(report['regions'])} objects")
    return report


def _look(
    folder: Path, files: Sequence[str], detector: Detector, threads: int, asked: tuple[Choice, Crops | None, bool]
) -> Iterator[_Seen]:
    """Look at the pictures in their order: on several threads, or decoding ahead of a network that uses all cores."""
    choice, crops, trusted = asked
    cutter = open_segmenter(crops.segmenter, Path(), threads=1, trusted=trusted) if crops and crops.segmenter else None
    # Not every network may be shared by threads.
    turns = nullcontext() if isinstance(cutter, GrabCutSegmenter | OnnxDetector | NoneType) else Lock()

    def tell(picture: FolderPicture, found: Detections) -> _Seen:
        assert picture.image_rgb is not None
        size_wh = (picture.image_rgb.shape[1], picture.image_rgb.shape[0])
        indices, objects = chosen(found, size_wh, choice)
        rows = [_row(picture.file, found, index) for index in indices]
        if crops is not None:
            boxes = found.boxes_xyxy[indices]
            with turns:
                masks = cutter.segment(picture.image_rgb, boxes) if cutter and rows else [None] * len(rows)
            for number, (row, mask) in enumerate(zip(rows, masks, strict=True), start=1):
                _save(picture, row["box"], number, crops, mask)
        return _Seen(picture.file, rows, objects)

    def work(pictures: Sequence[FolderPicture]) -> list[_Seen]:
        readable = [picture for picture in pictures if picture.image_rgb is not None]
        found = iter(detector.detect([picture.image_rgb for picture in readable if picture.image_rgb is not None]))
        return [
            _Seen(picture.file, (), 0, picture.reason) if picture.image_rgb is None else tell(picture, next(found))
            for picture in pictures
        ]

    if threads > 1:
        cv2.setNumThreads(1)  # one level of parallelism: a picture a core
        yield from map_pictures(folder, files, lambda picture: work([picture])[0], threads=threads)
        return
    pictures = read_pictures(folder, files)
    while batch := list(islice(pictures, detector.batch)):
        yield from work(batch)


def _add(report: dict[str, Any], seen: _Seen, max_objects: int) -> None:
    if seen.reason:
        report.setdefault("unreadable", []).append({"file": seen.file, "reason": seen.reason})
        return
    report["regions"] += seen.rows
    if not seen.rows:
        report["none"].append(seen.file)
    if max_objects and not 0 < seen.objects <= max_objects:
        reason = f"{seen.objects} objects found" if seen.objects else "no object found"
        report.setdefault("questionable", []).append({"file": seen.file, "reason": reason})


def _row(file: str, found: Detections, index: int) -> dict[str, Any]:
    return {
        "file": file,
        "box": [round(float(value), 2) for value in found.boxes_xyxy[index]],
        "class": found.class_names[index],
        "score": round(float(found.scores[index]), 4),
    }


def _save(
    picture: FolderPicture, box: Sequence[float], number: int, crops: Crops, mask: NDArray[np.bool_] | None
) -> None:
    image = picture.image_rgb
    assert image is not None
    raw = (box[0], box[1], box[2], box[3])
    crop = expand(raw, (image.shape[1], image.shape[0]), crops.margin, crops.aspect)
    # The picture's own suffix stays in the name, so that a.jpg and a.png get crops of different names.
    path = crops.folder / f"{picture.file}-{number}{crops.rendering.suffix}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.parent.resolve().is_relative_to(crops.folder.resolve()):
            raise UserError(f"cannot write the crop {path}: a link leads out of {crops.folder}")
        with path.open("wb" if crops.overwrite else "xb") as file:
            file.write(render_part(image, crop, crops.rendering, mask=mask))
    except FileExistsError as error:
        raise UserError(f"crop {path} is there already: name another folder, or say --overwrite") from error
    except OSError as error:
        raise UserError(f"cannot write the crop {path}: {error.strerror}") from error
