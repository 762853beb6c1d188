"""Detectors and segmenters as folders of the transformers library (extra `transformers`), kept off the network.

A folder holds `config.json`, `preprocessor_config.json` and the weights as safetensors. What it is follows from the
architecture that its configuration names: object detection, instance segmentation, or masks by box prompt (SAM).
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamis.errors import UserError
from tamis.models.onnx_detector import DEFAULT_OPTIONS, DetectorOptions
from tamis.models.onnx_metadata import names_of_config
from tamis.models.protocols import Detections, ImageRGB, MaskArray
from tamis.records import digest
from tamis.vision.boxes import clip, iou
from tamis.vision.card import file_sha256

#: Part of the digest: raise it whenever the same weights yield other boxes or masks.
_VERSION = 1
#: Pictures at once on an accelerator; a processor is fastest with one at a time.
_BATCH = 8
#: An instance whose box overlaps a prompting box by this much is the object that it means.
_PROMPT_IOU = 0.5
#: Instances are kept from this score on; the prompting box decides among them.
_INSTANCE_SCORE = 0.3
_CONFIG = "config.json"
#: What loading a folder that holds no such model raises.
_LOADING_FAILURES = (AttributeError, ImportError, KeyError, OSError, RuntimeError, TypeError, ValueError)


def is_model_folder(path: Path) -> bool:
    """Whether a folder holds a model of transformers."""
    return (path / _CONFIG).is_file()


def model_files(folder: Path) -> list[Path]:
    """Return the files on which a model's answers depend, sorted."""
    weights = [*folder.glob("*.safetensors"), *folder.glob("*.bin")]
    return sorted([*weights, *(path for path in folder.glob("*.json") if path.is_file())])


def look_at_folder(folder: Path, *, trusted: bool) -> tuple[str, ...] | None:
    """Return the classes that a model's configuration names, None where it names none; nothing is loaded.

    Raises:
        UserError: the folder is incomplete, a pickle that is not trusted, or transformers is not installed.
    """
    _architecture(folder)
    _check(folder, trusted=trusted)
    return names_of_config(json.loads((folder / _CONFIG).read_text(encoding="utf-8")))


