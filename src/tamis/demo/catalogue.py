"""The cars of the market place: facts, prices and views of each listing, all derived from its number."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from tamis.demo.render.subject import Subject, View

LISTING_COUNT = 40

_SEED = 20_240
_CURRENT_YEAR = 2024

# How many of the forty cars have a body or a colour; common ones are common on real market places too.
_BODY_COUNTS = {"hatchback": 8, "sedan": 7, "estate": 6, "suv": 8, "pickup": 5, "van": 6}
_COLOUR_COUNTS = {
    "white": 5, "silver": 5, "grey": 5, "black": 5, "red": 5, "blue": 5, "green": 4, "yellow": 2, "orange": 2,
    "brown": 1, "beige": 1,
}  # fmt: skip
_NEW_PRICES = {"hatchback": 21_000, "sedan": 33_000, "estate": 35_000, "suv": 38_000, "pickup": 41_000, "van": 36_000}

# The makes and models are invented.
_BODIES = ("hatchback", "sedan", "estate", "suv", "pickup", "van")
_MODELS: dict[str, tuple[str, ...]] = {  # in the order of the bodies
    "Brennar": ("Pico", "Linea", "Linea Tourer", "Grat", "Lastra", "Cargo L"),
    "Norwick": ("Finch", "Regent", "Regent Estate", "Moor", "Drover", "Haul"),
    "Tessen": ("T1", "T4", "T4 Wagon", "X6", "Rancher", "Box 30"),
    "Vireo": ("Aria", "Sonata S", "Sonata SW", "Alto", "Basso", "Coro"),
    "Okano": ("Mino", "Seiza", "Seiza Cross", "Yama", "Tora", "Hako"),
}

DEALER_CURRENCIES = {
    "Harbour Street Motors": "GBP",
    "Nordhof Automobile": "EUR",
    "Two Oaks Car Sales": "GBP",
    "Autohaus Lindenau": "EUR",
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CarFacts:
    """One car on sale, as it truly is."""

    number: int  # 0 to 39
    make: str
    model: str
    year: int
    price: int
    currency: str
    fuel: str
    gearbox: str
    subject: Subject
    views: tuple[View, ...]


def _choose(rng: random.Random, options: Sequence[T]) -> T:
    # Only random() itself is promised to give the same sequence in every Python.
    return options[int(rng.random() * len(options))]


def _dealt_out(counts: dict[str, int], rng: random.Random) -> list[str]:
    cards = [name for name, count in counts.items() for _ in range(count)]
    return [name for _, name in sorted((rng.random(), name) for name in cards)]


def _choose_views(rng: random.Random) -> tuple[View, ...]:
    quarters: list[View] = ["front_left", "front_right"] if rng.random() < 0.5 else ["front_right", "front_left"]
    views: list[View] = ["front", quarters[0]] if rng.random() < 0.6 else [quarters[0], "front"]
    if rng.random() < 0.55:
        views.append(quarters[1])
    if rng.random() < 0.9:
        views.append("side")
    if rng.random() < 0.75:
        views.append("rear_left" if rng.random() < 0.5 else "rear_right")
    views.append("rear")
    if rng.random() < 0.9:
        views.append("wheel")
    views += ["odometer", "card"]
    return tuple(views)


@lru_cache(maxsize=1)
def all_cars() -> tuple[CarFacts, ...]:
    """Give the forty cars in the order of their numbers."""
    rng = random.Random(_SEED)  # noqa: S311 - a fixed sequence, no secret
    bodies, colours = _dealt_out(_BODY_COUNTS, rng), _dealt_out(_COLOUR_COUNTS, rng)
    cars = []
    for number, (body, colour) in enumerate(zip(bodies, colours, strict=True)):
        dealer, make = _choose(rng, list(DEALER_CURRENCIES)), _choose(rng, list(_MODELS))
        year = 2007 + int(rng.random() * 17)
        age = _CURRENT_YEAR - year
        odometer_km = int(2_500 + age * (7_000 + rng.random() * 9_000))
        worth = _NEW_PRICES[body] * 0.87**age * (1 - min(odometer_km, 250_000) / 900_000)
        cars.append(
            CarFacts(
                number=number,
                make=make,
                model=_MODELS[make][_BODIES.index(body)],
                year=year,
                price=round((worth + rng.random() * 600) / 50) * 50,
                currency=DEALER_CURRENCIES[dealer],
                fuel=_choose(rng, ("petrol", "petrol", "diesel", "hybrid")),
                gearbox=_choose(rng, ("manual", "manual", "automatic")),
                subject=Subject(_SEED + number, body, colour, odometer_km, dealer),
                views=_choose_views(rng),
            )
        )
    return tuple(cars)
