"""The first version of all tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tamis.migrations.tools import create_index, digest, exact, key, long_bytes, long_text

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables; those that an interrupted run created stay."""
    create_crawl_tables()
    create_curation_tables()
    create_labels_tables()
    create_engine_tables()
    create_data_sets_and_models_tables()


def create_crawl_tables() -> None:
    create_source()
    create_host()
    create_page()
    create_item()
    create_item_change()
    create_crawl_run()
    create_image()
    create_picture()


def create_source() -> None:
    op.create_table(
        "source",
        sa.Column("id", key(), autoincrement=True, nullable=False),
        sa.Column("name", exact(100), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("recipe", exact(100), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("round_began_at", sa.Double(), nullable=True),
        sa.Column("round_ended_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_source"),
        sa.UniqueConstraint("name", name="uq_source_name"),
        if_not_exists=True,
    )


def create_host() -> None:
    op.create_table(
        "host",
        sa.Column("name", exact(255), nullable=False),
        sa.Column("robots_status", sa.Integer(), nullable=True),
        sa.Column("robots_body", long_text(), nullable=True),
        sa.Column("robots_fetched_at", sa.Double(), nullable=True),
        sa.Column("delay", sa.Double(), nullable=False),
        sa.Column("next_request_at", sa.Double(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("paused_until", sa.Double(), nullable=True),
        sa.Column("paused_reason", sa.Text(), nullable=True),
        sa.Column("lease_owner", exact(100), nullable=True),
        sa.Column("lease_fence", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_host"),
        if_not_exists=True,
    )


def create_page() -> None:
    op.create_table(
        "page",
        sa.Column("id", key(), autoincrement=True, nullable=False),
        sa.Column("url_key", digest(32), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("source_id", key(), nullable=False),
        sa.Column("host", exact(255), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("outcome", sa.String(32), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("depth", sa.Integer(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("found_on", key(), nullable=True),
        sa.Column("listed_at", sa.Double(), nullable=True),
        sa.Column("form", digest(32), nullable=True),
        sa.Column("found", sa.Integer(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("robots_verdict", sa.String(32), nullable=True),
        sa.Column("directives", sa.Text(), nullable=True),
        sa.Column("content_type", sa.Text(), nullable=True),
        sa.Column("body_sha256", digest(64), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("reader", digest(32), nullable=True),
        sa.Column("etag", sa.Text(), nullable=True),
        sa.Column("last_modified", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("not_before", sa.Double(), nullable=False),
        sa.Column("fetched_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name="fk_page_source_id"),
        sa.PrimaryKeyConstraint("id", name="pk_page"),
        sa.UniqueConstraint("url_key", name="uq_page_url_key"),
        if_not_exists=True,
    )
    create_index("ix_page_state_host_priority", "page", ["state", "host", "priority"])
    create_index("ix_page_host_form_fetched_at", "page", ["host", "form", "fetched_at"])
    create_index("ix_page_source_id_state", "page", ["source_id", "state"])


def create_item() -> None:
    op.create_table(
        "item",
        sa.Column("id", key(), autoincrement=True, nullable=False),
        sa.Column("item_key", digest(32), nullable=False),
        sa.Column("source_id", key(), nullable=False),
        sa.Column("page_id", key(), nullable=True),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("brand", sa.Text(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("price", sa.Double(), nullable=True),
        sa.Column("currency", sa.String(3), nullable=True),
        sa.Column("sku", sa.Text(), nullable=True),
        sa.Column("seller", sa.Text(), nullable=True),
        sa.Column("availability", sa.String(16), nullable=True),
        sa.Column("description", long_text(), nullable=False),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("sources", sa.JSON(), nullable=False),
        sa.Column("raw", sa.JSON(), nullable=False),
        sa.Column("digest", digest(32), nullable=False),
        sa.Column("first_seen", sa.Double(), nullable=False),
        sa.Column("last_seen", sa.Double(), nullable=False),
        sa.Column("vanished_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["page_id"], ["page.id"], name="fk_item_page_id"),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name="fk_item_source_id"),
        sa.PrimaryKeyConstraint("id", name="pk_item"),
        sa.UniqueConstraint("item_key", name="uq_item_item_key"),
        if_not_exists=True,
    )
    create_index("ix_item_page_id", "item", ["page_id"])


def create_item_change() -> None:
    op.create_table(
        "item_change",
        sa.Column("id", key(), autoincrement=True, nullable=False),
        sa.Column("item_id", key(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("cause", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("fields", sa.JSON(), nullable=False),
        sa.Column("body_sha256", digest(64), nullable=True),
        sa.ForeignKeyConstraint(["item_id"], ["item.id"], name="fk_item_change_item_id"),
        sa.PrimaryKeyConstraint("id", name="pk_item_change"),
        if_not_exists=True,
    )
    create_index("ix_item_change_item_id", "item_change", ["item_id"])
    create_index("ix_item_change_at", "item_change", ["at"])


def create_crawl_run() -> None:
    op.create_table(
        "crawl_run",
        sa.Column("id", key(), autoincrement=True, nullable=False),
        sa.Column("source_id", key(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("recipe", exact(100), nullable=False),
        sa.Column("began_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=False),
        sa.Column("expected", sa.Integer(), nullable=False),
        sa.Column("items", sa.Integer(), nullable=False),
        sa.Column("fields", sa.JSON(), nullable=False),
        sa.Column("warnings", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name="fk_crawl_run_source_id"),
        sa.PrimaryKeyConstraint("id", name="pk_crawl_run"),
        if_not_exists=True,
    )
    create_index("ix_crawl_run_source_id_ended_at", "crawl_run", ["source_id", "ended_at"])


def create_image() -> None:
    op.create_table(
        "image",
        sa.Column("id", key(), autoincrement=True, nullable=False),
        sa.Column("sha256", digest(64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("first_seen", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_image"),
        sa.UniqueConstraint("sha256", name="uq_image_sha256"),
        if_not_exists=True,
    )


def create_picture() -> None:
    op.create_table(
        "picture",
        sa.Column("id", key(), autoincrement=True, nullable=False),
        sa.Column("item_id", key(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("url_key", digest(32), nullable=False),
        sa.Column("photo_key", digest(32), nullable=True),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("host", exact(255), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("outcome", sa.String(32), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("not_before", sa.Double(), nullable=False),
        sa.Column("downloaded_at", sa.Double(), nullable=True),
        sa.Column("left_at", sa.Double(), nullable=True),
        sa.Column("image_id", key(), nullable=True),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name="fk_picture_image_id"),
        sa.ForeignKeyConstraint(["item_id"], ["item.id"], name="fk_picture_item_id"),
        sa.PrimaryKeyConstraint("id", name="pk_picture"),
        sa.UniqueConstraint("item_id", "url_key", name="uq_picture_item_id_url_key"),
        if_not_exists=True,
    )
    create_index("ix_picture_image_id", "picture", ["image_id"])
    create_index("ix_picture_photo_key", "picture", ["photo_key"])
    create_index("ix_picture_state_host", "picture", ["state", "host"])
    create_index("ix_picture_url_key", "picture", ["url_key"])


def create_curation_tables() -> None:
    create_inspection()
    create_relation()
    create_cluster()
    create_region()
    create_mask()
    create_embedding()


def create_inspection() -> None:
    op.create_table(
        "inspection",
        sa.Column("image_id", key(), nullable=False),
        sa.Column("readable", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("format", sa.String(16), nullable=True),
        sa.Column("mode", sa.String(16), nullable=True),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("orientation", sa.Integer(), nullable=True),
        sa.Column("sharpness", sa.Double(), nullable=True),
        sa.Column("brightness", sa.Double(), nullable=True),
        sa.Column("contrast", sa.Double(), nullable=True),
        sa.Column("clipped_dark", sa.Double(), nullable=True),
        sa.Column("clipped_bright", sa.Double(), nullable=True),
        sa.Column("blockiness", sa.Double(), nullable=True),
        sa.Column("noise", sa.Double(), nullable=True),
        sa.Column("entropy", sa.Double(), nullable=True),
        sa.Column("colourfulness", sa.Double(), nullable=True),
        sa.Column("text_share", sa.Double(), nullable=True),
        sa.Column("phash", sa.BigInteger(), nullable=True),
        sa.Column("phash_mirrored", sa.BigInteger(), nullable=True),
        sa.Column("dhash", sa.BigInteger(), nullable=True),
        sa.Column("parts", sa.LargeBinary(), nullable=True),
        sa.Column("pixel_digest", digest(32), nullable=True),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name="fk_inspection_image_id"),
        sa.PrimaryKeyConstraint("image_id", name="pk_inspection"),
        if_not_exists=True,
    )


def create_relation() -> None:
    op.create_table(
        "relation",
        sa.Column("level", sa.String(8), nullable=False),
        sa.Column("first_id", key(), nullable=False),
        sa.Column("second_id", key(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("distance", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("level", "first_id", "second_id", name="pk_relation"),
        if_not_exists=True,
    )
    create_index("ix_relation_level_second_id", "relation", ["level", "second_id"])


def create_cluster() -> None:
    op.create_table(
        "cluster",
        sa.Column("level", sa.String(8), nullable=False),
        sa.Column("member_id", key(), nullable=False),
        sa.Column("keeper_id", key(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("level", "member_id", name="pk_cluster"),
        if_not_exists=True,
    )
    create_index("ix_cluster_level_keeper_id", "cluster", ["level", "keeper_id"])


def create_region() -> None:
    op.create_table(
        "region",
        sa.Column("id", key(), autoincrement=True, nullable=False),
        sa.Column("region_key", digest(32), nullable=False),
        sa.Column("image_id", key(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("origin", exact(100), nullable=False),
        sa.Column("class_name", exact(100), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("x0", sa.Double(), nullable=False),
        sa.Column("y0", sa.Double(), nullable=False),
        sa.Column("x1", sa.Double(), nullable=False),
        sa.Column("y1", sa.Double(), nullable=False),
        sa.Column("phash", sa.BigInteger(), nullable=True),
        sa.Column("phash_mirrored", sa.BigInteger(), nullable=True),
        sa.Column("dhash", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("superseded_at", sa.Double(), nullable=True),
        sa.Column("superseded_by", key(), nullable=True),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name="fk_region_image_id"),
        sa.PrimaryKeyConstraint("id", name="pk_region"),
        sa.UniqueConstraint("region_key", name="uq_region_region_key"),
        if_not_exists=True,
    )
    create_index("ix_region_image_id_superseded_at", "region", ["image_id", "superseded_at"])
    create_index("ix_region_superseded_by", "region", ["superseded_by"])


def create_mask() -> None:
    op.create_table(
        "mask",
        sa.Column("region_id", key(), nullable=False),
        sa.Column("method", exact(100), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("counts", long_bytes(), nullable=False),
        sa.Column("area", sa.Double(), nullable=False),
        sa.Column("border", sa.Double(), nullable=False),
        sa.Column("holes", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["region_id"], ["region.id"], name="fk_mask_region_id"),
        sa.PrimaryKeyConstraint("region_id", name="pk_mask"),
        if_not_exists=True,
    )


def create_embedding() -> None:
    op.create_table(
        "embedding",
        sa.Column("region_id", key(), nullable=False),
        sa.Column("model", digest(32), nullable=False),
        sa.Column("vector", long_bytes(), nullable=False),
        sa.ForeignKeyConstraint(["region_id"], ["region.id"], name="fk_embedding_region_id"),
        sa.PrimaryKeyConstraint("region_id", "model", name="pk_embedding"),
        if_not_exists=True,
    )


def create_labels_tables() -> None:
    create_label()
    create_comparison()
    create_person()
    create_login()
    create_assignment()


def create_label() -> None:
    op.create_table(
        "label",
        sa.Column("id", key(), autoincrement=True, nullable=False),
        sa.Column("item_id", key(), nullable=True),
        sa.Column("region_id", key(), nullable=True),
        sa.Column("attribute", exact(100), nullable=False),
        sa.Column("value", exact(255), nullable=True),
        sa.Column("who", sa.String(8), nullable=False),
        sa.Column("actor", exact(100), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("retracts", key(), nullable=True),
        sa.Column("batch", digest(32), nullable=True),
        sa.ForeignKeyConstraint(["item_id"], ["item.id"], name="fk_label_item_id"),
        sa.ForeignKeyConstraint(["region_id"], ["region.id"], name="fk_label_region_id"),
        sa.PrimaryKeyConstraint("id", name="pk_label"),
        if_not_exists=True,
    )
    create_index("ix_label_attribute_value", "label", ["attribute", "value"])
    create_index("ix_label_batch", "label", ["batch"])
    create_index("ix_label_item_id_attribute", "label", ["item_id", "attribute"])
    create_index("ix_label_region_id_attribute", "label", ["region_id", "attribute"])
    create_index("ix_label_retracts", "label", ["retracts"])


def create_comparison() -> None:
    op.create_table(
        "comparison",
        sa.Column("id", key(), autoincrement=True, nullable=False),
        sa.Column("level", sa.String(8), nullable=False),
        sa.Column("first_id", key(), nullable=False),
        sa.Column("second_id", key(), nullable=False),
        sa.Column("same", sa.Boolean(), nullable=True),
        sa.Column("actor", exact(100), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("retracts", key(), nullable=True),
        sa.Column("batch", digest(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_comparison"),
        if_not_exists=True,
    )
    create_index("ix_comparison_batch", "comparison", ["batch"])
    create_index("ix_comparison_level_first_id_second_id", "comparison", ["level", "first_id", "second_id"])
    create_index("ix_comparison_retracts", "comparison", ["retracts"])


def create_person() -> None:
    op.create_table(
        "person",
        sa.Column("name", exact(100), nullable=False),
        sa.Column("password", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_person"),
        if_not_exists=True,
    )


def create_login() -> None:
    op.create_table(
        "login",
        sa.Column("token", digest(64), nullable=False),
        sa.Column("person", exact(100), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("token", name="pk_login"),
        if_not_exists=True,
    )


def create_assignment() -> None:
    op.create_table(
        "assignment",
        sa.Column("region_id", key(), nullable=False),
        sa.Column("person", exact(100), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["region_id"], ["region.id"], name="fk_assignment_region_id"),
        sa.PrimaryKeyConstraint("region_id", name="pk_assignment"),
        if_not_exists=True,
    )


def create_engine_tables() -> None:
    create_ledger()
    create_counter()
    create_lease()


def create_ledger() -> None:
    op.create_table(
        "ledger",
        sa.Column("stage", exact(50), nullable=False),
        sa.Column("subject_id", key(), autoincrement=False, nullable=False),
        sa.Column("fingerprint", digest(32), nullable=False),
        sa.Column("input_digest", digest(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("commits", sa.Integer(), nullable=False),
        sa.Column("finished_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("stage", "subject_id", name="pk_ledger"),
        if_not_exists=True,
    )
    create_index("ix_ledger_stage_state", "ledger", ["stage", "state"])


def create_counter() -> None:
    op.create_table(
        "counter",
        sa.Column("stage", exact(50), nullable=False),
        sa.Column("name", exact(50), nullable=False),
        sa.Column("amount", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("stage", "name", name="pk_counter"),
        if_not_exists=True,
    )


def create_lease() -> None:
    op.create_table(
        "lease",
        sa.Column("name", exact(100), nullable=False),
        sa.Column("owner", exact(100), nullable=True),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_lease"),
        if_not_exists=True,
    )


def create_data_sets_and_models_tables() -> None:
    create_snapshot()
    create_sample()
    create_model()


def create_snapshot() -> None:
    op.create_table(
        "snapshot",
        sa.Column("id", key(), autoincrement=True, nullable=False),
        sa.Column("name", exact(100), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("digest", digest(64), nullable=False),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_snapshot"),
        sa.UniqueConstraint("name", name="uq_snapshot_name"),
        if_not_exists=True,
    )


def create_sample() -> None:
    op.create_table(
        "sample",
        sa.Column("snapshot_id", key(), nullable=False),
        sa.Column("public_id", digest(16), nullable=False),
        sa.Column("region_id", key(), nullable=False),
        sa.Column("item_id", key(), nullable=True),
        sa.Column("split", sa.String(16), nullable=False),
        sa.ForeignKeyConstraint(["item_id"], ["item.id"], name="fk_sample_item_id"),
        sa.ForeignKeyConstraint(["region_id"], ["region.id"], name="fk_sample_region_id"),
        sa.ForeignKeyConstraint(["snapshot_id"], ["snapshot.id"], name="fk_sample_snapshot_id"),
        sa.PrimaryKeyConstraint("snapshot_id", "public_id", name="pk_sample"),
        if_not_exists=True,
    )
    create_index("ix_sample_public_id", "sample", ["public_id"])
    # ### end Alembic commands ###


def create_model() -> None:
    op.create_table(
        "model",
        sa.Column("id", key(), autoincrement=True, nullable=False),
        sa.Column("name", exact(100), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("digest", digest(64), nullable=False),
        sa.Column("snapshot_id", key(), nullable=True),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["snapshot_id"], ["snapshot.id"], name="fk_model_snapshot_id"),
        sa.PrimaryKeyConstraint("id", name="pk_model"),
        sa.UniqueConstraint("name", name="uq_model_name"),
        if_not_exists=True,
    )
