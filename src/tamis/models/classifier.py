"""Models trained here, at work: a model folder answers attributes of pictures, with ONNX Runtime alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tamis.errors import UserError
from tamis.models.protocols import ImageRGB
from tamis.models.sessions import open_session, picture_input, run
from tamis.vision.card import CARD, AttributeHead, ModelCard

WEIGHTS = "model.onnx"
#: Pictures that go through the network at once. On a processor more bring no speed, and each takes its memory.
_BATCH = {"CPUExecutionProvider": 2}
_LARGE_BATCH = 32


class OnnxClassifier:
    """A model folder, opened. Its network has one input of pictures and one output of logits for each attribute."""

    def __init__(self, folder: Path, card: ModelCard, threads: int | None = None) -> None:
        path = card.verify(folder, WEIGHTS)
        self.folder = folder
        self.card = card
        self._path = path
        self._session = open_session(path, threads)
        self._input = picture_input(self._session, path)
        self._outputs = [entry.name for entry in self._session.get_outputs()]
        if missing := sorted(set(card.attributes) - set(self._outputs)):
            raise UserError(f"model {path} has no output {', '.join(missing)}, which {CARD} lists as an attribute")
        if self._input.size_wh not in (None, card.preprocessing.size_wh):
            raise UserError(f"model {path} takes {self._input.size_wh}, {CARD} says {card.preprocessing.size_wh}")

    @classmethod
    def open(cls, folder: Path, threads: int | None = None) -> OnnxClassifier:
        """Open a model folder that training wrote, and check that its files are those that its card lists.

        Args:
            folder: holds `model.json` and `model.onnx`.
            threads: threads inside the network; worker processes take 1, None takes all cores.

        Raises:
            UserError: the folder is none, or its files don't fit together.
        """
        return cls(folder, ModelCard.read(folder), threads)

    @property
    def attributes(self) -> Mapping[str, AttributeHead]:
        """What it answers, and in which classes."""
        return self.card.attributes

    @property
    def digest(self) -> str:
        """Key of the weights, the preprocessing and the calibration, 64 hexadecimal digits."""
        return self.card.digest

    def predict(self, images_rgb: Sequence[ImageRGB]) -> dict[str, NDArray[np.float32]]:
        """Return for each attribute the calibrated probabilities, float32 (n, classes), whose rows sum to one.

        Raises:
            UserError: the network's output has other classes than the card.
        """
        parts: dict[str, list[NDArray[np.float32]]] = {name: [] for name in self.attributes}
        size = _BATCH.get(self._session.get_providers()[0], _LARGE_BATCH)
        for start in range(0, len(images_rgb), size):
            logits = self.logits(self.card.preprocessing.batch(images_rgb[start : start + size]))
            for name, head in self.attributes.items():
                parts[name].append(softmax(logits[name], head.temperature))
        empty = {name: np.zeros((0, len(head.classes)), np.float32) for name, head in self.attributes.items()}
        return {name: np.concatenate([empty[name], *rows]) for name, rows in parts.items()}

    def logits(self, inputs: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Return the raw outputs, float32 (n, classes), of preprocessed pictures, float32 (n, 3, H, W)."""
        size = self._input.batch or max(len(inputs), 1)
        parts: dict[str, list[NDArray[np.float32]]] = {name: [] for name in self.attributes}
        for start in range(0, len(inputs), size):
            chunk = inputs[start : start + size]
            padding = np.zeros((size - len(chunk) if self._input.batch else 0, *chunk.shape[1:]), np.float32)
            feed = np.concatenate([chunk, padding]).astype(self._input.dtype)
            answers = dict(zip(self._outputs, run(self._session, {self._input.name: feed}, self._path), strict=True))
            for name, head in self.attributes.items():
                if answers[name].shape != (len(feed), len(head.classes)):
                    shape = "x".join(map(str, answers[name].shape))
                    raise UserError(
                        f"model {self._path}: output {name} is {shape}, {CARD} lists {len(head.classes)} classes"
                    )
                parts[name].append(answers[name][: len(chunk)].astype(np.float32))
        return {name: np.concatenate(rows) for name, rows in parts.items()}


def softmax(logits: NDArray[np.float32], temperature: float = 1.0) -> NDArray[np.float32]:
    """Return probabilities, float32 (n, classes), of logits divided by the temperature."""
    scaled = np.asarray(logits, np.float64) / temperature
    weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)
