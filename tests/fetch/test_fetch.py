from __future__ import annotations

import csv
import hashlib
import io
import json
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pyarrow import parquet

from tamis.cli import run
from tamis.crawl.imagefolder import encode
from tamis.errors import BusyError, Interrupted, UserError
from tamis.fetch import table
from tamis.fetch.lists import Row
from tamis.fetch.options import FetchOptions, Kept, Result
from tamis.fetch.run import FetchReport, fetch
from tamis.fetch.state import FolderState
from tests.crawl.rude_server import RudeServer, answer, endless_redirects, fixed, hang_up, in_turn, redirect, silence
from tests.crawl.test_download import HABITS
from tests.crawl.test_handler import picture, served

BUSY = fixed(answer("", "503 Busy"))
COUNT = 60


@pytest.fixture
def server() -> Iterator[RudeServer]:
    with RudeServer() as running:
        running.routes = {f"/{n}.jpg": fixed(served(picture(n)), keep=True) for n in range(COUNT)}
        running.routes |= {
            "/robots.txt": fixed(answer("User-agent: *\nDisallow: /secret", content_type="text/plain"), keep=True),
            "/b.png": fixed(served(picture(90, "png"), "text/html"), keep=True),
            "/wide.jpg": fixed(served(encode(np.zeros((300, 600, 3), np.uint8), "jpeg")), keep=True),
            "/page.jpg": fixed(served(b"<html>no picture</html>")),
            "/cut.jpg": fixed(served(picture(91)[:-300])),
            "/secret/1.jpg": fixed(served(picture(92))),
            "/noai.jpg": fixed(answer(picture(93), content_type="image/jpeg", X_Robots_Tag="noai")),
            "/moved.jpg": redirect("/1.jpg"),
            "/broken.jpg": hang_up,
        }
        yield running


def options(**changes: Any) -> FetchOptions:
    return FetchOptions(**({"allow_private": True, "attempts": 2, "retry_wait": 0.01, "timeout": 5.0} | changes))


def listing(folder: Path, *urls: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "urls.txt").write_text("\n".join(urls))
    return folder / "urls.txt"


