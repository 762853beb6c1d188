"""Writing snapshots out for other tools: a registry of exporters, and what they share.

An exporter is a function that is given a snapshot, a target and options. The target writes files whole or not at all
and skips those that are there, so that an export that was stopped goes on where it was; it refuses a folder that
holds anything else. Pictures are rendered from the original bytes: upright, without metadata, never enlarged.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from threading import Event
from typing import Any
from uuid import uuid4

from tamis.blobs import BlobCorrupt, BlobMissing
from tamis.dataset.candidates import Progress
from tamis.dataset.encode import class_table
from tamis.dataset.manifest import Sample, Snapshot
from tamis.errors import Interrupted, Unreadable, UserError
from tamis.vision.decode import DEFAULT_LIMITS, Limits
from tamis.vision.render import PLAIN, Rendering, render_crop

#: Describes an export, so that only the same one goes on in its folder.
DESCRIPTION = "export.json"
#: Where questionable samples go that nobody labelled.
UNLABELLED = "unlabelled"
#: Where all samples go when the snapshot has no labels to part them by.
EVERYTHING = "all"
#: Names that some file systems keep for devices.
_DEVICES = {"con", "prn", "aux", "nul", *(f"{name}{n}" for name in ("com", "lpt") for n in range(1, 10))}


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What may be chosen.

    `attribute` names the class folders (empty: the first one); `limits` bound what is decoded; `threads` render at
    once.
    """

    attribute: str = ""
    rendering: Rendering = PLAIN
    limits: Limits = DEFAULT_LIMITS
    threads: int = 2

    def describe(self) -> dict[str, Any]:
        """The options that the files depend on."""
        return {"attribute": self.attribute, "rendering": asdict(self.rendering)}


@dataclass(frozen=True, slots=True)
class ExportReport:
    """Files written and found there already, samples left out with the reason, and samples that failed with theirs."""

    out: Path
    written: int
    skipped: int
    left_out: Mapping[str, int] = field(default_factory=dict)
    failed: tuple[tuple[str, str], ...] = ()


class Target:
    """The folder of an export."""

    def __init__(self, folder: Path, progress: Progress | None = None, stop: Event | None = None) -> None:
        self.folder = folder
        self.written = self.skipped = 0
        self.left_out: dict[str, int] = {}
        self.failed: list[tuple[str, str]] = []
        self._progress = progress
        self._stop = stop or Event()

    def leave_out(self, reason: str) -> None:
        """Count a sample that this format has no place for."""
        self.left_out[reason] = self.left_out.get(reason, 0) + 1

    def write(self, name: PurePosixPath, data: bytes) -> None:
        """Write a file whole or not at all; the same bytes that are there already are skipped."""
        path = self.folder / name
        if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
            self.skipped += 1
            return
        _write_whole(path, data)
        self.written += 1

    def write_pictures(
        self, snapshot: Snapshot, pictures: Iterable[tuple[Sample, PurePosixPath]], options: ExportOptions
    ) -> None:
        """Render the samples' crops into files, several at once; those that are there are skipped.

        Raises:
            Interrupted: the stop was asked for; what was begun is finished.
        """
        jobs = list(pictures)
        done = 0
        for sample, reason, skipped in self._rendered(snapshot, jobs, options):
            done += 1
            if reason:
                self.failed.append((sample.id, reason))
            elif skipped:
                self.skipped += 1
            else:
                self.written += 1
            if self._progress is not None:
                self._progress(done, len(jobs), f"{len(self.failed)} failed" if self.failed else "")
        self.failed.sort()
        if done < len(jobs):
            raise Interrupted(f"stopped after {done} of {len(jobs)} pictures; the same command goes on from there")

    def _rendered(
        self, snapshot: Snapshot, jobs: Iterable[tuple[Sample, PurePosixPath]], options: ExportOptions
    ) -> Iterator[tuple[Sample, str, bool]]:
        """Sample, why it failed (or empty), whether it was there; a bounded number of jobs is under way."""
        waiting: set[Future[tuple[Sample, str, bool]]] = set()
        with ThreadPoolExecutor(options.threads) as pool:
            for sample, name in jobs:
                if self._stop.is_set():
                    break
                waiting.add(pool.submit(_render, snapshot, sample, self.folder / name, options))
                if len(waiting) >= 4 * options.threads:
                    finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in finished)
            yield from (future.result() for future in waiting)

    def report(self) -> ExportReport:
        """What was done."""
        return ExportReport(self.folder, self.written, self.skipped, self.left_out, tuple(self.failed))


