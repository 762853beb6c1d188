"""How a project with a million images in its tables answers: `tamis status`, and the start of the next batch.

    python -m benchmarks.million [--images N] [--databases sqlite,postgresql,mariadb] [--keep DIR]

The rows are synthetic: one photo an image, ten an item, nine regions for ten images beside the whole of each, 5 % of
copies, and the ledger of every stage. Nothing is computed: a stage's function is replaced by one that tells when it
was called. With `--collapse` the duplicates stages are run instead, as `benchmarks.millioncopies` tells, which takes an
hour. Servers are those of the tests (`tests/databases.py`). Times are seconds of the wall clock. The command is timed
with its modules compiled, as they are in any installation from the second call on.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from tests.databases import own_database, stop_servers
from tests.models.networks import answer_network

from benchmarks.millioncopies import collapse_all, plant
from benchmarks.millionrows import fill
from tamis.engine.runner import run_stage
from tamis.engine.stage import Compute, Context, Results, Shape, Stage
from tamis.pipeline import STAGES
from tamis.project import Project, open_project
from tamis.status import project_status
from tamis.vision.card import AttributeHead, ModelCard
from tamis.vision.preprocess import Preprocessing

SETTINGS = """
[project]
name = "million"
database = "{database}"
workers = 1

[detect]
model = "detector.onnx"
classes = ["car"]
min_score = {min_score}

[classify]
model = "models/view-1"

[segment]
method = "grabcut"

[attribute.view]
classes = ["front", "other"]
"""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--collapse", action="store_true", help="run the duplicates stages over all rows instead")
    given = parser.parse_args()
    try:
        for system in given.databases.split(","):
            with tempfile.TemporaryDirectory() as folder, database(system, Path(folder)) as address:
                measure(system, address, Path(folder), given.images, collapse=given.collapse)
    finally:
        stop_servers()


@contextmanager
def database(system: str, folder: Path) -> Iterator[str]:
    """The address of an empty database."""
    if system == "sqlite":
        yield f"sqlite:///{folder / 'tamis.db'}"
        return
    with own_database(system) as address:
        yield address


def measure(system: str, address: str, folder: Path, images: int, *, collapse: bool) -> None:
    """Fill one database and print its figures."""
    print(f"\n{system}, {images:,} images", flush=True)
    project = make(folder, address)
    timed("filling the tables", lambda: fill(project, STAGES, images))
    if collapse:
        timed("planting copies", lambda: plant(project))
        collapsing = [stage for stage in STAGES if stage.shape is Shape.COLLAPSE]
        collapse_all(lambda: make(folder, address), collapsing, images)
        project.close()
        return
    stages = [stage for stage in STAGES if stage.shape is not Shape.COLLAPSE]
    start_all("first look at all rows, nothing pending", project, stages)
    start_all("nothing pending", project, stages)
    status_of("nothing pending", project)
    add_images(project, images, 10)
    status_of("ten new images", project)
    start_all("ten new images", project, stages)
    start_all("all rows pending", project, [replace(stage, version=99) for stage in stages])
    project.close()
    project = make(folder, address, min_score=0.3)
    status_of("another deciding threshold", project)
    start_all("another deciding threshold, nothing pending", project, stages)
    project.close()
    project = make(folder, address, min_score=0.35)
    undo(project, 3 * (images // 5) + 1)
    chosen = [stage for stage in stages if stage.name in ("classify", "segment")]
    start_all("another deciding threshold, one image of them pending", project, chosen)
    write_detector(folder, 0.8)
    status_of("another detector: all rows pending in detect", project)
    project.close()


def make(folder: Path, address: str, *, min_score: float = 0.25) -> Project:
    """A project with all that its fingerprints rest on; none of the models can compute."""
    settings = SETTINGS.format(database=address, min_score=min_score)
    (folder / "tamis.toml").write_text(settings, encoding="utf-8")
    write_detector(folder, 0.9)
    (folder / "rules.toml").write_text("", encoding="utf-8")
    model = folder / "models" / "view-1"
    model.mkdir(parents=True, exist_ok=True)
    head = AttributeHead("choice", ("front", "other"))
    ModelCard("view-1", "none", {"view": head}, Preprocessing(size=224), {}).write(model)
    return open_project(folder)


def write_detector(folder: Path, score: float) -> None:
    """A network that finds the same car in every picture, whatever its score: another one by its bytes."""
    boxes = np.zeros((60, 6), np.float32)
    boxes[0] = [8, 20, 40, 44, score, 0]
    answer_network(folder / "detector.onnx", {"output0": boxes}, metadata={"names": "{0: 'car'}"})


def add_images(project: Project, before: int, count: int) -> None:
    """Add images as a download does."""
    from tamis.crawl.pictures import StoredImage, _save_images
    from tamis.database import writing

    with writing(project.engine) as connection:
        images = [StoredImage(f"{before + number:064x}", 1000) for number in range(1, count + 1)]
        _save_images(connection, images, time.time())


def undo(project: Project, image: int) -> None:
    """Take what the stages did with the regions of an image out of the ledger."""
    from tamis import schema
    from tamis.database import writing

    regions = sa.select(schema.region.c.id).where(schema.region.c.image_id == image)
    entry = schema.ledger
    with writing(project.engine) as connection:
        done = entry.c.stage.in_(("classify", "segment")), entry.c.subject_id.in_(regions)
        connection.execute(sa.delete(entry).where(*done))


# --- what is timed ------------------------------------------------------------------------------------------------


def timed(what: str, work: Callable[[], object]) -> float:
    """Run it and print its time."""
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    print(f"  {seconds:8.2f} s  {what}", flush=True)
    return seconds


def status_of(when: str, project: Project) -> None:
    """Time `tamis status` as a command, and the same without the start of Python."""
    command = [sys.executable, "-m", "tamis", "status", "--project", str(project.folder)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(project.folder / "compiled")

    def run() -> None:
        done = subprocess.run(command, check=False, capture_output=True, env=environment)
        assert done.returncode == 1, "some downloads failed, which status tells"

    if not (project.folder / "compiled").exists():
        run()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    timed(f"status, the whole command ({when})", run)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"            of which CPU {after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime:.2f} s")
    timed("status, inside", lambda: project_status(project))
    found = project_status(project)
    print("            pending:", ", ".join(f"{stage.stage} {stage.pending:,}" for stage in found.stages))


def start_all(when: str, project: Project, stages: Sequence[Stage]) -> None:
    """Time each stage until it begins to compute, or knows that there is nothing to do."""
    print(f"  until the next batch begins ({when}):")
    for stage in stages:
        began: list[float] = []
        watched = watch(stage, began)
        started = time.perf_counter()
        with suppress(Began):
            run_stage(project, watched)
        ended = time.perf_counter()
        seconds = (began[0] if began else ended) - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"    {seconds:8.2f} s  {stage.name:17}{'' if began else 'nothing to do'}  (peak {peak:.0f} MB)", flush=True
        )


class Began(BaseException):
    """The first batch began, and nothing of it is to be committed."""


def watch(stage: Stage, began: list[float]) -> Stage:
    """The stage with a function that notes when it begins, and computes nothing."""

    def batch(_: Context) -> Compute:
        def work(_: Sequence[Any]) -> Results:
            began.append(time.perf_counter())
            raise Began

        return work

    return replace(stage, row=None, batch=batch)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
