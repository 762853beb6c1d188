"""The masks of regions, from the database's rows to the lines that a snapshot freezes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import sqlalchemy as sa

from tamis import schema
from tamis.database import chunks
from tamis.dataset.maskfile import FrozenMask
from tamis.vision.masks import decode, to_coco


def read_masks(connection: sa.Connection, regions: Mapping[str, int]) -> Iterator[FrozenMask]:
    """Yield the masks of regions that have one.

    Args:
        connection: the project's database.
        regions: sample id -> region id; the masks come in this order.
    """
    column = schema.mask.c
    columns = (column.region_id, column.method, column.width, column.height, column.counts)
    for part in chunks(list(regions.items())):
        query = sa.select(*columns).where(column.region_id.in_([region for _, region in part]))
        found = {row.region_id: row for row in connection.execute(query)}
        for sample, region in part:
            if row := found.get(region):
                size_wh = (row.width, row.height)
                yield FrozenMask(sample, row.method, size_wh, to_coco(decode(row.counts, size_wh)))
