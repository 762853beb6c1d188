"""From the words in `detect.model`, `segment.model` and `classify.model` to what they name, opened."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from tamis.errors import UserError
from tamis.models.files import find_model, is_classifier_file
from tamis.models.onnx_detector import DEFAULT_OPTIONS, DetectorOptions, OnnxDetector
from tamis.models.protocols import Classifier, Detector, Segmenter

if TYPE_CHECKING:
    from tamis.models.ultralytics_detector import UltralyticsDetector


@dataclass(frozen=True, slots=True)
class ClassifierOptions:
    """What a `-cls` model does not say of itself; a model folder says all of it.

    `attribute` is what its classes are of, `fit` how it sees a picture (see `tamis.models.yolo_classifier`), `trusted`
    whether a .pt file, a pickle that can run code, may be loaded.
    """

    attribute: str = ""
    fit: Literal["trained", "letterbox", "stretch"] = "trained"
    trusted: bool = False


def open_detector(
    spec: str,
    folder: Path,
    options: DetectorOptions = DEFAULT_OPTIONS,
    *,
    threads: int | None = None,
    trusted: bool = False,
) -> Detector:
    """Open the detector that a setting names.

    Args:
        spec: as `find_model` takes it.
        folder: where a relative path starts.
        options: how boxes are chosen.
        threads: threads inside the network; worker processes take 1, None takes all cores.
        trusted: whether a .pt file, a pickle that can run code, may be loaded.

    Raises:
        UserError: the file or an optional library is missing, not trusted, or no detector that tamis knows.
    """
    return _open(find_model(spec, folder), options, threads, trusted)


def open_detector_for_cores(
    spec: str, folder: Path, options: DetectorOptions, *, trusted: bool = False, pictures: int = 0
) -> tuple[Detector, int]:
    """Open a detector for many pictures; return it and how many threads should call it at once.

    On the processor, a picture a core is a quarter faster than all cores on one picture; a network that runs elsewhere,
    or that threads may not share, is called from one.

    Raises:
        UserError: as `open_detector`.
    """
    cores = os.cpu_count() or 1
    path = find_model(spec, folder)
    if path.suffix.lower() == ".onnx" and 1 < cores <= pictures:
        detector = OnnxDetector(path, options, threads=1)
        if not detector.on_accelerator:
            return detector, cores
    return _open(path, options, None, trusted), 1


def open_segmenter(spec: str, folder: Path, *, threads: int | None = None, trusted: bool = False) -> Segmenter:
    """Open the segmenter that a setting names: `grabcut`, a detector that makes masks, or a segmenter of transformers.

    Raises:
        UserError: as `open_detector`, or the model makes no masks.
    """
    if spec == "grabcut":
        from tamis.vision.grabcut import GrabCutSegmenter  # noqa: PLC0415 - OpenCV

        return GrabCutSegmenter()
    path = find_model(spec, folder)
    if path.is_dir():
        from tamis.models.transformers_models import TransformersSegmenter  # noqa: PLC0415 - extra `transformers`

        return TransformersSegmenter(path, threads=threads, trusted=trusted)
    detector = _open_file(path, DEFAULT_OPTIONS, threads, trusted)
    if not detector.makes_masks:
        raise UserError(f"model {spec!r} makes no masks; use a YOLO segmentation model, or the method grabcut")
    return detector


def segmenter_of(detector: Detector) -> Segmenter | None:
    """Return a detector as the segmenter that it is, where it makes masks."""
    return cast(Segmenter, detector) if detector.makes_masks else None


def open_classifier(path: Path, options: ClassifierOptions, *, threads: int | None = None) -> Classifier:
    """Open a model folder that training wrote, or a `-cls` model of ultralytics (.onnx, .pt).

    Raises:
        UserError: there is no such model, its files do not fit together, it is no classifier, or it is not trusted.
    """
    if is_classifier_file(path):
        from tamis.models.yolo_classifier import YoloClassifier  # noqa: PLC0415 - Pillow

        return YoloClassifier(path, options.attribute, fit=options.fit, threads=threads, trusted=options.trusted)
    from tamis.models.classifier import OnnxClassifier  # noqa: PLC0415 - as above

    return OnnxClassifier.open(path, threads)


def _open(path: Path, options: DetectorOptions, threads: int | None, trusted: bool) -> Detector:
    if path.is_dir():
        from tamis.models.transformers_models import TransformersDetector  # noqa: PLC0415 - extra `transformers`

        return TransformersDetector(path, options, threads=threads, trusted=trusted)
    return _open_file(path, options, threads, trusted)


def _open_file(
    path: Path, options: DetectorOptions, threads: int | None, trusted: bool
) -> OnnxDetector | UltralyticsDetector:
    if path.suffix.lower() == ".onnx":
        return OnnxDetector(path, options, threads)
    from tamis.models.ultralytics_detector import UltralyticsDetector  # noqa: PLC0415 - extra `yolo`

    return UltralyticsDetector(path, options, threads=threads, trusted=trusted)
