"""Routes of the annotation page: samples under leases, steps and undo, what others do meanwhile."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Query
from sqlalchemy import Connection

from tamis import schema
from tamis.annotate.claims import images_about, record, undo
from tamis.annotate.messages import (
    EventsView,
    EventView,
    LeaseRequest,
    LeaseView,
    PublicId,
    QueueSample,
    QueueView,
    SampleView,
    StepRequest,
    StepView,
    UndoRequest,
    UndoView,
)
from tamis.annotate.queue import MAX_COUNT
from tamis.annotate.samples import claim_view, public_id_of, regions_by_public_id
from tamis.annotate.web import InWeb, Person, Reader, Web
from tamis.database import chunks, reading, retrying, writing
from tamis.dataset.claims import Claim

router = APIRouter(prefix="/api", tags=["annotate"])
#: Labels get their numbers before they are committed, so a smaller number can appear after a larger one.
_OVERLAP_ROWS, _OVERLAP_SECONDS = 1000, 15.0
_MAX_EVENTS = 500


@router.get("/queue")
def next_samples(
    web: InWeb,
    person: Person,
    count: Annotated[int, Query(ge=1, le=MAX_COUNT)] = 5,
    holding: Annotated[str, Query(description="samples that the page has already, separated by commas")] = "",
    second_opinion: Annotated[bool, Query(description="also what others have answered")] = False,
) -> QueueView:
    """Lease the next samples to the person; nobody else gets them before the lease is over."""
    with reading(web.project.engine) as connection:
        held = regions_by_public_id(connection, [one for one in holding.split(",") if one][: 4 * MAX_COUNT])
    leases = web.queue.lease(person, count, holding=set(held.values()), second_opinion=second_opinion)
    views = web.views([lease.region_id for lease in leases])
    samples = tuple(
        queue_sample(views[lease.region_id], lease.asked, lease.until) for lease in leases if lease.region_id in views
    )
    remaining, total = web.queue.progress()
    return QueueView(samples=samples, remaining=remaining, total=total)


def queue_sample(view: SampleView, asked: tuple[str, ...], until: float) -> QueueSample:
    """A sample with its lease."""
    return QueueSample(**dict(view), asked=asked, until=until)


@router.post("/leases/renew")
def renew_leases(body: LeaseRequest, web: InWeb, person: Person) -> LeaseView:
    """Extend the leases of samples that a page still holds."""
    with reading(web.project.engine) as connection:
        regions = regions_by_public_id(connection, body.samples)
    lost = set(web.queue.renew(person, list(regions.values())))
    return LeaseView(lost=tuple(public_id for public_id, region_id in regions.items() if region_id in lost))


@router.post("/leases/release")
def release_leases(body: LeaseRequest, web: InWeb, person: Person) -> LeaseView:
    """Give samples back, so that others may get them at once."""

    def work() -> None:
        with writing(web.project.engine) as connection:
            regions = regions_by_public_id(connection, body.samples)
            web.queue.release(connection, person, regions.values())

    retrying(work)
    return LeaseView(lost=())


@router.post("/labels")
def add_labels(body: StepRequest, web: InWeb, person: Person) -> StepView:
    """Add the claims of one step. Sent again under the same key it adds nothing and answers the same."""

    def work() -> tuple[list[int], set[int]]:
        with writing(web.project.engine) as connection:
            claims = web.parse_claims(connection, body.claims)
            ids = record(connection, person, body.key, claims)
            shown = web.regions(connection, [one.sample for one in body.claims if one.sample is not None])
            web.queue.release_answered(connection, person, set(shown.values()))
            return ids, images_about(connection, claims)

    ids, images = retrying(work)
    web.surveyor.touch(images)
    return StepView(key=body.key, labels=tuple(ids))


@router.post("/undo")
def undo_step(body: UndoRequest, web: InWeb, person: Person) -> UndoView:
    """Take back a step of the person by its key, or the last one; its samples are leased to the person again."""

    def work() -> tuple[list[Claim], set[int]]:
        with writing(web.project.engine) as connection:
            claims = undo(connection, person, body.key, body.step)
            return claims, images_about(connection, claims)

    claims, images = retrying(work)
    web.surveyor.touch(images)
    region_ids = list(dict.fromkeys(claim.region_id for claim in claims if claim.region_id is not None))
    web.queue.reopen(region_ids)
    lost = set(web.queue.renew(person, region_ids[:MAX_COUNT]))
    mine = [one for one in region_ids[:MAX_COUNT] if one not in lost]
    return UndoView(claims=tuple(claim_view(claim) for claim in claims), samples=_asked_again(web, person, mine))


def _asked_again(web: Web, person: str, region_ids: Sequence[int]) -> tuple[QueueSample, ...]:
    until = time.time() + web.project.settings.annotate.lease
    views = web.views(region_ids)
    with reading(web.project.engine) as connection:
        asked = web.queue.asked_of(connection, person, list(views))
    return tuple(queue_sample(view, asked[region_id], until) for region_id, view in views.items())


@router.get("/samples/{public_id}")
def sample(public_id: PublicId, web: InWeb, _: Reader) -> SampleView:
    """One sample with all that is claimed of it."""
    with reading(web.project.engine) as connection:
        region_id = web.regions(connection, [public_id])[public_id]
    return web.views([region_id])[region_id]


@router.get("/samples")
def samples(web: InWeb, person: Person, ids: Annotated[str, Query(max_length=2000)]) -> tuple[QueueSample, ...]:
    """Samples by their ids, separated by commas, with what they still ask of the person; nothing is leased."""
    with reading(web.project.engine) as connection:
        regions = web.regions(connection, [one for one in ids.split(",") if one])
    return _asked_again(web, person, list(regions.values()))


@router.get("/events")
def events(
    web: InWeb, _: Reader, since: Annotated[int, Query(description="cursor of the last answer; -1 at first")] = -1
) -> EventsView:
    """What people claimed and took back since the cursor. An event may come twice; its id tells."""
    label = schema.label
    with reading(web.project.engine) as connection:
        newest: int = connection.execute(sa.select(sa.func.coalesce(sa.func.max(label.c.id), 0))).scalar_one()
        if since < 0:
            return EventsView(cursor=newest, events=())
        late = label.c.created_at > time.time() - _OVERLAP_SECONDS
        statement = (
            sa.select(label)
            .where(label.c.id > since - _OVERLAP_ROWS, label.c.id <= newest, label.c.who == "person")
            .where((label.c.id > since) | late)
            .order_by(label.c.id)
            .limit(_MAX_EVENTS)
        )
        rows = connection.execute(statement).mappings().all()
        public_ids = _public_ids(connection, {row["region_id"] for row in rows if row["region_id"] is not None})
    cursor = rows[-1]["id"] if len(rows) == _MAX_EVENTS else newest
    return EventsView(
        cursor=max(cursor, since),
        events=tuple(
            EventView(
                id=row["id"],
                sample=public_ids.get(row["region_id"]),
                item=row["item_id"],
                attribute=row["attribute"],
                value=row["value"],
                actor=row["actor"],
                retracts=row["retracts"],
            )
            for row in rows
        ),
    )


def _public_ids(connection: Connection, region_ids: set[int]) -> dict[int, str]:
    region = schema.region
    found: dict[int, str] = {}
    for part in chunks(sorted(region_ids)):
        statement = sa.select(region.c.id, region.c.region_key).where(region.c.id.in_(part))
        found.update((row[0], public_id_of(row[1])) for row in connection.execute(statement))
    return found
