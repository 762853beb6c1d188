"""How good rules are against known truth: coverage and precision, for each attribute and value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tamis.text.mine import ItemText, mine
from tamis.text.rules import RuleSet


@dataclass(slots=True)
class Tally:
    """Counts: items whose truth is known, those that got a label, and those whose label is right."""

    known: int = 0
    labelled: int = 0
    correct: int = 0

    @property
    def coverage(self) -> float:
        """Share of the known items that got a label."""
        return self.labelled / self.known if self.known else 0.0

    @property
    def precision(self) -> float:
        """Share of the labels that are right; 0 where there are none."""
        return self.correct / self.labelled if self.labelled else 0.0


@dataclass(slots=True)
class RuleScore:
    """The score of one attribute. In `by_value` coverage is by true value and precision by mined value."""

    attribute: str
    total: Tally = field(default_factory=Tally)
    by_value: dict[str, Tally] = field(default_factory=dict)
    confusions: dict[tuple[str, str], int] = field(default_factory=dict)
    """(truth, mined) to count, for labels that are wrong."""


def score_rules(rules: RuleSet, rows: Iterable[tuple[ItemText, Mapping[str, str]]]) -> dict[str, RuleScore]:
    """Score `rules` on items with truth; attributes whose truth is missing or empty for an item are left out there."""
    scores = {name: RuleScore(name) for name in rules.names}
    for item, truth in rows:
        mined = {label.attribute: label.value for label in mine(item, rules)}
        for name, score in scores.items():
            wanted = truth.get(name, "")
            if not wanted:
                continue
            given = mined.get(name)
            _count(score, wanted, given)
    return scores


def _count(score: RuleScore, wanted: str, given: str | None) -> None:
    score.total.known += 1
    score.by_value.setdefault(wanted, Tally()).known += 1
    if given is None:
        return
    score.total.labelled += 1
    score.by_value.setdefault(given, Tally()).labelled += 1
    if given == wanted:
        score.total.correct += 1
        score.by_value[given].correct += 1
    else:
        pair = (wanted, given)
        score.confusions[pair] = score.confusions.get(pair, 0) + 1
