"""Which regions of an image become samples: decided from stored detections whenever it is asked, never stored.

Every inspected, readable image has a region of kind `whole`; a detector adds `detected` ones from its low floor, and
people may add `drawn` ones. Of the regions that no newer detection superseded, an image gives

1. those that people drew, if there are any;
2. else the whole of it, if the project uses no detector;
3. else the detected ones that pass `detect.classes`, `min_score` and `min_share` and show an object of their own, not
   one that a better-scored one of them shows too (`same_object`): all of them, or the one that `detect.choose` names;
4. else the whole of it, in doubt: no object was found.

Moving one of these settings therefore takes effect at once and runs no model again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import sqlalchemy as sa

from tamis import schema
from tamis.config import DetectSettings, Settings
from tamis.database import CHUNK, at_once, chunks
from tamis.engine.ledger import within
from tamis.records import PART_SHARE, Box, RegionKind

#: Why the whole of an image stands in for an object.
NO_OBJECT = "no object found"
#: The value of `detect.model` that uses no detector.
WHOLE = "whole"


@dataclass(frozen=True, slots=True)
class ChosenRegion:
    """A region that the settings choose, with what is needed to render and to judge it.

    `image_wh` is in pixels of the upright image, as is the box; `objects` counts the detections that pass the
    settings, chosen or not; `doubt` is empty or says why the region may be no sample.
    """

    region_id: int
    region_key: str
    image_id: int
    sha256: str
    image_wh: tuple[int, int]
    kind: RegionKind
    class_name: str
    score: float
    box_xyxy: Box
    objects: int
    doubt: str


def chosen_regions(settings: Settings, images: sa.ColumnElement[bool] | None = None) -> sa.Select[Any]:
    """Return the query of the chosen regions.

    Its columns are `region_id`, `region_key`, `image_id`, `sha256`, `width`, `height`, `kind`, `class_name`, `score`,
    `x0`, `y0`, `x1`, `y1`, `objects` and `doubt`, as in `ChosenRegion`.

    Args:
        settings: the project's settings; `detect` decides.
        images: condition on `schema.region.c.image_id` that names the images. Give it here and not around the query:
            SQLite would rank the regions of all images before it looks at a condition outside.
    """
    ranked = _ranked(settings.detect, images)
    column = ranked.c
    nothing_drawn = column.drawn == 0
    wholly = sa.and_(nothing_drawn, column.kind == "whole")
    drawn = column.kind == "drawn"
    doubt: sa.ColumnElement[str]
    if settings.detect.model == WHOLE:
        chosen, doubt = sa.or_(drawn, wholly), sa.literal("")
    else:
        found = sa.and_(nothing_drawn, column.passes == 1)
        if settings.detect.choose != "all":
            found = sa.and_(found, column.place == 1)
        chosen = sa.or_(drawn, found, sa.and_(wholly, column.objects == 0))
        doubt = sa.case((column.kind == "whole", sa.literal(NO_OBJECT)), else_=sa.literal(""))
    hidden = {"passes", "drawn", "place"}
    shown = [one for one in column if one.name not in hidden]
    return sa.select(*shown, doubt.label("doubt")).where(chosen)


def _ranked(detect: DetectSettings, images: sa.ColumnElement[bool] | None) -> sa.Subquery:
    """Every region that counts, with the number of drawn and passing ones of its image and its place among its like."""
    region = schema.region.c
    image = schema.image.c
    inspection = schema.inspection.c
    width, height = region.x1 - region.x0, region.y1 - region.y0
    passing = [*_passing(detect, region), *_own_object(detect)]
    conditions: list[sa.ColumnElement[bool]] = [region.superseded_at.is_(None), inspection.readable.is_(sa.true())]
    if images is not None:
        conditions.append(images)
    right, down = region.x0 + region.x1 - inspection.width, region.y0 + region.y1 - inspection.height
    rows = (
        sa.select(
            region.id.label("region_id"), region.region_key, region.image_id, image.sha256, inspection.width,
            inspection.height, region.kind, region.class_name, region.score, region.x0, region.y0, region.x1,
            region.y1, sa.case((sa.and_(*passing), 1), else_=0).label("passes"), (width * height).label("area"),
            (right * right + down * down).label("distance"),
        )
        .join(schema.image, image.id == region.image_id)
        .join(schema.inspection, inspection.image_id == region.image_id)
        .where(*conditions)
        .subquery("candidates")
    )  # fmt: skip
    one = rows.c
    order = {
        "largest": (one.area.desc(), one.score.desc(), one.region_key),
        "central": (one.distance, one.area.desc(), one.score.desc(), one.region_key),
        "best": (one.score.desc(), one.area.desc(), one.region_key),
        "all": (one.region_key,),
    }[detect.choose]
    is_drawn = sa.case((one.kind == "drawn", 1), else_=0)
    shown = [column for column in one if column.name not in ("area", "distance")]
    return sa.select(
        *shown,
        sa.func.sum(is_drawn).over(partition_by=one.image_id).label("drawn"),
        sa.func.sum(one.passes).over(partition_by=one.image_id).label("objects"),
        sa.func.row_number().over(partition_by=(one.image_id, one.passes), order_by=order).label("place"),
    ).subquery("ranked")


def _passing(detect: DetectSettings, region: Any, inspection: Any = schema.inspection.c) -> list[Any]:
    """What a detection has to meet by itself."""
    share = (region.x1 - region.x0) * (region.y1 - region.y0) >= detect.min_share * inspection.width * inspection.height
    passing = [region.kind == "detected", region.score >= detect.min_score, share]
    return [*passing, region.class_name.in_(detect.classes)] if detect.classes else passing


def _own_object(detect: DetectSettings) -> list[sa.ColumnElement[bool]]:
    """That no better passing detection of the image shows the same object; as `tamis.vision.boxes.distinct`."""
    if detect.same_object > 1:
        return []
    other, one = schema.region.alias("other"), schema.region.c
    rival = other.c

    def least(first: Any, second: Any) -> Any:
        return sa.case((first < second, first), else_=second)

    def most(first: Any, second: Any) -> Any:
        return sa.case((first > second, first), else_=second)

    wide = least(one.x1, rival.x1) - most(one.x0, rival.x0)
    high = least(one.y1, rival.y1) - most(one.y0, rival.y0)
    own, others = ((c.x1 - c.x0) * (c.y1 - c.y0) for c in (one, rival))
    overlap = wide * high >= detect.same_object * (own + others - wide * high)
    inside = sa.and_(one.class_name == rival.class_name, wide * high >= PART_SHARE * own)
    better = sa.or_(rival.score > one.score, sa.and_(rival.score == one.score, rival.region_key < one.region_key))
    same = sa.and_(
        rival.image_id == one.image_id, rival.superseded_at.is_(None), *_passing(detect, rival), better, wide > 0,
        high > 0, sa.or_(overlap, inside),
    )  # fmt: skip
    return [
        ~sa.exists(sa.select(sa.literal(1)).select_from(other).where(same).correlate(schema.region, schema.inspection))
    ]


def images_undone(settings: Settings, stage: str, fingerprint: str, *, certain: bool = False) -> sa.Select[Any]:
    """Return the query of images in whose regions a stage may have something to do; losers of a cluster are left out.

    An image is left out only if the stage is done, under that fingerprint, with every region that may be chosen: all
    drawn ones and all detections that pass by themselves, be they chosen or not, or the whole where there are none.
    With `certain`, a whole in doubt is nothing to do.
    """
    detect, uses_detector = settings.detect, settings.detect.model != WHOLE
    image, may_be_chosen = schema.inspection.alias("facts"), schema.region.alias("may_be_chosen")
    facts, region = image.c, may_be_chosen.c
    kinds = [region.kind == "drawn", *([sa.and_(*_passing(detect, region, facts))] if uses_detector else [])]
    theirs = sa.and_(
        region.image_id == facts.image_id, within(region.image_id), region.superseded_at.is_(None), sa.or_(*kinds)
    )
    only_drawn_or_passing = certain and uses_detector
    source = image.join(may_be_chosen, theirs, isouter=not only_drawn_or_passing)
    due = region.id if only_drawn_or_passing else sa.func.coalesce(region.id, _whole_of(facts.image_id))
    readable = sa.and_(facts.readable.is_(sa.true()), within(facts.image_id))
    query = sa.select(facts.image_id).select_from(source).where(readable, due.not_in(_done_within(stage, fingerprint)))
    return query.where(~is_loser(facts.image_id)) if settings.duplicates.enabled else query


def _whole_of(image_id: sa.ColumnElement[int]) -> sa.ScalarSelect[Any]:
    region = schema.region.alias("whole").c
    mine = sa.and_(region.image_id == image_id, region.superseded_at.is_(None), region.kind == "whole")
    # There is one. The sum keeps PostgreSQL from walking along the primary key in search of the extreme.
    return sa.select(sa.func.max(region.id + 0)).where(mine).scalar_subquery()


def _done_within(stage: str, fingerprint: str) -> sa.Select[Any]:
    """The regions that a stage is done with, between the smallest and the largest id of the images'."""
    entry, region = schema.ledger.c, schema.region.c
    first, last = (extreme(region.id + 0) for extreme in (sa.func.min, sa.func.max))
    ends = at_once(sa.select(first.label("first"), last.label("last")).where(within(region.image_id)), "ends")
    done = sa.and_(entry.stage == stage, entry.fingerprint == fingerprint, entry.input_digest == "")
    between = entry.subject_id.between(ends.c.first, ends.c.last)
    return sa.select(entry.subject_id).select_from(ends).join(schema.ledger, between).where(done)


