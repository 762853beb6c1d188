"""Ranges of ids that hold nothing pending, and indexes that `status` counts by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tamis.migrations.tools import create_index, digest, exact, key

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables and indexes; those that an interrupted run created stay."""
    op.create_table(
        "extent",
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("block", key(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "block", name="pk_extent"),
        if_not_exists=True,
    )
    op.create_table(
        "settled",
        sa.Column("stage", exact(50), nullable=False),
        sa.Column("block", key(), autoincrement=False, nullable=False),
        sa.Column("token", digest(32), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("stage", "block", name="pk_settled"),
        if_not_exists=True,
    )
    create_index("ix_page_tally", "page", ["state", "outcome"])
    create_index("ix_item_tally", "item", ["source_id", "first_seen", "last_seen", "vanished_at"])
    create_index("ix_picture_tally", "picture", ["state", "outcome"])
    create_index("ix_label_tally", "label", ["who", "retracts"])
