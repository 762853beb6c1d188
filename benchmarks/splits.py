"""Which settings of training learn better: macro F1 on the same random splits of any snapshot.

python -m benchmarks.splits SNAPSHOT [--try "NAME=VALUE ..."]... [--splits N] [--attribute A]... [--json]

A snapshot of few items has one test split of a few of them, whose score tells as much of the draw as of the training:
the scores of one method spread over splits far more than methods differ. So each `--try` (settings of `tamis train`;
the first is what the others are compared with) is trained on the same N draws of whole groups and judged on the same
held-out ones. Crops and features are computed once for each size of input. Intervals of differences hold 95 %
(Student's t over splits; these share samples, so that the true ones are wider).

SNAPSHOT is a snapshot's folder, such as `demo/snapshots/demo-1` of `tamis demo --project demo`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tamis.dataset.manifest import SPLITS, Snapshot
from tamis.display import table
from tamis.modelling import parse_overrides
from tamis.train import TrainSettings
from tamis.train.backbones import create_backbone, load_pretrained, preprocessing_of
from tamis.train.batches import pixels, standardised
from tamis.train.crops import fitted_crops
from tamis.train.linear import Features, fit_heads, frozen_features
from tamis.train.loop import Job, finetune
from tamis.train.metrics import accuracy, confusion_matrix, macro_f1
from tamis.train.model import MultiTaskModel
from tamis.train.targets import MISSING, Targets, choose_method, choose_size, read_targets
from tamis.vision.preprocess import Preprocessing

TEST, VALIDATION = 0.2, 0.15
#: Two-sided 95 % quantiles of Student's t by degrees of freedom; beyond, the normal distribution's.
T = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26, 14: 2.14, 19: 2.09}
_BATCH = 32


@dataclass(frozen=True)
class Seen:
    """The samples at one size of input, once for all splits."""

    preprocessing: Preprocessing
    crops: NDArray[np.uint8]
    features: Features


def main() -> None:
    options = parse()
    torch.set_num_threads(1)
    snapshot = Snapshot.read(options.snapshot)
    targets = read_targets(snapshot, tuple(options.attribute))
    tried = {words or "as set": TrainSettings(**parse_overrides(words.split())) for words in options.tries or [""]}
    scores: dict[str, NDArray[np.float64]] = {}
    seen: dict[int, Seen] = {}
    with tempfile.TemporaryDirectory(prefix="tamis-splits-") as work:
        for name, settings in tried.items():
            settled = settle(settings, targets)
            if settled.size not in seen:
                seen[settled.size] = look(snapshot, targets, settled, Path(work))
            started = time.process_time()
            scores[name] = np.stack(
                [judge(seen[settled.size], drawn(targets, seed), settled, Path(work)) for seed in range(options.splits)]
            )
            spent = (time.process_time() - started) / options.splits
            print(f"{name}: {settled.method} at {settled.size} px, {spent:.1f} s of CPU a split", flush=True)
    rows = summary(targets, scores)
    print("\n".join(table(("attribute", "settings", "macro F1", "over splits", "difference", "accuracy"), rows)))
    if options.json:
        print(json.dumps({name: values.tolist() for name, values in scores.items()}, indent=2))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("snapshot", type=Path)
    parser.add_argument("--try", dest="tries", action="append", metavar="SETTINGS", help='such as "size=224 epochs=6"')
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--attribute", action="append", default=[], help="learn only these; else all")
    parser.add_argument("--json", action="store_true", help="print macro F1 and accuracy of every split too")
    return parser.parse_args()


def settle(settings: TrainSettings, targets: Targets) -> TrainSettings:
    """Choose what is left to choose, as training does."""
    labelled = round(len(targets.samples) * (1 - TEST))
    method = choose_method(settings, labelled, pretrained=True, on_card=False)
    settings = replace(settings, method=method)
    return replace(settings, size=choose_size(settings, len(targets.samples)))


def network(settings: TrainSettings, targets: Targets) -> tuple[MultiTaskModel, Preprocessing]:
    backbone = create_backbone(settings.backbone)
    assert load_pretrained(backbone, settings.backbone, settings.weights)
    torch.manual_seed(settings.seed)
    model = MultiTaskModel(backbone, targets.attributes, settings.dropout).to(memory_format=torch.channels_last)
    return model, preprocessing_of(backbone, settings)


def look(snapshot: Snapshot, targets: Targets, settings: TrainSettings, work: Path) -> Seen:
    model, preprocessing = network(settings, targets)
    crops = fitted_crops(snapshot, preprocessing, work, quiet)
    rows = np.arange(len(snapshot.samples), dtype=np.int64)
    return Seen(preprocessing, crops, frozen_features(model, crops, rows, preprocessing, work, quiet))


def quiet(share: float, text: str) -> None:
    """No progress."""


def drawn(targets: Targets, seed: int) -> Targets:
    """Return the same samples in other splits, by whole groups."""
    groups = np.unique(targets.groups)
    order = np.random.default_rng((7, seed)).permutation(groups)
    test, validation = (round(len(groups) * share) for share in (TEST, VALIDATION))
    part = np.zeros(len(targets.groups), np.int64)
    part[np.isin(targets.groups, order[:test])] = 2
    part[np.isin(targets.groups, order[test : test + validation])] = 1
    samples = tuple(replace(one, split=SPLITS[place]) for one, place in zip(targets.samples, part, strict=True))
    return replace(targets, samples=samples)


def judge(seen: Seen, targets: Targets, settings: TrainSettings, work: Path) -> NDArray[np.float64]:
    """Train on a split; return macro F1 and accuracy on its test samples, float64 (attributes, 2)."""
    model, _ = network(settings, targets)
    fit_heads(model, seen.features, targets, settings, quiet)
    rows = targets.rows("test")
    model.eval()
    if settings.method == "linear":
        with torch.inference_mode():
            scaled = model.scale(torch.from_numpy(seen.features.of(rows, 1)[:, 0]))
            logits = [head(scaled).numpy() for head in model.heads]
    else:
        with tempfile.TemporaryDirectory(dir=work) as folder:
            job = Job(model, seen.crops, targets, seen.preprocessing, settings, pretrained=True)
            finetune(job, Path(folder), quiet, resume=False)
        logits = answers(model, seen, rows)
    scores = []
    for column, attribute in enumerate(targets.attributes):
        labelled = targets.indices[rows, column] != MISSING
        truth = targets.indices[rows[labelled], column]
        said = logits[column][labelled].argmax(axis=1).astype(np.int64)
        confusion = confusion_matrix(truth, said, len(attribute.classes))
        scores.append((macro_f1(confusion), accuracy(confusion)))
    return np.array(scores)


def answers(model: MultiTaskModel, seen: Seen, rows: NDArray[np.int64]) -> list[NDArray[np.float32]]:
    model.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(rows), _BATCH):
            images = pixels(np.asarray(seen.crops[rows[start : start + _BATCH]]), torch.device("cpu"))
            parts.append([one.numpy() for one in model(standardised(images, seen.preprocessing))])
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def summary(targets: Targets, scores: dict[str, NDArray[np.float64]]) -> list[tuple[str, ...]]:
    first = next(iter(scores.values()))
    rows = []
    for column, attribute in enumerate(targets.attributes):
        for name, values in scores.items():
            f1, right = values[:, column].T
            spread = f"{f1.min():.2f} to {f1.max():.2f}"
            told = difference(f1 - first[:, column, 0]) if values is not first else ""
            rows.append((attribute.name, name, f"{f1.mean():.3f}", spread, told, f"{right.mean():.3f}"))
    return rows


def difference(values: NDArray[np.float64]) -> str:
    count = len(values)
    if count < 2:
        return f"{values.mean():+.3f}"
    quantile = T[max(known for known in T if known <= count - 1)]
    return f"{values.mean():+.3f} +- {quantile * values.std(ddof=1) / count**0.5:.3f}"


if __name__ == "__main__":
    main()
