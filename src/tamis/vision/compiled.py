"""Loops over pixels and signatures are compiled to machine code, once on a machine, and kept for later processes.

`native` marks what Python calls, `compiled` the functions that this calls in turn, all of one module. Numba compiles
them (`tamis.vision.building`). What it made is kept as an object file beside the bytecode of the module, and loads
without numba, whose own start takes more than a second. Where that folder cannot be written, each process compiles what
it calls anew.
"""

from __future__ import annotations

import ctypes
import importlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Lock
from types import FunctionType
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

_P = ParamSpec("_P")
_R = TypeVar("_R")
_LOG = logging.getLogger(__name__)
_LOCK = Lock()
#: Modules that comparing pictures calls; the first two take as long to compile as the others.
_COMPARISON = tuple(f"tamis.vision.{name}" for name in ("registration", "hamming", "likeness", "hues", "parallax"))
#: Functions that native ones of their module call.
inner_functions: set[FunctionType] = set()


@dataclass(frozen=True, slots=True)
class Array:
    """A parameter that is an array in C order, by its dtype and its number of axes."""

    dtype: np.dtype[Any]
    ndim: int

    def __init__(self, dtype: type[np.generic], ndim: int) -> None:
        object.__setattr__(self, "dtype", np.dtype(dtype))
        object.__setattr__(self, "ndim", ndim)


#: A parameter: a number, an array, or a tuple of these.
Kind = type[bool] | type[int] | type[float] | Array | tuple["Kind", ...]
#: What a native function returns: nothing, a number or a tuple of numbers.
Result = type[bool] | type[int] | type[float] | tuple[type[bool] | type[int] | type[float], ...] | None


def compiled(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Mark a function that native ones of its module call; Python may call it as well, as it is written."""
    inner_functions.add(cast(FunctionType, function))
    return function


def native(*parameters: Kind, returns: Result = None) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Have a function called as machine code, without the interpreter's lock.

    Sums may be taken in any order, a division by zero raises nothing, and no index is checked against the bounds of its
    array. Arguments are positional, and numbers are returned exactly up to 2^53.
    """

    def mark(function: Callable[_P, _R]) -> Callable[_P, _R]:
        return cast("Callable[_P, _R]", Native(cast(FunctionType, function), parameters, returns))

    return mark


def popcount(value: np.uint64) -> np.uint64:
    """Return the number of bits set: the processor's own count in compiled code."""
    return np.uint64(np.bitwise_count(value))


class Native:
    """A function that is called as machine code, which is loaded or compiled on the first call.

    Attributes:
        function: what it was compiled from.
        parameters: what it takes.
        returns: what it returns.
        results: the same as a tuple.
    """

    def __init__(self, function: FunctionType, parameters: tuple[Kind, ...], returns: Result) -> None:
        self.function, self.parameters, self.returns = function, parameters, returns
        self.results = () if returns is None else returns if isinstance(returns, tuple) else (returns,)
        self.__name__, self.__doc__ = function.__name__, function.__doc__
        self._call: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any) -> Any:
        """Call it.

        Raises:
            TypeError: an argument is not what it takes, such as an array of another dtype or order.
        """
        return (self._call or self._load())(*arguments)

    def _load(self) -> Callable[..., Any]:
        from tamis.vision import objectcode  # noqa: PLC0415 - LLVM loads on use

        with _LOCK:
            address = objectcode.addresses(self.function.__globals__)[self.__name__]
        self._call = self._caller(address)
        return self._call

    def _caller(self, address: int) -> Callable[..., Any]:
        """Return a function that checks its arguments, calls machine code and returns its results.

        It is written out for these parameters: loops over them would take longer than some calls.
        """
        parameters = list(numbers_of(self.parameters, [f"a{place}" for place in range(len(self.parameters))]))
        arrays = [(kind, name) for kind, name in parameters if isinstance(kind, Array)]
        fits = [f"{a}.dtype is {k.dtype} and {a}.ndim == {k.ndim} and {a}.flags.c_contiguous" for k, a in arrays]
        numbers = "".join(f"id({name}), " if isinstance(kind, Array) else f"{name}, " for kind, name in parameters)
        results = "".join(f"{kind.__name__}(found[{place}]), " for place, kind in enumerate(self.results))
        source = f"""
def {self.__name__}({", ".join(f"a{place}" for place in range(len(self.parameters)))}):
    if not ({" and ".join(fits) or True}):
        check(({"".join(f"{name}, " for _, name in arrays)}))
    found = buffer()
    entry({numbers}found)
    return {"None" if self.returns is None else f"({results})" if isinstance(self.returns, tuple) else results[:-2]}
"""
        types = [ctypes.c_double if kind is float else ctypes.c_int64 for kind, _ in parameters]
        scope = {
            "buffer": ctypes.c_double * len(self.results),
            "entry": ctypes.CFUNCTYPE(None, *types, ctypes.c_void_p)(address),
            "check": partial(_check, [kind for kind, _ in arrays]),
        }
        scope |= {str(kind.dtype): kind.dtype for kind, _ in arrays}
        exec(source, scope)  # noqa: S102 - text that is made above
        return cast("Callable[..., Any]", scope[self.__name__])


def numbers_of(kinds: Sequence[Kind], names: Sequence[str]) -> Iterator[tuple[type | Array, str]]:
    """The numbers that parameters are passed as, an array as its address, each with what it is in terms of names."""
    for kind, name in zip(kinds, names, strict=True):
        if isinstance(kind, tuple):
            yield from numbers_of(kind, [f"{name}[{place}]" for place in range(len(kind))])
        else:
            yield kind, name


def _check(kinds: Sequence[Array], arrays: Sequence[NDArray[Any]]) -> None:
    for kind, array in zip(kinds, arrays, strict=True):
        if array.dtype != kind.dtype or array.ndim != kind.ndim or not array.flags.c_contiguous:
            raise TypeError(f"{kind} is wanted, not {array.dtype} {array.shape}, {array.strides} bytes apart")


def can_keep() -> bool:
    """Tell whether machine code can be kept for other processes."""
    from tamis.vision import objectcode  # noqa: PLC0415 - LLVM loads on use

    return objectcode.can_keep(__file__)


def warm_up() -> None:
    """Load what comparisons of pictures call, or compile it, which is said in a line of the log.

    Python prints that on standard error where no logging is set up.
    """
    from tamis.vision import objectcode  # noqa: PLC0415 - LLVM loads on use

    scopes = [vars(importlib.import_module(name)) for name in _COMPARISON]
    with _LOCK:
        missing = [scope for scope in scopes if not objectcode.is_kept(scope)]
        if missing:
            _LOG.warning("compiling the comparison of pictures for this machine, once: it takes about half a minute")
        with objectcode.compiled_beside(missing[: len(missing) // 2]):
            for scope in missing[len(missing) // 2 :]:
                objectcode.addresses(scope)
        for scope in scopes:
            objectcode.addresses(scope)
