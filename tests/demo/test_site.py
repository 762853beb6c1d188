"""The running market place: real requests against what the truth says."""

import json
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from html.parser import HTMLParser
from io import BytesIO
from urllib.robotparser import RobotFileParser

import httpx
import pytest
from PIL import Image

from tamis.demo.faults import HTML_BODY
from tamis.demo.site import DemoSite, SiteOptions
from tamis.demo.truth import PictureTruth, Truth, load_truth, search_paths
from tamis.errors import UserError

COUNT = 8


@pytest.fixture(scope="module")
def site() -> Iterator[DemoSite]:
    with DemoSite(SiteOptions(listings=COUNT)) as running:
        yield running


@pytest.fixture(scope="module")
def truth(site: DemoSite) -> Truth:
    return load_truth(COUNT, base_url=site.url)


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=10, trust_env=False) as opened:
        yield opened


def pictures_with(truth: Truth, outcome: str) -> list[PictureTruth]:
    return [picture for picture in truth.pictures if picture.outcome == outcome]


class Links(HTMLParser):
    """Collects elements with their attributes, and the texts of scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._in_json = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in_json = tag == "script" and ("type", "application/ld+json") in attrs

    def handle_data(self, data: str) -> None:
        if self._in_json:
            self.scripts.append(data)
            self._in_json = False


def parsed(text: str) -> Links:
    links = Links()
    links.feed(text)
    return links


def test_paging_leads_to_every_listing(site: DemoSite, truth: Truth, client: httpx.Client) -> None:
    url: str | None = site.start_url
    found: list[str] = []
    visited = []
    while url:
        visited.append(url)
        page = parsed(client.get(url).raise_for_status().text)
        cars = [
            href
            for tag, attributes in page.elements
            if tag == "a" and "/cars/" in (href := attributes.get("href") or "")
        ]
        found += [car for car in cars if car.startswith("/cars/")]
        following = [attributes["href"] for tag, attributes in page.elements if attributes.get("rel") == "next"]
        assert len(set(following)) <= 1
        url = site.url + str(following[0]) if following else None
    assert [address.removeprefix(site.url) for address in visited] == list(search_paths(COUNT))
    public = [page.url for page in truth.pages if "/cars/" in page.url and "/private/" not in page.url]
    assert [site.url + path for path in found] == public


@pytest.mark.parametrize("query", ["page=0", "page=99", "page=x", "page=-1", "page=1234567"])
def test_pages_that_are_not_there(site: DemoSite, client: httpx.Client, query: str) -> None:
    assert client.get(f"{site.start_url}?{query}").status_code == 404


def test_pages_answer_as_the_truth_says(truth: Truth, client: httpx.Client) -> None:
    statuses = {"ok": 200, "not_found": 404, "gone": 410, "robots": 200}
    for page in truth.pages:
        assert client.get(page.url).status_code == statuses[page.outcome], page


def test_good_pictures_are_what_the_truth_says(truth: Truth, client: httpx.Client) -> None:
    bodies: dict[str, set[bytes]] = defaultdict(set)
    for picture in pictures_with(truth, "ok"):
        answer = client.get(picture.url)
        if answer.status_code in {429, 500}:  # these answer when they are asked again
            answer = client.get(picture.url)
        assert answer.status_code == 200, picture
        with Image.open(BytesIO(answer.content)) as image:
            image.load()
            assert image.size == picture.size_wh
            assert answer.headers["content-type"] == f"image/{str(image.format).lower()}"
        assert picture.same_bytes is not None
        bodies[picture.same_bytes].add(answer.content)
    assert all(len(group) == 1 for group in bodies.values())
    assert len({next(iter(group)) for group in bodies.values()}) == len(bodies)


def test_robots_forbid_a_part_that_is_linked(site: DemoSite, truth: Truth, client: httpx.Client) -> None:
    rules = RobotFileParser()
    rules.parse(client.get(f"{site.url}/robots.txt").text.splitlines())
    forbidden = [page.url for page in truth.pages if page.outcome == "robots"]
    forbidden += [picture.url for picture in pictures_with(truth, "robots")]
    assert len(forbidden) == 2
    assert not any(rules.can_fetch("tamis", url) for url in forbidden)
    allowed = [page.url for page in truth.pages if page.outcome != "robots"]
    allowed += [picture.url for picture in truth.pictures if picture.outcome != "robots"]
    assert all(rules.can_fetch("tamis", url) for url in allowed)
    assert forbidden[0].removeprefix(site.url) in client.get(site.start_url).text
    with Image.open(BytesIO(client.get(forbidden[1]).content)) as image:  # a rude crawler would get it
        image.load()


def test_an_error_that_passes(client: httpx.Client) -> None:
    with DemoSite(SiteOptions(listings=3)) as fresh:
        (path,) = [slot.path for listing in fresh.listings for slot in listing.slots if slot.fault == "error_once"]
        assert [client.get(fresh.url + path).status_code for _ in range(3)] == [500, 200, 200]
        assert fresh.requests[path] == 3


def test_an_error_that_stays(truth: Truth, client: httpx.Client) -> None:
    (picture,) = pictures_with(truth, "server_error")
    assert [client.get(picture.url).status_code for _ in range(3)] == [500, 500, 500]


def test_too_many_requests_say_when_to_come_again(client: httpx.Client) -> None:
    with DemoSite(SiteOptions(listings=4)) as fresh:
        slots = [slot for listing in fresh.listings for slot in listing.slots]
        (path,) = [slot.path for slot in slots if slot.fault == "too_many_requests_once"]
        refused = client.get(fresh.url + path)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert client.get(fresh.url + path).status_code == 200


def test_a_redirect_loop_never_ends(truth: Truth, client: httpx.Client) -> None:
    (picture,) = pictures_with(truth, "redirect_loop")
    with pytest.raises(httpx.TooManyRedirects):
        client.get(picture.url, follow_redirects=True)


def test_a_page_served_as_a_picture(truth: Truth, client: httpx.Client) -> None:
    (picture,) = pictures_with(truth, "not_image")
    answer = client.get(picture.url)
    assert (answer.headers["content-type"], answer.content) == ("image/jpeg", HTML_BODY)


def test_a_truncated_picture_opens_and_does_not_load(truth: Truth, client: httpx.Client) -> None:
    (picture,) = pictures_with(truth, "truncated")
    with Image.open(BytesIO(client.get(picture.url).content)) as image:
        assert image.size == (640, 480)
        with pytest.raises(OSError, match="truncated"):
            image.load()


def test_the_bomb_is_refused_by_its_size(truth: Truth, client: httpx.Client) -> None:
    (picture,) = pictures_with(truth, "too_many_pixels")
    with pytest.raises(Image.DecompressionBombError):
        Image.open(BytesIO(client.get(picture.url).content))


def test_a_slow_body_drips_and_does_not_hold_the_server(client: httpx.Client) -> None:
    with DemoSite(SiteOptions(listings=6)) as fresh:
        truth = load_truth(6, base_url=fresh.url)
        (picture,) = pictures_with(truth, "timeout")
        started = time.monotonic()
        with client.stream("GET", picture.url) as answer:
            assert answer.status_code == 200
            received = 0
            for part in answer.iter_raw():
                received += len(part)
                if time.monotonic() - started > 1.2:
                    break
            assert 0 < received < int(answer.headers["content-length"]) / 1000
        assert client.get(fresh.start_url).status_code == 200
        stopping = time.monotonic()
    assert time.monotonic() - stopping < 3


def test_broken_json_ld_has_all_in_its_html(truth: Truth, client: httpx.Client) -> None:
    (item,) = [item for item in truth.items if item.markup == "broken_json_ld"]
    text = client.get(item.url).text
    (script,) = parsed(text).scripts
    with pytest.raises(json.JSONDecodeError):
        json.loads(script)
    assert f"<h1>{item.title}</h1>" in text
    assert re.search(rf"Make</(th|dt)><(td|dd)>{item.make}<", text)


def test_json_ld_states_the_truth(truth: Truth, client: httpx.Client) -> None:
    checked = 0
    for item in truth.items:
        if item.markup not in {"json_ld", "both"}:
            continue
        (script,) = parsed(client.get(item.url).text).scripts
        document = json.loads(script)
        node = next((part for part in document.get("@graph", [document]) if "offers" in part), None)
        assert node is not None
        assert (node["name"], node["brand"]["name"], node["model"]) == (item.title, item.make, item.model)
        assert (float(node["offers"]["price"]), node["offers"]["priceCurrency"]) == (item.price, item.currency)
        assert node.get("mileageFromOdometer", {}).get("value") == item.mileage_stated_km
        assert node["image"] == [picture.url for picture in truth.pictures if picture.listing == item.listing]
        checked += 1
    assert checked >= 5


def test_html_pages_show_their_pictures_in_many_ways(client: httpx.Client) -> None:
    with DemoSite(SiteOptions(faults=False)) as whole:
        truth = load_truth(faults=False, base_url=whole.url)
        ways = set()
        for item in truth.items:
            if item.markup != "html":
                continue
            page = parsed(client.get(item.url).text)
            assert not page.scripts
            wanted = [
                picture.url.removeprefix(whole.url) for picture in truth.pictures if picture.listing == item.listing
            ]
            images = [attributes for tag, attributes in page.elements if tag == "img"]
            if all("srcset" in image for image in images):
                ways.add("srcset")
                shown = [str(image["srcset"]).split(", ")[-1].split()[0] for image in images]
            elif all("data-src" in image for image in images):
                ways.add("data-src")
                shown = [str(image["data-src"]) for image in images]
            else:
                ways.add("src")
                shown = [str(image["src"]) for image in images]
            assert shown == wanted
        assert ways == {"srcset", "data-src", "src"}


def test_texts_are_escaped_and_pages_are_whole(truth: Truth, client: httpx.Client) -> None:
    for item in truth.items:
        text = client.get(item.url).text
        assert text.rstrip().endswith("</html>")
        assert "{{" not in text


def test_requests_are_counted(client: httpx.Client) -> None:
    with DemoSite(SiteOptions(listings=1)) as fresh:
        client.get(fresh.start_url)
        client.get(fresh.start_url)
        client.get(f"{fresh.url}/nothing?here")
        assert client.get(f"{fresh.url}/_requests").json() == {"/cars": 2, "/nothing?here": 1}
        assert fresh.requests == {"/cars": 2, "/nothing?here": 1}


def test_latency_holds_each_answer_back(client: httpx.Client) -> None:
    with DemoSite(SiteOptions(listings=1, latency_s=0.3)) as slow:
        started = time.monotonic()
        client.get(f"{slow.url}/robots.txt")
        assert time.monotonic() - started >= 0.3


def test_without_faults_nothing_fails(client: httpx.Client) -> None:
    with DemoSite(SiteOptions(listings=COUNT, faults=False)) as good:
        truth = load_truth(COUNT, faults=False, base_url=good.url)
        assert {client.get(page.url).status_code for page in truth.pages} == {200}
        assert {client.get(picture.url).status_code for picture in truth.pictures} == {200}


def test_two_sites_serve_the_same(client: httpx.Client) -> None:
    paths = ["/cars", "/cars/1001/tessen-t4-wagon", "/style.css", "/photos/1001/00.jpg", "/photos/1001/00-320x240.jpg"]
    with DemoSite(SiteOptions(listings=2)) as first, DemoSite(SiteOptions(listings=2)) as second:
        assert first.url != second.url
        for path in paths:
            one, other = (client.get(running.url + path).content for running in (first, second))
            assert one.replace(first.url.encode(), b"") == other.replace(second.url.encode(), b""), path
            assert len(one) > 100


def test_a_port_in_use_is_named(site: DemoSite) -> None:
    port = int(site.url.rpartition(":")[2])
    with pytest.raises(UserError, match=f"port {port}"):
        DemoSite(SiteOptions(listings=1, port=port)).start()


def test_the_site_runs_as_a_program(client: httpx.Client) -> None:
    command = [sys.executable, "-m", "tamis.demo.site", "--listings", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[0]
            assert "Used cars" in client.get(url).text
        finally:
            process.terminate()
