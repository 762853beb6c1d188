"""Records of one kind held in columns: a million of them take their values' bytes, and no object each."""

from __future__ import annotations

import json
import sys
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import cache, cached_property
from itertools import accumulate, islice
from mmap import MADV_DONTNEED, mmap
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, get_type_hints, overload

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Kind = TypeVar("Kind")


#: Rows that are taken in at a time.
_AT_ONCE = 4096
#: What records were packed into: bytes, or a file that is mapped.
Source = bytes | mmap


class _Texts:
    """A column of strings or bytes, one behind the other."""

    def __init__(self, of: type) -> None:
        self._of = of
        # Both are views where they lie in what was packed, and grow where not.
        self._bytes: Any = bytearray()
        self._ends: Any = array("q", [0])

    def extend(self, values: Sequence[Any]) -> None:
        raw = [value.encode() for value in values] if self._of is str else values
        self._ends.extend(accumulate(map(len, raw), initial=self._ends.pop()))
        self._bytes += b"".join(raw)

    def parts(self) -> tuple[Any, Any]:
        """The bytes of all, and where those of each end."""
        return self._bytes, self._ends[1:]

    def join(self, other: _Texts) -> None:
        import numpy as np  # noqa: PLC0415 - loaded on use

        ends = np.frombuffer(other._ends, dtype=np.int64)[1:] + len(self._bytes)
        self._bytes += other._bytes
        self._ends.frombytes(ends.tobytes())

    def tobytes(self) -> bytes:
        return b"".join((self._ends.tobytes(), self._bytes))

    @classmethod
    def over(cls, of: type, view: memoryview, count: int) -> _Texts:
        """Return the column of so many values that were packed."""
        texts = cls(of)
        size = (count + 1) * texts._ends.itemsize
        texts._ends, texts._bytes = view[:size].cast("q"), view[size:]
        return texts

    def __getitem__(self, place: int) -> str | bytes:
        raw = bytes(self._bytes[self._ends[place] : self._ends[place + 1]])
        return raw.decode() if self._of is str else raw


class Packed(Sequence[Kind], Generic[Kind]):
    """A sequence of dataclass records, the first field of which is their id; a record is made when it is asked for."""

    def __init__(self, kind: type[Kind]) -> None:
        self._kind = kind
        hints = _hints(cast("Any", kind))
        self._names = list(hints)
        self._columns: list[Any] = [_column(hint) for hint in hints.values()]
        self._count = 0
        self._source: Source = b""

    def extend(self, rows: Iterable[Any]) -> None:
        """Take in rows that have the fields as attributes. A column that meets None holds objects from then on."""
        values_of = attrgetter(*self._names)
        given = iter(rows)
        while values := [values_of(row) for row in islice(given, _AT_ONCE)]:
            for place, column in enumerate(zip(*values, strict=True) if len(self._names) > 1 else [values]):
                self._append(place, column)
            self._count += len(values)

    def _append(self, place: int, values: Sequence[Any]) -> None:
        column = self._columns[place]
        try:
            column.extend(values)
        except (TypeError, AttributeError):
            self._columns[place] = [*(column[number] for number in range(self._count)), *values]

    def join(self, other: Packed[Kind]) -> None:
        """Take in the records of another."""
        for place, (own, more) in enumerate(zip(self._columns, other._columns, strict=True)):
            if isinstance(own, _Texts) and isinstance(more, _Texts):
                own.join(more)
            elif isinstance(own, array) and isinstance(more, array | memoryview):
                own.frombytes(memoryview(more).cast("B"))
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
        return json.dumps(head | {"check": _check(head, payload)}).encode() + b"\n" + payload

    @classmethod
    def over(cls, kind: type[Kind], packed: Source, label: str) -> Packed[Kind] | None:
        """Return what was packed under that label, to be read where it lies; None for anything else or damaged."""
        found = cls(kind)
        start = packed.find(b"\n") + 1
        try:
            head = json.loads(packed[:start])
            view = memoryview(packed)[start:]
            if head["label"] != found._marked(label) or _check(head, view) != head["check"]:
                return None
        except (ValueError, KeyError, TypeError):
            return None
        found._count, found._source = head["count"], packed
        for place, size in enumerate(head["sizes"]):
            column, part = found._columns[place], view[:size]
            if isinstance(column, _Texts):
                found._columns[place] = _Texts.over(column._of, part, found._count)
            elif size:
                found._columns[place] = part.cast(column.typecode)
            view = view[size:]
        found.rest()
        return found

    def rest(self) -> None:
        """Let go of the memory that a mapped file takes, until it is read again."""
        if isinstance(self._source, mmap) and hasattr(self._source, "madvise"):
            self._source.madvise(MADV_DONTNEED)

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


def _check(head: Mapping[str, Any], payload: bytes | memoryview) -> int:
    """Return the checksum of how many records there are, where their columns lie, and all bytes."""
    return zlib.crc32(payload, zlib.crc32(repr((head["count"], head["sizes"])).encode()))


@cache
def _hints(kind: Any) -> Mapping[str, Any]:
    """The types of a record's fields, by their names."""
    hints = get_type_hints(kind)
    return {part.name: hints[part.name] for part in fields(kind)}


def _column(hint: Any) -> Any:
    if hint is int:
        return array("q")
    if hint is float:
        return array("d")
    return _Texts(hint) if hint in (str, bytes) else []
