"""Commands on the duplicates of a project: list, calibrate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from tamis.commands.session import Session, project_option
from tamis.display import table

if TYPE_CHECKING:
    from tamis.records import Level
    from tamis.vision.threshold import Step

#: Rows of the printed table at most.
_ROWS = 15


_level_option = click.option(
    "--level",
    type=click.Choice(["image", "region"]),
    default="image",
    help="Copies among whole pictures, or among regions.",
    show_default=True,
)


@click.group()
def duplicates() -> None:
    """Near-duplicates of a project: what is kept of each cluster, and the threshold, from what people say of pairs."""


@duplicates.command(name="list")
@_level_option
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Clusters at most.")
@click.option("--offset", type=click.IntRange(0), default=0, show_default=True, help="Clusters to pass over.")
@project_option
def list_(session: Session, level: Level, limit: int, offset: int) -> None:
    """List the clusters: the one to keep, and what each of the others is to it, with its score."""
    from tamis.copylist import list_clusters  # noqa: PLC0415 - loaded on use

    found = list_clusters(session.project, level, limit, offset)
    lines = []
    for one in found["clusters"]:
        keep = one["keep"]
        lines.append(f"{keep['id']}  {keep['url'] or keep['sha256'][:16]}")
        lines += [
            f"    {member['id']}  {member['url'] or member['sha256'][:16]}  {member['relation']}  {member['score']:.4f}"
            for member in one["members"]
        ]
    shown = f", {len(found['clusters'])} shown" if len(found["clusters"]) < found["clusters_in_all"] else ""
    lines.append(
        f"{found['clusters_in_all']} clusters{shown}, {found['losers_in_all']} copies beside those kept "
        f"(the {found['policy']}; pairs from a score of {found['threshold']:g})"
    )
    session.finish(found, *lines)


@duplicates.command()
@_level_option
@click.option(
    "--precision",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.98,
    show_default=True,
    help="Wanted share of same pairs among those that join.",
)
@click.option("--surely", is_flag=True, help="The lower end of the 95 % interval must reach it.")
@click.option("--write", is_flag=True, help="Set the threshold in tamis.toml; its comments stay.")
@project_option
def calibrate(session: Session, level: Level, precision: float, surely: bool, write: bool) -> None:
    """Fit the threshold to what people said of pairs, on the page /copies of `tamis serve`.

    The proposal is the lowest threshold that reaches the wanted precision. Pairs that nobody judged count like the
    judged ones of their score, so that looking at the doubtful ones first does no harm; judge some of all scores, too.
    """
    from tamis.calibration import calibrate as fit  # noqa: PLC0415 - loaded on use
    from tamis.calibration import write_threshold  # noqa: PLC0415
    from tamis.vision.threshold import as_document  # noqa: PLC0415

    project = session.project
    found = fit(project, level, precision, surely=surely)
    written = None
    if write and found.threshold is not None:
        written = str(write_threshold(project.folder, found.section, found.threshold))
    lines = _table_of(found.steps, found.chosen)
    if found.threshold is None:
        best = max(found.steps, key=lambda step: step.low if surely else step.precision)
        reached = best.low if surely else best.precision
        lines.append(
            f"no threshold reaches a precision of {precision:g}: the best is {reached:.3f} at {best.threshold:g}"
        )
    else:
        lines += [f"[{found.section}]", f"threshold = {found.threshold:g}  # now {found.current:g}", ""]
        lines.append(
            f"written to {written}; `tamis run {found.section}` settles the clusters" if written else "--write sets it"
        )
    document = {
        "section": found.section, "current": found.current, "judged": found.judged, "precision": precision,
        "threshold": found.threshold, "chosen": as_document(found.chosen) if found.chosen else None,
        "steps": [as_document(step) for step in found.steps], "written": written,
    }  # fmt: skip
    session.finish(document, *lines)


def _table_of(steps: Sequence[Step], chosen: Step | None) -> list[str]:
    """The steps, thinned out evenly, with the chosen one marked."""
    apart = max(1, -(-len(steps) // _ROWS))
    rows = [
        (
            f"{step.threshold:.6f}", step.pairs, step.judged, step.different, f"{step.precision:.3f}",
            f"{step.low:.3f} to {step.high:.3f}", f"{step.recall:.3f}", "<" if step is chosen else "",
        )
        for place, step in enumerate(steps)
        if place % apart == 0 or step is chosen or step is steps[-1]
    ]  # fmt: skip
    head = ("threshold", "pairs", "judged", "not same", "precision", "95 % interval", "recall", "")
    return [*table(head, rows), ""]
