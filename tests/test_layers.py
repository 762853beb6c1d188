"""Imports run one way, and the heavy libraries stay out until they are used."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "tamis"

#: Lowest first. A module may import from its own layer and from those below.
LAYERS = (
    ("errors", "records", "labels", "config", "settingsfile", "display", "__init__"),
    (
        "vision",
        "text",
        "extract",
        "recipes",
        "schema",
        "database",
        "migrations",
        "blobs",
        "thumbnails",
        "models",
        "project",
    ),
    ("engine", "crawl", "fetch", "stages", "dataset"),
    ("train",),
    (
        "pipeline",
        "annotate",
        "report",
        "modelling",
        "insight",
        "status",
        "calibration",
        "copylist",
        "templates",
        "doctor",
        "demo",
    ),
    ("commands",),
    ("cli", "__main__"),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
#: Training reads frozen snapshots, never the database.
TRAIN_MAY = {"dataset.manifest", "labels", "vision", "errors", "train"}
#: Loaded where they are used, never at the import of these.
HEAVY = (
    "torch",
    "aiohttp",
    "cv2",
    "onnxruntime",
    "numba",
    "scrapy",
    "fastapi",
    "sqlalchemy",
    "pydantic",
    "PIL",
    "lxml",
    "numpy",
)


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "versions" not in path.parts)


def imported(path: Path) -> Iterator[str]:
    """Modules of tamis that a file imports, without the package's name, such as `vision.boxes`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "tamis":
            inside = node.module.removeprefix("tamis").removeprefix(".")
            yield from [inside] if inside else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (a.name.removeprefix("tamis.") for a in node.names if a.name.startswith("tamis."))


def part_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path: Path) -> None:
    own = part_of(path)
    if own == "__init__":
        return
    assert own in LEVEL, f"{own} stands in no layer: give it a place in LAYERS"
    for name in imported(path):
        part = name.split(".")[0]
        if part not in LEVEL:
            continue  # a name of the package itself, such as __version__
        assert LEVEL[part] <= LEVEL[own], f"{path.relative_to(PACKAGE)} imports {name}, which stands above it"


@pytest.mark.parametrize("path", sorted((PACKAGE / "train").rglob("*.py")), ids=lambda path: path.name)
def test_training_imports_what_it_may(path: Path) -> None:
    for name in imported(path):
        assert any(name == allowed or name.startswith(f"{allowed}.") for allowed in TRAIN_MAY), name


@pytest.mark.parametrize(
    ("module", "may"),
    [
        ("tamis", ()),
        ("tamis.cli", ()),
        ("tamis.vision.inspect", ("cv2", "numpy")),
        ("tamis.crawl.run", ("sqlalchemy", "pydantic", "lxml")),
    ],
)
def test_heavy_libraries_stay_out(module: str, may: Sequence[str]) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert set(HEAVY).isdisjoint(set(loaded) - set(may))


def test_only_training_loads_torch() -> None:
    for path in modules():
        if part_of(path) == "train":
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert "torch" not in {name.split(".")[0] for name in names}, path


def test_modules_and_functions_stay_short() -> None:
    """The maxima that make one stop and think: 400 lines a module, 60 a function, seven parameters."""
    for path in modules():
        text = path.read_text(encoding="utf-8")
        if path.name != "schema.py":
            assert len(text.splitlines()) <= 400, f"{path}: {len(text.splitlines())} lines"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                assert length <= 60, f"{path.name}: {node.name} has {length} lines"
