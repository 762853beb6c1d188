from __future__ import annotations

import os
from pathlib import Path

import pytest

from tamis.crawl.download import download
from tamis.crawl.folders import read_folder
from tamis.crawl.items import FoundItem
from tamis.crawl.run import crawl
from tamis.errors import UserError
from tests.conftest import MakeProject
from tests.crawl.rude_server import item_page
from tests.realdata import data_folder


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def items(root: Path) -> dict[str, FoundItem]:
    found = list(read_folder(root, "photos"))
    by_identity = {one.identity: one for one in found}
    assert len(by_identity) == len(found)
    return by_identity


def paths(found: FoundItem) -> list[str]:
    return [ref.url for ref in found.pictures]


def test_each_subfolder_is_an_item_and_so_is_each_loose_picture(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "a.jpg",
        "b.PNG",
        "notes.txt",
        "car_one/2.jpg",
        "car_one/10.jpg",
        "hatch/car two/x.webp",
        ".hidden/y.jpg",
    )
    found = items(tmp_path)
    assert set(found) == {"a.jpg", "b.PNG", "car_one", "hatch/car two"}
    assert paths(found["car_one"]) == ["car_one/10.jpg", "car_one/2.jpg"]
    assert found["car_one"].item.title == "car one"
    assert found["hatch/car two"].item.attributes == {"folder": "hatch"}
    assert all(ref.host == "" for one in found.values() for ref in one.pictures)


def test_keys_differ_by_source_and_path(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    keys = {ref.url_key for name in ("one", "two") for found in read_folder(tmp_path, name) for ref in found.pictures}
    assert len(keys) == 4


def test_a_table_gives_facts_and_names_files(tmp_path: Path) -> None:
    touch(tmp_path, "x/1.jpg", "x/2.jpg", "photos/9/a.jpg", "photos/9/b.jpg", "loose.jpg", "alone/z.jpg")
    (tmp_path / "items.csv").write_text(
        "\ufeffid,Title,make,price,currency,file,folder,Gear\n"
        '7,"A car, red",Volvo,1200.5,EUR,x/1.jpg,,manual\n'
        "7,ignored,,,,x/2.jpg,,\n"
        "8,Another,,n/a,,,x,\n"
        "9,By key,,,,,,\n"
        "10,Escapes,,,,../../etc/passwd,,\n",
        encoding="utf-8",
    )
    found = items(tmp_path)
    assert paths(found["7"]) == ["x/1.jpg", "x/2.jpg"]
    car = found["7"].item
    assert (car.title, car.brand, car.price, car.currency) == ("A car, red", "Volvo", 1200.5, "EUR")
    assert car.attributes == {"gear": "manual"}
    assert paths(found["8"]) == ["x/1.jpg", "x/2.jpg"]
    assert found["8"].item.price is None
    assert paths(found["9"]) == ["photos/9/a.jpg", "photos/9/b.jpg"]
    assert paths(found["10"]) == []
    assert set(found) == {"7", "8", "9", "10", "loose.jpg", "alone"}


def test_saved_pages_are_read_with_the_pictures_beside_them(tmp_path: Path) -> None:
    touch(tmp_path, "shop/img/1.jpg", "shop/img/2.jpg", "shop/other/3.jpg")
    html = item_page("A saved thing", ("img/1.jpg", "img/2.jpg", "https://cdn.example/3.jpg", "../../etc/passwd"))
    (tmp_path / "shop" / "page.html").write_text(html)
    (tmp_path / "about.html").write_text("<html><body><h1>About</h1></body></html>")
    found = items(tmp_path)
    saved = found["shop/page.html"]
    assert saved.item.title == "A saved thing"
    assert [(ref.url, ref.host) for ref in saved.pictures] == [
        ("shop/img/1.jpg", ""),
        ("shop/img/2.jpg", ""),
        ("https://cdn.example/3.jpg", "cdn.example"),
    ]


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b'a,b\n"unclosed'])
def test_a_table_that_is_none_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_bytes(content)
    try:
        assert items(tmp_path) is not None
    except UserError as error:
        assert "items.csv" in str(error)  # noqa: PT017 - either is right; a traceback is not


@pytest.mark.real
def test_real_listings_find_their_photos_by_number() -> None:
    found = items(data_folder("cars"))
    assert len(found) == 60
    assert sum(len(one.pictures) for one in found.values()) == 539
    assert {one.item.brand for one in found.values()} >= {"Toyota"}


def test_hidden_files_pipes_and_pages_that_are_none(tmp_path: Path) -> None:
    touch(tmp_path, "x/1.jpg", "x/.2.jpg")
    os.mkfifo(tmp_path / "x" / "pipe.html")
    os.mkfifo(tmp_path / "x" / "pipe.jpg")
    (tmp_path / "items.csv").write_text("id,folder\n7,x\n", encoding="utf-8")
    found = items(tmp_path)
    assert paths(found["7"]) == ["x/1.jpg", "x/pipe.jpg"]


@pytest.mark.parametrize("table", ["", "id,folder\n7,x\n"])
def test_names_that_are_no_text_are_left_out_and_told(table: str, tmp_path: Path, make_project: MakeProject) -> None:
    root = tmp_path / "pictures"
    touch(root, "a.jpg", "x/1.jpg", os.fsdecode(b"caf\xe9.jpg"), os.fsdecode(b"x/\xff.jpg"))
    touch(root, os.fsdecode(b"other\xff/2.jpg"), os.fsdecode(b"notes\xff.txt"), os.fsdecode(b"page\xff.html"))
    if table:
        (root / "items.csv").write_text(table, encoding="utf-8")
    project = make_project(f'[source.own]\nkind = "folder"\naddress = "{root}"\n')
    report = crawl(project)
    assert report.pictures == 2
    assert report.warnings == [
        r"source own: 4 files are left out since their names are no UTF-8, such as caf\xe9.jpg: rename them"
    ]


def test_a_pipe_is_no_picture_to_take(tmp_path: Path, make_project: MakeProject) -> None:
    root = tmp_path / "pictures"
    touch(root, "a.jpg")
    os.mkfifo(root / "pipe.jpg")
    project = make_project(f'[source.own]\nkind = "folder"\naddress = "{root}"\n')
    crawl(project)
    assert download(project).outcomes == {"not_found": 1, "not_image": 1}
