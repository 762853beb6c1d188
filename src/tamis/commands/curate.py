"""Commands on plain folders, outside any project: dedupe, detect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tamis.commands.session import Session

_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command()
@click.argument("folder", type=_FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
def dedupe(folder: Path, as_json: bool) -> None:
    """Find copies among the pictures of FOLDER: exact, re-encoded, resized, cropped, marked, mirrored.

    Nothing is moved or deleted. Each cluster names the one to keep, and what the others are to it.
    """
    from tamis.vision.dedupe import dedupe_folder  # noqa: PLC0415 - loaded on use

    session = Session(folder, as_json)
    session.catch_interrupts()
    show = session.progress("dedupe")
    report = dedupe_folder(folder, progress=lambda text, done, total: show(done, total, text))
    lines = []
    for cluster in report["clusters"]:
        lines.append(cluster["keep"])
        lines += [f"  {m['relation']:<14} {m['score']:.2f}  {m['file']}" for m in cluster["members"]]
    lines += [f"unreadable: {row['file']}: {row['reason']}" for row in report["unreadable"]]
    losers = sum(len(cluster["members"]) for cluster in report["clusters"])
    lines.append(f"{report['images']} pictures, {len(report['clusters'])} clusters, {losers} copies")
    session.finish(report, *lines)


@click.command()
@click.argument("folder", type=_FOLDER)
@click.option("--model", required=True, metavar="M", help="An .onnx or .pt file, or package:NAME.")
@click.option("--classes", default="", help="Only these, separated by commas.")
@click.option("--min-score", type=click.FloatRange(0, 1), default=0.25, help="Least score.", show_default=True)
@click.option("--save-crops", type=click.Path(path_type=Path), metavar="DIR", help="Write the crops there.")
@click.option("--trust-pickle", is_flag=True, help="Load a .pt file, which can run code.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
def detect(folder: Path, as_json: bool, **options: Any) -> None:
    """Find objects in the pictures of FOLDER with a detector."""
    from tamis.models.detect_folder import detect_folder  # noqa: PLC0415 - loaded on use

    session = Session(folder, as_json)
    session.catch_interrupts()
    report = detect_folder(folder, progress=session.progress("detect"), **options)
    lines = [
        f"{row['file']}  {row['class']}  {row['score']:.2f}  {' '.join(f'{value:.0f}' for value in row['box'])}"
        for row in report["regions"]
    ]
    lines.append(f"{len(report['regions'])} objects; nothing in {len(report['none'])} pictures")
    session.finish(report, *lines)
