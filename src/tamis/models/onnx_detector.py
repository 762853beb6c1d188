"""Detectors as ONNX files: YOLO and DETR exports of any layout that `tamis.models.layouts` knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamis.errors import UserError
from tamis.models.frames import Frames
from tamis.models.layout import Candidates, Signature
from tamis.models.layouts import class_names, layout_of
from tamis.models.onnx_metadata import read_metadata
from tamis.models.protocols import SCORE_FLOOR, Detections, ImageRGB, MaskArray
from tamis.models.sessions import PictureInput, open_session, picture_input, run
from tamis.records import digest
from tamis.vision.boxes import Placement, iou, suppress
from tamis.vision.card import file_sha256
from tamis.vision.masks import from_prototypes

#: Part of the digest: raise it whenever the same weights yield other boxes.
_VERSION = 2
#: Pictures at once on an accelerator; a core is fastest with one at a time.
_BATCH = 8
_ORIGINAL_SIZE = "orig_target_sizes"
#: Of the detections of a picture, the one that a prompting box means overlaps it by this much.
_PROMPT_IOU = 0.5


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
    """A detector run by ONNX Runtime; several threads may share one object.

    A YOLO export with open sizes sees each picture in the smallest frame that holds it, as ultralytics shows it: fewer
    pixels than a square for the same boxes.

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
        facts = read_metadata(self._session.get_modelmeta().custom_metadata_map, path)
        names = names or facts.names
        self._frame_wh = self._input.size_wh or facts.frame_wh
        self._inputs = tuple(entry.name for entry in self._session.get_inputs())
        signature = Signature(self._frame_wh, self._inputs, self._answers_to_noise(), names, facts.config)
        self._layout = layout_of(signature, facts.task, path)
        self._classes = class_names(self._layout, names, path)
        is_open = self._input.size_wh is None and self._layout.fit == "letterbox"
        self._stride = facts.stride if is_open else None
        self._frames = Frames(self._layout, self._input.dtype, self._input.batch)
        #: Whether the network has a segmentation head.
        self.makes_masks = bool(self._layout.prototypes)

    @property
    def layout(self) -> str:
        """Name of the layout that was recognised."""
        return self._layout.title

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by class id."""
        return self._classes

    @property
    def on_accelerator(self) -> bool:
        """Whether the network runs elsewhere than on the processor's cores."""
        return bool(self._session.get_providers()[0] != "CPUExecutionProvider")

    @property
    def batch(self) -> int:
        """How many pictures at once make the best of the machine."""
        return self._input.batch or (_BATCH if self.on_accelerator else 1)

    @cached_property
    def digest(self) -> str:
        """Key of the weights, the options and this adapter."""
        chosen = self.options
        resized = () if self._layout.rounded else ("floats",)
        return digest(
            "onnx", _VERSION, *resized, file_sha256(self.path), chosen.min_score, chosen.max_iou, chosen.max_objects
        )

    def detect(self, images_rgb: Sequence[ImageRGB], *, with_masks: bool = False) -> list[Detections]:
        """Return what is in each picture.

        Raises:
            UserError: masks are asked of a model that makes none.
        """
        if with_masks:
            self._demand_masks()
        placements = [self._placement((image.shape[1], image.shape[0])) for image in images_rgb]
        by_frame: dict[tuple[int, int], list[int]] = {}
        for index, placement in enumerate(placements):
            by_frame.setdefault(placement.frame_wh, []).append(index)
        found: dict[int, Detections] = {}
        for indices in by_frame.values():
            for start in range(0, len(indices), self.batch):
                chunk = indices[start : start + self.batch]
                chosen = [placements[index] for index in chunk]
                outputs = self._run(self._frames.fill([images_rgb[index] for index in chunk], chosen))
                for row, (index, placement) in enumerate(zip(chunk, chosen, strict=True)):
                    found[index] = self._detections(outputs, row, placement, with_masks=with_masks)
        return [found[index] for index in range(len(images_rgb))]

    def segment(self, image_rgb: ImageRGB, boxes_xyxy: NDArray[np.float32]) -> list[MaskArray | None]:
        """Return for each box the mask of the detection that overlaps it best, None where none does by half.

        Raises:
            UserError: the model makes no masks.
        """
        self._demand_masks()
        placement = self._placement((image_rgb.shape[1], image_rgb.shape[0]))
        outputs = self._run(self._frames.fill([image_rgb], [placement]))
        found = self._select(outputs, 0, placement)
        overlaps = iou(boxes_xyxy, found.boxes_xyxy)
        best = [int(row.argmax()) if row.size and row.max() >= _PROMPT_IOU else None for row in overlaps]
        return [None if index is None else self._mask(outputs, 0, found, index, placement) for index in best]

    def _demand_masks(self) -> None:
        if not self.makes_masks:
            raise UserError(f"model {self.path} makes no masks; use a segmentation model, or GrabCut")

    def _placement(self, size_wh: tuple[int, int]) -> Placement:
        if self._layout.fit == "stretch":
            return Placement.stretched(size_wh, self._frame_wh)
        if self._stride is not None:
            return Placement.boxed(size_wh, self._frame_wh, self._stride)
        return Placement.letterboxed(size_wh, self._frame_wh)

    def _answers_to_noise(self) -> dict[str, NDArray[Any]]:
        """Run the network once on noise: exports with open sizes show the shapes of their outputs only so."""
        shape = (3, *self._frame_wh[::-1])
        buffer = np.zeros((self._input.batch or 1, *shape), self._input.dtype)
        buffer[0] = np.random.default_rng(0).integers(0, 256, shape) / 255
        return self._run(buffer)

    def _run(self, buffer: NDArray[Any]) -> dict[str, NDArray[Any]]:
        feeds: dict[str, NDArray[Any]] = {self._input.name: buffer}
        if _ORIGINAL_SIZE in self._inputs:
            feeds[_ORIGINAL_SIZE] = np.tile(np.asarray(self._frame_wh, np.int64), (len(buffer), 1))
        return dict(zip(self._output_names, run(self._session, feeds, self.path), strict=True))

    def _select(self, outputs: Mapping[str, NDArray[Any]], row: int, placement: Placement) -> Candidates:
        """The chosen candidates of one picture, best first, their boxes in its pixels."""
        found = self._layout.decode(outputs, row, self.options.min_score)
        if self._layout.overlapping:
            order = suppress(found.boxes_xyxy, found.scores, found.class_ids, self.options.max_iou)
        else:
            order = np.argsort(-found.scores, kind="stable")
        boxes = placement.to_picture(found.boxes_xyxy[order])
        visible = ((boxes[:, 2] - boxes[:, 0]) > 0) & ((boxes[:, 3] - boxes[:, 1]) > 0)
        order, boxes = order[visible][: self.options.max_objects], boxes[visible][: self.options.max_objects]
        return Candidates(boxes, found.scores[order], found.class_ids[order], found.coefficients[order])

    def _detections(
        self, outputs: Mapping[str, NDArray[Any]], row: int, placement: Placement, *, with_masks: bool
    ) -> Detections:
        found = self._select(outputs, row, placement)
        names = tuple(self._name(int(index)) for index in found.class_ids)
        masks = None
        if with_masks:
            masks = tuple(self._mask(outputs, row, found, index, placement) for index in range(len(names)))
        return Detections(found.boxes_xyxy, np.minimum(found.scores, 1), found.class_ids, names, masks)

    def _mask(
        self, outputs: Mapping[str, NDArray[Any]], row: int, found: Candidates, index: int, placement: Placement
    ) -> MaskArray:
        prototypes = outputs[self._layout.prototypes][row].astype(np.float32)
        x0, y0, x1, y1 = (float(value) for value in found.boxes_xyxy[index])
        return from_prototypes(prototypes, found.coefficients[index], (x0, y0, x1, y1), placement)

    def _name(self, index: int) -> str:
        return self._classes[index] if 0 <= index < len(self._classes) else f"class {index}"
