"""Gold and verdict of every sample, worked out now and then and kept in memory for queue, review and dashboard.

A survey is a moment old, longer in large projects, so whoever acts on it looks at the rows again.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

import sqlalchemy as sa
from sqlalchemy import Connection

from tamis import schema
from tamis.annotate.kept import Kept
from tamis.database import reading
from tamis.dataset.claims import active_claims
from tamis.dataset.copies import shots_of
from tamis.dataset.gold import Gold, Precision, batches, gold_of_chosen
from tamis.dataset.precision import measure_precision
from tamis.dataset.verdicts import Verdict, verdicts_of_chosen
from tamis.project import Project
from tamis.stages.policy import ChosenRegion, read_chosen


@dataclass(frozen=True, slots=True)
class GoldMark:
    """The value that wins, as far as lists need it; `passed_over`: a person saw it and said nothing."""

    value: str | None
    confidence: float
    by_person: bool
    passed_over: bool

    @property
    def settled(self) -> bool:
        """Whether people said it and agree."""
        return self.by_person and self.value is not None


@dataclass(frozen=True, slots=True)
class Entry:
    """A sample; `gold` has one mark an attribute, in the order of the declared ones, None where nothing is claimed."""

    region_id: int
    region_key: str
    verdict: Verdict
    cause: str
    gold: tuple[GoldMark | None, ...]


@dataclass(frozen=True, slots=True)
class Survey:
    """All samples by region, and the measured precision of the machines, as of the moment when it was begun."""

    entries: Mapping[int, Entry]
    precision: Precision
    begun_at: float


class Surveyor:
    """Keeps the newest survey of a project, with what this process changed since."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._names = [attribute.name for attribute in project.settings.attributes]
        self._kept = Kept(self._survey)
        self._touched: dict[int, float] = {}
        self._amended: tuple[Survey, Survey, frozenset[tuple[int, float]]] | None = None
        self._lock = Lock()

    def kept(self) -> Survey:
        """Return a survey that is as new as can be had without a wait that is felt."""
        return self._kept.current()

    def begin(self) -> None:
        """Begin the first survey in the background: it takes a while in a large project."""
        self._kept.renew_soon()

    def touch(self, image_ids: Iterable[int]) -> None:
        """Note that something was claimed about these images, or their items; called after the commit."""
        now = time.monotonic()
        with self._lock:
            self._touched.update(dict.fromkeys(image_ids, now))

    def current(self) -> Survey:
        """Return the kept survey with all that was touched looked up again."""
        kept = self._kept.current()
        with self._lock:
            self._touched = {image: when for image, when in self._touched.items() if when >= kept.begun_at}
            touched = frozenset(self._touched.items())
            base, amended, applied = self._amended or (kept, kept, frozenset[tuple[int, float]]())
            if base is not kept:
                amended, applied = kept, frozenset()
            if fresh := touched - applied:
                amended = self._amend(amended, {image for image, _ in fresh})
            self._amended = kept, amended, touched
            return amended

    def _amend(self, survey: Survey, image_ids: set[int]) -> Survey:
        with reading(self._project.engine) as connection:
            chosen = read_chosen(connection, self._project.settings, image_ids)
            passed_over = _passed_over(connection, image_ids)
            entries = self._entries(connection, survey.precision, chosen, passed_over)
            fresh = {entry.region_id: entry for entry in entries}
        return Survey({**survey.entries, **fresh}, survey.precision, survey.begun_at)

    def _survey(self) -> Survey:
        begun_at = time.monotonic()
        with reading(self._project.engine) as connection:
            precision = measure_precision(connection)
            chosen = read_chosen(connection, self._project.settings)
            found = self._entries(connection, precision, chosen, _passed_over(connection))
            entries = {entry.region_id: entry for entry in found}
        return Survey(entries, precision, begun_at)

    def _entries(
        self,
        connection: Connection,
        precision: Precision,
        chosen: Iterable[ChosenRegion],
        passed_over: Collection[tuple[int, str]],
    ) -> Iterator[Entry]:
        settings = self._project.settings
        for batch in batches(chosen):
            shots = shots_of(connection, settings, batch)
            golds = gold_of_chosen(connection, batch, shots, self._names, precision)
            marks = _marks(golds, self._names, passed_over)
            nothing: tuple[GoldMark | None, ...] = (None,) * len(self._names)
            judged = verdicts_of_chosen(connection, settings, batch, shots)
            for one, verdict in zip(batch, judged, strict=True):
                gold = marks.get(one.region_id, nothing)
                yield Entry(one.region_id, one.region_key, verdict.verdict, verdict.cause, gold)


def _passed_over(connection: Connection, image_ids: Collection[int] | None = None) -> set[tuple[int, str]]:
    """Regions, of those images or of all, and attributes that people saw and passed over.

    An item's attribute is passed over for all regions of its images.
    """
    label, region, picture = schema.label, schema.region, schema.picture
    of_regions, of_items = label.c.region_id.is_not(None), label.c.item_id.is_not(None)
    if image_ids is not None:
        shown = sa.select(region.c.id).where(region.c.image_id.in_(image_ids))
        showing = sa.select(picture.c.item_id).where(picture.c.image_id.in_(image_ids))
        of_regions, of_items = label.c.region_id.in_(shown), label.c.item_id.in_(showing)
    on_regions = active_claims(label.c.who == "person", of_regions).subquery()
    on_items = active_claims(label.c.who == "person", of_items).subquery()
    queries = (
        sa.select(on_regions.c.region_id, on_regions.c.attribute).where(on_regions.c.value.is_(None)),
        sa.select(region.c.id, on_items.c.attribute)
        .join(picture, picture.c.item_id == on_items.c.item_id)
        .join(region, region.c.image_id == picture.c.image_id)
        .where(on_items.c.value.is_(None)),
    )
    return {(row[0], row[1]) for query in queries for row in connection.execute(query)}


def _marks(
    golds: Iterator[Gold], names: Sequence[str], passed_over: Collection[tuple[int, str]]
) -> dict[int, tuple[GoldMark | None, ...]]:
    places = {name: place for place, name in enumerate(names)}
    found: dict[int, list[GoldMark | None]] = {}
    for gold in golds:
        assert gold.region_id is not None
        marks = found.setdefault(gold.region_id, [None] * len(names))
        marks[places[gold.attribute]] = GoldMark(
            gold.value, gold.confidence, gold.who == "person", (gold.region_id, gold.attribute) in passed_over
        )
    return {region_id: tuple(marks) for region_id, marks in found.items()}
