"""What the two duplicates stages share: relations of the new to all, then clusters of all that is related."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from tamis import schema
from tamis.config import DuplicatesSettings, Settings
from tamis.engine.stage import Side, Whole
from tamis.records import ClusterMember, Level, Relation, digest
from tamis.stages.comparisons import agreed, read_said, select_said

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tamis.engine.packed import Packed
    from tamis.vision.clusters import Facts
    from tamis.vision.columns import Signatures


def decision(settings: DuplicatesSettings, side: Side) -> str:
    """Digest of what decides on clusters besides the relations: settings, labels, what people said of pairs."""
    labelled = sorted(row[0] for row in side["labelled"])
    said = sorted(agreed(read_said(side["said"])).items())
    return digest(settings.threshold, settings.keeper, repr(labelled), repr(said))


def side_inputs(
    level: Level, labelled: Callable[[Settings], sa.Select[Any]]
) -> Mapping[str, Callable[[Settings], sa.Select[Any]]]:
    """Return the side inputs of a duplicates stage, given the query of the ids that people labelled."""
    return {"relations": select_relations(level), "labelled": labelled, "said": lambda _: select_said(level)}


def select_relations(level: Level) -> Callable[[Settings], sa.Select[Any]]:
    """Return the side input of all relations of a level."""

    def select(_: Settings) -> sa.Select[Any]:
        return sa.select(schema.relation).where(schema.relation.c.level == level)

    return select


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
    signatures_of: Callable[[Packed[Any]], Signatures],
    facts_of: Callable[[Any], Facts],
    load: Callable[[int], NDArray[np.uint8]],
) -> list[Relation | ClusterMember]:
    """Return the relations of the new pictures, and the clusters of all pictures.

    Args:
        level: what the ids count.
        settings: how leniently to look, what counts as a copy, and which copy stays.
        whole: the inputs, and the side inputs of `side_inputs`.
        signatures_of: returns what candidates are found by, for inputs.
        facts_of: returns what keepers are chosen by, for an input.
        load: returns the small picture of an id.
    """
    from tamis.vision.clusters import Clustering, cluster  # noqa: PLC0415 - OpenCV and numba load on use
    from tamis.vision.duplicates import Search, find_relations  # noqa: PLC0415

    search = Search(level, settings.radius, mirrored=settings.mirrored, rotated=settings.rotated)
    new, known = signatures_of(whole.new), signatures_of(whole.known)
    found = find_relations(new, known, load, search, threads=whole.threads, told=whole.told)
    fresh = set(new.ids.tolist())
    kept = [_relation(row) for row in whole.side["relations"] if fresh.isdisjoint((row.first_id, row.second_id))]
    clustering = Clustering(
        level,
        threshold=settings.threshold,
        mirrored=settings.mirrored,
        rotated=settings.rotated,
        keeper=settings.keeper,
    )
    labelled = {row[0] for row in whole.side["labelled"]}
    facts = _FactsFound(whole, facts_of)
    verdicts = {
        pair: same
        for pair, same in agreed(read_said(whole.side["said"])).items()
        if not same or (pair[0] in facts and pair[1] in facts)
    }
    return [*found, *cluster([*found, *kept], clustering, facts=facts, protected=labelled, verdicts=verdicts)]


class _FactsFound(Mapping[int, "Facts"]):
    """The facts of all pictures, made when they are asked for: few of many are in a cluster."""

    def __init__(self, whole: Whole, facts_of: Callable[[Any], Facts]) -> None:
        self._whole, self._facts_of = whole, facts_of

    def __getitem__(self, identity: int) -> Facts:
        return self._facts_of(self._whole.find(identity))

    def __iter__(self) -> Iterator[int]:
        return (identity for rows in (self._whole.new, self._whole.known) for identity in rows.ids)

    def __len__(self) -> int:
        return len(self._whole.new) + len(self._whole.known)


def signatures_in(rows: Packed[Any], digest_of: str, parts_of: str | None = None) -> Signatures:
    """Return signatures from the columns of inputs: ids, `phash`, `dhash`, and those named."""
    import numpy as np  # noqa: PLC0415 - loaded on use

    from tamis.vision.columns import Signatures  # noqa: PLC0415

    texts, ends = rows.texts(digest_of)
    sizes = np.diff(ends, prepend=0)
    if len(sizes) and (sizes == sizes[0]).all() and sizes[0]:
        digests = texts.reshape(len(sizes), -1).view(f"S{sizes[0]}").ravel()
    else:
        held = texts.tobytes()
        digests = np.array([held[end - size : end] for end, size in zip(ends, sizes, strict=True)] or [b""], np.bytes_)
    nothing = np.zeros(0, dtype=np.uint8), np.zeros(len(rows), dtype=np.int64)
    parts, part_ends = rows.texts(parts_of) if parts_of else nothing
    ids = np.array(rows.ids, dtype=np.int64)
    return Signatures(ids, rows.numbers("phash"), rows.numbers("dhash"), digests[: len(rows)], parts, part_ends)


def _relation(row: sa.Row[Any]) -> Relation:
    return Relation(row.level, row.first_id, row.second_id, row.kind, row.score, row.distance)
