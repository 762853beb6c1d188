"""The demo's result beside the known truth: one row a thing that was to be found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from tamis import schema
from tamis.database import reading
from tamis.dataset.gold import resolve_gold, resolve_item_gold
from tamis.demo.render.subject import EXTERIOR_VIEWS, VIEWS
from tamis.demo.truth import ItemTruth, PictureTruth, Truth
from tamis.project import Project
from tamis.stages.policy import read_chosen
from tamis.vision.boxes import as_boxes, iou


@dataclass(frozen=True, slots=True)
class Score:
    """One line of the demo's table; `right` of `total`, and what else is to be said."""

    what: str
    right: float
    total: float
    note: str = ""

    @property
    def share(self) -> float:
        """Right of all, 0 to 1."""
        return self.right / self.total if self.total else 0.0


def score(project: Project, truth: Truth) -> list[Score]:
    """Compare what the project holds with the truth, step by step."""
    with reading(project.engine) as connection:
        shown = shown_in(connection, truth)
        return [
            *_items(connection, truth),
            *_pictures(connection, truth),
            *_duplicates(connection, shown),
            *_regions(connection, project, shown),
            *_mined(connection, truth),
            *_gold(connection, project, shown),
        ]


def shown_in(connection: Connection, truth: Truth) -> dict[int, PictureTruth]:
    """Image id -> the truth about one picture that shows it."""
    by_url = {picture.url: picture for picture in truth.pictures}
    rows = connection.execute(
        sa.select(schema.picture.c.image_id, schema.picture.c.url)
        .where(schema.picture.c.image_id.is_not(None))
        .order_by(schema.picture.c.id.desc())
    )
    return {image_id: by_url[url] for image_id, url in rows if url in by_url}


def _items(connection: Connection, truth: Truth) -> list[Score]:
    rows = {row.url: row for row in connection.execute(sa.select(schema.item))}
    found = [(item, rows[item.url]) for item in truth.items if item.url in rows]
    total = len(truth.items)
    years = [(item.year_stated, row.attributes.get("year")) for item, row in found if item.year_stated]
    return [
        Score("items found", len(found), total, f"{len(rows) - len(found)} others"),
        Score("titles", sum(row.title == item.title for item, row in found), total),
        Score("prices", sum(row.price == item.price and row.currency == item.currency for item, row in found), total),
        Score("makes", sum(row.brand == item.make for item, row in found), total),
        Score("years, where stated", sum(str(stated) == str(read) for stated, read in years), len(years)),
    ]


def _pictures(connection: Connection, truth: Truth) -> list[Score]:
    rows = {row.url: row for row in connection.execute(sa.select(schema.picture))}
    unreadable = set(
        connection.execute(
            sa.select(schema.inspection.c.image_id).where(schema.inspection.c.readable.is_(sa.false()))
        ).scalars()
    )
    wanted = {picture.url: picture for picture in truth.pictures}
    good = [url for url, picture in wanted.items() if picture.outcome == "ok"]
    bad = [url for url, picture in wanted.items() if picture.outcome != "ok"]

    def survived(url: str) -> bool:
        row = rows.get(url)
        return row is not None and row.state != "pending" and (row.image_id is None or row.image_id in unreadable)

    pages = {row.url: row for row in connection.execute(sa.select(schema.page))}
    lost = [page for page in truth.pages if page.outcome != "ok"]
    kept_out = sum(page.url not in pages or pages[page.url].body_sha256 is None for page in lost)
    return [
        Score("pictures found", sum(url in rows for url in wanted), len(wanted)),
        Score(
            "good pictures downloaded", sum(url in rows and rows[url].image_id is not None for url in good), len(good)
        ),
        Score("picture faults survived", sum(map(survived, bad)), len(bad), "each a row with its reason"),
        Score("vanished and forbidden pages", kept_out, len(lost), "told apart, or never asked for"),
    ]


def _duplicates(connection: Connection, shown: Mapping[int, PictureTruth]) -> list[Score]:
    clusters: dict[int, list[int]] = defaultdict(list)
    rows = connection.execute(sa.select(schema.cluster).where(schema.cluster.c.level == "image"))
    for row in rows:
        clusters[row.keeper_id].append(row.member_id)
    said = set(_pairs(members for members in clusters.values()))
    shots: dict[str, list[int]] = defaultdict(list)
    for image_id, picture in shown.items():
        if picture.file is not None:
            shots[picture.file].append(image_id)
    true = set(_pairs(shots.values()))
    return [
        Score("duplicate pairs found (recall)", len(said & true), len(true)),
        Score("duplicate pairs right (precision)", len(said & true), len(said)),
    ]


