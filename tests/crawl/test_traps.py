"""Session traps by rule and by what was seen, and the budgets that end what is no trap."""

from __future__ import annotations

import time
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from tamis import schema
from tamis.crawl.budget import RunLimits
from tamis.crawl.child import make_agenda
from tamis.crawl.reading import MAX_LINKS
from tamis.crawl.rounds import begin_passes, end_passes
from tamis.crawl.sources import register_sources
from tamis.crawl.traps import STREAK, FormWatch, form_of, trap_by_rule
from tamis.crawl.urls import url_key
from tamis.database import reading
from tamis.project import Project
from tests.conftest import MakeProject
from tests.crawl.driven import HOME, drive, outcomes, page, path_of, rows, shop
from tests.crawl.rude_server import item_page, results_page

NOW = 1_795_000_000.0  # November 2026
SETTINGS = f"""
[crawl]
delay = 0
concurrency = 8
obey_robots = false
[source.shop]
address = "{HOME}"
"""


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("a/b/a/b/a/b/", "repeats 'a/b'"),
        ("x/x/x/x/", "repeats 'x'"),
        ("/".join("abcdefghijklmnopqrstuvwxyz"), "26 segments"),
        ("?" + "&".join(f"p{n}=1" for n in range(30)), "30 parameters"),
        ("list?" + "&".join(f"colour={n}" for n in range(9)), "'colour' is given 9 times"),
        ("calendar/2031/05/", "a calendar that leads to 2031"),
        ("events?month=2029-01", "leads to 2029"),
        ("shop?date=1970-01-01", "leads to 1970"),
        ("veranstaltungen/2190-01-01", "leads to 2190"),
    ],
)
def test_urls_that_no_person_would_write(path: str, reason: str) -> None:
    found = trap_by_rule(HOME + path, NOW)
    assert found is not None
    assert reason in found


@pytest.mark.parametrize(
    "path",
    [
        "",
        "cars/bmw/320d/2031-edition/",
        "item/2031",
        "events/2026/11/",
        "calendar/2027-01",
        "archive/2015/03/a-post",
        "c/shoes/c/",
        "de/de/de-de/",
        "list?colour=red&colour=blue&size=1&size=2&page=3&sort=price",
        "used/audi/a4/2019/diesel/automatic/berlin/dealer/42/photo/7",
        "product/20310512",
        "kalender-2030-wandkalender",
        "angebote/bmw-320-1999999-eur?year=2019",
    ],
)
def test_urls_of_shops_pass(path: str) -> None:
    assert trap_by_rule(HOME + path, NOW) is None


@given(st.text(max_size=300))
def test_no_url_breaks_the_rules(path: str) -> None:
    trap_by_rule(HOME + path)
    assert len(form_of(HOME + path)) == 32


def test_the_form_is_what_stays_when_numbers_and_values_go() -> None:
    assert form_of(HOME + "day/2026-11-03?x=1") == form_of(HOME + "day/1999-01-30?x=abc")
    assert form_of(HOME + "c/shoes") != form_of(HOME + "c/shirts")
    assert form_of(HOME + "list?sort=1") != form_of(HOME + "list?order=1")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a?sid=0a1b2c3d4e5f60718293", "a"),
        ("a?x=1&session_id=f00dfeedf00dfeedf00dfeed", "a?x=1"),
        ("(S(abcdefghij1234567890))/a", "a"),
        ("a;jsessionid=1234?x=1", "a?x=1"),
    ],
)
def test_sessions_in_the_url_are_one_page(first: str, second: str) -> None:
    assert url_key(HOME + first) == url_key(HOME + second)


@pytest.mark.parametrize("path", ["a?sid=4711", "a?s=shoes", "a?session=summer-2026", "a?s=long-words-without-digits"])
def test_short_words_are_no_sessions(path: str) -> None:
    assert url_key(HOME + path) != url_key(HOME + "a")


def test_a_streak_is_broken_by_anything_found_and_outlives_the_process() -> None:
    watch = FormWatch(lambda _: [0] * (STREAK - 1))
    assert watch.refusal(HOME + "day/1") is None
    watch.note(HOME + "day/1", 0)
    assert watch.refusal(HOME + "day/2") is not None
    watch.note(HOME + "day/2", 1)
    assert watch.refusal(HOME + "day/3") is None
    assert FormWatch(lambda _: [0] * 10 + [3] + [0] * 40).refusal(HOME + "day/1") is None


def test_the_same_body_at_many_urls_is_nothing_new() -> None:
    watch = FormWatch(lambda _: [])
    assert not watch.repeats(HOME + "a?n=1", "x")
    assert watch.repeats(HOME + "a?n=2", "x")
    assert not watch.repeats(HOME + "a?n=2", "x"), "a page is no copy of itself"
    assert not watch.repeats(HOME + "a?n=3", "y")


# --- in a crawl ---------------------------------------------------------------------------------------------------


def calendar(url: str) -> Any:
    """A shop with two things and a calendar that leads on without end, in a form that no rule knows."""
    path = path_of(url)
    if path.startswith("/item/"):
        return page(item_page(f"Thing {path}"))
    if path == "/":
        return page('<html><body><h1>Shop</h1><a href="/item/1">1</a><a href="/item/2">2</a><a href="/on/1">on</a>')
    number = int(path.rpartition("/")[2])
    return page(f'<html><body><h1>Page {number}</h1><a href="/on/{number + 1}">on</a><a href="/item/1">1</a></body>')


