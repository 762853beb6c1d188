"""Commands on plain folders, outside any project: dedupe, detect."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, get_args

import click

from tamis.commands.session import Session
from tamis.commands.values import Colour
from tamis.records import KeeperPolicy

_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command()
@click.argument("folder", type=_FOLDER, required=False)
@click.option("--move", "aside", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Put the copies aside into DIR, with an undo file; the ones to keep stay.")  # fmt: skip
@click.option("--undo", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE",
              help="Put back what --move put aside; FILE is its undo file.")  # fmt: skip
@click.option("--keeper", type=click.Choice(get_args(KeeperPolicy)), default="largest", show_default=True,
              help="Which copy stays; the cleanest is the one with the fewest marks.")  # fmt: skip
@click.option("--threshold", type=click.FloatRange(0, 1), default=0.5, show_default=True,
              help="Score from which a pair counts as copies.")  # fmt: skip
@click.option("--mirrored/--no-mirrored", default=True, help="Whether mirrored copies count.", show_default=True)
@click.option("--rotated/--no-rotated", default=False, help="Whether copies turned by quarters count.",
              show_default=True)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
def dedupe(folder: Path | None, aside: Path | None, undo: Path | None, as_json: bool, **policy: Any) -> int:
    """Find copies among the pictures of FOLDER: exact, re-encoded, resized, cropped, marked, mirrored.

    Each cluster names the one to keep, and what the others are to it. Nothing is moved or deleted, unless --move
    names a folder outside of FOLDER: the copies then go there under the same relative paths. Nothing is overwritten,
    symbolic links stay, and `tamis dedupe --undo DIR/tamis-undo.jsonl` puts everything back, also after a kill.
    """
    session = Session(folder or Path(), as_json)
    session.catch_interrupts()
    try:
        if undo is not None:
            if folder is not None or aside is not None:
                raise click.UsageError("--undo stands alone: its file knows the folders")
            return _undo(session, undo)
        if folder is None:
            raise click.UsageError("name the FOLDER that holds the pictures, or an undo file with --undo")
        return _dedupe(session, folder, aside, policy)
    finally:
        session.close()


def _dedupe(session: Session, folder: Path, aside: Path | None, policy: dict[str, Any]) -> int:
    from tamis.vision.aside import put_aside  # noqa: PLC0415 - loaded on use
    from tamis.vision.clusters import Clustering  # noqa: PLC0415
    from tamis.vision.dedupe import DedupeSettings, dedupe_folder  # noqa: PLC0415
    from tamis.vision.duplicates import Search  # noqa: PLC0415

    show = session.progress("dedupe")

    def tell(text: str, done: int, total: int) -> None:
        if session.stop.is_set():
            raise click.Abort  # nothing is changed yet
        show(done, total, text)

    search = Search(mirrored=policy["mirrored"], rotated=policy["rotated"])
    report = dedupe_folder(folder, DedupeSettings(search, Clustering(**policy)), tell)
    lines = []
    for cluster in report["clusters"]:
        lines.append(cluster["keep"])
        lines += [f"  {m['relation']:<14} {m['score']:.2f}  {m['file']}" for m in cluster["members"]]
    lines += [f"unreadable: {row['file']}: {row['reason']}" for row in report["unreadable"]]
    losers = sum(len(cluster["members"]) for cluster in report["clusters"])
    lines.append(f"{report['images']} pictures, {len(report['clusters'])} clusters, {losers} copies")
    if aside is None:
        session.finish(report, *lines)
        return 0
    clusters = [(one["keep"], [member["file"] for member in one["members"]]) for one in report["clusters"]]
    moves = put_aside(folder, clusters, aside, session.progress("move"), session.stop)
    lines += [f"left: {row['file']}: {row['reason']}" for row in moves["left"]]
    lines.append(f"{len(moves['moved'])} copies put aside into {aside}")
    if moves["undo"]:
        lines.append(f"to put them back: tamis dedupe --undo {shlex.quote(moves['undo'])}")
    session.finish({**report, **moves}, *lines)
    return 0


def _undo(session: Session, undo: Path) -> int:
    from tamis.vision.aside import put_back  # noqa: PLC0415 - loaded on use

    restored = put_back(undo, session.progress("undo"), session.stop)
    lines = [f"failed: {row['file']}: {row['reason']}" for row in restored["failed"]]
    lines.append(f"{restored['restored']} put back, {restored['present']} in their place already")
    session.finish(restored, *lines)
    return 1 if restored["failed"] else 0


class _Aspect(click.ParamType[float]):
    """Width over height, as `4:3` or as a number."""

    name = "W:H"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the ratio, from 1:10 to 10:1."""
        width, _, height = str(value).partition(":")
        try:
            ratio = float(width) / float(height or 1)
        except (ValueError, ZeroDivisionError):
            ratio = 0.0
        if not 0.1 <= ratio <= 10:
            self.fail(f"{value!r} is no aspect such as 4:3 or 1", param, ctx)
        return ratio


