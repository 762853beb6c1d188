"""Fuzz the extractor with atheris, by coverage: no exception may leave it, and no page may hold it for a second.

    pip install atheris
    python benchmarks/fuzz_extraction.py [CORPUS_FOLDER] [-max_total_time=600] [-max_len=20000]

Further arguments are libFuzzer's. A crash is written to `crash-<hash>` in the current folder, and read again by
`python benchmarks/fuzz_extraction.py crash-<hash>`.
"""

from __future__ import annotations

import json
import sys
import time

import atheris

with atheris.instrument_imports(include=["tamis.extract", "tamis.recipes"]):
    from tamis.extract import extract_page
    from tamis.recipes import list_recipes, load_recipe

SECONDS = 1.0
URLS = (
    "https://shop.example/p/blue-chair-1204",
    "https://www.autoscout24.de/lst/vw?page=2",
    "https://x.example/a.json",
)
RECIPES = [load_recipe(entry.name) for entry in list_recipes()]


def read_one(data: bytes) -> None:
    """Read a page of the bytes; the first of them chooses the recipe and the address."""
    chosen = data[0] if data else 0
    started = time.process_time()
    read = extract_page(data[1:], URLS[chosen % len(URLS)], recipe=RECIPES[chosen // 16 % len(RECIPES)])
    json.dumps(read.to_json())
    if time.process_time() - started > SECONDS:
        raise TimeoutError(f"a page of {len(data)} bytes took more than {SECONDS} s")


def main() -> None:
    atheris.Setup(sys.argv, read_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
