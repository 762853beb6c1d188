"""1,393 phone photographs by sellers: the ten largest classes, split by sender."""

from __future__ import annotations

import csv
import shutil
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.real.site import Product, serve
from benchmarks.real.steps import DATA, rows, tamis, timed

NOISE = ("Not sure", "Other", "Skip")
CLASSES = 10

SETTINGS = """\
[project]
name = "clothing"

[source.sellers]
address = "{address}"

[crawl]
allow_private = true
delay = 0.0
concurrency = 8

[attribute.garment]
scope = "item"
classes = {classes}

[snapshot]
group = "seller"
require = ["garment"]
"""


def main() -> None:
    data = DATA / "clothing"
    photos = list(csv.DictReader((data / "clothing.csv").open(encoding="utf-8")))
    counts = Counter(row["label"] for row in photos if row["label"] not in NOISE)
    classes = [name for name, _ in counts.most_common(CLASSES)]
    work = Path(tempfile.mkdtemp(prefix="tamis-clothing-"))
    try:
        project = work / "project"
        project.mkdir()
        with serve([_product(row) for row in photos], data, work / "pages") as address:
            listed = ", ".join(f'"{name}"' for name in classes)
            text = SETTINGS.format(address=address, classes=f"[{listed}]")
            (project / "tamis.toml").write_text(text, encoding="utf-8")
            rules = "\n".join(f'"{name}" = ["{name}"]' for name in classes)
            (project / "rules.toml").write_text(
                f'[garment]\nfields = ["attributes.garment"]\n{rules}\n', encoding="utf-8"
            )
            with timed("crawl, download, curate, mine"):
                tamis("run", "--project", project)
        items, pictures = (rows(project, f"SELECT count(*) FROM {name}")[0][0] for name in ("item", "picture"))
        print(f"items: {items} of {len(photos)}; pictures: {pictures}")
        tamis("snapshot", "--project", project)
        with timed("training"):
            trained = tamis("train", "--project", project)
        scores = trained["metrics"]["attributes"]["garment"]
        accuracy, f1 = scores["accuracy"], scores["macro_f1"]
        print(
            f"{scores['samples']} test samples of unseen senders: accuracy {_shown(accuracy)}, macro F1 {_shown(f1)}, "
            f"majority {scores['majority_accuracy']:.3f}"
        )
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _product(row: dict[str, str]) -> Product:
    number = Path(row["file"]).stem
    return Product(
        number, f"Item {number[:8]}", [row["file"]], seller=row["sender_id"], attributes={"garment": row["label"]}
    )


def _shown(score: dict[str, float]) -> str:
    return f"{score['value']:.3f} ({score['low']:.3f} to {score['high']:.3f})"


if __name__ == "__main__":
    main()
