"""Detectors as ONNX files: YOLO and DETR exports of any layout that `tamis.models.layouts` knows."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tamis.errors import UserError
from tamis.models.coco import coco_names
from tamis.models.layouts import LAYOUTS, MASK_CHANNELS, Candidates, Layout, Signature
from tamis.models.protocols import SCORE_FLOOR, Detections, ImageRGB, MaskArray
from tamis.models.sessions import PictureInput, open_session, picture_input, run
from tamis.records import digest
from tamis.vision.boxes import Placement, clip, iou, suppress
from tamis.vision.card import file_sha256
from tamis.vision.masks import from_prototypes

#: Part of the digest: raise it whenever the same weights yield other boxes.
_VERSION = 1
_DEFAULT_SIDE = 640
_BATCH = 8
#: Ground of the letterbox with which YOLO networks are trained.
_PAD = (114, 114, 114)
_ORIGINAL_SIZE = "orig_target_sizes"
_TASKS = ("detect", "segment")


@dataclass(frozen=True, slots=True)
class DetectorOptions:
    """How boxes are chosen from a network's answer.

    Boxes above `min_score` are returned, at most `max_objects` a picture; of boxes of one class that overlap by more
    than `max_iou` the best stays, where the network leaves that to its user.
    """

    min_score: float = SCORE_FLOOR
    max_iou: float = 0.7
    max_objects: int = 300


DEFAULT_OPTIONS = DetectorOptions()


class OnnxDetector:
    """A detector run by ONNX Runtime; one object a process, not shared between threads.

    Raises:
        UserError: the file is missing, is no detector, or has a layout that tamis doesn't know.
    """

    def __init__(
        self,
        path: Path,
        options: DetectorOptions = DEFAULT_OPTIONS,
        threads: int | None = None,
        names: tuple[str, ...] | None = None,
    ) -> None:
        self.path = path
        self.options = options
        self._session = open_session(path, threads)
        self._input: PictureInput = picture_input(self._session, path)
        self._output_names = [entry.name for entry in self._session.get_outputs()]
        metadata = dict(self._session.get_modelmeta().custom_metadata_map)
        self._frame_wh = self._input.size_wh or _frame_of(metadata)
        self._has_size_input = any(entry.name == _ORIGINAL_SIZE for entry in self._session.get_inputs())
        signature = self._signature(metadata)
        names = names or _names_of(metadata, path)
        self._layout = _layout_of(signature, names, path)
        self._classes = _class_names(self._layout, names, path)
        #: Whether the network has a segmentation head.
        self.makes_masks = signature.coefficients == MASK_CHANNELS and self._layout.fit == "letterbox"

    @property
    def layout(self) -> str:
        """Name of the layout that was recognised."""
        return self._layout.title

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by class id."""
        return self._classes

    @cached_property
    def digest(self) -> str:
        """Key of the weights, the options and this adapter."""
        chosen = self.options
        return digest("onnx", _VERSION, file_sha256(self.path), chosen.min_score, chosen.max_iou, chosen.max_objects)

    def detect(self, images_rgb: Sequence[ImageRGB], *, with_masks: bool = False) -> list[Detections]:
        """Return what is in each picture.

        Raises:
            UserError: masks are asked of a model that makes none.
        """
        if with_masks and not self.makes_masks:
            raise UserError(f"model {self.path} makes no masks; use a YOLO segmentation model, or GrabCut")
        size = self._input.batch or _BATCH
        found: list[Detections] = []
        for start in range(0, len(images_rgb), size):
            chunk = images_rgb[start : start + size]
            outputs, placements = self._infer(chunk)
            for row, placement in enumerate(placements):
                candidates, boxes = self._select(outputs, row, placement)
                masks = None
                if with_masks:
                    chosen = zip(candidates.coefficients, boxes, strict=True)
                    masks = tuple(_mask(outputs, row, weights, box, placement) for weights, box in chosen)
                found.append(self._detections(candidates, boxes, masks))
        return found

    def segment(self, image_rgb: ImageRGB, boxes_xyxy: NDArray[np.float32]) -> list[MaskArray | None]:
        """Return for each box the mask of the detection that overlaps it best, None where none does by half.

        Raises:
            UserError: the model makes no masks.
        """
        if not self.makes_masks:
            raise UserError(f"model {self.path} makes no masks; use a YOLO segmentation model, or GrabCut")
        outputs, (placement,) = self._infer([image_rgb])
        candidates, found = self._select(outputs, 0, placement)
        masks: list[MaskArray | None] = []
        for overlap in iou(boxes_xyxy, found):
            best = int(overlap.argmax()) if overlap.size else 0
            if not overlap.size or overlap[best] < 0.5:
                masks.append(None)
            else:
                masks.append(_mask(outputs, 0, candidates.coefficients[best], found[best], placement))
        return masks

    def _signature(self, metadata: Mapping[str, str]) -> Signature:
        """Run the network once on noise: exports with open sizes show the shapes of their outputs only so."""
        noise = np.random.default_rng(0).integers(0, 256, (*self._frame_wh[::-1], 3), np.uint8)
        buffer = np.zeros((self._input.batch or 1, 3, *self._frame_wh[::-1]), self._input.dtype)
        _fill(buffer[0], noise, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        inputs = tuple(entry.name for entry in self._session.get_inputs())
        return Signature(self._frame_wh, inputs, self._run(buffer), metadata)

    def _infer(self, images_rgb: Sequence[ImageRGB]) -> tuple[dict[str, NDArray[Any]], list[Placement]]:
        count = self._input.batch or len(images_rgb)
        buffer = np.zeros((count, 3, *self._frame_wh[::-1]), self._input.dtype)
        placements = []
        for row, image in enumerate(images_rgb):
            size_wh = (image.shape[1], image.shape[0])
            place = Placement.letterboxed if self._layout.fit == "letterbox" else Placement.stretched
            placement = place(size_wh, self._frame_wh)
            _fill(buffer[row], _framed(image, placement), self._layout.mean, self._layout.std)
            placements.append(placement)
        return self._run(buffer), placements

    def _run(self, buffer: NDArray[Any]) -> dict[str, NDArray[Any]]:
        feeds: dict[str, NDArray[Any]] = {self._input.name: buffer}
        if self._has_size_input:
            feeds[_ORIGINAL_SIZE] = np.tile(np.asarray(self._frame_wh, np.int64), (len(buffer), 1))
        return dict(zip(self._output_names, run(self._session, feeds, self.path), strict=True))

    def _select(
        self, outputs: Mapping[str, NDArray[Any]], row: int, placement: Placement
    ) -> tuple[Candidates, NDArray[np.float32]]:
        """The chosen candidates of one picture, best first, and their boxes in its pixels."""
        found = self._layout.decode(outputs, row, self.options.min_score)
        if self._layout.overlapping:
            order = suppress(found.boxes_xyxy, found.scores, found.class_ids, self.options.max_iou)
        else:
            order = np.argsort(-found.scores, kind="stable")
        boxes = placement.to_picture(found.boxes_xyxy[order])
        visible = ((boxes[:, 2] - boxes[:, 0]) > 0) & ((boxes[:, 3] - boxes[:, 1]) > 0)
        order, boxes = order[visible][: self.options.max_objects], boxes[visible][: self.options.max_objects]
        chosen = Candidates(boxes, found.scores[order], found.class_ids[order], found.coefficients[order])
        return chosen, boxes

    def _detections(
        self, found: Candidates, boxes_xyxy: NDArray[np.float32], masks: tuple[MaskArray, ...] | None
    ) -> Detections:
        names = tuple(self._name(int(index)) for index in found.class_ids)
        return Detections(boxes_xyxy, np.minimum(found.scores, 1), found.class_ids, names, masks)

    def _name(self, index: int) -> str:
        return self._classes[index] if 0 <= index < len(self._classes) else f"class {index}"


def _layout_of(signature: Signature, names: tuple[str, ...] | None, path: Path) -> Layout:
    """The first layout that recognises the outputs and has as many classes as there are names, if one has."""
    task = signature.metadata.get("task", "detect")
    if task not in _TASKS:
        raise UserError(f"model {path} is made for the task {task}, not for {' or '.join(_TASKS)}")
    found = [layout for kind in LAYOUTS if (layout := kind.recognise(signature)) is not None]
    fitting = [layout for layout in found if names is None or layout.class_count in (None, len(names))]
    if found:
        return (fitting or found)[0]
    shapes = ", ".join(f"{name} {'x'.join(map(str, value.shape))}" for name, value in signature.outputs.items())
    known = ", ".join(kind.title for kind in LAYOUTS)
    raise UserError(f"model {path} has outputs ({shapes}) of no layout that tamis reads: {known}")


def _class_names(layout: Layout, names: tuple[str, ...] | None, path: Path) -> tuple[str, ...]:
    count = layout.class_count
    if names is None:
        names = coco_names(count or 80) or tuple(f"class {index}" for index in range(count or 0))
    elif count is not None and count != len(names):
        raise UserError(f"model {path} has {count} classes in its output ({layout.title}) but {len(names)} names")
    return names


def _framed(image_rgb: ImageRGB, placement: Placement) -> ImageRGB:
    """The picture in the frame, resized as the networks' trainers resize (bilinear, not averaged)."""
    inner: NDArray[np.uint8] = image_rgb
    if placement.inner_wh != placement.size_wh:
        inner = np.asarray(cv2.resize(image_rgb, placement.inner_wh, interpolation=cv2.INTER_LINEAR), np.uint8)
    width, height = placement.frame_wh
    right, bottom = width - placement.inner_wh[0] - placement.left, height - placement.inner_wh[1] - placement.top
    if not (placement.left or placement.top or right or bottom):
        return inner
    return np.asarray(
        cv2.copyMakeBorder(inner, placement.top, bottom, placement.left, right, cv2.BORDER_CONSTANT, value=_PAD)
    )


def _fill(
    target: NDArray[Any], framed_rgb: ImageRGB, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> None:
    """Write a frame, uint8 (H, W, 3), as (3, H, W) between 0 and 1, less the mean, over the deviation."""
    for channel, plane in enumerate(cv2.split(framed_rgb)):
        np.multiply(plane, np.float32(1 / 255 / std[channel]), out=target[channel], casting="unsafe")
        if mean[channel]:
            target[channel] -= np.float32(mean[channel] / std[channel])


def _mask(
    outputs: Mapping[str, NDArray[Any]],
    row: int,
    coefficients: NDArray[np.float32],
    box_xyxy: NDArray[np.float32],
    placement: Placement,
) -> MaskArray:
    prototypes = next(value for value in outputs.values() if value.ndim == 4 and value.shape[1] == MASK_CHANNELS)
    x0, y0, x1, y1 = (float(value) for value in clip(box_xyxy[None], placement.size_wh)[0])
    return from_prototypes(prototypes[row].astype(np.float32), coefficients, (x0, y0, x1, y1), placement)


def _frame_of(metadata: Mapping[str, str]) -> tuple[int, int]:
    """Width and height that an export with open sizes was made for."""
    try:
        height, width = json.loads(metadata["imgsz"])
        return (int(width), int(height))
    except (KeyError, ValueError, TypeError):
        return (_DEFAULT_SIDE, _DEFAULT_SIDE)


def _names_of(metadata: Mapping[str, str], path: Path) -> tuple[str, ...] | None:
    """Class names that the metadata give, as a list or as a table by number."""
    text = metadata.get("names")
    if not text:
        return None
    try:
        value = ast.literal_eval(text)
        if isinstance(value, dict):
            return tuple(str(value[index]) for index in range(len(value)))
        if isinstance(value, list | tuple):
            return tuple(str(name) for name in value)
    except (ValueError, SyntaxError, KeyError) as error:
        raise UserError(f"model {path}: its class names cannot be read: {' '.join(text.split())[:80]}") from error
    return None