def made(make_project: MakeProject, more: str = "max_depth = 100000\n") -> Project:
    project = make_project(SETTINGS + more)
    register_sources(project)
    return project


def test_pages_that_lead_to_each_other_alone_are_left(make_project: MakeProject) -> None:
    project = made(make_project)
    agenda = make_agenda(project)
    asked = drive(agenda, calendar)
    assert len([path for path in asked if path.startswith("/on/")]) == STREAK
    (row,) = [row for row in rows(project) if row.outcome == "trap"]
    assert (path_of(row.url), row.state) == (f"/on/{STREAK + 1}", "done")
    assert "brought nothing but each other" in row.reason
    assert agenda.tally.outcomes["trap"] == 1
    assert len(rows(project, schema.item)) == 2


def test_a_trap_stays_known_in_the_next_run_and_can_be_taken_back(make_project: MakeProject) -> None:
    project = made(make_project)
    drive(make_agenda(project, RunLimits(STREAK + 3)), calendar)
    assert drive(make_agenda(project), calendar) == []
    end_passes(project)
    allowed = made(make_project, "max_depth = 100000\nrefuse_traps = false\nmax_pages = 80\n")
    assert begin_passes(allowed)["shop"] == STREAK + 4
    asked = drive(make_agenda(allowed), calendar)
    assert f"/on/{STREAK + 1}" in asked


def test_endless_parameters_that_show_one_item_are_left(make_project: MakeProject) -> None:
    project = made(make_project)

    def web(url: str) -> Any:
        number = int(url.rpartition("=")[2]) if "=" in url else 0
        if number == 0:
            return page(results_page([f"/thing?view={n}" for n in range(1, 200)]))
        return page(item_page("The one thing"))

    asked = drive(make_agenda(project), web)
    assert len(asked) == 1 + 1 + STREAK
    assert {outcome for _, outcome in outcomes(project).values()} == {"ok", "trap"}


def test_many_pages_that_each_show_an_item_are_no_trap(make_project: MakeProject) -> None:
    project = made(make_project)
    links = [f"/item/{n}" for n in range(3 * STREAK)]
    web = shop({"/": page(results_page(links)), **{link: page(item_page(f"Thing {link}")) for link in links}})
    assert len(drive(make_agenda(project), web)) == 1 + len(links)
    begin_passes(project)
    assert len(drive(make_agenda(project), web)) == 1 + len(links)
    assert {outcome for _, outcome in outcomes(project).values()} == {"ok"}


def test_each_refused_link_is_a_row_with_its_reason(make_project: MakeProject) -> None:
    project = made(make_project)
    year = time.gmtime().tm_year + 3
    body = f'<html><body><h1>x</h1><a href="/calendar/{year}/01">on</a><a href="/a/a/a/a/">in</a><a href="/b">b</a>'
    drive(make_agenda(project), shop({"/": page(body), "/b": page("<h1>b</h1>")}))
    refused = {path_of(row.url): row.reason for row in rows(project) if row.outcome == "trap"}
    assert refused == {
        f"/calendar/{year}/01": f"trap: a calendar that leads to {year}",
        "/a/a/a/a/": "trap: the path repeats 'a'",
    }


def test_more_links_than_a_page_has_are_not_believed(make_project: MakeProject) -> None:
    project = made(make_project)
    body = "<html><body><h1>x</h1>" + "".join(f'<a href="/p/{n}">{n}</a>' for n in range(2 * MAX_LINKS))
    drive(make_agenda(project, RunLimits(1)), shop({"/": page(body)}))
    assert len(rows(project)) == 1 + MAX_LINKS


# --- budgets ------------------------------------------------------------------------------------------------------


def things(count: int) -> Any:
    links = [f"/item/{n}" for n in range(count)]
    return shop({"/": page(results_page(links)), **{link: page(item_page(f"Thing {link}")) for link in links}})


def test_a_source_keeps_to_its_budget_of_bytes(make_project: MakeProject) -> None:
    project = made(make_project, "max_bytes = 9000\n")
    agenda = make_agenda(project)
    asked = drive(agenda, things(60))
    with reading(project.engine) as connection:
        size = connection.execute(sa.select(sa.func.sum(schema.page.c.size))).scalar_one()
    assert 9000 <= size < 9000 + 500
    assert len(asked) < 20
    assert agenda.budget.spent() == {"shop": "budget of 9000 bytes is used up (source.shop.max_bytes)"}
    assert drive(make_agenda(project), things(60)) == []


def test_a_run_keeps_to_its_limit_of_bytes(make_project: MakeProject) -> None:
    project = made(make_project, "")
    first = drive(make_agenda(project, RunLimits(size=3000)), things(30))
    assert len(first) < 12
    assert len(first) + len(drive(make_agenda(project), things(30))) == 31


def test_a_new_pass_has_a_new_budget(make_project: MakeProject) -> None:
    project = made(make_project, "max_pages = 5\n")
    agenda = make_agenda(project)
    assert len(drive(agenda, things(4))) == 5
    assert agenda.budget.spent() == {"shop": "budget of 5 pages is used up (source.shop.max_pages)"}
    end_passes(project, agenda.budget.spent())
    begin_passes(project)
    assert len(drive(make_agenda(project), things(4))) == 5