class TransformersDetector:
    """A network for object detection; one object a process, not shared between threads.

    Raises:
        UserError: the folder is incomplete, holds a pickle that is not trusted or no detector, or transformers is not
            installed.
    """

    #: Whether the network has a segmentation head.
    makes_masks = False

    def __init__(
        self,
        folder: Path,
        options: DetectorOptions = DEFAULT_OPTIONS,
        *,
        threads: int | None = None,
        trusted: bool = False,
    ) -> None:
        self.folder, self.options = folder, options
        if _kind(folder) != "detector":
            raise UserError(f"model {folder} is made for {_architecture(folder)}, not for object detection")
        self._model, self._processor = _load(folder, "AutoModelForObjectDetection", threads, trusted=trusted)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by class id."""
        names = self._model.config.id2label
        return tuple(str(names[index]) for index in sorted(names))

    @cached_property
    def digest(self) -> str:
        """Key of the weights, the options and this adapter."""
        return _digest(self.folder, self.options.min_score, self.options.max_objects)

    @property
    def batch(self) -> int:
        """How many pictures at once make the best of the machine."""
        return 1 if self._model.device.type == "cpu" else _BATCH

    def detect(self, images_rgb: Sequence[ImageRGB], *, with_masks: bool = False) -> list[Detections]:
        """Return what is in each picture.

        Raises:
            UserError: masks are asked for, which the network doesn't make.
        """
        if with_masks:
            raise UserError(f"model {self.folder} makes no masks; use a segmentation model, or GrabCut")
        found: list[Detections] = []
        for start in range(0, len(images_rgb), self.batch):
            found += self._detect_part(images_rgb[start : start + self.batch])
        return found

    def _detect_part(self, images_rgb: Sequence[ImageRGB]) -> list[Detections]:
        import torch  # noqa: PLC0415 - heavy

        inputs = self._processor(images=list(images_rgb), return_tensors="pt").to(self._model.device)
        with torch.inference_mode():
            answer = self._model(**inputs)
        sizes = [image.shape[:2] for image in images_rgb]
        rows = self._processor.post_process_object_detection(
            answer, threshold=self.options.min_score, target_sizes=torch.tensor(sizes, device=self._model.device)
        )
        return [self._detections(row, (size[1], size[0])) for row, size in zip(rows, sizes, strict=True)]

    def _detections(self, row: Any, size_wh: tuple[int, int]) -> Detections:
        scores = row["scores"].cpu().numpy().astype(np.float32)
        boxes = clip(row["boxes"].cpu().numpy().astype(np.float32).reshape(-1, 4), size_wh)
        order = np.argsort(-scores, kind="stable")
        order = order[(boxes[order, 2:] > boxes[order, :2]).all(axis=1)][: self.options.max_objects]
        class_ids = row["labels"].cpu().numpy().astype(np.int64)[order]
        return Detections(boxes[order], scores[order], class_ids, tuple(self.classes[index] for index in class_ids))


class TransformersSegmenter:
    """A network that outlines things: instances by its own choice, or the thing in a prompting box (SAM).

    Raises:
        UserError: as `TransformersDetector`, or the folder holds neither kind of segmenter.
    """

    def __init__(self, folder: Path, *, threads: int | None = None, trusted: bool = False) -> None:
        self.folder = folder
        self._kind = _kind(folder)
        if self._kind not in _SEGMENTERS:
            raise UserError(
                f"model {folder} makes no masks: it is made for {_architecture(folder)}; use one for instance "
                "segmentation, a SAM, or the method grabcut"
            )
        self._model, self._processor = _load(folder, _SEGMENTERS[self._kind], threads, trusted=trusted)

    @cached_property
    def digest(self) -> str:
        """Key of the weights and this adapter."""
        return _digest(self.folder)

    def segment(self, image_rgb: ImageRGB, boxes_xyxy: NDArray[np.float32]) -> list[MaskArray | None]:
        """Return a mask for each of the boxes, (n, 4); None where nothing was found."""
        if not len(boxes_xyxy):
            return []
        return self._prompted(image_rgb, boxes_xyxy) if self._kind == "prompt" else self._matched(image_rgb, boxes_xyxy)

    def _prompted(self, image_rgb: ImageRGB, boxes_xyxy: NDArray[np.float32]) -> list[MaskArray | None]:
        import torch  # noqa: PLC0415 - heavy

        prompt = [[[float(value) for value in box] for box in boxes_xyxy]]
        inputs = self._processor(images=image_rgb, input_boxes=prompt, return_tensors="pt").to(self._model.device)
        with torch.inference_mode():
            answer = self._model(**inputs, multimask_output=False)
        sizes = [inputs[name].cpu() for name in ("original_sizes", "reshaped_input_sizes") if name in inputs]
        (stack,) = self._processor.post_process_masks(answer.pred_masks.cpu(), *sizes)
        masks = np.asarray(stack.numpy() > 0).reshape(len(boxes_xyxy), *image_rgb.shape[:2])
        return [mask if mask.any() else None for mask in masks]

    def _matched(self, image_rgb: ImageRGB, boxes_xyxy: NDArray[np.float32]) -> list[MaskArray | None]:
        import torch  # noqa: PLC0415 - heavy

        inputs = self._processor(images=image_rgb, return_tensors="pt").to(self._model.device)
        with torch.inference_mode():
            answer = self._model(**inputs)
        (result,) = self._processor.post_process_instance_segmentation(
            answer, threshold=_INSTANCE_SCORE, target_sizes=[image_rgb.shape[:2]], return_binary_maps=True
        )
        stack = result["segmentation"]
        if stack is None or stack.ndim != 3:
            return [None] * len(boxes_xyxy)
        masks = [mask for mask in np.asarray(stack.cpu().numpy() > 0) if mask.any()]
        found = np.asarray([_box_of(mask) for mask in masks], np.float32).reshape(-1, 4)
        best = [int(row.argmax()) if row.size and row.max() >= _PROMPT_IOU else None for row in iou(boxes_xyxy, found)]
        return [None if index is None else masks[index] for index in best]


#: Kinds of segmenters, and the class of transformers that loads them.
_SEGMENTERS = {
    "instance": "AutoModelForInstanceSegmentation",
    "universal": "AutoModelForUniversalSegmentation",
    "prompt": "AutoModelForMaskGeneration",
}


def _kind(folder: Path) -> str:
    """What the architecture is for: detector, instance, universal, prompt, or other."""
    name = _architecture(folder)
    if name.endswith("ForObjectDetection"):
        return "detector"
    if name.endswith("ForInstanceSegmentation"):
        return "instance"
    if name.endswith("ForUniversalSegmentation"):
        return "universal"
    # A SAM for video keeps the prompts of earlier frames; those for pictures are plain models.
    return "prompt" if name in ("SamModel", "SamHQModel", "Sam2Model", "EdgeTamModel") else "other"


def _architecture(folder: Path) -> str:
    try:
        config = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
        return str(config["architectures"][0])
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise UserError(f"model {folder}: its {_CONFIG} names no architecture of transformers") from error


def _box_of(mask: MaskArray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def _digest(folder: Path, *options: float) -> str:
    return digest(
        "transformers", _VERSION, *(f"{path.name} {file_sha256(path)}" for path in model_files(folder)), *options
    )


def _check(folder: Path, *, trusted: bool) -> bool:
    """Whether the weights of a folder are safetensors; raises UserError where they cannot be loaded."""
    if importlib.util.find_spec("transformers") is None or importlib.util.find_spec("torch") is None:
        raise UserError(f"model {folder} needs transformers: pip install 'tamis[transformers]'")
    is_safe = any(folder.glob("*.safetensors"))
    if not is_safe and not any(folder.glob("*.bin")):
        raise UserError(f"model {folder} holds no weights: put model.safetensors there")
    if not is_safe and not trusted:
        raise UserError(
            f"the weights in {folder} are a pickle, which can run code when it is loaded: give --trust-pickle, or set "
            "trust_pickle = true, if you trust where they come from; or save the model as safetensors"
        )
    return is_safe


def _load(folder: Path, loader: str, threads: int | None, *, trusted: bool) -> tuple[Any, Any]:
    """The network, ready for inference, and what prepares its pictures."""
    is_safe = _check(folder, trusted=trusted)
    # Unless told otherwise by this variable, the library asks the hub also for what lies in the folder.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import safetensors  # noqa: PLC0415 - extra `transformers`
    import torch  # noqa: PLC0415 - heavy
    import transformers  # noqa: PLC0415 - heavy

    library: Any = transformers  # in part untyped
    library.utils.logging.set_verbosity_error()
    library.utils.logging.disable_progress_bar()
    if threads:
        torch.set_num_threads(threads)
    reader = library.AutoProcessor if loader == _SEGMENTERS["prompt"] else library.AutoImageProcessor
    try:
        processor = reader.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model = getattr(library, loader).from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_safetensors=is_safe
        )
    except (*_LOADING_FAILURES, safetensors.SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{folder} cannot be loaded as a model of transformers: {reason}") from error
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return model.eval().to(device), processor
