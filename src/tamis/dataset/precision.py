"""How often each rule set and model was right where people looked too: what ranks machines among each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tamis import schema
from tamis.dataset.claims import active_claims, read_claims, rows_for
from tamis.labels import VERDICT, Who

#: Attribute, who, actor.
ActorKey = tuple[str, Who, str]
#: (thing, attribute) -> what people say it is, once for each of their claims.
_Truth = defaultdict[tuple[int, str], list[str]]


@dataclass(frozen=True, slots=True)
class Measured:
    """Claims of one actor on one attribute, compared with those of people about the same thing."""

    right: int = 0
    compared: int = 0

    @property
    def precision(self) -> float:
        """Share that was right with Laplace's rule of succession: 0.5 where nothing could be compared."""
        return (self.right + 1) / (self.compared + 2)


def measure_precision(connection: sa.Connection) -> Mapping[ActorKey, Measured]:
    """Return for each attribute and machine how its claims in force compare with those of people.

    A claim is compared with every person's claim about the same region (or the one that it superseded) or item; what
    people say of an item counts for the regions of its images, and what they say of a region for the items that show
    its image. What a model learned from proves nothing, so the training split of its snapshot is left out.
    """
    said = list(_said_by_people(connection))
    of_regions = [row for row in said if row.region_id is not None]
    of_items = [row for row in said if row.item_id is not None]
    about_regions, about_items = _Truth(list), _Truth(list)
    _learn(about_regions, of_regions, {row.region_id: {row.region_id} for row in of_regions}, "region_id")
    _learn(about_regions, of_regions, _heirs(connection, of_regions), "region_id")
    _learn(about_regions, of_items, _regions_of_items(connection, of_items), "item_id")
    _learn(about_items, of_items, {row.item_id: {row.item_id} for row in of_items}, "item_id")
    _learn(about_items, of_regions, _items_of_regions(connection, of_regions), "region_id")
    heard: dict[ActorKey, Measured] = {}
    _compare(connection, schema.label.c.region_id, about_regions, heard)
    _compare(connection, schema.label.c.item_id, about_items, heard)
    return heard


def _said_by_people(connection: sa.Connection) -> Iterator[Any]:
    """The claims of people that are in force and have a value; verdicts are no property of the thing."""
    label = schema.label.c
    claims = active_claims(label.who == "person", label.attribute != VERDICT).subquery()
    shown = (claims.c.region_id, claims.c.item_id, claims.c.attribute, claims.c.value)
    yield from connection.execute(sa.select(*shown).where(claims.c.value.is_not(None)))


def _learn(truth: _Truth, said: Iterable[Any], things: Mapping[int, Set[int]], subject: str) -> None:
    """Add what was said of a subject to all the things that it tells about."""
    for row in said:
        for thing in things.get(getattr(row, subject), ()):
            truth[thing, row.attribute].append(row.value)


def _heirs(connection: sa.Connection, said: Iterable[Any]) -> Mapping[int, Set[int]]:
    column = schema.region.c
    query = sa.select(column.id, column.superseded_by).where(column.superseded_at.is_not(None))
    return _pairs(connection, query, column.id, {row.region_id for row in said})


def _regions_of_items(connection: sa.Connection, said: Iterable[Any]) -> Mapping[int, Set[int]]:
    picture, region = schema.picture.c, schema.region.c
    query = sa.select(picture.item_id, region.id).join(schema.region, region.image_id == picture.image_id)
    return _pairs(connection, query, picture.item_id, {row.item_id for row in said})


def _items_of_regions(connection: sa.Connection, said: Iterable[Any]) -> Mapping[int, Set[int]]:
    picture, region = schema.picture.c, schema.region.c
    query = sa.select(region.id, picture.item_id).join(schema.picture, region.image_id == picture.image_id)
    return _pairs(connection, query, region.id, {row.region_id for row in said})


def _pairs(
    connection: sa.Connection, query: sa.Select[Any], key: sa.Column[int], ids: Set[int]
) -> Mapping[int, Set[int]]:
    found: dict[int, set[int]] = defaultdict(set)
    for row in rows_for(connection, lambda part: query.where(key.in_(part)), ids):
        first, second = row
        if second is not None:
            found[first].add(second)
    return found


def _compare(
    connection: sa.Connection, subject: sa.Column[int], truth: _Truth, heard: dict[ActorKey, Measured]
) -> None:
    things = {thing for thing, _ in truth}
    learned = _learned_from(connection, things) if subject.name == "region_id" else set()
    for claim in read_claims(connection, subject, things):
        thing = claim.region_id if claim.region_id is not None else claim.item_id
        assert thing is not None
        values = truth.get((thing, claim.attribute))
        if claim.who == "person" or claim.value is None or values is None or (claim.actor, thing) in learned:
            continue
        key: ActorKey = (claim.attribute, claim.who, claim.actor)
        known = heard.get(key, Measured())
        heard[key] = Measured(known.right + values.count(claim.value), known.compared + len(values))


def _learned_from(connection: sa.Connection, region_ids: Iterable[int]) -> set[tuple[str, int]]:
    """Pairs of a model's name and a region of the training split that it learned from."""
    sample, model = schema.sample.c, schema.model.c
    query = sa.select(model.name, sample.region_id).join(schema.model, model.snapshot_id == sample.snapshot_id)
    query = query.where(sample.split == "train")
    return {
        (row.name, row.region_id)
        for row in rows_for(connection, lambda part: query.where(sample.region_id.in_(part)), region_ids)
    }
