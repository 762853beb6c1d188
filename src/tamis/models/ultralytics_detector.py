"""Detectors as ultralytics `.pt` files, run by ultralytics itself (extra `yolo`), kept off the network."""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamis.errors import UserError
from tamis.models.onnx_detector import DEFAULT_OPTIONS, DetectorOptions
from tamis.models.protocols import Detections, ImageRGB, MaskArray
from tamis.records import digest
from tamis.vision.boxes import clip, iou
from tamis.vision.card import file_sha256

#: Part of the digest: raise it whenever the same weights yield other boxes.
_VERSION = 1
_TASKS = ("detect", "segment")
#: Pictures at once on an accelerator; a processor is fastest with one at a time.
_BATCH = 8
#: What loading a file that is no such checkpoint raises: anything, since a pickle may hold anything.
_LOADING_FAILURES = Exception


class UltralyticsDetector:
    """A YOLO or RT-DETR checkpoint; one object a process, not shared between threads.

    Raises:
        UserError: the file is missing, not trusted or no detector, or ultralytics is not installed.
    """

    def __init__(
        self,
        path: Path,
        options: DetectorOptions = DEFAULT_OPTIONS,
        *,
        threads: int | None = None,
        trusted: bool = False,
    ) -> None:
        if not path.is_file():
            raise UserError(f"model file {path} not found; put the weights there or correct the path")
        if not trusted:
            raise UserError(
                f"model {path} is a pickle, which can run code when it is loaded: give --trust-pickle, or set "
                "detect.trust_pickle = true, if you trust where it comes from; or export it to ONNX"
            )
        self.path = path
        self.options = options
        self._model = load_checkpoint(path, threads)
        if self._model.task not in _TASKS:
            raise UserError(f"model {path} is made for the task {self._model.task}, not for {' or '.join(_TASKS)}")

    @property
    def makes_masks(self) -> bool:
        """Whether the network has a segmentation head."""
        return bool(self._model.task == "segment")

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by class id."""
        return tuple(str(self._model.names[index]) for index in range(len(self._model.names)))

    @property
    def batch(self) -> int:
        """How many pictures at once make the best of the machine."""
        return 1 if self._model.device.type == "cpu" else _BATCH

    @cached_property
    def digest(self) -> str:
        """Key of the weights, the options and this adapter."""
        chosen = self.options
        return digest(
            "ultralytics", _VERSION, file_sha256(self.path), chosen.min_score, chosen.max_iou, chosen.max_objects
        )

    def detect(self, images_rgb: Sequence[ImageRGB], *, with_masks: bool = False) -> list[Detections]:
        """Return what is in each picture.

        Raises:
            UserError: masks are asked of a model that makes none.
        """
        if with_masks and not self.makes_masks:
            raise UserError(f"model {self.path} makes no masks; use a YOLO segmentation model, or GrabCut")
        # The frame of a batch depends on whether its pictures are of one size; by sizes, each gets its own frame.
        by_size: dict[tuple[int, ...], list[int]] = {}
        for index, image in enumerate(images_rgb):
            by_size.setdefault(image.shape, []).append(index)
        found: dict[int, Detections] = {}
        for indices in by_size.values():
            results = self._predict([images_rgb[index] for index in indices], with_masks)
            found |= dict(zip(indices, results, strict=True))
        return [found[index] for index in range(len(images_rgb))]

    def segment(self, image_rgb: ImageRGB, boxes_xyxy: NDArray[np.float32]) -> list[MaskArray | None]:
        """Return for each box the mask of the detection that overlaps it best, None where none does by half.

        Raises:
            UserError: the model makes no masks.
        """
        (found,) = self.detect([image_rgb], with_masks=True)
        masks = found.masks or ()
        overlaps = iou(boxes_xyxy, found.boxes_xyxy)
        best = [int(row.argmax()) if row.size and row.max() >= 0.5 else None for row in overlaps]
        return [None if index is None else masks[index] for index in best]

    def _predict(self, images_rgb: list[ImageRGB], with_masks: bool) -> list[Detections]:
        results = self._model.predict(
            [np.ascontiguousarray(image[..., ::-1]) for image in images_rgb],
            conf=self.options.min_score,
            iou=self.options.max_iou,
            max_det=self.options.max_objects,
            retina_masks=with_masks,
            verbose=False,
        )
        return [self._detections(result, image, with_masks) for result, image in zip(results, images_rgb, strict=True)]

    def _detections(self, result: Any, image_rgb: ImageRGB, with_masks: bool) -> Detections:
        height, width = image_rgb.shape[:2]
        table = np.asarray(result.boxes.data.cpu().numpy(), np.float32)
        order = np.argsort(-table[:, 4], kind="stable")
        boxes = clip(table[:, :4], (width, height))
        order = order[((boxes[order, 2:] - boxes[order, :2]) > 0).all(axis=1)]
        class_ids = table[order, 5].astype(np.int64)
        masks = None
        if with_masks:
            stack = np.zeros((0, height, width)) if result.masks is None else result.masks.data.cpu().numpy()
            masks = tuple(stack[index].astype(bool) for index in order)
        names = tuple(self.classes[index] for index in class_ids)
        return Detections(boxes[order], table[order, 4], class_ids, names, masks)


def load_checkpoint(path: Path, threads: int | None) -> Any:
    """Return ultralytics' model of a `.pt` file, kept off the network and run once.

    Raises:
        UserError: ultralytics is missing, or cannot load the file.
    """
    if importlib.util.find_spec("ultralytics") is None:
        raise UserError(f"model {path} needs ultralytics: pip install 'tamis[yolo]', or export the model to ONNX")
    os.environ |= {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false"}
    os.environ.setdefault("YOLO_CONFIG_DIR", _settings_folder().name)
    # Its log goes for good to what standard output is while it is imported, and there a command may print JSON.
    with redirect_stdout(sys.stderr):
        import torch  # noqa: PLC0415 - heavy
        from ultralytics.models import YOLO  # noqa: PLC0415 - heavy

        if threads:
            torch.set_num_threads(threads)
        try:
            model = YOLO(str(path))
            model.predict(np.zeros((64, 64, 3), np.uint8), imgsz=64, verbose=False)
        except _LOADING_FAILURES as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{path} cannot be loaded as an ultralytics model: {reason}") from error
    return model


@cache
def _settings_folder() -> tempfile.TemporaryDirectory[str]:
    """Where ultralytics keeps its settings: out of the user's home, gone with the process."""
    return tempfile.TemporaryDirectory(prefix="tamis-ultralytics-")
