"""The crawler against a server with bad habits: each ends in a row with a reason, and the crawl goes on."""

from __future__ import annotations

import gzip
import time
from typing import Any

import pytest
import sqlalchemy as sa

from tamis import schema
from tamis.crawl.report import CrawlReport
from tamis.crawl.run import crawl
from tamis.database import reading
from tamis.project import Project
from tests.conftest import MakeProject
from tests.crawl.rude_habits import FURTHER, endless_refresh
from tests.crawl.rude_server import (
    Handler,
    RudeServer,
    answer,
    bomb,
    drip,
    endless_body,
    endless_header,
    endless_redirects,
    fixed,
    hang_up,
    in_turn,
    item_page,
    redirect,
    reset_in_body,
    results_page,
    silence,
)

pytestmark = pytest.mark.slow

GOOD = item_page("A fine thing", ("/p/1.jpg", "/p/2.jpg"))
ROBOTS = "User-agent: *\nDisallow: /private\n"

#: Path -> what is served there, the outcome that is expected, and whether an item comes of it.
HABITS: dict[str, tuple[Handler, str, bool]] = {
    "/ok": (fixed(answer(GOOD), keep=True), "ok", True),
    "/404": (fixed(answer("gone fishing", "404 Not Found")), "not_found", False),
    "/404-as-200-empty": (fixed(answer("")), "unreadable", False),
    "/410": (fixed(answer("", "410 Gone")), "gone", False),
    "/403": (fixed(answer("no", "403 Forbidden")), "forbidden", False),
    "/451": (fixed(answer("no", "451 Unavailable For Legal Reasons")), "forbidden", False),
    "/418": (fixed(answer("short and stout", "418 I'm a Teapot")), "refused", False),
    "/500": (fixed(answer("oops", "500 Internal Server Error")), "server_error", False),
    "/status-799": (fixed(answer("no", "799 Go away")), "server_error", False),
    "/500-once": (in_turn(fixed(answer("", "503 Busy")), fixed(answer(GOOD))), "ok", True),
    "/429-once": (in_turn(fixed(answer("", "429 Slow", Retry_After="1")), fixed(answer(GOOD))), "ok", True),
    "/429-nonsense": (in_turn(fixed(answer("", "429 Slow", Retry_After="soon")), fixed(answer(GOOD))), "ok", True),
    "/drip": (drip, "timeout", False),
    "/silence": (silence, "timeout", False),
    "/hang-up": (hang_up, "broken_answer", False),
    "/hang-up-once": (in_turn(hang_up, fixed(answer(GOOD))), "ok", True),
    "/reset-in-body": (reset_in_body, "incomplete", False),
    "/half-body": (fixed(answer(GOOD, Content_Length="100000")), "incomplete", False),
    "/longer-body": (fixed(answer(GOOD + " " * 1000, Content_Length=str(len(GOOD.encode())))), "ok", True),
    "/no-length": (fixed(answer(GOOD, Content_Length="")), "ok", True),
    "/length-of-a-terabyte": (fixed(answer("a", Content_Length=str(10**12))), "too_large", False),
    "/negative-length": (fixed(answer(GOOD, Content_Length="-5")), "broken_answer", False),
    "/endless-body": (endless_body, "too_large", False),
    "/endless-header": (endless_header, "too_large", False),
    "/gzip-bomb": (fixed(bomb()), "too_large", False),
    "/gzip-cut-off": (fixed(answer(gzip.compress(GOOD.encode())[:-20], Content_Encoding="gzip")), "ok", True),
    "/gzip-lie": (fixed(answer(GOOD, Content_Encoding="gzip")), "broken_answer", False),
    "/unknown-encoding": (fixed(answer(b"\x01\x02\x03", Content_Encoding="rot13")), "ok", False),
    "/bad-chunk": (
        fixed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n"),
        "incomplete",
        False,
    ),
    "/no-http": (fixed(b"\x00\xff\x00 not http at all\r\n\r\n"), "broken_answer", False),
    "/status-is-no-number": (fixed(b"HTTP/1.1 abc OK\r\n\r\n"), "broken_answer", False),
    "/loop-a": (in_turn(drip, redirect("/loop-b")), "redirect_loop", False),
    "/loop-b": (redirect("/loop-a"), "redirected", False),
    "/cookie-wall": (redirect("/cookie-wall", Set_Cookie="seen=1"), "redirect_loop", False),
    "/steps/1": (endless_redirects, "redirected", False),
    "/moved": (redirect("ok?moved=1", "301 Moved Permanently"), "redirected", False),
    "/offsite": (redirect("http://elsewhere.example/"), "offsite", False),
    "/to-a-file": (redirect("file:///etc/passwd"), "refused", False),
    "/to-nowhere": (fixed(answer(status="302 Found")), "refused", False),
    "/to-a-broken-url": (redirect("http://[::1"), "refused", False),
    "/to-raw-bytes": (redirect("/ok?q=\xe9\xfc"), "redirected", False),
    "/private/page": (fixed(answer(GOOD)), "robots", False),
    "/noai-header": (fixed(answer(GOOD, X_Robots_Tag="noai, noimageai")), "noai", False),
    "/other-bots-header": (fixed(answer(GOOD, X_Robots_Tag="otherbot: noindex")), "ok", True),
    "/noindex-meta": (
        fixed(answer(item_page("Hidden", head='<meta name="robots" content="noindex">'))),
        "noindex",
        False,
    ),
    "/a-picture": (fixed(answer(b"\xff\xd8\xff\xe0" + b"\x00" * 500)), "unreadable", False),
    "/a-document": (fixed(answer(b"%PDF-1.7 ...", content_type="application/pdf")), "unreadable", False),
    "/a-video": (fixed(answer(b"\x00" * 100, content_type="video/mp4")), "unreadable", False),
    "/wrong-charset": (fixed(answer(GOOD, content_type="text/html; charset=klingon")), "ok", True),
    "/utf-16": (fixed(answer(GOOD.encode("utf-16"), content_type="text/html")), "ok", True),
    "/bom": (fixed(answer(b"\xef\xbb\xbf" + GOOD.encode())), "ok", True),
    "/nul": (fixed(answer(item_page("Fine\x00 thing \x00"))), "ok", True),
    "/lone-surrogate": (fixed(answer(item_page("Fine \\ud800 thing"))), "ok", True),
    "/no-number": (fixed(answer(item_page("Fine thing", price="NaN"))), "ok", True),
    "/long-title": (fixed(answer(item_page("very " * 100_000 + "long"))), "ok", True),
    "/deep": (fixed(answer("<div>" * 50_000 + GOOD)), "ok", False),
    "/no-type": (fixed(answer(GOOD, content_type="")), "ok", True),
    "/early-hints": (fixed(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + answer(GOOD)), "ok", True),
    "/204": (fixed(answer(b"", "204 No Content", Content_Length="")), "unreadable", False),
}
HABITS |= FURTHER
#: Habits on which only the outcome is pinned: whether an item can be read from such bytes is the reader's business.
READERS_BUSINESS = {"/deep", "/unknown-encoding", "/no-number", "/deep-json", "/latin-1-as-utf-8", "/utf-32"}

