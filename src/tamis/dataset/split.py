"""Splits that never part what belongs together, and that stay as they are when a project grows.

A group (an item, a seller, a cluster of copies, and whatever kept samples tie together) goes into one split as a
whole. Where it goes is a hash of its key: new groups move no old ones. Only where chance leaves a split of a class too
small or too large are groups moved, those nearest to the border first; and a split that was given before is kept.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import TypeVar

from tamis.dataset.manifest import Split
from tamis.errors import UserError

#: Strata with fewer groups are pooled: a share of a few groups is none.
SMALL_STRATUM = 5
#: A split may miss its share of a stratum by this part of it (or half a group) before groups are moved.
TOLERANCE = 0.1

Node = TypeVar("Node", bound=Hashable)


def components(nodes: Iterable[Node], sets: Iterable[Sequence[Node]]) -> dict[Node, list[Node]]:
    """Return node -> its connected component; members of one set are connected, nodes outside all sets stand alone.

    Union-find with path halving (Tarjan and van Leeuwen 1984): near-linear time.
    """
    parent: dict[Node, Node] = {node: node for node in nodes}

    def root(node: Node) -> Node:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for members in sets:
        for other in members[1:]:
            parent[root(other)] = root(members[0])
    groups: dict[Node, list[Node]] = defaultdict(list)
    for node in parent:
        groups[root(node)].append(node)
    return {node: groups[root(node)] for node in parent}


def position(key: str, seed: int) -> float:
    """Return where a group lies in [0, 1): uniform, and the same on every machine."""
    raw = blake2b(f"{seed}:{key}".encode(), digest_size=8).digest()
    return int.from_bytes(raw, "big") / 2**64


def assign_splits(
    strata: Mapping[str, str],
    *,
    validation: float,
    test: float,
    seed: int = 0,
    previous: Mapping[str, Split] | None = None,
) -> dict[str, Split]:
    """Return group key -> split.

    A group whose position is below `test` is for testing, below `test + validation` for validating, else for
    training. Within each stratum, and within all small strata together, the number of groups of a split is then
    brought to its share, give or take `TOLERANCE`, if groups that are not in `previous` can do that.

    Args:
        strata: group key -> class by which the splits are balanced.
        validation: share of the groups for validation.
        test: share of the groups for testing.
        seed: another seed gives other splits.
        previous: splits given before, which stay.

    Raises:
        UserError: the shares leave nothing to train on.
    """
    if validation + test >= 1:
        raise UserError(
            "snapshot.validation and snapshot.test leave nothing to train on: together they must be below 1"
        )
    known = previous or {}
    members: dict[str, list[str]] = defaultdict(list)
    for key, stratum in sorted(strata.items()):
        members[stratum].append(key)
    small = sorted(key for keys in members.values() if len(keys) < SMALL_STRATUM for key in keys)
    large = [keys for keys in members.values() if len(keys) >= SMALL_STRATUM]
    splits: dict[str, Split] = {}
    for keys in [small, *large]:
        places = {key: position(key, seed) for key in keys}
        given = {key: known.get(key) or _by_position(places[key], validation, test) for key in keys}
        movable = sorted((key for key in keys if key not in known), key=places.__getitem__)
        _balance(given, movable, {"test": test, "validation": validation})
        splits.update(given)
    return splits


def _by_position(place: float, validation: float, test: float) -> Split:
    return "test" if place < test else "validation" if place < test + validation else "train"


def _balance(given: dict[str, Split], movable: Sequence[str], shares: Mapping[Split, float]) -> None:
    """Move groups, in the order of their positions, until each share is met; `given` is changed in place."""
    bounds = {split: _bounds(share * len(given)) for split, share in shares.items()}
    for split, (_, most) in bounds.items():
        inside = [key for key in movable if given[key] == split]
        surplus = sum(1 for one in given.values() if one == split) - most
        for key in inside[len(inside) - max(0, min(surplus, len(inside))) :]:
            given[key] = "train"
    for split, (least, _) in bounds.items():
        lacking = least - sum(1 for one in given.values() if one == split)
        outside = [key for key in movable if given[key] == "train"]
        for key in outside[: max(0, lacking)]:
            given[key] = split


def _bounds(target: float) -> tuple[int, int]:
    slack = max(0.5, TOLERANCE * target)
    return math.ceil(target - slack), math.floor(target + slack)
