"""The yield alarm: what share of its items a recipe read a field of, held against what it gave before.

A fall counts when it is both large and no chance: ten points or more, and less likely than one in a thousand by
Fisher's exact test (R. A. Fisher, Statistical Methods for Research Workers, 1934). Small numbers stay quiet.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import Connection

from tamis import schema
from tamis.database import reading, retrying, writing
from tamis.project import Project

FIELDS = ("title", "price", "currency", "brand", "model", "sku", "seller", "availability", "description", "pictures")
#: Fewer pages than this are counted with those of the next run.
MIN_PAGES = 10
#: Fall of a share, and chance that it means nothing, from which on it is an alarm.
MIN_FALL, MAX_CHANCE = 0.1, 0.001
#: Earlier runs that the yield is held against.
BASELINE_RUNS = 10

#: Recipes that say nothing of the site that they read.
_FOR_MANY_SITES = ("generic", "auto")

_run, _item, _page, _picture = schema.crawl_run, schema.item, schema.page, schema.picture


@dataclass(slots=True)
class Yield:
    """What was read: pages that were to show an item, items, and items by field."""

    expected: int = 0
    items: int = 0
    fields: Counter[str] = field(default_factory=Counter)

    def add(self, other: Yield) -> None:
        """Add the counts of another run."""
        self.expected += other.expected
        self.items += other.items
        self.fields.update(other.fields)


def chance_of_fall(before: tuple[int, int], now: tuple[int, int]) -> float:
    """How likely so few hits (hits, of how many) are, if nothing changed: Fisher's exact test, one-sided."""
    (hits_before, all_before), (hits_now, all_now) = before, now
    hits, total = hits_before + hits_now, all_before + all_now

    def log_choose(n: int, k: int) -> float:
        return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)

    whole = log_choose(total, all_now)
    least = max(0, all_now - (total - hits))
    terms = (log_choose(hits, k) + log_choose(total - hits, all_now - k) - whole for k in range(least, hits_now + 1))
    return min(math.fsum(math.exp(term) for term in terms), 1.0)


def falls(before: Yield, now: Yield) -> list[str]:
    """What fell, as `price 3 % of 400 (97 % before)`; the pages that showed no item first."""
    shares = {"items": ((before.items, before.expected), (now.items, now.expected))}
    shares |= {name: ((before.fields[name], before.items), (now.fields[name], now.items)) for name in FIELDS}
    lines: list[str] = []
    for name, (old, new) in shares.items():
        if min(old[1], new[1]) < MIN_PAGES:
            continue
        fall = old[0] / old[1] - new[0] / new[1]
        if fall >= MIN_FALL and chance_of_fall(old, new) < MAX_CHANCE:
            what = "items on" if name == "items" else f"{name} in"
            lines.append(f"{what} {new[0] / new[1]:.0%} of {new[1]} ({old[0] / old[1]:.0%} before)")
    return lines


def record_crawl(project: Project) -> list[str]:
    """Write down what the sources gave since their last run, and return a warning for each that gives less."""
    from tamis.crawl.places import page_places  # noqa: PLC0415 - `status` shows warnings and needs no crawler

    places, rows = page_places(project)
    warnings: list[str] = []
    for number in places:

        def write(number: int = number) -> list[str]:
            with writing(project.engine) as connection:
                began = _last_end(connection, number)
                found = _read_since(connection, number, began)
                return _record(connection, rows[number], "crawl", began, found)

        warnings += retrying(write)
    return warnings


def record_replay(connection: Connection, source: sa.Row[Any], began: float, found: Yield) -> list[str]:
    """Write down what a replay read, and return a warning if it is less than before."""
    return _record(connection, source, "replay", began, found)


def _record(
    connection: Connection, source: sa.Row[Any], kind: Literal["crawl", "replay"], began: float, found: Yield
) -> list[str]:
    if found.expected < MIN_PAGES:
        return []
    fallen = falls(_baseline(connection, source), found)
    what = f"source {source.name}: recipe {source.recipe} reads less than before: {', '.join(fallen)}"
    warnings = [f"{what}; `tamis recipe try URL` shows what it reads of a page"] if fallen else []
    row = {
        "source_id": source.id,
        "kind": kind,
        "recipe": source.recipe,
        "began_at": began,
        "ended_at": time.time(),
        "expected": found.expected,
        "items": found.items,
        "fields": dict(found.fields),
        "warnings": warnings,
    }
    connection.execute(sa.insert(_run).values(**row))
    return warnings


def _last_end(connection: Connection, source_id: int) -> float:
    query = sa.select(sa.func.max(_run.c.ended_at)).where(_run.c.source_id == source_id, _run.c.kind == "crawl")
    return float(connection.execute(query).scalar_one() or 0.0)


def _baseline(connection: Connection, source: sa.Row[Any]) -> Yield:
    """What the recipe gave in the runs before: of this source, or of others that it alone was written for."""
    same = sa.select(_run).where(_run.c.recipe == source.recipe).order_by(_run.c.id.desc()).limit(BASELINE_RUNS)
    runs = connection.execute(same.where(_run.c.source_id == source.id)).all()
    if not runs and source.recipe not in _FOR_MANY_SITES:
        runs = connection.execute(same).all()
    total = Yield()
    for run in runs:
        total.add(Yield(run.expected, run.items, Counter(run.fields)))
    return total


def _read_since(connection: Connection, source_id: int, since: float) -> Yield:
    read = sa.and_(_item.c.source_id == source_id, _item.c.last_seen > since, _item.c.page_id.is_not(None))
    texts = [name for name in FIELDS if name not in ("price", "pictures")]
    columns = [sa.func.count(sa.func.nullif(_item.c[name], "")) for name in texts]
    counted = connection.execute(sa.select(sa.func.count(), sa.func.count(_item.c.price), *columns).where(read)).one()
    shown = (
        sa.select(sa.func.count(sa.distinct(_picture.c.item_id)))
        .join(_item, _picture.c.item_id == _item.c.id)
        .where(read, _picture.c.left_at.is_(None))
    )
    pictures = connection.execute(shown).scalar_one()
    fields = Counter({**dict(zip(texts, counted[2:], strict=True)), "price": counted[1], "pictures": pictures})
    has_item = sa.exists().where(_item.c.page_id == _page.c.id)
    expected = (
        sa.select(sa.func.count())
        .select_from(_page)
        .where(_page.c.source_id == source_id, _page.c.outcome == "ok", _page.c.fetched_at > since)
        .where(sa.or_(_page.c.listed_at.is_not(None), has_item))
    )
    return Yield(int(connection.execute(expected).scalar_one()), int(counted[0]), fields)


def latest_warnings(project: Project) -> list[str]:
    """The warnings of the latest run of each source."""
    latest = sa.select(sa.func.max(_run.c.id)).group_by(_run.c.source_id)
    with reading(project.engine) as connection:
        rows = connection.execute(sa.select(_run.c.warnings).where(_run.c.id.in_(latest)).order_by(_run.c.id))
        return [line for row in rows for line in row.warnings]
