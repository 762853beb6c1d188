"""The folder of an export: what may be chosen, and files that are written whole or not at all, several at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from threading import Event
from typing import Any, NamedTuple

from tamis.blobs import BlobCorrupt, BlobMissing, write_whole
from tamis.dataset.candidates import Progress
from tamis.dataset.manifest import Sample, Snapshot
from tamis.errors import Interrupted, Unreadable
from tamis.vision.decode import DEFAULT_LIMITS, Limits
from tamis.vision.render import PLAIN, Rendering, render_crop, render_mask


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What may be chosen.

    `attribute` names the class folders (empty: the first one). With `cut_out` the ground of the objects goes, by their
    masks: it becomes transparent, or the rendering's `background_rgb`. A sample without a mask is left out then, or, by
    `keep_unmasked`, exported with its ground; both are counted. `masks` writes the masks too. `limits` bound what is
    decoded; `threads` render at once.
    """

    attribute: str = ""
    rendering: Rendering = PLAIN
    cut_out: bool = False
    keep_unmasked: bool = False
    masks: bool = False
    limits: Limits = DEFAULT_LIMITS
    threads: int = 2

    def describe(self) -> dict[str, Any]:
        """The options that the files depend on."""
        facts: dict[str, Any] = {"attribute": self.attribute, "rendering": asdict(self.rendering)}
        if self.cut_out:
            facts["cut_out"] = {"unmasked": "whole" if self.keep_unmasked else "left out"}
        return facts | ({"masks": True} if self.masks else {})


@dataclass(frozen=True, slots=True)
class ExportReport:
    """Files written and found there already, samples left out with the reason, and samples that failed with theirs.

    Of the files `pictures_written` and `pictures_skipped` show samples; the others are masks and tables. `remarks`
    counts samples that are exported, but otherwise than asked for.
    """

    out: Path
    written: int
    skipped: int
    pictures_written: int = 0
    pictures_skipped: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)
    failed: tuple[tuple[str, str], ...] = ()
    remarks: Mapping[str, int] = field(default_factory=dict)


#: Makes the bytes of one file of a sample.
Render = Callable[[Snapshot, Sample, ExportOptions], bytes]


class Job(NamedTuple):
    """A file that is rendered from a sample: its picture, or another."""

    sample: Sample
    name: PurePosixPath
    render: Render
    is_picture: bool = True


class Target:
    """The folder of an export."""

    def __init__(self, folder: Path, progress: Progress | None = None, stop: Event | None = None) -> None:
        self.folder = folder
        self.written = self.skipped = self.pictures_written = self.pictures_skipped = 0
        self.left_out: dict[str, int] = {}
        self.remarks: dict[str, int] = {}
        self.failed: list[tuple[str, str]] = []
        self._progress = progress
        self._stop = stop or Event()

    def leave_out(self, reason: str) -> None:
        """Count a sample that this format has no place for."""
        self.left_out[reason] = self.left_out.get(reason, 0) + 1

    def remark(self, text: str) -> None:
        """Count a sample that is exported otherwise than asked for."""
        self.remarks[text] = self.remarks.get(text, 0) + 1

    def write(self, name: PurePosixPath, data: bytes) -> None:
        """Write a file whole or not at all; the same bytes that are there already are skipped."""
        path = self.folder / name
        if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
            self.skipped += 1
            return
        write_whole(path, data)
        self.written += 1

    def write_pictures(self, snapshot: Snapshot, pictures: Iterable[Job], options: ExportOptions) -> None:
        """Render the samples into files, several at once; those that are there are skipped.

        Raises:
            Interrupted: the stop was asked for; what was begun is finished.
        """
        jobs = list(pictures)
        done = 0
        for job, reason, skipped in self._rendered(snapshot, jobs, options):
            done += 1
            if reason:
                self.failed.append((job.sample.id, reason))
            elif skipped:
                self.skipped += 1
                self.pictures_skipped += job.is_picture
            else:
                self.written += 1
                self.pictures_written += job.is_picture
            if self._progress is not None:
                self._progress(done, len(jobs), f"{len(self.failed)} failed" if self.failed else "")
        self.failed = sorted(set(self.failed))
        if done < len(jobs):
            raise Interrupted(f"stopped after {done} of {len(jobs)} files", "the same command goes on from there")

    def _rendered(
        self, snapshot: Snapshot, jobs: Iterable[Job], options: ExportOptions
    ) -> Iterator[tuple[Job, str, bool]]:
        """Job, why it failed (or empty), whether it was there; a bounded number of jobs is under way."""
        waiting: set[Future[tuple[Job, str, bool]]] = set()
        with ThreadPoolExecutor(options.threads) as pool:
            for job in jobs:
                if self._stop.is_set():
                    break
                waiting.add(pool.submit(_render, snapshot, job, self.folder, options))
                if len(waiting) >= 4 * options.threads:
                    finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in finished)
            yield from (future.result() for future in waiting)

    def report(self) -> ExportReport:
        """What was done."""
        return ExportReport(
            self.folder,
            self.written,
            self.skipped,
            self.pictures_written,
            self.pictures_skipped,
            self.left_out,
            tuple(self.failed),
            self.remarks,
        )


def crop_file(snapshot: Snapshot, sample: Sample, options: ExportOptions) -> bytes:
    """Return the picture of a sample, cut out of its ground where the options say so and it has a mask.

    Raises:
        BlobMissing, BlobCorrupt, Unreadable: there is no picture.
        ValueError: the mask is not one of the picture.
    """
    mask = snapshot.masks.read(sample.id, sample.mask).array() if options.cut_out and sample.mask else None
    original = snapshot.blobs.get(sample.sha256)
    return render_crop(original, sample.crop_xyxy, options.rendering, mask=mask, limits=options.limits)


def mask_file(snapshot: Snapshot, sample: Sample, options: ExportOptions) -> bytes:
    """Return the mask of a sample in the geometry of its picture, as a grey PNG: 255 the object, 0 the ground.

    Raises:
        ValueError: the run lengths are damaged.
    """
    mask = snapshot.masks.read(sample.id, sample.mask).array()
    return render_mask(mask, sample.crop_xyxy, options.rendering)


def _render(snapshot: Snapshot, job: Job, folder: Path, options: ExportOptions) -> tuple[Job, str, bool]:
    path = folder / job.name
    if path.is_file():
        return job, "", True
    try:
        data = job.render(snapshot, job.sample, options)
    except (BlobMissing, BlobCorrupt, Unreadable, ValueError) as error:
        return job, " ".join(str(error).split()), False
    write_whole(path, data)
    return job, "", False
