"""Whole crawls in the child process: what is reported of sites, hosts and sources that cannot be used."""

from __future__ import annotations

import datetime as dt
import json
import socket
import ssl
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tamis import schema
from tamis.cli import run
from tamis.crawl.download import download
from tamis.crawl.run import crawl
from tamis.crawl.urls import is_public_address
from tamis.database import reading
from tamis.errors import UserError
from tests.conftest import MakeProject
from tests.crawl.rude_server import Request, RudeServer, Wire, answer, fixed, item_page, results_page

SETTINGS = """
[source.shop]
address = "{address}"
[crawl]
allow_private = true
delay = 0
retry_wait = 0.05
"""
URL_FILE = SETTINGS.replace("address =", 'kind = "urls"\naddress =')


@pytest.mark.slow
def test_a_site_that_answers_nothing_but_errors_is_reported(make_project: MakeProject) -> None:
    with RudeServer() as server:
        server.routes["/*"] = fixed(answer("", "500 Oops"), keep=True)
        report = crawl(make_project(SETTINGS.format(address=server.url("/"))))
    assert report.pages == 0
    assert report.pending == 1
    assert not report.complete
    assert "robots.txt cannot be read: HTTP 500" in next(iter(report.paused.values()))


@pytest.mark.slow
def test_unknown_and_refusing_hosts_are_reported(make_project: MakeProject, tmp_path: Path) -> None:
    listing = tmp_path / "urls.txt"
    listing.write_text("# pages\nhttp://no-such-host.invalid/a\n\nhttp://127.0.0.1:9/b\n")
    report = crawl(make_project(URL_FILE.format(address=listing)))
    assert "cannot be resolved" in report.paused["no-such-host.invalid"]
    assert "refused the connection" in report.paused["127.0.0.1:9"]


