"""Gold labels: of all claims on one attribute of one thing, the value that wins.

A person goes before a machine. People who disagree leave the value disputed until more than half of them, three or
more, agree. Among machines the one goes first that was right more often where people looked too, then the surer one.
A region hears the claims on all copies of its shot, on the regions that it superseded, and on the items that show
it (where classes name sides, not those of mirrored copies); items that contradict each other say nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from tamis import schema
from tamis.config import Settings
from tamis.database import CHUNK, chunks
from tamis.dataset.claims import Claim, read_claims, rows_for
from tamis.dataset.copies import Shots, predecessors, shots_of
from tamis.dataset.precision import ActorKey, Measured, measure_precision
from tamis.labels import Who
from tamis.stages.policy import ChosenRegion, read_chosen

Precision = Mapping[ActorKey, Measured]


@dataclass(frozen=True, slots=True)
class Gold:
    """What is held to be true of a region or an item, and why.

    `value` is None where it is `disputed`; then `who` and `actor` are those of the first of the claims. `confidence`
    is that of the winning claim. `claims` are all those heard, the winning one first, then by time.
    """

    attribute: str
    value: str | None
    who: Who
    actor: str
    confidence: float
    disputed: bool
    claims: tuple[Claim, ...]
    region_id: int | None = None
    item_id: int | None = None


def decide(attribute: str, claims: Sequence[Claim], precision: Precision, *, contradicted: bool = False) -> Gold | None:
    """Return the gold label that claims on one attribute amount to; None when nobody claims anything.

    Args:
        attribute: the attribute.
        claims: claims in force on the thing and its copies; those without a value are passed over.
        precision: how often each machine was right.
        contradicted: whether people contradict each other elsewhere, so that no machine may decide.
    """
    heard = sorted((claim for claim in claims if claim.value is not None), key=lambda claim: claim.id)
    if not heard:
        return None
    people = _last_of_each([claim for claim in heard if claim.who == "person"])
    winner: Claim | None
    if people:
        votes = Counter(claim.value for claim in people)
        value, most = votes.most_common(1)[0]
        agreed = len(votes) == 1 or 2 * most > len(people) >= 3
        winner = next(claim for claim in reversed(people) if claim.value == value) if agreed else None
    elif contradicted:
        winner = None
    else:
        winner = max(heard, key=lambda claim: (_rank(claim, precision), claim.confidence, claim.id))
    first = winner or (people or heard)[0]
    return Gold(
        attribute=attribute,
        value=winner.value if winner else None,
        who=first.who,
        actor=first.actor,
        confidence=first.confidence,
        disputed=winner is None,
        claims=(first, *(claim for claim in heard if claim.id != first.id)),
    )


def _last_of_each(claims: Sequence[Claim]) -> list[Claim]:
    """One claim a person: on a region before on an item, then the last one."""
    last: dict[str, Claim] = {}
    for claim in claims:
        known = last.get(claim.actor)
        if known is None or known.region_id is None or claim.region_id is not None:
            last[claim.actor] = claim
    return sorted(last.values(), key=lambda claim: claim.id)


def _rank(claim: Claim, precision: Precision) -> float:
    return precision.get((claim.attribute, claim.who, claim.actor), Measured()).precision


def resolve_gold(
    connection: sa.Connection,
    settings: Settings,
    attributes: Iterable[str] | None = None,
    region_ids: Iterable[int] | None = None,
) -> Iterator[Gold]:
    """Yield the gold labels of regions, region by region, in the order of the declared attributes.

    Args:
        connection: a transaction that reads.
        settings: the project's settings.
        attributes: names; None for all declared ones.
        region_ids: None for all chosen regions. A region that the settings do not choose hears its own claims and
            those of its items, not those of copies.
    """
    names = _names(settings, attributes)
    precision = measure_precision(connection)
    if region_ids is None:
        for batch in batches(read_chosen(connection, settings)):
            yield from gold_of_chosen(connection, batch, shots_of(connection, settings, batch), names, precision)
        return
    for part in chunks(sorted(set(region_ids))):
        wanted = set(part)
        images = {row.image_id for row in rows_for(connection, _image_of, wanted)}
        batch = list(read_chosen(connection, settings, images))
        shots = shots_of(connection, settings, batch)
        asked = [one for one in batch if one.region_id in wanted]
        yield from gold_of_chosen(connection, asked, shots, names, precision)
        others = wanted - {one.region_id for one in asked}
        own = predecessors(connection, others)
        shown = {row.id: {row.image_id} for row in rows_for(connection, _image_of, others)}
        hearing = {region: dict.fromkeys(names, (own[region], images_of)) for region, images_of in shown.items()}
        yield from _gold_of(connection, hearing, names, precision)


def resolve_item_gold(
    connection: sa.Connection,
    settings: Settings,
    attributes: Iterable[str] | None = None,
    item_ids: Iterable[int] | None = None,
) -> Iterator[Gold]:
    """Yield the gold labels of items, from the claims on the items themselves; None for all items with claims."""
    names = _names(settings, attributes)
    precision = measure_precision(connection)
    if item_ids is None:
        column = schema.label.c.item_id
        item_ids = connection.scalars(sa.select(column).where(column.is_not(None)).distinct().order_by(column)).all()
    for part in chunks(item_ids):
        for item, golds in _item_golds(connection, part, names, precision).items():
            for name in names:
                if name in golds:
                    yield replace(golds[name], item_id=item)


def batches(chosen: Iterable[ChosenRegion], size: int = CHUNK) -> Iterator[list[ChosenRegion]]:
    """Yield lists of about `size` chosen regions that never part those of one image."""
    batch: list[ChosenRegion] = []
    for one in chosen:
        if len(batch) >= size and batch[-1].image_id != one.image_id:
            yield batch
            batch = []
        batch.append(one)
    if batch:
        yield batch


def gold_of_chosen(
    connection: sa.Connection,
    chosen: Sequence[ChosenRegion],
    shots: Shots,
    attributes: Sequence[str],
    precision: Precision,
) -> Iterator[Gold]:
    """Yield the gold labels of chosen regions whose shots are known."""
    hearing = {
        one.region_id: {
            name: (shots.kin_for(one.region_id, name), shots.images_for(one.region_id, name)) for name in attributes
        }
        for one in chosen
    }
    yield from _gold_of(connection, hearing, attributes, precision)


def _gold_of(
    connection: sa.Connection,
    hearing: Mapping[int, Mapping[str, tuple[Iterable[int], Iterable[int]]]],
    attributes: Sequence[str],
    precision: Precision,
) -> Iterator[Gold]:
    """Gold labels of regions from the claims on regions, and on the items that show images, that each one hears.

    `hearing` is region -> attribute -> the regions and the images.
    """
    sources = [source for by_name in hearing.values() for source in by_name.values()]
    heard = _all(kin for kin, _ in sources)
    spoken = _by_subject(read_claims(connection, schema.label.c.region_id, heard, attributes))
    showing = items_of_images(connection, _all(images for _, images in sources))
    items = _item_golds(connection, _all(showing.values()), attributes, precision)
    for region, by_name in hearing.items():
        for name in attributes:
            kin, images = by_name[name]
            shown_by = sorted({item for image in images for item in showing.get(image, ())})
            claims = [claim for other in kin for claim in spoken.get((other, name), ())]
            of_items = [items[item][name] for item in shown_by if name in items.get(item, {})]
            gold = _join(name, claims, of_items, precision)
            if gold is not None:
                yield replace(gold, region_id=region)


def _join(name: str, claims: Sequence[Claim], of_items: Sequence[Gold], precision: Precision) -> Gold | None:
    """Add what the items say to the claims on the region itself."""
    item_claims = [claim for gold in of_items for claim in gold.claims]
    if len({gold.value for gold in of_items}) <= 1 and not any(gold.disputed for gold in of_items):
        return decide(name, [*claims, *item_claims], precision)
    by_people = any(gold.who == "person" for gold in of_items)
    own = decide(name, claims, precision, contradicted=by_people)
    return own or _disputed(of_items, item_claims)


def _disputed(of_items: Sequence[Gold], claims: Sequence[Claim]) -> Gold:
    first = of_items[0]
    heard = tuple(sorted(claims, key=lambda claim: claim.id))
    return Gold(first.attribute, None, first.who, first.actor, first.confidence, True, heard)


def items_of_images(connection: sa.Connection, image_ids: Iterable[int]) -> dict[int, list[int]]:
    """Return image id -> ids of the items that show it, ascending."""
    picture = schema.picture.c
    found: dict[int, set[int]] = defaultdict(set)
    query = sa.select(picture.image_id, picture.item_id)
    for row in rows_for(connection, lambda part: query.where(picture.image_id.in_(part)), image_ids):
        found[row.image_id].add(row.item_id)
    return {image: sorted(items) for image, items in found.items()}


def _item_golds(
    connection: sa.Connection, item_ids: Iterable[int], attributes: Sequence[str], precision: Precision
) -> dict[int, dict[str, Gold]]:
    spoken = _by_subject(read_claims(connection, schema.label.c.item_id, item_ids, attributes))
    golds: dict[int, dict[str, Gold]] = defaultdict(dict)
    for (item, name), claims in spoken.items():
        gold = decide(name, claims, precision)
        if gold is not None:
            golds[item][name] = gold
    return dict(golds)


def _by_subject(claims: Iterable[Claim]) -> dict[tuple[int, str], list[Claim]]:
    groups: dict[tuple[int, str], list[Claim]] = defaultdict(list)
    for claim in claims:
        subject = claim.region_id if claim.region_id is not None else claim.item_id
        assert subject is not None
        groups[subject, claim.attribute].append(claim)
    return groups


def _names(settings: Settings, attributes: Iterable[str] | None) -> list[str]:
    return [one.name for one in settings.attributes] if attributes is None else list(attributes)


def _all(groups: Iterable[Iterable[int]]) -> set[int]:
    return {one for group in groups for one in group}


def _image_of(part: list[int]) -> sa.Select[Any]:
    return sa.select(schema.region.c.id, schema.region.c.image_id).where(schema.region.c.id.in_(part))
