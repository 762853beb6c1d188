"""Commands on labels and data sets: labels, snapshot, export, trace."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tamis.commands.session import Session, project_option
from tamis.commands.values import Colour
from tamis.display import table

if TYPE_CHECKING:
    from tamis.dataset.target import ExportOptions, ExportReport
    from tamis.vision.render import OutputFormat

_SIZE_HELP = "Pixels of the square to fit into, or WxH; given again, each in a folder of its own."
_FIT_HELP = "What becomes of another aspect.  [default: inside]"


def _read_sizes(_ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]) -> list[tuple[int, int]]:
    """A side or two each, such as 224 or 640x480."""
    sizes = []
    for text in given:
        match = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", text)
        size = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not all(1 <= side <= 16_384 for side in size):
            raise click.BadParameter(f"{text!r} is no size: give pixels from 1 to 16384 such as 224, or 640x480")
        sizes.append(size)
    return sizes


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
@click.option("--size", "sizes", multiple=True, metavar="N|WxH", callback=_read_sizes, help=_SIZE_HELP)
@click.option("--fit", type=click.Choice(["inside", "letterbox", "crop", "stretch"]), default="inside", help=_FIT_HELP)
@click.option("--enlarge", is_flag=True, help="Enlarge what is smaller than --size.")
@click.option("--image-format", type=click.Choice(["jpeg", "png", "webp"]),
              help="Of the pictures.  [default: jpeg; png where they are transparent]")  # fmt: skip
@click.option("--cut-out", is_flag=True, help="Pictures lose their ground, by their masks: transparent, or --ground.")
@click.option("--ground", type=Colour(), help="A plain colour, such as #ffffff, instead of transparency.")
@click.option("--unmasked", type=click.Choice(["leave-out", "whole"]), default="leave-out", show_default=True,
              help="What becomes of samples without a mask under --cut-out; they are counted.")  # fmt: skip
@click.option("--item", "items", multiple=True, metavar="N|URL", help="Only these items, by number or page.")
@click.option("--masks", is_flag=True, help="Write the masks too: PNG files below masks/, for csv COCO run lengths.")
@project_option
def export(session: Session, snapshot: str, form: str, out: Path | None, **options: Any) -> int:
    """Write a snapshot out for other tools; SNAPSHOT is a name or a folder.

    csv: one row a sample with its labels and where it came from. folders: pictures in clean/CLASS and
    questionable/CLASS. An export that was stopped goes on where it was. Nothing is enlarged without --enlarge;
    `tamis report sizes` shows what each size would enlarge. Several sizes: --size 224 --size 384. Chosen items, with
    --item, go to a folder of their own.
    """
    from tamis.dataset.export import export as write_out  # noqa: PLC0415 - loaded on use
    from tamis.dataset.export import export_sizes  # noqa: PLC0415
    from tamis.dataset.snapshot import of_items, open_snapshot  # noqa: PLC0415

    chosen = {
        "" if size is None else str(size[0]) if size[0] == size[1] else f"{size[0]}x{size[1]}": _export_options(
            size, options
        )
        for size in options["sizes"] or [None]
    }
    frozen = open_snapshot(session.project, snapshot)
    name = f"{frozen.name}-{form}"
    if options["items"]:
        frozen = of_items(session.project, frozen, options["items"])
        name += f"-{frozen.digest[:8]}"
    folder = out or session.folder / "exports" / name
    show = session.progress("export")
    if len(chosen) == 1:
        only = write_out(frozen, form, folder, *chosen.values(), progress=show, stop=session.stop)
        reports, document = [only], asdict(only)
    else:
        by_size = export_sizes(frozen, form, folder, chosen, progress=show, stop=session.stop)
        reports, document = list(by_size.values()), {size: asdict(report) for size, report in by_size.items()}
    session.finish(document, *(line for report in reports for line in _export_lines(report)))
    return 1 if any(report.failed for report in reports) else 0


def _export_options(size: tuple[int, int] | None, options: dict[str, Any]) -> ExportOptions:
    from tamis.dataset.target import ExportOptions  # noqa: PLC0415 - loaded on use
    from tamis.vision.render import Rendering  # noqa: PLC0415

    cut_out, ground = options["cut_out"], options["ground"]
    is_transparent = cut_out and ground is None
    if ground and not cut_out:
        raise click.UsageError("--ground needs --cut-out")
    if is_transparent and options["image_format"] == "jpeg":
        raise click.UsageError("a JPEG has no transparency: choose --image-format png or webp, or a --ground")
    image_format: OutputFormat = options["image_format"] or ("png" if is_transparent else "jpeg")
    return ExportOptions(
        attribute=options["attribute"],
        rendering=Rendering(size, options["fit"], image_format, enlarge=options["enlarge"], background_rgb=ground),
        cut_out=cut_out,
        keep_unmasked=cut_out and options["unmasked"] == "whole",
        masks=options["masks"],
    )


def _export_lines(report: ExportReport) -> list[str]:
    written = _counted(report.pictures_written, report.written)
    there = _counted(report.pictures_skipped, report.skipped)
    lines = [f"{written} written, {there} there already, in {report.out}"]
    lines += [f"  {count} left out: {reason}" for reason, count in report.left_out.items()]
    lines += [f"  {count} {remark}" for remark, count in report.remarks.items()]
    return lines + [f"  failed: {name}: {reason}" for name, reason in report.failed]


def _counted(pictures: int, files: int) -> str:
    """Files by their kind, such as `166 pictures and 1 other file`."""
    others = files - pictures
    kinds = [f"{pictures} picture{'s' * (pictures != 1)}"] if pictures else []
    kinds += [f"{others}{' other' if pictures else ''} file{'s' * (others != 1)}"] if others or not pictures else []
    return " and ".join(kinds)


@click.command()
@click.argument("sample")
@project_option
def trace(session: Session, sample: str) -> None:
    """Show where a sample came from: its image, pictures, items, pages, labels, data sets and models.

    SAMPLE is its id, or the number of an image, as reports show them below a picture; the first digits may do.
    """
    from tamis.dataset.trace import trace as trace_sample  # noqa: PLC0415 - loaded on use

    found = trace_sample(session.project, sample)
    session.finish(found.to_json(), *found.lines())
