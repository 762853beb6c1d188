"""What a user asks of labels and data sets: what rules find, who wins, what a snapshot holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from tamis import schema
from tamis.database import reading
from tamis.dataset.gold import resolve_gold
from tamis.dataset.manifest import SPLITS, Snapshot
from tamis.project import Project
from tamis.stages.mine import ACTOR


@dataclass(frozen=True, slots=True)
class GoldCount:
    """How many regions have a gold value, by who won it; `disputed` ones wait for a third person."""

    attribute: str
    value: str
    regions: int
    by_person: int
    by_model: int
    by_rule: int
    disputed: int


def gold_counts(project: Project, attributes: Iterable[str] = ()) -> list[GoldCount]:
    """Count the gold labels of all chosen regions by attribute and value."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    with reading(project.engine) as connection:
        for gold in resolve_gold(connection, project.settings, list(attributes) or None):
            count = counts.setdefault((gold.attribute, gold.value or "?"), Counter())
            count["disputed" if gold.disputed else gold.who] += 1
    return [
        GoldCount(attribute, value, count.total(), count["person"], count["model"], count["rule"], count["disputed"])
        for (attribute, value), count in sorted(counts.items())
    ]


@dataclass(frozen=True, slots=True)
class SnapshotFacts:
    """A snapshot in numbers: rows of (attribute, class, train, validation, test)."""

    name: str
    folder: str
    digest: str
    samples: int
    rows: Sequence[tuple[str, str, int, int, int]]


def snapshot_facts(snapshot: Snapshot) -> SnapshotFacts:
    """Count the samples of each class in each split."""
    rows: list[tuple[str, str, int, int, int]] = []
    for attribute in snapshot.attributes:
        counts = Counter((sample.labels.get(attribute.name), sample.split) for sample in snapshot.samples)
        for value in (*attribute.classes, None):
            train, validation, test = (counts[value, split] for split in SPLITS)
            if value is not None or train + validation + test:
                rows.append((attribute.name, value or "(no label)", train, validation, test))
    return SnapshotFacts(snapshot.name, str(snapshot.folder), snapshot.digest, len(snapshot.samples), rows)


@dataclass(frozen=True, slots=True)
class RuleReport:
    """What rules found: (attribute, value, items); and phrases: (phrase, items, strength, value it speaks for)."""

    found: Sequence[tuple[str, str, int]]
    phrases: Sequence[tuple[str, int, float, str]]


def rule_report(project: Project, attribute: str | None, count: int) -> RuleReport:
    """Count what the rules found, and list phrases that could become rules.

    With an attribute the phrases are those that set its known values apart (strength is a z score); else those whose
    words stand together more often than chance has it (strength in bits).
    """
    from tamis.text.vocabulary import find_phrases, suggest_rules  # noqa: PLC0415 - loaded on use

    label, item = schema.label.c, schema.item.c
    with reading(project.engine) as connection:
        active = _active_rule_labels(connection)
        titles = dict(connection.execute(sa.select(item.id, item.title)).tuples().all())
        known = connection.execute(
            sa.select(label.item_id, label.value)
            .where(label.attribute == (attribute or ""), label.item_id.is_not(None), label.value.is_not(None))
            .order_by(label.id)
        ).all()
    found = Counter((name, value) for _, name, value in active if attribute is None or name == attribute)
    values: dict[int, str] = {row.item_id: row.value for row in known}
    if attribute is None:
        phrases = [
            (one.text, one.count, round(one.pmi, 2), "") for one in find_phrases(list(titles.values()), top=count)
        ]
    else:
        told = [values.get(item_id, "") for item_id in titles]
        suggested = suggest_rules(list(titles.values()), told)
        phrases = [(one.phrase, one.count, round(one.z, 2), one.value) for one in suggested][:count]
    return RuleReport([(name, value, items) for (name, value), items in sorted(found.items())], phrases)


def _active_rule_labels(connection: sa.Connection) -> list[tuple[int, str, str]]:
    label, later = schema.label, schema.label.alias("later")
    rows = connection.execute(
        sa.select(label.c.item_id, label.c.attribute, label.c.value)
        .where(label.c.actor == ACTOR, label.c.who == "rule", label.c.value.is_not(None))
        .where(~sa.exists().where(later.c.retracts == label.c.id))
        .order_by(label.c.id)
    )
    last = {(item_id, name): value for item_id, name, value in rows}
    return [(item_id, name, value) for (item_id, name), value in last.items()]
