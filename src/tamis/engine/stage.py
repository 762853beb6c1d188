"""The contract of a stage: three shapes, typed inputs and outputs, and the fingerprint of what its result depends on.

A stage computes and nothing else. It opens no database, no socket, and no file but the store and the model files that
its context names. The runner selects its pending rows, hands them over and writes what comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tamis.blobs import BlobStore
from tamis.config import Section, Settings
from tamis.engine.known import Known
from tamis.engine.packed import Packed
from tamis.errors import RowError
from tamis.records import digest
from tamis.thumbnails import Thumbnails

#: What a stage may return: records of `tamis.records`.
Record = Any
#: One input row: a frozen dataclass whose fields are columns of the stage's selection.
Input = Any
#: For each input, the records it yields, or the error that ends its work.
Results = Sequence[Sequence[Record] | RowError]
Compute = Callable[[Sequence[Input]], Results]
Setup = Callable[["Context"], Compute]
#: Hears which share of a computation is done, 0 to 1; raises Interrupted where it shall end.
Told = Callable[[float], None]


class Shape(StrEnum):
    """How rows come and go."""

    MAP = "map"  #: one row in, any number of records out
    BATCH = "batch"  #: many rows in at once, so that a model can run them together
    COLLAPSE = "collapse"  #: a whole set at once: the new rows, and those known before


@dataclass(frozen=True, slots=True)
class Context:
    """What a stage may use while it computes; it pickles, so that worker processes get the same."""

    settings: Settings
    folder: Path
    blobs: BlobStore

    @property
    def thumbnails(self) -> Thumbnails:
        """Where small pictures of the images are kept."""
        return Thumbnails.of(self.folder)


#: Side inputs by name.
Side = Mapping[str, Sequence[sa.Row[Any]]]
#: Returns the rows of a lookup, by its name, that have to do with some ids; of all without ids.
LookUp = Callable[[str, Sequence[int] | None], Sequence[sa.Row[Any]]]


@dataclass(frozen=True, slots=True)
class Whole:
    """The input of a collapse: pending rows, rows done before, and the side inputs and lookups that the stage named.

    There may be any number of known rows: what a collapse makes of every row stays small, and it looks up what it
    needs. Where `anew`, what decides besides the rows has changed, and all is to be settled again; else only what the
    new rows touch. It may use so many `threads`, and tells `told` from time to time how far it is.
    """

    new: Packed[Input]
    known: Known[Input]
    side: Side
    look_up: LookUp
    anew: bool = True
    threads: int = 1
    told: Told = lambda _: None

    def find(self, identity: int) -> Input:
        """Return the input with that id, new or known; raises KeyError if there is none."""
        found = self.new.find(identity) or self.known.find(identity)
        if found is None:
            raise KeyError(identity)
        return found


Collapse = Callable[[Context, Whole], Sequence[Record]]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step of the pipeline.

    `select` yields the subjects that are there to be worked on. Its first columns are `subject_id` and
    `input_digest` (of all inputs that can change under the same id; empty where none can); the others are named like
    the fields of `reads`. Where the subjects are neither images nor items, `unit_id` names the image of each. Exactly
    one of `row`, `batch` and `collapse` is given, according to the shape. `row` and `batch` are made once in each
    worker by a set-up function, so that models load once.
    """

    name: str
    version: int
    help: str
    reads: type[Any]
    writes: tuple[type[Any], ...]
    select: Callable[[Settings], sa.Select[Any]]
    #: Given the settings, what puts the outputs of some subjects in place of earlier ones (see `tamis.engine.writers`).
    write: Callable[[Settings], Callable[[sa.Connection, Mapping[int, Sequence[Record]]], None]]
    #: Given the settings and the fingerprint, what `select` yields but for subjects that the stage surely is done with,
    #: where leaving them out early is faster.
    select_undone: Callable[[Settings, str], sa.Select[Any]] | None = None
    section: str | None = None
    row: Callable[[Context], Callable[[Input], Sequence[Record]]] | None = None
    batch: Setup | None = None
    collapse: Collapse | None = None
    side: Mapping[str, Callable[[Settings], sa.Select[Any]]] = field(default_factory=dict)
    #: For a collapse: what it may look up while it computes, given the ids that it asks about, or None for all.
    lookups: Mapping[str, Callable[[Sequence[int] | None], sa.Select[Any]]] = field(default_factory=dict)
    #: New rows that a collapse takes at once; the next ones know them. What was found is kept if it is stopped then.
    at_once: int = 1 << 16
    #: For a collapse: digest of what decides besides its rows; a new one settles the whole anew, with no new rows.
    decision: Callable[[Settings, Side], str] | None = None
    #: Digests of models, rule files and settings of other sections that the result depends on.
    depends: Callable[[Context], Sequence[str]] = lambda _: ()
    #: Looks at the models that the settings name, without loading them: None where they name none, else what a person
    #: should know of them. Raises UserError where the stage could not use them.
    look: Callable[[Context], Sequence[str] | None] = lambda _: None
    #: Whether there is anything to do under these settings; a reason when not.
    idle: Callable[[Settings, Path], str | None] = lambda _settings, _folder: None
    #: Reasons of `Unreadable` that hold no longer: what was missing is installed here by now. Their rows are pending.
    cured: Callable[[], Sequence[str]] = lambda: ()
    batch_size: int = 16

    def __post_init__(self) -> None:
        if sum(part is not None for part in (self.row, self.batch, self.collapse)) != 1:
            raise TypeError(f"stage {self.name}: give exactly one of row, batch and collapse")

    @property
    def shape(self) -> Shape:
        """The shape, from the function that is given."""
        if self.collapse is not None:
            return Shape.COLLAPSE
        return Shape.BATCH if self.batch is not None else Shape.MAP

    def fingerprint(self, context: Context) -> str:
        """Digest of the stage's version and of all settings, models and files that its result depends on."""
        section = getattr(context.settings, self.section) if self.section else None
        own = section.fingerprint() if isinstance(section, Section) else ""
        return digest(self.name, self.version, own, *self.depends(context))

    def read(self, row: sa.Row[Any]) -> Input:
        """Return a selected row as the stage's input record."""
        values = row._mapping
        return self.reads(**{part.name: values[part.name] for part in fields(self.reads)})

    def worker(self) -> Setup:
        """Return what a worker calls once to load models; it pickles, as the stage itself need not."""
        if self.batch is not None:
            return self.batch
        if self.row is None:
            raise TypeError(f"stage {self.name} is a collapse, which has no workers")
        return partial(_each_row, self.row)


def _each_row(setup: Callable[[Context], Callable[[Input], Sequence[Record]]], context: Context) -> Compute:
    work = setup(context)

    def each(rows: Sequence[Input]) -> Results:
        results: list[Sequence[Record] | RowError] = []
        for row in rows:
            try:
                results.append(work(row))
            except RowError as error:
                results.append(error)
        return results

    return each


def file_digest(path: Path) -> str:
    """Digest of a file's bytes; of nothing when there is none."""
    return digest(path.read_bytes()) if path.is_file() else digest()