@click.command()
@click.argument("folder", type=_FOLDER)
@click.option("--model", required=True, metavar="M",
              help="An .onnx or .pt file, a folder of transformers, or package:NAME.")  # fmt: skip
@click.option("--classes", default="", help="Only these, separated by commas.")
@click.option("--min-score", type=click.FloatRange(0, 1), default=0.25, help="Least score.", show_default=True)
@click.option("--min-share", type=click.FloatRange(0, 1), default=0.0, help="Least share of the picture.")
@click.option("--choose", type=click.Choice(["all", "largest", "central", "best"]), default="all", show_default=True,
              help="Which of several objects.")  # fmt: skip
@click.option("--merge", type=click.FloatRange(0, 1, min_open=True), metavar="IOU",
              help="Boxes that overlap by this much show one object, whatever their classes.")  # fmt: skip
@click.option("--max-objects", type=click.IntRange(1), help="More than these, or none, make a picture questionable.")
@click.option("--save-crops", type=click.Path(path_type=Path), metavar="DIR", help="Write the crops there.")
@click.option(
    "--margin", type=click.FloatRange(0, 1), default=0.0, help="Around a crop, as a share of its longer side."
)
@click.option("--aspect", type=_Aspect(), help="Widen crops to it where the picture allows; 1 for squares.")
@click.option("--cut-out", is_flag=True, help="Crops lose their ground: transparent PNG, or --ground.")
@click.option("--segmenter", default="grabcut", metavar="S", show_default=True,
              help="What outlines the objects: grabcut, or a model that makes masks.")  # fmt: skip
@click.option("--ground", type=Colour(), help="A plain colour, such as #ffffff, instead of transparency.")
@click.option("--overwrite", is_flag=True, help="Crops may replace files of their names.")
@click.option("--trust-pickle", is_flag=True, help="Load a .pt file, which can run code.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
def detect(folder: Path, as_json: bool, **options: Any) -> None:
    """Find objects in the pictures of FOLDER with a detector.

    Crops are named after their picture and the object's number in it, in the same folders below DIR.
    """
    from tamis.models.choice import Choice  # noqa: PLC0415 - loaded on use
    from tamis.models.detect_folder import Crops, detect_folder  # noqa: PLC0415

    session = Session(folder, as_json)
    session.catch_interrupts()
    show = session.progress("detect")

    def tell(done: int, total: int | None, text: str) -> None:
        if session.stop.is_set():
            raise click.Abort
        show(done, total, text)

    names = frozenset(name.strip() for name in options["classes"].split(",") if name.strip())
    choice = Choice(
        names, options["min_share"], options["merge"] or 2.0, options["choose"], options["max_objects"] or 0
    )
    target, segmenter = options["save_crops"], options["segmenter"] if options["cut_out"] else ""
    cut = (options["margin"], options["aspect"], options["overwrite"], segmenter, options["ground"])
    if (options["cut_out"] or options["ground"]) and not (options["cut_out"] and target):
        raise click.UsageError("cut-outs need --save-crops DIR, and --ground needs --cut-out")
    report = detect_folder(
        folder,
        model=options["model"],
        choice=choice,
        min_score=options["min_score"],
        crops=Crops(target, *cut) if target is not None else None,
        trust_pickle=options["trust_pickle"],
        progress=tell,
    )
    lines = [
        f"{row['file']}  {row['class']}  {row['score']:.2f}  {' '.join(f'{value:.0f}' for value in row['box'])}"
        for row in report["regions"]
    ]
    for kind in ("unreadable", "questionable"):
        lines += [f"{kind}: {row['file']}: {row['reason']}" for row in report.get(kind, ())]
    lines.append(f"{len(report['regions'])} objects; nothing in {len(report['none'])} pictures")
    session.finish(report, *lines)
