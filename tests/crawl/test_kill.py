"""Crawler and downloader killed at random moments: the next run goes on, and the rows come out the same."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import sqlalchemy as sa

from tamis import schema
from tamis.crawl.download import download
from tamis.crawl.run import crawl
from tamis.crawl.sources import register_sources
from tamis.database import reading
from tamis.project import Project
from tamis.settingsfile import DATABASE_VARIABLE
from tests.conftest import MakeProject
from tests.crawl.rude_server import RudeServer, answer, fixed, item_page, results_page
from tests.crawl.test_handler import picture, served
from tests.databases import own_database

pytestmark = pytest.mark.slow

ITEMS, CONCURRENCY = 200, 4
CRAWL_KILLS, DOWNLOAD_KILLS = 25, 5
DOWNLOAD = (
    "from pathlib import Path; from tamis.project import open_project; from tamis.crawl.download import download;"
    "download(open_project(Path({folder!r})))"
)
#: Loads the crawler once, and forks it for each line on standard input: a start costs no import of Scrapy.
LAUNCHER = """
import os, sys, threading
import tamis.crawl.child as child
lifeline, folder = int(sys.argv[1]), sys.argv[2]
for line in sys.stdin:
    assert threading.active_count() == 1
    number = os.fork()
    if number == 0:
        os.dup2(lifeline, 0)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os._exit(child.main(['--project', folder]))
    print(number, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]), flush=True)
