"""The report of a snapshot: what it holds by class and split, what it looks like and where it came from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from markupsafe import Markup

from tamis.dataset.manifest import SPLITS, Sample, Snapshot
from tamis.labels import Attribute
from tamis.report.figures import stacked_figure
from tamis.report.model import class_counts_figure
from tamis.report.page import thumbnail, write_page

#: Samples shown of a class, and classes shown with samples.
EXAMPLES = 6
_CLASSES_SHOWN = 40
#: Upper bounds of the shorter side of crops in pixels, as the page counts them.
_SIDES = (64, 128, 224, 320, 480, 720, 1080)


@dataclass(frozen=True, slots=True)
class Example:
    """A sample on the page."""

    sample: Sample
    picture: str


@dataclass(frozen=True, slots=True)
class AttributeSection:
    """One attribute on the page: counts by class and split, samples of each class."""

    attribute: Attribute
    labelled: int
    counts: Markup
    examples: Mapping[str, tuple[Example, ...]]


def write_snapshot_report(snapshot: Snapshot, path: Path) -> Path:
    """Write the report of a snapshot and return its path.

    Raises:
        UserError: an image is missing, or the file cannot be written.
    """
    values = {
        "snapshot": snapshot,
        "splits": {split: len(snapshot.split(split)) for split in SPLITS},
        "verdicts": Counter(sample.verdict for sample in snapshot.samples),
        "groups": len({sample.group for sample in snapshot.samples}),
        "images": len({sample.sha256 for sample in snapshot.samples}),
        "items": len({sample.item_url for sample in snapshot.samples if sample.item_url}),
        "sources": Counter(_source(sample) for sample in snapshot.samples).most_common(20),
        "sections": [_section(snapshot, attribute) for attribute in snapshot.attributes],
        "sizes": _sizes_figure(snapshot),
    }
    return write_page("snapshot.html.j2", values, path)


def _section(snapshot: Snapshot, attribute: Attribute) -> AttributeSection:
    labelled = [sample for sample in snapshot.samples if attribute.name in sample.labels]
    examples = {}
    for label in attribute.classes[:_CLASSES_SHOWN]:
        chosen = _spread([sample for sample in labelled if sample.labels[attribute.name] == label])
        examples[label] = tuple(Example(sample, thumbnail(snapshot, sample)) for sample in chosen)
    counts = class_counts_figure(snapshot, attribute.name, attribute.classes)
    return AttributeSection(attribute, len(labelled), counts, examples)


def _spread(samples: list[Sample]) -> list[Sample]:
    """Return samples of as many groups as there are, evenly from the whole list."""
    firsts = list({sample.group: sample for sample in reversed(samples)}.values())[::-1]
    pool = firsts if len(firsts) >= EXAMPLES else samples
    step = max(1, len(pool) // EXAMPLES)
    return pool[::step][:EXAMPLES]


def _sizes_figure(snapshot: Snapshot) -> Markup:
    names = [f"up to {bound} px" for bound in _SIDES] + [f"over {_SIDES[-1]} px"]
    counts = [[0] * len(SPLITS) for _ in names]
    for sample in snapshot.samples:
        left, top, right, bottom = sample.crop_xyxy
        shorter = min(right - left, bottom - top)
        place = next((number for number, bound in enumerate(_SIDES) if shorter <= bound), len(_SIDES))
        counts[place][SPLITS.index(sample.split)] += 1
    return stacked_figure(names, counts, SPLITS)


def _source(sample: Sample) -> str:
    try:
        return urlsplit(sample.item_url).hostname or "no item"
    except ValueError:
        return "unreadable address"
