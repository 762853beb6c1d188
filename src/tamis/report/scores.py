"""Stored scores beside the thresholds that decide over them: histograms, counts and the nearest rows, all by SQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import sqlalchemy as sa

Fate = Literal["kept", "doubted", "rejected"]

#: Bars of a histogram.
BINS = 32


@dataclass(frozen=True, slots=True)
class Threshold:
    """A setting that decides, its value, by how much it is moved for comparison, and whether it asks anything now."""

    setting: str
    value: float
    step: float
    asks: bool = True


@dataclass(frozen=True, slots=True)
class Measure:
    """A score, where its rows are, and what its thresholds make of them.

    Attributes:
        name: for people.
        help: one line for people.
        rows: a query with a column `value` (null where there is none), a column `name` that orders equal values, and
            what `show` needs.
        thresholds: ascending.
        fates: what becomes of values below the first threshold, between them, and above the last.
        upper_holds: a value that equals a threshold belongs above it; False for the settings called max_....
        show: from a row to what the page shows of it.
    """

    name: str
    help: str
    rows: sa.Select[Any]
    thresholds: tuple[Threshold, ...]
    fates: tuple[Fate, ...]
    show: Callable[[sa.Row[Any]], Any]
    upper_holds: bool = True


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The rows nearest to a threshold, as (value, what is shown), the nearest first, and what moving it would do.

    `moved` has (threshold, rows above it, the change against now).
    """

    threshold: Threshold
    below: Sequence[tuple[float, Any]]
    above: Sequence[tuple[float, Any]]
    moved: Sequence[tuple[float, int, int]]


@dataclass(frozen=True, slots=True)
class Distribution:
    """A measure as it is stored: `edges` has one value more than `counts`; `zones` has the rows by fate."""

    measure: Measure
    count: int
    edges: Sequence[float]
    counts: Sequence[int]
    zones: Sequence[int]
    neighbours: Sequence[Neighbours]


def read_distribution(connection: sa.Connection, measure: Measure, nearest: int) -> Distribution | None:
    """Read a measure with at most `nearest` rows on each side of each threshold; None where nothing is scored."""
    rows = measure.rows.subquery()
    value = rows.c.value
    count, low, high = connection.execute(sa.select(sa.func.count(value), sa.func.min(value), sa.func.max(value))).one()
    if not count:
        return None
    asking = [one.value for one in measure.thresholds if one.asks]
    low, high = min([float(low), *asking]), max([float(high), *asking])
    edges = [low + (high - low) * place / BINS for place in range(BINS + 1)]
    moved = [_moves(number, measure, low, high) for number in range(len(measure.thresholds))]
    bounds = [_above(value, one.value, measure) for one in measure.thresholds]
    asked = [value >= edge for edge in edges[1:-1]] + bounds
    asked += [_above(value, place, measure) for places in moved for place in places]
    passing = _count_each(connection, asked)
    bins, passing = [count, *passing[: BINS - 1], 0], passing[BINS - 1 :]
    zones = [count, *passing[: len(bounds)], 0]
    found = iter(passing[len(bounds) :])
    neighbours = []
    for number, (one, places) in enumerate(zip(measure.thresholds, moved, strict=True)):
        changes = [(place, amount := next(found), amount - zones[number + 1]) for place in places]
        below, above = (
            [(float(row.value), measure.show(row)) for row in _nearest(connection, rows, side, nearest)]
            for side in _sides(value, number, measure)
        )
        neighbours.append(Neighbours(one, below, above, changes))
    return Distribution(measure, count, edges, _steps(bins), _steps(zones), neighbours)


def _steps(at_least: Sequence[int]) -> list[int]:
    """From the rows at or above each edge to the rows between the edges."""
    return [more - less for more, less in pairwise(at_least)]


def _moves(number: int, measure: Measure, low: float, high: float) -> list[float]:
    """Places for a threshold within the values that there are, and less than half-way to the thresholds beside it."""
    one, others = measure.thresholds[number], measure.thresholds
    start = one.value if one.asks else round(min(max(one.value, low), high) / one.step) * one.step
    places = (round(start + times * one.step, 6) for times in (-2, -1, 1, 2))
    if number > 0:
        places = (place for place in places if place > (one.value + others[number - 1].value) / 2)
    if number + 1 < len(others):
        places = (place for place in places if place < (one.value + others[number + 1].value) / 2)
    return [place for place in places if low <= place <= high]


def _above(value: sa.ColumnElement[Any], bound: float, measure: Measure) -> sa.ColumnElement[bool]:
    return value >= bound if measure.upper_holds else value > bound


def _sides(
    value: sa.ColumnElement[Any], number: int, measure: Measure
) -> tuple[tuple[sa.ColumnElement[bool], Any], tuple[sa.ColumnElement[bool], Any]]:
    """What lies between a threshold and the ones before and after it, in the order of nearness."""
    bounds = [one.value for one in measure.thresholds]
    at_least = [_above(value, bound, measure) for bound in bounds]
    less = [value < bound if measure.upper_holds else value <= bound for bound in bounds]
    below = sa.and_(less[number], *at_least[:number][-1:])
    above = sa.and_(at_least[number], *less[number + 1 : number + 2])
    return (below, value.desc()), (above, value.asc())


def _count_each(connection: sa.Connection, conditions: Sequence[sa.ColumnElement[bool]]) -> list[int]:
    """The number of rows that meet each condition, in one pass over them."""
    columns = [sa.func.sum(sa.case((condition, 1), else_=0)).label(f"c{n}") for n, condition in enumerate(conditions)]
    return [int(amount or 0) for amount in connection.execute(sa.select(*columns)).one()] if columns else []


def _nearest(
    connection: sa.Connection, rows: sa.Subquery, side: tuple[sa.ColumnElement[bool], Any], most: int
) -> Sequence[sa.Row[Any]]:
    condition, order = side
    return connection.execute(sa.select(rows).where(condition).order_by(order, rows.c.name).limit(most)).all()
