"""Which pairs of pictures are worth a look: those of which signatures are near, of the whole or of a window."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tamis.records import Level, Relation
from tamis.vision.columns import Shares, Signature, Signatures, equal_pixels, one_of_each
from tamis.vision.copies import INVERSE, Orientation
from tamis.vision.signatures import as_unsigned, mirrored_dhashes, turned_phashes

if TYPE_CHECKING:
    from tamis.vision.hashindex import Pairs

#: Hears which share of the work is done, 0 to 1.
Told = Callable[[float], None]

#: Numbers of pictures beyond which candidates are proposed less leniently, step by step.
_LARGE = (8_000, 32_000)
#: Pictures that are searched at a time: an index of their parts takes 2 kB each while it is made.
_INDEXED = 250_000


@dataclass(frozen=True, slots=True)
class Search:
    """How leniently candidates are proposed.

    Attributes:
        level: what the ids count.
        radius: most bits in which DCT signatures may differ.
        joint_radius: most bits in which both signatures together may differ; gradients rule out many look-alikes that
            the coarse shapes of the DCT let pass. Turned pictures are proposed by the DCT signature alone.
        gradient_radius: most bits in which gradient signatures may differ where DCT signatures differ in more than
            `radius`: a banner changes every wave of a picture with a plain ground, and the gradients of one row.
        gradient_joint_radius: most bits in which both together may differ then.
        part_radius: most bits in which the signature of a part of one picture and that of the other may differ.
        mirrored: also look for pictures mirrored left to right.
        rotated: also look for pictures turned by quarter turns, mirrored or not.
    """

    level: Level = "image"
    radius: int = 16
    joint_radius: int = 30
    gradient_radius: int = 8
    gradient_joint_radius: int = 28
    part_radius: int = 14
    mirrored: bool = True
    rotated: bool = False

    def among(self, count: int) -> Search:
        """Return how to look among so many pictures: strangers that meet by chance grow with its square."""
        fewer = sum(count > size for size in _LARGE)
        return replace(
            self,
            joint_radius=max(self.joint_radius - 4 * fewer, 0),
            gradient_radius=max(self.gradient_radius - 3 * fewer, 0),
            gradient_joint_radius=max(self.gradient_joint_radius - 4 * fewer, 0),
            part_radius=max(self.part_radius - 2 * fewer, 0),
        )

    @property
    def orientations(self) -> tuple[Orientation, ...]:
        """Orientations to look for, the plain one first."""
        mirrored: tuple[Orientation, ...] = (4,) if self.mirrored else ()
        rotated: tuple[Orientation, ...] = ()
        if self.rotated:
            rotated = (1, 2, 3, 5, 6, 7) if self.mirrored else (1, 2, 3)
        return (0, *mirrored, *rotated)


class Proposals(NamedTuple):
    """Pairs that signatures propose, sorted, each once in an orientation; four arrays of one length.

    Attributes:
        pairs: ids, the one with the smaller digest first, shape (n, 2).
        orientations: how the second is to be turned to meet the first.
        distances: bits between the signatures that met.
        windows: which met: 0 the wholes, k + 1 window k of the first and the whole of the second, -(k + 1) the other
            way round.
    """

    pairs: NDArray[np.int64]
    orientations: NDArray[np.int64]
    distances: NDArray[np.int64]
    windows: NDArray[np.int64]


DEFAULT_SEARCH = Search()


def find_candidates(
    new: Sequence[Signature] | Signatures,
    known: Sequence[Signature] | Shares,
    search: Search = DEFAULT_SEARCH,
    told: Told = lambda _: None,
) -> tuple[list[Relation], Proposals]:
    """Return relations of equal pixels, and the pairs to look at, sorted; each with at least one new picture.

    Of pictures with equal pixels one alone is proposed to others. `told` hears the share of all pictures that were
    searched, again and again, and may raise to end it.
    """
    new = new if isinstance(new, Signatures) else Signatures.of(new)
    known = Signatures.of(known) if isinstance(known, Sequence) else known
    search = search.among(len(new) + len(known))
    identical, standing = equal_pixels(new, known, search.level)
    new = new.take(standing)
    found = _Found(new)
    if len(new):
        turns = [_turned(new, orientation) for orientation in search.orientations]
        reached, total = 0, len(new) + len(known)
        for rows in new.shares(_INDEXED):
            met = _heard(_near(turns, rows, search), told, reached / total)
            found.add(met, np.arange(reached, reached + len(rows)))
            reached += len(rows)
        for rows in known.shares(_INDEXED):
            near = chain(_near(turns, rows, search), _near_parts(turns, rows, search))
            met = _heard(near, told, reached / total)
            found.add(met, found.places_of(met, rows))
            reached += len(rows)
    return identical, found.proposals()


class _Turned(NamedTuple):
    """The signatures of new pictures, and of their parts, in one orientation.

    `owners` and `windows` say of each part whose it is, by place, and its window, from 1.
    """

    orientation: Orientation
    phashes: NDArray[np.int64]
    dhashes: NDArray[np.int64]
    parts: NDArray[np.int64]
    owners: NDArray[np.int64]
    windows: NDArray[np.int64]


def _turned(new: Signatures, orientation: Orientation) -> _Turned:
    parts = turned_phashes(new.part_hashes(), orientation)
    return _Turned(
        orientation,
        turned_phashes(new.phashes, orientation),
        mirrored_dhashes(new.dhashes) if orientation else new.dhashes,
        parts,
        *new.part_owners(np.arange(len(parts))),
    )


class _Met(NamedTuple):
    """Pairs of a new picture and one of a share, by their places, whose signatures met in one orientation.

    `windows` are positive where it was a window of ours that met the other's whole, negative the other way round.
    """

    orientation: Orientation
    ours: NDArray[np.int64]
    theirs: NDArray[np.int64]
    distances: NDArray[np.int64]
    windows: NDArray[np.int64]


def _heard(met: Iterable[_Met], told: Told, share: float) -> list[_Met]:
    """Return what is met, telling each time that the share is done."""
    found = []
    for one in met:
        told(share)
        found.append(one)
    return found


def _near(turns: Sequence[_Turned], rows: Signatures, search: Search) -> Iterator[_Met]:
    """Yield new pictures of which the whole is near to the whole or a part of one of a share."""
    # Verification alone, as in worker processes, does without the index.
    from tamis.vision.hashindex import HashIndex  # noqa: PLC0415

    wholes, gradients, parts = HashIndex(rows.phashes), HashIndex(rows.dhashes), HashIndex(rows.part_hashes())
    for orientation, phashes, dhashes, *_ in turns:
        pairs = wholes.query(phashes, search.radius)
        nothing = np.zeros(len(pairs.first), dtype=np.int64)
        if orientation not in (0, 4):
            yield _Met(orientation, *pairs, nothing)
            continue
        near = pairs.distance + _apart(dhashes, rows.dhashes, pairs) <= search.joint_radius
        yield _Met(orientation, *(one[near] for one in (*pairs, nothing)))
        pairs = gradients.query(dhashes, search.gradient_radius)
        apart = _apart(phashes, rows.phashes, pairs)
        near = pairs.distance + apart <= search.gradient_joint_radius
        yield _Met(orientation, *(one[near] for one in (pairs.first, pairs.second, apart, np.zeros_like(apart))))
        pairs = parts.query(phashes, search.part_radius)
        owners, windows = rows.part_owners(pairs.second)
        yield _Met(orientation, pairs.first, owners, pairs.distance, -windows)


def _near_parts(turns: Sequence[_Turned], rows: Signatures, search: Search) -> Iterator[_Met]:
    """Yield new pictures of which a part is near to the whole of one of a share."""
    from tamis.vision.hashindex import HashIndex  # noqa: PLC0415

    wholes = HashIndex(rows.phashes)
    for turned in turns:
        if turned.orientation in (0, 4):
            pairs = wholes.query(turned.parts, search.part_radius)
            owners, windows = turned.owners[pairs.first], turned.windows[pairs.first]
            yield _Met(turned.orientation, owners, pairs.second, pairs.distance, windows)


def _apart(ours: NDArray[np.int64], theirs: NDArray[np.int64], pairs: Pairs) -> NDArray[np.int64]:
    """Return in how many bits these signatures of pairs differ."""
    bits: NDArray[np.uint8] = np.bitwise_count(as_unsigned(ours)[pairs.first] ^ as_unsigned(theirs)[pairs.second])
    return bits.astype(np.int64)


class _Found:
    """Pairs proposed in any orientation, by their wholes or windows; known pictures are counted as they are met."""

    def __init__(self, new: Signatures) -> None:
        self._ids, self._digests = [new.ids], [new.digests]
        self._count = len(new)
        self._rows: list[NDArray[np.int64]] = []

    def places_of(self, met: Sequence[_Met], rows: Signatures) -> NDArray[np.int64]:
        """Take in the pictures of a share that were met; return the places of all of the share, of others -1."""
        theirs = np.unique(np.concatenate([one.theirs for one in met]))
        places = np.full(len(rows), -1, dtype=np.int64)
        places[theirs] = self._count + np.arange(len(theirs))
        self._count += len(theirs)
        self._ids.append(rows.ids[theirs])
        self._digests.append(rows.digests[theirs])
        return places

    def add(self, met: Iterable[_Met], places: NDArray[np.int64]) -> None:
        """Take in pairs, given the places of the pictures of the share.

        The signature of the one was turned and met that of the other.
        """
        digests = np.concatenate(self._digests)
        for orientation, ours, others, distances, windows in met:
            theirs = places[others]
            # A candidate says how the second is turned to meet the first. Which is first depends on the pixels, not on
            # the ids, which another run may give out in another order.
            swapped = digests[ours] > digests[theirs]
            turns = np.where(swapped, orientation, INVERSE[orientation])
            met_by = np.where(swapped, -windows, windows)
            first, second = np.where(swapped, theirs, ours), np.where(swapped, ours, theirs)
            rows = np.stack((first, second, turns, distances, met_by))
            self._rows.append(rows[:, first != second])

    def proposals(self) -> Proposals:
        """Return all pairs, each orientation with the nearest signatures."""
        ids, digests = np.concatenate(self._ids), np.concatenate(self._digests)
        rows = np.concatenate([np.zeros((5, 0), dtype=np.int64), *self._rows], axis=1)
        places, rows[:2] = np.unique(rows[:2], return_inverse=True)
        standing = one_of_each(ids[places], digests[places])
        rows = rows[:, standing[rows[:2]].all(axis=0)]
        rows[:2] = ids[places][rows[:2]]
        rows = rows[:, np.lexsort(rows[::-1])]
        repeated = np.zeros(rows.shape[1], dtype=np.bool_)
        repeated[1:] = (rows[:3, 1:] == rows[:3, :-1]).all(axis=0)
        rows = rows[:, ~repeated]
        return Proposals(np.ascontiguousarray(rows[:2].T), rows[2], rows[3], rows[4])
