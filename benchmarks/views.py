"""The front-facing filter on real listings: what it keeps, rejects and promises, from labels of 5 to 30 of them.

python -m benchmarks.views [--data DIR] [--precision P] [--draws N] [--work DIR] [--whole N] [--figure FILE] [--json]

One project crawls all listings and cuts the cars out (a picture without a car stays whole). Each draw labels some
listings and is judged on all others: heads are fitted, calibrated and given thresholds by the functions that
`tamis train` and `[classify] precision` use, on features that are computed once. `--whole` repeats draws through whole
model folders and ONNX Runtime, as `tamis train` and the classify stage do, and compares.

Intervals hold 95 %: listings are drawn anew (cluster bootstrap over all draws at once), since photos of one car are no
independent evidence. The recipe (input size, rule of thresholds) was chosen on draws within the listings of `TUNED_ON`;
the second block judges on the other listings alone.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.real import cars
from benchmarks.real.site import serve
from benchmarks.real.steps import tamis
from benchmarks.rules import default_data
from tamis.database import reading, writing
from tamis.dataset.manifest import SPLITS, Snapshot
from tamis.display import table
from tamis.engine.writers import append_labels
from tamis.models.classifier import OnnxClassifier, softmax
from tamis.project import open_project
from tamis.records import Label
from tamis.report.figures import Estimate, estimates_figure, standalone
from tamis.stages.policy import chosen_regions
from tamis.train import TrainSettings, train
from tamis.train.backbones import create_backbone, load_pretrained, preprocessing_of
from tamis.train.crops import fitted_crops, load_crop
from tamis.train.linear import Features, fit_heads, frozen_features
from tamis.train.metrics import expected_calibration_error
from tamis.train.model import MultiTaskModel
from tamis.train.session import calibrated_heads, held_out_answers
from tamis.train.targets import Targets, choose_size, read_targets
from tamis.vision.triage import Triage, read_held_out, triage

LISTINGS = (5, 10, 20, 30)
ATTRIBUTE = "front_facing"
TUNED_ON = frozenset(
    [
        *("1", "10", "16", "18", "19", "21", "23", "29", "30", "36", "38", "39", "43", "44", "46", "47", "48", "7"),
        *("ne1", "ne10", "ne12", "ne15", "ne21", "ne26", "ne33", "ne35", "ne38", "ne4", "ne41", "ne47"),
    ]
)
AIMS = {"kept that are right": 0.97, "front-facing that are kept": 0.90}
ROUNDS = 2000


@dataclass(frozen=True)
class World:
    """All labelled samples with their features; `views` says what each shows, `tuned` whether it was tuned on."""

    snapshot: Snapshot
    model: MultiTaskModel
    features: Features
    settings: TrainSettings
    views: Sequence[str]
    tuned: NDArray[np.bool_]
    targets: Targets


@dataclass(frozen=True)
class Draw:
    """One draw, judged: probabilities of the samples of other listings, their truth and places, and the thresholds."""

    listings: int
    seed: int
    places: NDArray[np.int64]
    shares: NDArray[np.float64]
    truth: NDArray[np.bool_]
    found: Triage
    labels: int
    error: float

    @property
    def kept(self) -> NDArray[np.bool_]:
        """What the filter keeps."""
        return self.shares >= self.found.keep_from

    @property
    def rejected(self) -> NDArray[np.bool_]:
        """What it rejects."""
        return self.shares < self.found.reject_below


def main() -> None:
    options = parse()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="tamis-views-") as folder:
        world = build(options.data, options.work or Path(folder), options.size)
        draws = [judge(world, count, seed, options.precision) for count in LISTINGS for seed in range(options.draws)]
        for seed in range(options.whole):
            compare_whole(world, next(one for one in draws if (one.listings, one.seed) == (20, seed)), Path(folder))
    document = report(world, draws, options)
    if options.figure:
        write_figure(document["all"], options)
    if options.json:
        print(json.dumps(document, indent=2))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=default_data(), help="folder of the real data")
    parser.add_argument("--precision", type=float, default=0.97, help="wanted share of right ones among the kept")
    parser.add_argument("--draws", type=int, default=10, help="draws of labelled listings for each number")
    parser.add_argument("--work", type=Path, help="folder that keeps the project and its features for the next run")
    parser.add_argument("--whole", type=int, default=1, help="draws of 20 listings to repeat through whole models")
    parser.add_argument("--figure", type=Path, help="SVG file to write")
    parser.add_argument("--size", type=int, default=0, help="side of the network's input; 0: as training chooses")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON too")
    return parser.parse_args()


# --- the project, once --------------------------------------------------------------------------------------------


def build(data: Path, work: Path, size: int) -> World:
    photos = list(csv.DictReader((data / "cars" / "photos.csv").open(encoding="utf-8")))
    project = work / "project"
    if not (project / "snapshots").exists():
        make_project(data, photos, work, project)
    snapshot = Snapshot.read(min((project / "snapshots").iterdir()))
    settings = TrainSettings(method="linear", size=size)
    settings = replace(settings, size=choose_size(settings, len(snapshot.samples)))
    targets = read_targets(snapshot, (ATTRIBUTE,))
    backbone = create_backbone(settings.backbone)
    assert load_pretrained(backbone, settings.backbone, settings.weights)
    preprocessing = preprocessing_of(backbone, settings)
    model = MultiTaskModel(backbone, targets.attributes, settings.dropout)
    crops = fitted_crops(snapshot, preprocessing, work, quiet)
    started = time.process_time()
    rows = np.arange(len(snapshot.samples), dtype=np.int64)
    features = frozen_features(model, crops, rows, preprocessing, work, quiet)
    spent = time.process_time() - started
    print(f"{len(rows)} samples of {len(set(targets.groups))} listings at {settings.size} px, "
          f"features {1000 * spent / len(rows):.0f} ms a sample (CPU, mirrored ones included)")  # fmt: skip
    shown = {cars.key_of(data / "cars" / photo["file"]): photo for photo in photos}
    views = [shown[sample.sha256]["view"] for sample in snapshot.samples]
    tuned = np.array([shown[sample.sha256]["listing"] in TUNED_ON for sample in snapshot.samples])
    groups = set(targets.groups[tuned])  # listings that share a photo count as one
    tuned = np.isin(targets.groups, list(groups))
    return World(snapshot, model, features, settings, views, tuned, targets)


def make_project(data: Path, photos: list[dict[str, str]], work: Path, project: Path) -> None:
    """Crawl and curate all listings, give every chosen region its label as a person would, and freeze a snapshot."""
    listings = list(csv.DictReader((data / "cars" / "listings.csv").open(encoding="utf-8")))
    model = (data / "weights" / "yolov8n_coco.onnx").resolve()
    project.mkdir(parents=True)
    with serve(cars.products(listings, photos), data / "cars", work / "pages") as address:
        cars.write(project, address, model, project / "blobs")
        tamis("run", "--project", project)
    facing = {cars.key_of(data / "cars" / photo["file"]): photo["front_facing"] == "1" for photo in photos}
    opened = open_project(project)
    try:
        with reading(opened.engine) as connection:
            rows = connection.execute(chosen_regions(opened.settings)).all()
        values = {True: "yes", False: "no"}
        said = [
            Label(ATTRIBUTE, values[facing[row.sha256]], "person", "robin", region_id=row.region_id) for row in rows
        ]
        with writing(opened.engine) as connection:
            append_labels(connection, said)
    finally:
        opened.close()
    tamis("snapshot", "--project", project)


def quiet(share: float, text: str) -> None:
    """No progress."""


# --- draws --------------------------------------------------------------------------------------------------------


def drawn(world: World, count: int, seed: int) -> Targets:
    """Return the targets of a draw: the samples of its listings train, all others are the test split."""
    groups = np.unique(world.targets.groups)
    chosen = np.random.default_rng((seed, count)).permutation(groups)[:count]
    labelled = np.isin(world.targets.groups, chosen)
    held = np.isin(world.targets.groups, chosen[: max(1, count // 5)])
    places = np.where(labelled, np.where(held, 1, 0), 2)
    samples = tuple(
        replace(sample, split=SPLITS[place]) for sample, place in zip(world.snapshot.samples, places, strict=True)
    )
    return replace(world.targets, samples=samples)


def judge(world: World, count: int, seed: int, precision: float) -> Draw:
    targets = drawn(world, count, seed)
    fit = fit_heads(world.model, world.features, targets, world.settings, quiet)
    heads = calibrated_heads(targets, fit.held_out)
    answers = held_out_answers(targets, fit.held_out, heads)[ATTRIBUTE]
    places = targets.rows("test")
    with torch.inference_mode():
        inputs = torch.from_numpy(world.features.of(places, 1)[:, 0])
        world.model.eval()
        logits = world.model.heads[0](world.model.scale(inputs)).numpy()
    shares = softmax(logits, heads[ATTRIBUTE].temperature).astype(np.float64)
    truth = targets.indices[places, 0]
    return Draw(
        count, seed, places, shares[:, 1], truth == 1, triage(answers.scores(["yes"]), precision),
        len(answers.truth), expected_calibration_error(shares, truth),
    )  # fmt: skip


def compare_whole(world: World, draw: Draw, folder: Path) -> None:
    """Train the draw as `tamis train` does and ask the model as the classify stage does; print the differences."""
    targets = drawn(world, draw.listings, draw.seed)
    rows = [sample for sample in targets.samples if sample.split != "test"]
    blobs = str(world.snapshot.blobs.address)
    frozen = replace(
        world.snapshot, folder=folder / f"draw-{draw.seed}", name="draw", samples=tuple(rows), blobs_url=blobs
    )
    frozen.write()
    started, clock = time.process_time(), time.perf_counter()
    train(frozen.folder, folder / f"model-{draw.seed}", world.settings, progress=quiet)
    spent = f"{time.process_time() - started:.0f} s of CPU, {time.perf_counter() - clock:.0f} s by the clock"
    classifier = OnnxClassifier.open(folder / f"model-{draw.seed}")
    pictures = [load_crop(world.snapshot, world.snapshot.samples[place]) for place in draw.places]
    shares = classifier.predict(pictures)[ATTRIBUTE][:, 1]
    found = triage(read_held_out(folder / f"model-{draw.seed}")[ATTRIBUTE].scores(["yes"]), draw.found.wanted)
    differing = int(((shares >= found.keep_from) != draw.kept).sum())
    print(f"draw {draw.seed} of 20 listings as a whole: trained in {spent}; probabilities differ by at most "
          f"{np.abs(shares - draw.shares).max():.4f}, {differing} of {len(shares)} decisions to keep")  # fmt: skip


# --- figures ------------------------------------------------------------------------------------------------------


def report(world: World, draws: Sequence[Draw], options: argparse.Namespace) -> dict[str, Any]:
    everything = np.ones(len(world.tuned), bool)
    document: dict[str, Any] = {"precision": options.precision, "size": world.settings.size}
    blocks = {"all": ("judged on all other listings", everything), "untuned": (
        "judged on the other listings that the recipe was not tuned on", ~world.tuned)}  # fmt: skip
    for key, (title, where) in blocks.items():
        rows = [summary(world, [one for one in draws if one.listings == count], where) for count in LISTINGS]
        document[key] = rows
        print(f"\nwanted precision {options.precision:g}, {options.draws} draws each, {title}")
        head = ("listings", "labels", "kept right", "95 %", "worst", "front kept", "95 %", "front rejected",
                "rejected right", "promise", "kept", "ECE")  # fmt: skip
        print("\n".join(table(head, [row_of(row, options.draws) for row in rows])))
        print("wrongly kept, by view: " + "; ".join(f"{row['listings']}: {row['wrong']}" for row in rows))
    return document


def summary(world: World, draws: Sequence[Draw], where: NDArray[np.bool_]) -> dict[str, Any]:
    counts = np.stack([tally(world, one, where) for one in draws])  # (draws, listings, what)
    pooled = counts.sum(axis=0)
    generator = np.random.default_rng(0)
    number = len(pooled)
    times = generator.multinomial(number, np.full(number, 1 / number), ROUNDS)  # (rounds, listings)
    boots = shares_of((times @ pooled.reshape(number, -1)).T)
    each = shares_of(counts.sum(axis=1).T)
    wrong = Counter(
        world.views[place] for one in draws for place in one.places[one.kept & ~one.truth & where[one.places]]
    )
    return {
        "listings": draws[0].listings,
        "labels": float(np.mean([one.labels for one in draws])),
        **{
            name: {
                "value": float(shares_of(pooled.sum(axis=0))[name]),
                "low": float(np.nanquantile(boots[name], 0.025)),
                "high": float(np.nanquantile(boots[name], 0.975)),
                "worst": float(np.nanmin(each[name])) if np.isfinite(each[name]).any() else None,
            }
            for name in boots
        },
        "promise": float(np.mean([one.found.promise for one in draws])),
        "promises_kept": int((~(each["precision"] < [one.found.promise for one in draws])).sum()),
        "needed": float(np.median([one.found.needed for one in draws])),
        "calibration_error": float(np.mean([one.error for one in draws])),
        "wrong": dict(wrong.most_common()),
    }  # fmt: skip


def tally(world: World, one: Draw, where: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Counts, int64 (listings, 6): kept, rightly kept, wanted, wanted but rejected, rejected, rightly so."""
    groups = world.targets.groups[one.places]
    judged = where[one.places]
    columns = [
        one.kept, one.kept & one.truth, one.truth, one.truth & one.rejected, one.rejected, one.rejected & ~one.truth,
    ]  # fmt: skip
    size = int(world.targets.groups.max()) + 1
    return np.stack([np.bincount(groups[column & judged], minlength=size) for column in columns], axis=1)


