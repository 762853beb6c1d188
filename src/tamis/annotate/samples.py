"""Samples as the browser sees them: picture, crop, item, claims in force, gold and verdict, read for many at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from tamis.annotate.claims import claims_in_force
from tamis.annotate.messages import ClaimView, GoldView, ItemSummary, SampleView, VerdictView
from tamis.annotate.questions import first_items
from tamis.config import Settings
from tamis.database import chunks
from tamis.dataset.claims import Claim
from tamis.dataset.copies import shots_of
from tamis.dataset.gold import Gold, Precision, gold_of_chosen
from tamis.dataset.verdicts import verdicts_of_chosen
from tamis.records import digest
from tamis.schema import image, inspection, item, picture, region
from tamis.stages.policy import read_chosen
from tamis.vision.boxes import CropBox, expand

PUBLIC_ID_LENGTH = 16
_DESCRIPTION_SHOWN = 4000
_GALLERY_SHOWN = 24
_NOT_CHOSEN = VerdictView(value="reject", cause="not_chosen", reason="not chosen by the settings, or superseded")


def public_id_of(region_key: str) -> str:
    """The stable public id of the sample that a region makes."""
    return region_key[:PUBLIC_ID_LENGTH]


def regions_by_public_id(connection: Connection, public_ids: Collection[str]) -> dict[str, int]:
    """Map public ids to regions; unknown ids are left out."""
    found: dict[str, int] = {}
    for part in chunks(sorted(set(public_ids)), 100):
        # A range is found by the index under every collation; a pattern is not.
        ranges = [region.c.region_key.between(one + "0" * 16, one + "f" * 16) for one in part]
        statement = sa.select(region.c.region_key, region.c.id).where(sa.or_(*ranges))
        found.update((public_id_of(row[0]), row[1]) for row in connection.execute(statement))
    return found


def crop_of(settings: Settings, box: tuple[float, float, float, float], size_wh: tuple[int, int]) -> CropBox:
    """What the crop of a raw box shows under the project's settings."""
    return expand(box, size_wh, settings.detect.margin, settings.detect.crop_aspect)


def read_samples(
    connection: Connection, settings: Settings, region_ids: Sequence[int], precision: Precision
) -> dict[int, SampleView]:
    """Return the views of the regions that exist, in the order given."""
    rows = _region_rows(connection, region_ids)
    item_of = first_items(connection, {row["image_id"] for row in rows.values()})
    items = read_items(connection, set(item_of.values()))
    galleries = _galleries(connection, set(item_of.values()))
    claims = claims_in_force(connection, list(rows), items)
    by_region, by_item = group_claims(claims)
    verdicts, golds = judge(connection, settings, rows, precision)
    views: dict[int, SampleView] = {}
    for region_id in region_ids:
        if (row := rows.get(region_id)) is None:
            continue
        item_id = item_of.get(row["image_id"])
        gallery = galleries.get(item_id, []) if item_id is not None else []
        owned = [*by_region.get(region_id, ()), *by_item.get(item_id or 0, ())]
        views[region_id] = SampleView(
            **picture_fields(settings, row),
            verdict=verdicts.get(region_id, _NOT_CHOSEN),
            item=items.get(item_id) if item_id is not None else None,
            position=_place(gallery, row["image_id"]),
            gallery=tuple(image_url(sha256) for _, sha256 in gallery[:_GALLERY_SHOWN] if sha256),
            claims=tuple(claim_view(claim) for claim in owned),
            gold=golds.get(region_id, {}),
        )
    return views


def _region_rows(connection: Connection, region_ids: Sequence[int]) -> dict[int, Mapping[str, Any]]:
    rows: dict[int, Mapping[str, Any]] = {}
    for part in chunks(region_ids):
        statement = (
            sa.select(region, image.c.sha256, inspection.c.width, inspection.c.height)
            .join(image, image.c.id == region.c.image_id)
            .outerjoin(inspection, inspection.c.image_id == region.c.image_id)
            .where(region.c.id.in_(part))
        )
        rows.update((row["id"], dict(row)) for row in connection.execute(statement).mappings())
    return rows


