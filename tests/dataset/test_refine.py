"""Refinement: merging, rare and doubtful labels, required attributes, and a report that accounts for all of them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.config import SnapshotSettings
from tamis.dataset.encode import MISSING, class_table, decode, encode
from tamis.dataset.gold import Gold
from tamis.dataset.manifest import Sample
from tamis.dataset.refine import refine
from tamis.errors import UserError
from tamis.labels import Attribute, Who

COLOUR = Attribute.of("colour", "choice", ["red", "crimson", "blue", "green"])
SOLD = Attribute.of("sold", "flag", [])


def gold(value: str | None, name: str = "colour", who: Who = "person", confidence: float = 1.0) -> Gold:
    return Gold(name, value, who, "someone", confidence, value is None, ())


def labelled(*values: str | None) -> dict[str, list[Gold]]:
    return {f"s{number}": [gold(value)] for number, value in enumerate(values)}


def test_classes_are_merged_and_counted() -> None:
    refined = refine(
        [COLOUR], labelled("red", "crimson", "blue"), SnapshotSettings(merge={"colour": {"crimson": "red"}})
    )
    assert refined.labels == {"s0": {"colour": "red"}, "s1": {"colour": "red"}, "s2": {"colour": "blue"}}
    assert refined.attributes[0].classes == ("red", "blue")
    assert refined.report["colour"].merged == {"crimson -> red": 1}


def test_rare_classes_are_dropped_or_collected() -> None:
    golds = labelled("red", "red", "blue", "green")
    dropped = refine([COLOUR], golds, SnapshotSettings(min_count=2))
    assert dropped.attributes[0].classes == ("red",)
    assert dropped.labels["s2"] == {}
    assert dropped.report["colour"].rare == {"blue": 1, "green": 1}
    collected = refine([COLOUR], golds, SnapshotSettings(min_count=2, rare_class="other"))
    assert collected.attributes[0].classes == ("red", "other")
    assert collected.labels["s3"] == {"colour": "other"}


def test_a_rare_class_that_stays_rare_goes_too() -> None:
    refined = refine([COLOUR], labelled("red", "red", "blue"), SnapshotSettings(min_count=2, rare_class="other"))
    assert refined.attributes[0].classes == ("red",)
    assert refined.labels["s2"] == {}


def test_doubtful_disputed_and_unknown_labels_are_left_out_and_counted() -> None:
    golds = {
        "a": [gold("red", who="model", confidence=0.4)],
        "b": [gold("red", who="person", confidence=0.4)],
        "c": [gold(None)],
        "d": [gold("pink")],
        "e": [],
    }
    refined = refine([COLOUR], golds, SnapshotSettings(min_confidence=0.5))
    report = refined.report["colour"]
    assert refined.labels == {"a": {}, "b": {"colour": "red"}, "c": {}, "d": {}, "e": {}}
    assert (report.low_confidence, report.disputed, report.unknown, report.missing) == (1, 1, {"pink": 1}, 4)
    assert report.to_json()["kept"] == {"red": 1}


def test_required_attributes_drop_samples_with_the_reason() -> None:
    refined = refine([COLOUR], {"a": [gold("red")], "b": []}, SnapshotSettings(require=("colour",)))
    assert (set(refined.labels), refined.dropped) == ({"a"}, {"b": "no label of colour"})


def test_a_flag_keeps_both_classes() -> None:
    settings = SnapshotSettings(min_count=2, rare_class="other")
    refined = refine(
        [SOLD], {"a": [gold("yes", "sold")], "b": [gold("no", "sold")], "c": [gold("no", "sold")]}, settings
    )
    assert refined.attributes[0].classes == ("no", "yes")
    assert refined.labels == {"a": {}, "b": {"sold": "no"}, "c": {"sold": "no"}}


@pytest.mark.parametrize("key", ["require", "merge"])
def test_unknown_attributes_are_refused(key: str) -> None:
    settings = SnapshotSettings(require=("color",)) if key == "require" else SnapshotSettings(merge={"color": {}})
    with pytest.raises(UserError, match=f"snapshot.{key}: 'color' is no attribute"):
        refine([COLOUR], {}, settings)


@given(
    st.lists(
        st.tuples(st.sampled_from(["red", "blue", "green", None]), st.sampled_from(["yes", "no", None])), max_size=25
    ),
    st.integers(1, 5),
    st.sampled_from(["", "other"]),
    st.sampled_from([(), ("colour",), ("colour", "sold")]),
)
def test_what_is_promised_holds_in_the_end(
    rows: list[tuple[str | None, str | None]], least: int, rare: str, require: tuple[str, ...]
) -> None:
    golds = {f"s{number}": [gold(colour), gold(sold, "sold")] for number, (colour, sold) in enumerate(rows)}
    refined = refine([COLOUR, SOLD], golds, SnapshotSettings(min_count=least, rare_class=rare, require=require))
    assert refined.labels.keys() | refined.dropped.keys() == golds.keys()
    assert not refined.labels.keys() & refined.dropped.keys()
    for attribute in refined.attributes:
        counts = Counter(labels[attribute.name] for labels in refined.labels.values() if attribute.name in labels)
        assert all(amount >= least for amount in counts.values())
        assert set(counts) <= set(attribute.classes)
        assert attribute.name == "sold" or set(attribute.classes) == set(counts)
    assert all(name in labels for labels in refined.labels.values() for name in require)


def test_labels_become_numbers_and_back() -> None:
    samples = [
        Sample(f"{n:016x}", "0" * 64, (0, 0, 1, 1), (0, 0, 1, 1), "train", "keep", {"colour": v} if v else {}, "g")
        for n, v in enumerate(["blue", None, "red"])
    ]
    indices = encode(samples, COLOUR)
    assert np.array_equal(indices, [2, MISSING, 0])
    assert indices.dtype == np.int64
    assert decode(indices, COLOUR) == ["blue", None, "red"]
    assert class_table(COLOUR) == {"red": 0, "crimson": 1, "blue": 2, "green": 3}


def test_a_label_outside_the_classes_is_an_error() -> None:
    sample = Sample("0" * 16, "0" * 64, (0, 0, 1, 1), (0, 0, 1, 1), "train", "keep", {"colour": "pink"}, "g")
    with pytest.raises(ValueError, match="'pink' is no class of colour"):
        encode([sample], COLOUR)
