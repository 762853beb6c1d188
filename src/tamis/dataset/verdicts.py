"""Keep, questionable or reject, with the reason: derived from stored scores whenever it is asked, never stored.

What a person said of the region stands. Else the first rule that rejects decides: a copy of something that stays, too
small, no object (by setting), surely not what the filter wants. Else all that speaks against it together makes it
questionable. Else it is kept.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal, cast

import sqlalchemy as sa

from tamis import schema
from tamis.config import InspectSettings, SegmentSettings, Settings
from tamis.dataset.claims import Claim, read_claims, rows_for
from tamis.dataset.copies import Copy, Shots, shots_of
from tamis.dataset.gold import Gold, batches, decide, items_of_images
from tamis.dataset.quality import LIMITS, score_columns
from tamis.labels import VERDICT
from tamis.stages.policy import ChosenRegion, read_chosen

Verdict = Literal["keep", "questionable", "reject"]


@dataclass(frozen=True, slots=True)
class RegionVerdict:
    """What becomes of a chosen region.

    `cause` is one word for counting: passes, wanted, person, disputed, copy, region_copy, small_image, small_object,
    no_object, unwanted, unsure, unclassified, many_objects, those of `tamis.dataset.quality.LIMITS`, thin_mask,
    cut_mask, torn_mask, waiting. `reason` is one line for people; for several causes it gives all, and `cause` the
    first.
    """

    region_id: int
    image_id: int
    verdict: Verdict
    cause: str
    reason: str


@dataclass(frozen=True, slots=True)
class ImageVerdict:
    """A rejected image that gives no region, and why."""

    image_id: int
    sha256: str
    verdict: Verdict
    cause: str
    reason: str


@dataclass(frozen=True, slots=True)
class VerdictCounts:
    """Regions (and images without any) by verdict, and by verdict and cause."""

    keep: int = 0
    questionable: int = 0
    reject: int = 0
    causes: Mapping[tuple[Verdict, str], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Doubt:
    """One thing that speaks against a region, or for it."""

    verdict: Verdict
    cause: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What is stored about a batch of chosen regions."""

    shots: Shots
    inspections: Mapping[int, Any]
    sha256: Mapping[int, str]
    claims: Mapping[tuple[int, str], Sequence[Claim]]
    item_claims: Mapping[int, Sequence[Claim]]
    waiting: Mapping[int, int]
    masks: Mapping[int, Any]


def verdicts(
    connection: sa.Connection, settings: Settings, region_ids: Iterable[int] | None = None
) -> Iterator[RegionVerdict]:
    """Yield the verdict on every chosen region, or on those of `region_ids` that are chosen, image by image.

    Works in parts, so that a project of any size fits into memory.
    """
    image_ids = wanted = None
    if region_ids is not None:
        wanted = set(region_ids)
        column = schema.region.c
        found = rows_for(connection, lambda part: sa.select(column.image_id).where(column.id.in_(part)), wanted)
        image_ids = {row.image_id for row in found}
    for batch in batches(read_chosen(connection, settings, image_ids)):
        shots = shots_of(connection, settings, batch)
        for verdict in verdicts_of_chosen(connection, settings, batch, shots):
            if wanted is None or verdict.region_id in wanted:
                yield verdict


def unreadable_images(connection: sa.Connection) -> Iterator[ImageVerdict]:
    """Yield the images that could not be decoded, with the reason; they have no region."""
    inspection, image = schema.inspection.c, schema.image.c
    query = sa.select(image.id, image.sha256, inspection.reason).join(
        schema.inspection, inspection.image_id == image.id
    )
    for row in connection.execute(query.where(inspection.readable.is_(sa.false())).order_by(image.id)):
        yield ImageVerdict(row.id, row.sha256, "reject", "unreadable", f"unreadable: {row.reason or 'unknown reason'}")


