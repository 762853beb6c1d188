"""The candidates of a snapshot: chosen regions with their verdicts and gold labels, and where they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import sqlalchemy as sa

from tamis import schema
from tamis.config import Settings
from tamis.dataset.claims import rows_for
from tamis.dataset.copies import Shots, shots_of
from tamis.dataset.gold import Gold, batches, gold_of_chosen
from tamis.dataset.precision import measure_precision
from tamis.dataset.verdicts import RegionVerdict, unreadable_images, verdicts_of_chosen
from tamis.stages.policy import ChosenRegion, read_chosen

#: `progress(done, total, text)`.
Progress = Callable[[int, int | None, str], None]
#: Hexadecimal digits of a region's key that name its samples.
ID_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Origin:
    """An item that shows an image, and the picture by which it does."""

    item_id: int
    item_key: str
    item_url: str
    item_title: str
    seller: str | None
    picture_url: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A region that its verdict admits.

    `golds` leave their claims out; `origins` are ordered by the item's address, those of its own image first.
    """

    region: ChosenRegion
    verdict: Literal["keep", "questionable"]
    reason: str
    golds: tuple[Gold, ...]
    origins: tuple[Origin, ...]

    @property
    def id(self) -> str:
        """The public id: stable over snapshots, machines and databases."""
        return public_id(self.region.region_key)


@dataclass(frozen=True, slots=True)
class Dropped:
    """What is left out of a snapshot, and why; `id` is empty for an image without regions."""

    id: str
    sha256: str
    verdict: str
    reason: str


def public_id(region_key: str) -> str:
    """Return the id by which the samples of a region are known."""
    return region_key[:ID_DIGITS]


def read_candidates(
    connection: sa.Connection,
    settings: Settings,
    attributes: Sequence[str],
    *,
    progress: Progress | None = None,
) -> Iterator[Candidate | Dropped]:
    """Yield every chosen region, as a candidate or dropped by its verdict, then the unreadable images."""
    precision = measure_precision(connection)
    counted = sa.select(sa.func.count()).where(schema.inspection.c.readable.is_(sa.true()))
    total = connection.scalar(counted)
    images = 0
    for batch in batches(read_chosen(connection, settings)):
        shots = shots_of(connection, settings, batch)
        admitted: dict[int, RegionVerdict] = {}
        for one, verdict in zip(batch, verdicts_of_chosen(connection, settings, batch, shots), strict=True):
            if verdict.verdict in settings.snapshot.verdicts:
                admitted[one.region_id] = verdict
            else:
                yield Dropped(public_id(one.region_key), one.sha256, verdict.verdict, verdict.reason)
        kept = [one for one in batch if one.region_id in admitted]
        golds: dict[int, list[Gold]] = {one.region_id: [] for one in kept}
        for gold in gold_of_chosen(connection, kept, shots, attributes, precision):
            if gold.region_id is not None:
                golds[gold.region_id].append(replace(gold, claims=()))  # a million samples stay in memory
        yield from _candidates(connection, kept, shots, admitted, golds)
        images += len({one.image_id for one in batch})
        if progress is not None:
            progress(images, total, "images judged")
    for image in unreadable_images(connection):
        yield Dropped("", image.sha256, image.verdict, image.reason)


def _candidates(
    connection: sa.Connection,
    kept: Sequence[ChosenRegion],
    shots: Shots,
    admitted: dict[int, RegionVerdict],
    golds: dict[int, list[Gold]],
) -> Iterator[Candidate]:
    origins = _origins(connection, {image for one in kept for image in shots.images[one.region_id]})
    for one in kept:
        own = origins.get(one.image_id, [])
        seen = {origin.item_id for origin in own}
        others = sorted(
            (origin for image in shots.images[one.region_id] - {one.image_id} for origin in origins.get(image, ())),
            key=lambda origin: (origin.item_url, origin.picture_url),
        )
        verdict = admitted[one.region_id]
        yield Candidate(
            region=one,
            verdict=cast(Literal["keep", "questionable"], verdict.verdict),
            reason=verdict.reason,
            golds=tuple(golds[one.region_id]),
            origins=(*own, *(origin for origin in others if origin.item_id not in seen)),
        )


def _origins(connection: sa.Connection, image_ids: set[int]) -> dict[int, list[Origin]]:
    """Image id -> the items that show it, by address; of several pictures of one item the first in its gallery."""
    item, picture = schema.item.c, schema.picture.c
    query = sa.select(
        picture.image_id, item.id, item.item_key, item.url, item.title, item.seller, picture.url.label("picture_url")
    )
    query = query.join(schema.item, item.id == picture.item_id).order_by(picture.position, picture.url)

    def build(part: list[int]) -> sa.Select[Any]:
        return query.where(picture.image_id.in_(part))

    found: dict[int, dict[int, Origin]] = {}
    for row in rows_for(connection, build, image_ids):
        origin = Origin(row.id, row.item_key, row.url, row.title, row.seller, row.picture_url)
        found.setdefault(row.image_id, {}).setdefault(row.id, origin)
    return {
        image: sorted(origins.values(), key=lambda origin: (origin.item_url, origin.item_key))
        for image, origins in found.items()
    }
