"""A scripted annotator: it works through the same HTTP API as the browser, and errs at a known rate."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.cookiejar import CookieJar
from typing import Any
from urllib.request import HTTPCookieProcessor, OpenerDirector, Request, build_opener

#: What the annotator sees in an image: SHA-256 -> attribute -> value.
Sight = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Annotator:
    """Who annotates, what it sees, and how often it is wrong."""

    name: str
    sight: Sight
    classes: Mapping[str, Sequence[str]]
    error_rate: float
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Shift:
    """What was done: samples seen, labels given, and how many of them are wrong on purpose."""

    samples: int
    labels: int
    wrong: int


def annotate(url: str, annotator: Annotator, stop: threading.Event, count: int = 20) -> Shift:
    """Work on the queue of a running application until it is empty, and say what was done.

    Attributes that cannot be seen in a picture are passed over, as a person would do with the space bar.
    """
    opener = build_opener(HTTPCookieProcessor(CookieJar()))
    _send(opener, url, "/api/person", {"name": annotator.name})
    of_items = {one["name"] for one in _get(opener, url, "/api/attributes") if one["scope"] == "item"}
    told: set[tuple[int, str]] = set()
    samples = labels = wrong = 0
    while not stop.is_set():
        queue = _get(opener, url, f"/api/queue?count={count}")["samples"]
        if not queue:
            break
        for sample in queue:
            about = {(sample["item"]["id"], name) for name in of_items} if sample["item"] else set()
            asked = [name for name in sample["asked"] if name not in {name for _, name in about & told}]
            answers = {name: _answer(annotator, sample, name) for name in asked}
            told |= {(item, name) for item, name in about if answers.get(name, (None, False))[0] is not None}
            claims = [
                {"sample": sample["id"], "attribute": name, "value": value} for name, (value, _) in answers.items()
            ]
            if claims:
                _send(opener, url, "/api/labels", {"key": f"{annotator.name}-{sample['id']}", "claims": claims})
            samples += 1
            labels += sum(value is not None for value, _ in answers.values())
            wrong += sum(mistaken for _, mistaken in answers.values())
    return Shift(samples, labels, wrong)


def _answer(annotator: Annotator, sample: Mapping[str, Any], attribute: str) -> tuple[str | None, bool]:
    seen = annotator.sight.get(sample["sha256"], {}).get(attribute)
    if seen is None:
        return None, False
    rng = random.Random(f"{annotator.seed}/{sample['sha256']}/{attribute}")  # noqa: S311 - errors, not secrets
    if rng.random() >= annotator.error_rate:
        return seen, False
    return rng.choice([value for value in annotator.classes[attribute] if value != seen]), True


def _get(opener: OpenerDirector, url: str, path: str) -> Any:
    with opener.open(Request(url.rstrip("/") + path), timeout=60) as answer:  # noqa: S310 - our own address
        return json.load(answer)


def _send(opener: OpenerDirector, url: str, path: str, document: Mapping[str, Any]) -> Any:
    base = url.rstrip("/")
    headers = {"Content-Type": "application/json", "Origin": base}
    request = Request(base + path, json.dumps(document).encode(), headers)  # noqa: S310 - our own address
    with opener.open(request, timeout=60) as answer:
        return json.load(answer)
