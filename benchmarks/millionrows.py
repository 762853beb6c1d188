"""Synthetic rows of a project of any size, made inside the database."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import Connection

from tamis.database import writing
from tamis.engine.run import context_of
from tamis.engine.stage import Stage
from tamis.project import Project

#: Bytes of the part signatures of an image.
PARTS = 184


class Dialect:
    """What the three databases say differently."""

    def __init__(self, name: str, images: int) -> None:
        self.name, self.images = name, images

    def series(self, count: int) -> str:
        """A table of the numbers from 1 to `count`, in column `i`."""
        match self.name:
            case "sqlite":
                return (
                    f"(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {count}) SELECT i FROM n) s"
                )
            case "postgresql":
                return f"generate_series(1::bigint, {count}) AS s(i)"
            case _:
                return f"(SELECT seq AS i FROM seq_1_to_{count}) s"

    def hexadecimal(self, number: str, width: int) -> str:
        """The number as so many hexadecimal digits."""
        match self.name:
            case "sqlite":
                return f"printf('%0{width}x', {number})"
            case "postgresql":
                return f"lpad(to_hex({number}), {width}, '0')"
            case _:
                return f"lower(lpad(hex({number}), {width}, '0'))"

    @property
    def random(self) -> str:
        """A signed 64-bit number."""
        match self.name:
            case "sqlite":
                return "random()"
            case "postgresql":
                return "((random() - 0.5) * 18446744073709549568)::bigint"
            case _:
                return "cast((rand() - 0.5) * 18446744073709549568 as signed)"

    @property
    def parts(self) -> str:
        """Bytes as long as the signatures of an image's parts."""
        match self.name:
            case "sqlite":
                return f"randomblob({PARTS})"
            case "postgresql":
                return f"decode(left({' || '.join(['md5(random()::text)'] * (PARTS // 16 + 1))}, {2 * PARTS}), 'hex')"
            case _:
                return f"unhex(left(concat({', '.join(['md5(rand())'] * (PARTS // 16 + 1))}), {2 * PARTS}))"

    def boolean(self, condition: str) -> str:
        """A condition as a value."""
        return f"({condition})"


def fill(project: Project, stages: Sequence[Stage], images: int) -> None:
    """Fill the tables of an empty project as after a run of all stages over so many images."""
    say = Dialect(project.engine.dialect.name, images)
    fingerprints = {stage.name: stage.fingerprint(context_of(project)) for stage in stages}
    with writing(project.engine) as connection:
        _fill_crawl(connection, say, images)
        _fill_curation(connection, say, images)
        _fill_labels(connection, say, images)
        _fill_ledger(connection, say, images, fingerprints)
        if say.name == "postgresql":
            for table in ("source", "page", "item", "image", "picture", "region", "label"):
                sequence = f"pg_get_serial_sequence('{table}', 'id')"
                connection.execute(sa.text(f"SELECT setval({sequence}, (SELECT max(id) FROM {table}))"))
    statements = {"sqlite": ("ANALYZE",), "postgresql": ("VACUUM ANALYZE",)}.get(say.name, ())
    with project.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def _insert(connection: Connection, table: str, source: str, where: str = "", **columns: str) -> None:
    names, values = ", ".join(f"{name}" for name in columns), ", ".join(columns.values())
    connection.exec_driver_sql(
        f"INSERT INTO {table} ({names}) SELECT {values} FROM {source} {where}".replace("%", "%%")
        if connection.dialect.name != "sqlite"
        else f"INSERT INTO {table} ({names}) SELECT {values} FROM {source} {where}"
    )


