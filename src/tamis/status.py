"""What a project holds and what is left to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import Connection

from tamis import schema
from tamis.crawl.rounds import PassCounts, pass_counts
from tamis.crawl.yields import latest_warnings
from tamis.database import reading
from tamis.project import Project

if TYPE_CHECKING:
    from tamis.pipeline import StageStatus

#: Steps whose failures stand in the rows that they work on.
_FAILING = {"crawl": schema.page, "download": schema.picture}


@dataclass(frozen=True, slots=True)
class ProjectStatus:
    """`inventory` lists (what, how many, parts by outcome); `failures` a step's reasons with their counts.

    `unreadable` lists the reasons of the rows that a stage could not read, which are outcomes and no failures.
    `passes` holds the items of each source's latest crawl, `warnings` what its recipe reads less of than before, and
    what of the settings does not fit a model.
    """

    name: str
    inventory: Sequence[tuple[str, int, dict[str, int]]]
    stages: Sequence[StageStatus]
    failures: Mapping[str, Sequence[tuple[str, int]]]
    passes: Sequence[PassCounts] = ()
    warnings: Sequence[str] = ()

    @property
    def unreadable(self) -> Mapping[str, Sequence[tuple[str, int]]]:
        """Stage to the reasons of its unreadable rows with their counts, the most frequent first."""
        return {
            stage.stage: [(reason, count) for reason, count, _ in stage.refusals]
            for stage in self.stages
            if stage.refusals
        }

    def to_json(self) -> dict[str, Any]:
        """The same as one document."""
        return {
            "project": self.name,
            "inventory": {name: {"rows": total} | parts for name, total, parts in self.inventory},
            "stages": [asdict(stage) for stage in self.stages],
            "failures": {step: dict(reasons) for step, reasons in self.failures.items()},
            "unreadable": {stage: dict(reasons) for stage, reasons in self.unreadable.items()},
            "passes": [asdict(counts) for counts in self.passes],
            "warnings": list(self.warnings),
        }


def project_status(project: Project) -> ProjectStatus:
    """Return what the project holds, and what is done, pending and failed in each stage."""
    with ThreadPoolExecutor(1) as beside:
        counted = beside.submit(_count_all, project)
        from tamis.pipeline import stage_statuses  # noqa: PLC0415 - all stages, which load while rows are counted

        stages = stage_statuses(project)
        inventory, failures = counted.result()
    for stage in stages:
        if stage.failures:
            failures[stage.stage] = [(reason, count) for reason, count, _ in stage.failures]
    passes = pass_counts(project)
    warnings = [*latest_warnings(project), *(line for stage in stages for line in stage.warnings)]
    return ProjectStatus(project.settings.project.name, inventory, stages, failures, passes, warnings)


def _count_all(
    project: Project,
) -> tuple[list[tuple[str, int, dict[str, int]]], dict[str, list[tuple[str, int]]]]:
    """Return the inventory, and why pages and pictures failed."""
    with reading(project.engine) as connection:
        inventory = [
            ("pages", *_by_outcome(connection, schema.page)),
            ("items", _count(connection, schema.item), {}),
            ("pictures", *_by_outcome(connection, schema.picture)),
            ("images", _count(connection, schema.image), {}),
            ("regions", _count(connection, schema.region, schema.region.c.superseded_at.is_(None)), {}),
            ("labels", *_by_who(connection)),
            ("snapshots", _count(connection, schema.snapshot), {}),
            ("models", _count(connection, schema.model), {}),
        ]
        failed = {step: _failed(connection, table) for step, table in _FAILING.items()}
    return inventory, {step: reasons for step, reasons in failed.items() if reasons}


def _count(connection: Connection, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> int:
    statement = sa.select(sa.func.count()).select_from(table).where(*conditions)
    return int(connection.execute(statement).scalar_one())


def _by_outcome(connection: Connection, table: sa.Table) -> tuple[int, dict[str, int]]:
    # Grouped by both columns, in the order of the index that answers it alone.
    counts: Counter[str] = Counter()
    query = sa.select(table.c.state, table.c.outcome, sa.func.count()).group_by(table.c.state, table.c.outcome)
    for state, outcome, count in connection.execute(query):
        counts[outcome or state] += int(count)
    return counts.total(), dict(counts)


def _by_who(connection: Connection) -> tuple[int, dict[str, int]]:
    table = schema.label
    # Counted without a condition, so that the index of both columns answers it alone.
    claims = sa.func.count() - sa.func.count(table.c.retracts)
    rows = connection.execute(sa.select(table.c.who, claims).group_by(table.c.who)).all()
    return sum(count for _, count in rows), {f"by {who}": count for who, count in rows if count}


def _failed(connection: Connection, table: sa.Table) -> list[tuple[str, int]]:
    reason = sa.func.coalesce(table.c.reason, table.c.outcome)
    rows = connection.execute(
        sa.select(reason, sa.func.count())
        .where(table.c.state == "failed")
        .group_by(reason)
        .order_by(sa.func.count().desc())
        .limit(20)
    )
    return [(why or "no reason", count) for why, count in rows]