def count_verdicts(connection: sa.Connection, settings: Settings) -> VerdictCounts:
    """Count all verdicts by verdict and cause, unreadable images included."""
    causes: Counter[tuple[Verdict, str]] = Counter()
    for source in (verdicts(connection, settings), unreadable_images(connection)):
        causes.update((one.verdict, one.cause) for one in source)
    totals = Counter[str]()
    for (verdict, _), amount in causes.items():
        totals[verdict] += amount
    return VerdictCounts(totals["keep"], totals["questionable"], totals["reject"], dict(causes))


def verdicts_of_chosen(
    connection: sa.Connection, settings: Settings, chosen: Sequence[ChosenRegion], shots: Shots
) -> Iterator[RegionVerdict]:
    """Yield the verdicts on chosen regions whose shots are known, in their order."""
    evidence = _gather(connection, settings, chosen, shots)
    for one in chosen:
        final = _judge(one, settings, evidence)
        yield RegionVerdict(one.region_id, one.image_id, final.verdict, final.cause, final.reason)


def _judge(one: ChosenRegion, settings: Settings, evidence: _Evidence) -> Doubt:
    copy = evidence.shots.image_copies.get(one.image_id) or evidence.shots.region_copies.get(one.region_id)
    own = _of_people(evidence, evidence.shots.own[one.region_id], VERDICT)
    said = own or _of_people(evidence, evidence.shots.kin[one.region_id], VERDICT)
    if said is not None and (own is not None or copy is None or said.value == "reject"):
        return _spoken(said)
    doubts = list(_doubts(one, settings, evidence))
    rejecting = [doubt for doubt in doubts if doubt.verdict == "reject"]
    against = rejecting[:1] or [doubt for doubt in doubts if doubt.verdict == "questionable"]
    if not against:
        return next(iter(doubts), Doubt("keep", "passes", "passes all thresholds"))
    return Doubt(against[0].verdict, against[0].cause, "; ".join(doubt.reason for doubt in against))


def _spoken(said: Gold) -> Doubt:
    if said.disputed:
        votes = ", ".join(f"{claim.actor}: {claim.value}" for claim in said.claims)
        return Doubt("questionable", "disputed", f"people disagree ({votes})")
    why = said.claims[0].evidence
    return Doubt(cast(Verdict, said.value), "person", f"{said.actor} says {said.value}" + (f": {why}" if why else ""))


def _doubts(one: ChosenRegion, settings: Settings, evidence: _Evidence) -> Iterator[Doubt]:
    yield from _copy_doubts(one, evidence)
    yield from _object_doubts(one, settings)
    yield from _filter_doubts(one, settings, evidence)
    yield from _quality_doubts(evidence.inspections[one.image_id], settings.inspect)
    if mask := evidence.masks.get(one.region_id):
        yield from _mask_doubts(mask, one, settings.segment)
    if waiting := evidence.waiting.get(one.image_id):
        yield Doubt("questionable", "waiting", f"labels of an earlier detection wait for review: {waiting}")


def _copy_doubts(one: ChosenRegion, evidence: _Evidence) -> Iterator[Doubt]:
    def tell(copy: Copy, what: str) -> str:
        return f"copy of {what} ({copy.kind.replace('_', ' ')}, {copy.score:.2f})"

    if copy := evidence.shots.image_copies.get(one.image_id):
        yield Doubt("reject", "copy", tell(copy, f"image {evidence.sha256[copy.keeper_id][:12]}"))
    if copy := evidence.shots.region_copies.get(one.region_id):
        yield Doubt("reject", "region_copy", tell(copy, f"region {copy.keeper_id}"))


def _object_doubts(one: ChosenRegion, settings: Settings) -> Iterator[Doubt]:
    side = min(one.image_wh)
    if side < settings.inspect.min_side:
        yield Doubt("reject", "small_image", f"image too small: {side} px, {settings.inspect.min_side} asked for")
    if one.kind == "detected":
        x0, y0, x1, y1 = one.box_xyxy
        shorter = min(x1 - x0, y1 - y0)
        if shorter < settings.detect.min_side:
            reason = f"object too small: {shorter:.0f} px, {settings.detect.min_side} asked for"
            yield Doubt("reject", "small_object", reason)
    if one.doubt:
        yield Doubt(settings.detect.when_none, "no_object", one.doubt)
    if one.kind == "detected" and 0 < settings.detect.max_objects < one.objects:
        yield Doubt("questionable", "many_objects", f"{one.objects} objects found")