def shares_of(counts: NDArray[np.int64]) -> dict[str, Any]:
    kept, right, wanted, lost, rejected, unwanted = counts.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "precision": right / kept, "recall": right / wanted, "lost": lost / wanted, "rejection": unwanted / rejected
        }  # fmt: skip


def row_of(row: dict[str, Any], draws: int) -> tuple[str, ...]:
    kept, recall = row["precision"], row["recall"]
    worst = "-" if kept["worst"] is None else f"{kept['worst']:.3f}"
    return (
        str(row["listings"]), f"{row['labels']:.0f}", f"{kept['value']:.3f}",
        f"{kept['low']:.3f} to {kept['high']:.3f}",
        worst, f"{recall['value']:.3f}", f"{recall['low']:.3f} to {recall['high']:.3f}", f"{row['lost']['value']:.3f}",
        f"{row['rejection']['value']:.3f}", f"{row['promise']:.3f}", f"{row['promises_kept']} of {draws}",
        f"{row['calibration_error']:.3f}",
    )  # fmt: skip


def write_figure(rows: Sequence[dict[str, Any]], options: argparse.Namespace) -> None:
    names = dict(zip(("precision", "recall"), AIMS, strict=True))
    series = {
        label: [Estimate(row[name]["value"], row[name]["low"], row[name]["high"]) for row in rows]
        for name, label in names.items()
    }
    ticks = [f"{row['listings']} listings" for row in rows]
    figure = estimates_figure(
        ticks, series, list(AIMS.values()), f"Front-facing at a wanted precision of {options.precision:g}"
    )
    options.figure.write_text(standalone(figure), encoding="utf-8")
    print(f"\nfigure: {options.figure}")


if __name__ == "__main__":
    main()
