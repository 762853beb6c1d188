"""Records of one kind held in columns: a million of them take their values' bytes, and no object each."""

from __future__ import annotations

import json
import sys
import zlib
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

    def extend(self, other: _Texts) -> None:
        base = len(self._bytes)
        self._bytes += other._bytes
        self._ends.extend(end + base for end in other._ends[1:])

    def tobytes(self) -> bytes:
        return self._ends.tobytes() + self._bytes

    def frombytes(self, raw: bytes, count: int) -> None:
        """Take the place of what was packed from so many values."""
        size = (count + 1) * self._ends.itemsize
        self._ends = array("q")
        self._ends.frombytes(raw[:size])
        self._bytes = bytearray(raw[size:])

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

    def join(self, other: Packed[Kind]) -> None:
        """Take in the records of another."""
        for place, (own, more) in enumerate(zip(self._columns, other._columns, strict=True)):
            if type(own) is type(more):
                own.extend(more)
            else:  # one of them met None
                both = [
                    *(own[number] for number in range(self._count)),
                    *(more[number] for number in range(len(other))),
                ]
                self._columns[place] = both
        self._count += len(other)

    def pack(self, label: str) -> bytes | None:
        """Return all of it as bytes under a label; None where a column holds objects."""
        if any(isinstance(column, list) for column in self._columns):
            return None
        parts = [column.tobytes() for column in self._columns]
        payload = b"".join(parts)
        head = {"label": self._marked(label), "count": self._count, "sizes": [len(part) for part in parts]}
        return json.dumps(head | {"check": zlib.crc32(payload)}).encode() + b"\n" + payload

    def unpack(self, packed: bytes, label: str) -> bool:
        """Take in what was packed under that label; False, and nothing, if it is something else or damaged."""
        start = packed.find(b"\n") + 1
        try:
            head = json.loads(packed[:start])
            count, sizes = int(head["count"]), [int(size) for size in head["sizes"]]
            if head["label"] != self._marked(label) or zlib.crc32(memoryview(packed)[start:]) != head["check"]:
                return False
        except (ValueError, KeyError, TypeError):
            return False
        part = Packed(self._kind)
        for column, size in zip(part._columns, sizes, strict=True):
            if isinstance(column, _Texts):
                column.frombytes(packed[start : start + size], count)
            else:
                column.frombytes(packed[start : start + size])
            start += size
        part._count = count
        self.join(part)
        return True

    def _marked(self, label: str) -> str:
        """The label, with what the bytes depend on besides the values."""
        return f"{label} {sys.byteorder} {' '.join(self._names)}"

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