def _quality_doubts(facts: Any, asked: InspectSettings) -> Iterator[Doubt]:
    for limit in LIMITS:
        if reason := limit.objection(getattr(facts, limit.score), asked):
            yield Doubt("questionable", limit.cause, reason)


def _mask_doubts(mask: Any, one: ChosenRegion, asked: SegmentSettings) -> Iterator[Doubt]:
    if one.kind != "whole" and mask.area < asked.min_area:  # a whole picture is no box that an object fills
        yield Doubt(
            "questionable", "thin_mask", f"mask fills {mask.area:.0%} of its box, {asked.min_area:.0%} asked for"
        )
    if mask.border > asked.max_border:
        yield Doubt("questionable", "cut_mask", f"mask covers {mask.border:.0%} of the picture's border")
    if mask.holes > asked.max_holes:
        yield Doubt("questionable", "torn_mask", f"{mask.holes} holes in the mask")


def _filter_doubts(one: ChosenRegion, settings: Settings, evidence: _Evidence) -> Iterator[Doubt]:
    """The filter on an attribute: what people say of it, else the probability that the model stored."""
    asked = settings.classify
    if not asked.attribute:
        return
    kin = evidence.shots.kin_for(one.region_id, asked.attribute)
    said = _of_people(evidence, kin, asked.attribute, evidence.item_claims[one.region_id])
    if said is not None:
        if said.disputed:
            yield Doubt("questionable", "disputed", f"people disagree on {asked.attribute}")
        else:
            verdict: Verdict = "keep" if said.value in asked.keep else "reject"
            cause = "wanted" if verdict == "keep" else "unwanted"
            yield Doubt(verdict, cause, f"{said.actor} says {asked.attribute} is {said.value}")
        return
    claim = _prediction(one, settings, evidence)
    if claim is None:
        yield Doubt("questionable", "unclassified", f"no prediction of {asked.attribute} yet")
        return
    classes = next((one.classes for one in settings.attributes if one.name == asked.attribute), ())
    least, most = wanted_bounds(claim, asked.keep, classes)
    told = f"{asked.attribute} is {claim.value} ({claim.confidence:.2f})"
    if least == most and len(asked.keep) > 1:
        told += f", one of those wanted {least:.2f}"
    if least >= asked.keep_from:
        yield Doubt("keep", "wanted", told)
    elif most < asked.reject_below:
        yield Doubt("reject", "unwanted", told)
    else:
        yield Doubt("questionable", "unsure", told)


def wanted_bounds(claim: Claim, keep: Sequence[str], classes: Sequence[str] = ()) -> tuple[float, float]:
    """Return the least and the most that the wanted classes can have together, given a model's claim.

    A claim of more than two classes holds the probabilities of all as its evidence, and both bounds are their sum.
    One that holds the likeliest class and its probability alone leaves more open: one wanted class, or one unwanted
    one, makes both bounds the probability itself; with more of them a region is kept or rejected only where that is
    sure whatever the rest.
    """
    if (shares := _shares(claim)) is not None:
        together = sum(shares.get(name, 0.0) for name in keep)
        return together, together
    likeliest = claim.confidence
    if claim.value in keep:
        return likeliest, likeliest if len(keep) == 1 else min(1.0, len(keep) * likeliest)
    left = 1 - likeliest
    unwanted = set(classes) - set(keep)
    return left if unwanted == {claim.value} else 0.0, min(left, len(keep) * likeliest)


def _shares(claim: Claim) -> Mapping[str, float] | None:
    """The probabilities of all classes, where a model's claim holds them."""
    if claim.who != "model" or not claim.evidence:
        return None
    shares: Mapping[str, float] = json.loads(claim.evidence)
    return shares


