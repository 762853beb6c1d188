"""Saved pages as a source: HTML files of browsers and mirrors, MHTML and WARC files, read without the web."""

from __future__ import annotations

import gzip
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tamis import schema
from tamis.crawl.captures import capture_files, read_captures
from tamis.crawl.download import download
from tamis.crawl.run import crawl
from tamis.database import reading
from tamis.errors import UserError
from tamis.project import Project
from tests.conftest import MakeProject
from tests.crawl.rude_server import item_page, results_page
from tests.crawl.test_handler import picture

SETTINGS = """
[source.shelf]
kind = "saved"
address = "{address}"
"""
SHOP = "https://shop.example"


def column(project: Project, column: sa.ColumnElement[Any]) -> list[Any]:
    with reading(project.engine) as connection:
        return list(connection.execute(sa.select(column).order_by(column)).scalars())


def write_warc(path: Path, answers: list[tuple[str, str, str, bytes]]) -> None:
    """A WARC file (ISO 28500) of (address, status, content type, body), each record packed by itself."""
    records = [b"WARC/1.1\r\nWARC-Type: warcinfo\r\nContent-Length: 0\r\n\r\n\r\n\r\n"]
    for url, status, content_type, body in answers:
        is_page = "html" in content_type
        packed = gzip.compress(body) if is_page else body
        head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(packed)}\r\n"
        head += "Content-Encoding: gzip\r\n" if is_page else ""
        content = head.encode() + b"\r\n" + packed
        lines = (
            f"WARC/1.1\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2026-01-31T12:00:00Z\r\n"
            f"Content-Type: application/http;msgtype=response\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        records.append(lines.encode() + content + b"\r\n\r\n")
    path.write_bytes(b"".join(map(gzip.compress, records) if path.suffix == ".gz" else records))


def answers(count: int = 3) -> list[tuple[str, str, str, bytes]]:
    found = [(f"{SHOP}/list", "200 OK", "text/html", results_page([f"/item/{n}" for n in range(count)]).encode())]
    for n in range(count):
        page = item_page(f"Thing {n}", (f"/picture/{n}.jpg", f"/missing/{n}.jpg")).encode()
        found.append((f"{SHOP}/item/{n}", "200 OK", "text/html; charset=utf-8", page))
        found.append((f"{SHOP}/picture/{n}.jpg", "200 OK", "application/octet-stream", picture(n)))
    found.append((f"{SHOP}/item/gone", "404 Not Found", "text/html", item_page("Gone").encode()))
    found.append((f"{SHOP}/missing/0.jpg", "200 OK", "image/jpeg", b"<html>no picture</html>"))
    return found


@pytest.mark.parametrize("name", ["shop.warc", "shop.warc.gz"])
def test_pages_and_pictures_of_a_warc_file(make_project: MakeProject, tmp_path: Path, name: str) -> None:
    write_warc(tmp_path / name, answers())
    project = make_project(SETTINGS.format(address=tmp_path / name))
    report = crawl(project)
    assert (report.pages, report.items, report.pictures, report.failures) == (4, 3, 6, 0)
    assert column(project, schema.page.c.url) == [f"{SHOP}/item/{n}" for n in range(3)] + [f"{SHOP}/list"]
    assert set(column(project, schema.page.c.outcome)) == {"ok"}
    with reading(project.engine) as connection:
        rows = connection.execute(sa.select(schema.picture.c.url, schema.picture.c.state, schema.image.c.sha256).join(
            schema.image, schema.picture.c.image_id == schema.image.c.id, isouter=True)).all()  # fmt: skip
    taken = {row.url: row.sha256 for row in rows if row.state == "done"}
    assert sorted(taken) == [f"{SHOP}/picture/{n}.jpg" for n in range(3)]
    assert project.blobs.get(taken[f"{SHOP}/picture/1.jpg"]) == picture(1)
    again = crawl(project)
    assert (again.pages, again.items, again.pictures) == (0, 0, 0)
    assert len(column(project, schema.picture.c.id)) == 6


def test_a_warc_file_that_breaks_off_is_reported_and_read_up_to_there(
    make_project: MakeProject, tmp_path: Path
) -> None:
    whole = tmp_path / "whole.warc.gz"
    write_warc(whole, answers(9))
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "a.warc.gz").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (tmp_path / "torn" / "b.warc").write_bytes(b"this is no archive\r\n\r\n")
    (tmp_path / "torn" / "c.html").write_text(item_page("Other"))
    report = crawl(make_project(SETTINGS.format(address=tmp_path / "torn")))
    assert {Path(file).name for file, _ in report.failed} == {"a.warc.gz", "b.warc"}
    assert 1 < report.items < 10