def rows(out: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = parquet.read_table(out / "results.parquet").to_pylist()
    return found


def by_path(out: Path, server: RudeServer) -> dict[str, dict[str, Any]]:
    return {row["url"].removeprefix(server.url("")): row for row in rows(out)}


def test_original_bytes_lie_in_files_and_the_table_says_where(server: RudeServer, tmp_path: Path) -> None:
    paths = ["/0.jpg", "/b.png", "/moved.jpg", "/404.jpg", "/page.jpg", "/cut.jpg", "/secret/1.jpg", "/noai.jpg"]
    report = fetch(listing(tmp_path, *map(server.url, paths)), tmp_path / "out", options())
    found = by_path(tmp_path / "out", server)
    assert list(found) == paths
    for path, body in (("/0.jpg", picture(0)), ("/b.png", picture(90, "png")), ("/moved.jpg", picture(1))):
        row = found[path]
        assert (tmp_path / "out" / row["file"]).read_bytes() == body
        assert row["sha256"] == row["original_sha256"] == hashlib.sha256(body).hexdigest()
        assert (row["status"], row["size"], row["width"], row["height"]) == ("ok", len(body), 60, 40)
    assert found["/b.png"]["file"] == "images/00000/000000001.png"
    assert {path: (row["outcome"], row["error"]) for path, row in found.items() if row["status"] == "failed"} == {
        "/404.jpg": ("not_found", "HTTP 404 Not Found"),
        "/page.jpg": ("not_image", "the bytes are text/html"),
        "/cut.jpg": ("truncated", "the JPEG file has no end"),
        "/secret/1.jpg": ("robots", "robots.txt forbids it"),
        "/noai.jpg": ("noai", "X-Robots-Tag says noai"),
    }
    assert (report.requested, report.ok, report.failed, report.skipped, report.passing) == (8, 3, 5, 0, 0)
    assert report.bytes == sum(row["size"] for row in found.values() if row["status"] == "ok")
    assert server.counts["/secret/1.jpg"] == 0
    assert server.counts["/robots.txt"] == 1


def test_no_url_is_asked_twice_and_failed_ones_when_told(server: RudeServer, tmp_path: Path) -> None:
    server.routes["/flaky.jpg"] = in_turn(BUSY, BUSY, fixed(served(picture(95))))
    urls = listing(tmp_path, *map(server.url, ["/0.jpg", "/0.jpg", "/404.jpg", "/flaky.jpg"]))
    first = fetch(urls, tmp_path / "out", options())
    assert (first.requested, first.ok, first.failed, first.skipped, first.passing) == (3, 1, 2, 1, 1)
    second = fetch(urls, tmp_path / "out", options())
    assert (second.requested, second.skipped) == (0, 4)
    assert server.counts == {"/robots.txt": 1, "/0.jpg": 1, "/404.jpg": 1, "/flaky.jpg": 2}
    third = fetch(urls, tmp_path / "out", options(), retry_failed=True)
    assert (third.requested, third.ok, third.failed, third.skipped) == (2, 1, 1, 2)
    assert server.counts["/0.jpg"] == 1
    assert by_path(tmp_path / "out", server)["/flaky.jpg"]["status"] == "ok"


def test_what_may_pass_is_tried_again_within_the_run(server: RudeServer, tmp_path: Path) -> None:
    server.routes["/flaky.jpg"] = in_turn(BUSY, hang_up, fixed(answer("", "429 Slow", Retry_After="1")),
                                          fixed(served(picture(95))))  # fmt: skip
    began = time.monotonic()
    report = fetch(listing(tmp_path, server.url("/flaky.jpg")), tmp_path / "out", options(attempts=4))
    assert (report.ok, server.counts["/flaky.jpg"]) == (1, 4)
    assert time.monotonic() - began > 1.0


def test_a_name_that_does_not_resolve_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    asked: list[str] = []

    def fail(host: str, *_: Any, **__: Any) -> Any:
        asked.append(host)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    report = fetch(
        listing(tmp_path, "http://no.such.example/a.jpg"), tmp_path / "out", options(attempts=3, obey_robots=False)
    )
    assert (report.passing, report.outcomes) == (1, {"dns": 1})
    assert asked == ["no.such.example"] * 3


def test_each_bad_habit_ends_in_a_row_with_a_reason(tmp_path: Path) -> None:
    with RudeServer() as rude:
        rude.routes = {path: handler for path, (handler, _, _) in HABITS.items()}
        rude.routes |= {"/steps/*": endless_redirects, "/ok.jpg*": fixed(served(picture(1)), keep=True)}
        urls = listing(tmp_path, *map(rude.url, HABITS))
        report = fetch(urls, tmp_path / "out", options(obey_robots=False, max_bytes=1_000_000, timeout=1.0))
        found = by_path(tmp_path / "out", rude)
    assert list(found) == list(HABITS)
    assert report.requested == len(HABITS)
    differing = {"/damaged.jpg": "truncated", "/to-private.jpg": "not_found", "/private/a.jpg": "ok"}
    for path, (_, outcome, _) in HABITS.items():
        row = found[path]
        assert row["outcome"] == differing.get(path, outcome), (path, row["error"])
        assert (row["status"] == "ok") is (row["error"] is None) is (row["file"] is not None)


def test_other_columns_are_kept(server: RudeServer, tmp_path: Path) -> None:
    with (tmp_path / "list.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["caption", "url", "status"], ["a, b", server.url("/0.jpg"), "old"],
                          ["ü", server.url("/1.jpg"), "new"], ["twin", server.url("/0.jpg"), "old"]])  # fmt: skip
    report = fetch(tmp_path / "list.csv", tmp_path / "out", options())
    assert (report.requested, report.skipped) == (2, 1)
    found = [(row["url"], row["caption"], row["list_status"], row["status"]) for row in rows(tmp_path / "out")]
    assert sorted(found) == sorted([
        (server.url("/0.jpg"), "a, b", "old", "ok"),
        (server.url("/1.jpg"), "ü", "new", "ok"),
        (server.url("/0.jpg"), "twin", "old", "ok"),
    ])  # fmt: skip


