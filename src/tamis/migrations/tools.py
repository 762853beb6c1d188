"""What several migrations share: an index that may be there already, and types as each database has them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine


def create_index(name: str, table: str, columns: list[str]) -> None:
    """MySQL knows no IF NOT EXISTS here, and cannot roll a table back whose index is missing."""
    existing = {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}
    if name not in existing:
        op.create_index(name, table, columns)


def key() -> TypeEngine[int]:
    """A number of a row."""
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def digest(length: int) -> TypeEngine[str]:
    """A hash of so many digits, compared byte by byte."""
    type_ = mysql.CHAR(length, charset="ascii", collation="ascii_bin")
    return sa.String(length).with_variant(type_, "mysql", "mariadb")


def exact(length: int) -> TypeEngine[str]:
    """A text of so many characters, compared byte by byte."""
    type_ = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return sa.String(length).with_variant(type_, "mysql", "mariadb")


def long_text() -> TypeEngine[str]:
    """A text of up to 16 MB."""
    return sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")


def long_bytes() -> TypeEngine[bytes]:
    """Bytes of up to 16 MB."""
    return sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")
