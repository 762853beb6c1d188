"""Which attributes of a sample are still to be asked, of whom: derived from the claims of people alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from tamis.annotate.claims import claims_in_force
from tamis.config import Settings
from tamis.database import chunks
from tamis.dataset.claims import Claim
from tamis.dataset.gold import decide
from tamis.labels import VERDICT, VERDICT_ATTRIBUTE, Attribute
from tamis.schema import assignment, picture, region


def asked_attributes(settings: Settings) -> tuple[Attribute, ...]:
    """The attributes that annotators are asked for: the declared ones, or the verdict where there are none."""
    return settings.attributes or (VERDICT_ATTRIBUTE,)


def is_open(claims: Iterable[Claim], person: str, *, second_opinion: bool = False) -> bool:
    """Return whether one attribute of one subject is still to be asked of a person.

    Closed is what the person answered or passed over, and what others agree on; where people disagree somebody else
    is asked. With `second_opinion` the answers of others close nothing.
    """
    of_people = [claim for claim in claims if claim.who == "person"]
    if any(claim.actor == person for claim in of_people):
        return False
    gold = decide("", of_people, {})
    return second_opinion or gold is None or gold.disputed


@dataclass(frozen=True, slots=True)
class Subject:
    """A region as the queue sees it; `item_id` is the item that its image was first seen with."""

    region_id: int
    item_id: int | None


def subjects_of(connection: Connection, region_ids: Collection[int]) -> list[Subject]:
    """Return the regions with their items, in the order given."""
    image_of: dict[int, int] = {}
    for part in chunks(region_ids):
        rows = connection.execute(sa.select(region.c.id, region.c.image_id).where(region.c.id.in_(part)))
        image_of.update((row[0], row[1]) for row in rows)
    item_of = first_items(connection, set(image_of.values()))
    return [Subject(one, item_of.get(image_of[one])) for one in region_ids if one in image_of]


def first_items(connection: Connection, image_ids: Collection[int]) -> dict[int, int]:
    """Map images to the item that showed them first."""
    found: dict[int, int] = {}
    for part in chunks(sorted(image_ids)):
        first = (
            sa.select(sa.func.min(picture.c.id)).where(picture.c.image_id.in_(part)).group_by(picture.c.image_id)
        ).subquery()
        statement = sa.select(picture.c.image_id, picture.c.item_id).where(picture.c.id.in_(sa.select(first)))
        found.update((row[0], row[1]) for row in connection.execute(statement))
    return found


class Questions:
    """What a set of samples still asks of one person; reads the claims once for all of them."""

    def __init__(
        self,
        connection: Connection,
        subjects: Sequence[Subject],
        attributes: Sequence[Attribute],
        person: str,
        *,
        second_opinion: bool = False,
    ) -> None:
        self._attributes = attributes
        self._person = person
        self._second_opinion = second_opinion
        needs_items = any(attribute.scope == "item" for attribute in attributes)
        items = {one.item_id for one in subjects if one.item_id is not None} if needs_items else set()
        self._claims: dict[tuple[str, int, str], list[Claim]] = {}
        for claim in claims_in_force(connection, {one.region_id for one in subjects}, items):
            subject = ("item", claim.item_id) if claim.item_id is not None else ("region", claim.region_id)
            assert subject[1] is not None
            self._claims.setdefault((subject[0], subject[1], claim.attribute), []).append(claim)

    def open_for(self, subject: Subject, busy_items: Collection[int] = ()) -> tuple[str, ...]:
        """Names of the attributes to ask; those of an item that somebody else is being asked about are left out."""
        verdicts = self._claims.get(("region", subject.region_id, VERDICT), [])
        if any(claim.who == "person" and claim.value == "reject" for claim in verdicts):
            return ()
        return tuple(
            attribute.name
            for attribute in self._attributes
            if self._asks(subject, attribute) and not (attribute.scope == "item" and subject.item_id in busy_items)
        )

    def _asks(self, subject: Subject, attribute: Attribute) -> bool:
        key = subject.item_id if attribute.scope == "item" else subject.region_id
        if key is None:
            return False
        claims = self._claims.get((attribute.scope, key, attribute.name), [])
        return is_open(claims, self._person, second_opinion=self._second_opinion)


def busy_items(connection: Connection, person: str, now: float) -> set[int]:
    """Items of which somebody else has a sample on the screen."""
    leased = (
        sa.select(region.c.image_id)
        .join(assignment, assignment.c.region_id == region.c.id)
        .where(assignment.c.person != person, assignment.c.until > now)
    )
    image_ids = set(connection.execute(leased).scalars())
    return set(first_items(connection, image_ids).values())
