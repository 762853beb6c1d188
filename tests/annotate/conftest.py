"""A project with drawn cars, and clients that talk to a real server over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tamis.annotate.server import serving
from tamis.project import Project
from tests.annotate.browser import chromium
from tests.annotate.factory import SETTINGS, Made, fill
from tests.conftest import MakeProject

Connect = Callable[[str], httpx.Client]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium that the tests of a module share."""
    with chromium() as started:
        yield started


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    return make_project(SETTINGS)


@pytest.fixture
def made(project: Project) -> list[Made]:
    return fill(project)


@pytest.fixture
def address(project: Project, made: list[Made]) -> Iterator[str]:
    with serving(project) as served:
        yield served.url


@pytest.fixture
def connect(address: str) -> Iterator[Connect]:
    """Make clients of a person: `connect("anna")`."""
    clients: list[httpx.Client] = []

    def make(person: str) -> httpx.Client:
        client = httpx.Client(base_url=address, headers={"X-Tamis-Person": person}, timeout=30)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def anna(connect: Connect) -> httpx.Client:
    return connect("anna")
