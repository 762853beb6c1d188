"""Search and detail pages in the form of AutoScout24, from a server that filters, pages and caps like the site."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.crawl.rude_server import Handler, Request, Wire, answer

PAGE_SIZE = 20
PICTURES = "https://prod.pictures.autoscout24.net/listing-images"


@dataclass(frozen=True)
class Car:
    """A listing; a new car has no year of registration."""

    guid: str
    year: int | None
    price: int
    km: int
    photos: int
    has_raw_price: bool

    def images(self, size: str) -> list[str]:
        return [f"{PICTURES}/{self.guid}_{n}.jpg/{size}.webp" for n in range(self.photos)]


def draw_cars(count: int, seed: int = 3) -> list[Car]:
    """Cars of which many share a year, and many of these a price: one range alone cannot part them."""
    chance = random.Random(seed)
    cars: list[Car] = []
    for number in range(count):
        year: int | None = chance.choice([2021, 2021, 2021, *range(1962, 2026)])
        if number % 60 == 7:
            year = None
        price = 15_990 if year == 2021 and chance.random() < 0.7 else int(chance.lognormvariate(9.5, 1))
        guid = f"{number:08x}-car"
        cars.append(Car(guid, year, price, chance.randrange(250_000), chance.randint(1, 4), number % 5 != 0))
    return cars


def _within(value: int | None, query: dict[str, list[str]], lower: str, upper: str) -> bool:
    """As the site filters: a listing without the value is in no range."""
    if lower not in query and upper not in query:
        return True
    first, last = int(query.get(lower, ["0"])[0]), int(query.get(upper, ["999999999"])[0])
    return value is not None and first <= value <= last


class CarSite:
    """The handlers of one country's site. `cap` is the number of pages that it serves of one search."""

    def __init__(self, cars: list[Car], cap: int, details: str = "/angebote", language: str = "de") -> None:
        self.cars, self.cap, self.details, self.language = cars, cap, details, language
        self.refused: list[str] = []

    def handler(self) -> Handler:
        async def handle(request: Request, wire: Wire) -> bool:
            await wire.send(self._answer(request.path))
            return True

        return handle

    def _answer(self, path: str) -> bytes:
        parts = urlsplit(path)
        if parts.path.startswith(self.details):
            guid = parts.path[-12:]
            car = next((car for car in self.cars if car.guid == guid), None)
            return answer(self.detail(car)) if car else answer("", "404 Not Found")
        query = parse_qs(parts.query)
        page = int(query.get("page", ["1"])[0])
        if page > self.cap:
            self.refused.append(path)
            return answer("", "404 Not Found")
        return answer(self.search(query, page))

    def search(self, query: dict[str, list[str]], page: int) -> str:
        found = [
            car
            for car in self.cars
            if _within(car.year, query, "fregfrom", "fregto")
            and _within(car.price, query, "pricefrom", "priceto")
            and _within(car.km, query, "kmfrom", "kmto")
        ]
        served = min(-(-len(found) // PAGE_SIZE), self.cap)
        shown = found[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
        state = {
            "numberOfResults": len(found),
            "numberOfPages": served,
            "listings": [self._listing(car, position, page) for position, car in enumerate(shown, 1)],
        }
        articles = "".join(f'<article data-guid="{car.guid}"><h2>VW Golf</h2></article>' for car in shown)
        return self._page(f"<h1>{len(found)} VW Golf</h1>{articles}", state if page % 2 else {**state, "listings": []})

    def detail(self, car: Car) -> str:
        price = {"priceRaw": car.price} if car.has_raw_price else {}
        details: dict[str, Any] = {
            "id": car.guid,
            "images": car.images("720x540"),
            "prices": {"public": {"price": f"€ {car.price}", **price}},
            "tracking": {"price": str(car.price)},
            "vehicle": {"make": "Volkswagen", "model": "Golf", "modelVersionInput": "Golf 1.5 TSI", "rawData": {}},
        }
        if car.year:
            details["vehicle"]["productionYear"] = car.year
        return self._page("<h1>Volkswagen Golf</h1>", {"listingDetails": details})

    def _listing(self, car: Car, position: int, page: int) -> dict[str, Any]:
        price = {"priceFormatted": f"€ {car.price}"} | ({"priceRaw": car.price} if car.has_raw_price else {})
        url = f"{self.details}/volkswagen-golf-{car.guid}?sort=standard&position={position}&page={page}"
        return {
            "id": car.guid, "url": url, "images": car.images("250x188"), "price": price,
            "tracking": {"price": str(car.price)},
        }  # fmt: skip

    def _page(self, body: str, props: dict[str, Any]) -> str:
        state = json.dumps({"props": {"pageProps": props}})
        return (
            f'<!doctype html><html lang="{self.language}"><head><title>VW Golf</title></head><body>{body}'
            f'<script id="__NEXT_DATA__" type="application/json">{state}</script></body></html>'
        )
