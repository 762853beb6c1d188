"""Native functions of a module compiled by numba to one object file for this processor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from types import FunctionType
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from numba import carray  # type: ignore[attr-defined]
from numba.extending import intrinsic

from tamis.vision.compiled import Array, Kind, Native, inner_functions, numbers_of, popcount
from tamis.vision.objectcode import Scope, machine, natives, symbol_of

_OPTIONS: dict[str, Any] = {"fastmath": True, "error_model": "numpy"}
#: What is called by compiled code alone.
_INNER: dict[str, Any] = _OPTIONS | {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def _generate_popcount(_typing_context: Any, _value: Any) -> tuple[Any, Callable[..., Any]]:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return numba.types.uint64(numba.types.uint64), generate


def _generate_address(_typing_context: Any, _value: Any) -> tuple[Any, Callable[..., Any]]:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return numba.types.voidptr(numba.types.int64), generate


_ADDRESS: Any = intrinsic(_generate_address)
#: Functions that stand for an instruction of the processor.
_INTRINSICS: dict[Any, Any] = {popcount: intrinsic(_generate_popcount)}


def build(scope: Scope) -> bytes:
    """Compile the native functions of a module, given its names, to an object file with one symbol each."""
    inside = dict(scope)
    functions = natives(scope)
    for name, value in scope.items():
        if isinstance(value, FunctionType) and value in _INTRINSICS:
            inside[name] = _INTRINSICS[value]
        elif isinstance(value, FunctionType) and value in inner_functions and value.__globals__ is scope:
            inside[name] = numba.njit(**_INNER)(_moved(value, inside))
    linked = None
    for function in functions.values():
        found = _compile(function, inside)
        if linked is None:
            linked = found
        else:
            linked.link_in(found)
    return bytes(machine().emit_object(linked))


def _moved(function: FunctionType, scope: dict[str, Any]) -> FunctionType:
    """Return a function that looks up names in another scope."""
    return FunctionType(function.__code__, scope, function.__name__, function.__defaults__, function.__closure__)


def _compile(function: Native, inside: dict[str, Any]) -> Any:
    """Return LLVM's module of a function that takes numbers, as `Native` passes them, and an array for the results."""
    numbers = list(numbers_of(function.parameters, [""] * len(function.parameters)))
    types = [numba.types.float64 if kind is float else numba.types.int64 for kind, _ in numbers]
    lines: list[str] = []
    arguments = _declared(function.parameters, count(), lines)
    lines.append(f"result = function({arguments})")
    if function.returns is not None:
        found = "result" if isinstance(function.returns, tuple) else "(result,)"
        lines.append(f"found = carray(out, {len(function.results)}, np.float64)")
        lines += [f"found[{place}] = {found}[{place}]" for place in range(len(function.results))]
    names = "".join(f"n{place}, " for place in range(len(types)))
    source = f"def entry({names}out):\n    " + "\n    ".join(lines)
    called = numba.njit(**_INNER)(_moved(function.function, inside))
    scope = {"function": called, "carray": carray, "address": _ADDRESS, "np": np}
    exec(source, scope)  # noqa: S102 - text that is made above
    entry = numba.cfunc(numba.void(*types, numba.types.voidptr), **_OPTIONS)(scope["entry"])
    module = llvm.parse_assembly(entry.inspect_llvm())
    module.get_function(entry.native_name).name = symbol_of(function)
    return module


def _declared(kinds: Sequence[Kind], places: Iterator[int], lines: list[str]) -> str:
    """Return the expressions that parameters are made by of the numbers that they are passed as, and add lines above.

    An array is read from the object itself: behind what all objects have come the addresses of its data and, one word
    on, of its shape (NumPy's C-API, `PyArrayObject`).
    """
    head, made = object.__basicsize__ // 8, []
    for kind in kinds:
        if isinstance(kind, tuple):
            made.append(f"({_declared(kind, places, lines)})")
            continue
        place = next(places)
        if isinstance(kind, Array):
            lines.append(f"object{place} = carray(address(n{place}), {head + 3}, np.int64)")
            lines.append(f"shape{place} = carray(address(object{place}[{head + 2}]), {kind.ndim}, np.int64)")
            shape = "".join(f"shape{place}[{axis}], " for axis in range(kind.ndim))
            made.append(f"carray(address(object{place}[{head}]), ({shape}), np.{kind.dtype})")
        else:
            made.append(f"n{place} != 0" if kind is bool else f"n{place}")
    return "".join(f"{expression}, " for expression in made)
