"""The files of a trained network: safetensors, and ONNX checked against torch before anyone relies on it."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save

from tamis.errors import UserError
from tamis.labels import Attribute
from tamis.train.evaluation import INPUT, ONNX, onnx_logits
from tamis.train.model import MultiTaskModel
from tamis.vision.preprocess import Preprocessing

WEIGHTS = "weights.safetensors"

#: Largest difference of a logit between torch and ONNX Runtime, as a share of the largest logit.
TOLERANCE = 1e-4


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
    width, height = preprocessing.size_wh
    names = [attribute.name for attribute in attributes]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of shapes that are constant here, and of its successor
        torch.onnx.export(
            model.cpu().eval(),
            (torch.zeros(2, 3, height, width),),
            str(path),
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
