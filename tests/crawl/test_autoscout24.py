"""AutoScout24 by its recipe, from local pages in its form: a search beyond the cap is sliced, and nothing is missed."""

from __future__ import annotations

from collections import Counter

import pytest
import sqlalchemy as sa

from tamis import schema
from tamis.crawl.budget import RunLimits
from tamis.crawl.run import crawl
from tamis.database import reading
from tamis.project import Project
from tests.conftest import MakeProject
from tests.crawl.autoscout24_server import Car, CarSite, draw_cars
from tests.crawl.rude_server import RudeServer, answer, fixed

SETTINGS = """
[source.cars]
address = "{address}"
recipe = "autoscout24"
[crawl]
allow_private = true
delay = 0
concurrency = 4
"""


def items(project: Project) -> list[sa.Row[tuple[str, float, str]]]:
    with reading(project.engine) as connection:
        return list(connection.execute(sa.select(schema.item.c.sku, schema.item.c.price, schema.item.c.url)))


@pytest.mark.slow
@pytest.mark.parametrize(("details", "language"), [("/angebote", "de-DE"), ("/offers", "en"), ("/annunci", "it")])
def test_every_car_of_a_search_beyond_the_cap_is_found_once(
    make_project: MakeProject, details: str, language: str
) -> None:
    cars = draw_cars(150 if language == "de-DE" else 70)
    site = CarSite(cars, 2, details, language)
    with RudeServer() as server:
        server.routes["/lst/*"] = server.routes[f"{details}/*"] = site.handler()
        server.routes["/robots.txt"] = fixed(answer("User-agent: *\nDisallow: /haendler/\n", content_type="text/plain"))
        project = make_project(SETTINGS.format(address=server.url("/lst/volkswagen/golf?sort=standard&cy=D")))
        runs = 0
        while not (report := crawl(project, limits=RunLimits(100))).complete:
            runs += 1
            assert runs < 30
        asked = Counter(server.counts)
    assert report.failures == 0
    assert site.refused == []
    found = items(project)
    assert Counter(row.sku for row in found) == Counter(car.guid for car in cars)
    assert {row.sku: row.price for row in found} == {car.guid: car.price for car in cars}
    assert [path for path, count in asked.items() if count > 1 and path != "/robots.txt"] == []
    with reading(project.engine) as connection:
        pictures = connection.execute(sa.select(schema.picture.c.url)).scalars().all()
        depths = connection.execute(sa.select(sa.func.max(schema.page.c.depth))).scalar_one()
    assert sorted(pictures) == sorted(url for car in cars for url in car.images("1280x960"))
    assert depths == 1


@pytest.mark.slow
def test_what_no_slice_reaches_is_said(make_project: MakeProject) -> None:
    """Cars that are alike in all that a search can be cut by: those within the cap are read, the rest is stated."""
    same = [Car(f"{n:08x}-car", 2021, 15_990, 1000, 1, True) for n in range(50)]
    with RudeServer() as server:
        server.routes["/lst/*"] = server.routes["/angebote/*"] = CarSite(same, 2).handler()
        bounds = "fregfrom=2021&fregto=2021&pricefrom=15990&priceto=15990&kmfrom=1000&kmto=1000"
        project = make_project(SETTINGS.format(address=server.url(f"/lst/vw/golf?{bounds}")))
        assert crawl(project).items == 40
    with reading(project.engine) as connection:
        reasons = connection.execute(
            sa.select(schema.page.c.reason).where(schema.page.c.kind == "results").distinct()
        ).scalars()
        assert list(reasons) == ["10 of 50 results are beyond the last page that is served"]
