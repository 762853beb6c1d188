"""Copies within a plain folder: every picture inspected once, pairs verified, clusters reported by file name."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from hashlib import sha256
from itertools import chain, groupby
from multiprocessing import get_context
from pathlib import Path
from typing import TypedDict

import cv2
import numpy as np
from numpy.typing import NDArray

from tamis.errors import Unreadable, UserError
from tamis.records import Relation
from tamis.vision.clusters import KEEPER, Clustering, cluster
from tamis.vision.columns import Signature
from tamis.vision.compiled import can_keep, warm_up
from tamis.vision.copies import FRAME_SIDE, Picture
from tamis.vision.decode import DEFAULT_LIMITS, Limits
from tamis.vision.duplicates import CACHED_PICTURES, Candidate, by_pair, in_blocks, screen, verify_candidates
from tamis.vision.inspect import (
    Signed,
    Squared,
    inspect_images,
    pixel_digest,
    sign_squared,
    small_picture,
    square_image,
)
from tamis.vision.keepers import Facts, facts_of
from tamis.vision.picturefiles import picture_files, read_picture
from tamis.vision.proposals import Search, find_candidates

#: Called with the step, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]

SAME_BYTES = "same_bytes"
_FILES_PER_TASK = 32
_PAIRS_PER_TASK = 32
_FACTS_PER_TASK = 8
#: Below this many pairs each process would load the compiled code for longer than it uses it.
_WORTH_PROCESSES = 400
#: Below this many pictures there may be nothing to compare, and the compiled code loads when there is.
_WORTH_WARMING = 200


@dataclass(frozen=True, slots=True)
class _Read:
    """What a worker found in a file: the SHA-256 of its bytes and its signatures, or the reason why there are none."""

    digest: str = ""
    signed: Signed | None = None
    reason: str = ""


class UnreadableFile(TypedDict):
    """A file that looks like a picture and cannot be used."""

    file: str
    reason: str


class Member(TypedDict):
    """A copy, and what it is to the picture kept."""

    file: str
    relation: str
    score: float


class Cluster(TypedDict):
    """Pictures of one shot."""

    keep: str
    members: list[Member]


class Report(TypedDict):
    """Number of pictures, those that cannot be read, and the clusters; files are relative to the folder."""

    images: int
    unreadable: list[UnreadableFile]
    clusters: list[Cluster]


@dataclass(frozen=True, slots=True)
class DedupeSettings:
    """How candidates are found, how clusters are made, what is read, and by how many processes (default: cores)."""

    search: Search = field(default_factory=Search)
    clustering: Clustering = field(default_factory=Clustering)
    limits: Limits = DEFAULT_LIMITS
    processes: int | None = None


DEFAULT_SETTINGS = DedupeSettings()


def dedupe_folder(
    folder: Path, settings: DedupeSettings = DEFAULT_SETTINGS, progress: Progress | None = None
) -> Report:
    """Return which pictures of a folder, at any depth, are copies of which.

    Which files count as pictures is said in `tamis.vision.picturefiles`.

    Raises:
        UserError: there is no such folder, or it cannot be listed.
    """
    paths = [folder / name for name in picture_files(folder)]
    workers = settings.processes or os.cpu_count() or 1
    with _threads(workers) as pool, ThreadPoolExecutor(1) as beside:
        # The compiler takes a second to load, in one thread; decoders leave it the interpreter.
        warming = beside.submit(warm_up) if len(paths) >= _WORTH_WARMING else None
        read = _read_all(paths, settings.limits, pool, progress)
        known = _Files(folder, paths, read)
        digests = _digests_of(known, settings.limits, pool)
        identical, proposals = find_candidates(known.signatures(digests), [], settings.search)
        if len(proposals.pairs):
            (warming or beside.submit(warm_up)).result()
        candidates = screen(proposals, known.glance, workers)
        relations = identical + _verify_all(candidates, paths, settings, pool, progress)
        facts = _facts_of(known, relations, settings, pool)
    return {
        "images": len(paths),
        "unreadable": [
            {"file": known.names[index], "reason": found.reason}
            for index, found in enumerate(read)
            if found.signed is None
        ],
        "clusters": _clusters(known, relations, settings.clustering, facts),
    }


class _Files:
    """The pictures by number, byte copies collapsed to the first of them."""

    def __init__(self, folder: Path, paths: Sequence[Path], read: Sequence[_Read]) -> None:
        self.paths = paths
        self.names = [path.relative_to(folder).as_posix() for path in paths]
        self.signed: dict[int, Signed] = {}
        self.copies: dict[int, list[int]] = {}
        first_of: dict[str, int] = {}
        for index, found in enumerate(read):
            if found.signed is None:
                continue
            first = first_of.setdefault(found.digest, index)
            self.copies.setdefault(first, []).append(index)
            if first == index:
                self.signed[index] = found.signed

    def signatures(self, digests: Mapping[int, str]) -> list[Signature]:
        """Return the signatures of all pictures; where no digest of the pixels is given, no other has the same."""
        return [
            Signature(index, one.phash, one.dhash, digests.get(index, str(index)), one.parts)
            for index, one in self.signed.items()
        ]

    def glance(self, index: int) -> NDArray[np.uint8]:
        return np.frombuffer(self.signed[index].glance, np.uint8)


def _digests_of(known: _Files, limits: Limits, pool: Executor) -> dict[int, str]:
    """Return the digests of the pixels of those pictures that look like another to the last bit: few of many."""
    alike: dict[Signed, list[int]] = {}
    for index, one in known.signed.items():
        alike.setdefault(one, []).append(index)
    ids = [index for same in alike.values() if len(same) > 1 for index in same]

    def digest(index: int) -> str:
        with _at_rest(known.paths[index]):
            return pixel_digest(read_picture(known.paths[index], limits), limits)

    return dict(zip(ids, pool.map(digest, ids), strict=True))


def _facts_of(
    known: _Files, relations: Sequence[Relation], settings: DedupeSettings, pool: Executor
) -> dict[int, Facts]:
    """Return what the keeper is chosen by, of the pictures that have a copy: few of many."""
    ids = sorted(
        {
            identity
            for relation in relations
            if settings.clustering.joins(relation)
            for identity in (relation.first_id, relation.second_id)
        }
    )

    def read(index: int) -> bytes:
        with _at_rest(known.paths[index]):
            return read_picture(known.paths[index], settings.limits)

    def facts(some: Sequence[int]) -> list[Facts]:
        files = {index: read(index) for index in some}
        inspected = inspect_images(files.items(), settings.limits, signed=False)
        pictures = [known.signed[index] for index in some]
        return [
            facts_of(found, one.width * one.height, len(data))
            for found, one, data in zip(inspected, pictures, files.values(), strict=True)
        ]

    tasks = [ids[start : start + _FACTS_PER_TASK] for start in range(0, len(ids), _FACTS_PER_TASK)]
    return dict(zip(ids, chain.from_iterable(pool.map(facts, tasks)), strict=True))


def _clusters(
    known: _Files, relations: Sequence[Relation], clustering: Clustering, facts: Mapping[int, Facts]
) -> list[Cluster]:
    members = cluster(relations, clustering, facts=facts)
    found: list[Cluster] = []
    clustered = set()
    for keeper_id, group in groupby(members, key=lambda member: member.keeper_id):
        copies: list[Member] = []
        for member in group:
            clustered.add(member.member_id)
            same = [index for index in known.copies[member.member_id] if index != keeper_id]
            relation = SAME_BYTES if member.kind == KEEPER else member.kind
            copies += [{"file": known.names[i], "relation": relation, "score": round(member.score, 4)} for i in same]
        found.append({"keep": known.names[keeper_id], "members": copies})
    for first, same in known.copies.items():
        if first not in clustered and len(same) > 1:
            copies = [{"file": known.names[index], "relation": SAME_BYTES, "score": 1.0} for index in same[1:]]
            found.append({"keep": known.names[first], "members": copies})
    return sorted(found, key=lambda entry: entry["keep"])


@contextmanager
def _threads(count: int) -> Iterator[Executor]:
    """Threads, since decoders and measures leave the interpreter to others, and processes take longer to start."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    pool = ThreadPoolExecutor(count)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        cv2.setNumThreads(before)


