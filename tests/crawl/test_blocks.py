"""Block pages are told from good ones, reported, and the host is left alone."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.crawl.blocks import block_page
from tamis.crawl.child import make_agenda
from tamis.crawl.frontier import retry_failed
from tamis.crawl.sources import register_sources
from tamis.project import Project
from tests.conftest import MakeProject
from tests.crawl.driven import HOME, drive, outcomes, page, path_of
from tests.crawl.rude_server import item_page, results_page
from tests.realdata import data_folder

SETTINGS = f"""
[source.shop]
address = "{HOME}"
[crawl]
delay = 0
retry_wait = 0.01
attempts = 2
"""
CLOUDFLARE = (
    "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body><noscript>Enable JavaScript and cookies to "
    'continue</noscript><script src="/cdn-cgi/challenge-platform/h/b/orchestrate/chl_page/v1"></script></body></html>'
)
AKAMAI = (
    "<HTML><HEAD><TITLE>Access Denied</TITLE></HEAD><BODY><H1>Access Denied</H1>You don't have permission to access "
    '"http&#58;&#47;&#47;x" on this server.<P>Reference&#32;&#35;18&#46;2d351ab8&#46;1557333295&#46;a4e16ab'
)
DATADOME = (
    "<html><head><title>x.example</title></head><body><p>Please enable JS and disable any ad blocker</p>"
    "<script>var dd={'rt':'c','cid':'AHrl','host':'geo.captcha-delivery.com'}</script></body></html>"
)
IMPERVA = (
    '<html><head><META NAME="robots" CONTENT="noindex"></head><body><iframe src="/_Incapsula_Resource?SWUDNSAI=31">'
    "</iframe><p>Request unsuccessful. Incapsula incident ID: 443000270078</p></body></html>"
)
HUMAN = (
    "<html><head><title>Access to this page has been denied.</title></head><body>"
    "<script>window._pxAppId = 'PX';</script>"
    '<div id="px-captcha"></div>Press &amp; hold to confirm you are a human (and not a bot).</body></html>'
)
CAPTCHA = (
    "<html><head><title>Robot Check</title></head><body><h4>Enter the characters you see below</h4>"
    '<form><div class="g-recaptcha" data-sitekey="x"></div></form></body></html>'
)
GERMAN = (
    "<html><head><title>Zugriff verweigert</title></head><body><p>Wir haben ungewöhnliche Zugriffe von Ihrem Anschluss "
    "bemerkt.</p></body></html>"
)
GOOD = item_page("A fine thing")
#: A shop that carries the scripts of two services, and a captcha in its contact form.
CARRIES = GOOD.replace(
    "</body>",
    '<script src="/cdn-cgi/challenge-platform/scripts/jsd/main.js"></script>'
    '<form><div class="g-recaptcha"></div></form>'
    "<p>We verify you are of age at delivery.</p>" + "<p>A long description of a fine thing.</p>" * 60 + "</body>",
)


@pytest.mark.parametrize(
    ("status", "body", "headers", "service"),
    [
        (403, CLOUDFLARE, {}, "Cloudflare"),
        (503, CLOUDFLARE, {}, "Cloudflare"),
        (200, CLOUDFLARE, {}, "Cloudflare"),
        (403, "", {"cf-mitigated": ("challenge",)}, "Cloudflare"),
        (403, AKAMAI, {}, "Akamai"),
        (200, AKAMAI, {}, "Akamai"),
        (403, DATADOME, {}, "DataDome"),
        (200, IMPERVA, {}, "Imperva"),
        (403, IMPERVA, {}, "Imperva"),
        (403, HUMAN, {}, "HUMAN"),
        (200, HUMAN, {}, "HUMAN"),
        (202, "", {"x-amzn-waf-action": ("challenge",)}, "AWS WAF"),
        (200, CAPTCHA, {}, "captcha"),
        (429, CAPTCHA, {}, "captcha"),
        (403, GERMAN, {}, "robot check"),
        (403, "<title>403 Forbidden</title><h1>Forbidden</h1>", {}, None),
        (403, "<title>Access denied</title><p>This page is for members.</p>", {}, None),
        (401, "<title>Log in</title>", {}, None),
        (404, CLOUDFLARE.replace("Just a moment...", "Not found"), {}, None),
        (429, "slow down", {}, None),
        (503, "<h1>Down for maintenance</h1>", {}, None),
        (200, GOOD, {}, None),
        (200, CARRIES, {}, None),
        (200, GOOD.replace("A fine thing", "Robot check-in kit: are you human?"), {}, None),
        (200, "", {}, None),
    ],
)
def test_block_pages_and_others(
    status: int, body: str, headers: dict[str, tuple[str, ...]], service: str | None
) -> None:
    assert block_page(status, headers, body.encode()) == service


@pytest.mark.real
def test_no_real_product_page_is_taken_for_one() -> None:
    for path in sorted(data_folder("pages").glob("*.html.gz")):
        assert block_page(200, {}, gzip.decompress(path.read_bytes())) is None, path.name


@given(st.binary(max_size=400), st.sampled_from([200, 403, 429]))
def test_no_bytes_break_the_reader(body: bytes, status: int) -> None:
    block_page(status, {}, body)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", ["<script", "<script>", "<!--", "<title>", "<title", "<", "g-recaptcha<"])
def test_hostile_repetition_is_read_in_time(piece: str) -> None:
    block_page(403, {}, (CAPTCHA + piece * (110_000 // len(piece))).encode()[:119_000])


# --- in a crawl ---------------------------------------------------------------------------------------------------


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    made = make_project(SETTINGS)
    register_sources(made)
    return made


def test_a_block_page_closes_the_host_and_nothing_is_lost(project: Project) -> None:
    links = [f"/item/{n}" for n in range(20)]

    def web(url: str) -> Any:
        path = path_of(url)
        if path == "/robots.txt":
            return page("", 404)
        if path == "/":
            return page(results_page(links))
        return page(CLOUDFLARE, 403) if path == "/item/3" else page(item_page(f"Thing {path}"))

    agenda = make_agenda(project)
    asked = drive(agenda, web)
    assert asked[-1] == "/item/3", "nothing is asked after the block page"
    line = agenda.paused()["shop.example"]
    assert "block page (Cloudflare, HTTP 403)" in line
    assert "left alone for 60 min" in line
    assert "\n" not in line
    state = outcomes(project)
    assert state["/item/3"] == ("pending", "blocked")
    assert sum(found == ("pending", None) for found in state.values()) == 16
    assert drive(make_agenda(project), web) == [], "the next run leaves the host alone as well"
    retry_failed(project, "crawl")
    drive(make_agenda(project), lambda url: page(item_page(f"Thing {url}")))
    assert set(outcomes(project).values()) == {("done", "ok")}


def test_a_block_page_in_place_of_robots_txt_closes_the_host(project: Project) -> None:
    agenda = make_agenda(project)
    asked = drive(agenda, lambda url: page(CLOUDFLARE, 403))
    assert set(asked) == {"/robots.txt"}
    assert "block page" in agenda.paused()["shop.example"]


def test_a_host_that_answers_429_again_and_again_is_left_alone(make_project: MakeProject) -> None:
    project = make_project(SETTINGS.replace("attempts = 2", "attempts = 20\nbreaker = 3"))
    register_sources(project)
    agenda = make_agenda(project)
    asked = drive(agenda, lambda url: page("", 404) if "robots" in url else page("", 429))
    assert asked == ["/robots.txt", "/", "/", "/"]
    assert "3 failures in a row, the last: HTTP 429" in agenda.paused()["shop.example"]
