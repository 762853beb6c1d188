"""Replay: stored pages read again with another recipe, without a request, and without losing what was read before."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa

from tamis import schema
from tamis.cli import run
from tamis.crawl import replay as replay_module
from tamis.crawl.child import make_agenda
from tamis.crawl.reader import reader_digest
from tamis.crawl.replay import replay
from tamis.crawl.rounds import end_passes
from tamis.crawl.run import crawl
from tamis.crawl.sources import register_sources
from tamis.database import reading, writing
from tamis.project import Project, open_project
from tamis.recipes.library import GENERIC, load_recipe
from tests.conftest import MakeProject
from tests.crawl.driven import HOME, drive, page, rows, shop
from tests.crawl.rude_server import RudeServer, answer, fixed, item_page, results_page

SETTINGS = """
[source.shop]
address = "{address}"
recipe = "own"
[crawl]
allow_private = true
delay = 0
"""
FIRST = 'name = "own"\n[item]\ntitle = "h1::text"\n'
SECOND = (
    'name = "own"\n[item]\ntitle = "h2::text"\n[pictures]\n'
    "rewrite = [['/small/', '/large/']]\n[urls]\nignore = ['nothing']\n"
)


def thing(number: int) -> str:
    body = item_page(f"Thing {number}", (f"/small/{number}.jpg",))
    return body.replace("<p>", f"<h2>Better name {number}</h2><p>")


def write_recipe(project: Project, text: str) -> None:
    project.path("recipes").mkdir(exist_ok=True)
    project.path("recipes", "own.toml").write_text(text)


def titles(project: Project) -> list[str]:
    with reading(project.engine) as connection:
        return sorted(connection.execute(sa.select(schema.item.c.title)).scalars())


def driven(make_project: MakeProject, pages: dict[str, Any], recipe: str = FIRST, **more: Any) -> Project:
    project = make_project(SETTINGS.format(address=HOME), **more)
    write_recipe(project, recipe)
    register_sources(project)
    drive(make_agenda(project), shop(pages))
    end_passes(project)
    return project


def site(count: int) -> dict[str, Any]:
    links = [f"/item/{n}" for n in range(count)]
    return {"/": page(results_page(links))} | {link: page(thing(n)) for n, link in enumerate(links)}


@pytest.mark.slow
def test_a_replay_reads_anew_and_requests_nothing(make_project: MakeProject) -> None:
    with RudeServer() as server:
        server.routes["/"] = fixed(answer(results_page([f"/item/{n}" for n in range(6)])), keep=True)
        for number in range(6):
            server.routes[f"/item/{number}"] = fixed(answer(thing(number)), keep=True)
        project = make_project(SETTINGS.format(address=server.url("/")))
        write_recipe(project, FIRST)
        assert crawl(project).items == 6
        asked = server.counts.total()
        assert titles(project) == [f"Thing {n}" for n in range(6)]
        write_recipe(project, SECOND)
        report = replay(project)
        assert server.counts.total() == asked, "a replay asks no server"
    assert (report.pages, report.changed, report.items, report.pictures, report.current) == (7, 6, 0, 6, 0)
    assert titles(project) == [f"Better name {n}" for n in range(6)]
    pictures = {row.url.rpartition(":")[2].partition("/")[2]: row.left_at for row in rows(project, schema.picture)}
    assert {url for url, left in pictures.items() if left is None} == {f"large/{n}.jpg" for n in range(6)}
    assert {url for url, left in pictures.items() if left is not None} == {f"small/{n}.jpg" for n in range(6)}
    first = rows(project, schema.item_change)[0]
    assert (first.kind, first.cause) == ("changed", "replay")
    assert first.fields["title"] == ["Thing 0", "Better name 0"]
    again = replay(project)
    assert (again.pages, again.current) == (0, 7)


def test_a_replay_on_each_database_keeps_what_was(make_project: MakeProject, database_address: str) -> None:
    project = driven(make_project, site(4), database=database_address)
    seen = {row.id: row.last_seen for row in rows(project, schema.item)}
    write_recipe(project, SECOND)
    assert replay(project).changed == 4
    assert {row.id: row.last_seen for row in rows(project, schema.item)} == seen, "the web was not asked"
    write_recipe(project, FIRST)
    assert replay(project).changed == 4
    assert titles(project) == [f"Thing {n}" for n in range(4)]
    assert len(rows(project, schema.item_change)) == 8
    assert len(rows(project, schema.picture)) == 8


def test_a_replay_that_was_killed_goes_on_where_it_was(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = driven(make_project, site(9))
    write_recipe(project, SECOND)
    monkeypatch.setattr(replay_module, "BATCH", 3)
    commits = 0

    def dies(self: Any, results: Any) -> Any:
        nonlocal commits
        commits += 1
        if commits == 3:
            raise InterruptedError
        return inner(self, results)

    inner = replay_module._Replay.commit
    monkeypatch.setattr(replay_module._Replay, "commit", dies)
    with pytest.raises(InterruptedError):
        replay(project)
    monkeypatch.setattr(replay_module._Replay, "commit", inner)
    report = replay(project)
    assert (report.pages, report.current) == (4, 6)
    assert len(rows(project, schema.item_change)) == 9, "each item changed once"


def test_worker_processes_read_the_same(make_project: MakeProject, monkeypatch: pytest.MonkeyPatch) -> None:
    project = driven(make_project, site(12))
    write_recipe(project, SECOND)
    monkeypatch.setattr(replay_module, "_WORTH_PROCESSES", 1)
    monkeypatch.setattr(replay_module, "BATCH", 4)
    monkeypatch.setattr(replay_module, "worker_count", lambda _: 2)
    seen: list[tuple[int, int | None]] = []
    assert replay(project, progress=lambda done, total, _: seen.append((done, total))).changed == 12
    assert titles(project) == sorted(f"Better name {n}" for n in range(12))
    assert seen[-1] == (13, 13)


def test_what_is_no_item_any_more_is_kept_as_vanished_and_comes_back(make_project: MakeProject) -> None:
    project = driven(make_project, site(3))
    write_recipe(project, FIRST + "[urls]\nresults = ['^/item/1$']\n")
    assert replay(project).vanished == 1
    gone = [row for row in rows(project, schema.item) if row.vanished_at is not None]
    assert [row.url for row in gone] == [f"{HOME}item/1"]
    assert rows(project, schema.item_change)[-1].reason == "its page is read as results"
    write_recipe(project, FIRST)
    replay(project)
    assert all(row.vanished_at is None for row in rows(project, schema.item))
    assert [row.kind for row in rows(project, schema.item_change)] == ["vanished", "returned"]


def test_new_links_wait_for_a_crawl(make_project: MakeProject) -> None:
    listing = page('<html><body><h1>x</h1><div class="hit" data-url="/item/1">one</div></body></html>')
    project = driven(make_project, {"/": listing, "/item/1": page(thing(1))})
    assert len(rows(project)) == 1
    write_recipe(project, FIRST + '[urls]\nresults = ["^/$"]\n[results]\nitems = ".hit::attr(data-url)"\n')
    assert replay(project).links == 1
    assert [row.state for row in rows(project)] == ["done", "pending"]


def test_a_lost_body_is_told_and_takes_nothing_away(make_project: MakeProject) -> None:
    project = driven(make_project, site(4))
    (row, *_) = [row for row in rows(project) if "/item/" in row.url]
    project.blobs.delete(row.body_sha256)
    write_recipe(project, SECOND)
    report = replay(project)
    assert (report.unreadable, report.vanished, report.changed) == (1, 0, 3)
    assert all(row.vanished_at is None for row in rows(project, schema.item))


def test_a_page_that_a_crawler_read_meanwhile_is_left_to_it(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = driven(make_project, site(4))
    write_recipe(project, SECOND)
    inner = replay_module._Replay.commit

    def meanwhile(self: Any, results: Any) -> Any:
        with writing(project.engine) as connection:
            newer = sa.update(schema.page).where(schema.page.c.url == f"{HOME}item/1").values(body_sha256="0" * 64)
            connection.execute(newer)
        return inner(self, results)

    monkeypatch.setattr(replay_module._Replay, "commit", meanwhile)
    assert replay(project).pages == 4
    assert titles(project) == ["Better name 0", "Better name 2", "Better name 3", "Thing 1"]


def test_the_reader_is_known_by_its_recipe(make_project: MakeProject) -> None:
    project = make_project("")
    write_recipe(project, FIRST)
    first = reader_digest(load_recipe("own", project.folder))
    assert first == reader_digest(load_recipe("own", project.folder))
    write_recipe(project, "# a comment\n" + FIRST)
    assert reader_digest(load_recipe("own", project.folder)) == first
    write_recipe(project, FIRST.replace("h1", "h2"))
    assert reader_digest(load_recipe("own", project.folder)) not in (first, reader_digest(GENERIC))


def test_the_command_line(make_project: MakeProject, capsys: pytest.CaptureFixture[str]) -> None:
    project = driven(make_project, site(3))
    write_recipe(project, SECOND)
    project.close()
    folder = ["--project", str(project.folder)]
    assert run(["crawl", "--replay", "--json", *folder]) == 0
    assert json.loads(capsys.readouterr().out)["changed"] == 3
    assert run(["crawl", "--replay", *folder]) == 0
    assert "4 pages were read by the present recipe and extractor already" in capsys.readouterr().out
    for wrong in (["--again"], ["--limit", "3"], ["http://x.example/"]):
        assert run(["crawl", "--replay", *wrong, *folder]) == 2
        assert "--replay reads stored pages alone" in capsys.readouterr().err
    assert run(["crawl", "--older-than", "7d", *folder]) == 2
    assert "give both" in capsys.readouterr().err
    assert run(["crawl", "--again", "--older-than", "soon", *folder]) == 2
    assert "'soon' is no age" in capsys.readouterr().err
    assert open_project(project.folder) is not None