def _fill_crawl(connection: Connection, say: Dialect, images: int) -> None:
    items = max(1, images // 10)
    _insert(connection, "source", say.series(1), id="i", name="'site'", kind="'site'", address="'https://example.org/'",
            recipe="'auto'", round="1")  # fmt: skip
    _insert(
        connection, "page", say.series(items), id="i", url_key=say.hexadecimal("i", 32), url="'https://example.org/item'",
        source_id="1", host="'example.org'", kind="'item'", state="'done'",
        outcome="CASE WHEN i % 50 = 0 THEN 'not_found' ELSE 'ok' END", depth="2", priority="0", attempts="1",
        not_before="0", fetched_at="1", reader="'r'", content_type="'text/html; charset=utf-8'",
    )  # fmt: skip
    _insert(
        connection, "item", say.series(items), id="i", item_key=say.hexadecimal("i", 32), source_id="1", page_id="i",
        url="'https://example.org/item'", title="'A car of the year 2020, blue, five doors'",
        description="'One owner, serviced, no accidents. Call us for a test drive any day of the week.'",
        attributes="'{}'", sources="'{}'", raw="'{}'", digest=say.hexadecimal("i", 32), first_seen="1", last_seen="1",
    )  # fmt: skip
    _insert(connection, "image", say.series(images), id="i", sha256=say.hexadecimal("i", 64), size="200000",
            first_seen="1")  # fmt: skip
    _insert(
        connection, "picture", say.series(images), id="i", item_id="(i - 1 - (i - 1) % 10) / 10 + 1", position="i % 10",
        url_key=say.hexadecimal("i", 32), photo_key=say.hexadecimal("i", 32),
        url="'https://img.example.org/photos/2026/11/large/picture.jpg'", host="'img.example.org'",
        state="CASE WHEN i % 1000 = 0 THEN 'failed' ELSE 'done' END",
        outcome="CASE WHEN i % 1000 = 0 THEN 'server_error' ELSE 'ok' END",
        reason="CASE WHEN i % 1000 = 0 THEN 'HTTP 503' END", attempts="1", not_before="0", downloaded_at="1",
        image_id="CASE WHEN i % 1000 > 0 THEN i END", where=f"WHERE i <= {items * 10}",
    )  # fmt: skip


def _fill_curation(connection: Connection, say: Dialect, images: int) -> None:
    _insert(
        connection, "inspection", say.series(images), image_id="i", readable=say.boolean("i % 100 <> 7"),
        format="'JPEG'", mode="'RGB'", width="1280", height="960", orientation="1", sharpness="5.5", brightness="0.5",
        contrast="0.2", clipped_dark="0.01", clipped_bright="0.01", noise="0.02", entropy="7.2", colourfulness="0.3",
        text_share="0.01", phash=say.random, phash_mirrored=say.random, dhash=say.random, parts=say.parts,
        pixel_digest=say.hexadecimal("i", 32),
    )  # fmt: skip
    common = {"level": "'image'", "kind": "'edited'", "score": "0.97"}
    pairs = "WHERE i % 20 = 1"
    _insert(
        connection, "relation", say.series(images - 1), pairs, **common, first_id="i", second_id="i + 1", distance="4"
    )
    _insert(connection, "cluster", say.series(images - 1), pairs, **common, member_id="i", keeper_id="i")
    _insert(connection, "cluster", say.series(images - 1), pairs, **common, member_id="i + 1", keeper_id="i")
    box = {"phash": say.random, "phash_mirrored": say.random, "dhash": say.random, "created_at": "1", "image_id": "i"}
    _insert(
        connection, "region", say.series(images), "WHERE i % 100 <> 7", id="2 * i - 1",
        region_key=say.hexadecimal("2 * i - 1", 32), kind="'whole'", origin="''", class_name="''", score="1",
        x0="0", y0="0", x1="1280", y1="960", **box,
    )  # fmt: skip
    _insert(
        connection, "region", say.series(images), "WHERE i % 100 <> 7 AND i % 10 <> 3", id="2 * i",
        region_key=say.hexadecimal("2 * i", 32), kind="'detected'", origin="'detector'", class_name="'car'",
        score="0.9", x0="100", y0="100", x1="1100", y1="900", **box,
    )  # fmt: skip


_CHOSEN = "CASE WHEN i % 10 = 3 THEN 2 * i - 1 ELSE 2 * i END"


def _fill_labels(connection: Connection, say: Dialect, images: int) -> None:
    common = {"attribute": "'view'", "confidence": "0.9", "created_at": "1"}
    chosen = "WHERE i % 100 <> 7 AND i % 20 <> 2"
    value = "CASE WHEN i % 3 = 0 THEN 'front' ELSE 'other' END"
    _insert(connection, "label", say.series(images), chosen, region_id=_CHOSEN, value=value, who="'model'",
            actor="'view-1'", **common)  # fmt: skip
    person = f"{chosen} AND i % 100 = 1"
    _insert(connection, "label", say.series(images), person, region_id=_CHOSEN, value=value, who="'person'",
            actor="'ann'", **common)  # fmt: skip


def _fill_ledger(connection: Connection, say: Dialect, images: int, fingerprints: dict[str, str]) -> None:
    readable, chosen = "WHERE i % 100 <> 7", "WHERE i % 100 <> 7 AND i % 20 <> 2"
    certain = f"{chosen} AND i % 10 <> 3"
    subjects = {
        "inspect": ("i", "", images), "duplicates": ("i", readable, images), "detect": ("i", readable, images),
        "regionduplicates": (_CHOSEN, chosen, images), "classify": (_CHOSEN, chosen, images),
        "segment": (_CHOSEN, certain, images), "mine": ("i", "", max(1, images // 10)),
    }  # fmt: skip
    for stage, (subject, where, count) in subjects.items():
        inputs = {"mine": say.hexadecimal("i", 32), "duplicates": f"'{fingerprints['inspect']}'"}.get(stage, "''")
        _insert(
            connection, "ledger", say.series(count), where, stage=f"'{stage}'", subject_id=subject,
            fingerprint=f"'{fingerprints[stage]}'", input_digest=inputs, state="'done'", attempts="0", commits="1",
            finished_at="1",
        )  # fmt: skip
        _insert(connection, "counter", say.series(1), stage=f"'{stage}'", name="'done'", amount=str(count))
