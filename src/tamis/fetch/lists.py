"""URL lists: text, CSV and Parquet, compressed or not, each row with its other columns."""

from __future__ import annotations

import csv
import gzip
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from tamis.errors import UserError

#: Names of the column that holds the URL, in lower case; the first that is there is taken.
URL_COLUMNS = ("image_url", "img_url", "picture_url", "photo_url", "url", "urls", "src", "link", "href", "image", "uri")
#: Rows of a CSV file that tell its form, and rows read at once.
_LOOK_ROWS, _CHUNK = 50, 2_000
_URL = re.compile(r"\s*https?://", re.IGNORECASE)
_GZIP = b"\x1f\x8b"
_PARQUET = b"PAR1"
_TABLES = (".csv", ".tsv")
_KNOWN = (".txt", *_TABLES, ".parquet")
#: A cell may hold a whole description.
_CELL_LIMIT = 16 * 2**20

#: How a column's values are stored and written: one of int64, uint64, double, bool, string.
Kinds = dict[str, str]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a list; `extra` is the JSON object of its other columns."""

    url: str
    extra: str = "{}"


@dataclass(frozen=True, slots=True)
class UrlList:
    """An opened list: the other columns and their kinds, and the rows."""

    kinds: Kinds
    rows: Iterator[Row]


def open_list(path: Path, *, url_column: str | None = None) -> UrlList:
    """Open a list: a text file of one URL a line, a CSV or Parquet table, or a folder of such files.

    Text and CSV may be gzip-compressed, CSV separated by comma, semicolon, tab or bar; `-` is standard input, read as
    text. Blank lines and lines that begin with `#` are passed over in text. The column of the URL is `url_column`, or
    found by its name or what it holds.

    Raises:
        UserError: the file cannot be read, or has no column of URLs; also while the rows are read.
    """
    if str(path) == "-":
        return UrlList({}, _text_rows(sys.stdin))
    if path.is_dir():
        return _folder(path, url_column)
    if not path.exists():
        raise UserError(f"{path}: no such list of URLs")
    with _explained(path), path.open("rb") as file:
        start = file.read(4)
    if start == _PARQUET:
        return _parquet(path, url_column)
    if _kind_by_name(path) in _TABLES:
        return _csv(path, url_column, compressed=start.startswith(_GZIP))
    return UrlList({}, _lines(path, compressed=start.startswith(_GZIP)))


def _kind_by_name(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def _folder(path: Path, url_column: str | None) -> UrlList:
    files = sorted(file for file in path.iterdir() if file.is_file() and _kind_by_name(file) in _KNOWN)
    if not files:
        raise UserError(f"{path}: no list of URLs in this folder (files named *.txt, *.csv, *.tsv or *.parquet)")
    lists = [open_list(file, url_column=url_column) for file in files]
    kinds: Kinds = {}
    for one in lists:
        for name, kind in one.kinds.items():
            kinds[name] = kind if kinds.get(name, kind) == kind else "string"
    return UrlList(kinds, chain.from_iterable(one.rows for one in lists))


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    except (EOFError, zlib.error) as error:
        raise UserError(f"{path} is no sound gzip file: {error}") from error
    except csv.Error as error:
        raise UserError(f"{path} is no sound CSV file: {error}") from error


# --- text ---------------------------------------------------------------------------------------------------------


def _opened(path: Path, *, compressed: bool) -> IO[str]:
    opener: Callable[..., IO[str]] = gzip.open if compressed else open
    return opener(path, "rt", encoding="utf-8-sig", errors="replace", newline="")


def _lines(path: Path, *, compressed: bool) -> Iterator[Row]:
    with _explained(path), _opened(path, compressed=compressed) as file:
        yield from _text_rows(file)


def _text_rows(file: IO[str]) -> Iterator[Row]:
    for line in file:
        url = line.strip()
        if url and not url.startswith("#"):
            yield Row(url)


# --- CSV ----------------------------------------------------------------------------------------------------------


def _csv(path: Path, url_column: str | None, *, compressed: bool) -> UrlList:
    csv.field_size_limit(_CELL_LIMIT)
    with _explained(path), _opened(path, compressed=compressed) as file:
        sample = "".join(islice(file, _LOOK_ROWS))
    delimiter = _delimiter(sample)
    look = [row for row in csv.reader(StringIO(sample, newline=""), delimiter=delimiter) if row]
    if not look:
        raise UserError(f"{path}: the list is empty")
    has_head = not any(_URL.match(cell) for cell in look[0])
    head = _unique(look[0] if has_head else [f"column_{number}" for number in range(1, len(look[0]) + 1)])
    column = _find_column(path, head, look[has_head:], url_column)
    names = [name for index, name in enumerate(head) if index != column]
    return UrlList(dict.fromkeys(names, "string"), _csv_rows(path, (head, column, has_head), delimiter, compressed))


def _csv_rows(path: Path, form: tuple[list[str], int, bool], delimiter: str, compressed: bool) -> Iterator[Row]:
    head, column, has_head = form
    with _explained(path), _opened(path, compressed=compressed) as file:
        for cells in islice(csv.reader(file, delimiter=delimiter), int(has_head), None):
            if column < len(cells) and cells[column].strip():
                extra = {name: cell for name, cell in zip(head, cells, strict=False) if name != head[column]}
                yield Row(cells[column].strip(), json.dumps(extra, ensure_ascii=False) if extra else "{}")


def _delimiter(sample: str) -> str:
    """The separator that splits the first line, and most lines alike, into the most cells."""
    best, most = ",", 1
    for delimiter in ",\t;|":
        widths = [len(row) for row in csv.reader(StringIO(sample, newline=""), delimiter=delimiter) if row]
        if widths and widths[0] > most and sum(width == widths[0] for width in widths) > len(widths) / 2:
            best, most = delimiter, widths[0]
    return best


def _unique(names: Sequence[str]) -> list[str]:
    """Column names, each once; a nameless one is called by its place."""
    found: list[str] = []
    for number, name in enumerate(names, 1):
        base = unique = name.strip() or f"column_{number}"
        count = 2
        while unique in found:
            unique, count = f"{base}_{count}", count + 1
        found.append(unique)
    return found


def _find_column(path: Path, head: Sequence[str], rows: Sequence[Sequence[Any]], wanted: str | None) -> int:
    """The place of the URL column: by the name asked for, a usual name, or the first that holds URLs."""
    if wanted is not None:
        if wanted in head:
            return head.index(wanted)
        raise UserError(f"{path}: no column {wanted!r}; there are {', '.join(head)}")
    for name in URL_COLUMNS:
        for index, given in enumerate(head):
            if given.lower() == name and _holds_urls(rows, index, none_is_fine=name.startswith("url")):
                return index
    for index in range(len(head)):
        if _holds_urls(rows, index):
            return index
    raise UserError(f"{path}: no column holds URLs; name it with --url-column, one of {', '.join(head)}")


def _holds_urls(rows: Sequence[Sequence[Any]], index: int, *, none_is_fine: bool = False) -> bool:
    cells = [row[index] for row in rows if index < len(row) and row[index]]
    urls = sum(isinstance(cell, str) and _URL.match(cell) is not None for cell in cells)
    return none_is_fine or urls > len(cells) / 2


# --- Parquet ------------------------------------------------------------------------------------------------------


def load_parquet() -> Any:
    """Return `pyarrow.parquet`; raises UserError when the extra is not installed."""
    try:
        import pyarrow.parquet  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UserError("Parquet files need pyarrow: pip install 'tamis[parquet]'") from error
    return pyarrow.parquet


def _parquet(path: Path, url_column: str | None) -> UrlList:
    parquet = load_parquet()
    import pyarrow as pa  # noqa: PLC0415 - an extra

    try:
        file = parquet.ParquetFile(path)
        head = list(file.schema_arrow.names)
        first = next(file.iter_batches(batch_size=_LOOK_ROWS), None)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path} is no sound Parquet file: {error}") from error
    look = [] if first is None else [list(row.values()) for row in first.to_pylist()]
    column = _find_column(path, head, look, url_column)
    kinds = {name: _kind(file.schema_arrow.field(name).type) for name in head if name != head[column]}
    return UrlList(kinds, _parquet_rows(path, file, head[column]))


def _parquet_rows(path: Path, file: Any, column: str) -> Iterator[Row]:
    import pyarrow as pa  # noqa: PLC0415 - an extra

    try:
        for batch in file.iter_batches(batch_size=_CHUNK):
            for values in batch.to_pylist():
                url = values.pop(column)
                if isinstance(url, str) and url.strip():
                    extra = {name: _plain(value) for name, value in values.items()}
                    yield Row(url.strip(), json.dumps(extra, ensure_ascii=False) if extra else "{}")
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path} is no sound Parquet file: {error}") from error


def _kind(arrow_type: Any) -> str:
    import pyarrow.types as kinds  # noqa: PLC0415 - an extra

    if kinds.is_boolean(arrow_type):
        return "bool"
    if kinds.is_uint64(arrow_type):
        return "uint64"
    if kinds.is_integer(arrow_type):
        return "int64"
    return "double" if kinds.is_floating(arrow_type) else "string"


def _plain(value: Any) -> Any:
    """A value that JSON can hold: dates and decimals as text, bytes as hexadecimal, lists and records as JSON text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else None  # JSON has neither NaN nor infinity
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
