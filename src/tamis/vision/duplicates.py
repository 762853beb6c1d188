"""Which pictures show the same shot: candidates from signatures, leniently, then a verdict on pixels, strictly.

A pair's relation depends on its two pictures alone, so that the relations of a set are the same in whatever order
and batches its pictures come, unless it grows so large in between that fewer pairs are proposed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tamis.records import Level, Relation
from tamis.vision.columns import Signature, Signatures, equal_pixels, one_of_each
from tamis.vision.copies import INVERSE, Orientation, Picture, Verdict, unit_turn, verify
from tamis.vision.quality import to_luma, to_reference
from tamis.vision.signatures import (
    WINDOWS,
    as_unsigned,
    mirrored_dhash,
    part_phashes,
    signatures,
    turned_phash,
)

#: Returns the small picture of an id, RGB, at best 256 pixels along the long side.
Load = Callable[[int], NDArray[np.uint8]]
#: Hears which share of the work is done, 0 to 1.
Told = Callable[[float], None]

#: Pictures kept in memory while pairs are verified, about 40 kB each.
CACHED_PICTURES = 4000
#: Numbers of pictures beyond which candidates are proposed less leniently, step by step.
_LARGE = (8_000, 32_000)
#: First pictures of pairs that are kept at hand while the second ones pass by.
_BLOCK = 3000
#: Pictures or pairs that a worker takes at once.
_PER_TASK = 64


@dataclass(frozen=True, slots=True)
class Search:
    """How leniently candidates are proposed.

    Attributes:
        level: what the ids count.
        radius: most bits in which DCT signatures may differ.
        joint_radius: most bits in which both signatures together may differ; gradients rule out many look-alikes that
            the coarse shapes of the DCT let pass. Turned pictures are proposed by the DCT signature alone.
        part_radius: most bits in which the signature of a part of one picture and that of the other may differ.
        mirrored: also look for pictures mirrored left to right.
        rotated: also look for pictures turned by quarter turns, mirrored or not.
    """

    level: Level = "image"
    radius: int = 16
    joint_radius: int = 30
    part_radius: int = 14
    mirrored: bool = True
    rotated: bool = False

    def among(self, count: int) -> Search:
        """Return how to look among so many pictures: strangers that meet by chance grow with its square."""
        fewer = sum(count > size for size in _LARGE)
        joint_radius, part_radius = self.joint_radius - 4 * fewer, self.part_radius - 2 * fewer
        return replace(self, joint_radius=max(joint_radius, 0), part_radius=max(part_radius, 0))

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


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pair to verify, smaller digest first, with how it lies.

    Attributes:
        first_id: the one id.
        second_id: the other.
        orientation: how the second is to be turned to meet the first.
        distance: bits between the signatures that proposed it.
        unit_map: six numbers that take the unit square of the first to the second, as in `registration`.
    """

    first_id: int
    second_id: int
    orientation: Orientation
    distance: int
    unit_map: tuple[float, ...]


DEFAULT_SEARCH = Search()


def signature_of(identity: int, image_rgb: NDArray[np.uint8]) -> Signature:
    """Return the signature of a picture of shape (h, w, 3) at hand, such as a crop.

    Its digest is that of these pixels, and compares only with digests made here.
    """
    height, width = image_rgb.shape[:2]
    reference = to_reference(to_luma(image_rgb))
    found = signatures(reference)
    pixels = sha256(f"{width}x{height}".encode() + np.ascontiguousarray(image_rgb).tobytes())
    return Signature(identity, found.phash, found.dhash, pixels.hexdigest()[:32], part_phashes(reference))


def find_relations(
    new: Sequence[Signature] | Signatures,
    known: Sequence[Signature] | Signatures,
    load: Load,
    search: Search = DEFAULT_SEARCH,
    *,
    threads: int = 1,
    told: Told = lambda _: None,
) -> list[Relation]:
    """Return the relations of new pictures among themselves and to known ones, sorted by their ids.

    Relations among the known are taken as found. Ids must be distinct. `load` is asked for a picture only when a pair
    has to be verified, by so many `threads` at once. Pairs that share much and yet are no copies come as `same_scene`.
    `told` hears the share of the work that is done, and may raise to end it.
    """

    @lru_cache(maxsize=CACHED_PICTURES)
    def picture(identity: int) -> Picture:
        found = Picture(load(identity))
        _ = found.glance  # made of what goes now
        return found.lean()

    def glances(ids: Sequence[int]) -> list[NDArray[np.uint8]]:
        return [picture(identity).glance for identity in ids]

    def verified(task: Sequence[Candidate]) -> list[Relation]:
        return verify_candidates(task, picture, search.level)

    identical, proposals = find_candidates(new, known, search)
    ids = np.unique(proposals.pairs).tolist()
    parts = [ids[start : start + _PER_TASK] for start in range(0, len(ids), _PER_TASK)]
    with ExitStack() as stack:
        pool = ThreadPoolExecutor(threads)
        stack.callback(pool.shutdown, cancel_futures=True)
        seen: dict[int, NDArray[np.uint8]] = {}
        for part, found in zip(parts, pool.map(glances, parts), strict=True):
            seen |= dict(zip(part, found, strict=True))
            told(0.5 * len(seen) / len(ids))
        tasks = list(by_pair(in_blocks(screen(proposals, seen.__getitem__, threads))))
        relations = identical
        for done, results in enumerate(pool.map(verified, tasks), 1):
            relations += results
            told(0.5 + 0.5 * done / len(tasks))
    return sorted(relations, key=_by_ids)


