from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from tamis.errors import UserError
from tamis.fetch.lists import open_list

URL = "https://x.example/a.jpg"


def read(path: Path, **options: Any) -> list[tuple[str, dict[str, Any]]]:
    return [(row.url, json.loads(row.extra)) for row in open_list(path, **options).rows]


def test_text_is_one_url_a_line_without_comments_and_blanks(tmp_path: Path) -> None:
    path = tmp_path / "urls.txt"
    path.write_bytes(b"\xef\xbb\xbf" + f"{URL}\r\n\n# a comment\n  {URL}?2  \n".encode())
    assert read(path) == [(URL, {}), (f"{URL}?2", {})]


@pytest.mark.parametrize("name", ["urls.txt", "urls.txt.gz", "URLS.CSV", "urls.csv.gz"])
def test_compression_is_told_by_the_content(name: str, tmp_path: Path) -> None:
    text = f"url\n{URL}\n" if "csv" in name.lower() else f"{URL}\n"
    for data in (text.encode(), gzip.compress(text.encode())):
        (tmp_path / name).write_bytes(data)
        assert read(tmp_path / name) == [(URL, {})]


@pytest.mark.parametrize(
    ("head", "column"),
    [
        ("id;url;label", "url"),
        ("id\tImage_URL\tlabel", "Image_URL"),
        ("id,where,label", "where"),  # by what it holds
        ("page_url|url|image_url", "image_url"),
        ("image,link,label", "link"),  # `image` holds file names
    ],
)
def test_the_url_column_is_found(head: str, column: str, tmp_path: Path) -> None:
    delimiter = next(one for one in ";\t,|" if one in head)
    names = head.split(delimiter)
    cells = [URL if name == column else "https://x.example/page" if "url" in name else "7" for name in names]
    path = tmp_path / "list.csv"
    path.write_text(f"{head}\n{delimiter.join(cells)}\n")
    assert read(path) == [(URL, {name: cell for name, cell in zip(names, cells, strict=True) if name != column})]


def test_a_table_without_a_head_has_numbered_columns(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(f"red,{URL}\nblue,{URL}?2\n")
    assert read(tmp_path / "list.csv") == [(URL, {"column_1": "red"}), (f"{URL}?2", {"column_1": "blue"})]


def test_rows_without_a_url_and_short_rows_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(f"label,url,url\nred,{URL},x\nblue\ngreen,,\n")
    assert read(tmp_path / "list.csv", url_column="url") == [(URL, {"label": "red", "url_2": "x"})]


def test_parquet_keeps_types(tmp_path: Path) -> None:
    table = pa.table(
        {
            "URL": [URL, None],
            "width": pa.array([7, 8], pa.int32()),
            "score": [0.5, float("nan")],
            "good": [True, None],
            "day": [date(2026, 1, 2), None],
            "tags": [["a", "b"], None],
        }
    )
    parquet.write_table(table, tmp_path / "list.parquet")
    listed = open_list(tmp_path / "list.parquet")
    assert listed.kinds == {"width": "int64", "score": "double", "good": "bool", "day": "string", "tags": "string"}
    assert [(row.url, json.loads(row.extra)) for row in listed.rows] == [
        (URL, {"width": 7, "score": 0.5, "good": True, "day": "2026-01-02", "tags": '["a", "b"]'})
    ]


def test_a_folder_is_all_its_lists(tmp_path: Path) -> None:
    (tmp_path / "1.txt").write_text(URL)
    (tmp_path / "2.csv").write_text(f"url,label\n{URL}?2,red\n")
    (tmp_path / "notes.md").write_text("nothing")
    assert read(tmp_path) == [(URL, {}), (f"{URL}?2", {"label": "red"})]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("none.txt", None, "no such list"),
        ("words.csv", b"a,b\n1,2\n", "--url-column, one of a, b"),
        ("empty.csv", b"", "empty"),
        ("cut.txt.gz", gzip.compress(URL.encode() * 999, mtime=0)[:-20], "no sound gzip"),
        ("bad.parquet", b"PAR1 and nothing", "no sound Parquet"),
    ],
)
def test_wrong_lists_are_one_clear_line(name: str, data: bytes | None, message: str, tmp_path: Path) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=message) as error:
        list(open_list(tmp_path / name).rows)
    assert str(tmp_path / name) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(f"url,label\n{URL},red\n")
    with pytest.raises(UserError, match="no column 'links'; there are url, label"):
        open_list(tmp_path / "list.csv", url_column="links")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="no list of URLs in this folder"):
        open_list(tmp_path / "folder")


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet.write_table(pa.table({"url": [URL]}), tmp_path / "list.parquet")
    for name in [name for name in sys.modules if name.startswith("pyarrow")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"tamis\[parquet\]"):
        open_list(tmp_path / "list.parquet")


cells = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=30)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    rows=st.lists(st.tuples(cells, cells, st.integers(0, 999)), min_size=1, max_size=70),
    delimiter=st.sampled_from(",;\t|"),
    compressed=st.booleans(),
)
def test_any_table_comes_back_as_it_was_written(
    rows: list[tuple[str, str, int]], delimiter: str, compressed: bool, tmp_path: Path
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(["title", "url", "note"])
    writer.writerows((title, f"{URL}?{number}", note) for title, note, number in rows)
    data = text.getvalue().encode()
    path = tmp_path / "list.csv"
    path.write_bytes(gzip.compress(data) if compressed else data)
    assert read(path) == [(f"{URL}?{number}", {"title": title, "note": note}) for title, note, number in rows]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.binary(max_size=300), name=st.sampled_from(["a.txt", "a.csv", "a.tsv", "a.parquet"]))
def test_any_bytes_are_rows_or_one_clear_line(data: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    try:
        rows = list(open_list(tmp_path / name).rows)
    except UserError as error:
        rows, said = [], str(error)
    else:
        said = ""
    assert "\n" not in said
    assert all(row.url.strip() for row in rows)
