"""Extraction of 60 product pages beside extruct: precision, recall and F1 by field with bootstrap errors, and speed.

    python benchmarks/extraction.py [--data DIR] [--json] [--misses]

Truth is by people (`pages/truth.jsonl`). A field counts as found where a value is given, as right where it equals
the true values: a price as a number (three prices of the truth have lost their thousands, so a thousandfold one is
right too), SKU and availability in any case, a title by its words, pictures where the number and the first ones are
right, whatever their size. A page that raises counts as empty.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import extruct
import numpy as np
from price_parser import Price

from tamis.extract import extract_page
from tamis.extract.pictures import photo_key

FIELDS = ("price", "sku", "availability", "title", "images")
RESAMPLES = 1000
REPEATS = 3

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SavedPage:
    """A page, its address and what people read on it."""

    body: bytes
    url: str
    truth: Record


def default_data() -> Path:
    """Return the folder of the real data: `TAMIS_TEST_DATA`, else `../shared/data` beside the project."""
    return Path(os.environ.get("TAMIS_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")


def read_pages(data: Path) -> list[SavedPage]:
    folder = data / "pages"
    rows = [json.loads(line) for line in (folder / "truth.jsonl").read_text(encoding="utf-8").splitlines()]
    return [SavedPage(gzip.decompress((folder / row["file"]).read_bytes()), row["url"], row) for row in rows]


def read_with_tamis(body: bytes, url: str) -> Record:
    item = extract_page(body, url).to_json()["item"]
    return {} if item is None else {name: item[name] for name in FIELDS}


def read_with_extruct(body: bytes, url: str) -> Record:
    """Return the first product of extruct's JSON-LD, microdata, RDFa and OpenGraph, as its users read it."""
    found = extruct.extract(body.decode("utf-8", "replace"), base_url=url, uniform=True)
    nodes = [node for syntax in ("json-ld", "microdata", "rdfa", "opengraph") for node in found[syntax]]
    products = [node for node in nodes if "product" in str(node.get("@type", "")).lower()]
    record: Record = {}
    for node in products:
        offer = node.get("offers") or {}
        offer = offer[0] if isinstance(offer, list) and offer else offer
        offer = offer if isinstance(offer, dict) else {}
        price = Price.fromstring(
            str(offer.get("price") or offer.get("lowPrice") or node.get("product:price:amount") or "")
        )
        images = node.get("image") or node.get("og:image") or []
        values = {
            "price": price.amount_text and str(price.amount),
            "sku": node.get("sku") or node.get("productID"),
            "availability": str(offer.get("availability") or node.get("product:availability") or "").rsplit("/", 1)[-1],
            "title": node.get("name") or node.get("og:title"),
            "images": [image for image in (images if isinstance(images, list) else [images]) if isinstance(image, str)],
        }
        for name, value in values.items():
            record.setdefault(name, value) if value else None
    return record


def is_right(name: str, given: Any, page: SavedPage) -> bool:
    truth = page.truth.get(name)
    if name == "price":
        return any(_same_price(given, value) for value in truth)
    if name == "title":
        return _words(str(given)) == _words(truth)
    if name == "images":
        wanted = [photo_key(urljoin(page.url, url)) for url in page.truth["first_images"]]
        keys = [photo_key(urljoin(page.url, url)) for url in given]
        return len(keys) == page.truth["n_images"] and keys[: len(wanted)] == wanted
    return any(str(given).casefold() == value.casefold() for value in truth)


def judge(name: str, given: Any, page: SavedPage) -> tuple[int, int, int]:
    """Return (true positives, false positives, false negatives) of one field of one page."""
    known = page.truth.get("n_images") if name == "images" else page.truth.get(name)
    if known is None and ("title" not in page.truth or name in {"title", "images"}) and name not in {"price", "sku"}:
        return 0, 0, 0
    has_value = given not in (None, "", [])
    right = bool(has_value and known and is_right(name, given, page))
    return int(right), int(has_value and not right), int(bool(known) and not right)