def find_candidates(
    new: Sequence[Signature] | Signatures, known: Sequence[Signature] | Signatures, search: Search = DEFAULT_SEARCH
) -> tuple[list[Relation], Proposals]:
    """Return relations of equal pixels, and the pairs to look at, sorted; each with at least one new picture.

    Of pictures with equal pixels one alone is proposed to others.
    """
    # Verification alone, as in worker processes, does without the index.
    from tamis.vision.hashindex import HashIndex  # noqa: PLC0415

    new, known = (rows if isinstance(rows, Signatures) else Signatures.of(rows) for rows in (new, known))
    search = search.among(len(new) + len(known))
    identical, standing = equal_pixels(new, known, search.level)
    new = new.take(standing)
    found = _Found(np.concatenate((new.ids, known.ids)), np.concatenate((new.digests, known.digests)))
    sides = [(rows, HashIndex(rows.phashes), HashIndex(rows.part_hashes())) for rows in (new, known) if len(rows)]
    own_parts = new.part_hashes().tolist()
    for orientation in search.orientations if len(new) else ():
        turned = _column(turned_phash(phash, orientation) for phash in new.phashes.tolist())
        ours = _column(mirrored_dhash(dhash) if orientation else dhash for dhash in new.dhashes.tolist())
        for rows, wholes, parts in sides:
            base = 0 if rows is new else len(new)
            pairs = wholes.query(turned, search.radius)
            theirs = pairs.second + base
            if orientation not in (0, 4):
                found.add(pairs.first, theirs, pairs.distance, orientation)
                continue
            apart = np.bitwise_count(as_unsigned(ours)[pairs.first] ^ as_unsigned(rows.dhashes)[pairs.second])
            near = pairs.distance + apart <= search.joint_radius
            found.add(pairs.first[near], theirs[near], pairs.distance[near], orientation)
            pairs = parts.query(turned, search.part_radius)
            owners, windows = rows.part_owners(pairs.second)
            found.add(pairs.first, owners + base, pairs.distance, orientation, -windows)
            if rows is known:
                turned_parts = _column(turned_phash(part, orientation) for part in own_parts)
                pairs = wholes.query(turned_parts, search.part_radius)
                owners, windows = new.part_owners(pairs.first)
                found.add(owners, pairs.second + base, pairs.distance, orientation, windows)
    return identical, found.proposals()


class _Found:
    """Pairs proposed in one orientation or several, by their wholes or windows."""

    def __init__(self, ids: NDArray[np.int64], digests: NDArray[np.bytes_]) -> None:
        self._ids, self._digests = ids, digests
        self._rows: list[NDArray[np.int64]] = []

    def add(
        self,
        ours: NDArray[np.int64],
        theirs: NDArray[np.int64],
        distances: NDArray[np.int64],
        orientation: Orientation,
        windows: NDArray[np.int64] | None = None,
    ) -> None:
        """Take in pairs of positions: the signature of the one was turned and met that of the other.

        `windows` are positive where it was a window of ours that met the other's whole, negative the other way round.
        """
        # A candidate says how the second is turned to meet the first. Which is first depends on the pixels, not on the
        # ids, which another run may give out in another order.
        swapped = self._digests[ours] > self._digests[theirs]
        turns = np.where(swapped, orientation, INVERSE[orientation])
        met = np.zeros(len(ours), dtype=np.int64) if windows is None else np.where(swapped, -windows, windows)
        first, second = np.where(swapped, theirs, ours), np.where(swapped, ours, theirs)
        rows = np.stack((first, second, turns, distances, met))
        self._rows.append(rows[:, first != second])

    def proposals(self) -> Proposals:
        """Return all pairs, each orientation with the nearest signatures."""
        rows = np.concatenate([np.zeros((5, 0), dtype=np.int64), *self._rows], axis=1)
        places, rows[:2] = np.unique(rows[:2], return_inverse=True)
        standing = one_of_each(self._ids[places], self._digests[places])
        rows = rows[:, standing[rows[:2]].all(axis=0)]
        rows[:2] = self._ids[places][rows[:2]]
        rows = rows[:, np.lexsort(rows[::-1])]
        repeated = np.zeros(rows.shape[1], dtype=np.bool_)
        repeated[1:] = (rows[:3, 1:] == rows[:3, :-1]).all(axis=0)
        rows = rows[:, ~repeated]
        return Proposals(np.ascontiguousarray(rows[:2].T), rows[2], rows[3], rows[4])