SETTINGS = """
[source.rude]
address = "{address}"
max_depth = 3
[crawl]
allow_private = true
delay = 0
concurrency = 16
timeout = 2.0
attempts = 2
retry_wait = 0.05
max_page_bytes = 2_000_000
breaker = 10_000
"""


@pytest.fixture(scope="module")
def visited(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One crawl over all habits: the report, the rows by path, the items' paths, and the server's counts."""
    from tamis.project import open_project

    folder = tmp_path_factory.mktemp("rude")
    with RudeServer() as server:
        server.routes = {path: handler for path, (handler, _, _) in HABITS.items()}
        server.routes |= {"/steps/*": endless_redirects, "/refreshes/*": endless_refresh}
        server.routes["/ok*"] = fixed(answer(GOOD), keep=True)
        server.routes["/robots.txt"] = fixed(answer(ROBOTS, content_type="text/plain"), keep=True)
        server.routes["/"] = fixed(answer(results_page(list(HABITS))), keep=True)
        (folder / "tamis.toml").write_text(SETTINGS.format(address=server.url("/")))
        project = open_project(folder)
        began = time.monotonic()
        report = crawl(project)
        seconds = time.monotonic() - began
        rows = page_rows(project, server)
        with reading(project.engine) as connection:
            items = {row.url: row for row in connection.execute(sa.select(schema.item))}
        yield {
            "report": report,
            "rows": rows,
            "items": {url.removeprefix(server.url("")): row for url, row in items.items()},
            "counts": server.counts,
            "seconds": seconds,
        }
        project.close()


def page_rows(project: Project, server: RudeServer) -> dict[str, Any]:
    with reading(project.engine) as connection:
        return {row.url.removeprefix(server.url("")): row for row in connection.execute(sa.select(schema.page))}


@pytest.mark.parametrize("path", list(HABITS))
def test_each_bad_habit_ends_in_a_row_with_a_reason(path: str, visited: dict[str, Any]) -> None:
    _, outcome, has_item = HABITS[path]
    row = visited["rows"][path]
    assert (row.outcome, row.state) == (outcome, row.state), row.reason
    assert row.state != "pending"
    if outcome != "ok":
        assert row.reason
        assert "\n" not in row.reason
    if path not in READERS_BUSINESS:
        assert (path in visited["items"]) is has_item


def test_failures_can_be_retried_and_outcomes_stand(visited: dict[str, Any]) -> None:
    retried = {"timeout", "server_error", "broken_answer", "incomplete", "tls", "dns"}
    for path, row in visited["rows"].items():
        assert row.state == ("failed" if row.outcome in retried else "done"), path


def test_no_page_is_asked_more_often_than_its_attempts(visited: dict[str, Any]) -> None:
    for path, row in visited["rows"].items():
        raw = row.url.partition(f"{row.host}")[2]
        assert visited["counts"][raw] <= max(row.attempts, 1) + (
            1 if path.startswith(("/hang-up", "/nothing")) else 0
        ), path
    assert visited["counts"]["/private/page"] == 0
    assert visited["counts"]["/robots.txt"] == 1


def test_redirects_without_end_are_given_up(visited: dict[str, Any]) -> None:
    steps = {path: row.outcome for path, row in visited["rows"].items() if path.startswith("/steps/")}
    assert "redirect_loop" in steps.values()
    assert len(steps) <= 12


def test_refreshes_without_end_are_given_up(visited: dict[str, Any]) -> None:
    steps = {path: row.outcome for path, row in visited["rows"].items() if path.startswith("/refreshes/")}
    assert "redirect_loop" in steps.values()
    assert len(steps) <= 12


def test_an_answer_that_nobody_asked_for_is_taken_for_none(visited: dict[str, Any]) -> None:
    assert "Smuggled" not in {row.title for row in visited["items"].values()}


def test_each_row_has_its_robots_verdict(visited: dict[str, Any]) -> None:
    rows = visited["rows"]
    assert rows["/ok"].robots_verdict == "allowed"
    assert rows["/private/page"].robots_verdict == "forbidden"
    assert rows["/noai-header"].directives == "noai, noimageai"


def test_a_page_that_forbids_its_use_is_not_stored(visited: dict[str, Any]) -> None:
    assert visited["rows"]["/ok"].body_sha256
    assert visited["rows"]["/noai-header"].body_sha256 is None


def test_text_is_fit_for_every_database(visited: dict[str, Any]) -> None:
    assert visited["items"]["/nul"].title == "Fine thing"
    assert len(visited["items"]["/long-title"].title) <= 16_000


def test_the_report_counts_what_the_rows_say(visited: dict[str, Any]) -> None:
    report: CrawlReport = visited["report"]
    assert report.items == len(visited["items"])
    assert sum(report.outcomes.values()) == len(visited["rows"])
    assert report.pending == 0
    assert not report.paused
    assert dict(report.failed)
    assert not report.stopped


def test_a_second_crawl_asks_for_nothing(make_project: MakeProject) -> None:
    with RudeServer() as server:
        server.routes["/"] = fixed(answer(results_page([f"/item/{n}" for n in range(5)])))
        server.routes["/item/*"] = fixed(answer(GOOD))
        project = make_project(SETTINGS.format(address=server.url("/")))
        assert crawl(project).items == 5
        asked = server.counts.total()
        again = crawl(project)
        assert server.counts.total() == asked
        assert (again.pages, again.items) == (0, 0)
