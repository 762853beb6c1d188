"""Crawling again: conditional requests, what is new, changed, vanished and back, and passes that are killed."""

from __future__ import annotations

import time
from typing import Any

import pytest
import sqlalchemy as sa

from tamis import schema
from tamis.crawl.child import make_agenda
from tamis.crawl.outcomes import timed_out
from tamis.crawl.rounds import NOT_LISTED, begin_passes, end_passes, pass_counts
from tamis.crawl.sources import register_sources
from tamis.database import writing
from tamis.project import Project
from tests.conftest import MakeProject
from tests.crawl.driven import HOME, drive, drive_asks, outcomes, page, path_of, rows, shop
from tests.crawl.rude_server import item_page, results_page

SETTINGS = f"""
[source.shop]
address = "{HOME}"
[crawl]
delay = 0
retry_wait = 0.01
attempts = 2
concurrency = 8
obey_robots = false
"""


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    made = make_project(SETTINGS)
    register_sources(made)
    return made


@pytest.fixture
def each_project(make_project: MakeProject, database_address: str) -> Project:
    made = make_project(SETTINGS, database=database_address)
    register_sources(made)
    return made


def item(number: int, price: int = 1000, *, title: str = "", images: tuple[str, ...] = ("/a.jpg",)) -> Any:
    name = title or f"Thing {number}"
    return page(item_page(name, tuple(f"/{number}{url}" for url in images), price=str(price)), etag=f'"{number}"')


def site(numbers: range, **changed: Any) -> dict[str, Any]:
    listing = page(results_page([f"/item/{n}" for n in numbers]), last_modified="Sun, 01 Nov 2026 10:00:00 GMT")
    return {"/": listing} | {f"/item/{n}": item(n) for n in numbers} | changed


def crawl(project: Project, web: Any) -> list[str]:
    agenda = make_agenda(project)
    asked = drive(agenda, web)
    assert end_passes(project, agenda.budget.spent()) == []
    return asked


def again(project: Project, pages: dict[str, Any]) -> list[str]:
    begin_passes(project)
    return crawl(project, shop(pages))


def counts(project: Project) -> tuple[int, ...]:
    (one,) = pass_counts(project)
    return one.new, one.changed, one.unchanged, one.vanished, one.returned


def changes(project: Project) -> list[tuple[str, str, Any]]:
    titles = {row.id: path_of(row.url) for row in rows(project, schema.item)}
    return [(titles[row.item_id], row.kind, row.fields) for row in rows(project, schema.item_change)]


def test_a_second_pass_tells_new_changed_unchanged_and_vanished(each_project: Project) -> None:
    project = each_project
    crawl(project, shop(site(range(8))))
    assert counts(project) == (8, 0, 0, 0, 0)
    pages = site(range(1, 10)) | {"/item/1": item(1, 900), "/item/2": item(2, images=("/b.jpg",))}
    assert sorted(again(project, pages)) == sorted(["/", *(f"/item/{n}" for n in range(10))])
    assert counts(project) == (2, 2, 5, 1, 0)
    found = {path: (kind, fields) for path, kind, fields in changes(project)}
    assert found == {
        "/item/0": ("vanished", {}),
        "/item/1": ("changed", {"price": [1000.0, 900.0]}),
        "/item/2": ("changed", {"pictures": [[f"{HOME}2/a.jpg"], [f"{HOME}2/b.jpg"]]}),
    }
    (gone,) = [row for row in rows(project, schema.item) if row.vanished_at is not None]
    assert path_of(gone.url) == "/item/0"
    left = {path_of(row.url): row.left_at is not None for row in rows(project, schema.picture)}
    assert (left["/2/a.jpg"], left["/2/b.jpg"]) == (True, False)
    (one,) = pass_counts(project)
    assert (one.number, one.ended) == (2, True)


