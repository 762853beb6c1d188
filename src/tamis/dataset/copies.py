"""What shows the same shot: which image or region of a cluster stays, and whose labels count for whom.

A cluster's keeper was stored when the cluster was made. It gives way to a copy that people labelled, and a region
that is no longer chosen can be nobody's keeper, so that moving a setting never leaves a cluster without a sample.

An attribute whose classes name sides is heard only from copies that are known to keep the sides: a label of a mirrored
copy would say left for right, and of a copy that people joined nobody knows whether it is mirrored.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa

from tamis import schema
from tamis.config import Settings
from tamis.dataset.claims import read_claims, rows_for
from tamis.labels import VERDICT
from tamis.records import Level
from tamis.stages.policy import ChosenRegion, read_chosen
from tamis.vision import boxes
from tamis.vision.clusters import CONFIRMED, MIRRORED

#: Overlap, relative to the pictures' sizes, from which regions of two copies are the same part of the shot.
SAME_PART_IOU = 0.5


@dataclass(frozen=True, slots=True)
class Copy:
    """What a loser of a cluster is to the one that stays; `kind` is the relation as in the cluster table."""

    keeper_id: int
    kind: str
    score: float


@dataclass(frozen=True, slots=True)
class Shots:
    """The shots behind some regions; every mapping has the regions asked for, `*_copies` losers alone.

    `own` are a region and those that it superseded; `kin` are the own ones of all regions that show the same part of
    the same shot; `images` are the copies of its image, itself included. `alike_kin` and `alike_images` are those of
    them that are known not to mirror the region; attributes in `sided`, whose classes name sides, are heard from
    these alone.
    """

    image_copies: Mapping[int, Copy]
    region_copies: Mapping[int, Copy]
    own: Mapping[int, Set[int]]
    kin: Mapping[int, Set[int]]
    images: Mapping[int, Set[int]]
    alike_kin: Mapping[int, Set[int]]
    alike_images: Mapping[int, Set[int]]
    sided: frozenset[str]

    def kin_for(self, region: int, attribute: str) -> Set[int]:
        """The regions whose claims on an attribute count for a region."""
        return (self.alike_kin if attribute in self.sided else self.kin)[region]

    def images_for(self, region: int, attribute: str) -> Set[int]:
        """The images by way of which the claims of items on an attribute count for a region."""
        return (self.alike_images if attribute in self.sided else self.images)[region]


@dataclass(frozen=True, slots=True)
class _Cluster:
    keeper_id: int
    members: Mapping[int, Copy]


def shots_of(connection: sa.Connection, settings: Settings, chosen: Sequence[ChosenRegion]) -> Shots:
    """Return the shots of chosen regions. All chosen regions of an image must come together.

    Clusters of a level whose duplicates are not `enabled` are left out of account.
    """
    region_clusters = _clusters(connection, "region", [one.region_id for one in chosen], settings)
    mates = {member for cluster in region_clusters.values() for member in cluster.members}
    mate_images = set(_images_of(connection, mates - {one.region_id for one in chosen}))
    image_clusters = _clusters(connection, "image", {one.image_id for one in chosen} | mate_images, settings)
    copies = {member for cluster in image_clusters.values() for member in cluster.members}
    by_image: dict[int, list[ChosenRegion]] = defaultdict(list)
    for one in chosen:
        by_image[one.image_id].append(one)
    missing = (copies | mate_images) - by_image.keys()
    for one in read_chosen(connection, settings, missing) if missing else ():
        by_image[one.image_id].append(one)
    known = {one.region_id: one for group in by_image.values() for one in group}
    own = predecessors(connection, known.keys() | mates)
    image_copies = dict(_image_losers(image_clusters, _labelled_images(connection, image_clusters)))
    standing = {one.region_id for one in known.values() if one.image_id not in image_copies}
    kin: dict[int, Set[int]] = {}
    alike_kin: dict[int, Set[int]] = {}
    for one in chosen:
        parts = list(_same_part(one.region_id, known, by_image, image_clusters, region_clusters))
        mirrored = {other for other, turned in parts if turned}
        kin[one.region_id] = frozenset().union(*(own[other] for other, _ in parts))
        alike = (own[other] for other, turned in parts if turned is False and other not in mirrored)
        alike_kin[one.region_id] = frozenset().union(*alike)
    return Shots(
        image_copies=image_copies,
        region_copies=dict(_region_losers(region_clusters, standing, _labelled_regions(connection, mates, own))),
        own={one.region_id: own[one.region_id] for one in chosen},
        kin=kin,
        images={one.region_id: _members(image_clusters, one.image_id) for one in chosen},
        alike_kin=alike_kin,
        alike_images={
            one.region_id: frozenset(
                other
                for other in _members(image_clusters, one.image_id)
                if _mirrors(image_clusters, one.image_id, other) is False
            )
            for one in chosen
        },
        sided=frozenset(attribute.name for attribute in settings.attributes if attribute.names_sides),
    )


def predecessors(connection: sa.Connection, region_ids: Iterable[int]) -> dict[int, Set[int]]:
    """Return for each region itself and all those whose labels it took over, in however many steps."""
    newest = {region: region for region in region_ids}
    column = schema.region.c
    frontier = set(newest)
    while frontier:
        found = list(
            rows_for(
                connection,
                lambda part: sa.select(column.id, column.superseded_by).where(column.superseded_by.in_(part)),
                frontier,
            )
        )
        frontier = {row.id for row in found} - newest.keys()
        newest.update((row.id, newest[row.superseded_by]) for row in found if row.id in frontier)
    groups: dict[int, set[int]] = {region: {region} for region in newest}
    for region, heir in newest.items():
        groups[heir].add(region)
    return {region: frozenset(group) for region, group in groups.items()}


def correspond(
    first: Sequence[ChosenRegion], second: Sequence[ChosenRegion], *, mirrored: bool = False
) -> list[tuple[int, int]]:
    """Pair the regions of two copies that show the same part: (region id in the first, region id in the second).

    One region each are a pair wherever they lie, since a copy may be a crop. Several are matched one to one by the
    overlap of their boxes in units of the pictures' sides; `mirrored` says that one picture mirrors the other.
    """
    if len(first) == len(second) == 1:
        return [(first[0].region_id, second[0].region_id)]
    ours, theirs = _relative(first), _relative(second)
    if mirrored:
        theirs = np.stack([1 - theirs[:, 2], theirs[:, 1], 1 - theirs[:, 0], theirs[:, 3]], axis=1)
    pairs = boxes.match(ours, theirs, SAME_PART_IOU)
    return [(first[one].region_id, second[other].region_id) for one, other in pairs]


def _relative(regions: Sequence[ChosenRegion]) -> boxes.Floats:
    sizes = np.array([one.image_wh * 2 for one in regions], np.float32).reshape(-1, 4)
    return boxes.as_boxes(boxes.as_boxes([one.box_xyxy for one in regions]) / sizes)


def _same_part(
    region: int,
    known: Mapping[int, ChosenRegion],
    by_image: Mapping[int, Sequence[ChosenRegion]],
    image_clusters: Mapping[int, _Cluster],
    region_clusters: Mapping[int, _Cluster],
) -> Iterator[tuple[int, bool | None]]:
    """The region, the members of its cluster, and the counterparts of each in the copies of its image.

    Each comes with whether it mirrors the region, as far as that is known.
    """
    for mate in _members(region_clusters, region):
        mate_mirrors = _mirrors(region_clusters, region, mate)
        yield mate, mate_mirrors
        one = known.get(mate)
        cluster = image_clusters.get(one.image_id) if one else None
        if one is None or cluster is None:
            continue
        for other in cluster.members.keys() - {one.image_id}:
            turned = _mirrors(image_clusters, one.image_id, other)
            pairs = correspond(by_image[one.image_id], by_image.get(other, ()), mirrored=turned is True)
            mirrors = None if turned is None or mate_mirrors is None else turned != mate_mirrors
            yield from ((counterpart, mirrors) for ours, counterpart in pairs if ours == mate)


def _mirrors(clusters: Mapping[int, _Cluster], first: int, second: int) -> bool | None:
    """Whether two members of a cluster mirror each other; None where people joined one of them."""
    if first == second:
        return False
    kinds = [clusters[first].members[one].kind for one in (first, second)]
    return None if CONFIRMED in kinds else (kinds[0] == MIRRORED) != (kinds[1] == MIRRORED)


def _members(clusters: Mapping[int, _Cluster], member: int) -> frozenset[int]:
    cluster = clusters.get(member)
    return frozenset(cluster.members) if cluster else frozenset({member})


def _clusters(connection: sa.Connection, level: Level, ids: Iterable[int], settings: Settings) -> dict[int, _Cluster]:
    """Member to cluster, for the clusters in which those ids are."""
    section = settings.duplicates if level == "image" else settings.regionduplicates
    if not section.enabled:
        return {}
    cluster = schema.cluster.c
    at_level = cluster.level == level
    keepers = {
        row.keeper_id
        for row in rows_for(
            connection, lambda part: sa.select(cluster.keeper_id).where(at_level, cluster.member_id.in_(part)), ids
        )
    }
    members: dict[int, dict[int, Copy]] = defaultdict(dict)
    for row in rows_for(
        connection, lambda part: sa.select(schema.cluster).where(at_level, cluster.keeper_id.in_(part)), keepers
    ):
        members[row.keeper_id][row.member_id] = Copy(row.keeper_id, row.kind, row.score)
    made = [_Cluster(keeper, group) for keeper, group in members.items()]
    return {member: one for one in made for member in one.members}


def _images_of(connection: sa.Connection, region_ids: Iterable[int]) -> Iterator[int]:
    column = schema.region.c
    for row in rows_for(connection, lambda part: sa.select(column.image_id).where(column.id.in_(part)), region_ids):
        yield row.image_id


def _labelled_images(connection: sa.Connection, image_ids: Iterable[int]) -> set[int]:
    column = schema.region.c
    image_of = {
        row.id: row.image_id
        for row in rows_for(
            connection, lambda part: sa.select(column.id, column.image_id).where(column.image_id.in_(part)), image_ids
        )
    }
    return {image_of[region] for region in _named_by_people(connection, image_of)}


def _labelled_regions(connection: sa.Connection, region_ids: Iterable[int], own: Mapping[int, Set[int]]) -> set[int]:
    heirs = {old: region for region in region_ids for old in own[region]}
    return {heirs[region] for region in _named_by_people(connection, heirs)}


def _named_by_people(connection: sa.Connection, region_ids: Iterable[int]) -> Iterator[int]:
    """The regions of which people said what they are; a verdict alone names no keeper."""
    for claim in read_claims(connection, schema.label.c.region_id, region_ids):
        if claim.who == "person" and claim.value is not None and claim.attribute != VERDICT:
            assert claim.region_id is not None
            yield claim.region_id


def _image_losers(clusters: Mapping[int, _Cluster], labelled: Set[int]) -> Iterator[tuple[int, Copy]]:
    for member, cluster in clusters.items():
        yield from _lost(member, cluster, cluster.members.keys(), labelled)


def _region_losers(
    clusters: Mapping[int, _Cluster], standing: Set[int], labelled: Set[int]
) -> Iterator[tuple[int, Copy]]:
    for member, cluster in clusters.items():
        yield from _lost(member, cluster, standing & cluster.members.keys(), labelled)


def _lost(member: int, cluster: _Cluster, candidates: Set[int], labelled: Set[int]) -> Iterator[tuple[int, Copy]]:
    """What `member` is to the keeper, unless it is the keeper: labelled before stored before first seen."""
    order = sorted(candidates, key=lambda one: (one not in labelled, one != cluster.keeper_id, one))
    if order and order[0] != member and member in candidates:
        keeper = order[0]
        relation = cluster.members[keeper if member == cluster.keeper_id else member]
        yield member, Copy(keeper, relation.kind, relation.score)
