"""Commands on labels and data sets: labels, snapshot, export, trace."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from tamis.commands.session import Session, project_option
from tamis.display import table

_FIT_HELP = "What becomes of another aspect.  [default: inside]"


@click.group()
def labels() -> None:
    """Labels: mined from text, resolved to gold."""


@labels.command()
@project_option
def mine(session: Session) -> int:
    """Apply the project's rules to the text of its items (the stage `mine`)."""
    from tamis.engine.runner import run_stage  # noqa: PLC0415
    from tamis.pipeline import stage_named  # noqa: PLC0415 - loaded on use

    report = run_stage(session.project, stage_named("mine"), progress=session.progress("mine"), stop=session.stop)
    session.finish(asdict(report), report.idle or f"{report.rows} items mined, {report.failed} failed")
    return 1 if report.failed else 0


@labels.command()
@click.argument("attribute", required=False)
@click.option("--count", type=click.IntRange(min=1), default=30, help="Words and phrases to show.", show_default=True)
@project_option
def rules(session: Session, attribute: str | None, count: int) -> None:
    """Show what the rules find, and words of the items that no rule knows yet.

    With ATTRIBUTE: the words that set the values of that attribute apart, as material for rules.
    """
    from tamis.insight import rule_report  # noqa: PLC0415 - loaded on use

    report = rule_report(session.project, attribute, count)
    lines = table(("attribute", "value", "items"), report.found) if report.found else ["no rules, or none that match"]
    lines += ["", *table(("phrase", "items", "score", "tells"), report.phrases)]
    session.finish(asdict(report), *lines)


@labels.command()
@click.option("--attribute", "attributes", multiple=True, help="Only these; may be given again.")
@project_option
def gold(session: Session, attributes: tuple[str, ...]) -> None:
    """Count the gold labels: who wins where, and where people disagree."""
    from tamis.insight import gold_counts  # noqa: PLC0415 - loaded on use

    counts = gold_counts(session.project, attributes)
    session.finish(
        [asdict(row) for row in counts],
        *table(
            ("attribute", "value", "regions", "by person", "by model", "by rule", "disputed"),
            [(c.attribute, c.value, c.regions, c.by_person, c.by_model, c.by_rule, c.disputed) for c in counts],
        ),
    )


@click.command()
@click.argument("name", required=False)
@project_option
def snapshot(session: Session, name: str | None) -> None:
    """Freeze a data set: gold labels refined, encoded, split without leaks, numbered.

    The settings are those of [snapshot]. NAME is project-N when it is not given. Equal data give an equal digest.
    """
    from tamis.dataset.snapshot import make_snapshot  # noqa: PLC0415 - loaded on use
    from tamis.insight import snapshot_facts  # noqa: PLC0415
    from tamis.modelling import report_snapshot  # noqa: PLC0415

    frozen = make_snapshot(session.project, name, progress=session.progress("snapshot"))
    report = report_snapshot(frozen)
    facts = snapshot_facts(frozen)
    lines = [f"{frozen.name}: {len(frozen.samples)} samples in {frozen.folder}", f"report: {report}", ""]
    lines += table(("attribute", "class", "train", "validation", "test"), facts.rows)
    session.finish(asdict(facts) | {"report": str(report)}, *lines)


@click.command()
@click.argument("snapshot", metavar="SNAPSHOT")
@click.option("--format", "form", required=True, metavar="F", help="csv or folders.")
@click.option("--out", type=click.Path(path_type=Path), help="Where to.  [default: exports/SNAPSHOT-F]")
@click.option("--attribute", default="", help="For folders: whose classes name them.  [default: the first]")
@click.option("--size", type=click.IntRange(min=1), help="Longer side in pixels; nothing is enlarged.")
@click.option("--fit", type=click.Choice(["inside", "letterbox", "crop", "stretch"]), default="inside", help=_FIT_HELP)
@click.option("--image-format", type=click.Choice(["jpeg", "png", "webp"]), default="jpeg", help="Of the pictures.")
@project_option
def export(session: Session, snapshot: str, form: str, out: Path | None, **options: Any) -> int:
    """Write a snapshot out for other tools; SNAPSHOT is a name or a folder.

    csv: one row a sample with its labels and where it came from. folders: pictures in clean/CLASS and
    questionable/CLASS. An export that was stopped goes on where it was.
    """
    from tamis.dataset.export import ExportOptions  # noqa: PLC0415 - loaded on use
    from tamis.dataset.export import export as write_out  # noqa: PLC0415
    from tamis.dataset.manifest import Snapshot  # noqa: PLC0415
    from tamis.modelling import snapshot_folder  # noqa: PLC0415
    from tamis.vision.render import Rendering  # noqa: PLC0415

    frozen = Snapshot.read(snapshot_folder(session.project, snapshot))
    size_wh = (options["size"], options["size"]) if options["size"] else None
    rendering = Rendering(size_wh, options["fit"], options["image_format"])
    chosen = ExportOptions(options["attribute"], rendering)
    folder = out or session.folder / "exports" / f"{frozen.name}-{form}"
    report = write_out(frozen, form, folder, chosen, progress=session.progress("export"), stop=session.stop)
    lines = [f"{report.written} written, {report.skipped} there already, in {report.out}"]
    lines += [f"  {count} left out: {reason}" for reason, count in report.left_out.items()]
    lines += [f"  failed: {name}: {reason}" for name, reason in report.failed]
    session.finish(asdict(report), *lines)
    return 1 if report.failed else 0


@click.command()
@click.argument("sample")
@project_option
def trace(session: Session, sample: str) -> None:
    """Show where a sample came from: its image, pictures, items, pages, labels, data sets and models."""
    from tamis.dataset.trace import trace as trace_sample  # noqa: PLC0415 - loaded on use

    found = trace_sample(session.project, sample)
    session.finish(found.to_json(), *found.lines())
