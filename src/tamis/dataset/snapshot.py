"""Freezing a data set: what the settings admit, with refined gold labels, split without leaks, numbered and hashed.

The folder is written aside and moved into place within the transaction that records the snapshot, so that a folder
without a row is the remains of an interrupted attempt and nothing else.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile, mkdtemp
from typing import IO, Any

import sqlalchemy as sa

from tamis import schema
from tamis.config import Settings
from tamis.database import chunks, reading, writing
from tamis.dataset.candidates import Candidate, Dropped, Progress, read_candidates
from tamis.dataset.grouping import group_keys, split_samples
from tamis.dataset.items import find_items
from tamis.dataset.manifest import MANIFEST, SPLITS, Sample, Snapshot, Split
from tamis.dataset.maskrows import read_masks
from tamis.dataset.refine import Refined, refine
from tamis.errors import UserError
from tamis.labels import Attribute
from tamis.project import Project
from tamis.vision.boxes import expand

FOLDER = "snapshots"
DROPPED, REPORT = "dropped.csv", "report.json"
#: Settings that say which rows a snapshot has; they are kept with it.
_SECTIONS = ("snapshot", "detect", "inspect", "duplicates", "regionduplicates", "classify", "segment")
#: Settings of [snapshot] under which the splits of the snapshot before are kept.
_SPLITTING = ("validation", "test", "group", "seed")
#: Remains of attempts that were killed are removed when they are older than this.
_STALE_SECONDS = 86_400.0


class _NameTakenError(UserError):
    """Another process recorded a snapshot of that name."""


@dataclass(frozen=True)
class _Frozen:
    """A snapshot that is ready to be written; `masks` holds the lines of its masks, on disk for their number."""

    samples: tuple[Sample, ...]
    refined: Refined
    candidates: Mapping[str, Candidate]
    dropped: Sequence[Dropped]
    masks: IO[bytes]


def make_snapshot(project: Project, name: str | None = None, *, progress: Progress | None = None) -> Snapshot:
    """Freeze the project's data set and return it.

    The folder holds `manifest.json` and `samples.jsonl` (see `tamis.dataset.manifest`), `masks.jsonl` where the project
    segments, `dropped.csv` (what was left out and why) and `report.json` (classes, splits, what refinement did,
    warnings). Equal data give an equal digest.

    Args:
        project: where from.
        name: its name; `<project>-<number>` when it is not given.
        progress: called with images judged, all images, and a text.

    Raises:
        UserError: nothing to freeze, wrong settings, a name that is taken, or a folder that cannot be written.
    """
    attributes = _attributes(project.settings)
    with TemporaryFile() as masks:
        with reading(_repeatable(project.engine)) as connection:
            _check_name(connection, name or f"{project.settings.project.name}-0")
            frozen = _freeze(connection, project, attributes, masks, progress)
        while True:
            snapshot = _numbered(project, name, frozen)
            try:
                _store(project, snapshot, frozen)
            except _NameTakenError:
                if name is not None:
                    raise
            except OSError as error:
                raise UserError(f"cannot write the snapshot {snapshot.folder}: {error.strerror or error}") from error
            else:
                return snapshot


def open_snapshot(project: Project, name: str) -> Snapshot:
    """Read a snapshot of a project by its name, or by the path of its folder.

    Raises:
        UserError: there is none; the message lists those there are.
    """
    with reading(project.engine) as connection:
        rows = connection.execute(sa.select(schema.snapshot.c.name, schema.snapshot.c.folder)).all()
    for row in rows:
        if row.name == name:
            return Snapshot.read(project.folder / row.folder)
    for folder in (Path(name), project.folder / name):
        if (folder / MANIFEST).is_file():
            return Snapshot.read(folder)
    listed = ", ".join(row.name for row in rows) or "none: `tamis snapshot` makes one"
    raise UserError(f"no snapshot {name!r} here; there are: {listed}")


def of_items(project: Project, snapshot: Snapshot, names: Sequence[str]) -> Snapshot:
    """Return the part of a snapshot that shows some items of the project, named by number or page URL.

    Raises:
        UserError: there is no such item, or no sample shows one of them.
    """
    with reading(project.engine) as connection:
        urls = set(find_items(connection, names).values())
    samples = tuple(sample for sample in snapshot.samples if sample.item_url in urls)
    if missing := urls - {sample.item_url for sample in samples}:
        raise UserError(f"snapshot {snapshot.name} has no sample of {', '.join(sorted(missing))}")
    return replace(snapshot, samples=samples)


def warnings_of(snapshot: Snapshot) -> list[str]:
    """Return what a person should know before training on a snapshot, one line each."""
    warnings: list[str] = []
    for attribute in snapshot.attributes:
        counts = Counter(
            sample.labels[attribute.name] for sample in snapshot.samples if attribute.name in sample.labels
        )
        if not counts:
            warnings.append(f"{attribute.name}: no sample has a label")
        elif len(counts) == 1:
            warnings.append(f"{attribute.name}: all labels are {next(iter(counts))}; one class cannot be learned")
        for split in SPLITS[1:]:
            seen = {sample.labels.get(attribute.name) for sample in snapshot.split(split)}
            missing = sorted(counts.keys() - seen)
            if missing and len(counts) > 1 and snapshot.settings["snapshot"][split] > 0:
                warnings.append(f"{attribute.name}: no {split} sample is {', '.join(missing)}")
    return warnings


def _attributes(settings: Settings) -> tuple[Attribute, ...]:
    asked = settings.snapshot.attributes
    known = {attribute.name: attribute for attribute in settings.attributes}
    for key, names in (("attributes", asked), ("stratify", filter(None, [settings.snapshot.stratify]))):
        for name in names:
            if name not in known:
                raise UserError(f"snapshot.{key}: {name!r} is no attribute; declared: {', '.join(known) or 'none'}")
    return tuple(known[name] for name in asked) if asked else settings.attributes


def _freeze(
    connection: sa.Connection,
    project: Project,
    attributes: Sequence[Attribute],
    masks: IO[bytes],
    progress: Progress | None,
) -> _Frozen:
    settings = project.settings
    candidates: dict[str, Candidate] = {}
    dropped: list[Dropped] = []
    names = [attribute.name for attribute in attributes]
    for one in read_candidates(connection, settings, names, progress=progress):
        if isinstance(one, Dropped):
            dropped.append(one)
        else:
            candidates[one.id] = one
    refined = refine(attributes, {key: one.golds for key, one in candidates.items()}, settings.snapshot)
    for key, reason in sorted(refined.dropped.items()):
        one = candidates.pop(key)
        dropped.append(Dropped(key, one.region.sha256, one.verdict, reason))
    if not candidates:
        raise UserError(_explain_empty(settings, dropped))
    groups = group_keys(connection, list(candidates.values()), settings.snapshot.group)
    stratify = settings.snapshot.stratify or (names[0] if names else "")
    previous = _previous_splits(connection, settings)
    splits = split_samples(groups, refined.labels, settings.snapshot, stratify, previous)
    samples = {
        key: _sample(candidates[key], splits[key], refined.labels[key], groups[key], settings)
        for key in sorted(candidates)
    }
    if settings.segment.method != "off":
        regions = {key: candidates[key].region.region_id for key in samples}
        for mask in read_masks(connection, regions):
            samples[mask.sample] = replace(samples[mask.sample], mask=mask.digest)
            masks.write(mask.to_json().encode() + b"\n")
    return _Frozen(tuple(samples.values()), refined, candidates, dropped, masks)


def _sample(one: Candidate, split: Split, labels: Mapping[str, str], group: str, settings: Settings) -> Sample:
    region, detect = one.region, settings.detect
    origin = one.origins[0] if one.origins else None
    return Sample(
        id=one.id,
        sha256=region.sha256,
        box_xyxy=region.box_xyxy,
        crop_xyxy=expand(region.box_xyxy, region.image_wh, detect.margin, detect.crop_aspect),
        split=split,
        verdict=one.verdict,
        labels=dict(labels),
        group=group,
        item_url=origin.item_url if origin else "",
        item_title=origin.item_title if origin else "",
        picture_url=origin.picture_url if origin else "",
        reason=one.reason,
    )


def _explain_empty(settings: Settings, dropped: Sequence[Dropped]) -> str:
    if not dropped:
        return "nothing to freeze: no picture has been inspected yet; `tamis run` does that"
    wanted = " or ".join(settings.snapshot.verdicts) or "nothing"
    reasons = Counter(f"{one.verdict}: {one.reason}" for one in dropped).most_common(2)
    told = "; ".join(f"{amount} x {reason}" for reason, amount in reasons)
    return f"nothing to freeze: none of {len(dropped)} samples is {wanted} with all required labels ({told})"


def _previous_splits(connection: sa.Connection, settings: Settings) -> dict[str, Split]:
    """Sample id -> split in the newest snapshot that was split by the same settings."""
    given = settings.snapshot.model_dump(mode="json")
    table, sample = schema.snapshot.c, schema.sample.c
    for row in connection.execute(sa.select(table.id, table.settings).order_by(table.id.desc())):
        before = row.settings.get("snapshot", {})
        if all(before.get(key) == given[key] for key in _SPLITTING):
            rows = connection.execute(sa.select(sample.public_id, sample.split).where(sample.snapshot_id == row.id))
            return {one.public_id: one.split for one in rows}
    return {}


# --- writing ------------------------------------------------------------------------------------------------------


def _repeatable(engine: sa.Engine) -> sa.Engine:
    """An engine whose transactions see one state of the database; those of SQLite always do."""
    if engine.dialect.name == "sqlite":
        return engine
    return engine.execution_options(isolation_level="REPEATABLE READ")


def _check_name(connection: sa.Connection, name: str) -> None:
    if not name.replace("-", "").replace("_", "").replace(".", "").isalnum() or name.startswith(".") or len(name) > 100:
        raise UserError(f"{name!r} cannot name a snapshot: letters, digits, -, _ and . are allowed, up to 100")
    taken = sa.select(schema.snapshot.c.id).where(schema.snapshot.c.name == name)
    if connection.scalar(taken) is not None:
        raise _NameTakenError(f"there is a snapshot {name!r} already; a snapshot never changes: choose another name")


def _numbered(project: Project, name: str | None, frozen: _Frozen) -> Snapshot:
    with reading(project.engine) as connection:
        taken = {
            row.name: row.id for row in connection.execute(sa.select(schema.snapshot.c.name, schema.snapshot.c.id))
        }
    number = max(taken.values(), default=0) + 1
    while name is None and f"{project.settings.project.name}-{number}" in taken:
        number += 1
    name = name or f"{project.settings.project.name}-{number}"
    folder = project.path(FOLDER, name)
    return Snapshot(
        folder=folder,
        name=name,
        number=number,
        attributes=frozen.refined.attributes,
        samples=frozen.samples,
        blobs_url=_blobs_url(project, folder),
        settings=project.settings.model_dump(mode="json", include=set(_SECTIONS)),
        created_at=time.time(),
    )


def _blobs_url(project: Project, folder: Path) -> str:
    store = project.settings.project.store
    return store if "://" in store else Path(os.path.relpath(project.folder / store, folder)).as_posix()


def _store(project: Project, snapshot: Snapshot, frozen: _Frozen) -> None:
    parent = snapshot.folder.parent
    parent.mkdir(parents=True, exist_ok=True)
    _sweep(parent)
    aside = Path(mkdtemp(prefix=f".{snapshot.name}-", dir=parent))
    try:
        aside.chmod(0o755)
        frozen.masks.seek(0)
        replace(snapshot, folder=aside).write(frozen.masks)
        _write_dropped(aside / DROPPED, frozen)
        text = json.dumps(report_of(snapshot, frozen.refined, len(frozen.dropped)), ensure_ascii=False, indent=2)
        (aside / REPORT).write_text(text + "\n", encoding="utf-8")
        with writing(project.engine) as connection:
            _check_name(connection, snapshot.name)
            _record(connection, project, snapshot, frozen)
            if snapshot.folder.exists():
                _remove_remains(snapshot.folder)
            aside.rename(snapshot.folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def report_of(snapshot: Snapshot, refined: Refined, dropped: int) -> dict[str, Any]:
    """Return what the freezing did, as plain values."""
    return {
        "samples": len(snapshot.samples),
        "dropped": dropped,
        "verdicts": dict(Counter(sample.verdict for sample in snapshot.samples)),
        "splits": {split: len(snapshot.split(split)) for split in SPLITS},
        "groups": len({sample.group for sample in snapshot.samples}),
        "attributes": {name: one.to_json() for name, one in refined.report.items()},
        "warnings": warnings_of(snapshot),
    }


def _record(connection: sa.Connection, project: Project, snapshot: Snapshot, frozen: _Frozen) -> None:
    row = {
        "name": snapshot.name, "folder": snapshot.folder.relative_to(project.folder).as_posix(),
        "digest": snapshot.digest, "samples": len(snapshot.samples), "settings": dict(snapshot.settings),
        "created_at": snapshot.created_at,
    }  # fmt: skip
    try:
        key = connection.execute(schema.snapshot.insert().values(row)).inserted_primary_key
    except sa.exc.IntegrityError as error:
        raise _NameTakenError(f"there is a snapshot {snapshot.name!r} already: choose another name") from error
    assert key is not None
    for part in chunks(snapshot.samples):
        rows = [
            {
                "snapshot_id": key[0], "public_id": sample.id, "split": sample.split,
                "region_id": frozen.candidates[sample.id].region.region_id,
                "item_id": next((one.item_id for one in frozen.candidates[sample.id].origins), None),
            }
            for sample in part
        ]  # fmt: skip
        connection.execute(schema.sample.insert(), rows)


def _write_dropped(path: Path, frozen: _Frozen) -> None:
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["id", "sha256", "verdict", "reason"])
        for one in sorted(frozen.dropped, key=lambda one: (one.id, one.sha256)):
            writer.writerow([one.id, one.sha256, one.verdict, one.reason])


def _remove_remains(folder: Path) -> None:
    """Remove the folder of an attempt that was killed before it was recorded; anything else is the user's."""
    if not (folder / MANIFEST).is_file():
        raise UserError(f"{folder} is in the way of the snapshot: it holds something else; move it or choose a name")
    shutil.rmtree(folder)


def _sweep(parent: Path) -> None:
    for remains in parent.glob(".*-*"):
        if remains.is_dir() and time.time() - remains.stat().st_mtime > _STALE_SECONDS:
            shutil.rmtree(remains, ignore_errors=True)
