"""The scores of each step and the settings that decide over them."""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement

from tamis import schema
from tamis.config import DuplicatesSettings, Settings
from tamis.dataset.candidates import public_id
from tamis.dataset.claims import active_claims
from tamis.dataset.quality import LIMITS, Limit, score_columns
from tamis.report.scores import Measure, Threshold
from tamis.stages.policy import WHOLE
from tamis.vision.boxes import CropBox, expand
from tamis.vision.clusters import Clustering


@dataclass(frozen=True, slots=True)
class Part:
    """What is shown of an image: the whole (`crop_xyxy` None) or a crop of it, and a name that people can look up.

    `mask_of` is the region whose mask is shown on it: the ground outside of it is darkened.
    """

    sha256: str
    crop_xyxy: CropBox | None
    name: str
    mask_of: int | None = None


def measures(settings: Settings, promised: str = "") -> Mapping[str, list[Measure]]:
    """Return the measures of each step that has any; `promised` is what is said of the filter's thresholds."""
    return {
        "inspect": _of_inspection(settings),
        "duplicates": _of_pairs(settings.duplicates, "image", settings),
        "detect": _of_detections(settings),
        "regionduplicates": _of_pairs(settings.regionduplicates, "region", settings),
        "classify": _of_filter(settings, promised),
        "segment": _of_masks(settings),
    }


def _of_inspection(settings: Settings) -> list[Measure]:
    asked, facts, image = settings.inspect, schema.inspection.c, schema.image.c
    short = sa.case((facts.width > facts.height, facts.height), else_=facts.width)

    def rows(value: sa.ColumnElement[Any]) -> sa.Select[Any]:
        query = sa.select(value.label("value"), image.id.label("name"), image.sha256)
        return query.join(schema.image, image.id == facts.image_id).where(facts.readable.is_(sa.true()))

    def show(row: sa.Row[Any]) -> tuple[Part, ...]:
        return (Part(row.sha256, None, row.sha256[:12]),)

    def of(limit: Limit, score: sa.ColumnElement[Any]) -> Measure:
        value = limit.asked(asked)
        threshold = Threshold(f"inspect.{limit.setting}", value, limit.step, asks=value != limit.off)
        text = f"{limit.help} {limit.off:g} asks nothing."
        if limit.kind == "least":
            return Measure(limit.title, text, rows(score), (threshold,), ("doubted", "kept"), show)
        return Measure(limit.title, text, rows(score), (threshold,), ("kept", "doubted"), show, upper_holds=False)

    side = (Threshold("inspect.min_side", asked.min_side, 16),)
    return [
        Measure("Shorter side", "Shorter pictures are rejected; in pixels.", rows(short), side, ("rejected", "kept"),
                show),
        *(of(limit, score) for limit, score in zip(LIMITS, score_columns(), strict=True)),
    ]  # fmt: skip


def _of_pairs(asked: DuplicatesSettings, level: str, settings: Settings) -> list[Measure]:
    if not asked.enabled:
        return []
    relation = schema.relation.c
    kinds = Clustering(mirrored=asked.mirrored, rotated=asked.rotated).joined
    image, facts, region = schema.image.alias, schema.inspection.alias, schema.region.alias
    columns: list[Any] = [relation.score.label("value"), relation.first_id.label("name"), relation.second_id]
    query: Any = schema.relation
    for side, member in (("a", relation.first_id), ("b", relation.second_id)):
        its_image, its_facts, its_region = image(f"image_{side}"), facts(f"facts_{side}"), region(f"region_{side}")
        if level == "region":
            query = query.join(its_region, its_region.c.id == member)
            query = query.join(its_image, its_image.c.id == its_region.c.image_id)
            query = query.join(its_facts, its_facts.c.image_id == its_image.c.id)
            shown = [*(its_region.c[name] for name in ("region_key", "x0", "y0", "x1", "y1")), its_facts.c.width,
                     its_facts.c.height]  # fmt: skip
            columns += [column.label(f"{side}_{column.name}") for column in shown]
        else:
            query = query.join(its_image, its_image.c.id == member)
        columns.append(its_image.c.sha256.label(f"{side}_sha256"))
    rows = sa.select(*columns).select_from(query).where(relation.level == level, relation.kind.in_(sorted(kinds)))

    def show(row: sa.Row[Any]) -> tuple[Part, ...]:
        found = row._mapping
        if level == "image":
            return tuple(Part(found[f"{s}_sha256"], None, found[f"{s}_sha256"][:12]) for s in "ab")
        return tuple(_region_part({k[2:]: v for k, v in found.items() if k[:2] == f"{s}_"}, settings) for s in "ab")

    section = "duplicates" if level == "image" else "regionduplicates"
    return [
        Measure("Score of compared pairs", f"From the threshold on two are copies; the {asked.keeper} one stays.",
                rows, (Threshold(f"{section}.threshold", asked.threshold, 0.1),), ("kept", "rejected"), show)
    ]  # fmt: skip


