"""The files of a trained network: safetensors, and ONNX checked against torch before anyone relies on it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import nn

from tamis.errors import UserError
from tamis.labels import Attribute
from tamis.train.batches import pixels, standardised
from tamis.train.evaluation import INPUT, ONNX, onnx_logits
from tamis.train.model import MultiTaskModel
from tamis.vision.preprocess import Preprocessing

WEIGHTS = "weights.safetensors"

#: Largest difference of a logit between torch and ONNX Runtime, as a share of the largest logit.
TOLERANCE = 1e-4


def feature_network(
    model: MultiTaskModel, preprocessing: Preprocessing
) -> Callable[[NDArray[np.uint8]], NDArray[np.float16]]:
    """Return a function from fitted crops, (n, H, W, 3), to their features as they are and mirrored, (n, 2, width).

    On a processor ONNX Runtime computes them, in less than half the time that torch takes.
    """
    model.eval()
    device = next(model.parameters()).device
    if device.type == "cuda":

        def by_torch(crops: NDArray[np.uint8]) -> NDArray[np.float16]:
            with torch.inference_mode():
                images = standardised(pixels(crops, device), preprocessing)
                both = [model.features(images), model.features(images.flip(3))]
                features: NDArray[np.float16] = torch.stack(both, dim=1).half().cpu().numpy()
            return features

        return by_torch
    import onnxruntime  # noqa: PLC0415 - loaded where a model is run

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    with TemporaryDirectory() as folder:
        path = Path(folder) / ONNX
        _trace(_Features(model), preprocessing.size_wh, path, ["features"])
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def by_onnx(crops: NDArray[np.uint8]) -> NDArray[np.float16]:
        images = preprocessing.normalise(crops)
        views = (images, np.ascontiguousarray(images[..., ::-1]))
        return np.stack([session.run(None, {INPUT: view})[0].astype(np.float16) for view in views], axis=1)

    return by_onnx


class _Features(nn.Module):
    """The pooled features of a network, without its heads."""

    def __init__(self, model: MultiTaskModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.model.features(images)


def check_names(attributes: tuple[Attribute, ...]) -> None:
    """Raise UserError where an attribute cannot name an output of the network."""
    if any(attribute.name == INPUT for attribute in attributes):
        raise UserError(f"an attribute named {INPUT!r} cannot be trained: the network's input has that name")


def write_weights(model: MultiTaskModel, path: Path) -> None:
    """Write all tensors of the model."""
    path.write_bytes(save({name: value.contiguous() for name, value in model.state_dict().items()}))


def write_onnx(
    model: MultiTaskModel, attributes: tuple[Attribute, ...], preprocessing: Preprocessing, path: Path
) -> None:
    """Write the network: input `images`, float32 (n, 3, H, W); one output of logits an attribute, named like it."""
    check_names(attributes)
    _trace(model.cpu(), preprocessing.size_wh, path, [attribute.name for attribute in attributes])


def _trace(network: nn.Module, size_wh: tuple[int, int], target: Path, names: list[str]) -> None:
    """Write a network with the input `images` and those outputs, for batches of any number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of shapes that are constant here, and of its successor
        torch.onnx.export(
            network.eval(),
            (torch.zeros(2, 3, size_wh[1], size_wh[0]),),
            str(target),
            input_names=[INPUT],
            output_names=names,
            dynamic_axes={name: {0: "n"} for name in (INPUT, *names)},
            dynamo=False,  # tracing takes a second, capturing the graph through torch.export fifteen
        )


def check_onnx(
    model: MultiTaskModel,
    attributes: tuple[Attribute, ...],
    preprocessing: Preprocessing,
    path: Path,
    crops: NDArray[np.uint8],
) -> float:
    """Return the largest difference between the logits of torch and ONNX Runtime on fitted crops, (n, H, W, 3).

    Raises:
        RuntimeError: it is beyond `TOLERANCE`, so that the export cannot be trusted.
    """
    rows = np.arange(len(crops))
    exported = onnx_logits(path, preprocessing, crops, rows)
    single = onnx_logits(path, preprocessing, crops, rows[:1])
    with torch.inference_mode():
        expected = model.cpu().eval()(torch.from_numpy(preprocessing.normalise(np.asarray(crops))))
    worst = 0.0
    for attribute, logits in zip(attributes, expected, strict=True):
        wanted = logits.numpy()
        scale = max(1.0, float(np.abs(wanted).max()))
        for values in (exported[attribute.name], single[attribute.name]):
            worst = max(worst, float(np.abs(values - wanted[: len(values)]).max()) / scale)
    if worst > TOLERANCE:
        raise RuntimeError(f"{ONNX} differs from the trained network by {worst:.2g} of the largest logit")
    return worst