Export = Callable[[Snapshot, Target, ExportOptions], None]


@dataclass(frozen=True, slots=True)
class Exporter:
    """One format: its name, a line of help, and what writes it."""

    name: str
    help: str
    write: Export


def export(
    snapshot: Snapshot,
    form: str,
    out: Path,
    options: ExportOptions | None = None,
    *,
    progress: Progress | None = None,
    stop: Event | None = None,
) -> ExportReport:
    """Write a snapshot in one of the formats of `EXPORTERS`.

    Args:
        snapshot: what to write.
        form: name of the format.
        out: an empty or new folder, or one in which the same export was begun.
        options: what may be chosen.
        progress: called with pictures done, all pictures, and a text.
        stop: set it to end cleanly.

    Raises:
        UserError: an unknown format or attribute, a folder that holds something else or cannot be written.
        Interrupted: `stop` was set.
    """
    exporter = EXPORTERS.get(form)
    if exporter is None:
        raise UserError(f"unknown format {form!r}; there are: {', '.join(EXPORTERS)}")
    chosen = options or ExportOptions()
    if chosen.attribute:
        snapshot.attribute(chosen.attribute)
    target = Target(out, progress, stop)
    facts = {"format": form, "snapshot": snapshot.name, "digest": snapshot.digest, "options": chosen.describe()}
    try:
        _claim(out, json.loads(json.dumps(facts)))
        exporter.write(snapshot, target, chosen)
    except OSError as error:
        raise UserError(f"cannot write the export {out}: {error.strerror or error}") from error
    return target.report()


def export_sizes(
    snapshot: Snapshot,
    form: str,
    out: Path,
    options: Mapping[str, ExportOptions],
    *,
    progress: Progress | None = None,
    stop: Event | None = None,
) -> dict[str, ExportReport]:
    """Write a snapshot once for each of several renderings, each an export of its own in a folder below `out`.

    Args:
        snapshot: what to write.
        form: name of the format.
        out: holds one folder a rendering; nothing else is touched.
        options: name of the folder -> options of that export.
        progress: as for `export`; the text begins with the folder's name.
        stop: set it to end cleanly.

    Raises:
        UserError: as `export`; the folder `out` is itself an export.
        Interrupted: `stop` was set.
    """
    if (out / DESCRIPTION).exists():
        raise UserError(f"{out} holds an export of one size: choose another folder for several")
    reports = {}
    for name, chosen in options.items():

        def show(done: int, total: int | None, text: str, name: str = name) -> None:
            if progress is not None:
                progress(done, total, f"{name} {text}".rstrip())

        reports[name] = export(snapshot, form, out / name, chosen, progress=show, stop=stop)
    return reports


def _claim(out: Path, facts: dict[str, Any]) -> None:
    """Make the folder that of this export; raises UserError if it is that of something else."""
    out.mkdir(parents=True, exist_ok=True)
    description = out / DESCRIPTION
    if description.is_file():
        with suppress(ValueError):
            if json.loads(description.read_text(encoding="utf-8")) == facts:
                return
        raise UserError(f"{out} holds another export, or one with other options: choose another folder or remove it")
    if any(out.iterdir()):
        raise UserError(f"{out} is not empty and holds no export: choose another folder")
    _write_whole(description, (json.dumps(facts, indent=2, sort_keys=True) + "\n").encode())


def _render(snapshot: Snapshot, sample: Sample, path: Path, options: ExportOptions) -> tuple[Sample, str, bool]:
    if path.is_file():
        return sample, "", True
    try:
        original = snapshot.blobs.get(sample.sha256)
        data = render_crop(original, sample.crop_xyxy, options.rendering, limits=options.limits)
    except (BlobMissing, BlobCorrupt, Unreadable, ValueError) as error:
        return sample, " ".join(str(error).split()), False
    _write_whole(path, data)
    return sample, "", False