def _column(values: Iterable[int]) -> NDArray[np.int64]:
    return np.fromiter(values, dtype=np.int64)


def screen(proposals: Proposals, glance: Callable[[int], NDArray[np.uint8]], threads: int = 1) -> list[Candidate]:
    """Return the pairs that still agree once the one is laid over the other, at a glance.

    `glance` returns that of an id (`signatures.glance`), and is asked for each once.
    """
    # Compiled code, which takes half a second to load.
    from tamis.vision.registration import AGREEMENT, register  # noqa: PLC0415

    ids, rows = np.unique(proposals.pairs, return_inverse=True)
    if not len(ids):
        return []
    glances = np.stack([glance(identity) for identity in ids.tolist()])
    rows = rows.reshape(-1, 2)
    maps = rough_maps(proposals.orientations, proposals.windows)
    shares = [slice(share * len(rows) // threads, (share + 1) * len(rows) // threads) for share in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        found = pool.map(lambda share: register(glances, rows[share], maps[share]), shares)
        kept = np.nonzero(np.concatenate(list(found)) >= AGREEMENT)[0]
    return [
        Candidate(first_id, second_id, orientation, distance, tuple(unit_map))
        for (first_id, second_id), orientation, distance, unit_map in zip(
            proposals.pairs[kept].tolist(),
            proposals.orientations[kept].tolist(),
            proposals.distances[kept].tolist(),
            maps[kept].tolist(),
            strict=True,
        )
    ]


def rough_maps(orientations: NDArray[np.int64], windows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the maps, shape (n, 6), that say how pairs lie whose signatures met; see `Proposals`."""
    maps = np.empty((len(orientations), 6))
    for orientation in np.unique(orientations).tolist():
        for window in np.unique(windows[orientations == orientation]).tolist():
            met = (orientations == orientation) & (windows == window)
            maps[met] = _rough_map(orientation, window)[:2].ravel()
    return maps


def _rough_map(orientation: Orientation, window: int) -> NDArray[np.float64]:
    turn = unit_turn(orientation)
    if window == 0:
        return turn
    left, top, side = WINDOWS[abs(window) - 1]
    placed = np.array([[side, 0.0, left], [0.0, side, top], [0.0, 0.0, 1.0]])
    return turn @ np.linalg.inv(placed) if window > 0 else placed @ turn


def in_blocks(candidates: Iterable[Candidate], block: int = _BLOCK) -> list[Candidate]:
    """Return candidates in an order that meets each picture few times, all orientations of a pair together.

    A block of first pictures stays in memory while the second ones pass by.
    """
    first_ids = sorted({candidate.first_id for candidate in candidates})
    block_of = {identity: position // block for position, identity in enumerate(first_ids)}
    return sorted(
        candidates, key=lambda pair: (block_of[pair.first_id], pair.second_id, pair.first_id, pair.orientation)
    )


def by_pair(candidates: Iterable[Candidate], size: int = _PER_TASK) -> Iterator[list[Candidate]]:
    """Deal candidates out as they come, about `size` at once, all orientations of a pair together."""
    task: list[Candidate] = []
    for _, same_pair in groupby(candidates, key=lambda candidate: (candidate.first_id, candidate.second_id)):
        task += same_pair
        if len(task) >= size:
            yield task
            task = []
    if task:
        yield task


def verify_candidates(
    candidates: Iterable[Candidate], picture: Callable[[int], Picture], level: Level = "image"
) -> list[Relation]:
    """Return the relations that hold, of each pair in its best orientation.

    All orientations of a pair have to be among the candidates. `picture` is asked for the same ids again and again,
    and should remember some.
    """
    best: dict[tuple[int, int], tuple[Candidate, Verdict]] = {}
    for candidate in candidates:
        pair = candidate.first_id, candidate.second_id
        if pair in best and best[pair][1].kind != "same_scene":
            continue
        verdict = verify(picture(pair[0]), picture(pair[1]), candidate.orientation, np.array(candidate.unit_map))
        if verdict is not None and (pair not in best or verdict.score > best[pair][1].score):
            best[pair] = candidate, verdict
    return [
        Relation(level, min(pair), max(pair), verdict.kind, verdict.score, candidate.distance)
        for pair, (candidate, verdict) in best.items()
    ]


def _by_ids(relation: Relation) -> tuple[int, int]:
    return relation.first_id, relation.second_id