def _of_detections(settings: Settings) -> list[Measure]:
    asked = settings.detect
    if asked.model == WHOLE:
        return []
    region, facts, image = schema.region.c, schema.inspection.c, schema.image.c
    width, height = region.x1 - region.x0, region.y1 - region.y0

    def rows(value: sa.ColumnElement[Any], *conditions: sa.ColumnElement[bool]) -> sa.Select[Any]:
        names = ("region_key", "x0", "y0", "x1", "y1")
        query = sa.select(
            value.label("value"), region.id.label("name"), image.sha256, facts.width, facts.height,
            *(region[name] for name in names),
        )  # fmt: skip
        query = query.join(schema.image, image.id == region.image_id)
        query = query.join(schema.inspection, facts.image_id == region.image_id)
        query = query.where(region.kind == "detected", region.superseded_at.is_(None), *conditions)
        return query.where(region.class_name.in_(asked.classes)) if asked.classes else query

    def show(row: sa.Row[Any]) -> tuple[Part, ...]:
        return (_region_part(row._mapping, settings),)

    sure = region.score >= asked.min_score
    return [
        Measure("Score of the detector", "Boxes below are not used; of the wanted classes.", rows(region.score),
                (Threshold("detect.min_score", asked.min_score, 0.1),), ("rejected", "kept"), show),
        Measure("Share of the picture", "Boxes that cover less are not used; of those with the score.",
                rows(width * height / (1.0 * facts.width * facts.height), sure),
                (Threshold("detect.min_share", asked.min_share, 0.02),), ("rejected", "kept"), show),
        Measure("Shorter side of the object", "Smaller objects are rejected; in pixels, of boxes with the score.",
                rows(sa.case((width < height, width), else_=height), sure),
                (Threshold("detect.min_side", asked.min_side, 16),), ("rejected", "kept"), show),
    ]  # fmt: skip


def _of_masks(settings: Settings) -> list[Measure]:
    asked = settings.segment
    if asked.method == "off":
        return []
    mask, region, facts, image = schema.mask.c, schema.region.c, schema.inspection.c, schema.image.c

    def rows(value: sa.ColumnElement[Any]) -> sa.Select[Any]:
        query = sa.select(
            value.label("value"), region.id.label("name"), image.sha256, facts.width, facts.height,
            *(region[name] for name in ("region_key", "x0", "y0", "x1", "y1")),
        ).select_from(schema.mask)  # fmt: skip
        query = query.join(schema.region, region.id == mask.region_id).join(schema.image, image.id == region.image_id)
        query = query.join(schema.inspection, facts.image_id == region.image_id)
        return query.where(region.superseded_at.is_(None))

    def show(row: sa.Row[Any]) -> tuple[Part, ...]:
        return (replace(_region_part(row._mapping, settings), mask_of=row.name),)

    return [
        Measure("Area of the mask",
                "Share of the object's box; masks that fill less are questionable. What a mask leaves out is tinted.",
                rows(mask.area).where(region.kind != "whole"),
                (Threshold("segment.min_area", asked.min_area, 0.1),), ("doubted", "kept"), show),
        Measure("Mask on the border", "Share of the picture's border; more is questionable, 1 asks nothing.",
                rows(mask.border), (Threshold("segment.max_border", asked.max_border, 0.1),), ("kept", "doubted"), show,
                upper_holds=False),
        Measure("Holes in the mask", "More of them are questionable.", rows(mask.holes),
                (Threshold("segment.max_holes", asked.max_holes, 1),), ("kept", "doubted"), show, upper_holds=False),
    ]  # fmt: skip


