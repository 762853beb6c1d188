"""Precision and recall of duplicate search for each kind of edit, on labelled and on planted copies.

    python -m benchmarks.duplicates [--data FOLDER] [--images N] [--cache FOLDER] [--seed N] [--more] [--peers TOOL,...]

On the labelled copies of the real data a copy counts as found when it is in one cluster with an original of its group.
On the planted corpus (`benchmarks.planted`) all pairs of one shot count, found where both are in one cluster; a pair of
different shots in one cluster is false. Both halves of the originals are shown: thresholds were fitted on `tune`.
imagededup, czkawka and cleanvision are measured in the same run where the interpreter that TAMIS_PEER_PYTHON names, or
this one, has them; imagededup forms no clusters, so its pairs are taken as they are. The speed is also taken on a
folder in which one picture in twenty is a copy, beside imagededup's PHash encoding alone.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.duplicatepeers import TOOLS
from benchmarks.edits import watermarked
from benchmarks.planted import Row, generate
from benchmarks.rules import default_data
from tamis.vision.clusters import Clustering
from tamis.vision.columns import Signature
from tamis.vision.copies import FRAME_SIDE, Picture
from tamis.vision.dedupe import DedupeSettings, dedupe_folder
from tamis.vision.duplicates import CACHED_PICTURES, in_blocks, screen, verify_candidates
from tamis.vision.inspect import sign_image, small_picture
from tamis.vision.proposals import Search, find_candidates

Groups = list[set[str]]


def ours(folder: Path, radius: int) -> Groups:
    search = Search(radius=radius, joint_radius=radius + 14, rotated=True)
    report = dedupe_folder(folder, DedupeSettings(search=search, clustering=Clustering(rotated=True)))
    return [{cluster["keep"], *(member["file"] for member in cluster["members"])} for cluster in report["clusters"]]


def run_peer(tool: str, folder: Path) -> dict[str, Any]:
    """Run another tool under its own interpreter; see `benchmarks.duplicatepeers`."""
    python = os.environ.get("TAMIS_PEER_PYTHON", sys.executable)
    script = Path(__file__).with_name("duplicatepeers.py")
    done = subprocess.run([python, script, tool, folder], capture_output=True, text=True, check=False)
    if done.returncode:
        return {"skipped": done.stderr.strip().splitlines()[-1:] or "failed"}
    return dict(json.loads(done.stdout.splitlines()[-1]))


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


def print_planted(title: str, rows: list[Row], groups: Groups, seconds: float, cpu: float) -> None:
    """Precision and recall over all pairs, by half, and by edit: of the pairs that it makes with others of its shot."""
    pairs = together(groups)
    row_of = {row.file: row for row in rows}
    shots: dict[int, list[str]] = defaultdict(list)
    for row in rows:
        shots[row.shot].append(row.file)
    truth = {pair for files in shots.values() for pair in combinations(sorted(files), 2)}
    false = sorted(pairs - truth)
    print(f"\n{title}: {seconds:.1f} s, CPU {cpu:.1f} s, {1000 * cpu / len(rows):.1f} ms an image")
    print(f"  pairs joined {len(pairs)}, false {len(false)}, precision {1 - len(false) / max(1, len(pairs)):.4f}")
    print(f"  recall over all {len(truth)} pairs {len(pairs & truth) / len(truth):.4f}")
    for half in ("tune", "held"):
        own = {pair for pair in truth if row_of[pair[0]].half == half}
        wrong = [pair for pair in false if row_of[pair[0]].half == half]
        print(f"    half {half}: recall {len(pairs & own) / len(own):.4f}, false {len(wrong)}")
    by_edit: dict[str, list[bool]] = defaultdict(list)
    for pair in truth:
        for row in (row_of[pair[0]], row_of[pair[1]]):
            if row.difficulty:
                by_edit[f"{row.difficulty:6}{row.edit}"].append(pair in pairs)
    for edit, hits in sorted(by_edit.items()):
        print(f"    {edit:20} recall {sum(hits) / len(hits):.3f} of {len(hits)}")
    sources = Counter((row_of[first].source, row_of[second].source) for first, second in false)
    for (one, other), count in sources.most_common(20):
        print(f"    false {count:4}: {one}  {other}")


def run_ours(folder: Path, settings: DedupeSettings) -> tuple[Groups, float, float]:
    """Return the clusters, seconds on the clock and seconds of all cores."""
    before, started = processor_seconds(), time.perf_counter()
    report = dedupe_folder(folder, settings)
    found = [{one["keep"], *(member["file"] for member in one["members"])} for one in report["clusters"]]
    return found, time.perf_counter() - started, processor_seconds() - before


def processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def print_verification(folder: Path) -> None:
    """Processor time of each part in one thread, in milliseconds an image."""
    paths = sorted(folder.glob("*.jpg"))
    limits = DedupeSettings().limits
    clock = time.process_time
    times = [clock()]
    signed, glances = [], []
    for index, path in enumerate(paths):
        one = sign_image(path.read_bytes(), limits)
        signed.append(Signature(index, one.phash, one.dhash, str(index), one.parts))
        glances.append(np.frombuffer(one.glance, np.uint8))
    times.append(clock())
    _, proposals = find_candidates(signed, [])
    times.append(clock())
    candidates = in_blocks(screen(proposals, glances.__getitem__))
    times.append(clock())

    @lru_cache(CACHED_PICTURES)
    def picture(index: int) -> Picture:
        return Picture(small_picture(paths[index].read_bytes(), limits, FRAME_SIDE)).lean()

    verify_candidates(candidates, picture)
    times.append(clock())
    names = ("sign", "propose", "screen", "verify, decoding included")
    print(f"\nparts, {len(proposals.pairs)} pairs proposed, {len(candidates)} verified; CPU ms an image:")
    for name, start, end in zip(names, times, times[1:], strict=False):
        print(f"  {name:26} {1000 * (end - start) / len(paths):6.2f}")


def print_speed(folder: Path, data: Path, peers: bool, side: int | None = None) -> None:
    """The whole search on a folder with 5 % copies, beside imagededup's encoding alone.

    The photos are taken as they are, or half of them brought to `side` pixels along the long side.
    """
    originals = [path for kind in ("cars", "clothing") for path in sorted((data / kind).rglob("*.jpg"))]
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for number, path in enumerate(originals[:: 2 if side else 1]):
        target = folder / f"{number:05d}.jpg"
        if side is None:
            shutil.copyfile(path, target)
        elif (picture := cv2.imread(str(path))) is not None:
            scale = side / max(picture.shape[:2])
            larger = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(target), larger, [cv2.IMWRITE_JPEG_QUALITY, 92])
        if number % 20 == 0 and (picture := cv2.imread(str(target))) is not None:
            copy = watermarked(np.asarray(picture, dtype=np.uint8), random)
            cv2.imwrite(str(folder / f"{number:05d}-copy.jpg"), copy)
    count = len(list(folder.iterdir()))
    _, seconds, cpu = run_ours(folder, DedupeSettings())
    size = f"{side} pixels long" if side else "as they are"
    print(f"\nfolder with 5 % copies, {count} pictures {size}: tamis {count / seconds:.0f} images/s, CPU {cpu:.1f} s")
    found: dict[str, Any] = {"skipped": "not asked for"}
    if peers:
        found = run_peer("imagededup PHash", folder)
    if "skipped" in found:
        print(f"  imagededup PHash: {found['skipped']}: skipped")
        return
    print(
        f"  imagededup PHash encoding alone {count / found['encoding']:.0f} images/s; CPU of all {found['cpu']:.1f} s"
    )
    print(f"  tamis is {found['encoding'] / seconds:.2f} times as fast on the clock")


def print_labelled(options: argparse.Namespace) -> None:
    copies = options.data / "duplicates"
    start = time.perf_counter()
    print_table("tamis", read_truth(copies), ours(copies, options.radius), time.perf_counter() - start)
    cars = options.data / "cars"
    if cars.is_dir():
        start = time.perf_counter()
        print_byte_copies(cars, ours(cars, options.radius), time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=default_data(), help="folder of the real data")
    parser.add_argument("--radius", type=int, default=16, help="bits in which signatures may differ")
    parser.add_argument("--images", type=int, default=4000, help="pictures of the planted corpus; 0 leaves it out")
    parser.add_argument("--cache", type=Path, help="folder to keep the corpus in; default: a temporary one")
    parser.add_argument("--seed", type=int, default=0, help="of the planted corpus")
    parser.add_argument("--more", action="store_true", help="plant other edits")
    parser.add_argument("--peers", default=",".join(TOOLS), help="other tools to run, by comma; empty: none")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    print_labelled(options)
    if not options.images:
        return
    with tempfile.TemporaryDirectory() as temporary:
        home = options.cache or Path(temporary)
        folder = home / f"planted{'-more' if options.more else ''}-{options.images}-{options.seed}"
        rows = generate(folder, options.data, options.images, options.seed, more=options.more)
        print_planted("tamis on planted copies", rows, *run_ours(folder, DedupeSettings()))
        for tool in filter(None, options.peers.split(",")):
            found = run_peer(tool, folder)
            if "skipped" in found:
                print(f"\n{tool}: {found['skipped']}: skipped")
                continue
            print_planted(tool, rows, [set(group) for group in found["groups"]], found["seconds"], found["cpu"])
        print_verification(folder)
        print_speed(Path(temporary) / "small", options.data, bool(options.peers))
        print_speed(Path(temporary) / "large", options.data, bool(options.peers), 1280)


if __name__ == "__main__":
    main()