def scores(counts: np.ndarray) -> tuple[float, float, float]:
    """Return precision, recall and F1 of summed counts, shape (3,)."""
    right, wrong, missed = (float(value) for value in counts)
    precision = right / (right + wrong) if right + wrong else 0.0
    recall = right / (right + missed) if right + missed else 0.0
    return precision, recall, 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def with_errors(counts: np.ndarray, generator: np.random.Generator) -> dict[str, float]:
    """Return the scores of `counts`, shape (pages, 3), and their standard errors over resampled pages."""
    precision, recall, f1 = scores(counts.sum(axis=0))
    drawn = generator.integers(0, len(counts), size=(RESAMPLES, len(counts)))
    spread = np.std([scores(counts[rows].sum(axis=0)) for rows in drawn], axis=0)
    values = {"precision": precision, "recall": recall, "f1": f1}
    errors = {f"{name}_error": float(error) for name, error in zip(values, spread, strict=True)}
    return {name: round(value, 4) for name, value in (values | errors).items()}


def run(reader: Callable[[bytes, str], Record], pages: list[SavedPage]) -> tuple[list[Record], list[float]]:
    """Return what `reader` reads on each page and the CPU milliseconds it takes, the best of a few runs.

    CPU time, since other work on the machine does not lengthen it; the readers are single-threaded and do not wait.
    """
    records: list[Record] = []
    milliseconds: list[float] = []
    for page in pages:
        best, record = float("inf"), Record()
        for _ in range(REPEATS):
            started = time.process_time()
            try:
                record = reader(page.body, page.url)
            except Exception:
                record = Record()
            best = min(best, time.process_time() - started)
        records.append(record)
        milliseconds.append(1000 * best)
    return records, milliseconds


def evaluate(name: str, reader: Callable[[bytes, str], Record], pages: list[SavedPage], misses: bool) -> Record:
    records, milliseconds = run(reader, pages)
    generator = np.random.default_rng(0)
    table: Record = {}
    for field in FIELDS:
        judged = [judge(field, record.get(field), page) for record, page in zip(records, pages, strict=True)]
        table[field] = with_errors(np.array(judged), generator)
        table[field]["right"] = sum(right for right, _, _ in judged)
        table[field]["known"] = sum(right + missed for right, _, missed in judged)
        for page, record, (_, wrong, missed) in zip(pages, records, judged, strict=True):
            if misses and (wrong or missed):
                true = page.truth.get(field) or page.truth.get("first_images")
                print(f"{name} {field} {page.url[:60]}: {str(record.get(field))[:60]!r}, truth {str(true)[:60]!r}")
    return {"fields": table, "median_ms": round(statistics.median(milliseconds), 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=default_data())
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--misses", action="store_true", help="list what tamis reads wrong")
    given = parser.parse_args()
    pages = read_pages(given.data)
    results = {
        "tamis": evaluate("tamis", read_with_tamis, pages, given.misses),
        "extruct": evaluate("extruct", read_with_extruct, pages, False),
    }
    if given.json:
        print(json.dumps({"pages": len(pages), "results": results}))
        return
    print(f"{len(pages)} pages; precision, recall, F1 (standard error of F1), right of known")
    for field in FIELDS:
        for name, result in results.items():
            row = result["fields"][field]
            line = f"{row['precision']:.3f} {row['recall']:.3f} {row['f1']:.3f} ({row['f1_error']:.3f})"
            print(f"{field:13} {name:8} {line}  {row['right']} of {row['known']}")
    print("median CPU ms a page: " + ", ".join(f"{name} {result['median_ms']}" for name, result in results.items()))


def _same_price(given: Any, true: str) -> bool:
    try:
        amount, wanted = Decimal(str(given)), Decimal(true.strip())
    except InvalidOperation:
        return False
    return amount in {wanted, wanted * 1000}


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


if __name__ == "__main__":
    main()
