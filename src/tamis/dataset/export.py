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
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from threading import Event
from typing import Any

from tamis.blobs import write_whole
from tamis.dataset.candidates import Progress
from tamis.dataset.encode import class_table
from tamis.dataset.manifest import Sample, Snapshot
from tamis.dataset.maskfile import MASKS
from tamis.dataset.target import ExportOptions, ExportReport, Job, Target, crop_file, mask_file
from tamis.errors import UserError

#: Describes an export, so that only the same one goes on in its folder.
DESCRIPTION = "export.json"
#: Where questionable samples go that nobody labelled.
UNLABELLED = "unlabelled"
#: Where all samples go when the snapshot has no labels to part them by.
EVERYTHING = "all"
#: Where the masks of pictures go.
MASK_FOLDER = PurePosixPath("masks")
_NO_MASK_FILE = "exported without a mask: it has none"
#: Names that some file systems keep for devices.
_DEVICES = {"con", "prn", "aux", "nul", *(f"{name}{n}" for name in ("com", "lpt") for n in range(1, 10))}


Export = Callable[[Snapshot, Target, ExportOptions], None]


@dataclass(frozen=True, slots=True)
class Exporter:
    """One format: its name, a line of help, what writes it, and whether it holds pictures."""

    name: str
    help: str
    write: Export
    has_pictures: bool = True


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
        UserError: an unknown format or attribute, cut-outs or masks that there are not, a folder that holds something
            else or cannot be written.
        Interrupted: `stop` was set.
    """
    exporter = EXPORTERS.get(form)
    if exporter is None:
        raise UserError(f"unknown format {form!r}; there are: {', '.join(EXPORTERS)}")
    chosen = options or ExportOptions()
    if chosen.attribute:
        snapshot.attribute(chosen.attribute)
    _check_masks(snapshot, exporter, chosen)
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


def _check_masks(snapshot: Snapshot, exporter: Exporter, options: ExportOptions) -> None:
    if options.cut_out and not exporter.has_pictures:
        able = ", ".join(name for name, one in EXPORTERS.items() if one.has_pictures)
        raise UserError(f"{exporter.name} holds no pictures that could be cut out; these formats do: {able}")
    if (options.cut_out or options.masks) and not any(sample.mask for sample in snapshot.samples):
        raise UserError(
            f"snapshot {snapshot.name} has no masks: set [segment] method, `tamis run segment`, and make a new snapshot"
        )


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
    write_whole(description, (json.dumps(facts, indent=2, sort_keys=True) + "\n").encode())


# --- formats ------------------------------------------------------------------------------------------------------


def _write_csv(snapshot: Snapshot, target: Target, options: ExportOptions) -> None:
    """`samples.csv`: one row a sample with labels, split, verdict and provenance; `classes.json`: class numbers.

    Masks go to `masks.jsonl`, a line each: the sample's id, the method, and `size` and `counts` as COCO has them, of
    the whole upright picture.
    """
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
    if options.masks:
        found = [snapshot.masks.read(sample.id, sample.mask) for sample in snapshot.samples if sample.mask]
        target.write(PurePosixPath(MASKS), "".join(f"{mask.to_json()}\n" for mask in found).encode())
        for _ in range(len(snapshot.samples) - len(found)):
            target.remark(_NO_MASK_FILE)
    _write_classes(snapshot, target)


def _write_folders(snapshot: Snapshot, target: Target, options: ExportOptions) -> None:
    """`clean/<class>/<id>` and `questionable/<class>/<id>`: pictures by one attribute, for folder-based loaders.

    Questionable samples are there if the snapshot admits them (`snapshot.verdicts`). Of samples without a label on
    the attribute the questionable ones go to `questionable/unlabelled`, the others are left out and counted: a loader
    would take their folder for a class. Where nobody labelled anything all samples are in the folder `all`. Masks are
    PNG files of the same names in the same folders below `masks`.
    """
    name = options.attribute or (snapshot.attributes[0].name if snapshot.attributes else "")
    classes = snapshot.attribute(name).classes if name else ()
    if not classes:
        name, classes = "", (EVERYTHING,)
    folders = folder_names([*classes, UNLABELLED])

    def pictures() -> Iterator[Job]:
        for sample in snapshot.samples:
            value = sample.labels.get(name) if name else EVERYTHING
            side = "clean" if sample.verdict == "keep" else "questionable"
            if value is None and side == "clean":
                target.leave_out(f"no label of {name}")
                continue
            place = PurePosixPath(side, folders[UNLABELLED if value is None else value])
            yield from _jobs(sample, place, target, options)

    target.write_pictures(snapshot, pictures(), options)
    _write_classes(snapshot, target)


def _jobs(sample: Sample, place: PurePosixPath, target: Target, options: ExportOptions) -> Iterator[Job]:
    """The files of a sample whose picture goes to the folder `place`; a missing mask is counted."""
    if options.cut_out and not sample.mask:
        if not options.keep_unmasked:
            target.leave_out("no mask to cut it out by")
            return
        target.remark("exported whole: no mask to cut it out by")
    yield Job(sample, place / (sample.id + options.rendering.suffix), crop_file)
    if options.masks and sample.mask:
        yield Job(sample, MASK_FOLDER / place / f"{sample.id}.png", mask_file, is_picture=False)
    elif options.masks:
        target.remark(_NO_MASK_FILE)


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
        Exporter("csv", "one row a sample with its labels and where it came from", _write_csv, has_pictures=False),
        Exporter("folders", "pictures in clean/CLASS and questionable/CLASS", _write_folders),
    )
}
