"""A small world of rows for tests of what is derived from the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from tamis import schema
from tamis.records import Box, Region, RegionKind, digest

SIZE_WH = (1000, 800)


class World:
    """Inserts rows with sensible values in all columns that a test does not care about; returns their ids."""

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection
        self._made = 0
        self._source: int | None = None

    def add(self, table: sa.Table, **values: Any) -> int:
        """Insert a row and return its id."""
        result = self.connection.execute(table.insert().values(**values))
        key = result.inserted_primary_key
        assert key is not None
        return int(key[0]) if isinstance(key[0], int) else 0

    @property
    def source(self) -> int:
        if self._source is None:
            self._source = self.add(schema.source, name="site", kind="site", address="http://s/", recipe="generic")
        return self._source

    def item(self, title: str = "a thing", seller: str | None = None, **values: Any) -> int:
        self._made += 1
        url = f"http://s/item/{self._made}"
        row: dict[str, Any] = {
            "item_key": digest(url), "source_id": self.source, "url": url, "title": title, "description": "",
            "attributes": {}, "sources": {}, "raw": {}, "digest": digest(title), "first_seen": 1.0, "last_seen": 1.0,
            "seller": seller,
        }  # fmt: skip
        return self.add(schema.item, **row | values)

    def image(self, size_wh: tuple[int, int] = SIZE_WH, *, data: bytes | None = None, **inspection: Any) -> int:
        """An inspected image; `readable=False` makes a broken one."""
        self._made += 1
        content = sha256(data if data is not None else f"image {self._made}".encode()).hexdigest()
        image = self.add(schema.image, sha256=content, size=len(data or b"x"), first_seen=1.0)
        facts: dict[str, Any] = {
            "readable": True, "width": size_wh[0], "height": size_wh[1], "sharpness": 5.0, "contrast": 0.2,
            "text_share": 0.0,
        }  # fmt: skip
        self.add(schema.inspection, image_id=image, **facts | inspection)
        return image

    def picture(self, item: int, image: int | None, position: int = 0, **values: Any) -> int:
        self._made += 1
        url = f"http://s/picture/{self._made}.jpg"
        row: dict[str, Any] = {
            "item_id": item, "position": position, "url_key": digest(url), "url": url, "host": "s", "state": "done",
            "outcome": "ok", "attempts": 1, "not_before": 0.0, "image_id": image, "downloaded_at": 2.0,
        }  # fmt: skip
        return self.add(schema.picture, **row | values)

    def region(
        self,
        image: int,
        kind: RegionKind = "whole",
        box: Box | None = None,
        *,
        score: float = 1.0,
        class_name: str = "",
        **values: Any,
    ) -> int:
        image_row = sa.select(schema.image.c.sha256, schema.inspection.c.width, schema.inspection.c.height)
        image_row = image_row.join(schema.inspection).where(schema.image.c.id == image)
        content, width, height = self.connection.execute(image_row).one()
        origin = values.pop("origin", "")
        record = Region(image, content, kind, box or (0, 0, width or 0, height or 0), origin, class_name, score)
        x0, y0, x1, y1 = record.box_xyxy
        row: dict[str, Any] = {
            "region_key": record.region_key, "image_id": image, "kind": kind, "origin": origin, "score": score,
            "class_name": class_name, "x0": x0, "y0": y0, "x1": x1, "y1": y1, "created_at": 3.0,
        }  # fmt: skip
        return self.add(schema.region, **row | values)

    def shot(self, item: int | None = None, **inspection: Any) -> tuple[int, int]:
        """An image of an item with its whole region: (image id, region id)."""
        image = self.image(**inspection)
        if item is not None:
            self.picture(item, image)
        return image, self.region(image)

    def claim(
        self,
        value: str | None,
        *,
        region: int | None = None,
        item: int | None = None,
        attribute: str = "colour",
        actor: str = "anna",
        who: str = "person",
        **values: Any,
    ) -> int:
        row: dict[str, Any] = {
            "region_id": region, "item_id": item, "attribute": attribute, "value": value, "who": who, "actor": actor,
            "confidence": 1.0, "created_at": 4.0,
        }  # fmt: skip
        return self.add(schema.label, **row | values)

    def retract(self, claim: int) -> int:
        """Take a claim back."""
        taken = self.connection.execute(sa.select(schema.label).where(schema.label.c.id == claim)).one()
        return self.claim(
            None, region=taken.region_id, item=taken.item_id, attribute=taken.attribute, actor=taken.actor,
            who=taken.who, retracts=claim,
        )  # fmt: skip

    def cluster(self, level: str, keeper: int, *losers: int, kind: str = "recompressed") -> None:
        """Make a cluster of a keeper and its copies."""
        common = {"level": level, "keeper_id": keeper}
        self.connection.execute(
            schema.cluster.insert(),
            [
                common | {"member_id": keeper, "kind": "keeper", "score": 1.0},
                *(common | {"member_id": loser, "kind": kind, "score": 0.9} for loser in losers),
            ],
        )


@cache
def _engine() -> sa.Engine:
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    schema.metadata.create_all(engine)
    return engine


@contextmanager
def memory() -> Iterator[sa.Connection]:
    """A database in memory with all tables; what is inserted is rolled back, so that each example starts empty."""
    with _engine().connect() as connection:
        transaction = connection.begin()
        try:
            yield connection
        finally:
            transaction.rollback()
