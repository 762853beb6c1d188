"""Pairs of copies for people: which are asked, what they show, what was said of them, and the rows that say it."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from tamis.annotate.claims import batch_of, ids_of_batch, is_taken_back, last_batch, lock_person
from tamis.annotate.messages_copies import PairsQuery, PairsView, PairView, SideView
from tamis.annotate.questions import first_items
from tamis.annotate.samples import image_url, picture_fields, regions_by_public_id
from tamis.config import DuplicatesSettings, Settings
from tamis.database import chunks
from tamis.records import Level
from tamis.schema import cluster, comparison, image, inspection, item, region, relation
from tamis.stages.comparisons import Pair, Said, majority, read_said, select_said, votes_on
from tamis.vision.clusters import CONFIRMED, Clustering


@dataclass(frozen=True, slots=True)
class _Related:
    """A pair with what the verification found; `kind` is `confirmed` where it never looked."""

    pair: Pair
    kind: str
    score: float


def section_of(settings: Settings, level: Level) -> DuplicatesSettings:
    """The settings that decide on the clusters of a level."""
    return settings.duplicates if level == "image" else settings.regionduplicates


def joinable(section: DuplicatesSettings, level: Level) -> frozenset[str]:
    """Kinds of relation that join under those settings, given the score."""
    return frozenset(Clustering(level, mirrored=section.mirrored, rotated=section.rotated).joined)


def read_pairs(connection: Connection, settings: Settings, person: str | None, query: PairsQuery) -> PairsView:
    """Return pairs to show to a person."""
    section = section_of(settings, query.level)
    said = read_said(connection.execute(select_said(query.level)))
    votes = votes_on(said)
    agreed = {pair for pair, cast in votes.items() if majority(cast) is not None}
    mine = {one.pair for one in said if one.actor == person}
    condition = sa.and_(relation.c.level == query.level, relation.c.kind.in_(joinable(section, query.level)))
    if query.level == "region":
        current = sa.select(region.c.id).where(region.c.superseded_at.is_(None))
        condition &= relation.c.first_id.in_(current) & relation.c.second_id.in_(current)
    count = sa.select(sa.func.count()).select_from(relation).where(condition)
    total: int = connection.execute(count).scalar_one()
    asked_before = _related(connection, query.level, agreed | mine).keys()
    if query.show == "judged":
        known = _related(connection, query.level, agreed)
        found = [known.get(pair, _Related(pair, CONFIRMED, 1.0)) for pair in agreed]
        shown = sorted(found, key=lambda one: (one.score, one.pair))[: query.count]
    else:
        left_out = agreed | mine if query.show == "open" else set()
        shown = _next_pairs(connection, condition, section.threshold, query, left_out)
    return PairsView(
        pairs=tuple(_views(connection, settings, query.level, shown, said)),
        threshold=section.threshold,
        remaining=max(0, total - len(asked_before)),
        judged=len(agreed),
    )


def _next_pairs(
    connection: Connection,
    condition: sa.ColumnElement[bool],
    threshold: float,
    query: PairsQuery,
    left_out: Collection[Pair],
) -> list[_Related]:
    column = relation.c
    order: sa.ColumnElement[Any] = sa.func.abs(column.score - threshold)
    if query.order == "spread":
        # The same mixture for everybody, whatever the database.
        order = (column.first_id * 7919 + column.second_id * 104729) % 999983
    statement = (
        sa.select(column.first_id, column.second_id, column.kind, column.score)
        .where(condition)
        .order_by(order, column.first_id, column.second_id)
        .limit(query.count + len(left_out))
    )
    found = [_Related((row[0], row[1]), row[2], row[3]) for row in connection.execute(statement)]
    return [one for one in found if one.pair not in left_out][: query.count]


def _related(connection: Connection, level: Level, pairs: Collection[Pair]) -> dict[Pair, _Related]:
    """What the verification found of those pairs; those that it never saw are left out."""
    wanted, column = set(pairs), relation.c
    found: dict[Pair, _Related] = {}
    for part in chunks(sorted({first for first, _ in wanted})):
        statement = sa.select(column.first_id, column.second_id, column.kind, column.score).where(
            column.level == level, column.first_id.in_(part)
        )
        for first, second, kind, score in connection.execute(statement):
            if (first, second) in wanted:
                found[first, second] = _Related((first, second), kind, score)
    return found


# --- what is shown ------------------------------------------------------------------------------------------------


def _views(
    connection: Connection, settings: Settings, level: Level, pairs: Sequence[_Related], said: Iterable[Said]
) -> list[PairView]:
    ids = sorted({one for related in pairs for one in related.pair})
    homes = _homes(connection, level, ids)
    sides = _sides(connection, settings, level, homes, ids)
    votes: dict[Pair, dict[str, bool]] = {}
    for one in said:
        if one.same is not None:
            votes.setdefault(one.pair, {})[one.actor] = one.same
    return [
        PairView(
            level=level,
            kind=related.kind,
            score=related.score,
            first=sides[related.pair[0]],
            second=sides[related.pair[1]],
            joined=homes.get(related.pair[0], -1) == homes.get(related.pair[1], -2),
            votes=votes.get(related.pair, {}),
            same=majority(list(votes.get(related.pair, {}).values())),
        )
        for related in pairs
        if related.pair[0] in sides and related.pair[1] in sides
    ]


def _sides(
    connection: Connection, settings: Settings, level: Level, homes: Mapping[int, int], ids: Sequence[int]
) -> dict[int, SideView]:
    """The pictures of some ids, given the keeper of each member of a cluster."""
    rows = _side_rows(connection, level, ids)
    item_of = first_items(connection, {row["image_id"] for row in rows})
    titles: dict[int, str] = {}
    for part in chunks(sorted(set(item_of.values()))):
        titles.update(
            (row[0], row[1])
            for row in connection.execute(sa.select(item.c.id, item.c.title).where(item.c.id.in_(part)))
        )
    found: dict[int, SideView] = {}
    for row in rows:
        size_wh = (row["width"], row["height"]) if row["width"] and row["height"] else None
        name, url = row["sha256"], image_url(row["sha256"])
        if level == "region":
            shown = picture_fields(settings, row)
            name, url, (x0, y0, x1, y1) = shown["id"], shown["crop_url"], shown["box"]
            size_wh = round(x1 - x0), round(y1 - y0)
        shown_by = item_of.get(row["image_id"])
        found[row["id"]] = SideView(
            id=name, picture_url=url, size_wh=size_wh, bytes=row["size"], item=shown_by,
            title=titles.get(shown_by) if shown_by is not None else None, keeper=homes.get(row["id"]) == row["id"],
        )  # fmt: skip
    return found


def _side_rows(connection: Connection, level: Level, ids: Sequence[int]) -> list[Mapping[str, Any]]:
    facts = (image.c.sha256, image.c.size, inspection.c.width, inspection.c.height)
    rows: list[Mapping[str, Any]] = []
    for part in chunks(ids):
        if level == "region":
            statement = sa.select(region, *facts).join(image, image.c.id == region.c.image_id)
            statement = statement.where(region.c.id.in_(part))
        else:
            statement = sa.select(image.c.id, image.c.id.label("image_id"), *facts).where(image.c.id.in_(part))
        statement = statement.outerjoin(inspection, inspection.c.image_id == image.c.id)
        rows += [dict(row) for row in connection.execute(statement).mappings()]
    return rows


def _homes(connection: Connection, level: Level, ids: Sequence[int]) -> dict[int, int]:
    """Member to the keeper of its cluster."""
    found: dict[int, int] = {}
    for part in chunks(ids):
        statement = sa.select(cluster.c.member_id, cluster.c.keeper_id).where(
            cluster.c.level == level, cluster.c.member_id.in_(part)
        )
        found.update((row[0], row[1]) for row in connection.execute(statement))
    return found


def sides_by_name(connection: Connection, level: Level, names: Sequence[str]) -> dict[str, int]:
    """Map SHA-256s of images, or public ids of samples, to numbers; unknown ones are left out."""
    if level == "region":
        return regions_by_public_id(connection, names)
    rows = connection.execute(sa.select(image.c.sha256, image.c.id).where(image.c.sha256.in_(names)))
    return {row[0]: row[1] for row in rows}


# --- what is said -------------------------------------------------------------------------------------------------


def record_comparison(
    connection: Connection, actor: str, key: str, level: Level, pair: Pair, same: bool | None
) -> list[int]:
    """Add what a person says of a pair and return the row's id; a step that is there already is returned as it is."""
    lock_person(connection, actor)
    batch = batch_of(actor, key)
    if known := ids_of_batch(connection, comparison, batch):
        return known
    row = {
        "level": level, "first_id": min(pair), "second_id": max(pair), "same": same, "actor": actor,
        "created_at": time.time(), "retracts": None, "batch": batch,
    }  # fmt: skip
    connection.execute(sa.insert(comparison), [row])
    return ids_of_batch(connection, comparison, batch)


