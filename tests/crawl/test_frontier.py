"""The frontier on every database, driven by answers that the tests write; no network."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
import sqlalchemy as sa

from tamis import schema
from tamis.crawl.agenda import Ask, Wait
from tamis.crawl.budget import RunLimits
from tamis.crawl.child import make_agenda
from tamis.crawl.frontier import Frontier, Link, PageResult, PageTask, insert_pages, retry_failed
from tamis.crawl.hosts import HostTable, LeaseLost, is_gone, process_name
from tamis.crawl.items import FoundItem, save_items, web_pictures
from tamis.crawl.outcomes import timed_out, unreachable
from tamis.crawl.pictures import PictureResult, PictureTable, StoredImage
from tamis.crawl.reading import PageAnswer
from tamis.crawl.sources import register_sources, source_rows
from tamis.database import writing
from tamis.engine.lease import acquire
from tamis.project import Project
from tamis.records import Item
from tests.conftest import MakeProject
from tests.crawl.driven import HOME, drive, outcomes, page, rows, shop
from tests.crawl.rude_server import item_page, results_page

SETTINGS = f"""
[source.shop]
address = "{HOME}"
max_pages = 200
[crawl]
delay = 0
retry_wait = 0.01
attempts = 2
"""


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    made = make_project(SETTINGS)
    register_sources(made)
    return made


@pytest.fixture
def each_project(make_project: MakeProject, database_address: str) -> Project:
    """The project on each database in turn: for what rests on the database's own behaviour."""
    made = make_project(SETTINGS, database=database_address)
    register_sources(made)
    return made


def test_a_small_shop_from_the_first_page_to_the_last_picture(each_project: Project) -> None:
    project = each_project
    links = [f"/item/{n}" for n in range(4)]
    web = {
        "/": page(results_page(links[:2], "/page/2")),
        "/page/2": page(results_page(links[1:])),
        **{link: page(item_page(f"Thing {link}", (f"{link}/1.jpg", f"{link}/2.jpg"))) for link in links},
    }
    agenda = make_agenda(project)
    asked = drive(agenda, shop(web))
    assert asked[0] == "/robots.txt"
    assert sorted(asked[1:]) == sorted(web)
    assert asked.index("/item/0") < asked.index("/page/2"), "items go before further results"
    assert {outcome for _, outcome in outcomes(project).values()} == {"ok"}
    assert len(rows(project, schema.item)) == 4
    pictures = rows(project, schema.picture)
    assert [(row.position, row.state, row.host) for row in pictures] == [
        (n % 2, "pending", "shop.example") for n in range(8)
    ]
    assert drive(make_agenda(project), shop(web)) == []


def test_stored_bodies_are_compressed_and_the_same_everywhere(project: Project) -> None:
    drive(make_agenda(project), shop({"/": page(item_page("Thing"))}))
    body = project.blobs.get(rows(project)[0].body_sha256)
    assert body[:2] == b"\x1f\x8b"
    assert body[4:8] == b"\x00\x00\x00\x00", "no time in the header, so that equal pages are one blob"


def test_what_is_read_again_updates_the_item_and_keeps_its_first_time(each_project: Project) -> None:
    project = each_project
    row = source_rows(project)["shop"]

    def save(title: str, urls: list[str], now: float) -> None:
        found = FoundItem(HOME + "1", Item(HOME + "1", title, price=5.0), tuple(web_pictures(urls)))
        with writing(project.engine) as connection:
            save_items(connection, row, [found, found], now)

    save("Old", [HOME + "a.jpg", HOME + "b.jpg"], 100.0)
    before = rows(project, schema.item)[0]
    save("Old", [HOME + "a.jpg", HOME + "b.jpg"], 150.0)
    assert rows(project, schema.item)[0].digest == before.digest
    save("New", [HOME + "b.jpg", HOME + "c.jpg", "nonsense", HOME + "b.jpg#top"], 200.0)
    (after,) = rows(project, schema.item)
    assert (after.title, after.first_seen, after.last_seen) == ("New", 100.0, 200.0)
    assert after.digest != before.digest
    positions = {row.url.removeprefix(HOME): row.position for row in rows(project, schema.picture)}
    assert positions == {"a.jpg": 0, "b.jpg": 0, "c.jpg": 1}


