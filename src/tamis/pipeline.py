"""The whole pipeline, in order. Reading the tuple below tells what happens to a picture."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from tamis import schema
from tamis.database import reading, writing
from tamis.dataset.claims import rows_for
from tamis.dataset.items import find_items
from tamis.engine import ledger
from tamis.engine.collapse import is_undecided
from tamis.engine.executor import Workshop
from tamis.engine.extents import Chosen, Plan, Survey
from tamis.engine.run import Progress, context_of
from tamis.engine.runner import StageReport, run_stage
from tamis.engine.stage import Stage
from tamis.engine.trial import look_ahead
from tamis.errors import Interrupted, UserError
from tamis.project import Project
from tamis.stages.classify import CLASSIFY
from tamis.stages.detect import DETECT
from tamis.stages.duplicates import DUPLICATES
from tamis.stages.inspect import INSPECT
from tamis.stages.mine import MINE
from tamis.stages.regionduplicates import REGIONDUPLICATES
from tamis.stages.segment import SEGMENT

STAGES: tuple[Stage, ...] = (
    INSPECT,  # images to facts, quality and signatures
    DUPLICATES,  # image signatures to clusters, one keeper each
    DETECT,  # images to regions
    REGIONDUPLICATES,  # lenient duplicates among the regions
    CLASSIFY,  # regions to model labels
    SEGMENT,  # regions to masks
    MINE,  # item text to rule labels
)

#: The steps before the stages, which work on the web's time and not on this machine's.
NETWORK_STEPS = ("crawl", "download")
STEPS = (*NETWORK_STEPS, *(stage.name for stage in STAGES))
#: Seconds that `status` counts pending rows of one stage, before it makes do with an estimate.
PATIENCE = 0.05


def stage_named(name: str) -> Stage:
    """Return a stage; raises UserError that lists them."""
    for stage in STAGES:
        if stage.name == name:
            return stage
    raise UserError(f"unknown stage {name!r}; the stages are: {', '.join(STEPS)}")


@dataclass(frozen=True, slots=True)
class Monitor:
    """How a run shows itself and is stopped; `progress` gives the callback of a step."""

    progress: Callable[[str], Progress | None] = lambda _: None
    stop: threading.Event | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a run is held to: rows of each step at most, and what the stages are narrowed to."""

    limit: int | None = None
    chosen: Chosen | None = None


def run_pipeline(
    project: Project,
    steps: Sequence[str] = (),
    *,
    limit: int | None = None,
    items: Sequence[str] = (),
    monitor: Monitor = Monitor(),
) -> list[StageReport]:
    """Run all pending work, or that of some steps, in the order of the pipeline.

    Args:
        project: the project.
        steps: names of steps; none for all.
        limit: rows of each step at most.
        items: numbers or URLs of the items that the stages work on; none for all. Nothing is crawled then.
        monitor: how the run shows itself and is stopped.

    Raises:
        UserError: a step or an item that there is none of, items for a step that takes none, or a model that a step
            needs and cannot use; nothing is done then.
        Interrupted: the monitor's stop was set; all finished work is committed.
    """
    for name in steps:
        if name not in STEPS:
            stage_named(name)
        if items and name in NETWORK_STEPS:
            raise UserError(f"{name} takes no items: only the stages do, {', '.join(stage.name for stage in STAGES)}")
    asked = [name for name in STEPS if name in steps] if steps else _all_steps(project, narrowed=bool(items))
    bounds = Bounds(limit, choose_items(project, items) if items else None)
    told = look_ahead(project, [stage for stage in STAGES if stage.name in asked])
    with Workshop() as workshop:
        reports = [_run_step(project, name, bounds, monitor, workshop) for name in asked]
    return [replace(one, warnings=(*one.warnings, *told.get(one.stage, ()))) for one in reports]


def _all_steps(project: Project, *, narrowed: bool) -> list[str]:
    with_network = project.settings.source and not narrowed
    return [name for name in STEPS if with_network or name not in NETWORK_STEPS]


def choose_items(project: Project, names: Sequence[str]) -> Chosen:
    """Return the items of these numbers or URLs, with the images that they show.

    Raises:
        UserError: no item has the number or the URL.
    """
    picture = schema.picture.c
    with reading(project.engine) as connection:
        found = find_items(connection, names)
        shown = rows_for(
            connection,
            lambda part: sa.select(picture.image_id).where(picture.item_id.in_(part), picture.image_id.is_not(None)),
            found,
        )
        return Chosen(frozenset(found), frozenset(row.image_id for row in shown))


