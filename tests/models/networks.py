"""Small ONNX networks built on the spot, whose answers follow from the picture by known rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


def answer_network(
    path: Path,
    answers: Mapping[str, NDArray[Any]],
    *,
    frame: int | str = 64,
    batch: int | str = 1,
    metadata: Mapping[str, str] | None = None,
    inputs: Sequence[str] = ("images",),
    limit: float = 1,
) -> Path:
    """Write a network that gives `answers` (without the batch axis) for every picture, scaled by its brightness.

    A white picture gets the answers as they are, a black one gets zeros, so that a mix-up of rows shows. Answers of
    whole numbers are not scaled. Brightness is the largest input value, at most `limit`. `frame` and `batch` may be
    names, which leave the size open.
    """
    nodes, constants, outputs = [], [], []
    nodes.append(helper.make_node("ReduceMax", [inputs[0]], ["peak"], axes=[1, 2, 3], keepdims=0))
    for name, bound in (("low", 0), ("high", limit)):
        constants.append(numpy_helper.from_array(np.asarray(bound, np.float32), name))
    nodes.append(helper.make_node("Clip", ["peak", "low", "high"], ["brightest"]))
    for name, answer in answers.items():
        whole = np.issubdtype(answer.dtype, np.integer)
        constants.append(numpy_helper.from_array(answer[None], f"{name}_constant"))
        axes = np.arange(1, answer.ndim + 1, dtype=np.int64)
        constants.append(numpy_helper.from_array(axes, f"{name}_axes"))
        nodes.append(helper.make_node("Unsqueeze", ["brightest", f"{name}_axes"], [f"{name}_scale"]))
        scale = f"{name}_scale"
        if whole:
            nodes.append(helper.make_node("Equal", [scale, scale], [f"{name}_same"]))
            nodes.append(helper.make_node("Cast", [f"{name}_same"], [f"{name}_one"], to=TensorProto.INT64))
            scale = f"{name}_one"
        nodes.append(helper.make_node("Mul", [f"{name}_constant", scale], [name]))
        kind = TensorProto.INT64 if whole else TensorProto.FLOAT
        outputs.append(helper.make_tensor_value_info(name, kind, [batch, *answer.shape]))
    entries = [helper.make_tensor_value_info(inputs[0], TensorProto.FLOAT, [batch, 3, frame, frame])]
    entries += [helper.make_tensor_value_info(name, TensorProto.INT64, [batch, 2]) for name in inputs[1:]]
    graph = helper.make_graph(nodes, "answers", entries, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, dict(metadata or {}))
    onnx.save(model, str(path))
    return path


def white(width: int, height: int) -> NDArray[np.uint8]:
    """A picture that gets the answers as they are (a letterbox adds darker pixels only)."""
    return np.full((height, width, 3), 255, np.uint8)


def black(width: int, height: int) -> NDArray[np.uint8]:
    """A picture of the frame's aspect gets zeros; another one is lit by its letterbox."""
    return np.zeros((height, width, 3), np.uint8)
