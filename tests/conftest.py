"""Fixtures that all tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tamis.project import Project, open_project
from tamis.vision.compiled import warm_up
from tests.databases import database_address, stop_servers

__all__ = ["database_address"]

#: A busy machine is no reason to fail.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

MakeProject = Callable[..., Project]


@pytest.fixture
def make_project(tmp_path: Path) -> Iterator[MakeProject]:
    """Make projects in folders of their own: `make_project(toml_text, database=URL)`."""
    opened: list[Project] = []

    def make(settings: str = "", *, database: str | None = None, name: str = "project") -> Project:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        head = f'[project]\nname = "test"\ndatabase = "{database}"\n' if database else ""
        (folder / "tamis.toml").write_text(head + settings, encoding="utf-8")
        project = open_project(folder)
        opened.append(project)
        return project

    yield make
    for project in opened:
        project.close()


def pytest_configure(config: pytest.Config) -> None:
    """Compile the comparison of pictures once, before several processes would each do so."""
    if getattr(config.option, "numprocesses", None):
        warm_up()


def pytest_sessionfinish() -> None:
    """End what the tests started."""
    stop_servers()