def _write_whole(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid4().hex}.part")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


# --- formats ------------------------------------------------------------------------------------------------------


def _write_csv(snapshot: Snapshot, target: Target, _: ExportOptions) -> None:
    """`samples.csv`: one row a sample with labels, split, verdict and provenance; `classes.json`: class numbers."""
    names = [attribute.name for attribute in snapshot.attributes]
    corners = [f"{kind}_{corner}" for kind in ("box", "crop") for corner in ("x0", "y0", "x1", "y1")]
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    head = ["id", "split", "verdict", "reason", "group", *(f"label_{name}" for name in names)]
    writer.writerow([*head, "item_url", "item_title", "picture_url", "sha256", *corners])
    for sample in snapshot.samples:
        row: list[object] = [sample.id, sample.split, sample.verdict, sample.reason, sample.group]
        row += [sample.labels.get(name, "") for name in names]
        row += [sample.item_url, _harmless(sample.item_title), sample.picture_url, sample.sha256]
        writer.writerow([*row, *sample.box_xyxy, *sample.crop_xyxy])
    target.write(PurePosixPath("samples.csv"), text.getvalue().encode())
    _write_classes(snapshot, target)


def _write_folders(snapshot: Snapshot, target: Target, options: ExportOptions) -> None:
    """`clean/<class>/<id>` and `questionable/<class>/<id>`: pictures by one attribute, for folder-based loaders.

    Questionable samples are there if the snapshot admits them (`snapshot.verdicts`). Of samples without a label on
    the attribute the questionable ones go to `questionable/unlabelled`, the others are left out and counted: a loader
    would take their folder for a class. Where nobody labelled anything all samples are in the folder `all`.
    """
    name = options.attribute or (snapshot.attributes[0].name if snapshot.attributes else "")
    classes = snapshot.attribute(name).classes if name else ()
    if not classes:
        name, classes = "", (EVERYTHING,)
    folders = folder_names([*classes, UNLABELLED])

    def pictures() -> Iterator[tuple[Sample, PurePosixPath]]:
        for sample in snapshot.samples:
            value = sample.labels.get(name) if name else EVERYTHING
            side = "clean" if sample.verdict == "keep" else "questionable"
            if value is None and side == "clean":
                target.leave_out(f"no label of {name}")
                continue
            folder = folders[UNLABELLED if value is None else value]
            yield sample, PurePosixPath(side, folder, sample.id + options.rendering.suffix)

    target.write_pictures(snapshot, pictures(), options)
    _write_classes(snapshot, target)


def _write_classes(snapshot: Snapshot, target: Target) -> None:
    tables = {attribute.name: class_table(attribute) for attribute in snapshot.attributes}
    text = json.dumps(tables, ensure_ascii=False, indent=2) + "\n"
    target.write(PurePosixPath("classes.json"), text.encode())


def folder_names(values: Iterable[str]) -> dict[str, str]:
    """Return value -> a folder name that every file system takes; names differ even where case does not count."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for value in values:
        plain = re.sub(r"[^\w .+-]", "_", value).strip(". ")[:80].rstrip(". ") or "_"
        if plain.casefold().split(".")[0] in _DEVICES:
            plain = f"_{plain}"
        name, number = plain, 2
        while name.casefold() in taken:
            name, number = f"{plain}-{number}", number + 1
        if value not in names:
            names[value] = name
            taken.add(name.casefold())
    return names


def _harmless(text: str) -> str:
    """A text from the web that no spreadsheet takes for a formula (OWASP, CSV injection)."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


EXPORTERS: dict[str, Exporter] = {
    exporter.name: exporter
    for exporter in (
        Exporter("csv", "one row a sample with its labels and where it came from", _write_csv),
        Exporter("folders", "pictures in clean/CLASS and questionable/CLASS", _write_folders),
    )
}
