"""`tamis fetch` killed with SIGKILL at random moments: nothing is lost, and nothing that was committed is repeated."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import sqlite3
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from tests.crawl.rude_server import RudeServer, answer, fixed
from tests.crawl.test_handler import picture, served

pytestmark = pytest.mark.slow

COUNT, KILLS = 240, 8


def command(urls: Path, out: Path, form: str) -> list[str]:
    return [
        sys.executable, "-m", "tamis", "fetch", str(urls), "--out", str(out), "--format", form, "--allow-private",
        "--shard-size", "50", "--processes", "2", "--per-host", "8", "--json",
    ]  # fmt: skip


def committed(out: Path) -> set[str]:
    """URLs with a result, read from a database that its writer died over."""
    database = out / ".tamis" / "fetch.sqlite"
    if not database.exists():
        return set()
    connection = sqlite3.connect(database)
    try:
        found = {url for (url,) in connection.execute("SELECT url FROM url WHERE state <> 0")}
    except sqlite3.OperationalError:  # killed before there was a table
        found = set()
    finally:
        connection.close()
    return found


def run_and_kill(arguments: list[str], server: RudeServer, after: int) -> bool:
    """Start the command and kill it after so many requests; return whether it ended by itself before."""
    began = server.counts.total()
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 60
        while process.poll() is None and server.counts.total() - began < after and time.monotonic() < until:
            time.sleep(0.002)
        time.sleep(random.uniform(0, 0.2))
        ended = process.poll() is not None
        process.kill()
    return ended


def stored(out: Path, form: str) -> dict[str, list[bytes]]:
    """All pictures in the folder by the SHA-256 that stands beside them."""
    found: list[tuple[str, bytes]] = []
    if form == "files":
        sums = {row["file"]: row["sha256"] for row in parquet.read_table(out / "results.parquet").to_pylist()}
        names = [path for path in (out / "images").rglob("*") if path.is_file()]
        found = [(sums[str(path.relative_to(out))], path.read_bytes()) for path in names]
    for shard in sorted((out / "shards").glob("*")):
        if form == "parquet":
            rows: list[dict[str, Any]] = parquet.read_table(shard).to_pylist()
            found += [(row["sha256"], row["image"]) for row in rows]
        else:
            with tarfile.open(shard) as archive:
                parts = {one.name: archive.extractfile(one).read() for one in archive}  # type: ignore[union-attr]
            facts = [json.loads(data) for name, data in parts.items() if name.endswith(".json")]
            found += [(one["sha256"], parts[f"{one['key']}.jpg"]) for one in facts]
    by_sum: dict[str, list[bytes]] = {}
    for key, body in found:
        by_sum.setdefault(key, []).append(body)
    return by_sum


@pytest.mark.parametrize("form", ["files", "webdataset", "parquet"])
def test_kills_lose_nothing_and_repeat_only_what_was_in_flight(form: str, tmp_path: Path) -> None:
    random.seed(form)
    bodies = [picture(number) for number in range(COUNT)]
    with RudeServer(delay=0.08) as server:
        server.routes = {f"/{n}.jpg": fixed(served(body), keep=True) for n, body in enumerate(bodies)}
        server.routes["/7.jpg"] = fixed(answer("", "404 Not Found"), keep=True)
        urls, out = tmp_path / "urls.txt", tmp_path / "out"
        urls.write_text("\n".join(server.url(f"/{n}.jpg") for n in range(COUNT)))
        killed = 0
        for _ in range(KILLS):
            ended = run_and_kill(command(urls, out, form), server, random.randrange(1, COUNT // KILLS))
            done = committed(out)
            asked = {url: server.counts[url.removeprefix(server.url(""))] for url in done}
            killed += not ended
            time.sleep(0.05)
        last = subprocess.run(command(urls, out, form), capture_output=True, check=True, text=True)
        assert killed >= KILLS // 2
        for url, times in asked.items():
            assert server.counts[url.removeprefix(server.url(""))] == times, f"{url} was asked for again"
        assert json.loads(last.stdout)["requested"] == COUNT - len(done)
        again = subprocess.run(command(urls, out, form), capture_output=True, check=True, text=True)
        assert json.loads(again.stdout)["requested"] == 0
    rows = parquet.read_table(out / "results.parquet").to_pylist()
    assert [row["status"] for row in rows] == ["failed" if n == 7 else "ok" for n in range(COUNT)]
    found = stored(out, form)
    wanted = {hashlib.sha256(body).hexdigest(): [body] for n, body in enumerate(bodies) if n != 7}
    assert found == wanted
    assert not [path for path in (out / ".tamis").iterdir() if path.name.startswith("shard-")]


def test_a_worker_that_dies_is_replaced_and_the_picture_that_kills_it_fails(tmp_path: Path) -> None:
    """The worker is killed from outside whenever it works on the one URL."""
    import threading

    import psutil

    poison = threading.Event()
    with RudeServer() as server:
        server.routes = {f"/{n}.jpg": fixed(served(picture(n)), keep=True) for n in range(60)}

        async def lure(_: object, wire: object) -> bool:
            poison.set()
            import asyncio

            await asyncio.sleep(60)
            return False

        server.routes["/30.jpg"] = lure
        urls, out = tmp_path / "urls.txt", tmp_path / "out"
        urls.write_text("\n".join(server.url(f"/{n}.jpg") for n in range(60)))
        with subprocess.Popen(
            [*command(urls, out, "webdataset"), "--processes", "1"], stdout=subprocess.PIPE, text=True
        ) as process:
            until = time.monotonic() + 90
            while process.poll() is None and time.monotonic() < until:
                if poison.wait(0.2):
                    time.sleep(0.5)
                    for child in psutil.Process(process.pid).children():
                        child.kill()
                    poison.clear()
            printed = process.stdout.read() if process.stdout else ""
    document = json.loads(printed)
    assert (document["requested"], document["ok"], document["failed"], process.returncode) == (60, 59, 1, 1)
    rows = {row["url"].rsplit("/", 1)[1]: row for row in parquet.read_table(out / "results.parquet").to_pylist()}
    assert rows["30.jpg"]["outcome"] == "crashed"
    assert sorted(map(len, stored(out, "webdataset").values())) == [1] * 59


def test_ctrl_c_ends_with_130_and_the_next_run_goes_on(tmp_path: Path) -> None:
    with RudeServer(delay=0.1) as server:
        server.routes = {"/*": fixed(served(picture(1)), keep=True)}
        server.routes["/robots.txt"] = fixed(answer("", "404 Not Found"), keep=True)
        urls, out = tmp_path / "urls.txt", tmp_path / "out"
        urls.write_text("\n".join(server.url(f"/{n}.jpg") for n in range(600)))
        with subprocess.Popen(
            [*command(urls, out, "files"), "--per-host", "4"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            while server.counts.total() < 30:
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            printed, said = process.communicate(timeout=30)
        assert process.returncode == 130
        assert printed == ""
        assert "the next run goes on from here" in said
        assert "Traceback" not in said
        asked = server.counts.total()
        done = len(committed(out))
        assert 0 < done < 600
        last = subprocess.run(
            [*command(urls, out, "files"), "--per-host", "64"], capture_output=True, check=True, text=True
        )
        assert json.loads(last.stdout)["requested"] == 600 - done
        assert server.counts.total() - asked <= 600 - done + 2  # robots.txt once a process
