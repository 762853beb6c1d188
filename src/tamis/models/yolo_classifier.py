"""Classifiers that ultralytics trained (`-cls` models, ONNX or `.pt`), in the place of a model folder.

Their training cuts the middle square out of every picture, and so does ultralytics' prediction: of a car seen from the
side both ends are lost. `fit` "trained" does the same, to the same probabilities; "letterbox" and "stretch" show the
whole region, which a model that never saw borders or other shapes may answer worse.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tamis.errors import UserError
from tamis.models.classifier import softmax
from tamis.models.onnx_metadata import names_of
from tamis.models.protocols import ImageRGB
from tamis.models.sessions import open_session, picture_input, run
from tamis.models.ultralytics_detector import load_checkpoint
from tamis.records import digest
from tamis.vision.card import AttributeHead, file_sha256
from tamis.vision.preprocess import Preprocessing

ClassifierFit = Literal["trained", "letterbox", "stretch"]

#: Part of the digest: raise it whenever the same weights yield other probabilities.
_VERSION = 1
_PLAIN: dict[str, Any] = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "interpolation": "bilinear"}


class YoloClassifier:
    """A `-cls` model, which answers one attribute in its own classes; one object a process.

    Raises:
        UserError: the file is missing, not trusted or no such classifier, or ultralytics is not installed.
    """

    def __init__(
        self,
        path: Path,
        attribute: str,
        *,
        fit: ClassifierFit = "trained",
        threads: int | None = None,
        trusted: bool = False,
    ) -> None:
        if not path.is_file():
            raise UserError(f"model file {path} not found; put the weights there or correct the path")
        if not attribute:
            raise UserError(
                f"model {path} does not say what it classifies: name the attribute with --attribute or in "
                "classify.attribute"
            )
        self.path, self.attribute, self.fit = path, attribute, fit
        self._network: _Onnx | _Checkpoint
        self._network = _Onnx(path, threads) if path.suffix.lower() == ".onnx" else _Checkpoint(path, threads, trusted)

    @property
    def attributes(self) -> Mapping[str, AttributeHead]:
        """The attribute and its classes."""
        return {self.attribute: AttributeHead("choice", self._network.classes)}

    @property
    def digest(self) -> str:
        """Key of the weights, the fit and this adapter."""
        return yolo_digest(self.path, self.fit)

    def predict(self, images_rgb: Sequence[ImageRGB]) -> dict[str, NDArray[np.float32]]:
        """Return the probabilities of the attribute as the model gives them, float32 (n, classes)."""
        rows = [np.zeros((0, len(self._network.classes)), np.float32)]
        rows += [self._network.answer(self._fitted(image)) for image in images_rgb]
        return {self.attribute: np.concatenate(rows)}

    def _fitted(self, image_rgb: ImageRGB) -> ImageRGB:
        if self.fit == "trained":
            return centre_square(image_rgb, self._network.side)
        return Preprocessing(self._network.side, self.fit, **_PLAIN).fit_image(image_rgb)


def yolo_digest(path: Path, fit: ClassifierFit) -> str:
    """Return the key of a classifier without opening it.

    Raises:
        UserError: there is no such file.
    """
    try:
        return digest("yolo-cls", _VERSION, file_sha256(path), fit)
    except OSError as error:
        raise UserError(f"model file {path} cannot be read: {error.strerror}") from error


def centre_square(image_rgb: ImageRGB, side: int) -> ImageRGB:
    """Return the middle square of the picture whose shorter side is brought to `side`, as torchvision's transforms do.

    That is `Resize` with antialiased bilinear interpolation, which keeps a half pixel less of the longer side, and
    `CenterCrop`.
    """
    height, width = image_rgb.shape[:2]
    shorter = min(width, height)
    size = (int(side * width / shorter), int(side * height / shorter))
    resized = Image.fromarray(image_rgb).resize(size, Image.Resampling.BILINEAR)
    left, top = round((size[0] - side) / 2), round((size[1] - side) / 2)
    return np.asarray(resized.crop((left, top, left + side, top + side)), np.uint8)


class _Onnx:
    """An export: pixels from 0 to 1 in, probabilities out."""

    def __init__(self, path: Path, threads: int | None) -> None:
        self._path = path
        self._session = open_session(path, threads)
        self._input = picture_input(self._session, path)
        metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        outputs = [entry.shape for entry in self._session.get_outputs()]
        if metadata.get("task", "classify") != "classify" or len(outputs) != 1 or len(outputs[0]) != 2:
            raise UserError(f"model {path} is no classifier: it needs one output, batch x classes; export a -cls model")
        self.side = self._side(metadata)
        (shares,) = self._run(np.zeros((self.side, self.side, 3), np.uint8))
        self.classes = names_of(metadata, path) or tuple(f"class {index}" for index in range(len(shares)))
        if len(self.classes) != len(shares):
            raise UserError(f"model {path} names {len(self.classes)} classes and answers {len(shares)}")

    def _side(self, metadata: Mapping[str, str]) -> int:
        width, height = self._input.size_wh or _stated_size(metadata.get("imgsz", ""))
        if width != height:
            raise UserError(f"model {self._path} takes {width}x{height} pixels; export it with a square imgsz")
        return width

    def answer(self, fitted_rgb: ImageRGB) -> NDArray[np.float32]:
        """Return float32 (1, classes)."""
        shares = self._run(fitted_rgb)
        # An export ends with a softmax; one cut before it gives logits.
        if shares.min() < 0 or not np.allclose(shares.sum(axis=1), 1, atol=1e-2):
            shares = softmax(shares)
        return shares

    def _run(self, fitted_rgb: ImageRGB) -> NDArray[np.float32]:
        inputs = np.moveaxis(fitted_rgb, -1, 0)[None].astype(np.float32) / np.float32(255)
        inputs = np.repeat(inputs, self._input.batch or 1, axis=0).astype(self._input.dtype)
        return np.asarray(run(self._session, {self._input.name: inputs}, self._path)[0][:1], np.float32)


class _Checkpoint:
    """A `.pt` file, run by ultralytics itself."""

    def __init__(self, path: Path, threads: int | None, trusted: bool) -> None:
        if not trusted:
            raise UserError(
                f"model {path} is a pickle, which can run code when it is loaded: give --trust-pickle, or set "
                "classify.trust_pickle = true, if you trust where it comes from; or export it to ONNX"
            )
        self._model = load_checkpoint(path, threads)
        if self._model.task != "classify":
            raise UserError(f"model {path} is made for the task {self._model.task}, not to classify")
        self.classes = tuple(str(self._model.names[index]) for index in range(len(self._model.names)))
        size = self._model.overrides.get("imgsz") or 224
        self.side = int(size if isinstance(size, int) else size[0])

    def answer(self, fitted_rgb: ImageRGB) -> NDArray[np.float32]:
        """Return float32 (1, classes)."""
        picture = np.ascontiguousarray(fitted_rgb[..., ::-1])
        (result,) = self._model.predict(picture, imgsz=self.side, verbose=False)
        return np.asarray(result.probs.data.cpu().numpy(), np.float32)[None]


def _stated_size(text: str) -> tuple[int, int]:
    """The width and height in an export's metadata, `[height, width]`; 224 where it says nothing."""
    try:
        value = ast.literal_eval(text)
        height, width = (value, value) if isinstance(value, int) else value
        return int(width), int(height)
    except (SyntaxError, ValueError, TypeError):
        return 224, 224
