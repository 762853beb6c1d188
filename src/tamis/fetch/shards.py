"""Shards come under their final name complete or not at all; files that a kill left over are removed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tamis.errors import UserError
from tamis.fetch.lists import Kinds, load_parquet
from tamis.fetch.options import FetchOptions, Spool
from tamis.fetch.state import FolderState
from tamis.fetch.table import ARROW, arrow_array, arrow_type, extra_columns, extra_values
from tamis.fetch.writers import BLOCK, IMAGES, SHARDS, key_of, spool_path

#: Bytes of pictures in one row group of a Parquet shard.
_GROUP_BYTES = 64 << 20
_COLUMNS = (
    "number", "url", "extra", "format", "width", "height", "size", "sha256",
    "original_width", "original_height", "original_size", "original_sha256", "offset",
)  # fmt: skip


def shard_name(number: int, options: FetchOptions) -> str:
    """The file of a shard, below the folder."""
    return f"{SHARDS}/{number:05d}{'.tar' if options.form == 'webdataset' else '.parquet'}"


@dataclass(frozen=True, slots=True)
class Sealing:
    """All that it takes to give a complete shard its end and its final name."""

    folder: Path
    options: FetchOptions
    spool: Spool
    number: int
    kinds: Kinds
    rows: tuple[tuple[Any, ...], ...]

    @classmethod
    def of(cls, state: FolderState, options: FetchOptions, spool: Spool, number: int) -> Sealing:
        """What is known of a shard; Parquet needs its rows, tar has them inside."""
        rows = state.rows(_COLUMNS, spool.id) if options.form == "parquet" else ()
        return cls(state.folder, options, spool, number, dict(state.kinds), tuple(rows))

    def run(self) -> int:
        """Write the shard and return its id; touches files alone. May be repeated after a kill at any point.

        Raises:
            UserError: the disk is full, or the folder may not be written.
        """
        source = spool_path(self.folder, self.spool.id)
        target = self.folder / shard_name(self.number, self.options)
        try:
            target.parent.mkdir(exist_ok=True)
            if source.exists() and self.options.form == "webdataset":
                self._end_tar(source)
                source.replace(target)
            elif source.exists():
                _sync(self._write_parquet(source)).replace(target)
                source.unlink()
        except OSError as error:
            raise UserError(f"{target} cannot be written: {error.strerror}") from error
        return self.spool.id

    def _end_tar(self, source: Path) -> None:
        with source.open("r+b") as file:
            file.truncate(self.spool.size)
            file.seek(self.spool.size)
            file.write(bytes(2 * BLOCK))
        _sync(source)

    def _write_parquet(self, source: Path) -> Path:
        parquet = load_parquet()
        import pyarrow as pa  # noqa: PLC0415 - an extra

        plain = [name for name in _COLUMNS if name not in ("number", "extra", "offset")]
        fields = [("key", pa.string()), *((name, arrow_type(ARROW[name])) for name in plain), ("image", pa.binary())]
        extra_names = extra_columns(self.kinds, [name for name, _ in fields])
        fields[2:2] = [(extra_names[name], arrow_type(kind)) for name, kind in self.kinds.items()]
        schema = pa.schema(fields)
        temporary = source.with_suffix(".parquet")
        with source.open("rb") as file, parquet.ParquetWriter(temporary, schema, compression="none") as writer:
            for group in _groups(self.rows):
                columns: dict[str, list[Any]] = {name: [row[name] for row in group] for name in plain}
                columns["key"] = [key_of(row["number"]) for row in group]
                columns["image"] = [_read_at(file.fileno(), row["offset"], row["size"]) for row in group]
                columns |= extra_values([row["extra"] for row in group], extra_names)
                arrays = [arrow_array(columns[name], schema.field(name).type) for name in schema.names]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        return temporary


def _sync(path: Path) -> Path:
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return path


def _groups(rows: Iterable[tuple[Any, ...]]) -> Iterator[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    held = 0
    for values in rows:
        row = dict(zip(_COLUMNS, values, strict=True))
        group.append(row)
        held += row["size"]
        if held >= _GROUP_BYTES:
            yield group
            group, held = [], 0
    if group:
        yield group


def _read_at(descriptor: int, offset: int, size: int) -> bytes:
    pieces = []
    while size > 0 and (piece := os.pread(descriptor, size, offset)):
        pieces.append(piece)
        offset, size = offset + len(piece), size - len(piece)
    return b"".join(pieces)


def match_files(state: FolderState) -> None:
    """After a kill: remove files that no row speaks of, and make the URLs of lost ones pending."""
    known = {name: number for number, name in state.ok_files()}
    images = state.folder / IMAGES
    there: set[str] = set()
    for below in sorted(images.iterdir()) if images.is_dir() else []:
        for entry in os.scandir(below):
            name = f"{IMAGES}/{below.name}/{entry.name}"
            if name in known:
                there.add(name)
            elif entry.name.lstrip(".").split(".")[0].isdigit():  # one of ours
                os.unlink(entry.path)  # noqa: PTH108
    state.forget([number for name, number in known.items() if name not in there])
