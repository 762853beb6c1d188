"""What an exported detector says of itself, inside the ONNX file and in the files beside it."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tamis.errors import UserError

_DEFAULT_SIDE = 640
_DEFAULT_STRIDE = 32
#: Files of the transformers library, which its exporters leave beside the model; the later one prevails.
BESIDE = ("preprocessor_config.json", "config.json")
#: A file of another purpose may be of any size; those of transformers are small.
_LARGEST = 4_000_000


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is told of a model.

    `names` are its classes, None if it doesn't say; `frame_wh` the frame for which it was exported, where its sizes
    are open; `stride` the step, in pixels, of which sides of such frames are multiples; `config` what the files of
    transformers beside it say.
    """

    names: tuple[str, ...] | None
    frame_wh: tuple[int, int]
    stride: int
    task: str
    config: Mapping[str, Any]


def read_metadata(metadata: Mapping[str, str], path: Path) -> ModelFacts:
    """Return the facts from the model's metadata and from the files beside it.

    Raises:
        UserError: the class names cannot be read.
    """
    config = _config_beside(path)
    return ModelFacts(
        names=names_of(metadata, path) or names_of_config(config),
        frame_wh=_frame_of(metadata),
        stride=_stride_of(metadata),
        task=metadata.get("task", "detect"),
        config=config,
    )


def _frame_of(metadata: Mapping[str, str]) -> tuple[int, int]:
    try:
        height, width = json.loads(metadata["imgsz"])
        return (int(width), int(height))
    except (KeyError, ValueError, TypeError):
        return (_DEFAULT_SIDE, _DEFAULT_SIDE)


def _stride_of(metadata: Mapping[str, str]) -> int:
    try:
        return max(int(float(metadata["stride"])), _DEFAULT_STRIDE)
    except (KeyError, ValueError):
        return _DEFAULT_STRIDE


def names_of(metadata: Mapping[str, str], path: Path) -> tuple[str, ...] | None:
    """Class names that the metadata give, as a list or as a table by number."""
    text = metadata.get("names")
    if not text:
        return None
    try:
        value = ast.literal_eval(text)
        if isinstance(value, dict):
            return tuple(str(value[index]) for index in range(len(value)))
        if isinstance(value, list | tuple):
            return tuple(str(name) for name in value)
    except (ValueError, SyntaxError, KeyError) as error:
        raise UserError(f"model {path}: its class names cannot be read: {' '.join(text.split())[:80]}") from error
    return None


def _config_beside(path: Path) -> dict[str, Any]:
    """The settings of transformers beside the file, or in the folder above an `onnx/`, as its exporters lay them."""
    found: dict[str, Any] = {}
    folder = path.parent.parent if path.parent.name == "onnx" else path.parent
    for name in BESIDE:
        file = folder / name
        try:
            if file.is_file() and file.stat().st_size <= _LARGEST:
                value = json.loads(file.read_text(encoding="utf-8"))
                found |= value if isinstance(value, dict) else {}
        except (OSError, ValueError):
            continue  # a file of that name that is none of transformers' says nothing
    return found


def names_of_config(config: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Class names that the `config.json` of a model of transformers gives."""
    table = config.get("id2label")
    if "model_type" not in config or not isinstance(table, dict) or not table:
        return None
    try:
        return tuple(str(table[str(index)]) for index in range(len(table)))
    except KeyError:
        return None
