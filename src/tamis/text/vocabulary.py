"""Which words and phrases a collection holds and which of them speak for a class: help in writing rules."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tamis.text.mine import ItemText, mine
from tamis.text.rules import RuleSet
from tamis.text.tokens import fold, tokens

MAX_WORDS = 3


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words that stand together more often than chance has it; `pmi` in bits, `count` as texts that hold them."""

    text: str
    count: int
    pmi: float


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A phrase that speaks for a value: how strongly (z score), in how many texts, and with which precision."""

    value: str
    phrase: str
    z: float
    count: int
    precision: float


def terms_of(text: str, max_words: int = MAX_WORDS) -> set[str]:
    """Return the words of `text` and their sequences up to `max_words`, folded."""
    words = [token.text for token in tokens(fold(text).text)]
    return {" ".join(words[i : i + n]) for n in range(1, max_words + 1) for i in range(len(words) - n + 1)}


def count_terms(texts: Iterable[str], max_words: int = 1) -> Counter[str]:
    """Return in how many texts each word (and sequence up to `max_words`) stands."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(terms_of(text, max_words))
    return counts


def find_phrases(texts: Sequence[str], *, min_count: int = 5, top: int = 100) -> list[Phrase]:
    """Return pairs of neighbouring words with high pointwise mutual information (Church and Hanks, 1990).

    The list is ordered by count times information, which keeps chance pairs of rare words down.
    """
    single: Counter[str] = Counter()
    pairs: Counter[str] = Counter()
    for text in texts:
        terms = terms_of(text, 2)
        single.update(term for term in terms if " " not in term)
        pairs.update(term for term in terms if " " in term)
    total = max(len(texts), 1)
    found: list[Phrase] = []
    for pair, count in pairs.items():
        if count < min_count:
            continue
        first, second = pair.split(" ")
        pmi = math.log2(count * total / (single[first] * single[second]))
        if pmi > 0:
            found.append(Phrase(pair, count, pmi))
    return sorted(found, key=lambda phrase: -phrase.count * phrase.pmi)[:top]


def suggest_rules(
    texts: Sequence[str], values: Sequence[str], *, min_count: int = 3, per_value: int = 10, max_words: int = 2
) -> list[Suggestion]:
    """Return the phrases that speak most for each value, by log-odds with an informative Dirichlet prior.

    `values[i]` is the known value of `texts[i]`, empty where it is unknown (Monroe, Colaresi and Quinn, 2008,
    "Fightin' Words").
    """
    counts: dict[str, Counter[str]] = {}
    overall: Counter[str] = Counter()
    for text, value in zip(texts, values, strict=True):
        if value:
            terms = terms_of(text, max_words)
            counts.setdefault(value, Counter()).update(terms)
            overall.update(terms)
    total = sum(overall.values())
    found: list[Suggestion] = []
    for value, own in counts.items():
        own_total = sum(own.values())
        scored: list[Suggestion] = []
        for term, count in own.items():
            if count < min_count:
                continue
            z = _log_odds(count, own_total, overall[term] - count, total - own_total, overall[term] / total)
            scored.append(Suggestion(value, term, z, count, count / overall[term]))
        found += sorted(scored, key=lambda entry: -entry.z)[:per_value]
    return found


def unlabelled_terms(
    items: Iterable[ItemText], rules: RuleSet, attribute: str, *, max_words: int = 2, top: int = 50
) -> list[tuple[str, int]]:
    """Return the commonest terms of titles that get no label of `attribute`: where a rule is missing."""
    missing = (item.title for item in items if all(label.attribute != attribute for label in mine(item, rules)))
    return count_terms(missing, max_words).most_common(top)


def rule_counts(items: Iterable[ItemText], rules: RuleSet) -> Mapping[tuple[str, str], int]:
    """Return how many items each (attribute, value) labels."""
    counts: Counter[tuple[str, str]] = Counter()
    for item in items:
        counts.update((label.attribute, label.value) for label in mine(item, rules))
    return counts


def _log_odds(count: int, total: int, other_count: int, other_total: int, share: float) -> float:
    """Return the z score of the log-odds difference, with a prior of 100 words spread as in the whole collection."""
    prior_total = 100.0
    prior = prior_total * share
    own = math.log((count + prior) / (total + prior_total - count - prior))
    other = math.log((other_count + prior) / (other_total + prior_total - other_count - prior))
    return (own - other) / math.sqrt(1 / (count + prior) + 1 / (other_count + prior))
