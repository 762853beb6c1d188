"""Precision and recall of duplicate search for each kind of edit, on the labelled copies of the real data.

    python benchmarks/duplicates.py [--data FOLDER] [--radius BITS]

A copy counts as found when it is in one cluster with an original of its group; a pair in one cluster counts as false
when its groups differ. imagededup (PHash, its default) is measured in the same run where it is installed.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections import defaultdict
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

from tamis.vision.clusters import Clustering
from tamis.vision.dedupe import DedupeSettings, dedupe_folder
from tamis.vision.duplicates import Search

Groups = list[set[str]]


def ours(folder: Path, radius: int) -> Groups:
    search = Search(radius=radius, joint_radius=radius + 10, rotated=True)
    report = dedupe_folder(folder, DedupeSettings(search=search, clustering=Clustering(rotated=True)))
    return [{cluster["keep"], *(member["file"] for member in cluster["members"])} for cluster in report["clusters"]]


def imagededup_phash(folder: Path) -> Groups | None:
    try:
        from imagededup.methods import PHash  # type: ignore[import-not-found]
    except ImportError:
        print("imagededup is not installed: skipped")
        return None
    found = PHash().find_duplicates(image_dir=str(folder), recursive=True)
    return [{name, *others} for name, others in found.items() if others]


def read_truth(folder: Path) -> list[dict[str, str]]:
    with (folder / "truth.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def together(groups: Groups) -> set[tuple[str, str]]:
    return {pair for group in groups for pair in combinations(sorted(group), 2)}


def print_table(title: str, truth: list[dict[str, str]], groups: Groups, seconds: float) -> None:
    pairs = together(groups)
    group_of = {row["file"]: row["group"] for row in truth}
    originals = defaultdict(list)
    for row in truth:
        if row["role"] == "original":
            originals[row["group"]].append(row["file"])
    found: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for row in truth:
        if row["role"] == "copy" and not row["expected"].startswith("unreadable"):
            hit = any(tuple(sorted((row["file"], original))) in pairs for original in originals[row["group"]])
            found[row["expected"], row["transform"]].append(hit)
    false = [pair for pair in pairs if group_of.get(pair[0]) != group_of.get(pair[1])]
    print(f"\n{title}: {seconds:.1f} s")
    for (expected, transform), hits in sorted(found.items()):
        print(f"  {expected:16} {transform:18} {sum(hits):4} of {len(hits):4}  recall {sum(hits) / len(hits):.3f}")
    for expected in sorted({key[0] for key in found}):
        hits = [hit for key, values in found.items() if key[0] == expected for hit in values]
        print(f"  all {expected:31} {sum(hits):4} of {len(hits):4}  recall {sum(hits) / len(hits):.3f}")
    print(f"  pairs joined {len(pairs)}, false {len(false)}, precision {1 - len(false) / max(1, len(pairs)):.4f}")
    for first, second in sorted(false)[:10]:
        print(f"    false: {first}  {second}")


def print_byte_copies(folder: Path, groups: Groups, seconds: float) -> None:
    with (folder / "photos.csv").open(newline="") as stream:
        planted = {(row["file"], row["same_bytes_as"]) for row in csv.DictReader(stream) if row["same_bytes_as"]}
    pairs = together(groups)
    hits = sum(tuple(sorted(pair)) in pairs for pair in planted)
    others = sorted(pairs - {_sorted_pair(pair) for pair in planted})
    print(f"\ncars: {seconds:.1f} s; byte copies {hits} of {len(planted)}; other pairs joined {len(others)}")
    for first, second in others[:10]:
        print(f"    {first}  {second}")


def _sorted_pair(pair: Iterable[str]) -> tuple[str, str]:
    first, second = sorted(pair)
    return first, second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=default, help="folder of the real data")
    parser.add_argument("--radius", type=int, default=12, help="bits in which signatures may differ")
    options = parser.parse_args()
    copies = options.data / "duplicates"
    truth = read_truth(copies)
    start = time.perf_counter()
    print_table("tamis", truth, ours(copies, options.radius), time.perf_counter() - start)
    start = time.perf_counter()
    theirs = imagededup_phash(copies)
    if theirs is not None:
        print_table("imagededup PHash", truth, theirs, time.perf_counter() - start)
    cars = options.data / "cars"
    if cars.is_dir():
        start = time.perf_counter()
        print_byte_copies(cars, ours(cars, options.radius), time.perf_counter() - start)


if __name__ == "__main__":
    main()