"""
SETTINGS = """
[source.shop]
address = "{address}"
[crawl]
allow_private = true
delay = 0
concurrency = {concurrency}
retry_wait = 0.05
[download]
per_host = 4
"""


def settings_of(address: str) -> str:
    return SETTINGS.format(address=address, concurrency=CONCURRENCY)


@pytest.fixture(scope="module")
def server() -> Iterator[RudeServer]:
    with RudeServer(delay=0.05) as running:
        for number in range(ITEMS):
            images = tuple(f"/picture/{(number * 2 + k) % 90}.jpg" for k in range(3))
            running.routes[f"/item/{number}"] = fixed(answer(item_page(f"Thing {number}", images)), keep=True)
        for number in range(90):
            running.routes[f"/picture/{number}.jpg"] = fixed(served(picture(number % 80)), keep=True)
        for first in range(0, ITEMS, 10):
            following = f"/list/{first + 10}" if first + 10 < ITEMS else None
            links = [f"/item/{number}" for number in range(first, first + 10)]
            running.routes[f"/list/{first}"] = fixed(answer(results_page(links, following)), keep=True)
        running.routes["/item/5"] = fixed(answer("", "404 Not Found"), keep=True)
        yield running


def natural_rows(project: Project) -> dict[str, set[tuple[Any, ...]]]:
    """All rows by what they mean, without numbers and times."""
    page, item, pic, image = schema.page, schema.item, schema.picture, schema.image
    joined = pic.join(item).outerjoin(image, pic.c.image_id == image.c.id)
    queries = {
        "page": sa.select(page.c.url, page.c.kind, page.c.state, page.c.outcome, page.c.status, page.c.body_sha256),
        "item": sa.select(item.c.item_key, item.c.title, item.c.digest),
        "picture": sa.select(
            item.c.item_key, pic.c.url, pic.c.position, pic.c.state, pic.c.outcome, image.c.sha256
        ).select_from(joined),
    }
    with reading(project.engine) as connection:
        return {name: {tuple(row) for row in connection.execute(query)} for name, query in queries.items()}


def committed(project: Project, table: sa.Table) -> set[str]:
    """Paths of the URLs whose outcome is in the database."""
    with reading(project.engine) as connection:
        urls = connection.execute(sa.select(table.c.url).where(table.c.state == "done")).scalars()
        return {url[url.index("/", 8) :] for url in urls}


@pytest.fixture
def lifeline() -> Iterator[int]:
    """A pipe that stays open, as standard input: the crawler ends when it closes."""
    reader, writer = os.pipe()
    yield reader
    os.close(writer)
    os.close(reader)


def environment_of(project: Project) -> dict[str, str]:
    return os.environ | {DATABASE_VARIABLE: project.engine.url.render_as_string(hide_password=False)}


def kill_crawler_until_done(project: Project, server: RudeServer, lifeline: int) -> None:
    """Kill the crawler 25 times at random moments while it works; then let it end. Only work in flight is repeated."""
    chance = random.Random(5)
    asked_when_done: dict[str, int] = {}
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(lifeline), str(project.folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment_of(project), pass_fds=[lifeline], text=True,
    )  # fmt: skip
    assert launcher.stdin is not None
    assert launcher.stdout is not None
    for kill in range(CRAWL_KILLS + 1):
        before = server.counts.total()
        launcher.stdin.write("\n")
        launcher.stdin.flush()
        crawler = int(launcher.stdout.readline())
        if kill < CRAWL_KILLS:
            wait_for(lambda: server.counts.total() > before)  # noqa: B023 - called at once
            time.sleep(chance.uniform(0.0, 0.1))
            os.kill(crawler, signal.SIGKILL)
        code = int(launcher.stdout.readline())
        assert code == (-signal.SIGKILL if kill < CRAWL_KILLS else 0)
        for path in committed(project, schema.page):
            asked_when_done.setdefault(path, server.counts[path])
    launcher.communicate(timeout=20)
    assert len(asked_when_done) > ITEMS
    asked_again = {path: count for path, count in asked_when_done.items() if server.counts[path] != count}
    assert asked_again == {}, "what is committed is never asked for again"
    repeated = sum(count - 1 for path, count in server.counts.items() if path != "/robots.txt")
    assert repeated <= CRAWL_KILLS * CONCURRENCY, "no more is repeated than was in flight"


def kill_until_done(program: str, project: Project, server: RudeServer, table: sa.Table, lifeline: int) -> None:
    """Start the program, kill it at a random moment, and again; then let it end. Nothing committed is asked again."""
    chance = random.Random(5)
    command = [sys.executable, "-c", program.format(folder=str(project.folder))]
    asked_when_done: dict[str, int] = {}
    for kill in range(DOWNLOAD_KILLS + 1):
        before = server.counts.total()
        process = subprocess.Popen(
            command, stdin=lifeline, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment_of(project)
        )
        if kill < DOWNLOAD_KILLS:
            while server.counts.total() == before and process.poll() is None:
                time.sleep(0.01)
            time.sleep(chance.uniform(0.0, 0.4))
            process.send_signal(signal.SIGKILL)
        _, errors = process.communicate(timeout=120)
        assert kill < DOWNLOAD_KILLS or process.returncode == 0, errors.decode()
        for path in committed(project, table):
            asked_when_done.setdefault(path, server.counts[path])
    asked_again = {path: count for path, count in asked_when_done.items() if server.counts[path] != count}
    assert asked_again == {}


@pytest.mark.parametrize("system", ["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def test_killed_at_random_moments_the_rows_are_those_of_a_quiet_run(
    system: str, server: RudeServer, make_project: MakeProject, lifeline: int
) -> None:
    settings = settings_of(server.url("/list/0"))
    quiet = make_project(settings, name="quiet")
    crawl(quiet)
    download(quiet)
    expected = natural_rows(quiet)
    assert len(expected["item"]) == ITEMS - 1
    server.counts.clear()

    def check(project: Project) -> None:
        register_sources(project)
        kill_crawler_until_done(project, server, lifeline)
        kill_until_done(DOWNLOAD, project, server, schema.picture, lifeline)
        assert natural_rows(project) == expected
        with reading(project.engine) as connection:
            held = connection.execute(sa.select(schema.host.c.lease_owner)).scalars().all()
        assert held == [None]

    if system == "sqlite":
        check(make_project(settings, name="killed"))
    else:
        with own_database(system) as address:
            project = make_project(settings, database=address, name="killed")
            check(project)
            project.close()


def start(project: Project, lifeline: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    register_sources(project)
    command = [sys.executable, "-m", "tamis.crawl.child", "--project", str(project.folder)]
    return subprocess.Popen(command, stdin=lifeline, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("way", ["interrupt", "terminate", "parent gone"])
def test_a_stopped_crawler_ends_soon_and_gives_its_host_back(
    way: str, server: RudeServer, make_project: MakeProject
) -> None:
    server.counts.clear()
    project = make_project(settings_of(server.url("/list/0")))
    process = start(project)
    wait_for(lambda: server.counts.total() > 10)
    assert process.stdin is not None
    if way == "parent gone":
        process.stdin.close()
    else:
        process.send_signal(signal.SIGINT if way == "interrupt" else signal.SIGTERM)
    assert process.wait(20) == 0
    assert process.stdout is not None
    last = process.stdout.read().decode().strip().splitlines()[-1]
    for stream in (process.stdin, process.stdout, process.stderr):
        assert stream is not None
        stream.close()
    assert '"event": "report"' in last
    assert '"stopped": true' in last
    done, asked = committed(project, schema.page), server.counts.total()
    assert len(done) >= asked - 1 - 4, "what was under way ended"
    with reading(project.engine) as connection:
        assert connection.execute(sa.select(schema.host.c.lease_owner)).scalars().all() == [None]


def test_pages_that_do_not_end_are_left_pending_at_a_stop(make_project: MakeProject) -> None:
    async def never(*_: Any) -> bool:
        import asyncio

        await asyncio.sleep(3600)
        return False

    stop = threading.Event()
    with RudeServer() as server:
        server.routes["/"] = never
        project = make_project(settings_of(server.url("/")))

        def stop_when_asked() -> None:
            wait_for(lambda: server.counts["/"] > 0)
            stop.set()

        thread = threading.Thread(target=stop_when_asked)
        thread.start()
        report = crawl(project, stop=stop)
        thread.join()
    assert report.stopped
    assert report.pending == 1


@pytest.mark.parametrize("system", ["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def test_three_crawlers_share_three_hosts_and_keep_the_rate_of_each(
    system: str, make_project: MakeProject, lifeline: int
) -> None:
    delay, count = 0.1, 12
    with ExitStack() as stack:
        address = stack.enter_context(own_database(system)) if system != "sqlite" else None
        servers = [stack.enter_context(RudeServer()) for _ in range(3)]
        for server in servers:
            server.routes["/"] = fixed(answer(results_page([f"/item/{n}" for n in range(count)])), keep=True)
            for number in range(count):
                server.routes[f"/item/{number}"] = fixed(answer(item_page(f"Thing {number}")), keep=True)
        sources = "".join(f'[source.s{n}]\naddress = "{one.url("/")}"\n' for n, one in enumerate(servers))
        politeness = f"[crawl]\nallow_private = true\ndelay = {delay}\n"
        project = make_project(sources + politeness, database=address)
        processes = [start(project, lifeline) for _ in range(3)]
        for process in processes:
            _, errors = process.communicate(timeout=120)
            assert process.returncode == 0, errors.decode()
        assert len(natural_rows(project)["item"]) == 3 * count
        project.close()
    for server in servers:
        assert {path: number for path, number in server.counts.items() if number != 1} == {}
        assert len(server.times) == count + 2
        late = [at - server.times[0] - number * delay for number, at in enumerate(server.times)]
        assert min(late) > -0.1, "the rate of a host is kept, whoever asks it; the first connection takes its time"


def test_two_crawlers_share_the_work_of_one_host(server: RudeServer, make_project: MakeProject, lifeline: int) -> None:
    server.counts.clear()
    project = make_project(settings_of(server.url("/list/0")))
    processes = [start(project, lifeline), start(project, lifeline)]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    assert len(natural_rows(project)["item"]) == ITEMS - 1
    assert {path: count for path, count in server.counts.items() if count > 1} == {}


@pytest.mark.parametrize("step", ["crawl", "download"])
def test_ctrl_c_ends_a_step_with_one_exception_and_all_that_was_finished(
    step: str, server: RudeServer, make_project: MakeProject
) -> None:
    project = make_project(settings_of(server.url("/list/0")))
    if step == "download":
        crawl(project)
    server.counts.clear()
    module = {"crawl": "run", "download": "download"}[step]
    program = (
        f"from pathlib import Path; from tamis.project import open_project; from tamis.crawl.{module} import {step}\n"
        "from tamis.errors import Interrupted\n"
        f"try: {step}(open_project(Path({str(project.folder)!r})))\n"
        "except Interrupted as error: print('INTERRUPTED', error)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(lambda: server.counts.total() > 40)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert output.startswith(b"INTERRUPTED stopped; "), errors.decode()
    assert b"Traceback" not in errors
    table = schema.page if step == "crawl" else schema.picture
    assert len(committed(project, table)) >= server.counts.total() - 1 - 16, "no more is lost than was under way"
    with reading(project.engine) as connection:
        owners = [*connection.execute(sa.select(schema.host.c.lease_owner)).scalars()]
        owners += connection.execute(sa.select(schema.lease.c.owner)).scalars()
    assert set(owners) <= {None}
