"""Shops whose products are read from their feed, and from their pages where there is none."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa

from tamis import schema
from tamis.crawl.budget import RunLimits
from tamis.crawl.run import crawl
from tamis.database import reading
from tamis.project import Project
from tests.conftest import MakeProject
from tests.crawl.rude_server import Handler, Request, RudeServer, Wire, answer, fixed, item_page, results_page
from tests.extract.test_json_pages import shopify_product, woo_product

pytestmark = pytest.mark.slow

SETTINGS = """
[source.shop]
address = "{address}"
recipe = "{recipe}"
[crawl]
allow_private = true
delay = 0
retry_wait = 0.05
"""


def paged(products: list[dict[str, object]], size: str, wrap: bool) -> Handler:
    """A feed that serves `size` products a page, and empty pages after the last."""

    async def handle(request: Request, wire: Wire) -> bool:
        query = parse_qs(urlsplit(request.path).query)
        count, page = int(query[size][0]), int(query.get("page", ["1"])[0])
        shown = products[(page - 1) * count : page * count]
        content = json.dumps({"products": shown} if wrap else shown)
        await wire.send(answer(content, content_type="application/json"))
        return True

    return handle


def titles(project: Project) -> list[str]:
    with reading(project.engine) as connection:
        return sorted(connection.execute(sa.select(schema.item.c.title)).scalars())


def test_a_shopify_shop_is_read_from_its_feed_alone(make_project: MakeProject) -> None:
    products = [shopify_product(number) for number in range(1020)]
    with RudeServer() as server:
        server.routes["/products.json*"] = paged(products, "limit", True)
        project = make_project(SETTINGS.format(address=server.url("/"), recipe="shopify"))
        first = crawl(project, limits=RunLimits(2))
        report = crawl(project)
        assert set(server.counts) == {
            "/robots.txt", "/products.json?limit=250", *(f"/products.json?limit=250&page={n}" for n in (2, 3, 4, 5))
        }  # fmt: skip
        assert max(server.counts.values()) == 1
    assert first.items == 500
    assert report.complete
    assert titles(project) == sorted(str(product["title"]) for product in products)
    with reading(project.engine) as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(schema.picture)).scalar_one() == 3060


def test_a_collection_is_read_from_its_own_feed(make_project: MakeProject) -> None:
    with RudeServer() as server:
        server.routes["/collections/new/products.json*"] = paged([shopify_product(1)], "limit", True)
        project = make_project(SETTINGS.format(address=server.url("/collections/new?sort=x"), recipe="shopify"))
        assert crawl(project).items == 1
        assert not any("sort" in path for path in server.counts)


def test_a_woocommerce_shop_is_read_from_its_store_api(make_project: MakeProject) -> None:
    with RudeServer() as server:
        products = [woo_product(n) | {"permalink": server.url(f"/product/mug-{n}/")} for n in range(130)]
        server.routes["/wp-json/*"] = paged(products, "per_page", False)
        project = make_project(SETTINGS.format(address=server.url("/"), recipe="woocommerce"))
        report = crawl(project)
    assert (report.pages, report.items) == (2, 130)


@pytest.mark.parametrize("status", ["404 Not Found", "401 Unauthorized", "robots", "html"])
def test_pages_are_crawled_where_the_feed_is_closed(make_project: MakeProject, status: str) -> None:
    with RudeServer() as server:
        links = [f"/collections/all/products/shirt-{n}?variant=1" for n in range(5)]
        server.routes["/"] = fixed(answer(results_page(links)), keep=True)
        for n in range(5):
            server.routes[f"/products/shirt-{n}"] = fixed(answer(item_page(f"Shirt {n}")), keep=True)
        if status == "robots":
            rules = "User-agent: *\nDisallow: /products.json\n"
            server.routes["/robots.txt"] = fixed(answer(rules, content_type="text/plain"), keep=True)
        page = answer("<h1>Closed</h1>") if status == "html" else answer("", status)
        server.routes["/products.json*"] = fixed(page, keep=True)
        project = make_project(SETTINGS.format(address=server.url("/"), recipe="shopify"))
        report = crawl(project)
        assert server.counts["/products.json?limit=250"] == int(status != "robots")
    assert titles(project) == [f"Shirt {n}" for n in range(5)]
    assert report.complete


def test_a_feed_that_repeats_itself_ends(make_project: MakeProject) -> None:
    async def same(request: Request, wire: Wire) -> bool:
        products = [shopify_product(number) for number in range(250)]
        await wire.send(answer(json.dumps({"products": products}), content_type="application/json"))
        return True

    with RudeServer() as server:
        server.routes["/products.json*"] = same
        project = make_project(SETTINGS.format(address=server.url("/"), recipe="shopify"))
        report = crawl(project)
    assert report.items == 250
    assert report.pages <= 6
