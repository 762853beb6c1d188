"""A crawl without a network: a test answers what the agenda asks for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from tamis import schema
from tamis.crawl.agenda import Agenda, Ask, Finished, Wait
from tamis.crawl.outcomes import Outcome
from tamis.crawl.reading import PageAnswer
from tamis.database import reading
from tamis.project import Project

HOME = "http://shop.example/"
Answer = PageAnswer | Outcome
Web = Callable[[str], Answer]


def page(body: str = "", status: int = 200, url: str = HOME, **headers: str) -> PageAnswer:
    """An answer; names of headers are given with underscores."""
    stated = {"content_type": "text/html"} | headers
    named = {name.replace("_", "-"): (value,) for name, value in stated.items()}
    return PageAnswer(url, status, named, body.encode(), time.time())


def path_of(url: str) -> str:
    """Path and query of a URL of the shop."""
    return url.removeprefix(HOME.rstrip("/"))


def drive(agenda: Agenda, web: Web, *, steps: int = 2000) -> list[str]:
    """Answer all that the agenda asks for, until it is finished; returns the paths asked for, in order."""
    return [path_of(ask.url) for ask in drive_asks(agenda, web, steps=steps)]


def drive_asks(agenda: Agenda, web: Web, *, steps: int = 2000) -> list[Ask]:
    """The same; returns what was asked."""
    asked: list[Ask] = []
    for _ in range(steps):
        turn = agenda.next_turn()
        if isinstance(turn, Finished):
            agenda.close()
            return asked
        if isinstance(turn, Wait):
            time.sleep(min(turn.seconds, 0.02))
            continue
        asked.append(turn)
        answer = web(turn.url)
        if isinstance(answer, PageAnswer):
            answer = PageAnswer(turn.url, answer.status, answer.headers, answer.body, time.time())
        if turn.task is None:
            agenda.robots_answered(turn.host, answer)
        else:
            agenda.page_answered(turn, answer)
    raise AssertionError(f"not finished after {steps} steps; asked for {[ask.url for ask in asked[-20:]]}")


def shop(pages: dict[str, Any]) -> Web:
    """A web of these pages by path; all others are not there."""
    return lambda url: pages.get(path_of(url), page("", 404))


def rows(project: Project, table: sa.Table = schema.page) -> list[Any]:
    """All rows of a table, in the order of their key."""
    with reading(project.engine) as connection:
        return list(connection.execute(sa.select(table).order_by(table.c[next(iter(table.c)).name])))


def outcomes(project: Project) -> dict[str, tuple[str, str | None]]:
    """State and outcome of each page by its path."""
    return {path_of(row.url): (row.state, row.outcome) for row in rows(project)}
