"""People's labels that no sample carries: they wait, visible, until someone looks.

A label rests on a region. When a newer detection replaced the region and nothing overlaps it enough to take the label
over, or when the settings choose another part of the picture, the label is kept and listed here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from tamis import schema
from tamis.config import Settings
from tamis.database import chunks
from tamis.dataset.claims import Claim, active_claims, read_claims, rows_for
from tamis.records import Box
from tamis.stages.policy import read_chosen


@dataclass(frozen=True, slots=True)
class WaitingLabel:
    """A claim of a person whose region is no sample.

    `why` is `superseded` (no new region took the label over) or `not chosen` (the region stands, and the settings
    choose another); the box is that of the region on which the label rests, in pixels of the upright image.
    """

    claim: Claim
    image_id: int
    sha256: str
    box_xyxy: Box
    why: Literal["superseded", "not chosen"]


def waiting_labels(connection: sa.Connection, settings: Settings) -> Iterator[WaitingLabel]:
    """Yield the waiting labels, by region, in the order in which they were made."""
    label = schema.label.c
    people = active_claims(label.who == "person", label.region_id.is_not(None)).subquery()
    spoken = sa.select(people.c.region_id).where(people.c.value.is_not(None)).distinct().order_by(people.c.region_id)
    for part in chunks(connection.scalars(spoken).all()):
        rows = _regions(connection, part)
        heirs = _heirs(connection, rows)
        chosen = {one.region_id for one in read_chosen(connection, settings, {row.image_id for row in rows.values()})}
        reasons: dict[int, Literal["superseded", "not chosen"]] = {}
        for region, heir in heirs.items():
            if heir.superseded_at is not None:
                reasons[region] = "superseded"
            elif heir.id not in chosen:
                reasons[region] = "not chosen"
        for claim in read_claims(connection, label.region_id, reasons):
            if claim.who == "person" and claim.value is not None and claim.region_id is not None:
                row = rows[claim.region_id]
                box = (row.x0, row.y0, row.x1, row.y1)
                yield WaitingLabel(claim, row.image_id, row.sha256, box, reasons[claim.region_id])


def _regions(connection: sa.Connection, region_ids: Iterable[int]) -> dict[int, Any]:
    region, image = schema.region, schema.image
    query = sa.select(region, image.c.sha256).join(image, image.c.id == region.c.image_id)
    return {row.id: row for row in rows_for(connection, lambda part: query.where(region.c.id.in_(part)), region_ids)}


def _heirs(connection: sa.Connection, rows: dict[int, Any]) -> dict[int, Any]:
    """Region id -> the row of the last region that took its labels over, itself if none did."""
    heirs = dict(rows)
    while moving := {region: row.superseded_by for region, row in heirs.items() if row.superseded_by is not None}:
        successors = _regions(connection, moving.values())
        heirs.update((region, successors[successor]) for region, successor in moving.items())
    return heirs
