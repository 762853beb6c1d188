"""The contact sheet of curation: what each step kept, doubted and rejected, and what is nearest to each threshold."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from markupsafe import Markup

from tamis import schema
from tamis.blobs import BlobCorrupt, BlobMissing
from tamis.config import Settings
from tamis.database import reading
from tamis.dataset.candidates import public_id
from tamis.dataset.claims import rows_for
from tamis.dataset.quality import LIMITS
from tamis.dataset.verdicts import Verdict, unreadable_images
from tamis.errors import Unreadable, UserError
from tamis.project import Project, filter_triage
from tamis.report.figures import histogram_figure, stacked_figure
from tamis.report.judged import crop_of, judged_regions
from tamis.report.measures import Part, measures
from tamis.report.page import jpeg_url, write_page
from tamis.report.scores import Distribution, Fate, read_distribution
from tamis.stages.policy import ChosenRegion
from tamis.vision.masks import decode as decode_mask
from tamis.vision.render import Rendering, render_crop

#: Pictures shown of each kind unless told otherwise.
SAMPLES = 8
FATES: tuple[Fate, ...] = ("kept", "doubted", "rejected")
_FATE_OF: Mapping[Verdict, Fate] = {"keep": "kept", "questionable": "doubted", "reject": "rejected"}
#: Steps in the order in which they decide, with a title, and the causes of verdicts that each of them gives.
_STEPS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "inspect": ("Inspect", ("unreadable", "small_image", *(limit.cause for limit in LIMITS))),
    "duplicates": ("Duplicates", ("copy",)),
    "detect": ("Detect", ("no_object", "small_object", "many_objects")),
    "regionduplicates": ("Region duplicates", ("region_copy",)),
    "classify": ("Classify", ("wanted", "unwanted", "unsure", "unclassified")),
    "segment": ("Segment", ("thin_mask", "cut_mask", "torn_mask")),
    "verdicts": ("People, and what passes all", ("person", "disputed", "waiting", "passes")),
}
_STEP_OF = {cause: step for step, (_, causes) in _STEPS.items() for cause in causes}
_THUMBNAIL = Rendering((176, 176), quality=72)
_MASKED = Rendering((176, 176), quality=72, background_rgb=(190, 40, 90), background_share=0.65)
_THREADS = 2

#: Called with what is done, how much there is, and a text.
Progress = Callable[[int, int | None, str], None]


@dataclass(frozen=True, slots=True)
class Sighting:
    """A picture to show, and what is told of it."""

    part: Part
    told: str = ""


@dataclass
class Drawn:
    """A count, and an even random sample of what was counted."""

    most: int
    rng: random.Random
    count: int = 0
    sample: list[Sighting] = field(default_factory=list)

    def add(self, make: Callable[[], Sighting]) -> None:
        """Count one more; `make` is called only if it is drawn (algorithm R)."""
        self.count += 1
        if len(self.sample) < self.most:
            self.sample.append(make())
        elif (place := self.rng.randrange(self.count)) < self.most:
            self.sample[place] = make()


@dataclass(frozen=True, slots=True)
class Group:
    """What one step did for one cause: kept, doubted or rejected."""

    fate: Fate
    cause: str
    drawn: Drawn


@dataclass(frozen=True, slots=True)
class Step:
    """One step: how many came to it, what it did by cause, a sample of what it let pass, and its scores."""

    name: str
    title: str
    entered: int
    groups: Sequence[Group]
    passed: Drawn
    distributions: Sequence[Distribution]

    @property
    def kept_counts(self) -> list[int]:
        """How many each cause to keep was given for."""
        return [group.drawn.count for group in self.groups if group.fate == "kept"]

    def amount(self, fate: Fate) -> int:
        """How many it kept (let pass), doubted or rejected."""
        if fate == "kept":
            return self.entered - self.amount("doubted") - self.amount("rejected")
        return sum(group.drawn.count for group in self.groups if group.fate == fate)


@dataclass(frozen=True, slots=True)
class Curation:
    """All steps of a project in the order in which they decide."""

    name: str
    steps: Sequence[Step]

    @property
    def verdicts(self) -> dict[Fate, int]:
        """How many were kept, doubted and rejected in the end."""
        last = self.steps[-1]
        doubted, rejected = (sum(step.amount(fate) for step in self.steps) for fate in ("doubted", "rejected"))
        return {"kept": last.amount("kept"), "doubted": doubted, "rejected": rejected}

    def to_json(self) -> dict[str, Any]:
        """The numbers as one document."""
        return {
            "project": self.name,
            "verdicts": self.verdicts,
            "steps": [_step_json(step) for step in self.steps],
        }


def read_curation(project: Project, samples: int = SAMPLES, progress: Progress | None = None) -> Curation:
    """Read what each step decided, with at most `samples` pictures of a kind; no picture is opened.

    Raises:
        UserError: nothing has been curated yet.
    """
    settings = project.settings
    with reading(project.engine) as connection:
        causes, passed = _walk(connection, settings, samples, progress)
        found = {
            step: [one for measure in given if (one := read_distribution(connection, measure, samples))]
            for step, given in measures(settings, _promised(project)).items()
        }
    total = sum(drawn.count for drawn in causes.values())
    if not total:
        raise UserError("nothing is curated yet: `tamis run` does it, `tamis status` tells what is there")
    steps = []
    for name, (title, given) in _STEPS.items():
        groups = [
            Group(fate, cause, causes[fate, cause]) for cause in given for fate in FATES if (fate, cause) in causes
        ]
        steps.append(Step(name, title, total, groups, passed[name], found.get(name, ())))
        total = steps[-1].amount("kept")
    return Curation(settings.project.name, steps)


def write_curation_report(
    project: Project, path: Path, samples: int = SAMPLES, progress: Progress | None = None
) -> Curation:
    """Write the contact sheet into `path`, one page with small pictures inside, and return what it shows.

    Raises:
        UserError: nothing has been curated yet, or the file cannot be written.
    """
    curation = read_curation(project, samples, progress)
    pictures = _thumbnails(project, set(_parts(curation)), progress)
    values = {
        "curation": curation,
        "fates": FATES,
        "flow": stacked_figure(
            [step.title for step in curation.steps],
            [[step.amount(fate) for fate in FATES] for step in curation.steps],
            FATES,
            "What each step kept, doubted and rejected",
            FATES,
        ),
        "histograms": {id(one): _histogram(one) for step in curation.steps for one in step.distributions},
        "identity": id,
        "picture": pictures.get,
        "number": _number,
    }
    write_page("curation.html.j2", values, path)
    return curation


def _walk(
    connection: sa.Connection, settings: Settings, samples: int, progress: Progress | None
) -> tuple[dict[tuple[Fate, str], Drawn], dict[str, Drawn]]:
    """What was decided by fate and cause, and what each step let pass."""
    rng = random.Random(0)  # noqa: S311 - the same page for the same rows
    causes: dict[tuple[Fate, str], Drawn] = defaultdict(lambda: Drawn(samples, rng))
    passed = {step: Drawn(samples, rng) for step in _STEPS}
    order = list(_STEPS)
    total = connection.scalar(sa.select(sa.func.count()).where(schema.inspection.c.readable.is_(sa.true()))) or 0
    for done, (one, verdict) in enumerate(judged_regions(connection, settings), 1):
        sight = partial(_sighting, one, verdict.reason, settings)
        fate = _FATE_OF[verdict.verdict]
        outlined = partial(_sighting, one, verdict.reason, settings, masked=settings.segment.method != "off")
        causes[fate, verdict.cause].add(outlined if _STEP_OF[verdict.cause] == "segment" else sight)
        # What is kept passes all steps, whichever of them speaks for it.
        ending = len(order) if fate == "kept" else order.index(_STEP_OF[verdict.cause])
        for step in order[:ending]:
            passed[step].add(outlined if step == "segment" else sight)
        if progress is not None and done % 500 == 0:
            progress(done, max(total, done), "regions judged")
    for broken in unreadable_images(connection):
        part = Part(broken.sha256, None, broken.sha256[:12])
        causes["rejected", broken.cause].add(partial(Sighting, part, broken.reason))
    return dict(causes), passed


def _sighting(one: ChosenRegion, told: str, settings: Settings, *, masked: bool = False) -> Sighting:
    mask_of = one.region_id if masked else None
    return Sighting(Part(one.sha256, crop_of(one, settings), public_id(one.region_key), mask_of), told)


def _parts(curation: Curation) -> Iterable[Part]:
    for step in curation.steps:
        for drawn in (step.passed, *(group.drawn for group in step.groups)):
            yield from (sighting.part for sighting in drawn.sample)
        for one in step.distributions:
            for near in one.neighbours:
                for _, parts in (*near.below, *near.above):
                    yield from parts


def _promised(project: Project) -> str:
    """What the labels support of the precision that the filter is asked for."""
    try:
        found = filter_triage(project.settings, project.folder)
    except UserError as error:
        return f"No thresholds for the wanted precision: {error}."
    return f"{found.told}." if found else ""


def _thumbnails(project: Project, parts: Iterable[Part], progress: Progress | None) -> dict[Part, str]:
    """Render the pictures as data URLs; those that cannot be rendered are left out."""
    wanted = sorted(parts, key=lambda part: (part.sha256, part.name, part.mask_of or 0))
    masks = _read_masks(project, [part.mask_of for part in wanted if part.mask_of is not None])
    found: dict[Part, str] = {}

    def draw(part: Part) -> tuple[Part, str]:
        return _thumbnail(project, part, masks.get(part.mask_of or 0))

    pool = ThreadPoolExecutor(_THREADS)
    try:
        for done, (part, url) in enumerate(pool.map(draw, wanted), 1):
            if url:
                found[part] = url
            if progress is not None:
                progress(done, len(wanted), "pictures")
    finally:
        pool.shutdown(cancel_futures=True)
    return found


def _read_masks(project: Project, region_ids: Sequence[int]) -> Mapping[int, sa.Row[Any]]:
    column = schema.mask.c
    query = sa.select(column.region_id, column.width, column.height, column.counts)
    with reading(project.engine) as connection:
        found = rows_for(connection, lambda part: query.where(column.region_id.in_(part)), region_ids)
        return {row.region_id: row for row in found}


def _thumbnail(project: Project, part: Part, mask: sa.Row[Any] | None) -> tuple[Part, str]:
    whole = part.crop_xyxy is None and mask is None
    try:
        data = (project.thumbnails.get(part.sha256) if whole else None) or project.blobs.get(part.sha256)
        if mask is None:
            return part, jpeg_url(render_crop(data, part.crop_xyxy, _THUMBNAIL))
        return part, jpeg_url(
            render_crop(data, part.crop_xyxy, _MASKED, mask=decode_mask(mask.counts, (mask.width, mask.height)))
        )
    except (BlobMissing, BlobCorrupt, Unreadable, ValueError):
        return part, ""


def _histogram(one: Distribution) -> Markup:
    marks = [(mark.setting.split(".")[1], mark.value) for mark in one.measure.thresholds]
    centres = [(low + high) / 2 for low, high in pairwise(one.edges)]
    styles = [one.measure.fates[sum(centre >= value for _, value in marks)] for centre in centres]
    seen = [(name, value) for name, value in marks if one.edges[0] <= value <= one.edges[-1]]
    return histogram_figure(one.edges, one.counts, styles, seen, one.measure.name)


def _number(value: float) -> str:
    """A score as people read it."""
    return f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _step_json(step: Step) -> dict[str, Any]:
    return {
        "name": step.name,
        "entered": step.entered,
        **{fate: step.amount(fate) for fate in FATES},
        "causes": [{"cause": one.cause, "fate": one.fate, "count": one.drawn.count} for one in step.groups],
        "measures": [_measure_json(one) for one in step.distributions],
    }


def _measure_json(one: Distribution) -> dict[str, Any]:
    by_fate = Counter[str]()
    for fate, amount in zip(one.measure.fates, one.zones, strict=True):
        by_fate[fate] += amount
    return {
        "name": one.measure.name,
        "count": one.count,
        **{fate: by_fate[fate] for fate in FATES},
        "histogram": {"edges": [round(edge, 6) for edge in one.edges], "counts": list(one.counts)},
        "thresholds": [
            {
                "setting": near.threshold.setting,
                "value": near.threshold.value,
                "moved": [{"to": place, "above": amount, "change": change} for place, amount, change in near.moved],
            }
            for near in one.neighbours
        ],
    }
