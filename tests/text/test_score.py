from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from tests.realdata import data_folder

from tamis.text.mine import ItemText
from tamis.text.rules import parse_rules
from tamis.text.score import score_rules

RULES = parse_rules("[colour]\nred = ['red']\nblue = ['blue']\n")


def test_rows_without_truth_are_left_out_and_errors_are_counted() -> None:
    rows = [
        (ItemText("red car"), {"colour": "red"}),
        (ItemText("blue car"), {"colour": "red"}),
        (ItemText("car"), {"colour": "blue"}),
        (ItemText("red car"), {"colour": ""}),
        (ItemText("red car"), {}),
    ]
    score = score_rules(RULES, rows)["colour"]
    assert (score.total.known, score.total.labelled, score.total.correct) == (3, 2, 1)
    assert score.total.coverage == pytest.approx(2 / 3)
    assert score.total.precision == pytest.approx(1 / 2)
    assert score.confusions == {("red", "blue"): 1}
    assert score.by_value["red"].known == 2


@pytest.mark.real
def test_rules_of_one_half_of_the_fashion_titles_hold_on_the_other() -> None:
    script = Path(__file__).parents[2] / "benchmarks" / "rules.py"
    benchmark = runpy.run_path(str(script))
    rows = benchmark["read_rows"](data_folder(), "odd")
    scores = score_rules(benchmark["load_rules"](benchmark["RULES"]), rows)
    for name in ("gender", "articleType", "baseColour"):
        assert scores[name].total.known > 700
        assert scores[name].total.precision >= 0.95, name
        assert scores[name].total.coverage >= 0.80, name
