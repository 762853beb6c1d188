"""Loops over pixels and signatures are compiled to machine code, kept beside the modules or in the user's cache.

Where neither can be written, and NUMBA_CACHE_DIR names no other folder, each process compiles what it calls anew.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any, ParamSpec, TypeVar

import numba
import numpy as np

_P = ParamSpec("_P")
_R = TypeVar("_R")
_LOG = logging.getLogger(__name__)
_LOCK = Lock()


def compiled(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Compile a function on its first call, without the interpreter's lock; later processes load what was kept.

    Sums may be taken in any order, and a division by zero gives infinity.
    """
    options: dict[str, Any] = {"nogil": True, "fastmath": True, "error_model": "numpy"}
    try:
        found: Callable[_P, _R] = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba found no folder that it may write to
        found = numba.njit(**options)(function)
    return found


def is_kept(function: Any) -> bool:
    """Tell whether the machine code of a compiled function lies on disk, and is no older than its source."""
    folder, code = function.stats.cache_path, function.py_func.__code__
    if folder is None:
        return False
    source = Path(code.co_filename)
    kept = Path(folder).glob(f"{source.stem}.{code.co_qualname}-{code.co_firstlineno}.py*.nbi")
    return any(index.stat().st_mtime >= source.stat().st_mtime for index in kept)


def can_keep(function: Any) -> bool:
    """Tell whether the machine code of a compiled function can be kept for other processes."""
    return bool(function.stats.cache_path)


def warm_up() -> None:
    """Load what comparisons of pictures call, a second's work, or compile it, which is said in a line of the log.

    Python prints that on standard error where no logging is set up.
    """
    from tamis.vision import copies, hamming, hues, likeness, parallax, registration  # noqa: PLC0415

    with _LOCK:
        called = registration.register_pairs, registration.refine_pair, likeness.correlate, hues.compare_hues
        if not all(is_kept(function) for function in called):
            _LOG.warning("compiling the comparison of pictures for this machine, once: it takes about half a minute")
        noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3)).astype(np.uint8)
        first, second = copies.Picture(noise), copies.Picture(np.ascontiguousarray(noise[:, ::-1]))
        glances, maps = np.stack((first.glance, second.glance)), np.array([[-1.0, 0.0, 1.0, 0.0, 1.0, 0.0]])
        registration.register(glances, np.array([[0, 1]]), maps)
        copies.verify(first, second, 4, maps[0])
        plane = noise[..., 0].astype(np.float32)
        parallax.parallax(plane, plane, np.ones(plane.shape, np.uint8))
        few = np.arange(4, dtype=np.uint64)
        hamming.scan(few, few, (2, False, 0), np.empty(16, np.int64))
