"""The yield alarm: loud when a recipe loses a field, quiet at chance and small numbers."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis import schema
from tamis.cli import run
from tamis.crawl.child import make_agenda
from tamis.crawl.replay import replay
from tamis.crawl.rounds import begin_passes, end_passes
from tamis.crawl.sources import register_sources
from tamis.crawl.yields import MAX_CHANCE, Yield, chance_of_fall, falls, latest_warnings, record_crawl
from tamis.project import Project
from tests.conftest import MakeProject
from tests.crawl.driven import HOME, drive, page, path_of, rows
from tests.crawl.rude_server import RudeServer, answer, fixed, item_page, results_page

SETTINGS = f"""
[source.shop]
address = "{HOME}"
recipe = "own"
[crawl]
delay = 0
concurrency = 8
obey_robots = false
"""


def given_yield(expected: int, items: int, **fields: int) -> Yield:
    return Yield(expected, items, Counter(fields))


def test_the_chance_is_that_of_fishers_test() -> None:
    assert chance_of_fall((8, 10), (1, 6)) == pytest.approx(0.0243, abs=1e-3)  # 195 of 8008 tables
    assert chance_of_fall((10, 10), (10, 10)) == pytest.approx(1.0)
    assert chance_of_fall((1000, 1000), (0, 1000)) < 1e-100


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 60), st.integers(1, 60))
def test_a_chance_is_one_and_grows_with_the_hits(before: int, now: int, all_before: int, all_now: int) -> None:
    before, now = min(before, all_before), min(now, all_now)
    chance = chance_of_fall((before, all_before), (now, all_now))
    assert 0.0 <= chance <= 1.0
    if now < all_now:
        more = chance_of_fall((before, all_before), (now + 1, all_now))
        assert more >= chance - 1e-9 or before == 0


@pytest.mark.parametrize(
    ("before", "now", "loud"),
    [
        (given_yield(500, 490, price=480), given_yield(100, 98, price=3), True),
        (given_yield(500, 490, price=480), given_yield(100, 98, price=90), False),
        (given_yield(500, 490, price=480), given_yield(5, 5, price=0), False),
        (given_yield(5, 5, price=5), given_yield(500, 490, price=0), False),
        (given_yield(20, 20, price=20), given_yield(12, 12, price=9), False),
        (given_yield(20, 20, price=20), given_yield(12, 12, price=2), True),
        (given_yield(5000, 5000, price=5000), given_yield(5000, 5000, price=4800), False),
        (given_yield(500, 490), given_yield(100, 4), True),
        (given_yield(500, 0), given_yield(100, 0), False),
    ],
)
def test_only_large_falls_that_are_no_chance_are_told(before: Yield, now: Yield, loud: bool) -> None:
    assert bool(falls(before, now)) is loud


@given(st.integers(10, 300), st.floats(0.3, 1.0), st.randoms(use_true_random=False))
def test_chance_alone_is_quiet(count: int, share: float, random: Any) -> None:
    """Draws of one and the same share differ by chance; by its level a false alarm is as rare as one in a thousand."""
    draws = [sum(random.random() < share for _ in range(count)) for _ in range(2)]
    before, now = (given_yield(count, count, price=hits) for hits in draws)
    if falls(before, now):
        assert chance_of_fall((draws[0], count), (draws[1], count)) < MAX_CHANCE


# --- in a crawl ---------------------------------------------------------------------------------------------------


def write_recipe(project: Project, text: str) -> None:
    project.path("recipes").mkdir(exist_ok=True)
    project.path("recipes", "own.toml").write_text(text)


def crawl(project: Project, *, broken: bool = False, count: int = 30) -> list[str]:
    def web(url: str) -> Any:
        path = path_of(url)
        if path == "/":
            return page(results_page([f"/item/{n}" for n in range(count)]))
        body = item_page(f"Thing {path}", (f"{path}.jpg",))
        if broken:
            body = body.replace('"price"', '"preis"').replace("1000 €", "")
        return page(body)

    register_sources(project)
    begin_passes(project)
    drive(make_agenda(project), web)
    return [*end_passes(project), *record_crawl(project)]


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    made = make_project(SETTINGS)
    write_recipe(made, 'name = "own"\n')
    return made


def test_a_field_that_is_gone_is_one_clear_line(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert crawl(project) == []
    assert crawl(project) == []
    (line,) = crawl(project, broken=True)
    assert "\n" not in line
    assert "source shop: recipe own reads less than before: price in 0% of 30 (100% before)" in line
    assert "title" not in line
    assert latest_warnings(project) == [line]
    assert run(["status", "--project", str(project.folder)]) == 0
    assert f"warning: {line}" in capsys.readouterr().out
    assert run(["status", "--json", "--project", str(project.folder)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["warnings"] == [line]
    assert document["passes"][0]["changed"] == 30
    assert crawl(project) == [], "it is quiet again when the field is back"
    assert latest_warnings(project) == []


@pytest.mark.slow
def test_a_run_of_the_whole_pipeline_tells_it_too(
    make_project: MakeProject, capsys: pytest.CaptureFixture[str]
) -> None:
    with RudeServer() as server:
        server.routes["/"] = fixed(answer(results_page([f"/item/{n}" for n in range(40)])), keep=True)
        for number in range(40):
            body = item_page(f"Thing {number}")
            broken = body.replace('"price"', '"preis"').replace("1000 €", "")
            server.routes[f"/item/{number}"] = fixed(answer(broken if number >= 20 else body), keep=True)
        project = make_project(
            f'[source.shop]\naddress = "{server.url("/")}"\n[crawl]\nallow_private = true\ndelay = 0\nconcurrency = 1\n'
        )
        for limit, loud in ((["--limit", "21"], False), ([], True)):
            assert run(["run", "crawl", *limit, "--project", str(project.folder)]) == 0
            assert ("warning: source shop" in capsys.readouterr().out) is loud


def test_a_recipe_that_a_replay_breaks_is_told(project: Project) -> None:
    assert crawl(project) == []
    write_recipe(project, 'name = "own"\n[urls]\nresults = ["."]\n')
    (line,) = replay(project).warnings
    assert "items on 0% of 30 (100% before)" in line


def test_few_pages_are_counted_with_those_of_the_next_run(make_project: MakeProject) -> None:
    project = make_project(SETTINGS)
    write_recipe(project, 'name = "own"\n')
    crawl(project, count=6)
    assert rows(project, schema.crawl_run) == []
    crawl(project, count=12)
    (one,) = rows(project, schema.crawl_run)
    assert (one.expected, one.items, one.fields["price"]) == (12, 12, 12)


def test_a_second_source_is_held_against_the_first_by_its_recipe(make_project: MakeProject) -> None:
    project = make_project(SETTINGS)
    write_recipe(project, 'name = "own"\n')
    crawl(project)
    other = make_project(SETTINGS.replace("source.shop", "source.other").replace(HOME, f"{HOME}other"))
    write_recipe(other, 'name = "own"\n')
    register_sources(other)

    def web(url: str) -> Any:
        if path_of(url) == "/other":
            return page(results_page([f"/thing/{n}" for n in range(30)]))
        return page(item_page(f"Thing {url}").replace('"price"', '"preis"').replace("1000 €", ""))

    drive(make_agenda(other), web)
    (line,) = record_crawl(other)
    assert "source other: recipe own" in line