@contextmanager
def _processes(count: int) -> Iterator[Executor]:
    # Forking a process that runs compiled threads may hang its child.
    pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_start_worker)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent ends its workers
    cv2.setNumThreads(1)


def _read_all(paths: Sequence[Path], limits: Limits, pool: Executor, progress: Progress | None) -> list[_Read]:
    tasks = [paths[start : start + _FILES_PER_TASK] for start in range(0, len(paths), _FILES_PER_TASK)]
    results: list[_Read] = []
    for done in pool.map(partial(_read_files, limits=limits), tasks):
        results += done
        if progress is not None:
            progress("inspect", len(results), len(paths))
    return results


def _read_files(paths: Sequence[Path], limits: Limits) -> list[_Read]:
    # All are decoded before the first is signed: processors run code that they ran just before faster.
    return [
        found if isinstance(found, _Read) else _Read(found[0], sign_squared(found[1]))
        for found in [_read_file(path, limits) for path in paths]
    ]


def _read_file(path: Path, limits: Limits) -> tuple[str, Squared] | _Read:
    try:
        data = read_picture(path, limits)
        return sha256(data).hexdigest(), square_image(data, limits)
    except Unreadable as error:
        return _Read(reason=error.reason)


def _verify_all(
    candidates: Sequence[Candidate],
    paths: Sequence[Path],
    settings: DedupeSettings,
    pool: Executor,
    progress: Progress | None,
) -> list[Relation]:
    relations: list[Relation] = []
    done = 0
    verify = partial(_verify_files, limits=settings.limits)
    tasks = [(task, _paths_of(task, paths)) for task in by_pair(in_blocks(candidates), _PAIRS_PER_TASK)]
    with ExitStack() as stack:
        workers = settings.processes or os.cpu_count() or 1
        if workers > 1 and len(candidates) >= _WORTH_PROCESSES and can_keep():
            pool = stack.enter_context(_processes(workers))
        for (task, _), found in zip(tasks, pool.map(verify, tasks), strict=True):
            relations += found
            done += len(task)
            if progress is not None:
                progress("verify", done, len(candidates))
    return relations


def _paths_of(task: Sequence[Candidate], paths: Sequence[Path]) -> dict[int, Path]:
    ids = {identity for candidate in task for identity in (candidate.first_id, candidate.second_id)}
    return {identity: paths[identity] for identity in ids}


def _verify_files(task: tuple[Sequence[Candidate], dict[int, Path]], limits: Limits) -> list[Relation]:
    candidates, paths = task
    return verify_candidates(candidates, lambda identity: _picture(paths[identity], limits))


@lru_cache(maxsize=CACHED_PICTURES)
def _picture(path: Path, limits: Limits) -> Picture:
    with _at_rest(path):
        return Picture(small_picture(read_picture(path, limits), limits, FRAME_SIDE)).lean()


@contextmanager
def _at_rest(path: Path) -> Iterator[None]:
    """Say what to do when a file that was read before cannot be read again."""
    try:
        yield
    except Unreadable as error:
        raise UserError(
            f"{path} changed while it was examined ({error}): run again when the folder is at rest"
        ) from None
