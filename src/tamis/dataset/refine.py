"""Refinement of gold labels into classes that can be learned: merged, freed of doubtful and of rare ones.

Nothing is dropped in silence: the report counts what became of every label, and names the reason of every sample that
is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tamis.config import SnapshotSettings
from tamis.dataset.gold import Gold
from tamis.errors import UserError
from tamis.labels import Attribute


@dataclass(frozen=True)
class AttributeReport:
    """What became of the gold labels of one attribute; all values are numbers of samples."""

    kept: Mapping[str, int]
    missing: int
    disputed: int = 0
    low_confidence: int = 0
    merged: Mapping[str, int] = field(default_factory=dict)
    unknown: Mapping[str, int] = field(default_factory=dict)
    rare: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The report as plain values."""
        return {
            "kept": dict(self.kept), "missing": self.missing, "disputed": self.disputed,
            "low_confidence": self.low_confidence, "merged": dict(self.merged), "unknown": dict(self.unknown),
            "rare": dict(self.rare),
        }  # fmt: skip


@dataclass(frozen=True)
class Refined:
    """Labels by sample id, the attributes with the classes that are left, and what was left out and why."""

    attributes: tuple[Attribute, ...]
    labels: Mapping[str, Mapping[str, str]]
    dropped: Mapping[str, str]
    report: Mapping[str, AttributeReport]


def refine(attributes: Sequence[Attribute], golds: Mapping[str, Sequence[Gold]], settings: SnapshotSettings) -> Refined:
    """Refine the gold labels of samples.

    In this order: disputed labels and those of machines below `min_confidence` are left out; `merge` renames classes;
    classes with fewer than `min_count` samples go into `rare_class` or are left out; samples without a label on each
    of the attributes in `require` are left out. The last two are repeated until nothing changes, so that both hold
    in the end.

    Args:
        attributes: the attributes to refine.
        golds: sample id -> its gold labels; every sample has an entry.
        settings: what to do.

    Raises:
        UserError: the settings name an attribute that there is not.
    """
    _check_names(attributes, settings)
    columns = {attribute.name: _Column(attribute, golds, settings) for attribute in attributes}
    left = set(golds)
    dropped: dict[str, str] = {}
    changed = True
    while changed:
        changed = False
        for column in columns.values():
            changed |= column.drop_rare(left)
        for name in settings.require:
            lacking = left - columns[name].values.keys()
            dropped.update((sample, f"no label of {name}") for sample in lacking)
            left -= lacking
            changed |= bool(lacking)
    labels = {
        sample: {name: column.values[sample] for name, column in columns.items() if sample in column.values}
        for sample in left
    }
    return Refined(
        attributes=tuple(column.refined(left) for column in columns.values()),
        labels=labels,
        dropped=dropped,
        report={name: column.report(left) for name, column in columns.items()},
    )


class _Column:
    """The labels of one attribute while they are refined."""

    def __init__(self, attribute: Attribute, golds: Mapping[str, Sequence[Gold]], settings: SnapshotSettings) -> None:
        self.attribute = attribute
        self.settings = settings
        self.values: dict[str, str] = {}
        self.rare: Counter[str] = Counter()
        self.disputed = self.low_confidence = 0
        self.merged: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self._names = settings.merge.get(attribute.name, {})
        merged = [self._names.get(name, name) for name in attribute.classes]
        self.classes = list(dict.fromkeys(merged)) if attribute.type.name == "choice" else list(attribute.classes)
        for sample, given in golds.items():
            for gold in given:
                if gold.attribute == attribute.name:
                    self._take(sample, gold)

    def _take(self, sample: str, gold: Gold) -> None:
        if gold.value is None:
            self.disputed += 1
        elif gold.who != "person" and gold.confidence < self.settings.min_confidence:
            self.low_confidence += 1
        else:
            value = self._names.get(gold.value, gold.value)
            if value not in self.classes:
                self.unknown[gold.value] += 1
                return
            if value != gold.value:
                self.merged[f"{gold.value} -> {value}"] += 1
            self.values[sample] = value

    def drop_rare(self, samples: Iterable[str]) -> bool:
        """Merge or drop the classes with too few of those samples; returns whether any label changed."""
        counts = Counter(self.values[sample] for sample in samples if sample in self.values)
        target = self.settings.rare_class if self.attribute.type.name == "choice" else ""
        rare = {name for name, amount in counts.items() if amount < self.settings.min_count}
        if target and rare != {target}:
            rare.discard(target)
        for sample, value in list(self.values.items()):
            if value not in rare:
                continue
            self.rare[value] += 1
            if target and value != target:
                self.values[sample] = target
            else:
                del self.values[sample]
        if target and rare - {target} and target not in self.classes:
            self.classes.append(target)
        return bool(rare)

    def refined(self, samples: set[str]) -> Attribute:
        """The attribute with the classes that those samples have; a flag keeps both of its classes."""
        if self.attribute.type.name != "choice":
            return self.attribute
        present = {value for sample, value in self.values.items() if sample in samples}
        return replace(self.attribute, classes=tuple(name for name in self.classes if name in present))

    def report(self, samples: set[str]) -> AttributeReport:
        counts = Counter(self.values[sample] for sample in samples if sample in self.values)
        return AttributeReport(
            kept={name: counts[name] for name in self.classes if counts[name]},
            missing=len(samples) - counts.total(),
            disputed=self.disputed,
            low_confidence=self.low_confidence,
            merged=self.merged,
            unknown=self.unknown,
            rare=self.rare,
        )


def _check_names(attributes: Sequence[Attribute], settings: SnapshotSettings) -> None:
    known = [attribute.name for attribute in attributes]
    for key, names in (("require", settings.require), ("merge", settings.merge)):
        for name in names:
            if name not in known:
                listed = ", ".join(known) or "none"
                raise UserError(f"snapshot.{key}: {name!r} is no attribute of the snapshot; it has: {listed}")