def _pairs(groups: Iterable[Sequence[int]]) -> Iterable[tuple[int, int]]:
    for group in groups:
        yield from combinations(sorted(group), 2)


def _regions(connection: Connection, project: Project, shown: Mapping[int, PictureTruth]) -> list[Score]:
    overlaps: list[float] = []
    chosen = {region.image_id: region for region in read_chosen(connection, project.settings)}
    for image_id, picture in shown.items():
        if picture.view not in EXTERIOR_VIEWS or picture.box_xyxy is None or image_id not in chosen:
            continue
        region = chosen[image_id]
        found = region.kind == "detected"
        overlaps.append(float(iou(as_boxes([region.box_xyxy]), as_boxes([picture.box_xyxy]))[0, 0]) if found else 0.0)
    hits = [overlap for overlap in overlaps if overlap > 0]
    mean = sum(hits) / len(hits) if hits else 0.0
    return [
        Score("cars found in exterior views", len(hits), len(overlaps)),
        Score("boxes with IoU 0.5 or more", sum(o >= 0.5 for o in overlaps), len(overlaps), f"mean IoU {mean:.3f}"),
    ]


def _mined(connection: Connection, truth: Truth) -> list[Score]:
    urls = {row.id: row.url for row in connection.execute(sa.select(schema.item.c.id, schema.item.c.url))}
    items = {item.url: item for item in truth.items}
    scores = []
    for attribute in ("colour", "body"):
        rows = connection.execute(
            sa.select(schema.label.c.item_id, schema.label.c.value)
            .where(
                schema.label.c.who == "rule", schema.label.c.attribute == attribute, schema.label.c.value.is_not(None)
            )
            .order_by(schema.label.c.id)
        ).all()
        said = {urls[item_id]: value for item_id, value in rows if urls[item_id] in items}
        stated = {
            url: class_of(item, f"{attribute}_stated")
            for url, item in items.items()
            if getattr(item, f"{attribute}_stated") is not None
        }
        right = sum(said.get(url) == value for url, value in stated.items())
        true = sum(value == class_of(items[url], attribute) for url, value in said.items())
        scores.append(Score(f"{attribute} mined, where stated", right, len(stated), f"{true} of {len(said)} are true"))
    return scores


def _gold(connection: Connection, project: Project, shown: Mapping[int, PictureTruth]) -> list[Score]:
    images = {region.region_id: region.image_id for region in read_chosen(connection, project.settings)}
    right = total = 0
    for gold in resolve_gold(connection, project.settings, ["view"]):
        picture = shown.get(images.get(gold.region_id or -1, -1))
        if picture is not None and gold.value is not None and picture.view is not None:
            total += 1
            right += gold.value == class_of(picture, "view")
    scores = [Score("gold labels of the view", right, total, "by the scripted annotator, who errs")]
    item_cars = {picture.url: picture for picture in shown.values()}
    return scores + [_item_gold(connection, project, attribute, item_cars) for attribute in ("colour", "body")]


def _item_gold(connection: Connection, project: Project, attribute: str, pictures: Mapping[str, PictureTruth]) -> Score:
    truth_of_item: dict[int, Any] = {}
    for item_id, url in connection.execute(sa.select(schema.picture.c.item_id, schema.picture.c.url)):
        picture = pictures.get(url)
        if picture is not None and getattr(picture, attribute) is not None:
            truth_of_item[item_id] = class_of(picture, attribute)
    right = total = 0
    for gold in resolve_item_gold(connection, project.settings, [attribute]):
        if gold.item_id in truth_of_item and gold.value is not None:
            total += 1
            right += gold.value == truth_of_item[gold.item_id]
    return Score(f"gold labels of the {attribute}", right, total)


#: The truth's words as annotators and rules say them: left and right quarters are one class of views.
_CLASSES = {
    "front_left": "front_quarter", "front_right": "front_quarter", "rear_left": "rear_quarter",
    "rear_right": "rear_quarter", "odometer": "interior",
}  # fmt: skip
VIEW_CLASSES = tuple(dict.fromkeys(_CLASSES.get(view, view) for view in VIEWS))


def class_of(thing: PictureTruth | ItemTruth, name: str) -> str | None:
    """What the truth says of a picture or item, in the classes of the demo's attributes."""
    value = getattr(thing, name)
    return None if value is None else _CLASSES.get(value, value)
