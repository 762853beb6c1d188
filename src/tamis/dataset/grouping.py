"""Which samples a split must not part: those of one item or seller, and copies of one shot.

Only kept samples tie items together. A dealer's card that fifty listings show ties nothing, rejected or questionable:
it stands for no object, and goes where the first of its items goes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import sqlalchemy as sa

from tamis import schema
from tamis.config import SnapshotSettings
from tamis.dataset.candidates import Candidate
from tamis.dataset.claims import rows_for
from tamis.dataset.manifest import Split
from tamis.dataset.split import assign_splits, components

#: The split that joined groups go to when they were in several before: what was tested on is never trained on.
_PRECEDENCE: tuple[Split, ...] = ("test", "validation", "train")


def group_keys(
    connection: sa.Connection, candidates: Sequence[Candidate], group: Literal["item", "seller", "image"]
) -> dict[str, str]:
    """Return sample id -> key of its group: the least natural key of what the group ties together.

    Two kept samples are tied by an item (or seller) that shows the shots of both, by their image, and by a cluster of
    images or regions in which both are, even if copies are not rejected in this project.
    """
    sets: dict[tuple[str, object], list[str]] = defaultdict(list)
    for one in candidates:
        for tie in _ties(one, group):
            sets[tie].append(one.id)
    for level, ids in (
        ("image", {one.id: one.region.image_id for one in candidates}),
        ("region", {one.id: one.region.region_id for one in candidates}),
    ):
        keeper_of = _keepers(connection, level, ids.values())
        for sample, member in ids.items():
            if member in keeper_of:
                sets[f"{level} cluster", keeper_of[member]].append(sample)
    natural = {one.id: _natural_key(one, group) for one in candidates}
    connected = components(natural, sets.values())
    least: dict[int, str] = {id(members): min(natural[one] for one in members) for members in connected.values()}
    return {sample: least[id(members)] for sample, members in connected.items()}


def split_samples(
    groups: Mapping[str, str],
    labels: Mapping[str, Mapping[str, str]],
    settings: SnapshotSettings,
    stratify: str,
    previous: Mapping[str, Split],
) -> dict[str, Split]:
    """Return sample id -> split.

    Args:
        groups: sample id -> group key.
        labels: sample id -> attribute -> value.
        settings: shares and seed.
        stratify: attribute whose classes are spread evenly; empty: none. A group counts for its rarest class.
        previous: sample id -> split that it had in the snapshot before.
    """
    amounts = Counter(labels[sample][stratify] for sample in groups if stratify in labels[sample])
    strata: dict[str, str] = {}
    known: dict[str, Split] = {}
    for sample, key in sorted(groups.items()):
        value = labels[sample].get(stratify, "")
        if strata.get(key, "") == "" or (value and (amounts[value], value) < (amounts[strata[key]], strata[key])):
            strata[key] = value
        if sample in previous:
            known[key] = min(previous[sample], known.get(key, "train"), key=_PRECEDENCE.index)
    splits = assign_splits(
        strata, validation=settings.validation, test=settings.test, seed=settings.seed, previous=known
    )
    return {sample: splits[key] for sample, key in groups.items()}


def _ties(one: Candidate, group: str) -> Iterator[tuple[str, object]]:
    yield "image", one.region.image_id
    first = sorted(one.origins, key=lambda origin: origin.item_key)[:1]
    for origin in one.origins if one.verdict == "keep" else first:
        if group == "seller" and origin.seller:
            yield "seller", origin.seller
        elif group != "image":
            yield "item", origin.item_id


def _natural_key(one: Candidate, group: str) -> str:
    if group == "image" or not one.origins:
        return one.region.sha256
    origin = min(one.origins, key=lambda origin: origin.item_key)
    return f"seller {origin.seller}" if group == "seller" and origin.seller else origin.item_key


def _keepers(connection: sa.Connection, level: str, member_ids: Iterable[int]) -> dict[int, int]:
    cluster = schema.cluster.c
    query = sa.select(cluster.member_id, cluster.keeper_id).where(cluster.level == level)
    rows = rows_for(connection, lambda part: query.where(cluster.member_id.in_(part)), member_ids)
    return {row.member_id: row.keeper_id for row in rows}
