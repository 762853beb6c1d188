"""What the real runs share: the command line as a process, labels through the HTTP API, and printed tables."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tamis.demo.annotator import Annotator, Shift, annotate
from tamis.project import open_project

DATA = Path(os.environ.get("TAMIS_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))


def tamis(*arguments: str | Path, allow: Sequence[int] = (0,)) -> Any:
    """Run the command line with --json and return its document; stops with its message when it fails."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "tamis", *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in allow:
        raise SystemExit(f"tamis {arguments[0]} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    print(f"  tamis {' '.join(map(str, arguments[:2]))}: {time.perf_counter() - started:.1f} s", file=sys.stderr)
    return json.loads(done.stdout)


def label_through_api(
    project: Path, sight: Mapping[str, Mapping[str, str]], classes: Mapping[str, Sequence[str]], name: str = "robin"
) -> Shift:
    """Give labels as a person would, through the running web application; `sight` is SHA-256 -> attribute -> value."""
    from tamis.annotate.server import serving

    opened = open_project(project)
    try:
        with serving(opened) as app:
            return annotate(app.url, Annotator(name, sight, classes, error_rate=0.0), threading.Event(), count=50)
    finally:
        opened.close()


def rows(project: Path, query: str) -> list[tuple[Any, ...]]:
    """Read the project's SQLite database from outside."""
    with sqlite3.connect(f"file:{project / 'tamis.db'}?mode=ro", uri=True) as connection:
        return connection.execute(query).fetchall()


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print how long the block took."""
    started = time.perf_counter()
    yield
    print(f"{what}: {time.perf_counter() - started:.0f} s")


def f1_score(pairs: Sequence[tuple[bool, bool]]) -> float:
    """F1 of (truth, said) pairs, 0 to 1."""
    hits = sum(truth and said for truth, said in pairs)
    wrong = sum(truth != said for truth, said in pairs)
    return 2 * hits / (2 * hits + wrong) if hits or wrong else 0.0