def _of_filter(settings: Settings, promised: str) -> list[Measure]:
    asked = settings.classify
    if not asked.attribute:
        return []
    table = schema.label.c
    about = [table.attribute == asked.attribute, table.who == "model", table.region_id.is_not(None)]
    if asked.model:
        about.append(table.actor == PurePosixPath(asked.model).name)
    claim = active_claims(*about).subquery("claim").c
    value = _wanted(claim, settings)
    region, facts, image = schema.region.c, schema.inspection.c, schema.image.c
    rows = (
        sa.select(
            value.label("value"), region.id.label("name"), image.sha256, facts.width, facts.height,
            claim.value.label("said"),
            *(region[name] for name in ("region_key", "x0", "y0", "x1", "y1")),
        )
        .join(schema.region, region.id == claim.region_id)
        .join(schema.image, image.id == region.image_id)
        .join(schema.inspection, facts.image_id == region.image_id)
        .where(region.superseded_at.is_(None), claim.value.is_not(None))
    )  # fmt: skip

    def show(row: sa.Row[Any]) -> tuple[Part, ...]:
        part = _region_part(row._mapping, settings)
        return (Part(part.sha256, part.crop_xyxy, f"{part.name}, {row.said}"),)

    text = f"Of the wanted classes together, as far as the model's answer tells. {promised}".rstrip()
    return [
        Measure(f"Probability that {asked.attribute} is wanted", text, rows,
                (Threshold("classify.reject_below", min(asked.reject_below, asked.keep_from), 0.1),
                 Threshold("classify.keep_from", asked.keep_from, 0.1)), ("rejected", "doubted", "kept"), show)
    ]  # fmt: skip


def _wanted(claim: Any, settings: Settings) -> sa.ColumnElement[Any]:
    """A number that both thresholds part as the verdicts do, also when they are moved, up to half-way to each other.

    Above half-way it is what the wanted classes have at least, which is asked for to keep; below, what they can have
    at most, which is asked for to reject; what is neither stands half-way.
    """
    asked = settings.classify
    if asked.keep:
        # Added in the order in which `wanted_bounds` adds them; a class that the model lacks adds nothing.
        parts = [sa.func.coalesce(_AsJson(claim.evidence)[name].as_float(), 0.0) for name in asked.keep]
        together = functools.reduce(operator.add, parts)
        return sa.case((claim.evidence.is_(None), _guessed(claim, settings)), else_=together)
    return _guessed(claim, settings)


class _AsJson(FunctionElement[Any]):
    """A text that is JSON; PostgreSQL has to be told so."""

    type = sa.JSON()
    inherit_cache = True


@compiles(_AsJson)
def _as_text(element: Any, compiler: Any, **options: Any) -> str:
    return str(compiler.process(element.clauses, **options))


@compiles(_AsJson, "postgresql")
def _as_cast(element: Any, compiler: Any, **options: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **options)} AS JSON)"


def _guessed(claim: Any, settings: Settings) -> sa.ColumnElement[Any]:
    """The same from the likeliest class and its probability alone."""
    asked = settings.classify
    classes = next((one.classes for one in settings.attributes if one.name == asked.attribute), ())
    half = min((asked.reject_below + asked.keep_from) / 2, asked.keep_from - 1e-9)
    left, together = 1 - claim.confidence, len(asked.keep) * claim.confidence
    most = sa.case((sa.and_(left < together, left < half), left), (together < half, together), else_=half)
    wanted = claim.value.in_(asked.keep)
    return sa.case(
        (sa.and_(wanted, claim.confidence > half), claim.confidence),
        (wanted, sa.case((together < half, together), else_=half)),
        else_=left if len(set(classes) - set(asked.keep)) == 1 else most,
    )


def _region_part(row: Mapping[Any, Any], settings: Settings) -> Part:
    box = (row["x0"], row["y0"], row["x1"], row["y1"])
    detect = settings.detect
    crop = expand(box, (row["width"], row["height"]), detect.margin, detect.crop_aspect)
    return Part(row["sha256"], crop, public_id(row["region_key"]))