@pytest.mark.slow
def test_listed_pages_are_read_and_not_left(make_project: MakeProject, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    with RudeServer() as server:
        server.routes["/item/*"] = fixed(answer(item_page("Thing", ("/1.jpg",))), keep=True)
        server.routes["/list"] = fixed(answer(results_page([f"/other/{n}" for n in range(5)])), keep=True)
        listing = tmp_path / "urls.txt"
        listing.write_text("".join(f"{server.url(path)}\n" for path in ("/item/1", "/item/2", "/list", "/item/1#top")))
        report = crawl(
            make_project(URL_FILE.format(address=listing)),
            progress=lambda done, total, _: seen.append((done, total)),
        )
    assert (report.pages, report.items, report.pictures) == (3, 2, 2)
    assert report.complete
    assert seen


def private_name() -> str:
    """A name that leads to an address of this machine, and does not look like it."""
    name = socket.gethostname().lower()
    try:
        address = socket.gethostbyname(name)
    except OSError:
        pytest.skip(f"the name of this machine, {name}, cannot be resolved")
    if is_public_address(address):
        pytest.skip(f"the name of this machine, {name}, leads to a public address")
    return name


@pytest.mark.slow
def test_a_name_that_leads_to_a_private_address_is_refused(make_project: MakeProject) -> None:
    settings = SETTINGS.format(address=f"http://{private_name()}:9/").replace("allow_private = true", "")
    project = make_project(settings)
    assert crawl(project).outcomes == {"private": 1}
    with reading(project.engine) as connection:
        row = connection.execute(sa.select(schema.page)).one()
    assert "private address" in row.reason
    assert "crawl.allow_private" in row.reason


def test_a_picture_at_a_name_that_leads_to_a_private_address_is_refused(make_project: MakeProject) -> None:
    project = make_project('[source.saved]\nkind = "folder"\naddress = "saved"\n')
    project.path("saved").mkdir()
    page = item_page("Thing", (f"http://{private_name()}:9/1.jpg", "http://127.0.0.1:9/2.jpg"))
    project.path("saved", "page.html").write_text(page)
    assert crawl(project).items == 1
    assert download(project).outcomes == {"private": 2}


def self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nobody")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = folder / "nobody.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


@pytest.mark.slow
def test_an_invalid_certificate_is_no_connection(make_project: MakeProject, tmp_path: Path) -> None:
    with RudeServer(tls=self_signed(tmp_path)) as server:
        server.routes["/*"] = fixed(answer(item_page("Thing")))
        project = make_project(SETTINGS.format(address=server.url("/")))
        report = crawl(project)
        assert not server.counts
    assert "no secure connection" in next(iter(report.paused.values()))


@pytest.mark.slow
def test_a_site_is_crawled_again_and_sends_only_what_changed(
    make_project: MakeProject, capsys: pytest.CaptureFixture[str]
) -> None:
    prices = dict.fromkeys(range(5), "1000")
    sent: list[str] = []

    async def serve(request: Request, wire: Wire) -> bool:
        number = int(request.path.rpartition("/")[2])
        etag = f'"{number}-{prices.get(number)}"'
        if number not in prices:
            await wire.send(answer("", "410 Gone"))
        elif request.headers.get("if-none-match") == etag:
            await wire.send(answer("", "304 Not Modified", Content_Length="", ETag=etag))
        else:
            sent.append(request.path)
            await wire.send(answer(item_page(f"Thing {number}", price=prices[number]), ETag=etag))
        return True

    async def listing(_: Request, wire: Wire) -> bool:
        await wire.send(answer(results_page([f"/item/{n}" for n in prices])))
        return True

    with RudeServer() as server:
        server.routes = {"/": listing, "/item/*": serve}
        project = make_project(SETTINGS.format(address=server.url("/")))
        assert crawl(project).items == 5
        sent.clear()
        prices |= {2: "900", 5: "50"}
        del prices[4]
        assert run(["crawl", "--again", "--project", str(project.folder)]) == 0
        printed = capsys.readouterr()
        assert "shop: 6 pages are due" in printed.err
        assert "(3 unmodified)" in printed.out
        assert sorted(sent) == ["/item/2", "/item/5"]
        assert run(["status", "--json", "--project", str(project.folder)]) == 0
    (told,) = json.loads(capsys.readouterr().out)["passes"]
    assert told == {
        "source": "shop", "number": 2, "ended": True,
        "new": 1, "changed": 1, "unchanged": 3, "vanished": 1, "returned": 0,
    }  # fmt: skip


@pytest.mark.slow
def test_budgets_and_limits_of_the_command_line(make_project: MakeProject, capsys: pytest.CaptureFixture[str]) -> None:
    with RudeServer() as server:
        server.routes["/"] = fixed(answer(results_page([f"/item/{n}" for n in range(40)])), keep=True)
        server.routes["/item/*"] = fixed(answer(item_page("Thing")), keep=True)
        settings = SETTINGS.format(address=server.url("/")).replace("[crawl]", "max_pages = 12\n[crawl]")
        project = make_project(settings)
        folder = ["--json", "--project", str(project.folder)]
        assert run(["crawl", "--limit-bytes", "4kb", *folder]) == 0
        first = json.loads(capsys.readouterr().out)
        assert 4000 <= first["bytes"] < 6000
        assert run(["crawl", *folder]) == 0
        second = json.loads(capsys.readouterr().out)
        assert first["pages"] + second["pages"] == 12
        assert second["budgets"] == {"shop": "budget of 12 pages is used up (source.shop.max_pages)"}
        assert second["pending"] == 29


@pytest.mark.slow
def test_a_title_of_ten_megabytes_is_cut(make_project: MakeProject) -> None:
    with RudeServer() as server:
        server.routes["/"] = fixed(answer(item_page("very " * 2_000_000 + "long")), keep=True)
        project = make_project(SETTINGS.format(address=server.url("/")) + "max_page_bytes = 50_000_000\n")
        report = crawl(project)
    assert report.outcomes == {"ok": 1}
    assert report.seconds < 60
    with reading(project.engine) as connection:
        titles = connection.execute(sa.select(schema.item.c.title)).scalars().all()
    assert all(len(title) <= 16_000 for title in titles)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("", "names no source"),
        ('[source.a]\naddress = "ftp://example.com/"', "source.a.address: 'ftp://example.com/' cannot be crawled"),
        ('[source.a]\naddress = "example.com"', "source.a.address: 'example.com' cannot be crawled"),
        ('[source.a]\naddress = "."', 'it lies on this machine, so set kind = "folder"'),
        ('[source.a]\naddress = "tamis.toml"', 'it lies on this machine, so set kind = "urls"'),
        ('[source.a]\naddress = "http://127.0.0.1/"', "crawl.allow_private"),
        ('[source.a]\nkind = "folder"\naddress = "nowhere"', "source.a.address: there is no folder"),
        ('[source.a]\nkind = "urls"\naddress = "nowhere.txt"', "source.a.address: there is no file"),
        ('[source.a]\naddress = "http://example.com/"\nrecipe = "genric"', "did you mean 'generic'"),
    ],
)
def test_a_source_that_cannot_be_used_is_one_clear_line(settings: str, message: str, make_project: MakeProject) -> None:
    with pytest.raises(UserError) as caught:
        crawl(make_project(settings))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_line_of_a_url_file_is_named(make_project: MakeProject, tmp_path: Path) -> None:
    listing = tmp_path / "urls.txt"
    listing.write_text("http://example.com/\nnot a url\n")
    with pytest.raises(UserError, match=r"urls\.txt, line 2: 'not a url'"):
        crawl(make_project(URL_FILE.format(address=listing)))