def test_a_vanished_item_says_when(project: Project) -> None:
    drive(make_agenda(project), shop({"/": page(item_page("Thing"))}))
    with writing(project.engine) as connection:
        connection.execute(sa.update(schema.page).values(state="pending"))
    drive(make_agenda(project), shop({"/": page("", 410)}))
    assert rows(project, schema.item)[0].vanished_at is not None


# --- failures -----------------------------------------------------------------------------------------------------


def test_failures_are_tried_again_then_left_for_retry(each_project: Project) -> None:
    project = each_project
    answers = {"/": timed_out(5.0), "/robots.txt": page("", 404)}
    assert drive(make_agenda(project), shop(answers)).count("/") == 2
    (row,) = rows(project)
    assert (row.state, row.outcome, row.attempts) == ("failed", "timeout", 2)
    assert "5 s" in row.reason
    assert retry_failed(project, "crawl") == 1
    drive(make_agenda(project), shop({"/": page(item_page("Thing"))}))
    assert outcomes(project)["/"] == ("done", "ok")


def test_retry_after_is_waited_for(project: Project) -> None:
    turns = iter([page("", 429, retry_after="1"), page(item_page("Thing"))])
    began = time.monotonic()
    drive(make_agenda(project), lambda url: page("", 404) if url.endswith("robots.txt") else next(turns))
    assert time.monotonic() - began >= 1.0
    assert outcomes(project)["/"] == ("done", "ok")


def test_a_long_retry_after_pauses_the_host_and_the_run_ends(project: Project) -> None:
    agenda = make_agenda(project)
    drive(agenda, shop({"/": page("", 503, retry_after="3600")}))
    assert "3600 s" in agenda.paused()["shop.example"]
    again = make_agenda(project)
    assert drive(again, shop({})) == []
    assert "3600 s" in again.paused()["shop.example"]


@pytest.mark.parametrize("answer", [page("", 503), unreachable("dns", "no such name"), timed_out(1.0)])
def test_without_robots_txt_nothing_is_asked_until_it_recovers(project: Project, answer: Any) -> None:
    agenda = make_agenda(project)
    assert set(drive(agenda, shop({"/robots.txt": answer, "/": page(item_page("Thing"))}))) == {"/robots.txt"}
    assert "robots.txt" in agenda.paused()["shop.example"]
    assert outcomes(project)["/"] == ("pending", None)
    retry_failed(project, "crawl")
    drive(make_agenda(project), shop({"/": page(item_page("Thing"))}))
    assert outcomes(project)["/"] == ("done", "ok")


def test_robots_txt_is_followed_to_where_it_moved(project: Project) -> None:
    moved = page("", 301, location="/elsewhere.txt")
    rules = page("User-agent: *\nDisallow: /", content_type="text/plain")
    asked = drive(make_agenda(project), shop({"/robots.txt": moved, "/elsewhere.txt": rules}))
    assert asked == ["/robots.txt", "/elsewhere.txt"]
    assert outcomes(project)["/"] == ("done", "robots")


def test_robots_txt_that_moves_without_end_allows_all(project: Project) -> None:
    def web(url: str) -> PageAnswer:
        return page("", 301, location=f"{url}x") if "robots.txt" in url else page(item_page("Thing"))

    assert drive(make_agenda(project), web)[-1] == "/"


def test_the_breaker_pauses_a_failing_host(make_project: MakeProject) -> None:
    project = make_project(SETTINGS + "breaker = 4\n")
    register_sources(project)
    links = [f"/item/{n}" for n in range(30)]
    agenda = make_agenda(project)
    asked = drive(agenda, lambda url: page("", 500) if "/item/" in url else page(results_page(links)))
    assert len([path for path in asked if path.startswith("/item/")]) == 4
    assert "4 failures in a row, the last: HTTP 500" in agenda.paused()["shop.example"]


# --- traps --------------------------------------------------------------------------------------------------------


def test_endless_paging_is_given_up_when_it_lists_nothing_new(project: Project) -> None:
    links = [f"/item/{n}" for n in range(5)]

    def web(url: str) -> PageAnswer:
        if "/item/" in url:
            return page(item_page("Thing"))
        number = int(url.rpartition("=")[2]) if "=" in url else 1
        return page(results_page(links, f"/?page={number + 1}"))

    asked = drive(make_agenda(project), web)
    assert len([path for path in asked if "page=" in path]) <= 4


