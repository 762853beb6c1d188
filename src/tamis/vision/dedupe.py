"""Copies within a plain folder: every picture inspected once, pairs verified, clusters reported by file name."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from hashlib import sha256
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from typing import TypedDict

import cv2
import numpy as np

from tamis.errors import Unreadable, UserError
from tamis.records import Inspection, Relation
from tamis.vision.clusters import KEEPER, Clustering, Facts, cluster
from tamis.vision.copies import Picture
from tamis.vision.decode import DEFAULT_LIMITS, Limits
from tamis.vision.duplicates import (
    CACHED_PICTURES,
    Candidate,
    Search,
    Signature,
    by_pair,
    find_candidates,
    in_blocks,
    screen,
    verify_candidates,
)
from tamis.vision.formats import sniff
from tamis.vision.inspect import inspect_with_glance, small_picture

#: Called with the step, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]

SAME_BYTES = "same_bytes"
_EXTENSIONS = frozenset(
    ".avif .bmp .gif .heic .heif .jfif .jpe .jpeg .jpg .jxl .png .tif .tiff .webp".split()  # noqa: SIM905
)
_FILES_PER_TASK = 32
#: Below this many files a second process costs more than it gives.
_WORTH_PROCESSES = 100


@dataclass(frozen=True, slots=True)
class _Inspected:
    """What a worker found in a file; `digest` is the SHA-256 of its bytes, empty if they could not be read."""

    digest: str
    record: Inspection
    glance: bytes = b""


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

    Hidden files and files that neither are named like a picture nor look like one are passed over.

    Raises:
        UserError: there is no such folder, or it cannot be listed.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: name the folder that holds the pictures")
    paths = list(_pictures(folder))
    with _workers(len(paths), settings.processes) as pool:
        inspected = _inspect_all(paths, settings.limits, pool, progress)
        known = _Files(folder, paths, inspected)
        identical, proposals = find_candidates(known.signatures, [], settings.search)
        threads = settings.processes or os.cpu_count() or 1
        candidates = screen(proposals, lambda index: np.frombuffer(inspected[index].glance, np.uint8), threads)
        relations = identical + _verify_all(candidates, paths, settings, pool, progress)
    return {
        "images": len(paths),
        "unreadable": [
            {"file": known.names[index], "reason": found.record.reason or ""}
            for index, found in enumerate(inspected)
            if not found.record.readable
        ],
        "clusters": _clusters(known, relations, settings.clustering),
    }


def _pictures(folder: Path) -> Iterator[Path]:
    """Yield the files that are or claim to be pictures, in the order of their names."""

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename} cannot be listed: {error.strerror}")

    for parent, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(parent, name)
            if not name.startswith(".") and (path.suffix.lower() in _EXTENSIONS or _looks_like_picture(path)):
                yield path


def _looks_like_picture(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return (sniff(stream.read(64)) or "").startswith("image/")
    except OSError:
        return False


class _Files:
    """The pictures by number, byte copies collapsed to the first of them."""

    def __init__(self, folder: Path, paths: Sequence[Path], inspected: Sequence[_Inspected]) -> None:
        self.names = [path.relative_to(folder).as_posix() for path in paths]
        self.facts: dict[int, Facts] = {}
        self.signatures: list[Signature] = []
        self.copies: dict[int, list[int]] = {}
        first_of: dict[str, int] = {}
        for index, found in enumerate(inspected):
            record = found.record
            if not record.readable:
                continue
            first = first_of.setdefault(found.digest, index)
            self.copies.setdefault(first, []).append(index)
            if first == index:
                assert record.phash is not None
                assert record.dhash is not None
                assert record.pixel_digest is not None
                assert record.parts is not None
                self.signatures.append(Signature(index, record.phash, record.dhash, record.pixel_digest, record.parts))
                pixels = (record.width or 0) * (record.height or 0)
                self.facts[index] = Facts(pixels, record.sharpness or 0.0, record.text_share or 0.0)


def _clusters(known: _Files, relations: Sequence[Relation], clustering: Clustering) -> list[Cluster]:
    members = cluster(relations, clustering, facts=known.facts)
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
def _workers(files: int, processes: int | None) -> Iterator[Executor | None]:
    count = processes or os.cpu_count() or 1
    if count == 1 or files < _WORTH_PROCESSES:
        yield None
        return
    # Forking a process that runs compiled threads may hang its child.
    pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_start_worker)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent ends its workers
    cv2.setNumThreads(1)


def _inspect_all(
    paths: Sequence[Path], limits: Limits, pool: Executor | None, progress: Progress | None
) -> list[_Inspected]:
    tasks = [list(enumerate(paths))[start : start + _FILES_PER_TASK] for start in range(0, len(paths), _FILES_PER_TASK)]
    results: list[_Inspected] = []
    for done in (pool.map if pool else map)(partial(_inspect_files, limits=limits), tasks):
        results += done
        if progress is not None:
            progress("inspect", len(results), len(paths))
    return results


def _inspect_files(task: Sequence[tuple[int, Path]], limits: Limits) -> list[_Inspected]:
    return [_inspect_file(index, path, limits) for index, path in task]


def _inspect_file(index: int, path: Path, limits: Limits) -> _Inspected:
    try:
        size = path.stat().st_size
        if size > limits.max_bytes:
            reason = f"{size} bytes exceed the limit of {limits.max_bytes}"
            return _Inspected("", Inspection(index, readable=False, reason=reason))
        data = path.read_bytes()
    except OSError as error:
        return _Inspected("", Inspection(index, readable=False, reason=f"cannot be read: {error.strerror}"))
    return _Inspected(sha256(data).hexdigest(), *inspect_with_glance(index, data, limits))


def _verify_all(
    candidates: Sequence[Candidate],
    paths: Sequence[Path],
    settings: DedupeSettings,
    pool: Executor | None,
    progress: Progress | None,
) -> list[Relation]:
    relations: list[Relation] = []
    done = 0
    verify = partial(_verify_files, limits=settings.limits)
    tasks = [(task, _paths_of(task, paths)) for task in by_pair(in_blocks(candidates))]
    for (task, _), found in zip(tasks, (pool.map if pool else map)(verify, tasks), strict=True):
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
    try:
        return Picture(small_picture(path.read_bytes(), limits))
    except (OSError, Unreadable) as error:
        raise UserError(
            f"{path} changed while it was examined ({error}): run again when the folder is at rest"
        ) from None
