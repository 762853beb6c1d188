"""Where the real photographs, pages, labels and weights lie; tests that need them skip with the reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data"


def data_folder(*parts: str) -> Path:
    """Return a path below the real data, or skip the test when it is not there."""
    root = Path(os.environ.get("TAMIS_TEST_DATA", _DEFAULT))
    path = root.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"real data not found at {path}: set TAMIS_TEST_DATA to its folder")
    return path
