"""Commands on a project as a whole: init, run, status, retry, doctor."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tamis.commands.session import Session, pass_lines, project_option
from tamis.display import duration, table

if TYPE_CHECKING:
    from tamis.pipeline import StageStatus

#: Reasons of unreadable rows that `status` prints of a stage.
_SHOWN = 5


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--template", default="empty", metavar="NAME", help="cars, fashion or empty.  [default: empty]")
def init(folder: Path, template: str) -> None:
    """Make a new project in FOLDER: settings to edit, with a comment on each.

    \b
    Then
      edit FOLDER/tamis.toml       name your source and your attributes
      tamis run --project FOLDER   crawl, download, curate, mine
      tamis serve --project FOLDER annotate and review in the browser
    """  # noqa: D301 - click reads the backspace
    from tamis.templates import create_project  # noqa: PLC0415 - loaded on use

    written = create_project(folder, template)
    click.echo(f"made {written}: edit it, then `tamis run --project {folder}`")


@click.command()
@click.argument("steps", nargs=-1, metavar="[STAGE]...")
@click.option("--limit", type=click.IntRange(min=1), help="Work on so many rows of each stage at most.")
@click.option("--item", "items", multiple=True, metavar="N|URL",
              help="Only these items, by number or page; of all stages, without crawling.")  # fmt: skip
@click.option("--engine", type=click.Choice(["local"]), default="local", help="Where to compute.", show_default=True)
@project_option
def run(
    session: Session,
    steps: tuple[str, ...],
    limit: int | None,
    items: tuple[str, ...],
    engine: str,  # noqa: ARG001
) -> int:
    """Do all pending work, or that of some stages.

    Stages, in order: crawl, download, inspect, duplicates, detect, regionduplicates, classify, segment, mine. Work
    that was done is never done again; Ctrl-C stops cleanly and the next run goes on.
    """
    from tamis.pipeline import Monitor, run_pipeline  # noqa: PLC0415 - loaded on use

    monitor = Monitor(session.progress, session.stop)
    reports = run_pipeline(session.project, steps, limit=limit, items=items, monitor=monitor)
    rows = [
        (report.stage, report.rows, report.failed, duration(report.seconds), report.idle or _outcomes(report.counts))
        for report in reports
    ]
    session.finish(
        {"stages": [asdict(report) for report in reports]},
        *table(("stage", "rows", "failed", "time", ""), rows),
        *(f"warning: {line}" for report in reports for line in report.warnings),
    )
    return 1 if any(report.failed for report in reports) else 0


def _outcomes(counts: object) -> str:
    assert isinstance(counts, dict)
    return ", ".join(f"{count} {state}" for state, count in counts.items() if state not in ("done", "failed"))


@click.command()
@project_option
def status(session: Session) -> int:
    """Show what is done, pending and failed, and why.

    In a project of millions of images, rows that no run has looked at since something changed are counted here and
    there, and shown as `about`. `clusters` is pending where no row is, but where a threshold or what people said of
    pairs decides otherwise by now: the next run settles the clusters anew, without comparing a picture again.
    """
    from tamis.status import project_status  # noqa: PLC0415 - loaded on use

    found = project_status(session.project)
    lines = [f"project {found.name} in {session.folder.absolute()}", ""]
    lines += table(("", "rows", "", ""), [(name, total, "", _listed(parts)) for name, total, parts in found.inventory])
    lines += ["", *table(
        ("stage", "done", "pending", "failed", "time", ""),
        [
            (s.stage, s.done, _pending(s), s.failed, duration(s.seconds), s.idle or _other(s.skipped, s.unreadable))
            for s in found.stages
        ],
    )]  # fmt: skip
    lines += pass_lines([asdict(counts) for counts in found.passes])
    lines += ["", *(f"warning: {line}" for line in found.warnings)] if found.warnings else []
    for name, reasons in found.unreadable.items():
        lines += ["", f"unreadable in {name}:", *(f"  {count} x {reason}" for reason, count in reasons[:_SHOWN])]
        lines += ["  ... and others: --json lists more"] if len(reasons) > _SHOWN else []
    for name, reasons in found.failures.items():
        lines += ["", f"failed in {name} (`tamis retry {name}` tries again):"]
        lines += [f"  {count} x {reason}" for reason, count in reasons]
    session.finish(found.to_json(), *lines)
    return 1 if found.failures else 0


def _pending(stage: StageStatus) -> str:
    if stage.undecided and not stage.pending:
        return "clusters"
    return f"{'' if stage.pending_exact else 'about '}{stage.pending}"


def _listed(parts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(parts.items(), key=lambda part: -part[1]))


def _other(skipped: int, unreadable: int) -> str:
    return ", ".join(f"{count} {name}" for count, name in ((skipped, "skipped"), (unreadable, "unreadable")) if count)


@click.command()
@click.argument("steps", nargs=-1, required=True, metavar="STAGE...")
@project_option
def retry(session: Session, steps: tuple[str, ...]) -> None:
    """Make the failed rows of some stages pending again; `tamis run` then works on them."""
    from tamis.pipeline import retry as retry_steps  # noqa: PLC0415 - loaded on use

    counts = retry_steps(session.project, steps)
    session.finish(counts, *(f"{count} rows of {name} are pending again" for name, count in counts.items()))


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
def doctor(as_json: bool) -> None:
    """Check this machine: versions, devices, and which optional parts are there."""
    from tamis.doctor import examine  # noqa: PLC0415 - loaded on use

    session = Session(Path(), as_json)
    findings = examine()
    session.finish(
        [asdict(finding) for finding in findings],
        *table(("", "part", "found", ""), [(f.mark, f.part, f.found, f.advice) for f in findings]),
    )
