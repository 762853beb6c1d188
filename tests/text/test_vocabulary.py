from __future__ import annotations

from tamis.text.mine import ItemText
from tamis.text.rules import parse_rules
from tamis.text.vocabulary import Suggestion, count_terms, find_phrases, rule_counts, suggest_rules, unlabelled_terms

TITLES = [
    "red casual shoes",
    "blue casual shoes",
    "red formal shirt",
    "blue formal shirt",
    "red flip flops",
    "blue flip flops",
] * 3
KINDS = ["shoes", "shoes", "shirt", "shirt", "flip flops", "flip flops"] * 3


def test_terms_count_once_a_text() -> None:
    counts = count_terms(["red red car", "Red-car"], 2)
    assert counts["red"] == 2
    assert counts["red car"] == 2
    assert counts["red red"] == 1


def test_words_that_always_stand_together_are_phrases() -> None:
    phrases = [phrase.text for phrase in find_phrases(TITLES, min_count=3)]
    assert set(phrases[:3]) == {"casual shoes", "formal shirt", "flip flops"}
    assert "red casual" not in phrases[:3]


def test_suggestions_separate_the_values() -> None:
    best: dict[str, list[Suggestion]] = {}
    for suggestion in suggest_rules(TITLES, KINDS, per_value=3):
        best.setdefault(suggestion.value, []).append(suggestion)
    assert {"shoes", "casual"} & {entry.phrase for entry in best["shoes"]}
    assert all(entry.precision == 1.0 for entry in best["flip flops"])
    assert "red" not in {entry.phrase for entries in best.values() for entry in entries}


def test_titles_without_a_label_show_what_is_missing() -> None:
    rules = parse_rules("[kind]\nshoes = ['shoes']\nshirt = ['shirt']\n")
    items = [ItemText(title) for title in TITLES]
    assert unlabelled_terms(items, rules, "kind", max_words=2, top=3)[0][1] == 6
    assert "flip flops" in dict(unlabelled_terms(items, rules, "kind", max_words=2, top=5))
    assert rule_counts(items, rules) == {("kind", "shoes"): 6, ("kind", "shirt"): 6}