def test_growing_paths_and_depth_are_bounded(make_project: MakeProject) -> None:
    project = make_project(SETTINGS.replace("max_pages = 200", "max_depth = 6"))
    register_sources(project)

    def web(url: str) -> PageAnswer:
        base = url.rstrip("/")
        return page(
            f'<html><body><h1>x</h1><a href="{base}/a">a</a><a href="/day/{len(url)}">next day</a></body></html>'
        )

    asked = drive(make_agenda(project), web)
    assert len(asked) < 60
    assert max(path.count("/a") for path in asked) <= 3
    assert max(row.depth for row in rows(project)) <= 6


def test_the_budget_of_pages_is_kept(make_project: MakeProject) -> None:
    project = make_project(SETTINGS.replace("200", "5"))
    register_sources(project)
    links = [f"/item/{n}" for n in range(30)]
    web = shop({"/": page(results_page(links)), **{link: page(item_page("Thing")) for link in links}})
    assert len(drive(make_agenda(project), web)) == 1 + 5
    assert drive(make_agenda(project), web) == []


def test_limit_bounds_one_run(project: Project) -> None:
    links = [f"/item/{n}" for n in range(10)]
    web = shop({"/": page(results_page(links)), **{link: page(item_page("Thing")) for link in links}})
    agenda = make_agenda(project, RunLimits(4))
    assert len(drive(agenda, web)) == 1 + 4
    assert len(drive(make_agenda(project), web)) == 7


def test_redirects_in_a_circle_end(project: Project) -> None:
    turns = {"/": "/a", "/a": "/b", "/b": "/c", "/c": "/a"}
    web = shop({path: page("", 302, location=target) for path, target in turns.items()})
    assert len(drive(make_agenda(project), web)) == 5
    assert outcomes(project)["/c"] == ("done", "redirect_loop")


@pytest.mark.parametrize(
    ("target", "outcome"),
    [
        ("https://elsewhere.example/", "offsite"),
        ("http://127.0.0.1/", "private"),
        ("http://169.254.169.254/latest/meta-data", "private"),
        ("ftp://shop.example/", "refused"),
        ("", "refused"),
    ],
)
def test_redirects_off_the_site_are_refused(project: Project, target: str, outcome: str) -> None:
    drive(make_agenda(project), shop({"/": page("", 302, location=target)}))
    assert outcomes(project) == {"/": ("done", outcome)}


def test_links_that_lead_away_are_not_even_rows(project: Project) -> None:
    body = "<html><body><h1>x</h1>" + "".join(
        f'<a href="{url}">x</a>'
        for url in ("http://other.example/", "http://127.0.0.1/", "mailto:a@b.c", "javascript:x()", "/login", "/real")
    )
    drive(make_agenda(project), shop({"/": page(body), "/real": page("<h1>y</h1>")}))
    assert set(outcomes(project)) == {"/", "/real"}


def test_nofollow_and_noai_are_heeded(project: Project) -> None:
    listing = results_page([f"/item/{n}" for n in range(3)]).replace(
        "<head>", '<head><meta name="robots" content="nofollow">'
    )
    drive(make_agenda(project), shop({"/": page(listing)}))
    assert set(outcomes(project)) == {"/"}
    assert rows(project)[0].directives == "nofollow"


# --- leases -------------------------------------------------------------------------------------------------------


def claim(project: Project) -> tuple[HostTable, Any, Frontier, PageTask]:
    hosts = HostTable(project.engine, project.settings.crawl)
    (held,), _ = hosts.claim(["shop.example"])
    row = source_rows(project)["shop"]
    frontier = Frontier(project.engine, hosts, {row.id: (row, project.settings.source["shop"])})
    return hosts, held, frontier, frontier.due("shop.example", time.time(), (), 1)[0]


def expire(project: Project) -> None:
    with writing(project.engine) as connection:
        connection.execute(sa.update(schema.host).values(lease_until=0.0))


def test_one_crawler_at_a_time_asks_a_host(each_project: Project) -> None:
    project = each_project
    first, held, _, _ = claim(project)
    second = HostTable(project.engine, project.settings.crawl)
    taken, busy = second.claim(["shop.example"])
    assert (taken, busy) == ([], {"shop.example": first.owner})
    first.release([held])
    taken, busy = second.claim(["shop.example"])
    assert len(taken) == 1
    assert taken[0].fence > held.fence