def test_unchanged_pages_are_asked_for_conditionally_and_not_sent(project: Project) -> None:
    crawl(project, shop(site(range(3))))
    bodies = {path_of(row.url): row.body_sha256 for row in rows(project)}
    begin_passes(project)
    asks = drive_asks(make_agenda(project), lambda url: page("", 304))
    end_passes(project)
    sent = {path_of(ask.url): ask.headers for ask in asks}
    assert sent["/item/1"] == {"If-None-Match": '"1"'}
    assert sent["/"] == {"If-Modified-Since": "Sun, 01 Nov 2026 10:00:00 GMT"}
    assert counts(project) == (0, 0, 3, 0, 0)
    assert {path_of(row.url): row.body_sha256 for row in rows(project)} == bodies
    assert {row.status for row in rows(project)} == {304}
    assert {row.etag for row in rows(project) if "/item/" in row.url} == {'"0"', '"1"', '"2"'}
    assert changes(project) == []


def test_a_304_for_a_page_whose_body_is_lost_is_asked_for_whole(project: Project) -> None:
    crawl(project, shop({"/": item(1)}))
    (row,) = rows(project)
    project.blobs.delete(row.body_sha256)
    begin_passes(project)
    agenda = make_agenda(project)
    answers = iter([page("", 304), item(1, 5)])
    asks = drive_asks(agenda, lambda url: next(answers))
    assert [ask.headers for ask in asks] == [{"If-None-Match": '"1"'}, {}]
    assert outcomes(project) == {"/": ("done", "ok")}
    assert [fields for _, _, fields in changes(project)] == [{"price": [1000.0, 5.0]}]


def test_a_304_that_nobody_asked_for_is_refused(project: Project) -> None:
    crawl(project, shop({"/": page("", 304)}))
    assert outcomes(project) == {"/": ("done", "refused")}


def test_what_is_listed_again_comes_back_with_its_history(each_project: Project) -> None:
    project = each_project
    crawl(project, shop(site(range(4))))
    again(project, site(range(4), **{"/item/3": page("", 410)}))
    assert counts(project) == (0, 0, 3, 1, 0)
    pages = site(range(4)) | {"/item/3": item(3, 500)}
    assert "/item/3" in again(project, pages)
    assert counts(project) == (0, 0, 3, 0, 1)
    assert [(kind, fields) for path, kind, fields in changes(project) if path == "/item/3"] == [
        ("vanished", {}),
        ("returned", {"price": [1000.0, 500.0]}),
    ]


def test_what_is_gone_is_not_asked_for_until_it_is_listed(project: Project) -> None:
    crawl(project, shop(site(range(3))))
    pages = site(range(2)) | {"/item/2": page("", 404)}
    assert "/item/2" in again(project, pages)
    assert "/item/2" not in again(project, pages)


def test_an_item_that_no_list_shows_has_vanished_though_its_page_answers(project: Project) -> None:
    crawl(project, shop(site(range(6))))
    unlisted = site(range(5)) | {"/item/5": item(5)}
    again(project, unlisted)
    assert counts(project) == (0, 0, 5, 1, 0)
    again(project, unlisted)
    assert counts(project) == (0, 0, 5, 0, 0), "it is noticed once"
    (row,) = rows(project, schema.item_change)
    assert (row.kind, row.cause, row.reason) == ("vanished", "listing", NOT_LISTED)
    again(project, site(range(6)))
    assert [kind for _, kind, _ in changes(project)] == ["vanished", "returned"]
    assert all(row.vanished_at is None for row in rows(project, schema.item))


def test_nothing_vanishes_when_a_result_page_could_not_be_read(project: Project) -> None:
    first = site(range(6)) | {"/": page(results_page([f"/item/{n}" for n in range(3)], "/page/2"))}
    second = page(results_page([f"/item/{n}" for n in range(3, 6)]))
    crawl(project, shop(first | {"/page/2": second}))
    again(project, first | {"/page/2": timed_out(1.0)})
    assert counts(project) == (0, 0, 6, 0, 0)


def test_a_list_that_loses_most_of_its_items_at_once_is_doubted(project: Project) -> None:
    crawl(project, shop(site(range(30))))
    begin_passes(project)
    drive(make_agenda(project), shop(site(range(3)) | {f"/item/{n}": item(n) for n in range(30)}))
    (warning,) = end_passes(project)
    assert "27 of 30 items are not listed any more" in warning
    assert counts(project)[3] == 0