def picture_fields(settings: Settings, row: Mapping[str, Any]) -> dict[str, Any]:
    """What a sample's picture is and where it is rendered, from a row of its region with the image's facts."""
    box = (row["x0"], row["y0"], row["x1"], row["y1"])
    size_wh = (row["width"] or max(1, round(box[2])), row["height"] or max(1, round(box[3])))
    crop = crop_of(settings, box, size_wh)
    public_id = public_id_of(row["region_key"])
    # The version changes with what the crop shows, so that a browser may keep it for ever.
    version = digest(row["sha256"], repr(crop))[:8]
    return {
        "id": public_id,
        "sha256": row["sha256"],
        "image_wh": size_wh,
        "box": box,
        "crop": crop,
        "crop_url": f"/image/{public_id}/crop?v={version}",
        "image_url": image_url(row["sha256"]),
        "kind": row["kind"],
        "class_name": row["class_name"],
        "score": row["score"],
    }


def image_url(sha256: str) -> str:
    """Where a whole picture is rendered; `&size=` is to be added."""
    return f"/image/{sha256}/thumb?v=1"


def read_items(connection: Connection, item_ids: Collection[int]) -> dict[int, ItemSummary]:
    """Return what is shown of the items, by id."""
    found: dict[int, ItemSummary] = {}
    for part in chunks(sorted(item_ids)):
        for row in connection.execute(sa.select(item).where(item.c.id.in_(part))).mappings():
            found[row["id"]] = ItemSummary(
                **{name: row[name] for name in ItemSummary.model_fields if name != "description"},
                description=row["description"][:_DESCRIPTION_SHOWN],
            )
    return found


def _galleries(connection: Connection, item_ids: Collection[int]) -> dict[int, list[tuple[int | None, str | None]]]:
    """Item to the image, id and SHA-256, of each of its pictures in order; None before it is downloaded."""
    found: dict[int, list[tuple[int | None, str | None]]] = {}
    for part in chunks(sorted(item_ids)):
        statement = (
            sa.select(picture.c.item_id, picture.c.image_id, image.c.sha256)
            .outerjoin(image, image.c.id == picture.c.image_id)
            .where(picture.c.item_id.in_(part))
            .order_by(picture.c.position, picture.c.id)
        )
        for item_id, image_id, sha256 in connection.execute(statement):
            found.setdefault(item_id, []).append((image_id, sha256))
    return found


def _place(gallery: Sequence[tuple[int | None, str | None]], image_id: int) -> tuple[int, int] | None:
    """Place of an image in a gallery, from 1, and the number of pictures there."""
    for place, (shown, _) in enumerate(gallery, 1):
        if shown == image_id:
            return place, len(gallery)
    return None


def group_claims(
    claims: Iterable[Claim],
) -> tuple[dict[int, list[Claim]], dict[int, list[Claim]]]:
    """Return the claims by region and by item."""
    by_region: dict[int, list[Claim]] = {}
    by_item: dict[int, list[Claim]] = {}
    for claim in claims:
        if claim.item_id is not None:
            by_item.setdefault(claim.item_id, []).append(claim)
        elif claim.region_id is not None:
            by_region.setdefault(claim.region_id, []).append(claim)
    return by_region, by_item


def claim_view(claim: Claim) -> ClaimView:
    """A claim as the browser sees it."""
    return ClaimView(**{name: getattr(claim, name) for name in ClaimView.model_fields})


def judge(
    connection: Connection, settings: Settings, rows: Mapping[int, Mapping[str, Any]], precision: Precision
) -> tuple[dict[int, VerdictView], dict[int, dict[str, GoldView]]]:
    """Return verdict and gold of regions. One that the settings do not choose has neither."""
    chosen = list(read_chosen(connection, settings, {row["image_id"] for row in rows.values()}))
    shots = shots_of(connection, settings, chosen)
    wanted = [one for one in chosen if one.region_id in rows]
    verdicts = {
        one.region_id: VerdictView(value=one.verdict, cause=one.cause, reason=one.reason)
        for one in verdicts_of_chosen(connection, settings, wanted, shots)
    }
    names = [attribute.name for attribute in settings.attributes]
    golds: dict[int, dict[str, GoldView]] = {}
    for gold in gold_of_chosen(connection, wanted, shots, names, precision):
        assert gold.region_id is not None
        golds.setdefault(gold.region_id, {})[gold.attribute] = gold_view(gold)
    return verdicts, golds


def gold_view(gold: Gold) -> GoldView:
    """A gold label as the browser sees it."""
    return GoldView(
        value=gold.value,
        who=gold.who,
        actor=gold.actor,
        confidence=gold.confidence,
        disputed=gold.disputed,
        evidence=gold.claims[0].evidence,
    )
