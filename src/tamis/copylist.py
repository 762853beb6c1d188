"""The clusters of a project as people read them: what is kept, by which policy, and what the losers are to it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TypedDict

import sqlalchemy as sa

from tamis import schema
from tamis.database import reading
from tamis.project import Project
from tamis.records import Level


class Kept(TypedDict):
    """A picture: its id (of the image or region), the SHA-256 of its bytes, and where it came from, if known."""

    id: int
    sha256: str
    url: str | None


class Loser(Kept):
    """A copy, and what it is to the picture kept."""

    relation: str
    score: float


class ListedCluster(TypedDict):
    """Pictures of one shot."""

    keep: Kept
    members: list[Loser]


class Listing(TypedDict):
    """The policy that chose the keepers, the number of clusters and of losers in all, and the clusters asked for."""

    level: str
    policy: str
    threshold: float
    clusters_in_all: int
    losers_in_all: int
    clusters: list[ListedCluster]


def list_clusters(project: Project, level: Level, limit: int, offset: int = 0) -> Listing:
    """Return clusters by the id of their keeper, `limit` of them after the first `offset`."""
    settings = project.settings.duplicates if level == "image" else project.settings.regionduplicates
    table = schema.cluster.c
    own = table.level == level
    keepers = sa.select(table.keeper_id).where(own, table.member_id == table.keeper_id)
    with reading(project.engine) as connection:
        members = connection.execute(sa.select(sa.func.count()).where(own)).scalar_one()
        count = connection.execute(sa.select(sa.func.count()).select_from(keepers.subquery())).scalar_one()
        page = connection.execute(keepers.order_by(table.keeper_id).limit(limit).offset(offset)).scalars().all()
        rows = connection.execute(_members(level, page)).all()
    clusters: list[ListedCluster] = []
    for _, group in groupby(rows, key=lambda row: row.keeper_id):
        shown = list(group)
        keep = next(row for row in shown if row.member_id == row.keeper_id)
        losers = [Loser(**_kept(row), relation=row.kind, score=round(row.score, 4)) for row in shown if row is not keep]
        clusters.append({"keep": _kept(keep), "members": losers})
    return {
        "level": level,
        "policy": settings.keeper,
        "threshold": settings.threshold,
        "clusters_in_all": count,
        "losers_in_all": members - count,
        "clusters": clusters,
    }


def _members(level: Level, keepers: Sequence[int]) -> sa.Select[tuple[int, int, str, float, str, str | None]]:
    table, image, region, picture = schema.cluster.c, schema.image.c, schema.region.c, schema.picture.c
    url = (
        sa.select(picture.url)
        .where(picture.image_id == image.id)
        .order_by(picture.id)
        .limit(1)
        .correlate(schema.image)
        .scalar_subquery()
    )
    statement = sa.select(
        table.keeper_id, table.member_id, table.kind, table.score, image.sha256, url.label("url")
    ).select_from(
        schema.cluster.join(schema.image, image.id == table.member_id)
        if level == "image"
        else schema.cluster.join(schema.region, region.id == table.member_id).join(
            schema.image, image.id == region.image_id
        )
    )
    chosen = statement.where(table.level == level, table.keeper_id.in_(keepers))
    return chosen.order_by(table.keeper_id, table.score.desc(), table.member_id)


def _kept(row: sa.Row[tuple[int, int, str, float, str, str | None]]) -> Kept:
    return {"id": row.member_id, "sha256": row.sha256, "url": row.url}