def test_pages_saved_by_a_browser(make_project: MakeProject, tmp_path: Path) -> None:
    mark = "<!-- saved from url=(0033)https://shop.example/item/7?a=1&amp;b=2 -->\n"
    (tmp_path / "saved" / "Thing_files").mkdir(parents=True)
    (tmp_path / "saved" / "Thing_files" / "1.jpg").write_bytes(picture(1))
    body = item_page("Thing", ("./Thing_files/1.jpg", "https://cdn.example/2.jpg"))
    (tmp_path / "saved" / "Thing.html").write_text(mark + body)
    (tmp_path / "saved" / "Plain.html").write_text(item_page("Plain"))
    (tmp_path / "saved" / "packed.html.gz").write_bytes(gzip.compress(mark.replace("7", "8").encode() + body.encode()))
    project = make_project(SETTINGS.format(address=tmp_path / "saved"))
    report = crawl(project)
    assert (report.pages, report.items) == (3, 3)
    assert column(project, schema.item.c.url) == ["Plain.html", f"{SHOP}/item/7?a=1&b=2", f"{SHOP}/item/8?a=1&b=2"]
    assert column(project, schema.picture.c.url).count("Thing_files/1.jpg") == 2
    done = download(project, limit=1)
    assert done.ok == 1
    assert crawl(project).pages == 0


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.html", "<!--\n Page saved with SingleFile \n url: https://x.example/p/1 \n-->", "https://x.example/p/1"),
        ("a.html", "<!-- Mirrored from x.example/p/1.html by HTTrack -->", "http://x.example/p/1.html"),
        ("a.html", "<link rel=canonical href='https://x.example/p/1'>", "https://x.example/p/1"),
        ("x.example/p/1.html", "<h1>x</h1>", "https://x.example/p/1.html"),
        ("x.example/p/index.html", "<h1>x</h1>", "https://x.example/p/"),
        ("p/1.html", "<link rel=canonical href='/p/1'>", "http://saved.invalid/p/1.html"),
        ("p/a b.html", "<!-- saved from url=(3)file:///c:/x -->", "http://saved.invalid/p/a%20b.html"),
    ],
)
def test_the_address_of_a_saved_page(tmp_path: Path, name: str, text: str, expected: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    (capture,) = read_captures(path, name)
    assert capture.url == expected
    assert capture.is_known == ("saved.invalid" not in expected)


def test_a_page_and_its_pictures_in_an_mhtml_file(make_project: MakeProject, tmp_path: Path) -> None:
    message = EmailMessage()
    message["Snapshot-Content-Location"] = f"{SHOP}/item/1"
    message.set_content(item_page("Thing Ü", ("/1.jpg",)), subtype="html")
    message.add_related(picture(1), "image", "jpeg")
    parts = list(message.iter_parts())
    parts[0]["Content-Location"] = f"{SHOP}/item/1"
    parts[1]["Content-Location"] = f"{SHOP}/1.jpg"
    (tmp_path / "thing.mhtml").write_bytes(message.as_bytes())
    project = make_project(SETTINGS.format(address=tmp_path / "thing.mhtml"))
    report = crawl(project)
    assert (report.pages, report.items) == (1, 1)
    assert column(project, schema.item.c.title) == ["Thing Ü"]
    assert column(project, schema.picture.c.state) == ["done"]


def test_pages_that_say_noai_are_not_kept(make_project: MakeProject, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(item_page("Thing", head='<meta name="robots" content="noai">'))
    project = make_project(SETTINGS.format(address=tmp_path / "a.html"))
    assert crawl(project).items == 0
    assert column(project, schema.page.c.outcome) == ["noai"]


def test_files_are_found_below_a_folder(tmp_path: Path) -> None:
    for name in ("b.html", "a/c.HTM", "a/d.warc.gz", "a/e.jpg", ".hidden/f.html"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in capture_files(tmp_path)] == ["c.HTM", "d.warc.gz", "b.html"]


@pytest.mark.parametrize(("address", "message"), [("nowhere", "no file or folder"), (".", "holds no saved pages")])
def test_a_source_without_pages_is_one_clear_line(make_project: MakeProject, address: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        crawl(make_project(SETTINGS.format(address=address)))
