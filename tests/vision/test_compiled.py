"""Machine code is kept where that can be, made anew where it cannot, and said to be compiled when it has to be."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import numba.core.caching
import pytest

from tamis.vision import compiled
from tamis.vision.compiled import can_keep, is_kept, warm_up

SOURCE = """
from tamis.vision.compiled import compiled

@compiled
def doubled(value):
    return 2 * value
"""


@pytest.fixture
def module(tmp_path: Path) -> ModuleType:
    path = tmp_path / "loops.py"
    path.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("loops", path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_machine_code_is_kept_until_its_source_changes(module: ModuleType) -> None:
    assert can_keep(module.doubled)
    assert not is_kept(module.doubled)
    assert module.doubled(4) == 8
    assert is_kept(module.doubled)
    later = Path(str(module.__file__)).stat().st_mtime + 60
    os.utime(str(module.__file__), (later, later))
    assert not is_kept(module.doubled)


def test_where_no_folder_can_be_written_the_loops_run_all_the_same(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(numba.core.caching.CompileResultCacheImpl, "_locator_classes", [])
    module = request.getfixturevalue("module")
    assert module.doubled(4) == 8
    assert not can_keep(module.doubled)
    assert not is_kept(module.doubled)


@pytest.mark.parametrize("kept", [True, False])
def test_that_the_comparison_is_compiled_is_said_where_it_is(
    kept: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compiled, "is_kept", lambda _: kept)
    warm_up()
    assert [record.levelname for record in caplog.records] == ([] if kept else ["WARNING"])


def test_what_comparisons_call_is_loaded() -> None:
    from tamis.vision import hamming, hues, likeness, registration

    warm_up()
    called = registration.register_pairs, registration.refine_pair, hues.compare_hues, hamming.scan
    also = likeness.cover, likeness.correlate, likeness.compare_tones, likeness.without_bands, likeness.summarise
    dispatchers: list[Any] = [*called, *also, likeness.fine_agreement]
    assert all(function.signatures for function in dispatchers)