def _run_step(project: Project, name: str, bounds: Bounds, monitor: Monitor, workshop: Workshop) -> StageReport:
    limit = bounds.limit
    progress, stop = monitor.progress(name), monitor.stop
    if name == "crawl":
        from tamis.crawl.budget import RunLimits  # noqa: PLC0415 - the crawler loads when it is used
        from tamis.crawl.run import crawl  # noqa: PLC0415

        crawled = crawl(project, limits=RunLimits(limit), progress=progress, stop=stop)
        report = _network_report(name, crawled.pages, crawled.failures, crawled.seconds, crawled.stopped)
        return replace(report, warnings=tuple(crawled.warnings))
    if name == "download":
        from tamis.crawl.pictures import PictureTable  # noqa: PLC0415

        if not PictureTable(project.engine).count_pending():
            return _network_report(name, 0, 0, 0.0, False)
        from tamis.crawl.download import download  # noqa: PLC0415 - with it an HTTP client

        got = download(project, limit=limit, progress=progress, stop=stop)
        return _network_report(name, got.requested, got.failures, got.seconds, got.stopped)
    stage = stage_named(name)
    return run_stage(project, stage, limit=limit, chosen=bounds.chosen, progress=progress, stop=stop, workshop=workshop)


def _network_report(name: str, asked: int, failed: int, seconds: float, stopped: bool) -> StageReport:
    if stopped:
        raise Interrupted(f"{name} stopped after {asked} requests")
    return StageReport(name, {"done": asked - failed, "failed": failed}, seconds)


@dataclass(frozen=True, slots=True)
class StageStatus:
    """What is done, pending and failed in a stage.

    `pending` is an estimate unless `pending_exact`; `undecided` tells that no row is, but that settings or what people
    said decide otherwise by now, so that the next run settles the clusters anew. `failures` and `refusals` are the
    reasons of failed and of unreadable rows, the most frequent first, each with its rows and one subject's id;
    `warnings` say what of its settings does not fit its model.
    """

    stage: str
    help: str
    done: int
    pending: int
    pending_exact: bool
    undecided: bool
    failed: int
    skipped: int
    unreadable: int
    seconds: float
    idle: str | None
    failures: tuple[tuple[str, int, int], ...]
    refusals: tuple[tuple[str, int, int], ...] = ()
    warnings: tuple[str, ...] = ()


def stage_statuses(project: Project) -> list[StageStatus]:
    """Return the status of every stage; what cannot run for want of a model is idle and says why."""
    with reading(project.engine) as connection:
        totals = ledger.counters(connection)
        return [_status(project, connection, stage, totals.get(stage.name, {})) for stage in STAGES]


def _status(project: Project, connection: Any, stage: Stage, totals: dict[str, float]) -> StageStatus:
    idle = stage.idle(project.settings, project.folder)
    survey, undecided = Survey(), False
    warnings: Sequence[str] = ()
    if idle is None:
        try:
            warnings = stage.look(context_of(project)) or ()
            fingerprint = stage.fingerprint(context_of(project))
            survey = Plan(stage, project.settings, fingerprint).survey(connection, PATIENCE)
            undecided = is_undecided(connection, stage, project)
        except UserError as error:
            idle = str(error)
    failed, unreadable = int(totals.get("failed", 0)), int(totals.get("unreadable", 0))
    return StageStatus(
        stage=stage.name,
        help=stage.help,
        done=int(totals.get("done", 0)),
        pending=survey.pending,
        pending_exact=survey.exact,
        undecided=undecided,
        failed=failed,
        skipped=int(totals.get("skipped", 0)),
        unreadable=unreadable,
        seconds=totals.get("seconds", 0.0),
        idle=idle,
        failures=tuple(ledger.reasons(connection, stage.name, "failed")) if failed else (),
        refusals=tuple(ledger.reasons(connection, stage.name, "unreadable")) if unreadable else (),
        warnings=tuple(warnings),
    )


def retry(project: Project, steps: Iterable[str]) -> dict[str, int]:
    """Make failed rows of some steps pending again; returns step to number of rows."""
    counts: dict[str, int] = {}
    for name in steps:
        if name in NETWORK_STEPS:
            from tamis.crawl.frontier import retry_failed  # noqa: PLC0415

            counts[name] = retry_failed(project, name)
            continue
        stage = stage_named(name)
        with writing(project.engine) as connection:
            counts[name] = ledger.retry(connection, stage.name)
    return counts
