"""The share of a picture that plain bands along its edges cover, by which keepers are chosen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, unless an interrupted run added it."""
    if "border_share" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("inspection")}:
        op.add_column("inspection", sa.Column("border_share", sa.Double(), nullable=True))