def is_loser(image_id: sa.ColumnElement[int]) -> sa.Exists:
    """Whether a better copy stands for an image."""
    loser = schema.cluster.alias("loser").c
    mine = sa.and_(loser.member_id == image_id, within(loser.member_id))
    return sa.exists().where(loser.level == "image", mine, loser.keeper_id != image_id)


def read_chosen(
    connection: sa.Connection, settings: Settings, image_ids: Iterable[int] | None = None
) -> Iterator[ChosenRegion]:
    """Yield the chosen regions of those images, or of all, image by image, in parts that fit into memory."""
    parts = image_id_parts(connection) if image_ids is None else chunks(sorted(set(image_ids)))
    for part in parts:
        query = chosen_regions(settings, schema.region.c.image_id.in_(part)).subquery()
        for row in connection.execute(sa.select(query).order_by(query.c.image_id, query.c.region_key)):
            yield chosen_from_row(row)


def image_id_parts(connection: sa.Connection, size: int = CHUNK) -> Iterator[list[int]]:
    """Yield the ids of all readable images in ascending order, at most `size` at once."""
    column = schema.inspection.c.image_id
    query = sa.select(column).where(schema.inspection.c.readable.is_(sa.true())).order_by(column).limit(size)
    part = list(connection.scalars(query))
    while part:
        yield part
        part = list(connection.scalars(query.where(column > part[-1])))


def chosen_from_row(row: sa.Row[Any]) -> ChosenRegion:
    """Turn a row of the query into its record."""
    return ChosenRegion(
        region_id=row.region_id,
        region_key=row.region_key,
        image_id=row.image_id,
        sha256=row.sha256,
        image_wh=(row.width, row.height),
        kind=cast(RegionKind, row.kind),
        class_name=row.class_name,
        score=row.score,
        box_xyxy=(row.x0, row.y0, row.x1, row.y1),
        objects=int(row.objects),
        doubt=row.doubt,
    )
