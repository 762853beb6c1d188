from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tamis import ScrapingHandler
from tamis.config import CrawlSettings
from tamis.crawl.imagefolder import encode
from tamis.errors import UserError
from tests.crawl.rude_server import RudeServer, answer, fixed, hang_up, in_turn, redirect

SETTINGS = CrawlSettings(delay=0.0, timeout=5.0, attempts=2, retry_wait=0.01)
BUSY = fixed(answer("", "503 Busy"))


def picture(seed: int, form: str = "jpeg") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    return encode(pixels, form)  # type: ignore[arg-type]


def served(body: bytes, content_type: str = "image/jpeg") -> bytes:
    return answer(body, content_type=content_type)


@pytest.fixture
def server() -> Iterator[RudeServer]:
    with RudeServer() as running:
        running.routes = {
            "/robots.txt": fixed(answer("User-agent: *\nDisallow: /secret", content_type="text/plain"), keep=True),
            "/a.jpg": fixed(served(picture(1)), keep=True),
            "/same.jpg": fixed(served(picture(1)), keep=True),
            "/b.png": fixed(served(picture(2, "png"), "text/html"), keep=True),
            "/page.jpg": fixed(served(b"<html>no picture</html>")),
            "/cut.jpg": fixed(served(picture(3)[:-300])),
            "/flaky.jpg": in_turn(BUSY, BUSY, fixed(served(picture(4)))),
            "/secret/1.jpg": fixed(served(picture(5))),
            "/noai.jpg": fixed(answer(picture(6), content_type="image/jpeg", X_Robots_Tag="noai")),
            "/moved.jpg": redirect("/a.jpg"),
            "/broken.jpg": hang_up,
        }
        yield running


def handler(folder: Path, **options: object) -> ScrapingHandler:
    return ScrapingHandler(folder, settings=SETTINGS, allow_private=True, **options)  # type: ignore[arg-type]


def test_originals_are_kept_byte_for_byte_under_their_hash(server: RudeServer, tmp_path: Path) -> None:
    with handler(tmp_path / "new" / "folder") as images:
        found = images.download_image(server.url("/a.jpg"))
    assert found is not None
    assert found.original.read_bytes() == picture(1)
    assert found.original.stem == found.sha256
    assert (found.width, found.height, found.is_new, found.converted) == (60, 40, True, None)


def test_the_type_is_told_by_the_content(server: RudeServer, tmp_path: Path) -> None:
    with handler(tmp_path) as images:
        found = images.download_image(server.url("/b.png"))
    assert found is not None
    assert found.original.suffix == ".png"


def test_converted_copies_lie_beside_the_originals(server: RudeServer, tmp_path: Path) -> None:
    with handler(tmp_path) as images:
        images.download_image(server.url("/a.jpg"))
    with handler(tmp_path, convert_to="png") as images:
        found = images.download_image(server.url("/a.jpg"))
    assert found is not None
    assert found.converted is not None
    with Image.open(found.converted) as copy, Image.open(found.original) as original:
        assert (copy.format, copy.size, original.format) == ("PNG", (60, 40), "JPEG")


def test_no_url_is_asked_twice_also_after_reopening(server: RudeServer, tmp_path: Path) -> None:
    urls = [server.url("/a.jpg"), server.url("/a.jpg?utm_source=mail"), server.url("/page.jpg"), server.url("/404.jpg")]
    for _ in range(2):
        with handler(tmp_path) as images:
            images.download_images(urls)
            images.download_image(urls[0])
            assert len(images) == 1
    assert [server.counts[path] for path in ("/a.jpg", "/page.jpg", "/404.jpg")] == [1, 1, 1]


def test_equal_bytes_are_one_image(server: RudeServer, tmp_path: Path) -> None:
    with handler(tmp_path) as images:
        first, second = images.download_images([server.url("/a.jpg"), server.url("/same.jpg")], concurrency=1)
        report = images.report()
    assert first is not None
    assert second is not None
    assert first.original == second.original
    assert (first.is_new, second.is_new) == (True, False)
    assert (report.new, report.same_content) == (1, 1)
    assert len(list((tmp_path / "originals").rglob("*.jpg"))) == 1


@pytest.mark.parametrize(
    ("path", "name", "reason"),
    [
        ("/page.jpg", "not_image", "text/html"),
        ("/cut.jpg", "corrupt", "truncated"),
        ("/404.jpg", "not_found", "404"),
        ("/secret/1.jpg", "robots", "robots.txt"),
        ("/noai.jpg", "noai", "noai"),
        ("/broken.jpg", "broken_answer", ""),
    ],
)
def test_what_is_no_image_is_skipped_with_a_reason(
    path: str, name: str, reason: str, server: RudeServer, tmp_path: Path
) -> None:
    with handler(tmp_path) as images:
        assert images.download_image(server.url(path)) is None
        assert images.report().refused == {name: 1}
        if name != "broken_answer":
            assert reason in (images.reason(server.url(path)) or "")
    assert not list(tmp_path.rglob("*.jpg"))


