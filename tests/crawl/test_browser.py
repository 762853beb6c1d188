"""Pages whose listings are built by scripts, in a real Chromium that reaches nothing by itself."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa

from tamis import schema
from tamis.crawl.run import crawl
from tamis.database import reading
from tests.annotate.browser import find_chromium
from tests.conftest import MakeProject
from tests.crawl.rude_server import RudeServer, answer, fixed, item_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SETTINGS = """
[source.shop]
address = "{address}"
render = "{render}"
[crawl]
allow_private = true
delay = 0
browser = "{browser}"
"""
APP = """<!doctype html><html><head><title>Things</title><script src="/app.js"></script>
<link rel="stylesheet" href="/style.css"></head>
<body><div id="app"></div><img src="/logo.png"><img src="http://127.0.0.2:9/x.png"></body></html>"""
SCRIPT = """
addEventListener("DOMContentLoaded", async () => {
  const show = (html) => { document.getElementById("app").innerHTML = html; };
  const asked = await fetch("/api/things?page=1").then((r) => r.json());
  let inside = "refused";
  for (const url of ["http://10.0.0.1/secret", "http://127.0.0.1:9/secret", "/secret/plan", "file:///etc/passwd"]) {
    try { await fetch(url); inside = "reached " + url; } catch (error) { /* as it should be */ }
  }
  try { new WebSocket("ws://" + location.host + "/socket"); } catch (error) { /* as it should be */ }
  show("<h1>Things</h1><p>" + asked.length + " results</p><ul>" + asked.map((one) =>
    `<li class=card><a href="${one.url}"><img src="${one.url}.jpg">${one.name}</a><b>${one.price} €</b></li>`).join("")
    + `</ul><p id=inside>${inside}</p>`);
});
"""


def site(server: RudeServer) -> None:
    things = [{"name": f"Thing number {n}", "url": f"/thing/{n}-of-many", "price": n * 100} for n in range(1, 8)]
    server.routes["/robots.txt"] = fixed(answer("User-agent: *\nDisallow: /secret/\n", content_type="text/plain"))
    server.routes["/"] = fixed(answer(APP), keep=True)
    server.routes["/app.js"] = fixed(answer(SCRIPT, content_type="text/javascript"), keep=True)
    server.routes["/api/things?page=1"] = fixed(answer(json.dumps(things), content_type="application/json"), keep=True)
    for thing in things:
        server.routes[str(thing["url"])] = fixed(answer(item_page(str(thing["name"]), ("/1.jpg",))), keep=True)


def test_a_list_that_a_script_builds_is_read(make_project: MakeProject) -> None:
    with RudeServer() as server:
        site(server)
        settings = SETTINGS.format(address=server.url("/"), render="when-empty", browser=find_chromium())
        project = make_project(settings)
        report = crawl(project)
        counts = dict(server.counts)
    assert (report.items, report.failures) == (7, 0)
    assert counts["/"] == counts["/app.js"] == counts["/api/things?page=1"] == 1
    assert counts["/robots.txt"] == 2  # the crawler's and the browser's
    unasked = {"/secret/plan", "/socket", "/logo.png", "/style.css", "/thing/1-of-many.jpg"}
    assert not unasked & counts.keys()
    with reading(project.engine) as connection:
        page = connection.execute(sa.select(schema.page).where(schema.page.c.url == server.url("/"))).one()
        rendered = connection.execute(sa.select(schema.page.c.url).where(schema.page.c.reason.is_not(None))).all()
    assert (page.kind, page.reason) == ("results", "read after its scripts ran")
    assert len(rendered) == 1


def test_a_script_reaches_no_private_address(make_project: MakeProject) -> None:
    """The page of a public name, whose script asks for this machine: seen from the browser's own fetcher."""
    import asyncio
    import time

    from tamis.config import CrawlSettings, SourceSettings
    from tamis.crawl.browser import Renderer
    from tamis.crawl.reading import PageAnswer, Place
    from tamis.recipes import GENERIC

    async def visit(port: int) -> PageAnswer:
        place = Place("shop", SourceSettings(address="http://shop.example/", render="when-empty"), GENERIC)
        settings = CrawlSettings(browser=find_chromium(), delay=0, obey_robots=False, timeout=10)
        renderer = Renderer({1: place}, settings)
        text = (
            "<body><p id=a>none</p><script>Promise.allSettled(["
            f"'http://127.0.0.1:{port}/x', 'http://localhost:{port}/x', 'http://[::1]:{port}/x', 'http://0.0.0.0:{port}/x'"
            "].map((url) => fetch(url))).then((all) => { document.getElementById('a').textContent = "
            "all.map((one) => one.status).join(' '); });"
            f"const frame = document.createElement('iframe'); frame.src = 'http://127.0.0.1:{port}/frame';"
            "document.body.append(frame);</script></body>"
        )
        answered = PageAnswer("http://shop.example/", 200, {"content-type": ("text/html",)}, text.encode(), time.time())
        try:
            return await renderer.rendered(1, answered, "unknown")
        finally:
            await renderer.close()

    with RudeServer() as server:
        server.routes["/*"] = fixed(answer("reached"), keep=True)
        read = asyncio.run(visit(server.port))
        assert not server.counts
    assert read.rendered
    assert b"rejected rejected rejected rejected" in read.body


def test_no_browser_runs_unless_the_source_asks(make_project: MakeProject) -> None:
    with RudeServer() as server:
        site(server)
        settings = SETTINGS.format(address=server.url("/"), render="never", browser="/nowhere/chromium")
        report = crawl(make_project(settings))
        assert "/app.js" not in server.counts
    assert (report.pages, report.items) == (1, 0)


def test_a_missing_browser_is_one_clear_line(make_project: MakeProject) -> None:
    from tamis.errors import UserError

    with RudeServer() as server:
        site(server)
        settings = SETTINGS.format(address=server.url("/"), render="when-empty", browser="/nowhere/chromium")
        with pytest.raises(UserError, match=r"crawl\.browser: pages cannot be rendered") as caught:
            crawl(make_project(settings))
    assert "\n" not in str(caught.value)