def test_a_listing_that_redirects_has_vanished(project: Project) -> None:
    crawl(project, shop(site(range(3))))
    again(project, site(range(3)) | {"/item/2": page("", 301, location="/")})
    assert counts(project) == (0, 0, 2, 1, 0)
    assert [row.reason for row in rows(project, schema.item_change)] == [f"its page leads to {HOME}"]


def test_a_pass_that_was_killed_goes_on_where_it_was(project: Project) -> None:
    crawl(project, shop(site(range(10))))
    begin_passes(project)
    agenda = make_agenda(project)
    asked: list[str] = []

    def dies(url: str) -> Any:
        if len(asked) == 5:
            raise InterruptedError
        asked.append(path_of(url))
        return site(range(10))[path_of(url)]

    with pytest.raises(InterruptedError):
        drive(agenda, dies)
    assert begin_passes(project) == {"shop": 6}, "asking for a new pass goes on with the one that is not finished"
    with writing(project.engine) as connection:
        connection.execute(sa.update(schema.host).values(lease_until=0.0))
    rest = crawl(project, shop(site(range(10))))
    assert set(asked).isdisjoint(rest)
    assert len(asked) + len(rest) == 11
    assert counts(project) == (0, 0, 10, 0, 0)


def test_pages_that_were_read_lately_can_be_left_out(project: Project) -> None:
    crawl(project, shop(site(range(4))))
    with writing(project.engine) as connection:
        old = schema.page.c.url.in_([f"{HOME}item/1", HOME])
        connection.execute(sa.update(schema.page).where(old).values(fetched_at=time.time() - 10 * 86_400))
    assert begin_passes(project, 7 * 86_400) == {"shop": 2}
    assert sorted(crawl(project, shop(site(range(4))))) == ["/", "/item/1"]


def test_paging_goes_on_in_a_second_pass_and_endless_paging_ends(project: Project) -> None:
    def web(last: int) -> Any:
        def answer(url: str) -> Any:
            if "/item/" in url:
                return item(int(url.rpartition("/")[2]))
            number = int(url.rpartition("=")[2]) if "=" in url else 1
            shown = min(number, last)
            links = [f"/item/{n}" for n in range(shown * 3, shown * 3 + 3)]
            return page(results_page(links, f"/?page={number + 1}"))

        return answer

    crawl(project, web(6))
    assert counts(project)[0] == 18
    begin_passes(project)
    asked = crawl(project, web(8))
    assert counts(project)[:2] == (6, 0)
    assert len([path for path in asked if "page=" in path]) <= 12


def test_a_circle_of_redirects_is_judged_by_what_the_pass_saw(project: Project) -> None:
    crawl(project, shop({"/": page("", 302, location="/b"), "/b": item(1)}))
    again(project, {"/": item(1), "/b": page("", 302, location="/")})
    assert outcomes(project) == {"/": ("done", "ok"), "/b": ("done", "redirected")}


def test_attributes_and_returned_pictures_are_told_part_by_part(project: Project) -> None:
    def thing(specs: str, images: tuple[str, ...]) -> Any:
        body = item_page("Thing", images).replace("</body>", f"<table>{specs}</table></body>")
        return page(body)

    row = "<tr><th>{}</th><td>{}</td></tr>"
    first = thing(row.format("Finish", "matt") + row.format("Size", "M"), ("/a.jpg", "/b.jpg"))
    second = thing(row.format("Finish", "gloss") + row.format("Size", "M"), ("/a.jpg",))
    crawl(project, shop({"/": first}))
    again(project, {"/": second})
    again(project, {"/": first})
    (_, _, there), (_, _, back) = changes(project)
    assert there == {"attributes": [{"Finish": "matt"}, {"Finish": "gloss"}], "pictures": [[f"{HOME}b.jpg"], []]}
    assert back == {"attributes": [{"Finish": "gloss"}, {"Finish": "matt"}], "pictures": [[], [f"{HOME}b.jpg"]]}
    assert len(rows(project, schema.picture)) == 2
    bodies = [row.body_sha256 for row in rows(project, schema.item_change)]
    assert all(body in project.blobs for body in bodies)
    assert len(set(bodies)) == 2
