"""The results table: one row for each row of the list, with what came of its URL."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from tamis.fetch.lists import Kinds
from tamis.fetch.options import FetchOptions
from tamis.fetch.state import FAILED, OK, PENDING, FolderState
from tamis.fetch.writers import key_of

#: Kinds of the table's own columns.
ARROW: Mapping[str, str] = {
    "url": "string", "status": "string", "error": "string", "outcome": "string", "http_status": "int64",
    "size": "int64", "sha256": "string", "width": "int64", "height": "int64", "format": "string", "key": "string",
    "file": "string", "original_size": "int64", "original_sha256": "string", "original_width": "int64",
    "original_height": "int64",
}  # fmt: skip
_STATUS = {PENDING: "pending", OK: "ok", FAILED: "failed"}
_STORED = (
    "number", "url", "extra", "state", "error", "outcome", "status", "size", "sha256", "width", "height", "format",
    "file", "shard", "original_size", "original_sha256", "original_width", "original_height",
)  # fmt: skip
_BATCH = 20_000


def write_table(state: FolderState, options: FetchOptions) -> Path:
    """Write `results.parquet`, or `results.csv` where pyarrow is not installed; return its path."""
    names = extra_columns(state.kinds, ARROW)
    batches = _batches(state, options, names)
    if find_spec("pyarrow") is None:
        return _write_csv(state.folder / "results.csv", [*ARROW, *names.values()], batches)
    return _write_parquet(state.folder / "results.parquet", state.kinds, names, batches)


def warm_up() -> None:
    """Load what `write_table` needs, while others work."""
    if find_spec("pyarrow") is not None:
        from pyarrow import parquet as _parquet  # noqa: F401, PLC0415 - an extra


def extra_columns(kinds: Kinds, taken: Iterable[str]) -> dict[str, str]:
    """The list's other columns, each with its name in a table that has columns of its own."""
    own, names = set(taken), {}
    for name in kinds:
        unique = name
        while unique in own:
            unique = f"list_{unique}"
        own.add(unique)
        names[name] = unique
    return names


def extra_values(extras: Sequence[str], names: Mapping[str, str]) -> dict[str, list[Any]]:
    """Values of the list's other columns, by their names in the table."""
    parsed = [json.loads(extra) for extra in extras]
    return {unique: [row.get(name) for row in parsed] for name, unique in names.items()}


def arrow_type(kind: str) -> Any:
    """The Arrow type of a kind of column."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    types = {"int64": pa.int64, "uint64": pa.uint64, "double": pa.float64, "bool": pa.bool_}
    return types.get(kind, pa.string)()


def _batches(state: FolderState, options: FetchOptions, names: dict[str, str]) -> Iterator[dict[str, list[Any]]]:
    rows = state.rows(_STORED)
    while batch := list(islice(rows, _BATCH)):
        columns = dict(zip(_STORED, map(list, zip(*batch, strict=True)), strict=True))
        columns["key"] = [key_of(number) for number in columns["number"]]
        columns["http_status"] = columns["status"]
        columns["status"] = [_STATUS[one] for one in columns["state"]]
        suffix = ".tar" if options.form == "webdataset" else ".parquet"
        columns["file"] = [
            file if shard is None else f"shards/{shard:05d}{suffix}"
            for file, shard in zip(columns["file"], columns["shard"], strict=True)
        ]
        yield {name: columns[name] for name in ARROW} | extra_values(columns["extra"], names)


def _write_parquet(path: Path, kinds: Kinds, names: dict[str, str], batches: Iterator[dict[str, list[Any]]]) -> Path:
    import pyarrow as pa  # noqa: PLC0415 - an extra
    from pyarrow import parquet  # noqa: PLC0415

    fields = [(name, arrow_type(kind)) for name, kind in ARROW.items()]
    fields[1:1] = [(unique, arrow_type(kinds[name])) for name, unique in names.items()]
    schema = pa.schema(fields)
    temporary = path.with_name(f".{path.name}")
    with parquet.ParquetWriter(temporary, schema) as writer:
        for batch in batches:
            arrays = [arrow_array(batch[name], schema.field(name).type) for name in schema.names]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
    temporary.replace(path)
    return path


def arrow_array(values: list[Any], kind: Any) -> Any:
    """An Arrow array; a column that was of another kind in an earlier list has its values as text."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    if pa.types.is_string(kind):
        return pa.array([value if value is None or isinstance(value, str) else str(value) for value in values], kind)
    return pa.array(values, kind)


def _write_csv(path: Path, head: list[str], batches: Iterator[dict[str, list[Any]]]) -> Path:
    temporary = path.with_name(f".{path.name}")
    with temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        for batch in batches:
            writer.writerows(zip(*(batch[name] for name in head), strict=True))
    temporary.replace(path)
    return path
