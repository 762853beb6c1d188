"""The downloader against a server with bad habits, and folders as sources."""

from __future__ import annotations

import gzip
import socket
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from tamis import schema
from tamis.crawl.download import DownloadReport, download
from tamis.crawl.frontier import retry_failed
from tamis.crawl.items import FoundItem, save_items, web_pictures
from tamis.crawl.sources import register_sources, source_rows
from tamis.database import reading, writing
from tamis.errors import BusyError
from tamis.project import Project
from tamis.records import Item
from tests.conftest import MakeProject
from tests.crawl.rude_server import (
    Handler,
    Request,
    RudeServer,
    Wire,
    answer,
    drip,
    endless_body,
    endless_redirects,
    fixed,
    hang_up,
    in_turn,
    redirect,
    reset_in_body,
    silence,
)
from tests.crawl.test_handler import picture, served

JPEG = picture(1)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


#: 40,000 x 40,000 pixels in a few bytes.
PNG_BOMB = (
    b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0))
    + chunk(b"IDAT", zlib.compress(b"\x00" * 100_000))
    + chunk(b"IEND", b"")
)

#: Path -> what is served there, the outcome expected, and the state of the row.
HABITS: dict[str, tuple[Handler, str, str]] = {
    "/ok.jpg": (fixed(served(JPEG), keep=True), "ok", "done"),
    "/type-is-a-lie.jpg": (fixed(answer(picture(2), content_type="text/plain"), keep=True), "ok", "done"),
    "/no-type": (fixed(answer(picture(3), content_type="")), "ok", "done"),
    "/no-length.jpg": (fixed(answer(picture(4), Content_Length="")), "ok", "done"),
    "/damaged.jpg": (fixed(served(JPEG[:-500])), "ok", "done"),
    "/gzipped.jpg": (fixed(answer(gzip.compress(picture(5)), Content_Encoding="gzip")), "ok", "done"),
    "/moved.jpg": (redirect("/ok.jpg?moved"), "ok", "done"),
    "/busy-once.jpg": (in_turn(fixed(answer("", "503 Busy")), fixed(served(picture(6)))), "ok", "done"),
    "/429-once.jpg": (
        in_turn(fixed(answer("", "429 Slow", Retry_After="1")), fixed(served(picture(7)))),
        "ok",
        "done",
    ),
    "/cut-once.jpg": (
        in_turn(fixed(answer(JPEG, Content_Length="99999")), fixed(served(picture(8)))),
        "ok",
        "done",
    ),
    "/404.jpg": (fixed(answer("", "404 Not Found")), "not_found", "done"),
    "/410.jpg": (fixed(answer("", "410 Gone")), "gone", "done"),
    "/403.jpg": (fixed(answer("", "403 Forbidden")), "forbidden", "done"),
    "/page.jpg": (fixed(served(b"<!doctype html><html>Not found</html>")), "not_image", "done"),
    "/drawing.jpg": (fixed(served(b'<svg xmlns="http://www.w3.org/2000/svg"/>')), "not_image", "done"),
    "/nonsense.jpg": (fixed(served(b"\x00\x01\x02" * 100)), "not_image", "done"),
    "/empty.jpg": (fixed(served(b"")), "empty", "done"),
    "/bomb.png": (fixed(served(PNG_BOMB)), "too_many_pixels", "done"),
    "/gzip-bomb.jpg": (
        fixed(answer(gzip.compress(b"\xff\xd8\xff" * 5_000_000), Content_Encoding="gzip")),
        "too_large",
        "done",
    ),
    "/long.jpg": (fixed(answer("a", Content_Length=str(10**13))), "too_large", "done"),
    "/endless.jpg": (endless_body, "too_large", "done"),
    "/cut.jpg": (fixed(answer(JPEG, Content_Length="99999")), "truncated", "done"),
    "/reset.jpg": (reset_in_body, "truncated", "done"),
    "/gzip-lie.jpg": (fixed(answer(JPEG, Content_Encoding="gzip")), "truncated", "done"),
    "/bad-chunk.jpg": (
        fixed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n"),
        "broken_answer",
        "failed",
    ),
    "/noai.jpg": (fixed(answer(JPEG, X_Robots_Tag="noai")), "noai", "done"),
    "/other-bot.jpg": (fixed(answer(picture(9), X_Robots_Tag="otherbot: noai")), "ok", "done"),
    "/private/a.jpg": (fixed(served(JPEG)), "robots", "done"),
    "/to-private.jpg": (redirect("/private/b.jpg"), "robots", "done"),
    "/loop.jpg": (redirect("/loop.jpg"), "redirect_loop", "done"),
    "/steps/1": (endless_redirects, "redirect_loop", "done"),
    "/to-a-file.jpg": (redirect("file:///etc/passwd"), "bad_url", "done"),
    "/to-nowhere.jpg": (fixed(answer(status="302 Found")), "refused", "done"),
    "/500.jpg": (fixed(answer("", "500 Oops")), "server_error", "failed"),
    "/drip.jpg": (drip, "timeout", "failed"),
    "/silence.jpg": (silence, "timeout", "failed"),
    "/hang-up.jpg": (hang_up, "broken_answer", "failed"),
    "/no-http.jpg": (fixed(b"\x00\xff nothing\r\n\r\n"), "broken_answer", "failed"),
    "/huge-header.jpg": (fixed(answer(JPEG, X_Long="a" * 100_000)), "broken_answer", "failed"),
}

