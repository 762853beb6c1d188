"""Figures are well-formed SVG that shows what it was given, whatever the names."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from tamis.report import figures

SVG = "{http://www.w3.org/2000/svg}"
names = st.lists(
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1), min_size=2, max_size=5
)


def parse(figure: Markup) -> ET.Element:
    return ET.fromstring(str(figure).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


@given(names)
def test_names_of_any_kind_stay_text(classes: list[str]) -> None:
    confusion = [[1] * len(classes) for _ in classes]
    for figure in (
        figures.confusion_figure(classes, confusion),
        figures.stacked_figure(classes, confusion, classes),
    ):
        assert not {element.tag for element in parse(figure).iter()} - {
            SVG + tag for tag in ("svg", "g", "title", "rect", "text")
        }


def test_a_heat_map_has_a_cell_for_each_pair_and_tells_right_from_wrong() -> None:
    root = parse(figures.confusion_figure(["a", "b"], [[3, 1], [0, 0]]))
    cells = list(root.iter(SVG + "rect"))
    assert [cell.get("class") for cell in cells] == ["hit", "miss", "miss", "hit"]
    assert [float(str(cell.get("fill-opacity"))) for cell in cells] == pytest.approx([0.765, 0.295, 0.06, 0.06])
    assert [text.text for text in root.iter(SVG + "text") if str(text.get("class")).startswith("count")] == ["3", "1"]


@pytest.mark.parametrize("classes", [2, 12, 40])
def test_everything_lies_inside_the_figure(classes: int) -> None:
    labels = [f"class number {number}" for number in range(classes)]
    root = parse(figures.confusion_figure(labels, [[1] * classes] * classes))
    _, _, width, height = (float(value) for value in str(root.get("viewBox")).split())
    for cell in root.iter(SVG + "rect"):
        left, top, side = (float(str(cell.get(key))) for key in ("x", "y", "width"))
        assert 0 <= left <= left + side <= width
        assert 0 <= top <= top + side <= height


def test_an_interval_lies_where_its_numbers_say() -> None:
    root = parse(figures.interval_figure(0.5, 0.25, 1.0, 0.1))
    track, span, _ = root.iter(SVG + "rect")
    full = float(str(track.get("width")))
    assert float(str(span.get("width"))) == pytest.approx(0.75 * full, abs=0.1)
    circle = next(root.iter(SVG + "circle"))
    assert float(str(circle.get("cx"))) == pytest.approx(float(str(track.get("x"))) + full / 2, abs=0.1)


def test_a_curve_rises_with_its_values_and_marks_the_best() -> None:
    root = parse(figures.line_figure([0.2, 0.8, 0.6], 1, "curve", unit_scale=True))
    circles = list(root.iter(SVG + "circle"))
    heights = [float(str(circle.get("cy"))) for circle in circles]
    assert heights[0] > heights[2] > heights[1]
    assert [circle.get("class") for circle in circles] == ["point", "dot", "point"]
    assert list(parse(figures.line_figure([0.0], None, "one", unit_scale=False)).iter(SVG + "circle"))


def test_stacks_are_as_long_as_their_counts() -> None:
    root = parse(figures.stacked_figure(["a", "b"], [[10, 5], [0, 0]], ["train", "test"]))
    first, second, *empty = (float(str(bar.get("width"))) + 1 for bar in root.iter(SVG + "rect"))
    assert first == pytest.approx(2 * second, rel=0.02)
    assert max(empty) <= 1
    assert figures.stacked_figure([], [], [])


def test_calibration_dots_lie_on_the_line_where_answers_are_honest() -> None:
    root = parse(figures.calibration_figure([(0.5, 0.5, 10), (0.9, 0.2, 1)]))
    honest, boastful = root.iter(SVG + "circle")
    assert float(str(honest.get("r"))) > float(str(boastful.get("r")))
    assert float(str(boastful.get("cy"))) > float(str(honest.get("cy")))


def test_estimates_stand_between_their_bounds_and_a_file_of_its_own_is_whole() -> None:
    rows = [figures.Estimate(0.95, 0.9, 0.99), figures.Estimate(0.7, 0.65, 0.8)]
    figure = figures.estimates_figure(["<5>", "10"], {"right": rows, "kept": rows}, [0.97, 0.9], "A & B")
    root = ET.fromstring(figures.standalone(figure))
    groups = [group for group in root.iter(SVG + "g") if group.find(SVG + "line") is not None]
    assert len(groups) == 4
    for group in groups:
        bar, dot = group.find(SVG + "line"), group.find(SVG + "circle")
        assert bar is not None
        assert dot is not None
        low, middle, high = (float(str(at)) for at in (bar.get("y1"), dot.get("cy"), bar.get("y2")))
        assert low > middle > high
    style = root.find(SVG + "style")
    assert style is not None
    assert "--accent" in str(style.text)
