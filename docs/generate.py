"""Write `schema.md` and `settings.md` from the comments of the code.

`python docs/generate.py` writes the pages that are out of date; with `--check` it only names them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sqlalchemy import Column, Table, UniqueConstraint
from sqlalchemy.schema import ForeignKeyConstraint

from tamis.config import Section, Settings
from tamis.schema import metadata

FOLDER = Path(__file__).resolve().parent
_NOTE = "<!-- written by docs/generate.py: change the comments in {source} and run it again -->"


def schema_page() -> str:
    """The database: a section a table with its columns and indexes, in the order of the file."""
    return "\n".join(_schema_lines()) + "\n"


def settings_page() -> str:
    """The settings: a section for each table of `tamis.toml` with its keys, defaults and bounds."""
    return "\n".join(_settings_lines()) + "\n"


PAGES = {"schema.md": schema_page, "settings.md": settings_page}


def main(arguments: list[str]) -> int:
    """Write the pages, or tell which are out of date."""
    outdated = [name for name, page in PAGES.items() if _read(FOLDER / name) != page()]
    if "--check" in arguments:
        for name in outdated:
            sys.stderr.write(f"docs/{name} is out of date: run python docs/generate.py\n")
        return 1 if outdated else 0
    for name in outdated:
        (FOLDER / name).write_text(PAGES[name](), encoding="utf-8")
    return 0


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


# --- schema -------------------------------------------------------------------------------------------------------


def _schema_lines() -> Iterator[str]:
    yield "# The database"
    yield ""
    yield _NOTE.format(source="src/tamis/schema.py")
    yield ""
    yield "The same tables on SQLite, MariaDB (or MySQL) and PostgreSQL. Digests are hexadecimal and compared byte"
    yield "by byte, times are seconds since the epoch (UTC), signatures are signed 64-bit integers, boxes are pixels"
    yield "of the upright image with right and bottom exclusive."
    for table in metadata.tables.values():
        yield ""
        yield f"## {table.name}"
        yield ""
        yield _escape(table.comment or "")
        yield ""
        yield "| column | type | meaning |"
        yield "|---|---|---|"
        for column in table.columns:
            yield f"| `{column.name}` | {_column_type(column)} | {_escape(column.comment or '')} |"
        if keys := list(_keys(table)):
            yield ""
            yield f"Indexes: {'; '.join(keys)}."


def _column_type(column: Column[Any]) -> str:
    name = str(column.type).lower().replace("double_precision", "double")
    parts = [name]
    if column.primary_key:
        parts.append("primary key")
    parts += [f"→ [{key.column.table.name}](#{key.column.table.name})" for key in column.foreign_keys]
    if not column.nullable and not column.primary_key:
        parts.append("not null")
    if column.unique:
        parts.append("unique")
    return ", ".join(parts)


def _keys(table: Table) -> Iterator[str]:
    for constraint in sorted(table.constraints, key=lambda one: str(one.name)):
        if isinstance(constraint, ForeignKeyConstraint):
            continue
        if isinstance(constraint, UniqueConstraint) and len(constraint.columns) > 1:
            yield f"unique ({', '.join(f'`{column.name}`' for column in constraint.columns)})"
    for index in sorted(table.indexes, key=lambda one: str(one.name)):
        yield f"({', '.join(f'`{column.name}`' for column in index.columns)})"


# --- settings -----------------------------------------------------------------------------------------------------


def _settings_lines() -> Iterator[str]:
    yield "# Settings: tamis.toml"
    yield ""
    yield _NOTE.format(source="src/tamis/config.py")
    yield ""
    yield "A setting that *computes* is part of the fingerprint of its stage: changing it makes stored results"
    yield "outdated, and the next run replaces them. One that *decides* only chooses among stored results, and takes"
    yield "effect at once. Unknown keys and wrong values are refused with the line and the key."
    for name, field in Settings.model_fields.items():
        section, repeated = _section(field)
        yield ""
        yield f"## [{name}.NAME]" if repeated else f"## [{name}]"
        yield ""
        yield _escape(" ".join((section.__doc__ or "").split()))
        yield ""
        yield "| key | default | values | role | meaning |"
        yield "|---|---|---|---|---|"
        for key, setting in section.model_fields.items():
            extra = setting.json_schema_extra
            role = extra.get("role", "") if isinstance(extra, Mapping) else ""
            cells = (f"`{key}`", _default(setting), _values(setting), role, setting.description or "")
            yield f"| {' | '.join(_escape(str(cell)) for cell in cells)} |"


def _section(field: FieldInfo) -> tuple[type[Section], bool]:
    arguments = get_args(field.annotation)
    kind = arguments[-1] if arguments else field.annotation
    if not (isinstance(kind, type) and issubclass(kind, Section)):
        raise TypeError(f"{field.annotation} is no section of the settings")
    return kind, bool(arguments)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    return f"`{_toml(field.get_default(call_default_factory=True))}`"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(one) for one in value)}]"
    if isinstance(value, Mapping | BaseModel):
        return "{}"
    return str(value)


def _values(field: FieldInfo) -> str:
    """What a setting may be: its type, or the words it can have, and its bounds."""
    bounds = [text for rule in field.metadata for text in _bounds(rule)]
    return " ".join([_type_name(field.annotation), *bounds])


def _type_name(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{_toml(word)}`" for word in arguments)
    if origin is tuple:
        return f"list of {_type_name(arguments[0])}"
    if origin is dict:
        return "table"
    if origin is UnionType:
        return " or ".join(_type_name(one) for one in arguments)
    names = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _bounds(rule: Any) -> Iterator[str]:
    if isinstance(rule, FieldInfo):
        for inner in rule.metadata:
            yield from _bounds(inner)
    for name, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
        limit = getattr(rule, name, None)
        if limit is not None and isinstance(rule, annotated_types.BaseMetadata):
            yield f"{sign} {limit}"
    if pattern := getattr(rule, "pattern", None):
        yield f"like `{pattern}`"


def _escape(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