SETTINGS = """
[source.shop]
address = "http://127.0.0.1:1/"
[crawl]
allow_private = true
attempts = 2
retry_wait = 0.05
breaker = 10_000
[download]
timeout = 2.0
max_bytes = 1_000_000
per_host = 16
"""


def add_items(project: Project, *galleries: list[str]) -> None:
    row = source_rows(project)["shop"]
    items = [
        FoundItem(f"http://shop.example/{n}", Item(f"http://shop.example/{n}", f"Thing {n}"), tuple(web_pictures(urls)))
        for n, urls in enumerate(galleries)
    ]
    with writing(project.engine) as connection:
        save_items(connection, row, items, time.time())


def picture_rows(project: Project) -> list[Any]:
    with reading(project.engine) as connection:
        return list(connection.execute(sa.select(schema.picture).order_by(schema.picture.c.id)))


@pytest.fixture(scope="module")
def visited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    from tamis.project import open_project

    folder = tmp_path_factory.mktemp("rude")
    with RudeServer() as server:
        server.routes = {path: handler for path, (handler, _, _) in HABITS.items()}
        server.routes |= {
            "/steps/*": endless_redirects,
            "/ok.jpg*": fixed(served(JPEG), keep=True),
            "/private/*": fixed(served(JPEG)),
            "/robots.txt": fixed(answer("User-agent: *\nDisallow: /private", content_type="text/plain"), keep=True),
        }
        (folder / "tamis.toml").write_text(SETTINGS)
        project = open_project(folder)
        urls = [server.url(path) for path in HABITS]
        add_items(project, urls, urls[:3], [urls[0]])
        report = download(project)
        rows = {row.url.removeprefix(server.url("")): row for row in picture_rows(project) if row.item_id == 1}
        yield {"report": report, "rows": rows, "counts": server.counts, "project": project}
        project.close()


@pytest.mark.slow
@pytest.mark.parametrize("path", list(HABITS))
def test_each_bad_habit_ends_in_a_row_with_a_reason(path: str, visited: dict[str, Any]) -> None:
    _, outcome, state = HABITS[path]
    row = visited["rows"][path]
    assert (row.outcome, row.state) == (outcome, state), row.reason
    assert (row.image_id is not None) is (outcome == "ok")
    assert bool(row.reason) is (outcome != "ok")


@pytest.mark.slow
def test_no_url_is_asked_twice_though_three_items_show_it(visited: dict[str, Any]) -> None:
    assert visited["counts"]["/ok.jpg"] == 1
    assert visited["counts"]["/private/a.jpg"] == visited["counts"]["/private/b.jpg"] == 0
    assert visited["counts"]["/robots.txt"] == 1
    rows = [row for row in picture_rows(visited["project"]) if row.url.endswith("/ok.jpg")]
    assert len(rows) == 3
    assert len({row.image_id for row in rows}) == 1


@pytest.mark.slow
def test_original_bytes_are_kept(visited: dict[str, Any]) -> None:
    project = visited["project"]
    with reading(project.engine) as connection:
        image = connection.execute(
            sa.select(schema.image).where(schema.image.c.id == visited["rows"]["/damaged.jpg"].image_id)
        ).one()
    assert project.blobs.get(image.sha256) == JPEG[:-500]


