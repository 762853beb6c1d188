"""Route of the dashboard: progress by step, class distributions, what failed and why."""

from __future__ import annotations

from collections import Counter

import sqlalchemy as sa
from fastapi import APIRouter
from sqlalchemy import Connection

from tamis import schema
from tamis.annotate.messages import ClassCount, DashboardView, FailureView, InventoryView, StageView
from tamis.annotate.survey import Survey
from tamis.annotate.web import InWeb, Reader, Web
from tamis.database import reading

router = APIRouter(prefix="/api/dashboard", tags=["dashboard"])


@router.get("")
def dashboard(web: InWeb, _: Reader) -> DashboardView:
    """How far each step is, how the classes are spread, what failed and why."""
    survey = web.surveyor.current()
    remaining, total = web.queue.progress()
    status = web.status.current()
    with reading(web.project.engine) as connection:
        people = _people(connection)
    fields = [name for name in StageView.model_fields if name != "stage"]
    return DashboardView(
        inventory={name: InventoryView(rows=rows, parts=parts) for name, rows, parts in status.inventory},
        stages=tuple(
            StageView(stage=one.stage, **{name: getattr(one, name) for name in fields}) for one in status.stages
        ),
        failures=tuple(
            FailureView(step=step, reason=reason, count=count)
            for step, reasons in status.failures.items()
            for reason, count in reasons
        ),
        classes=_classes(web, survey),
        verdicts=dict(Counter(entry.verdict for entry in survey.entries.values())),
        causes=dict(Counter(entry.cause for entry in survey.entries.values() if entry.verdict != "keep")),
        people=people,
        remaining=remaining,
        total=total,
    )


def _people(connection: Connection) -> dict[str, int]:
    """Person to the labels that they wrote, retractions left out."""
    label = schema.label
    statement = (
        sa.select(label.c.actor, sa.func.count())
        .where(label.c.who == "person", label.c.retracts.is_(None))
        .group_by(label.c.actor)
        .order_by(sa.func.count().desc())
    )
    return {row[0]: row[1] for row in connection.execute(statement)}


def _classes(web: Web, survey: Survey) -> dict[str, tuple[ClassCount, ...]]:
    """Attribute to the gold values of the samples that are not rejected, with who says so."""
    found: dict[str, tuple[ClassCount, ...]] = {}
    usable = [entry for entry in survey.entries.values() if entry.verdict != "reject"]
    for place, attribute in enumerate(web.project.settings.attributes):
        marks = [entry.gold[place] for entry in usable]
        people = Counter(mark.value for mark in marks if mark and mark.by_person)
        machines = Counter(mark.value for mark in marks if mark and not mark.by_person)
        counts = [ClassCount(value=value, person=people[value], machine=machines[value]) for value in attribute.classes]
        disputed, unknown = people[None] + machines[None], sum(mark is None for mark in marks)
        counts.append(ClassCount(value=None, person=disputed, machine=0, unknown=unknown))
        found[attribute.name] = tuple(counts)
    return found
