"""ONNX Runtime sessions: opened the same way for detectors, classifiers and embedders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamis.errors import UserError

_NUMPY_TYPES: dict[str, type[np.floating[Any]]] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


@dataclass(frozen=True, slots=True)
class PictureInput:
    """The input that takes pictures: batch x 3 x height x width. None stands for a size that the model leaves open."""

    name: str
    batch: int | None
    size_wh: tuple[int, int] | None
    dtype: type[np.floating[Any]]


def open_session(path: Path, threads: int | None = None) -> Any:
    """Return an ONNX Runtime session on CUDA where the runtime has it, else on the CPU.

    Args:
        path: the .onnx file.
        threads: threads inside an operator; None takes all cores, worker processes take 1.

    Raises:
        UserError: the file is missing or no ONNX model.
    """
    import onnxruntime as ort  # noqa: PLC0415 - heavy

    if not path.is_file():
        raise UserError(f"model file {path} not found; put the .onnx file there or correct the path")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Threads that spin while they wait for work take the cores from decoding.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    providers = [name for name in wanted if name in ort.get_available_providers()]
    try:
        return ort.InferenceSession(str(path), options, providers=providers)
    except _runtime_errors() as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} cannot be opened as an ONNX model: {reason}") from error


def run(session: Any, feeds: dict[str, NDArray[Any]], path: Path) -> list[NDArray[Any]]:
    """Run all outputs.

    Raises:
        UserError: the model refuses the input; the message names the file.
    """
    try:
        return list(session.run(None, feeds))
    except _runtime_errors() as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"model {path} fails on its input: {reason}") from error


def picture_input(session: Any, path: Path) -> PictureInput:
    """Return the model's picture input.

    Raises:
        UserError: no input takes pictures of three channels, or it wants whole numbers.
    """
    for entry in session.get_inputs():
        shape = list(entry.shape)
        if len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != 3):
            continue
        dtype = _NUMPY_TYPES.get(entry.type)
        if dtype is None:
            raise UserError(f"model {path}: input {entry.name} is a {entry.type}; export it with float inputs")
        fixed = [side if isinstance(side, int) and side > 0 else None for side in shape]
        size = (fixed[3], fixed[2]) if fixed[2] and fixed[3] else None
        return PictureInput(entry.name, fixed[0], size, dtype)
    raise UserError(f"model {path} takes no pictures: it has no input of shape batch x 3 x height x width")


def _runtime_errors() -> tuple[type[Exception], ...]:
    """The errors that ONNX Runtime raises: its own, which share no base class but Exception, and two of Python's."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state  # noqa: PLC0415 - heavy

    own = [kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    return (RuntimeError, ValueError, *own)