@pytest.mark.slow
def test_the_report_counts_what_the_rows_say(visited: dict[str, Any]) -> None:
    report: DownloadReport = visited["report"]
    outcomes = [outcome for _, outcome, _ in HABITS.values()]
    assert report.ok == outcomes.count("ok")
    assert len(report.failed) == sum(state == "failed" for _, _, state in HABITS.values())
    assert report.outcomes["not_image"] == outcomes.count("not_image")
    assert (report.pending, report.paused, report.stopped) == (0, {}, False)


def test_a_second_download_asks_for_nothing_and_retry_for_failures_alone(make_project: MakeProject) -> None:
    with RudeServer() as server:
        server.routes["/a.jpg"] = fixed(served(JPEG))
        server.routes["/b.jpg"] = in_turn(*[fixed(answer("", "500 Oops"))] * 2, fixed(served(JPEG)))
        project = make_project(SETTINGS)
        add_items(project, [server.url("/a.jpg"), server.url("/b.jpg")])
        assert len(download(project).failed) == 1
        add_items(project, [server.url("/a.jpg"), server.url("/b.jpg")], [server.url("/a.jpg")])
        asked = server.counts.total()
        assert download(project).outcomes == {"ok": 1}
        assert server.counts.total() == asked
        assert retry_failed(project, "download") == 1
        assert download(project).ok == 1
        assert server.counts == {"/robots.txt": 1, "/a.jpg": 1, "/b.jpg": 3}


def test_a_known_photo_is_not_asked_for_again_unless_it_comes_larger(make_project: MakeProject) -> None:
    drawn = "/listing/7f9c24e8-3b12-4fef-91e0-7f9c24e83b12_1.jpg"
    with RudeServer() as server:
        server.routes["/*"] = fixed(served(JPEG), keep=True)
        project = make_project(SETTINGS)
        add_items(project, [server.url("/photo_640x480.jpg"), server.url(f"{drawn}/1280x960.webp")])
        assert download(project).requested == 2
        smaller, other = server.url("/photo_320x240.jpg"), server.url(f"{drawn}/320x240.webp")
        larger = server.url("/photo_1280x960.jpg")
        add_items(project, [smaller, larger], [other, server.url("/photo_300x200.jpg")])
        report = download(project)
        rows = {(row.item_id, row.url): row for row in picture_rows(project)}
    # The second item's photo_300x200.jpg may be another photo than the first one's.
    assert {path for path in server.counts if path != "/robots.txt"} == {
        "/photo_640x480.jpg", f"{drawn}/1280x960.webp", "/photo_1280x960.jpg", "/photo_300x200.jpg"
    }  # fmt: skip
    assert (report.requested, report.outcomes["ok"]) == (2, 4)
    assert rows[1, smaller].image_id == rows[1, server.url("/photo_640x480.jpg")].image_id
    assert rows[1, smaller].reason == f"the photo is there from {server.url('/photo_640x480.jpg')}"
    assert rows[2, other].image_id == rows[1, server.url(f"{drawn}/1280x960.webp")].image_id


def test_what_the_headers_forbid_is_refused_before_the_body_is_read(make_project: MakeProject) -> None:
    sent: list[bool] = []

    async def noai(_: Request, wire: Wire) -> bool:
        await wire.send(b"HTTP/1.1 200 OK\r\nX-Robots-Tag: noimageai\r\nContent-Length: 50000000\r\n\r\n")
        for _number in range(500):
            await wire.send(b"a" * 100_000)
        sent.append(True)
        return False

    with RudeServer() as server:
        server.routes["/noai.jpg"] = noai
        project = make_project(SETTINGS.replace("max_bytes = 1_000_000", "max_bytes = 60_000_000"))
        add_items(project, [server.url("/noai.jpg")])
        assert download(project).outcomes == {"noai": 1}
    assert not sent


