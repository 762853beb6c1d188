"""Commands on plain folders, outside any project: dedupe, detect."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from tamis.commands.session import BEGINS_ANEW, Session
from tamis.commands.values import Colour
from tamis.errors import UserError
from tamis.models.files import OWN_MASKS
from tamis.records import SAME_OBJECT, KeeperPolicy, aspect_of

if TYPE_CHECKING:
    from tamis.models.detect_folder import Crops

#: What the next run of a detection does that was stopped while it made crops.
_CROPS_STAY = "the crops that were made stay, and the same command makes the others"
#: Options of `detect` that do nothing without another one, and how to name that.
_IDLE_WITHOUT = (
    ("save_crops", "--save-crops DIR", ("margin", "aspect", "cut_out", "segmenter", "ground", "overwrite")),
    ("cut_out", "--cut-out", ("segmenter", "ground")),
)

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
    from tamis.vision.proposals import Search  # noqa: PLC0415

    show = session.steps("dedupe", "nothing was changed")

    def tell(text: str, done: int, total: int) -> None:
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
        try:
            return aspect_of(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.argument("folder", type=_FOLDER)
@click.option("--model", required=True, metavar="M",
              help="An .onnx or .pt file, a folder of transformers, or package:NAME.")  # fmt: skip
@click.option("--classes", default="", help="Only these, separated by commas.")
@click.option("--min-score", type=click.FloatRange(0, 1), default=0.25, help="Least score.", show_default=True)
@click.option("--min-share", type=click.FloatRange(0, 1), default=0.0, help="Least share of the picture.")
@click.option("--choose", type=click.Choice(["all", "largest", "central", "best"]), default="all", show_default=True,
              help="Which of several objects.")  # fmt: skip
@click.option("--merge", type=click.FloatRange(0, 1, min_open=True), metavar="IOU", default=SAME_OBJECT,
              show_default=True, help="Boxes that overlap by this much show one object, whatever their classes; the "
              "best-scored counts.")  # fmt: skip
@click.option("--no-merge", is_flag=True, help="Each box is an object of its own.")
@click.option("--max-objects", type=click.IntRange(1), help="More than these, or none, make a picture questionable.")
@click.option("--save-crops", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Write the crops there, outside of FOLDER.")  # fmt: skip
@click.option(
    "--margin", type=click.FloatRange(0, 1), default=0.0, help="Around a crop, as a share of its longer side."
)
@click.option("--aspect", type=_Aspect(), help="Widen crops to it where the picture allows; 1 for squares.")
@click.option("--cut-out", is_flag=True, help="Crops lose their ground: transparent PNG, or --ground.")
@click.option("--segmenter", default=OWN_MASKS, metavar="S", show_default=True,
              help="What outlines the objects: own (the detector's masks, or GrabCut where it makes none), grabcut, "
              "or a model that makes masks.")  # fmt: skip
@click.option("--ground", type=Colour(), help="A plain colour, such as #ffffff, instead of transparency.")
@click.option("--overwrite", is_flag=True, help="Crops may replace files of their names.")
@click.option("--trust-pickle", is_flag=True, help="Load a .pt file, which can run code.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
def detect(folder: Path, as_json: bool, **options: Any) -> None:
    """Find objects in the pictures of FOLDER with a detector.

    Crops are named after their picture and the object's number in it, in the same folders below DIR. Those that are
    there already stay, so that the same command goes on where it was stopped.
    """
    from tamis.models.choice import Choice  # noqa: PLC0415 - loaded on use
    from tamis.models.detect_folder import detect_folder  # noqa: PLC0415

    crops = _crops_of(options)
    names = frozenset(name.strip() for name in options["classes"].split(",") if name.strip())
    merge = 2.0 if options["no_merge"] else options["merge"]
    choice = Choice(names, options["min_share"], merge, options["choose"], options["max_objects"] or 0)
    session = Session(folder, as_json)
    try:
        report = detect_folder(
            folder,
            model=options["model"],
            choice=choice,
            min_score=options["min_score"],
            crops=crops,
            trust_pickle=options["trust_pickle"],
            progress=session.steps("detect", BEGINS_ANEW if crops is None else _CROPS_STAY),
        )
    finally:
        session.close()
    lines = [
        f"{row['file']}  {row['class']}  {row['score']:.2f}  {' '.join(f'{value:.0f}' for value in row['box'])}"
        for row in report["regions"]
    ]
    for kind in ("unreadable", "questionable"):
        lines += [f"{kind}: {row['file']}: {row['reason']}" for row in report.get(kind, ())]
    lines.append(f"{len(report['regions'])} objects; nothing in {len(report['none'])} pictures")
    if crops is not None:
        made = report["crops"]
        lines.append(f"{made['written']} crops written, {made['present']} there already, in {crops.folder}")
    session.finish(report, *lines)


def _crops_of(options: Mapping[str, Any]) -> Crops | None:
    """What is asked of the crops; raises UserError for an option that would do nothing."""
    from tamis.models.detect_folder import Crops  # noqa: PLC0415 - loaded on use

    for needed, say, others in _IDLE_WITHOUT:
        if options[needed]:
            continue
        if idle := [name for name in others if _is_given(name)]:
            named = ", ".join(f"--{name.replace('_', '-')}" for name in idle)
            raise UserError(f"{named}: only of use with {say}; give it too")
    if options["save_crops"] is None:
        return None
    segmenter = options["segmenter"] if options["cut_out"] else ""
    cut = (options["margin"], options["aspect"], options["overwrite"], segmenter, options["ground"])
    return Crops(options["save_crops"], *cut)


def _is_given(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source is not None and source is not click.core.ParameterSource.DEFAULT
