"""Commands that people look at: serve, report, demo."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import click

from tamis.commands.session import BEGINS_ANEW, Session, project_option
from tamis.display import printable, table


@click.command()
@click.option("--host", default="127.0.0.1", help="Address to listen on; others than loopback demand a sign-in.",
              show_default=True)  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0: any free one.")
@click.option("--hostname", "hosts", multiple=True, help="Name under which browsers reach it; may be given again.")
@click.option("--add-person", metavar="NAME", help="Add a person who may sign in, asking for a password, and end.")
@click.option("--open", "open_browser", is_flag=True, help="Open the browser.")
@project_option
def serve(
    session: Session, host: str, port: int, hosts: tuple[str, ...], add_person: str | None, open_browser: bool
) -> None:
    """Serve the web application: annotate, review, items, dashboard. Ctrl-C ends it."""
    if add_person is not None:
        from tamis.annotate.signin import add_person as add  # noqa: PLC0415 - loaded on use

        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        add(session.project, add_person, password)
        session.finish({"person": add_person}, f"{add_person} may sign in")
        return
    from tamis.annotate.server import serve as serve_project  # noqa: PLC0415 - loaded on use

    def tell(url: str) -> None:
        session.finish({"url": url}, f"tamis serves {session.project.settings.project.name} at {url} (Ctrl-C ends it)")

    with suppress(KeyboardInterrupt):
        serve_project(session.project, host, port, open_browser=open_browser, hosts=hosts, started=tell)


@click.group()
def report() -> None:
    """Reports with figures, as single HTML files."""


@report.command(name="snapshot")
@click.argument("name", required=False)
@project_option
def snapshot_report(session: Session, name: str | None) -> None:
    """What a snapshot holds (the newest, if none is named): classes, splits, samples, sources."""
    from tamis.dataset.manifest import Snapshot  # noqa: PLC0415 - loaded on use
    from tamis.modelling import report_snapshot, snapshot_folder  # noqa: PLC0415

    path = report_snapshot(Snapshot.read(snapshot_folder(session.project, name)))
    session.finish({"report": str(path)}, f"report: {path}")


@report.command(name="model")
@click.argument("name")
@project_option
def model_report(session: Session, name: str) -> None:
    """How good a model is: scores with intervals, confusion, worst mistakes as pictures."""
    from tamis.modelling import report_model  # noqa: PLC0415 - loaded on use

    path = report_model(session.project, name)
    session.finish({"report": str(path)}, f"report: {path}")


@report.command(name="sizes")
@click.option("--folder", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="DIR",
              help="Measure the pictures of a plain folder instead; needs no project.")  # fmt: skip
@click.option("--max-enlarged", "most", type=click.FloatRange(0, 1), default=0.1, show_default=True,
              help="Share of pictures that the proposed target may enlarge.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="The page.  [default: reports/sizes.html in the project, or sizes.html here]")  # fmt: skip
@project_option
def sizes_report(session: Session, folder: Path | None, most: float, out: Path | None) -> None:
    """How large the kept pictures are, what each target size from 64 to 1080 would enlarge, and a proposal."""
    from tamis.report.sizes import folder_sizes, project_sizes, write_sizes_report  # noqa: PLC0415 - loaded on use

    show = session.steps("sizes", BEGINS_ANEW)
    if folder is not None:
        name, path = printable(folder.resolve().name), out or Path("sizes.html")
        sizes = folder_sizes(folder, show)
    else:
        name, path = session.project.settings.project.name, out or session.project.path("reports", "sizes.html")
        sizes = project_sizes(session.project, show)
    summary = write_sizes_report(name, sizes, path, most)
    rows = [(one["size"], f"{one['inside']:.1%}", f"{one['crop']:.1%}") for one in summary["targets"]]
    lines = [f"unreadable: {row['file']}: {row['reason']}" for row in summary["unreadable_files"]]
    broken = f", {summary['unreadable']} unreadable files" if summary["unreadable"] else ""
    lines += [f"{summary['pictures']} pictures{broken}; enlarged at each target:", ""]
    lines += [*table(("pixels", "inside, letterbox", "crop, stretch"), rows), ""]
    for fit, size in summary["proposed"].items():
        lines.append(f"proposed for {fit}: " + (f"{size} px" if size else "none, the pictures are too small"))
    session.finish(summary | {"report": str(path)}, *lines, f"report: {path}")


@report.command(name="curation")
@click.option("--samples", type=click.IntRange(1, 40), default=8, show_default=True,
              help="Pictures shown of each kind, and on each side of each threshold.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="The page.  [default: reports/curation.html in the project]")  # fmt: skip
@project_option
def curation_report(session: Session, samples: int, out: Path | None) -> None:
    """What each step kept, doubted and rejected: counts, scores with their thresholds, and samples.

    The pictures nearest to each threshold show what moving it would do.
    """
    from tamis.report.curation import FATES, write_curation_report  # noqa: PLC0415 - loaded on use

    path = out or session.project.path("reports", "curation.html")
    curation = write_curation_report(session.project, path, samples, session.steps("curation", BEGINS_ANEW))
    rows = [(step.title, step.entered, *(step.amount(fate) for fate in FATES)) for step in curation.steps]
    lines = [*table(("step", "came", *FATES), rows), ""]
    session.finish(curation.to_json() | {"report": str(path)}, *lines, f"report: {path}")


@click.command()
@click.option("--project", "folder", type=click.Path(path_type=Path), default=Path("demo"), metavar="DIR",
              help="Folder of the demo's project; made anew.", show_default=True)  # fmt: skip
@click.option("--listings", type=click.IntRange(4, 40), default=40, show_default=True, help="Cars on the market place.")
@click.option("--serve", "serve_it", is_flag=True, help="Leave the web application running at the end.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
def demo(folder: Path, listings: int, serve_it: bool, as_json: bool) -> int:
    """The whole job on the embedded market place, judged against the known truth.

    Crawls about 40 car listings with planted copies and faults, downloads, curates, annotates through the web
    application's API, trains a network, and prints what was found beside what is there.
    """
    from tamis.demo.run import run_demo  # noqa: PLC0415 - loaded on use

    session = Session(folder, as_json)
    try:
        result = run_demo(folder, listings, note=session.note, stop=session.stop)
        session.finish(result.to_json(), *result.lines())
    finally:
        session.close()
    if serve_it:
        _serve_demo(Session(folder, as_json))
    return 0


def _serve_demo(session: Session) -> None:
    from tamis.annotate.server import serve as serve_project  # noqa: PLC0415 - loaded on use

    def tell(url: str) -> None:
        session.note(f"the web application: {url} (Ctrl-C ends)")

    try:
        with suppress(KeyboardInterrupt):
            serve_project(session.project, started=tell)
    finally:
        session.close()