def test_a_late_crawler_writes_nothing(each_project: Project) -> None:
    project = each_project
    _, held, frontier, task = claim(project)
    expire(project)
    claim(project)
    item = FoundItem(HOME, Item(HOME, "Thing"), tuple(web_pictures([HOME + "a.jpg"])), task.id)
    link = Link(HOME + "next", "results", 0, 1)
    late = PageResult("done", "ok", None, "item", time.time(), links=(link,), item=item)
    with pytest.raises(LeaseLost):
        frontier.commit(task, late, held)
    assert outcomes(project) == {"/": ("pending", None)}
    assert rows(project, schema.item) == []


def test_a_late_agenda_goes_on_without_the_host(project: Project) -> None:
    agenda = make_agenda(project)
    turn = agenda.next_turn()
    assert isinstance(turn, Ask)
    agenda.robots_answered(turn.host, page("", 404))
    turn = agenda.next_turn()
    assert isinstance(turn, Ask)
    expire(project)
    _, other, _, _ = claim(project)
    agenda.page_answered(turn, page(item_page("Thing"), url=turn.url))
    assert rows(project, schema.item) == []
    assert isinstance(agenda.next_turn(), Wait), "it waits for the other crawler, which may fail"
    assert "shop.example" in agenda.waiting_for
    assert other.fence > turn.host.fence


def test_the_lease_of_a_process_that_has_ended_is_free_at_once(project: Project) -> None:
    claim(project)
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    machine, _, mark = process_name().rsplit(":", 2)
    with writing(project.engine) as connection:
        connection.execute(sa.update(schema.host).values(lease_owner=f"{machine}:{child}:{mark}"))
    _, held, _, _ = claim(project)
    assert held.fence == 2


def test_whose_lease_is_free() -> None:
    machine = process_name().rsplit(":", 2)[0]
    assert not is_gone(process_name())
    assert not is_gone(f"{machine}:1:x")
    assert not is_gone("elsewhere.5:99999999:x")
    assert not is_gone("nonsense")


# --- tables -------------------------------------------------------------------------------------------------------


def test_a_url_is_one_row_in_all_its_spellings(each_project: Project) -> None:
    project = each_project
    source_id = source_rows(project)["shop"].id
    spellings = ["a?x=1&y=2", "a?y=2&x=1", "a?x=1&y=2&utm_source=mail", "b/../a?x=1&y=2#top"]
    with writing(project.engine) as connection:
        added = [insert_pages(connection, [Link(HOME + text, "item", 0, 1)], source_id, None) for text in spellings]
    assert added == [[HOME + spellings[0]], [], [], []]


def test_due_pages_come_by_priority_and_not_before_their_time(each_project: Project) -> None:
    project = each_project
    _, _, frontier, first = claim(project)
    links = [Link(f"{HOME}{n}", "item", n % 3, 1) for n in range(9)]
    with writing(project.engine) as connection:
        insert_pages(connection, links, first.source_id, first.id)
        waiting = schema.page.c.url == f"{HOME}8"
        connection.execute(sa.update(schema.page).where(waiting).values(not_before=time.time() + 60))
    due = frontier.due("shop.example", time.time(), {first.id}, 5)
    assert [task.url.removeprefix(HOME) for task in due] == ["2", "5", "1", "4", "7"]
    assert frontier.count_pending() == 10


def test_pictures_of_one_url_share_what_came_of_it(each_project: Project) -> None:
    project = each_project
    row = source_rows(project)["shop"]
    table = PictureTable(project.engine)
    lease = acquire(project.engine, "download")

    def add(number: int) -> None:
        found = FoundItem(
            f"{HOME}{number}", Item(HOME, "x"), tuple(web_pictures([HOME + "a.jpg", HOME + f"{number}.jpg"]))
        )
        with writing(project.engine) as connection:
            save_items(connection, row, [found], 1.0)

    add(1)
    add(2)
    tasks = table.due("shop.example", time.time(), 0, 10)
    assert len(tasks) == 4
    image = StoredImage("ab" * 32, 5)
    shared = next(task for task in tasks if task.url.endswith("a.jpg"))
    assert table.commit([PictureResult(shared, "done", "ok", None, 200, image=image)], {}, lease) == 2
    add(3)
    known, settled = table.settle_known(tasks)
    assert (known, settled) == ({shared.url_key}, {"ok": 1})
    assert table.count_pending() == 3
    assert table.hosts_with_work() == {"shop.example": 0.0}
    assert len({row.image_id for row in rows(project, schema.picture) if row.outcome == "ok"}) == 1
