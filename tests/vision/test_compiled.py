"""Machine code is kept where that can be, made anew where it cannot, and said to be compiled when it has to be."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tamis.vision import hamming, hues, likeness, objectcode, parallax, registration
from tamis.vision.compiled import Native, can_keep, warm_up

SOURCE = """
import numpy as np
from tamis.vision.compiled import Array, compiled, native

STEP = 2

@compiled
def _stepped(value):
    return value + STEP

@native(Array(np.int64, 2), (int, bool), float, returns=(int, float, bool))
def counted(numbers, start_on, share):
    start, on = start_on
    for row in range(len(numbers)):
        for column in range(numbers.shape[1]):
            start = _stepped(start) + numbers[row, column] if on else start
            numbers[row, column] = row * 10 + column
    return start, share * 0.5, not on

@native(returns=int)
def seven():
    return 7
"""


def module_of(path: Path, source: str = SOURCE) -> ModuleType:
    path.write_text(source)
    spec = importlib.util.spec_from_file_location("loops", path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    objectcode.forget(str(path))
    return found


@pytest.fixture
def module(tmp_path: Path) -> ModuleType:
    return module_of(tmp_path / "loops.py")


def test_native_functions_take_arrays_and_numbers_and_return_numbers(module: ModuleType) -> None:
    numbers = np.ones((2, 3), np.int64)
    assert module.counted(numbers, (4, True), 1.0) == (4 + 6 * 3, 0.5, False)
    assert numbers.tolist() == [[0, 1, 2], [10, 11, 12]]
    assert module.counted(numbers[:0], (4, False), -1.0) == (4, -0.5, True)
    assert module.seven() == 7


@pytest.mark.parametrize(
    "numbers", [np.ones((2, 3)), np.ones((3, 2), np.int64).T, np.ones(3, np.int64)], ids=["dtype", "order", "axes"]
)
def test_what_does_not_fit_is_refused_before_it_is_read(module: ModuleType, numbers: Any) -> None:
    with pytest.raises(TypeError, match="is wanted"):
        module.counted(numbers, (4, True), 1.0)
    with pytest.raises(TypeError, match="a2"):
        module.counted(np.ones((2, 3), np.int64), (4, True))


def test_a_dtype_that_is_equal_and_another_object_fits(module: ModuleType) -> None:
    numbers = np.ones((1, 1), np.dtype(np.int64, metadata={"unit": "pixels"}))
    assert module.counted(numbers, (4, True), 1.0) == (7, 0.5, False)


def test_machine_code_is_kept_until_its_source_or_a_constant_changes(module: ModuleType, tmp_path: Path) -> None:
    assert not objectcode.is_kept(vars(module))
    assert module.seven() == 7
    assert objectcode.is_kept(vars(module))
    module.__dict__["STEP"] = 3
    assert not objectcode.is_kept(vars(module))
    kept = objectcode.path_of(vars(module_of(tmp_path / "loops.py")))
    assert kept.exists()
    later = module_of(tmp_path / "loops.py", SOURCE.replace("return 7", "return 77"))
    assert later.seven() == 77
    assert not kept.exists()
    assert objectcode.is_kept(vars(later))


def test_what_was_kept_loads_without_the_compiler(module: ModuleType, tmp_path: Path) -> None:
    assert module.seven() == 7
    program = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import numpy as np, loops
assert loops.counted(np.ones((2, 3), np.int64), (4, True), 1.0) == (22, 0.5, False)
assert "numba" not in sys.modules
import numba
assert numba.njit(lambda count: np.ones(count).sum())(3) == 3
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_where_numba_does_not_lend_its_helpers_it_starts(module: ModuleType, tmp_path: Path) -> None:
    assert module.seven() == 7
    program = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from tamis.vision import objectcode
objectcode._HELPERS = (("numba._not_there", "numba_"),)
import loops
assert loops.seven() == 7
assert "numba" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_where_no_folder_can_be_written_the_loops_run_all_the_same(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(objectcode, "folder_of", lambda _: tmp_path / "file")
    assert module.seven() == 7
    assert not objectcode.is_kept(vars(module))
    assert not can_keep()


def test_another_process_compiles_beside_this_one(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(str(module.__file__)).parent))
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    with objectcode.compiled_beside([vars(module)]):
        assert not objectcode.is_kept(vars(module))
    assert objectcode.is_kept(vars(module))


def test_a_process_beside_ends_with_this_one(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(str(module.__file__)).parent))
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    with pytest.raises(KeyboardInterrupt), objectcode.compiled_beside([vars(module)]):
        raise KeyboardInterrupt
    assert not objectcode.is_kept(vars(module))


@pytest.mark.parametrize("kept", [True, False])
def test_that_the_comparison_is_compiled_is_said_where_it_is(
    kept: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(objectcode, "is_kept", lambda _: kept)
    warm_up()
    assert [record.levelname for record in caplog.records] == ([] if kept else ["WARNING"])


def test_what_comparisons_call_is_loaded() -> None:
    warm_up()
    for module in (registration, likeness, hues, parallax, hamming):
        functions = [value for value in vars(module).values() if isinstance(value, Native)]
        own = {function.__name__ for function in functions if function.function.__module__ == module.__name__}
        assert set(objectcode.addresses(vars(module))) == own
        assert all(objectcode.addresses(vars(module)).values())