def test_a_name_that_does_not_resolve_is_tried_again_and_fails(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def fail(host: str, *_: Any, **__: Any) -> Any:
        asked.append(host)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    project = make_project(SETTINGS.replace("attempts = 2", "attempts = 3\nobey_robots = false"))
    add_items(project, ["http://no.such.example/a.jpg"])
    report = download(project)
    assert asked == ["no.such.example"] * 3
    assert report.failed == [("http://no.such.example/a.jpg", "the name no.such.example cannot be resolved")]
    assert [(row.state, row.outcome, row.attempts) for row in picture_rows(project)] == [("failed", "dns", 3)]


def test_limit_bounds_the_urls_of_a_run(make_project: MakeProject) -> None:
    with RudeServer() as server:
        server.routes["/*"] = fixed(served(JPEG), keep=True)
        project = make_project(SETTINGS.replace("obey_robots", "") + "")
        add_items(project, [server.url(f"/{n}.jpg") for n in range(20)])
        assert download(project, limit=7).requested == 7
        assert download(project).requested == 13


def test_stop_leaves_what_is_under_way_pending(make_project: MakeProject) -> None:
    stop = threading.Event()
    with RudeServer() as server:
        server.routes = {"/fast.jpg": fixed(served(JPEG)), "/slow.jpg": silence}
        project = make_project(SETTINGS.replace("timeout = 2.0", "timeout = 60.0"))
        add_items(project, [server.url("/fast.jpg"), server.url("/slow.jpg")])
        threading.Timer(1.5, stop.set).start()
        began = time.monotonic()
        report = download(project, stop=stop)
        assert time.monotonic() - began < 10
    assert report.stopped
    assert [row.state for row in picture_rows(project)] == ["done", "pending"]


def test_an_unreachable_robots_txt_pauses_the_host_and_keeps_its_pictures(make_project: MakeProject) -> None:
    with RudeServer() as server:
        server.routes = {"/robots.txt": fixed(answer("", "503 Busy")), "/a.jpg": fixed(served(JPEG))}
        project = make_project(SETTINGS)
        add_items(project, [server.url("/a.jpg")])
        report = download(project)
        assert server.counts["/a.jpg"] == 0
        assert report.pending == 1
        assert "robots.txt" in next(iter(report.paused.values()))
        server.routes["/robots.txt"] = fixed(answer("", "404 Not Found"))
        assert download(project).requested == 0
        retry_failed(project, "download")
        assert download(project).ok == 1


def test_failures_in_a_row_pause_the_host(make_project: MakeProject) -> None:
    with RudeServer() as server:
        server.routes["/*"] = fixed(answer("", "500 Oops"), keep=True)
        server.routes["/robots.txt"] = fixed(answer("", "404 Not Found"), keep=True)
        project = make_project(
            SETTINGS.replace("breaker = 10_000", "breaker = 5").replace("per_host = 16", "per_host = 1")
        )
        add_items(project, [server.url(f"/{n}.jpg") for n in range(50)])
        report = download(project)
        assert server.counts.total() == 6
    assert "5 failures in a row" in next(iter(report.paused.values()))
    assert report.pending == 50


def test_requests_to_a_host_keep_its_crawl_delay(make_project: MakeProject) -> None:
    with RudeServer() as server:
        server.routes["/*"] = fixed(served(JPEG), keep=True)
        server.routes["/robots.txt"] = fixed(answer("User-agent: *\nCrawl-delay: 0.3"), keep=True)
        project = make_project(SETTINGS)
        add_items(project, [server.url(f"/{n}.jpg") for n in range(6)])
        began = time.monotonic()
        assert download(project).ok == 6
        assert time.monotonic() - began >= 1.5


def test_two_downloads_at_once_the_second_says_who_is_at_work(make_project: MakeProject) -> None:
    from tamis.engine.lease import held

    project = make_project(SETTINGS)
    with held(project.engine, "download"), pytest.raises(BusyError, match="download"):
        download(project)


def test_a_folder_is_read_from_disk(make_project: MakeProject) -> None:
    project = make_project('[source.photos]\nkind = "folder"\naddress = "photos"\n[download]\nmax_bytes = 100_000\n')
    folder = project.path("photos")
    (folder / "red" / "one").mkdir(parents=True)
    for name, data in {"red/one/1.jpg": JPEG, "red/one/2.jpg": JPEG, "loose.png": picture(2, "png")}.items():
        (folder / name).write_bytes(data)
    (folder / "loose2.jpg").write_bytes(b"not a picture")
    (folder / "long.jpg").write_bytes(b"\xff\xd8\xff" * 100_000)
    register_sources(project)
    (folder / "gone.jpg").write_bytes(JPEG)
    register_sources(project)
    (folder / "gone.jpg").unlink()
    report = download(project)
    assert report.outcomes == {"ok": 3, "not_image": 1, "too_large": 1, "not_found": 1}
    assert report.complete
    with reading(project.engine) as connection:
        titles = connection.execute(sa.select(schema.item.c.title).order_by(schema.item.c.title)).scalars().all()
        images = connection.execute(sa.select(sa.func.count()).select_from(schema.image)).scalar_one()
    assert titles == ["gone", "long", "loose", "loose2", "one"]
    assert images == 2