def undo_comparison(
    connection: Connection, settings: Settings, actor: str, key: str, step: str | None = None
) -> list[PairView]:
    """Take back a step of the person, by its key or the last one; return the pairs that it was about.

    Undo is a step itself: sent again under the same `key` it takes back nothing more and returns the same pairs.
    """
    lock_person(connection, actor)
    own_batch, column = batch_of(actor, key), comparison.c
    earlier = list(connection.execute(sa.select(column.retracts).where(column.batch == own_batch)).scalars())
    if earlier:
        rows = connection.execute(sa.select(comparison).where(column.id.in_(earlier))).all()
    else:
        batch = last_batch(connection, comparison, actor) if step is None else batch_of(actor, step)
        in_force = sa.and_(column.retracts.is_(None), ~is_taken_back(comparison))
        rows = connection.execute(sa.select(comparison).where(column.batch == batch, in_force)).all()
        taken = [
            {
                "level": row.level, "first_id": row.first_id, "second_id": row.second_id, "same": None,
                "actor": actor, "created_at": time.time(), "retracts": row.id, "batch": own_batch,
            }
            for row in rows
        ]  # fmt: skip
        if taken:
            connection.execute(sa.insert(comparison), taken)
    views: list[PairView] = []
    for level in sorted({row.level for row in rows}):
        pairs = [(row.first_id, row.second_id) for row in rows if row.level == level]
        known = _related(connection, level, pairs)
        shown = [known.get(pair, _Related(pair, CONFIRMED, 1.0)) for pair in pairs]
        said = read_said(connection.execute(select_said(level)))
        views += _views(connection, settings, level, shown, said)
    return views
