"""Signatures of many pictures in columns, and which of them have the same pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tamis.records import Level, Relation
from tamis.vision.signatures import PART_BYTES, unpack_parts


@dataclass(frozen=True, slots=True)
class Signature:
    """What candidates are found by: an image's or region's id and signatures.

    `parts` holds the DCT signatures of its windows (`signatures.part_phashes`), packed; without them, crops beyond 5 %
    and frames are seldom proposed.
    """

    id: int
    phash: int
    dhash: int
    pixel_digest: str
    parts: bytes = b""


@dataclass(frozen=True, slots=True, eq=False)
class Signatures:
    """Signatures in columns: ids, both signatures and digests, shape (n,), and the parts of all, one behind the other.

    `part_ends` says where the bytes of each end in `parts`.
    """

    ids: NDArray[np.int64]
    phashes: NDArray[np.int64]
    dhashes: NDArray[np.int64]
    digests: NDArray[np.bytes_]
    parts: NDArray[np.uint8]
    part_ends: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Iterable[Signature]) -> Signatures:
        """Turn records into columns."""
        given = list(rows)
        return cls(
            np.array([row.id for row in given], dtype=np.int64),
            np.array([row.phash for row in given], dtype=np.int64),
            np.array([row.dhash for row in given], dtype=np.int64),
            np.array([row.pixel_digest.encode() for row in given] or [b""], dtype=np.bytes_)[: len(given)],
            np.frombuffer(b"".join(row.parts for row in given), dtype=np.uint8),
            np.cumsum([len(row.parts) for row in given], dtype=np.int64),
        )

    @classmethod
    def joined(cls, parts: Sequence[Signatures]) -> Signatures:
        """Return those of one or more, one after the other."""
        before = np.cumsum([0, *(len(part.parts) for part in parts[:-1])])
        return cls(
            np.concatenate([part.ids for part in parts]),
            np.concatenate([part.phashes for part in parts]),
            np.concatenate([part.dhashes for part in parts]),
            np.concatenate([part.digests for part in parts]),
            np.concatenate([part.parts for part in parts]),
            np.concatenate([part.part_ends + start for part, start in zip(parts, before.tolist(), strict=True)]),
        )

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, places: NDArray[np.int64]) -> Signatures:
        """Return those at ascending places."""
        if len(places) == len(self):
            return self
        begins = np.concatenate(([0], self.part_ends[:-1])).astype(np.int64)[places]
        sizes = self.part_ends[places] - begins
        parts = [self.parts[begin : begin + size] for begin, size in zip(begins.tolist(), sizes.tolist(), strict=True)]
        return Signatures(
            self.ids[places],
            self.phashes[places],
            self.dhashes[places],
            self.digests[places],
            np.concatenate([np.zeros(0, dtype=np.uint8), *parts]),
            np.cumsum(sizes),
        )

    def pixels(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bytes_]]]:
        """Yield the ids and digests of all, as `Shares` do."""
        yield self.ids, self.digests

    def shares(self, most: int) -> Iterator[Signatures]:
        """Yield all, at most so many at a time, which share the memory of all."""
        for start in range(0, len(self), most):
            yield self._share(start, start + most)

    def _share(self, start: int, end: int) -> Signatures:
        before = int(self.part_ends[start - 1]) if start else 0
        ends = self.part_ends[start:end]
        return Signatures(
            self.ids[start:end],
            self.phashes[start:end],
            self.dhashes[start:end],
            self.digests[start:end],
            self.parts[before : int(ends[-1]) if len(ends) else before],
            ends - before,
        )

    def part_hashes(self) -> NDArray[np.int64]:
        """The signatures of all parts."""
        return unpack_parts(self.parts)

    def part_owners(self, numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return whose parts are, by place, and the numbers of their windows, from 1; `numbers` count among all."""
        places = np.searchsorted(self.part_ends, numbers * PART_BYTES, side="right")
        begins = np.concatenate((np.zeros(1, dtype=np.int64), self.part_ends))[places]
        return places, numbers - begins // PART_BYTES + 1


class Shares(Protocol):
    """Signatures of any number of pictures, of which a share at a time is in memory."""

    def __len__(self) -> int: ...

    def pixels(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bytes_]]]:
        """Yield the ids and digests of pictures, shape (n,), until all have been told."""

    def shares(self, most: int) -> Iterator[Signatures]:
        """Yield all pictures, about so many at a time."""


def equal_pixels(new: Signatures, known: Shares, level: Level) -> tuple[list[Relation], NDArray[np.int64]]:
    """Relate new pictures to those with the same pixels, and return the places of the new ones that stand for them.

    Of pictures with equal pixels each is related to the one with the smallest id alone: a placeholder that is there
    ten thousand times has as many relations, and not their square. One of them, if none is known, is searched for.
    """
    order = np.lexsort((new.ids, new.digests))
    digests = new.digests[order]
    is_first = np.ones(len(order), dtype=np.bool_)
    is_first[1:] = digests[1:] != digests[:-1]
    firsts = order[is_first]
    values, group = digests[is_first], np.cumsum(is_first) - 1
    if not len(values):
        return [], firsts
    nobody = np.iinfo(np.int64).max
    oldest = np.full(len(values), nobody)
    for ids, theirs in known.pixels():
        places = np.minimum(np.searchsorted(values, theirs), len(values) - 1)
        met = values[places] == theirs
        np.minimum.at(oldest, places[met], ids[met])
    youngest = new.ids[firsts]
    keepers = np.minimum(youngest, oldest)
    pairs = zip(keepers[group].tolist(), new.ids[order].tolist(), strict=True)
    found = [(one, other) for one, other in pairs if one != other]
    came_later = (oldest != nobody) & (oldest > youngest)
    found += zip(youngest[came_later].tolist(), oldest[came_later].tolist(), strict=True)
    relations = [Relation(level, one, other, "same_pixels", 1.0, 0) for one, other in found]
    return relations, np.sort(firsts[oldest == nobody])


def one_of_each(ids: NDArray[np.int64], digests: NDArray[np.bytes_]) -> NDArray[np.bool_]:
    """Tell of pictures, shape (n,), which have the smallest id among those with the same pixels."""
    order = np.lexsort((ids, digests))
    kept = np.ones(len(order), dtype=np.bool_)
    kept[order[1:]] = digests[order[1:]] != digests[order[:-1]]
    return kept
