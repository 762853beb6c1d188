"""What `tamis fetch` can be told, checked; and what the processes say to each other."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from tamis.errors import UserError

Form = Literal["files", "webdataset", "parquet"]
Mode = Literal["longest", "shortest", "crop", "border"]
Encoding = Literal["jpg", "png", "webp"]

#: Settings that all pictures of a folder share; a later run must name the same.
FIXED = ("form", "resize", "mode", "upscale", "encoding", "quality")
#: Bytes at which a shard is full, however few its pictures.
SHARD_BYTES = 1 << 30
#: More processes than this ask no faster: the network and the disk are the limit.
_MAX_PROCESSES = 8


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """How pictures are asked for and kept. Sizes in pixels and bytes, times in seconds.

    Args:
        form: one file each, WebDataset shards (tar), or Parquet shards.
        resize: side in pixels, or None: the bytes are kept as they were served.
        mode: `longest` or `shortest` side, `crop` to a square, `border`: padded with white to a square.
        upscale: whether smaller pictures are enlarged.
        encoding: how resized pictures are written; a picture that fits already and is of this kind stays as it is.
        quality: 1 to 100, for JPEG and WebP.
        shard_size: pictures in a shard.
        caption: column of the list that is written as `.txt` into WebDataset shards.
        min_side, max_aspect: pictures with a shorter side, or longer compared to their width, fail.
        verify: decode every picture in full; a damaged one fails.
        concurrency, per_host: requests under way in all, and at one host.
        processes: worker processes; 0 for one a core.
    """

    form: Form = "files"
    resize: int | None = None
    mode: Mode = "longest"
    upscale: bool = False
    encoding: Encoding = "jpg"
    quality: int = 95
    shard_size: int = 10_000
    caption: str | None = None
    min_side: int = 0
    max_aspect: float = 0.0
    verify: bool = False
    concurrency: int = 64
    per_host: int = 16
    processes: int = 0
    timeout: float = 30.0
    attempts: int = 3
    retry_wait: float = 1.0
    max_bytes: int = 50_000_000
    max_pixels: int = 100_000_000
    user_agent: str = "tamis/0.1 (+https://tamis.example/bot)"
    allow_private: bool = False
    obey_robots: bool = True
    obey_noai: bool = True

    def __post_init__(self) -> None:
        for name, kind in (("form", Form), ("mode", Mode), ("encoding", Encoding)):
            if getattr(self, name) not in get_args(kind):
                raise UserError(f"{name}={getattr(self, name)!r}: expected one of {', '.join(get_args(kind))}")
        least = {"resize": 8, "quality": 1, "shard_size": 1, "concurrency": 1, "per_host": 1, "attempts": 1}
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                raise UserError(f"{name}={value}: at least {bound} is needed")
        if self.quality > 100:
            raise UserError(f"quality={self.quality}: at most 100")

    @property
    def fixed(self) -> dict[str, Any]:
        """The settings that a folder was begun with."""
        return {name: getattr(self, name) for name in FIXED}

    @property
    def worker_count(self) -> int:
        """Worker processes for a long list."""
        return self.processes or min(len(os.sched_getaffinity(0)), _MAX_PROCESSES)


@dataclass(frozen=True, slots=True)
class Task:
    """One URL to ask for. `number` names it in the folder; `extra` is the JSON object of its other columns."""

    number: int
    url: str
    extra: str = "{}"
    shared: bool = False
    """Whether other processes ask this host too."""


@dataclass(frozen=True, slots=True)
class Spool:
    """A shard that is being written: its id, and its bytes and pictures so far; `full` once nothing more follows."""

    id: int
    size: int = 0
    count: int = 0
    full: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a picture's bytes are: below the folder, or at an offset of a shard that is being written."""

    file: str | None = None
    spool: int | None = None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Kept:
    """Facts of a stored picture, and of the bytes that were served."""

    format: str
    width: int
    height: int
    size: int
    sha256: str
    original_width: int
    original_height: int
    original_size: int
    original_sha256: str


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one URL; `passing` failures may be gone the next time."""

    number: int
    outcome: str
    error: str | None = None
    passing: bool = False
    status: int | None = None
    kept: Kept | None = None
    place: Place = field(default_factory=Place)


@dataclass(frozen=True, slots=True)
class Batch:
    """What a worker finished; `spools` are the shards that it wrote to, all bytes handed to the system."""

    results: tuple[Result, ...] = ()
    spools: tuple[Spool, ...] = ()
    fault: str | None = None
    """Why this worker cannot go on, such as a full disk."""
    ended: bool = False
    """Whether this is the last report."""


@dataclass(frozen=True, slots=True)
class Order:
    """What the main process tells a worker."""

    tasks: tuple[Task, ...] = ()
    spools: tuple[Spool, ...] = ()
    """Shards that it may write to."""
    finish: bool = False
    """No more tasks follow: end when all are done."""
    stop: bool = False
    """End now; what is under way is finished within seconds or dropped. The last order."""
