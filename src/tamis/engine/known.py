"""Records of any number in parts that lie in files, or in memory where they were not filed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Generic

from tamis.engine.packed import Kind, Packed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Known(Generic[Kind]):
    """Records in parts, one after the other; those that lie in files take memory only while they are looked at."""

    def __init__(self, parts: Sequence[Packed[Kind]] = ()) -> None:
        self._parts = parts
        self._ends = list(accumulate(map(len, parts)))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[Kind]:
        for part in self._parts:
            yield from part

    @property
    def ids(self) -> NDArray[np.int64]:
        """The ids of all, shape (n,)."""
        import numpy as np  # noqa: PLC0415 - loaded on use

        columns = (np.array(part.ids, dtype=np.int64) for part in self._parts)
        return np.concatenate([np.zeros(0, dtype=np.int64), *columns])

    @property
    def parts(self) -> Iterator[Packed[Kind]]:
        """The parts, as they are."""
        for part in self._parts:
            yield part
            part.rest()

    def rest(self) -> None:
        """Let go of the memory that files take, until they are read again."""
        for part in self._parts:
            part.rest()

    def find(self, identity: int) -> Kind | None:
        """Return the record with that id; None if there is none."""
        ids, order = self._sorted
        place = int(ids.searchsorted(identity))
        if place == len(ids) or ids[place] != identity:
            return None
        number = int(order[place])
        part = bisect_right(self._ends, number)
        return self._parts[part][number - self._ends[part]]  # counted from the end of the part

    @cached_property
    def _sorted(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        import numpy as np  # noqa: PLC0415 - loaded on use

        ids = self.ids
        order = np.argsort(ids, kind="stable")
        return ids[order], order
