"""The whole pipeline, in order. Reading the tuple below tells what happens to a picture."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tamis.database import reading, writing
from tamis.engine import ledger
from tamis.engine.executor import Workshop
from tamis.engine.extents import Plan, Survey
from tamis.engine.runner import Progress, StageReport, context_of, is_undecided, run_stage
from tamis.engine.stage import Stage
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


def run_pipeline(
    project: Project, steps: Sequence[str] = (), *, limit: int | None = None, monitor: Monitor = Monitor()
) -> list[StageReport]:
    """Run all pending work, or that of some steps, in the order of the pipeline.

    Raises:
        UserError: a step that there is none of.
        Interrupted: the monitor's stop was set; all finished work is committed.
    """
    for name in steps:
        if name not in STEPS:
            stage_named(name)
    with Workshop() as workshop:
        return [
            _run_step(project, name, limit, monitor, workshop)
            for name in STEPS
            if (not steps and (name not in NETWORK_STEPS or project.settings.source)) or name in steps
        ]


def _run_step(project: Project, name: str, limit: int | None, monitor: Monitor, workshop: Workshop) -> StageReport:
    progress, stop = monitor.progress(name), monitor.stop
    if name == "crawl":
        from tamis.crawl.budget import RunLimits  # noqa: PLC0415 - the crawler loads when it is used
        from tamis.crawl.run import crawl  # noqa: PLC0415

        crawled = crawl(project, limits=RunLimits(limit), progress=progress, stop=stop)
        report = _network_report(name, crawled.pages, crawled.failures, crawled.seconds, crawled.stopped)
        return replace(report, warnings=tuple(crawled.warnings))
    if name == "download":
        from tamis.crawl.download import download  # noqa: PLC0415

        got = download(project, limit=limit, progress=progress, stop=stop)
        return _network_report(name, got.requested, got.failures, got.seconds, got.stopped)
    return run_stage(project, stage_named(name), limit=limit, progress=progress, stop=stop, workshop=workshop)


def _network_report(name: str, asked: int, failed: int, seconds: float, stopped: bool) -> StageReport:
    if stopped:
        raise Interrupted(f"{name} stopped after {asked} requests")
    return StageReport(name, {"done": asked - failed, "failed": failed}, seconds)


@dataclass(frozen=True, slots=True)
class StageStatus:
    """What is done, pending and failed in a stage.

    `pending` is an estimate unless `pending_exact`; `undecided` tells that no row is, but that settings or what people
    said decide otherwise by now, so that the next run settles the clusters anew.
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


def stage_statuses(project: Project) -> list[StageStatus]:
    """Return the status of every stage; what cannot run for want of a model is idle and says why."""
    with reading(project.engine) as connection:
        totals = ledger.counters(connection)
        return [_status(project, connection, stage, totals.get(stage.name, {})) for stage in STAGES]


def _status(project: Project, connection: Any, stage: Stage, totals: dict[str, float]) -> StageStatus:
    idle = stage.idle(project.settings, project.folder)
    survey, undecided = Survey(), False
    if idle is None:
        try:
            fingerprint = stage.fingerprint(context_of(project))
            survey = Plan(stage, project.settings, fingerprint).survey(connection, PATIENCE)
            undecided = is_undecided(connection, stage, project)
        except UserError as error:
            idle = str(error)
    failed = int(totals.get("failed", 0))
    return StageStatus(
        stage=stage.name,
        help=stage.help,
        done=int(totals.get("done", 0)),
        pending=survey.pending,
        pending_exact=survey.exact,
        undecided=undecided,
        failed=failed,
        skipped=int(totals.get("skipped", 0)),
        unreadable=int(totals.get("unreadable", 0)),
        seconds=totals.get("seconds", 0.0),
        idle=idle,
        failures=tuple(ledger.failures(connection, stage.name)) if failed else (),
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
