"""`tamis detect FOLDER`: what a detector finds in the pictures of a plain folder, outside any project."""

from __future__ import annotations

import os
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

from tamis.blobs import write_whole
from tamis.errors import UserError
from tamis.models.choice import Choice, chosen
from tamis.models.files import OWN_MASKS
from tamis.models.folder import FolderPicture, Progress, map_pictures, read_pictures
from tamis.models.look import unknown_classes
from tamis.models.onnx_detector import DetectorOptions, OnnxDetector
from tamis.models.protocols import Detections, Detector, Segmenter
from tamis.models.registry import open_detector_for_cores, open_segmenter, segmenter_of
from tamis.vision.boxes import expand
from tamis.vision.grabcut import GrabCutSegmenter
from tamis.vision.picturefiles import picture_files
from tamis.vision.render import Rendering, render_part


@dataclass(frozen=True, slots=True)
class Crops:
    """Where the crops of the objects go, and how they are cut.

    `margin` is a share of the box's longer side, `aspect` is width over height that a crop grows to where the picture
    allows (None keeps the box's own). A file that is there already and is the same crop is left, so that a run that was
    stopped goes on; any other is replaced only if `overwrite`. With a `segmenter` (`own` for the detector's masks, or
    GrabCut's where it makes none; else as `tamis.models.registry.open_segmenter` takes it) the objects are cut out of
    their ground: PNG files with transparency, or JPEGs on a ground of colour `ground_rgb`; an object that no mask is
    found for keeps its ground.
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
    written: int = 0
    present: int = 0


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
        With `crops`, `crops`: how many were `written`, and how many `present` already.

    Raises:
        UserError: no such folder or model, a class that the model doesn't know, or crops that cannot be written or
            whose folder and the searched one lie within each other.
    """
    if crops is not None:
        _check_apart(folder, crops.folder)
    files = picture_files(folder)
    options = DetectorOptions(min_score=min_score)
    detector, threads = open_detector_for_cores(model, Path(), options, trusted=trust_pickle, pictures=len(files))
    wanted = choice or Choice()
    if unknown := unknown_classes(model, sorted(wanted.classes), detector.classes):
        raise UserError(unknown)
    report: dict[str, Any] = {"regions": [], "none": []}
    if crops is not None:
        report["crops"] = {"written": 0, "present": 0}
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
    cutter = _open_cutter(crops.segmenter, detector, trusted) if crops and crops.segmenter else None
    # Not every network may be shared by threads.
    turns = nullcontext() if isinstance(cutter, GrabCutSegmenter | OnnxDetector | NoneType) else Lock()

    def tell(picture: FolderPicture, found: Detections) -> _Seen:
        assert picture.image_rgb is not None
        size_wh = (picture.image_rgb.shape[1], picture.image_rgb.shape[0])
        indices, objects = chosen(found, size_wh, choice)
        rows = [_row(picture.file, found, index) for index in indices]
        written = 0
        if crops is not None:
            boxes = found.boxes_xyxy[indices]
            with turns:
                masks = cutter.segment(picture.image_rgb, boxes) if cutter and rows else [None] * len(rows)
            for number, (row, mask) in enumerate(zip(rows, masks, strict=True), start=1):
                written += _save(picture, row["box"], number, crops, mask if mask is not None and mask.any() else None)
        return _Seen(picture.file, rows, objects, written=written, present=len(rows) - written)

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


def _open_cutter(segmenter: str, detector: Detector, trusted: bool) -> Segmenter:
    if segmenter != OWN_MASKS:
        return open_segmenter(segmenter, Path(), threads=1, trusted=trusted)
    return segmenter_of(detector) or GrabCutSegmenter()


def _add(report: dict[str, Any], seen: _Seen, max_objects: int) -> None:
    if seen.reason:
        report.setdefault("unreadable", []).append({"file": seen.file, "reason": seen.reason})
        return
    report["regions"] += seen.rows
    if "crops" in report:
        report["crops"]["written"] += seen.written
        report["crops"]["present"] += seen.present
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


def _check_apart(folder: Path, crops: Path) -> None:
    """Raise UserError where crops could come to lie among the pictures, which the next run would take for more."""
    searched, target = folder.resolve(), crops.resolve()
    if searched.is_relative_to(target) or target.is_relative_to(searched):
        raise UserError(f"{crops} and {folder} lie within each other: name a folder outside for the crops")


def _save(
    picture: FolderPicture, box: Sequence[float], number: int, crops: Crops, mask: NDArray[np.bool_] | None
) -> bool:
    """Write a crop, whole or not at all; returns False where the same one is there already."""
    image = picture.image_rgb
    assert image is not None
    raw = (box[0], box[1], box[2], box[3])
    crop = expand(raw, (image.shape[1], image.shape[0]), crops.margin, crops.aspect)
    # The picture's own suffix stays in the name, so that a.jpg and a.png get crops of different names.
    path = crops.folder / f"{picture.file}-{number}{crops.rendering.suffix}"
    data = render_part(image, crop, crops.rendering, mask=mask)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.parent.resolve().is_relative_to(crops.folder.resolve()):
            raise UserError(f"cannot write the crop {path}: a link leads out of {crops.folder}")
        if os.path.lexists(path) and not crops.overwrite:
            if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
                return False
            raise UserError(
                f"crop {path} is there already, with other content: name another folder, or say --overwrite"
            )
        write_whole(path, data)
    except OSError as error:
        raise UserError(f"cannot write the crop {path}: {error.strerror}") from error
    return True
