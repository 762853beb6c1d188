from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from tamis import migrations, records, schema
from tamis.database import ids_of, insert_new, open_engine, reading, to_row, upsert, writing
from tamis.errors import ProjectError
from tamis.project import open_project
from tests.conftest import MakeProject

SOURCE = {"name": "site", "kind": "site", "address": "http://127.0.0.1/", "recipe": "generic"}


def test_migrations_make_exactly_the_schema(make_project: MakeProject, database_address: str) -> None:
    project = make_project(database=database_address)
    with project.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        differences = compare_metadata(context, schema.metadata)
    assert [entry for entry in differences if "comment" not in str(entry[0])] == []


def test_migrating_twice_changes_nothing(make_project: MakeProject, database_address: str) -> None:
    project = make_project(database=database_address)
    migrations.migrate(project.engine)
    assert migrations.current(project.engine) == migrations.latest()


def test_a_migration_that_was_cut_off_is_repeated(make_project: MakeProject, database_address: str) -> None:
    project = make_project(database=database_address)
    with writing(project.engine) as connection:
        connection.exec_driver_sql("DELETE FROM alembic_version")
        schema.metadata.tables["mask"].drop(connection)
    migrations.migrate(project.engine)
    assert "mask" in sa.inspect(project.engine).get_table_names()


def test_a_newer_database_is_refused(make_project: MakeProject, database_address: str) -> None:
    project = make_project(database=database_address)
    with writing(project.engine) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ProjectError, match=r"newer than this tamis knows.*update tamis"):
        open_project(project.folder)


def test_insert_new_leaves_existing_rows(make_project: MakeProject, database_address: str) -> None:
    project = make_project(database=database_address)
    with writing(project.engine) as connection:
        insert_new(connection, schema.source, [SOURCE])
        insert_new(connection, schema.source, [SOURCE | {"kind": "urls"}, SOURCE | {"name": "other"}])
        found = ids_of(connection, schema.source.c.name, ["site", "other", "none"])
        kinds = connection.execute(sa.select(schema.source.c.kind).order_by(schema.source.c.id)).scalars().all()
    assert sorted(found) == ["other", "site"]
    assert kinds == ["site", "site"]


def test_upsert_replaces_the_other_columns(make_project: MakeProject, database_address: str) -> None:
    project = make_project(database=database_address)
    rows = [{"stage": "inspect", "name": name, "amount": float(n)} for n, name in enumerate(["done", "failed"])]
    with writing(project.engine) as connection:
        upsert(connection, schema.counter, rows, ["stage", "name"])
        upsert(connection, schema.counter, [rows[0] | {"amount": 7.5}], ["stage", "name"])
        amounts = dict(connection.execute(sa.select(schema.counter.c.name, schema.counter.c.amount)).all())
    assert amounts == {"done": 7.5, "failed": 1.0}


def test_names_and_keys_keep_case_and_accents(make_project: MakeProject, database_address: str) -> None:
    project = make_project(database=database_address)
    with writing(project.engine) as connection:
        insert_new(connection, schema.source, [SOURCE | {"name": name} for name in ("é", "e", "E", "車🚗")])
        names = set(connection.execute(sa.select(schema.source.c.name)).scalars())
    assert names == {"é", "e", "E", "車🚗"}


def test_an_exception_rolls_back_everything(make_project: MakeProject, database_address: str) -> None:
    project = make_project(database=database_address)

    def fail_half_way() -> None:
        with writing(project.engine) as connection:
            insert_new(connection, schema.source, [SOURCE])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    with reading(project.engine) as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(schema.source)).scalar_one() == 0


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("no url", "is no database URL"),
        ("postgresql://nobody@127.0.0.1:1/none", "cannot open the database postgresql"),
        ("mysql://nobody:secret@127.0.0.1:1/none", r"cannot open the database mysql.*\*\*\*"),
        ("sqlite:////proc/none/tamis.db", "cannot open the database sqlite"),
    ],
)
def test_a_database_that_cannot_be_opened_is_one_clear_line(address: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "tamis.toml").write_text(f'[project]\ndatabase = "{address}"\n')
    with pytest.raises(ProjectError, match=message) as caught:
        open_project(tmp_path)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_relative_sqlite_path_counts_from_the_project(tmp_path: Path) -> None:
    engine = open_engine("sqlite:///deep.db", tmp_path)
    assert engine.url.database == str(tmp_path / "deep.db")
    engine.dispose()


RECORDS = {
    records.Inspection: schema.inspection,
    records.Relation: schema.relation,
    records.ClusterMember: schema.cluster,
    records.Mask: schema.mask,
    records.Label: schema.label,
}


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_the_fields_of_a_record_are_columns_of_its_table(record: type) -> None:
    names = {part.name for part in dataclasses.fields(record)}
    assert names <= set(RECORDS[record].c.keys())


def test_to_row_adds_columns() -> None:
    label = records.Label("view", "front", "person", "ann")
    assert to_row(label, created_at=2.0)["created_at"] == 2.0


def test_every_table_and_column_is_explained() -> None:
    for table in schema.metadata.tables.values():
        assert table.comment, table.name
        assert all(column.comment for column in table.columns), table.name
