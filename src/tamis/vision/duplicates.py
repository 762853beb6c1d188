"""Which pictures show the same shot: candidates from signatures, leniently, then a verdict on pixels, strictly.

A pair's relation depends on its two pictures alone, so that the relations of a set are the same in whatever order
and batches its pictures come.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from tamis.records import Level, Relation
from tamis.vision.copies import INVERSE, Orientation, Picture, Verdict, verify
from tamis.vision.quality import to_luma, to_reference
from tamis.vision.signatures import (
    as_unsigned,
    mirrored_dhash,
    mirrored_phash,
    part_phashes,
    signatures,
    turned_phashes,
)

#: Returns the small picture of an id, RGB, at best 256 pixels along the long side.
Load = Callable[[int], NDArray[np.uint8]]

#: Pictures kept in memory with their corners while pairs are verified, about a quarter of a megabyte each.
CACHED_PICTURES = 800
#: First pictures of pairs that are kept at hand while the second ones pass by.
_BLOCK = 600


@dataclass(frozen=True, slots=True)
class Signature:
    """What candidates are found by: an image's or region's id and signatures.

    `parts` holds the DCT signatures of its windows (`signatures.part_phashes`); without them, crops beyond 5 % and
    frames are seldom proposed.
    """

    id: int
    phash: int
    dhash: int
    pixel_digest: str
    parts: tuple[int, ...] = ()


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
    radius: int = 12
    joint_radius: int = 22
    part_radius: int = 10
    mirrored: bool = True
    rotated: bool = False

    @property
    def orientations(self) -> tuple[Orientation, ...]:
        """Orientations to look for, the plain one first."""
        mirrored: tuple[Orientation, ...] = (4,) if self.mirrored else ()
        rotated: tuple[Orientation, ...] = ()
        if self.rotated:
            rotated = (1, 2, 3, 5, 6, 7) if self.mirrored else (1, 2, 3)
        return (0, *mirrored, *rotated)


@dataclass(frozen=True, slots=True, order=True)
class Candidate:
    """A pair to verify, smaller id first: how the second is to be turned, and the distance that proposed it."""

    first_id: int
    second_id: int
    orientation: Orientation
    distance: int


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
    new: Sequence[Signature], known: Sequence[Signature], load: Load, search: Search = DEFAULT_SEARCH
) -> list[Relation]:
    """Return the relations of new pictures among themselves and to known ones, sorted by their ids.

    Relations among the known are taken as found. Ids must be distinct. `load` is asked for a picture only when a pair
    has to be verified. Pairs that share much and yet are no copies come as `same_scene`.
    """

    @lru_cache(maxsize=CACHED_PICTURES)
    def picture(identity: int) -> Picture:
        return Picture(load(identity))

    identical, candidates = find_candidates(new, known, search)
    return sorted(identical + verify_candidates(in_blocks(candidates), picture, search.level), key=_by_ids)


def find_candidates(
    new: Sequence[Signature], known: Sequence[Signature], search: Search = DEFAULT_SEARCH
) -> tuple[list[Relation], list[Candidate]]:
    """Return the pairs with equal pixels, and the pairs to verify, sorted; each with at least one new picture."""
    # Verification alone, as in worker processes, does without the compiler, which takes half a second to import.
    from tamis.vision.hashindex import HashIndex  # noqa: PLC0415

    everything = [*new, *known]
    identical = _equal_pixels(new, known, search.level)
    settled = {(relation.first_id, relation.second_id) for relation in identical}
    everything = [*new, *known]
    wholes = HashIndex(_column(row.phash for row in everything))
    gradients = _column(row.dhash for row in everything)
    parts = HashIndex(_column(part for row in everything for part in row.parts))
    part_owners = np.repeat(np.arange(len(everything)), [len(row.parts) for row in everything])
    proposals = _Proposals([row.id for row in everything])
    for orientation in search.orientations:
        turned = _column(turned_phash(row.phash, orientation) for row in new)
        pairs = wholes.query(turned, search.radius)
        if orientation in (0, 4):
            ours = _column(mirrored_dhash(row.dhash) if orientation else row.dhash for row in new)
            apart = np.bitwise_count(as_unsigned(ours)[pairs.first] ^ as_unsigned(gradients)[pairs.second])
            near = pairs.distance + apart <= search.joint_radius
            proposals.add(pairs.first[near], pairs.second[near], pairs.distance[near], orientation)
            pairs = parts.query(turned, search.part_radius)
            proposals.add(pairs.first, part_owners[pairs.second], pairs.distance, orientation)
            turned_parts = _column(turned_phash(part, orientation) for row in new for part in row.parts)
            pairs = wholes.query(turned_parts, search.part_radius)
            proposals.add(part_owners[pairs.first], pairs.second, pairs.distance, orientation)
        else:
            proposals.add(pairs.first, pairs.second, pairs.distance, orientation)
    return identical, proposals.candidates(settled)


class _Proposals:
    """Pairs proposed in one orientation or several, each with the least distance that proposed it."""

    def __init__(self, ids: Sequence[int]) -> None:
        self._ids = np.array(ids, dtype=np.int64)
        self._found: dict[tuple[int, int, Orientation], int] = {}

    def add(
        self,
        ours: NDArray[np.int64],
        theirs: NDArray[np.int64],
        distances: NDArray[np.int64],
        orientation: Orientation,
    ) -> None:
        """Take in pairs of positions: the signature of the one was turned and met that of the other."""
        apart = ours != theirs
        rows = zip(
            self._ids[ours[apart]].tolist(), self._ids[theirs[apart]].tolist(), distances[apart].tolist(), strict=True
        )
        for our_id, their_id, distance in rows:
            # A candidate says how the second is turned to meet the first.
            key = (their_id, our_id, orientation) if our_id > their_id else (our_id, their_id, INVERSE[orientation])
            self._found[key] = min(distance, self._found.get(key, distance))

    def candidates(self, settled: Collection[tuple[int, int]]) -> list[Candidate]:
        """Return the candidates in order, but for pairs that are settled."""
        return sorted(Candidate(*key, distance) for key, distance in self._found.items() if key[:2] not in settled)


def _column(values: Iterable[int]) -> NDArray[np.int64]:
    return np.fromiter(values, dtype=np.int64)


def in_blocks(candidates: Iterable[Candidate], block: int = _BLOCK) -> list[Candidate]:
    """Return candidates in an order that meets each picture few times, all orientations of a pair together.

    A block of first pictures stays in memory while the second ones pass by.
    """
    first_ids = sorted({candidate.first_id for candidate in candidates})
    block_of = {identity: position // block for position, identity in enumerate(first_ids)}
    return sorted(candidates, key=lambda pair: (block_of[pair.first_id], pair.second_id, pair.first_id, pair))


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
        verdict = verify(picture(pair[0]), picture(pair[1]), candidate.orientation)
        if verdict is not None and (pair not in best or verdict.score > best[pair][1].score):
            best[pair] = candidate, verdict
    return [
        Relation(level, first_id, second_id, verdict.kind, verdict.score, candidate.distance)
        for (first_id, second_id), (candidate, verdict) in best.items()
    ]


def _equal_pixels(new: Sequence[Signature], known: Sequence[Signature], level: Level) -> list[Relation]:
    """Return a relation for each pair of equal digests with at least one new picture."""
    known_ids: dict[str, list[int]] = {}
    for row in known:
        known_ids.setdefault(row.pixel_digest, []).append(row.id)
    relations = []
    for row in new:
        others = known_ids.setdefault(row.pixel_digest, [])
        relations += [
            Relation(level, min(row.id, other), max(row.id, other), "same_pixels", 1.0, 0) for other in others
        ]
        others.append(row.id)
    return relations


def turned_phash(phash: int, orientation: Orientation) -> int:
    """Return the DCT signature of the picture in another orientation."""
    flipped = mirrored_phash(phash) if orientation >= 4 else phash
    turns = orientation % 4
    return flipped if turns == 0 else turned_phashes(flipped)[turns - 1]


def _by_ids(relation: Relation) -> tuple[int, int]:
    return relation.first_id, relation.second_id