def test_without_pyarrow_the_table_is_csv(server: RudeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "find_spec", lambda _: None)
    report = fetch(listing(tmp_path, server.url("/0.jpg"), server.url("/404.jpg")), tmp_path / "out", options())
    assert report.table == tmp_path / "out" / "results.csv"
    with report.table.open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [(row["status"], row["width"]) for row in found] == [("ok", "60"), ("failed", "")]


def test_webdataset_shards_hold_pictures_facts_and_captions(server: RudeServer, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("url,text\n" + "".join(f"{server.url(f'/{n}.jpg')},thing {n}\n" for n in range(COUNT)))
    chosen = options(form="webdataset", shard_size=7, caption="text", processes=2)
    report = fetch(path, tmp_path / "out", chosen)
    assert report.ok == COUNT
    shards = sorted((tmp_path / "out" / "shards").iterdir())
    assert [shard.name for shard in shards] == [f"{n:05d}.tar" for n in range(len(shards))]
    seen: dict[str, dict[str, bytes]] = {}
    for shard in shards:
        with tarfile.open(shard) as archive:
            for one in archive:
                key, extension = one.name.split(".")
                handle = archive.extractfile(one)
                assert handle is not None
                seen.setdefault(key, {})[extension] = handle.read()
    table_rows = {row["key"]: row for row in rows(tmp_path / "out")}
    assert set(seen) == set(table_rows)
    for key, parts in seen.items():
        facts = json.loads(parts["json"])
        number = int(facts["text"].split()[1])
        assert parts["jpg"] == picture(number)
        assert parts["txt"] == f"thing {number}".encode()
        assert facts["url"] == table_rows[key]["url"] == server.url(f"/{number}.jpg")
        assert facts["sha256"] == hashlib.sha256(parts["jpg"]).hexdigest()
    assert {row["file"] for row in table_rows.values()} == {f"shards/{shard.name}" for shard in shards}
    assert not list((tmp_path / "out" / ".tamis").glob("shard-*"))


def test_parquet_shards_hold_pictures_and_typed_columns(server: RudeServer, tmp_path: Path) -> None:
    urls = [server.url(f"/{n}.jpg") for n in range(20)] + [server.url("/404.jpg")]
    parquet.write_table(pa.table({"image_url": urls, "label": list(range(21))}), tmp_path / "list.parquet")
    report = fetch(tmp_path / "list.parquet", tmp_path / "out", options(form="parquet", resize=30))
    assert (report.ok, report.failed) == (20, 1)
    found = parquet.read_table(tmp_path / "out" / "shards" / "00000.parquet")
    assert found.schema.field("label").type == pa.int64()
    assert found.num_rows == 20
    for row in found.to_pylist():
        assert row["url"] == urls[row["label"]]
        with Image.open(io.BytesIO(row["image"])) as image:
            assert image.size == (row["width"], row["height"]) == (30, 20)
        assert row["original_sha256"] == hashlib.sha256(picture(row["label"])).hexdigest()
        assert row["sha256"] == hashlib.sha256(row["image"]).hexdigest()
    assert rows(tmp_path / "out")[20]["label"] == 20


def test_resized_files(server: RudeServer, tmp_path: Path) -> None:
    fetch(listing(tmp_path, server.url("/wide.jpg")), tmp_path / "out", options(resize=256))
    row = rows(tmp_path / "out")[0]
    with Image.open(tmp_path / "out" / row["file"]) as image:
        assert (image.format, image.size) == ("JPEG", (256, 128))
    assert (row["width"], row["height"], row["original_width"], row["original_height"]) == (256, 128, 600, 300)


def test_processes_share_the_work_and_ask_each_url_once(tmp_path: Path) -> None:
    with RudeServer() as server:
        server.routes["/*"] = fixed(served(picture(1)), keep=True)
        server.routes["/robots.txt"] = fixed(answer("", "404 Not Found"), keep=True)
        urls = [server.url(f"/{n}.jpg") for n in range(400)]
        report = fetch(listing(tmp_path, *urls), tmp_path / "out", options(processes=2))
        assert report.ok == 400
        assert server.counts.total() - server.counts["/robots.txt"] == 400
        assert set(server.counts.values()) <= {1, 2}
    assert [row["url"] for row in rows(tmp_path / "out")] == urls
    assert len(list((tmp_path / "out" / "images").rglob("*.jpg"))) == 400


def test_a_crawl_delay_is_kept(tmp_path: Path) -> None:
    with RudeServer() as server:
        server.routes["/*"] = fixed(served(picture(1)), keep=True)
        server.routes["/robots.txt"] = fixed(answer("User-agent: *\nCrawl-delay: 0.3"), keep=True)
        began = time.monotonic()
        fetch(listing(tmp_path, *(server.url(f"/{n}.jpg") for n in range(5))), tmp_path / "out", options())
        assert time.monotonic() - began >= 1.2


def test_private_addresses_are_refused_unless_allowed(server: RudeServer, tmp_path: Path) -> None:
    urls = [f"http://{host}:{server.port}/0.jpg" for host in ("127.0.0.1", "localhost", "[::1]")]
    report = fetch(listing(tmp_path, *urls), tmp_path / "out", options(allow_private=False))
    assert report.failed == 3
    assert {row["outcome"] for row in rows(tmp_path / "out")} == {"private"}
    assert not server.counts


def test_a_long_list_may_grow_and_the_order_change(server: RudeServer, tmp_path: Path) -> None:
    urls = [server.url(f"/{n}.jpg") for n in range(20)]
    fetch(listing(tmp_path, *urls[:10]), tmp_path / "out", options())
    before = {row["url"]: row["file"] for row in rows(tmp_path / "out")}
    report = fetch(listing(tmp_path, *reversed(urls)), tmp_path / "out", options())
    assert (report.requested, report.skipped) == (10, 10)
    after = {row["url"]: row["file"] for row in rows(tmp_path / "out")}
    assert set(after) == set(urls)
    assert before.items() <= after.items()
    for url, file in after.items():
        assert (tmp_path / "out" / file).read_bytes() == picture(int(url.rsplit("/", 1)[1][:-4]))


def test_a_stop_is_clean_and_the_next_run_goes_on(server: RudeServer, tmp_path: Path) -> None:
    server.routes["/slow.jpg"] = in_turn(silence, fixed(served(picture(95))))
    urls = listing(tmp_path, *(server.url(f"/{n}.jpg") for n in range(10)), server.url("/slow.jpg"))
    stop = threading.Event()
    threading.Timer(1.0, stop.set).start()
    began = time.monotonic()
    with pytest.raises(Interrupted, match="10 pictures"):
        fetch(urls, tmp_path / "out", options(timeout=60.0), stop=stop)
    assert time.monotonic() - began < 8
    assert [row["status"] for row in rows(tmp_path / "out")] == ["ok"] * 10 + ["pending"]
    report = fetch(urls, tmp_path / "out", options())
    assert (report.requested, report.ok, report.skipped) == (1, 1, 10)


def test_wrong_use_is_one_clear_line(server: RudeServer, tmp_path: Path) -> None:
    urls = listing(tmp_path, server.url("/0.jpg"))
    fetch(urls, tmp_path / "out", options())
    with pytest.raises(UserError, match=r"begun with resize=None, not 256"):
        fetch(urls, tmp_path / "out", options(resize=256))
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        fetch(urls, tmp_path / "file" / "out", options())
    (tmp_path / "odd" / ".tamis").mkdir(parents=True)
    (tmp_path / "odd" / ".tamis" / "fetch.sqlite").write_text("no database" * 99)
    with pytest.raises(UserError, match="cannot be used"):
        fetch(urls, tmp_path / "odd", options())


def test_two_runs_at_once_the_second_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tamis.fetch.state._LOCK_SECONDS", 0.2)
    with FolderState(tmp_path, options()), pytest.raises(BusyError, match="another"):
        FolderState(tmp_path, options())


def test_an_error_in_a_decoder_fails_its_picture_alone(
    server: RudeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tamis.fetch.keep import keep

    def brittle(body: bytes, given: FetchOptions) -> Any:
        if body == picture(1):
            raise MemoryError("too much")
        return keep(body, given)

    monkeypatch.setattr("tamis.fetch.worker.keep", brittle)
    report = fetch(listing(tmp_path, *(server.url(f"/{n}.jpg") for n in range(3))), tmp_path / "out", options())
    assert (report.ok, report.passing) == (2, 1)
    assert by_path(tmp_path / "out", server)["/1.jpg"]["error"] == "MemoryError: too much"


def test_a_full_disk_is_one_clear_line(server: RudeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tamis.fetch.writers.FilesWriter.put", full)
    with pytest.raises(UserError, match="out: No space left on device"):
        fetch(listing(tmp_path, server.url("/0.jpg")), tmp_path / "out", options())


# --- the command --------------------------------------------------------------------------------------------------


def test_json_is_one_document(server: RudeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    urls = listing(tmp_path, server.url("/0.jpg"), server.url("/404.jpg"))
    arguments = ["fetch", str(urls), "--out", str(tmp_path / "out"), "--allow-private", "--json"]
    assert run(arguments) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document) == ["requested", "ok", "failed", "skipped", "bytes", "seconds"]
    assert (document["requested"], document["ok"], document["failed"], document["skipped"]) == (2, 1, 1, 0)
    assert document["bytes"] == len(picture(0))
    assert run([*arguments, "--retry-failed"]) == 0
    assert json.loads(capsys.readouterr().out)["requested"] == 1


def test_exit_codes(server: RudeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "out"), "--allow-private", "--attempts", "1"]
    assert run(["fetch", str(listing(tmp_path, server.url("/broken.jpg"))), *out]) == 1
    assert f"failed: {server.url('/broken.jpg')}: " in capsys.readouterr().out
    assert run(["fetch", str(tmp_path / "none.txt"), *out]) == 2
    assert capsys.readouterr().err.strip() == f"tamis: {tmp_path / 'none.txt'}: no such list of URLs"
    assert run(["fetch", str(tmp_path / "urls.txt")]) == 2


# --- the state ----------------------------------------------------------------------------------------------------

KEPT = Kept("JPEG", 1, 2, 3, "a" * 64, 1, 2, 3, "a" * 64)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(data=st.data())
def test_whatever_was_committed_is_not_wanted_again(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Runs over changing lists, each broken off somewhere: the state agrees with a plain dictionary."""
    folder = tmp_path_factory.mktemp("state")
    known: dict[str, str] = {}
    urls = st.lists(st.sampled_from([f"http://x.example/{n}" for n in range(12)]), max_size=20)
    for _ in range(data.draw(st.integers(1, 5))):
        listed, retry = data.draw(urls), data.draw(st.booleans())
        with FolderState(folder, options()) as state:
            planned = state.register([Row(url) for url in listed], retry_failed=retry) if listed else 0
            tasks, _ = state.wanted(0, 100)
            expected = [
                url for url in dict.fromkeys(listed) if known.get(url) not in (("ok",) if retry else ("ok", "failed"))
            ]
            assert [task.url for task in tasks] == expected
            assert planned == len(expected)
            done = data.draw(st.integers(0, len(tasks)))
            for task in tasks[:done]:
                good = data.draw(st.booleans())
                state.commit([Result(task.number, "ok" if good else "gone", kept=KEPT if good else None)], [])
                known[task.url] = "ok" if good else "failed"
            assert len({task.number for task in tasks}) == len(tasks)


def test_the_report_is_empty_for_an_empty_list(tmp_path: Path) -> None:
    report = fetch(listing(tmp_path, "# nothing"), tmp_path / "out", options())
    assert (report.requested, report.skipped, rows(tmp_path / "out")) == (0, 0, [])
    assert isinstance(report, FetchReport)
