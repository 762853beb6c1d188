"""Clusters of copies around keepers, from verified relations, people's verdicts and a policy.

No chain of look-alikes can grow: relations chain only where they are strong, and a weaker one reaches the keeper's own
strong group or nothing. Whether it does is for all pairs to say that were compared across the two groups: the poorest
copies of two look-alikes resemble each other, the better ones do not.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tamis.records import ClusterMember, KeeperPolicy, Level, Relation, RelationKind
from tamis.vision.keepers import Facts, Ranking

Pair = tuple[int, int]

#: Members from which a group is not joined to another for a single one that is its mirrored picture.
_FEW = 3

#: Bound on the log-odds by which one pair speaks for or against a cluster: about those of the least score that is kept.
_MOST_ODDS = 4.6
#: Log-odds of two groups below which no tie between them counts: poor copies of one picture often fail as well.
_LEAST_ODDS = -3.0

#: Kinds that are copies in every setting.
_ALWAYS_JOINED: frozenset[RelationKind] = frozenset({"same_pixels", "recompressed", "edited"})
#: Kind of a member that a person put there.
CONFIRMED = "confirmed"
KEEPER = "keeper"
MIRRORED = "mirrored"
SAME_SCENE = "same_scene"
#: Kinds by how far they depart from the keeper, as long as they keep its sides.
_DEPARTURES = ("same_pixels", "recompressed", "edited", "rotated")


@dataclass(frozen=True, slots=True)
class Clustering:
    """How relations become clusters.

    Attributes:
        level: what the ids count.
        threshold: least score of a relation that joins.
        strong: least score of a relation that may also chain, from copy to copy of a copy; look-alikes seldom reach it.
        mirrored: mirrored copies join.
        rotated: copies turned by quarter turns join.
        keeper: which member stays: the largest (a frame adds nothing), the sharpest, the cleanest (with the fewest
            marks: least lettering, least frame), or the first by id; among equals the one to which least was done.
    """

    level: Level = "image"
    threshold: float = 0.5
    strong: float = 0.95
    mirrored: bool = True
    rotated: bool = False
    keeper: KeeperPolicy = "largest"

    @property
    def joined(self) -> frozenset[RelationKind]:
        """Kinds of relation that join."""
        optional: set[RelationKind] = set()
        if self.mirrored:
            optional.add("mirrored")
        if self.rotated:
            optional.add("rotated")
        return _ALWAYS_JOINED | optional

    def joins(self, relation: Relation) -> bool:
        """Tell whether a relation puts its two into one cluster, unless something keeps them apart."""
        return relation.kind in self.joined and relation.score >= self.threshold and relation.level == self.level


@dataclass(frozen=True, slots=True)
class _Edge:
    kind: str
    score: float
    #: A person said so.
    said: bool = False


def cluster(
    relations: Iterable[Relation],
    clustering: Clustering,
    *,
    facts: Mapping[int, Facts],
    protected: Collection[int] = frozenset(),
    verdicts: Mapping[Pair, bool] | None = None,
) -> list[ClusterMember]:
    """Return the members of all clusters, keepers included, sorted by keeper and id; who stands alone is left out.

    `facts` may leave ids out, which then count as smallest. `protected` are those with labels by people: each cluster
    with any of them keeps one of them. `verdicts` tells of pairs (smaller id first) that a person called the same
    (True) or not the same (False): the former join whatever their scores, the latter never share a cluster.
    """
    said, relations = verdicts or {}, list(relations)
    apart = _Apart(pair for pair, same in said.items() if not same)
    edges = _edges(relations, clustering, said)
    everyone = {identity for pair in edges for identity in pair}
    neighbours = _neighbours(edges)
    ranking = Ranking(clustering.keeper, facts, frozenset(protected), neighbours)
    groups, sides = _strong_groups(edges, everyone, clustering.strong, apart)
    odds = _Odds(relations, edges, clustering)
    members: list[ClusterMember] = []
    for keeper, others in _stars(edges, neighbours, groups, ranking, (apart, sides, odds)):
        members.append(ClusterMember(clustering.level, keeper, keeper, KEEPER, 1.0))
        members += [
            ClusterMember(clustering.level, other, keeper, edge.kind, edge.score) for other, edge in others.items()
        ]
    return sorted(members, key=lambda member: (member.keeper_id, member.member_id))


def _edges(relations: Iterable[Relation], clustering: Clustering, verdicts: Mapping[Pair, bool]) -> dict[Pair, _Edge]:
    edges = {
        (relation.first_id, relation.second_id): _Edge(relation.kind, relation.score)
        for relation in relations
        if clustering.joins(relation)
    }
    for pair, same in verdicts.items():
        if same:
            edge = edges.get(pair, _Edge(CONFIRMED, 1.0))
            edges[pair] = replace(edge, said=True)
        else:
            edges.pop(pair, None)
    return edges


def _neighbours(edges: Iterable[Pair]) -> dict[int, list[int]]:
    neighbours: dict[int, list[int]] = {}
    for first, second in edges:
        neighbours.setdefault(first, []).append(second)
        neighbours.setdefault(second, []).append(first)
    return neighbours


class _Apart:
    """Pairs that must not share a cluster."""

    def __init__(self, pairs: Iterable[Pair]) -> None:
        self._others: dict[int, set[int]] = {}
        for first, second in pairs:
            self._others.setdefault(first, set()).add(second)
            self._others.setdefault(second, set()).add(first)

    def forbids(self, first: Iterable[int], second: Collection[int]) -> bool:
        """Tell whether any of the one group must stay away from any of the other."""
        return any(not self._others[identity].isdisjoint(second) for identity in first if identity in self._others)


def _strong_groups(
    edges: Mapping[Pair, _Edge], everyone: Iterable[int], strong: float, apart: _Apart
) -> tuple[dict[int, frozenset[int]], _Sides]:
    """Group ids that strong relations tie, whose chains are trusted."""
    groups = {identity: frozenset({identity}) for identity in everyone}
    sides = _Sides(edges, everyone)
    ties = [pair for pair, edge in edges.items() if edge.said or edge.score >= strong]
    # A person's word goes first and weaker ties last, so that what is told apart falls where it is held least.
    for first, second in sorted(ties, key=lambda pair: (not edges[pair].said, -edges[pair].score, pair)):
        if second in groups[first] or apart.forbids(groups[first], groups[second]):
            continue
        if not sides.allow((first, second), groups[first], groups[second]):
            continue
        sides.join((first, second), groups[second])
        joined = groups[first] | groups[second]
        groups.update(dict.fromkeys(joined, joined))
    return groups, sides


class _Sides:
    """Which members of a group are mirrored with respect to most of it.

    The left side of a symmetric thing resembles the mirrored right side. So where a tie implies that most of one group
    are mirrored pictures of most of the other, some of these must be related as such: that takes agreement in detail.
    One alone will not do for groups of three and more: a mirrored copy of the left side resembles the right side as
    upright pictures do.
    """

    def __init__(self, edges: Mapping[Pair, _Edge], everyone: Iterable[int]) -> None:
        self._edges = edges
        self._flipped = dict.fromkeys(everyone, False)

    def allow(self, pair: Pair, first: Collection[int], second: Collection[int]) -> bool:
        """Tell whether two groups may join by a pair across them."""
        edge = self._edges[pair]
        ours, theirs = self._most(first), self._most(second)
        crossed = self._flipped[pair[0]] in ours, self._flipped[pair[1]] in theirs
        mirrored = edge.kind == MIRRORED
        if edge.said or (mirrored and min(len(first), len(second)) < _FEW) or (all(crossed) and not mirrored):
            return True
        pairs = [
            (one, other)
            for one in first
            for other in second
            if self._flipped[one] in ours and self._flipped[other] in theirs
            for across in (self._edges.get((min(one, other), max(one, other))),)
            if across is not None and across.kind == MIRRORED
        ]
        needed = 2 if mirrored else 1
        return min(len({one for one, _ in pairs}), len({other for _, other in pairs})) >= needed

    def join(self, pair: Pair, second: Collection[int]) -> None:
        """Note that the second group joins the first by this pair."""
        mirrored = self._edges[pair].kind == MIRRORED
        if self._flipped[pair[0]] ^ self._flipped[pair[1]] ^ mirrored:
            for identity in second:
                self._flipped[identity] = not self._flipped[identity]

    def _most(self, group: Collection[int]) -> frozenset[bool]:
        """The side of most of a group, or both where they are equally many."""
        flipped = sum(self._flipped[identity] for identity in group)
        straight = len(group) - flipped
        return frozenset(side for side, count in ((True, flipped), (False, straight)) if 2 * count >= len(group))


class _Odds:
    """What all pairs that were compared across two groups say together, those that were refused too.

    A pair speaks by its log-odds beyond those of the threshold; what a person said of one outweighs the others.
    """

    def __init__(self, relations: Iterable[Relation], edges: Mapping[Pair, _Edge], clustering: Clustering) -> None:
        self._odds: dict[int, dict[int, float]] = defaultdict(dict)
        threshold = _log_odds(clustering.threshold)
        compared = {
            (relation.first_id, relation.second_id): _log_odds(relation.score) - threshold
            for relation in relations
            if relation.level == clustering.level and (relation.kind == SAME_SCENE or clustering.joins(relation))
        }
        for pair in compared.keys() | edges.keys():
            said = pair in edges and edges[pair].said
            self._odds[pair[0]][pair[1]] = self._odds[pair[1]][pair[0]] = math.inf if said else compared[pair]

    def across(self, own: Iterable[int], groups: Mapping[int, frozenset[int]]) -> Mapping[frozenset[int], float]:
        """Return the log-odds of each group that one was compared with."""
        found: dict[frozenset[int], float] = defaultdict(float)
        for identity in own:
            for other, odds in self._odds[identity].items():
                if other in groups:
                    found[groups[other]] += odds
        return found


def _log_odds(score: float) -> float:
    least = 1 / (1 + math.exp(_MOST_ODDS))
    score = min(max(score, least), 1 - least)
    return math.log(score / (1 - score))


def _stars(
    edges: Mapping[Pair, _Edge],
    neighbours: Mapping[int, Sequence[int]],
    groups: Mapping[int, frozenset[int]],
    ranking: Ranking,
    bounds: tuple[_Apart, _Sides, _Odds],
) -> list[tuple[int, dict[int, _Edge]]]:
    """Let the best ids, in turn, gather what is verified to be the same as their group and still free."""
    apart, sides, odds = bounds
    free = set(groups)
    stars = []
    for keeper in sorted(groups, key=ranking):
        if keeper not in free:
            continue
        own = groups[keeper]
        cluster_ids, across = set(own), odds.across(own, groups)
        reached = {
            other
            for identity in own
            for other in neighbours.get(identity, ())
            if other in free
            and other not in own
            and across[groups[other]] >= _LEAST_ODDS
            and sides.allow(_pair(identity, other), *_in_order(groups, identity, other))
        }
        for other in sorted(reached, key=ranking):
            if other not in cluster_ids and not apart.forbids(groups[other], cluster_ids):
                cluster_ids |= groups[other]
        free -= cluster_ids
        if len(cluster_ids) > 1:
            stars.append((keeper, _edges_to(keeper, cluster_ids, edges, neighbours)))
    return stars


def _pair(first: int, second: int) -> Pair:
    return min(first, second), max(first, second)


def _in_order(groups: Mapping[int, frozenset[int]], first: int, second: int) -> tuple[frozenset[int], frozenset[int]]:
    return groups[min(first, second)], groups[max(first, second)]


def _edges_to(
    keeper: int, cluster_ids: Collection[int], edges: Mapping[Pair, _Edge], neighbours: Mapping[int, Sequence[int]]
) -> dict[int, _Edge]:
    """Return what each other member is to the keeper: by their relation, or else by the shortest way through others."""
    found = {keeper: _Edge("same_pixels", 1.0)}
    frontier = [keeper]
    while frontier:
        ways: dict[int, tuple[_Edge, int]] = {}
        for middle in frontier:
            for other in neighbours.get(middle, ()):
                if other in found or other not in cluster_ids:
                    continue
                edge = edges[min(middle, other), max(middle, other)]
                way = _Edge(_composed(found[middle].kind, edge.kind), min(found[middle].score, edge.score)), middle
                if other not in ways or _preference(way) > _preference(ways[other]):
                    ways[other] = way
        found.update((other, edge) for other, (edge, _) in ways.items())
        frontier = sorted(ways)
    del found[keeper]
    return found


def _preference(way: tuple[_Edge, int]) -> tuple[float, str, int]:
    edge, middle = way
    return edge.score, edge.kind, -middle


def _composed(first: str, second: str) -> str:
    """Return the kind of a copy of a copy: mirrored twice is not mirrored, and what people joined may be either."""
    if CONFIRMED in (first, second):
        return CONFIRMED
    mirrored = (first == MIRRORED) + (second == MIRRORED)
    if mirrored == 1:
        return MIRRORED
    return "edited" if mirrored else max(first, second, key=_DEPARTURES.index)
