"""Which pictures show the same shot: candidates from signatures, leniently, then a verdict on pixels, strictly.

A pair's relation depends on its two pictures alone, so that the relations of a set are the same in whatever order
and batches its pictures come, unless it grows so large in between that fewer pairs are proposed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache, partial
from hashlib import sha256
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from tamis.records import Level, Relation
from tamis.vision.columns import Shares, Signature, Signatures
from tamis.vision.compiled import warm_up
from tamis.vision.copies import Orientation, Picture, Verdict, unit_turn, verify
from tamis.vision.proposals import DEFAULT_SEARCH, Proposals, Search, Told, find_candidates
from tamis.vision.quality import to_luma, to_reference
from tamis.vision.registration import AGREEMENT, register
from tamis.vision.signatures import (
    WINDOWS,
    part_phashes,
    signatures,
)

#: Returns the small picture of an id, RGB, at best 256 pixels along the long side.
Load = Callable[[int], NDArray[np.uint8]]
#: Pictures kept in memory while pairs are verified, about 40 kB each.
CACHED_PICTURES = 4000
#: Shares of the time after which candidates are found, and screened, about.
_SEARCHED, _SCREENED = 0.2, 0.6
#: First pictures of pairs that are kept at hand while the second ones pass by.
_BLOCK = 3000
#: Known pictures that are held as glances at a time, 2 kB each.
_GLANCED = 32_768
#: Pictures or pairs that a worker takes at once.
_PER_TASK = 64


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
    known: Sequence[Signature] | Shares,
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

    def glances(ids: Sequence[int]) -> NDArray[np.uint8]:
        return np.stack([picture(identity).glance for identity in ids])

    def verified(task: Sequence[Candidate]) -> list[Relation]:
        return verify_candidates(task, picture, search.level)

    new = new if isinstance(new, Signatures) else Signatures.of(new)
    identical, proposals = find_candidates(new, known, search, _part_of(told, 0, _SEARCHED))
    if not len(proposals.pairs):
        return sorted(identical, key=_by_ids)
    warm_up()
    with ExitStack() as stack:
        pool = ThreadPoolExecutor(threads)
        stack.callback(pool.shutdown, cancel_futures=True)
        glance_all = partial(pool.map, glances)
        candidates = _screened(proposals, new.ids, glance_all, threads, _part_of(told, _SEARCHED, _SCREENED))
        tasks = list(by_pair(in_blocks(candidates)))
        relations = identical
        for done, results in enumerate(pool.map(verified, tasks), 1):
            relations += results
            _part_of(told, _SCREENED, 1)(done / len(tasks))
    return sorted(relations, key=_by_ids)


def _part_of(told: Told, begin: float, end: float) -> Told:
    """Return what hears how far a part of the work is that lies between two shares of all."""
    return lambda share: told(begin + share * (end - begin))


def _screened(
    proposals: Proposals,
    new_ids: NDArray[np.int64],
    glance_all: Callable[[Iterable[Sequence[int]]], Iterator[NDArray[np.uint8]]],
    threads: int,
    told: Told,
) -> list[Candidate]:
    """Return what `screen` leaves, of all; at most so many known pictures as a block has are in memory at a time."""
    ids, rows = np.unique(proposals.pairs, return_inverse=True)
    fresh = np.isin(ids, new_ids)
    known = np.where(fresh, -1, np.cumsum(~fresh) - 1)
    blocks = known[rows.reshape(-1, 2)].max(axis=1, initial=-1) // _GLANCED
    seen = 0

    def glanced(wanted: NDArray[np.int64]) -> dict[int, NDArray[np.uint8]]:
        nonlocal seen
        held: dict[int, NDArray[np.uint8]] = {}
        parts = [wanted[start : start + _PER_TASK].tolist() for start in range(0, len(wanted), _PER_TASK)]
        for part, found in zip(parts, glance_all(parts), strict=True):
            held |= zip(part, found, strict=True)
            seen += len(part)
            told(seen / len(ids))
        return held

    ours = glanced(ids[fresh])
    candidates: list[Candidate] = []
    for block in np.unique(blocks).tolist():
        held = ours | glanced(ids[(known >= 0) & (known // _GLANCED == block)])
        part = Proposals(*(column[blocks == block] for column in proposals))
        candidates += screen(part, held.__getitem__, threads)
    return candidates


def screen(proposals: Proposals, glance: Callable[[int], NDArray[np.uint8]], threads: int = 1) -> list[Candidate]:
    """Return the pairs that still agree once the one is laid over the other, at a glance.

    `glance` returns that of an id (`signatures.glance`), and is asked for each once.
    """
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
    left, top, width, height = WINDOWS[abs(window) - 1]
    placed = np.array([[width, 0.0, left], [0.0, height, top], [0.0, 0.0, 1.0]])
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
