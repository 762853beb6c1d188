"""What the two duplicates stages share: relations of the new to all, then clusters of all that is related."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from tamis import schema
from tamis.config import DuplicatesSettings, Settings
from tamis.engine.stage import Side, Whole
from tamis.records import ClusterMember, Level, Relation, Unclustered, digest
from tamis.stages.comparisons import agreed, read_said, select_said
from tamis.vision.keepers import INSPECTED, RULE, Facts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tamis.engine.known import Known
    from tamis.engine.packed import Packed
    from tamis.vision.clusters import Clustering
    from tamis.vision.columns import Signatures


@dataclass(frozen=True, slots=True)
class Signed:
    """What both duplicates stages read of a picture: signatures, and what keepers are chosen by.

    `id` is that of what is compared, an image or a region; all else but the signatures is said of the image.
    """

    id: int
    sha256: str
    size: int
    width: int
    height: int
    phash: int
    dhash: int
    format: str
    mode: str
    sharpness: float
    contrast: float
    blockiness: float
    noise: float
    colourfulness: float
    text_share: float
    border_share: float


def decision(settings: DuplicatesSettings, side: Side) -> str:
    """Digest of what decides on clusters besides the relations: rule, settings, labels, what people said of pairs."""
    labelled = sorted(row[0] for row in side["labelled"])
    said = sorted(agreed(read_said(side["said"])).items())
    return digest(RULE, settings.threshold, settings.keeper, repr(labelled), repr(said))


def side_inputs(
    level: Level, labelled: Callable[[Settings], sa.Select[Any]]
) -> Mapping[str, Callable[[Settings], sa.Select[Any]]]:
    """Return the side inputs of a duplicates stage, given the query of the ids that people labelled."""
    return {"labelled": labelled, "said": lambda _: select_said(level)}


def lookups(level: Level) -> Mapping[str, Callable[[Sequence[int] | None], sa.Select[Any]]]:
    """Return the lookups of a duplicates stage: the stored relations of some ids, and which of them are clustered."""
    relation, cluster = schema.relation.c, schema.cluster.c

    def relations(ids: Sequence[int] | None) -> sa.Select[Any]:
        query = sa.select(schema.relation).where(relation.level == level)
        return query if ids is None else query.where(sa.or_(relation.first_id.in_(ids), relation.second_id.in_(ids)))

    def clustered(ids: Sequence[int] | None) -> sa.Select[Any]:
        query = sa.select(cluster.member_id).where(cluster.level == level)
        return query if ids is None else query.where(cluster.member_id.in_(ids))

    return {"relations": relations, "clustered": clustered}


def inspected_columns() -> list[sa.ColumnElement[Any]]:
    """What keepers are chosen by of the table `inspection`, without nulls; see `tamis.vision.keepers`."""
    facts = schema.inspection.c
    return [sa.func.coalesce(facts[name], default).label(name) for name, default in INSPECTED.items()]


def inspected_fingerprint() -> sa.ScalarSelect[Any]:
    """The fingerprint under which an image was inspected: signatures of another inspection make it new again."""
    ledger = schema.ledger.c
    return (
        sa.select(ledger.fingerprint)
        .where(ledger.stage == "inspect", ledger.subject_id == schema.image.c.id)
        .scalar_subquery()
    )


def relate(
    level: Level,
    settings: DuplicatesSettings,
    whole: Whole,
    signatures_of: SignaturesOf,
    facts_of: Callable[[Any], Facts],
    load: Callable[[int], NDArray[np.uint8]],
) -> list[Relation | ClusterMember | Unclustered]:
    """Return the relations of the new pictures, and the clusters of all that hangs together with them.

    Where all is decided anew, the clusters of all pictures.

    Args:
        level: what the ids count.
        settings: how leniently to look, what counts as a copy, and which copy stays.
        whole: the inputs, the side inputs of `side_inputs` and what `lookups` finds.
        signatures_of: what candidates are found by.
        facts_of: returns what keepers are chosen by, for an input.
        load: returns the small picture of an id.
    """
    from tamis.vision.clusters import Clustering, cluster  # noqa: PLC0415 - OpenCV loads on use
    from tamis.vision.duplicates import find_relations  # noqa: PLC0415
    from tamis.vision.proposals import Search  # noqa: PLC0415

    turns = {"mirrored": settings.mirrored, "rotated": settings.rotated}
    search = Search(level, settings.radius, **turns)
    known = _InShares(whole.known, signatures_of)
    found = find_relations(signatures_of(whole.new), known, load, search, threads=whole.threads, told=whole.told)
    clustering = Clustering(level, threshold=settings.threshold, keeper=settings.keeper, **turns)
    facts = _FactsFound(whole, facts_of)
    verdicts = {
        pair: same
        for pair, same in agreed(read_said(whole.side["said"])).items()
        if not same or (pair[0] in facts and pair[1] in facts)
    }
    if whole.anew:
        kept, touched = _all_known(whole)
    else:
        kept, touched = _around(whole, found, clustering, verdicts)
        verdicts = {pair: same for pair, same in verdicts.items() if touched.issuperset(pair)}
    labelled = {row[0] for row in whole.side["labelled"]}
    members = cluster([*found, *kept], clustering, facts=facts, protected=labelled, verdicts=verdicts)
    alone = touched.difference(member.member_id for member in members)
    return [*found, *members, *(Unclustered(level, identity) for identity in sorted(alone))]


def _all_known(whole: Whole) -> tuple[list[Relation], set[int]]:
    """Return the relations of known pictures, and the ids of all that are in a cluster."""
    fresh = set(whole.new.ids)
    relations = map(_relation, whole.look_up("relations", None))
    kept = [relation for relation in relations if fresh.isdisjoint((relation.first_id, relation.second_id))]
    return kept, {row[0] for row in whole.look_up("clustered", None)}


def _around(
    whole: Whole, found: Sequence[Relation], clustering: Clustering, verdicts: Mapping[tuple[int, int], bool]
) -> tuple[list[Relation], set[int]]:
    """Return the relations among known pictures that hang together with new ones, and the ids of all of these.

    A picture that is new again had relations until now: whatever hung together by them is among it.
    """
    fresh = set(whole.new.ids)
    said = [pair for pair, same in verdicts.items() if same]
    kept: dict[tuple[int, int], Relation] = {}
    reached: set[int] = set()
    frontier = fresh.union(*((one.first_id, one.second_id) for one in found if clustering.joins(one)))
    while frontier:
        reached |= frontier
        nearby = {identity for pair in said if not frontier.isdisjoint(pair) for identity in pair}
        for relation in map(_relation, whole.look_up("relations", sorted(frontier))):
            pair = relation.first_id, relation.second_id
            if clustering.joins(relation):
                nearby.update(pair)
            if fresh.isdisjoint(pair):
                kept[pair] = relation
        frontier = nearby - reached
    return [relation for pair, relation in kept.items() if reached.issuperset(pair)], reached


class _FactsFound(Mapping[int, Facts]):
    """The facts of all pictures, made when they are asked for: few of many are in a cluster."""

    def __init__(self, whole: Whole, facts_of: Callable[[Any], Facts]) -> None:
        self._whole, self._facts_of = whole, facts_of

    def __getitem__(self, identity: int) -> Facts:
        return self._facts_of(self._whole.find(identity))

    def __iter__(self) -> Iterator[int]:
        return chain(self._whole.new.ids, self._whole.known.ids.tolist())

    def __len__(self) -> int:
        return len(self._whole.new) + len(self._whole.known)


@dataclass(frozen=True, slots=True)
class SignaturesOf:
    """Makes signatures of inputs with ids, `phash` and `dhash`; the names are those of further fields.

    Attributes:
        digest: tells equal pixels.
        parts: the packed signatures of windows, if there are any.
    """

    digest: str
    parts: str | None = None

    def __call__(self, rows: Packed[Any]) -> Signatures:
        """Return the signatures of inputs."""
        import numpy as np  # noqa: PLC0415 - loaded on use

        from tamis.vision.columns import Signatures  # noqa: PLC0415

        ids, digests = self.pixels(rows)
        nothing = np.zeros(0, dtype=np.uint8), np.zeros(len(rows), dtype=np.int64)
        parts, part_ends = rows.texts(self.parts) if self.parts else nothing
        return Signatures(ids, rows.numbers("phash"), rows.numbers("dhash"), digests, parts, part_ends)

    def pixels(self, rows: Packed[Any]) -> tuple[NDArray[np.int64], NDArray[np.bytes_]]:
        """Return the ids and digests of inputs, shape (n,)."""
        import numpy as np  # noqa: PLC0415

        texts, ends = rows.texts(self.digest)
        sizes = np.diff(ends, prepend=0)
        if len(sizes) and (sizes == sizes[0]).all() and sizes[0]:
            digests = texts.reshape(len(sizes), -1).view(f"S{sizes[0]}").ravel()
        else:
            held = texts.tobytes()
            cut = [held[end - size : end] for end, size in zip(ends, sizes, strict=True)]
            digests = np.array(cut or [b""], np.bytes_)
        return np.array(rows.ids, dtype=np.int64), digests[: len(rows)]


@dataclass(frozen=True, slots=True)
class _InShares:
    """The signatures of known pictures, a share at a time; see `tamis.vision.columns.Shares`."""

    known: Known[Any]
    signatures_of: SignaturesOf

    def __len__(self) -> int:
        return len(self.known)

    def shares(self, most: int) -> Iterator[Signatures]:
        from tamis.vision.columns import Signatures  # noqa: PLC0415 - loaded on use

        def share() -> Signatures:
            joined = Signatures.joined(gathered)
            gathered.clear()
            self.known.rest()
            return joined

        gathered: list[Signatures] = []
        for part in map(self.signatures_of, self.known.parts):
            if gathered and sum(map(len, gathered)) + len(part) > most:
                yield share()
            gathered.append(part)
        if gathered:
            yield share()

    def pixels(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bytes_]]]:
        return map(self.signatures_of.pixels, self.known.parts)


def _relation(row: sa.Row[Any]) -> Relation:
    return Relation(row.level, row.first_id, row.second_id, row.kind, row.score, row.distance)
