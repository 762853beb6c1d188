"""Search among 64-bit signatures: all pairs within Hamming 8 of a million, random and skewed, and one against all.

python -m benchmarks.hashindex [--count N] [--radius BITS] [--data DIR] [--peers N]

Skewed signatures are those of real photographs and their parts (of random ones where the data is missing): two of five
drawn by Zipf's law as they are, so that there are large groups of equal ones, the others with up to 16 bits flipped.
faiss (flat binary range search) and imagededup's BK-tree are measured where they are installed, here or in the
interpreter that TAMIS_PEER_PYTHON names; both on a part, since the whole takes them minutes to days.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.int64]


def random_hashes(random: np.random.Generator, count: int) -> Hashes:
    return random.integers(-(2**63), 2**63 - 1, count, dtype=np.int64)


def real_hashes(data: Path, random: np.random.Generator) -> Hashes:
    """Signatures of whole photos and of their parts."""
    from tamis.errors import Unreadable
    from tamis.vision.inspect import small_picture
    from tamis.vision.quality import to_luma
    from tamis.vision.signatures import part_phashes, signatures, unpack_parts

    found: list[int] = []
    for path in sorted(data.rglob("*.jpg"))[::2]:
        try:
            grey = to_luma(small_picture(path.read_bytes()))
        except Unreadable:
            continue
        found += [signatures(grey).phash, *unpack_parts(part_phashes(grey)).tolist()]
    return np.array(found, dtype=np.int64) if found else random_hashes(random, 50_000)


def skewed_hashes(random: np.random.Generator, bases: Hashes, count: int) -> Hashes:
    ranks = np.arange(1, len(bases) + 1)
    bases = random.permutation(bases)
    often, seldom = 1 / ranks, 1 / np.sqrt(ranks)
    equal = bases[random.choice(len(bases), count * 2 // 5, p=often / often.sum())]
    varied = bases[random.choice(len(bases), count - len(equal), p=seldom / seldom.sum())]
    for _ in range(16):
        flip = random.random(len(varied)) < 0.5
        varied = varied ^ np.where(flip, np.int64(1) << random.integers(0, 64, len(varied)), 0)
    return random.permutation(np.concatenate((equal, varied)))


def megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(name: str, work: Callable[[], Any]) -> Any:
    """Run, and print seconds on the clock and of all cores, and by how much the memory's peak rose."""
    peak, clock, cpu = megabytes(), time.perf_counter(), time.process_time()
    found = work()
    clock, cpu = time.perf_counter() - clock, time.process_time() - cpu
    print(f"{name:58} {clock:8.2f} s, CPU {cpu:7.2f} s, peak memory +{megabytes() - peak:5.0f} MB", flush=True)
    return found


def median_milliseconds(work: Callable[[int], object], times: int) -> tuple[float, float]:
    """Milliseconds of one call, on the clock and of the processor."""
    clocks, cpus = [], []
    for number in range(times):
        clock, cpu = time.perf_counter(), time.process_time()
        work(number)
        clocks.append(time.perf_counter() - clock)
        cpus.append(time.process_time() - cpu)
    return 1000 * float(np.median(clocks)), 1000 * float(np.median(cpus))


def ours(random: np.random.Generator, options: argparse.Namespace) -> None:
    from tamis.vision.hashindex import HashIndex, near_distinct, near_pairs

    count, radius = options.count, options.radius
    hashes = random_hashes(random, count)
    warm = hashes[:200_000].copy()
    warm[:1000] = warm[1000:2000]
    near_pairs(warm, radius)
    HashIndex(warm).query(warm[:1], radius)
    found = measured(f"all pairs of {count:,} random", lambda: near_pairs(hashes, radius))
    print(f"    {len(found.first):,} pairs")
    index = HashIndex(hashes)
    for name, times in (("one new against %s, at first", 50), ("one new against %s, asked often", 300)):
        clock, cpu = median_milliseconds(lambda at: index.query(hashes[at : at + 1], radius), times)
        print(f"{name % f'{count:,}':58} {clock:8.3f} ms, CPU {cpu:6.3f} ms")
    new = random_hashes(random, 10_000)
    measured(f"10,000 new against {count:,}", lambda: index.query(new, radius))
    skewed = skewed_hashes(random, real_hashes(options.data, random), count)
    distinct = measured(f"distinct pairs of {count:,} skewed", lambda: near_distinct(skewed, radius))
    sizes = np.bincount(distinct.inverse)
    print(
        f"    {len(distinct.values):,} distinct, the largest group {sizes.max():,}, {len(distinct.pairs.first):,} pairs"
    )


def peers(random: np.random.Generator, options: argparse.Namespace) -> None:
    """Measure what is installed in this interpreter; needs nothing of tamis."""
    hashes = random_hashes(random, options.count)
    try:
        import faiss  # type: ignore[import-not-found]
    except ImportError:
        print("faiss is not installed: skipped")
    else:
        index = faiss.IndexBinaryFlat(64)
        index.add(hashes.view(np.uint8).reshape(-1, 8))
        queries = hashes[: options.peers].view(np.uint8).reshape(-1, 8)
        start = time.perf_counter()
        index.range_search(queries, options.radius + 1)
        seconds = time.perf_counter() - start
        whole = seconds * options.count / len(queries)
        name = f"faiss flat, {len(queries):,} against {options.count:,}"
        print(f"{name:58} {seconds:8.2f} s; all: {whole:,.0f} s, extrapolated")
        clock, cpu = median_milliseconds(lambda at: index.range_search(queries[at : at + 1], options.radius + 1), 50)
        print(f"{'faiss flat, one':58} {clock:8.3f} ms, CPU {cpu:6.3f} ms")
    try:
        from imagededup.handlers.search.bktree import BKTree  # type: ignore[import-not-found]
    except ImportError:
        print("imagededup is not installed: skipped")
    else:
        few = [f"{value & (2**64 - 1):016x}" for value in hashes[:10_000].tolist()]
        start = time.perf_counter()
        tree = BKTree(
            {str(number): value for number, value in enumerate(few)}, lambda a, b: (int(a, 16) ^ int(b, 16)).bit_count()
        )
        build = time.perf_counter() - start
        start = time.perf_counter()
        for value in few[: options.peers]:
            tree.search(value, options.radius)
        seconds = time.perf_counter() - start
        each = seconds / options.peers
        whole = build + each * len(few)
        print(
            f"{'imagededup BK-tree of 10,000':58} {build:8.2f} s to build, {each * 1000:.1f} ms a query: {whole:,.0f} s"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--count", type=int, default=1_000_000, help="number of signatures")
    parser.add_argument("--radius", type=int, default=8, help="bits in which signatures may differ")
    parser.add_argument("--data", type=Path, default=default, help="folder of photographs")
    parser.add_argument("--peers", type=int, default=500, help="queries on which peers are measured")
    parser.add_argument("--peers-only", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peers_only:
        peers(np.random.default_rng(0), options)
        return
    ours(np.random.default_rng(0), options)
    sys.stdout.flush()
    python = os.environ.get("TAMIS_PEER_PYTHON", sys.executable)
    command = [python, __file__, "--peers-only", "--count", str(options.count), "--radius", str(options.radius)]
    subprocess.run([*command, "--peers", str(options.peers)], check=True)


if __name__ == "__main__":
    main()
