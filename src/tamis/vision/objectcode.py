"""Object files of native functions: where they are kept, what they depend on, and how they are loaded.

A file depends on the source of its module, on the constants that it takes from others, on the compiler, the
interpreter and the processor. One that is out of date is compiled anew and replaces the old one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import sha256
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import version
from importlib.util import cache_from_source, find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import FunctionType
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from tamis.vision.compiled import Native, inner_functions

#: A module's names and their values.
Scope = Mapping[str, Any]
#: Extensions of numba whose functions compiled code calls: by module, and what their names begin with there.
_HELPERS = (("numba._helperlib", "numba_"), ("numba.core.runtime._nrt_python", "NRT_"))

_loaded: dict[str, dict[str, int]] = {}
#: What holds the code that was loaded.
_engines: list[Any] = []


def addresses(scope: Scope) -> dict[str, int]:
    """Return the addresses of a module's native functions by name; loads them, or compiles and keeps them."""
    source = scope["__file__"]
    if source not in _loaded:
        path = path_of(scope)
        if path.exists():
            _link_helpers()
            code = path.read_bytes()
        else:
            from tamis.vision.building import build  # noqa: PLC0415 - numba loads on use

            code = build(scope)
            _keep(path, code)
        _loaded[source] = _load(code, natives(scope))
    return _loaded[source]


@contextmanager
def compiled_beside(scopes: Sequence[Scope]) -> Iterator[None]:
    """Have modules compiled and kept by another process meanwhile, where that can be: numba compiles on one core."""
    if not scopes or (os.cpu_count() or 1) == 1 or not can_keep(scopes[0]["__file__"]):
        yield
        return
    names = ", ".join(scope["__name__"] for scope in scopes)
    program = (
        f"import {names}\nfrom tamis.vision.objectcode import addresses\nfor one in ({names},): addresses(vars(one))"
    )
    command = [sys.executable, "-P", "-c", program]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:  # noqa: S603 - this module's own text
        try:
            yield
        except BaseException:
            process.kill()
            raise


def forget(source: str) -> None:
    """Load the code of a module anew when it is called again, its source having changed."""
    _loaded.pop(source, None)


def natives(scope: Scope) -> dict[str, Native]:
    """Return the native functions of a module by name."""
    return {
        name: value
        for name, value in scope.items()
        if isinstance(value, Native) and value.function.__globals__ is scope
    }


def is_kept(scope: Scope) -> bool:
    """Tell whether the object file of a module is there."""
    return path_of(scope).exists()


def folder_of(source: str) -> Path:
    """Return the folder in which the object file of a module is kept: that of its bytecode."""
    return Path(cache_from_source(source)).parent


def can_keep(source: str) -> bool:
    """Tell whether the object file of a module can be written."""
    folder = folder_of(source)
    with suppress(OSError):
        folder.mkdir(exist_ok=True)
    return folder.is_dir() and os.access(folder, os.W_OK)


def path_of(scope: Scope) -> Path:
    """Return the object file of a module, which need not be there."""
    source = Path(scope["__file__"])
    digest = sha256(source.read_bytes())
    digest.update(_compiler())
    for name, value in sorted(_constants(scope).items()):
        digest.update(name.encode() + (value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()))
    return folder_of(str(source)) / f"{source.stem}.{_processor()}-{digest.hexdigest()[:16]}.o"


def _constants(scope: Scope) -> dict[str, Any]:
    """Return the constants that compiled functions of a module read."""
    functions = [value for value in scope.values() if isinstance(value, FunctionType) and value in inner_functions]
    functions += [value.function for value in natives(scope).values()]
    names = {name for function in functions for name in function.__code__.co_names}
    return {name: scope[name] for name in names if isinstance(scope.get(name), int | float | tuple | np.ndarray)}


@cache
def _compiler() -> bytes:
    """Return what says how functions are compiled and called."""
    sources = b"".join(Path(__file__).with_name(f"{name}.py").read_bytes() for name in ("building", "compiled"))
    return f"{version('numba')} {version('llvmlite')} {version('numpy')}".encode() + sources


@cache
def _processor() -> str:
    """Return a name for the interpreter, the processor and what it can do."""
    names = sys.implementation.cache_tag, llvm.get_process_triple(), llvm.get_host_cpu_name()
    return sha256(f"{names} {llvm.get_host_cpu_features().flatten()}".encode()).hexdigest()[:8]


def _keep(path: Path, code: bytes) -> None:
    """Keep an object file in place of older ones, where that can be written."""
    with suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.write_bytes(code)
        fresh.replace(path)
        for old in path.parent.glob(f"{path.stem.split('-')[0]}-*.o"):
            if old != path:
                old.unlink()


@cache
def machine() -> Any:
    """Return LLVM's target: this processor."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    features = llvm.get_host_cpu_features().flatten()
    relocation = "static" if target.name.startswith("x86") else "default"
    return target.create_target_machine(
        llvm.get_host_cpu_name(), features, opt=3, reloc=relocation, codemodel="jitdefault", jit=True
    )


def _load(code: bytes, functions: Mapping[str, Native]) -> dict[str, int]:
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine())
    engine.add_object_file(llvm.object_file.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    return {name: engine.get_function_address(symbol_of(function)) for name, function in functions.items()}


def symbol_of(function: Native) -> str:
    """Return the name of a native function in an object file."""
    return f"{function.function.__module__}.{function.__name__}"


@cache
def _link_helpers() -> None:
    """Let code that is loaded find numba's functions, such as those for memory, without numba's start.

    Where its extensions do not load by themselves, numba starts after all.
    """
    try:
        for name, prefix in _HELPERS:
            for helper, address in _extension(name).c_helpers.items():
                llvm.add_symbol(helper if helper.startswith("_") else prefix + helper, address)
    except (ImportError, AttributeError):
        from numba.core.registry import cpu_target  # noqa: PLC0415

        _ = cpu_target.target_context


def _extension(name: str) -> Any:
    """Return an extension module of a package that was not imported."""
    package, *parts = name.split(".")
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ImportError(f"there is no package {package}")
    for suffix in EXTENSION_SUFFIXES:
        path = Path(found.submodule_search_locations[0], *parts[:-1], parts[-1] + suffix)
        if path.exists():
            spec = spec_from_file_location(name, path)
            assert spec is not None
            assert spec.loader is not None
            module = module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    raise ImportError(f"{package} has no extension {name}")
