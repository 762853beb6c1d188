"""Items as people name them: by number, or by the URL of their page."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy import Connection

from tamis import schema
from tamis.errors import UserError


def find_items(connection: Connection, names: Iterable[str]) -> dict[int, str]:
    """Return id and URL of the items of these numbers or URLs.

    Raises:
        UserError: no item has the number or the URL.
    """
    item = schema.item.c
    found: dict[int, str] = {}
    for name in names:
        is_it = item.id == int(name) if name.isdecimal() else item.url == name
        rows = connection.execute(sa.select(item.id, item.url).where(is_it)).all()
        if not rows:
            raise UserError(f"there is no item {name}: name it by its number or its page's URL")
        found.update((row.id, row.url) for row in rows)
    return found