def _prediction(one: ChosenRegion, settings: Settings, evidence: _Evidence) -> Claim | None:
    model = PurePosixPath(settings.classify.model).name
    for claim in reversed(evidence.claims.get((one.region_id, settings.classify.attribute), ())):
        if claim.who == "model" and claim.value is not None and model in ("", claim.actor):
            return claim
    return None


def _of_people(
    evidence: _Evidence, region_ids: Iterable[int], attribute: str, more: Iterable[Claim] = ()
) -> Gold | None:
    heard = [claim for region in region_ids for claim in evidence.claims.get((region, attribute), ())]
    return decide(attribute, [claim for claim in (*heard, *more) if claim.who == "person"], {})


def _gather(connection: sa.Connection, settings: Settings, chosen: Sequence[ChosenRegion], shots: Shots) -> _Evidence:
    inspection, image = schema.inspection.c, schema.image.c
    facts = sa.select(inspection.image_id, *score_columns())
    images = {one.image_id for one in chosen}
    keepers = {copy.keeper_id for copy in shots.image_copies.values()}
    names = {VERDICT, settings.classify.attribute} - {""}
    spoken: dict[tuple[int, str], list[Claim]] = defaultdict(list)
    heard = {region for kin in shots.kin.values() for region in kin}
    for claim in read_claims(connection, schema.label.c.region_id, heard, names):
        if claim.region_id is not None:
            spoken[claim.region_id, claim.attribute].append(claim)
    return _Evidence(
        shots=shots,
        inspections={
            row.image_id: row
            for row in rows_for(connection, lambda part: facts.where(inspection.image_id.in_(part)), images)
        },
        sha256={
            row.id: row.sha256
            for row in rows_for(
                connection, lambda part: sa.select(image.id, image.sha256).where(image.id.in_(part)), keepers
            )
        },
        claims=spoken,
        item_claims=_claims_of_items(connection, settings, chosen, shots),
        waiting=_waiting(connection, images),
        masks=_masks(connection, settings, [one.region_id for one in chosen]),
    )


def _masks(connection: sa.Connection, settings: Settings, region_ids: Iterable[int]) -> Mapping[int, Any]:
    """Region id -> the scores of its mask, where the project segments."""
    if settings.segment.method == "off":
        return {}
    column = schema.mask.c
    scores = sa.select(column.region_id, column.area, column.border, column.holes)
    found = rows_for(connection, lambda part: scores.where(column.region_id.in_(part)), region_ids)
    return {row.region_id: row for row in found}


def _claims_of_items(
    connection: sa.Connection, settings: Settings, chosen: Sequence[ChosenRegion], shots: Shots
) -> Mapping[int, Sequence[Claim]]:
    """Region id -> claims on the filter's attribute by way of the items that show it."""
    name = settings.classify.attribute
    if not name:
        return {}
    showing = items_of_images(connection, {image for group in shots.images.values() for image in group})
    items = {item for group in showing.values() for item in group}
    spoken: dict[int, list[Claim]] = defaultdict(list)
    for claim in read_claims(connection, schema.label.c.item_id, items, [name]):
        if claim.item_id is not None:
            spoken[claim.item_id].append(claim)
    return {
        one.region_id: [
            claim
            for item in sorted(
                {item for image in shots.images_for(one.region_id, name) for item in showing.get(image, ())}
            )
            for claim in spoken.get(item, ())
        ]
        for one in chosen
    }


def _waiting(connection: sa.Connection, image_ids: Iterable[int]) -> Mapping[int, int]:
    """Image id -> people's claims on superseded regions that no new region took over."""
    column = schema.region.c
    query = sa.select(column.id, column.image_id, column.superseded_by).where(column.superseded_at.is_not(None))
    left = {
        row.id: row.image_id
        for row in rows_for(connection, lambda part: query.where(column.image_id.in_(part)), image_ids)
        if row.superseded_by is None
    }
    counts: Counter[int] = Counter()
    for claim in read_claims(connection, schema.label.c.region_id, left):
        if claim.who == "person" and claim.value is not None and claim.region_id is not None:
            counts[left[claim.region_id]] += 1
    return counts
