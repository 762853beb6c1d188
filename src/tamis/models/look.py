"""Models looked at before they are loaded: whether files are there, whole and trusted, and which classes they name."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Iterable, Sequence
from pathlib import Path

from tamis.errors import UserError
from tamis.models.checkpoint import checkpoint_names
from tamis.models.onnx_header import read_header
from tamis.models.onnx_metadata import read_metadata

#: So many names are listed beside what is merely a warning.
_LISTED = 20


def look_at(path: Path, section: str, *, trusted: bool) -> tuple[str, ...] | None:
    """Look at what `tamis.models.files.find_model` found; return the classes, None where only loading would tell them.

    Args:
        path: an .onnx or .pt file, or a folder of transformers.
        section: the section of the settings that names the model.
        trusted: whether a pickle, which can run code, may be loaded.

    Raises:
        UserError: the model could not be loaded: damaged, not trusted, or without the library that it needs.
    """
    if path.is_dir():
        from tamis.models.transformers_models import look_at_folder  # noqa: PLC0415 - extra `transformers`

        return look_at_folder(path, trusted=trusted)
    if not path.is_file():
        raise UserError(f"model file {path} not found; put the weights there or correct the path")
    if path.suffix.lower() == ".onnx":
        return read_metadata(read_header(path), path).names
    if not trusted:
        raise UserError(
            f"model {path} is a pickle, which can run code when it is loaded: set {section}.trust_pickle = true, if "
            "you trust where it comes from; or export it to ONNX"
        )
    if importlib.util.find_spec("ultralytics") is None:
        raise UserError(f"model {path} needs ultralytics: pip install 'tamis[yolo]', or export the model to ONNX")
    return checkpoint_names(path)


def unknown_classes(model: str, wanted: Iterable[str], known: Sequence[str], *, briefly: bool = False) -> str:
    """Return a line on the wanted classes that a model does not know, empty where it knows them all.

    It says which known ones may be meant, and lists the others, unless it shall be brief and they are many.
    """
    missing = [name for name in wanted if name not in known]
    if not missing:
        return ""
    plain = {name.lower(): name for name in reversed(known)}
    told = []
    for name in missing:
        close = difflib.get_close_matches(name.lower(), plain, n=1)
        told.append(f"{name} (did you mean {plain[close[0]]}?)" if close else name)
    shown = f"; it knows {', '.join(known)}" if known and not (briefly and len(known) > _LISTED) else ""
    return f"model {model} knows no {', '.join(told)}{shown}"
