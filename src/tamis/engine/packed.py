"""Records of one kind held in columns: a million of them take their values' bytes, and no object each."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_type_hints, overload

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Kind = TypeVar("Kind")


class _Texts:
    """A column of strings or bytes, one behind the other."""

    def __init__(self, of: type) -> None:
        self._of, self._bytes, self._ends = of, bytearray(), array("q", [0])

    def append(self, value: str | bytes) -> None:
        self._bytes += value.encode() if isinstance(value, str) else value
        self._ends.append(len(self._bytes))

    def parts(self) -> tuple[bytearray, array[int]]:
        """The bytes of all, and where those of each end."""
        return self._bytes, self._ends[1:]

    def __getitem__(self, place: int) -> str | bytes:
        raw = bytes(self._bytes[self._ends[place] : self._ends[place + 1]])
        return raw.decode() if self._of is str else raw


class Packed(Sequence[Kind], Generic[Kind]):
    """A sequence of dataclass records, the first field of which is their id; a record is made when it is asked for."""

    def __init__(self, kind: type[Kind]) -> None:
        self._kind = kind
        hints = get_type_hints(kind)
        self._names = [part.name for part in fields(kind)]  # type: ignore[arg-type]
        self._columns: list[Any] = [_column(hints[name]) for name in self._names]
        self._count = 0

    def extend(self, rows: Iterable[Any]) -> None:
        """Take in rows that have the fields as attributes. A column that meets None holds objects from then on."""
        names = self._names
        for row in rows:
            for place, name in enumerate(names):
                value = getattr(row, name)
                try:
                    self._columns[place].append(value)
                except (TypeError, AttributeError):
                    column = self._columns[place]
                    self._columns[place] = [column[number] for number in range(self._count)]
                    self._columns[place].append(value)
            self._count += 1

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> Kind: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Kind]: ...
    def __getitem__(self, place: int | slice) -> Kind | Sequence[Kind]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(self._count))]
        if not -self._count <= place < self._count:
            raise IndexError(place)
        return self._kind(*(column[place % self._count] for column in self._columns))

    def __iter__(self) -> Iterator[Kind]:
        for place in range(self._count):
            yield self[place]

    @property
    def ids(self) -> Sequence[int]:
        """The ids of all."""
        ids: Sequence[int] = self._columns[0]
        return ids

    def numbers(self, name: str) -> NDArray[Any]:
        """A column of numbers, shape (n,)."""
        import numpy as np  # noqa: PLC0415 - loaded on use

        return np.array(self._columns[self._names.index(name)])

    def texts(self, name: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """A column of strings or bytes: the bytes of all, and where those of each end, shape (n,). None is empty."""
        import numpy as np  # noqa: PLC0415

        column = self._columns[self._names.index(name)]
        if isinstance(column, _Texts):
            joined, ends = column.parts()
            return np.frombuffer(joined, dtype=np.uint8), np.frombuffer(ends, dtype=np.int64)
        given = [value.encode() if isinstance(value, str) else value or b"" for value in column]
        return np.frombuffer(b"".join(given), dtype=np.uint8), np.cumsum([len(one) for one in given], dtype=np.int64)

    def find(self, identity: int) -> Kind | None:
        """Return the record with that id; None if there is none."""
        ids, order = self._sorted
        place = int(ids.searchsorted(identity))
        return self[int(order[place])] if place < len(ids) and ids[place] == identity else None

    @cached_property
    def _sorted(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        import numpy as np  # noqa: PLC0415 - loaded on use

        ids = np.array(self._columns[0], dtype=np.int64)
        order = np.argsort(ids, kind="stable")
        return ids[order], order


def _column(hint: Any) -> Any:
    if hint is int:
        return array("q")
    if hint is float:
        return array("d")
    return _Texts(hint) if hint in (str, bytes) else []