def test_redirects_are_followed(server: RudeServer, tmp_path: Path) -> None:
    with handler(tmp_path) as images:
        assert images.download_image(server.url("/moved.jpg")) is not None


def test_failures_that_may_pass_are_tried_again_in_the_next_run(server: RudeServer, tmp_path: Path) -> None:
    url = server.url("/flaky.jpg")
    with handler(tmp_path) as images:
        assert images.download_image(url) is None
    with handler(tmp_path) as images:
        assert images.download_image(url) is not None


def test_a_host_that_asks_for_a_long_rest_gets_it(server: RudeServer, tmp_path: Path) -> None:
    server.routes["/rest.jpg"] = fixed(answer("", "429 Slow", Retry_After="86400"))
    with handler(tmp_path) as images:
        assert images.download_image(server.url("/rest.jpg")) is None
        assert images.download_image(server.url("/a.jpg")) is None
        assert images.report().refused == {"paused": 1, "rate_limited": 1}
    assert server.counts == {"/robots.txt": 1, "/rest.jpg": 1}


@pytest.mark.parametrize("url", ["", "ftp://example.com/a.jpg", "no url", "http://user:pw@example.com/a.jpg"])
def test_text_that_is_no_url_is_refused(url: str, tmp_path: Path) -> None:
    with handler(tmp_path) as images:
        assert images.download_image(url) is None
        assert images.report().refused == {"bad_url": 1}


def test_private_addresses_are_refused_unless_allowed(server: RudeServer, tmp_path: Path) -> None:
    with ScrapingHandler(tmp_path, settings=SETTINGS) as images:
        for host in ("127.0.0.1", "localhost", "127.1", "[::1]", "0x7f000001"):
            assert images.download_image(f"http://{host}:{server.port}/a.jpg") is None
        assert images.report().refused.get("private", 0) >= 3
    assert not server.counts


def test_a_torn_index_line_is_dropped(server: RudeServer, tmp_path: Path) -> None:
    with handler(tmp_path) as images:
        images.download_images([server.url("/a.jpg"), server.url("/b.png")], concurrency=1)
    index = tmp_path / "index.jsonl"
    index.write_bytes(index.read_bytes()[:-25])
    with handler(tmp_path) as images:
        images.download_images([server.url("/a.jpg"), server.url("/b.png")])
        assert len(images) == 2
    assert server.counts["/a.jpg"] == 1
    assert server.counts["/b.png"] == 2
    kept = [line for line in index.read_text().splitlines() if line.endswith("}")]
    assert {json.loads(line)["outcome"] for line in kept} == {"ok"}


def test_a_deleted_file_is_fetched_again(server: RudeServer, tmp_path: Path) -> None:
    with handler(tmp_path) as images:
        found = images.download_image(server.url("/a.jpg"))
        assert found is not None
        found.original.unlink()
        assert images.download_image(server.url("/a.jpg")) is not None
        assert found.original.is_file()


def test_clear_errors_for_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="jpeg, png, webp"):
        ScrapingHandler(tmp_path, convert_to="bmp")  # type: ignore[arg-type]
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file"):
        ScrapingHandler(tmp_path / "file" / "below")
    images = ScrapingHandler(tmp_path / "closed")
    images.close()
    images.close()
    with pytest.raises(UserError, match="closed"):
        images.download_image("https://example.com/a.jpg")


def test_report_reads_well(server: RudeServer, tmp_path: Path) -> None:
    with handler(tmp_path) as images:
        images.download_images([server.url("/a.jpg"), server.url("/page.jpg")])
        assert str(images.report()).startswith("2 URLs: 1 new images")
        assert "1 not_image" in str(images.report())


def test_hosts_that_were_not_asked_for_long_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    from tamis.crawl import polite
    from tamis.crawl.outcomes import OK, Fetched

    class Web:
        async def fetch(self, url: str, **_: object) -> Fetched:
            return Fetched(OK, url, 200)

    async def ask() -> int:
        web = polite.PoliteFetcher(Web(), polite.Manners("tamis", obey_robots=False))  # type: ignore[arg-type]
        for number in range(200):
            assert (await web.fetch(f"http://h{number}.example/a.jpg")).ok
        return len(web._hosts)

    monkeypatch.setattr(polite, "MAX_HOSTS", 10)
    assert asyncio.run(ask()) <= 10
