"""The listings of the market place: what their texts state (some facts missing, some wrong) and what they show."""

import random
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from tamis.demo.catalogue import DEALER_CURRENCIES, LISTING_COUNT, CarFacts, all_cars
from tamis.demo.copies import Encoding, Rendition
from tamis.demo.faults import (
    BROKEN_JSON_LD,
    BROKEN_PICTURES,
    COPIES,
    RECOVERING_PICTURES,
    RELISTED,
    RELISTED_PICTURES,
    Fault,
)
from tamis.demo.gallery import picture_file
from tamis.demo.texts import Statement, describe, entitle, state_facts

FIRST_ID = 1001
PAGE_SIZE = 10

Relation = Literal["original", "exact", "reencoded", "resized", "cropped", "watermarked", "mirrored"]
Markup = Literal["json_ld", "html", "both", "broken_json_ld"]
Fate = Literal["shown", "not_found", "gone", "forbidden"]


@dataclass(frozen=True, slots=True)
class Slot:
    """One place in a listing's gallery."""

    path: str
    rendition: Rendition | None  # None where the answer holds no picture at all
    relation: Relation
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of the market place."""

    id: int
    car: CarFacts
    dealer: str
    price: int
    title: str
    description: str
    stated: Statement
    markup: Markup
    slots: tuple[Slot, ...]
    fate: Fate = "shown"

    @property
    def currency(self) -> str:
        """ISO 4217 code of the price."""
        return DEALER_CURRENCIES[self.dealer]

    @property
    def path(self) -> str:
        """Path of the detail page."""
        slug = f"{self.car.make}-{self.car.model}".lower().replace(" ", "-")
        folder = "/private/cars" if self.fate == "forbidden" else "/cars"
        return f"{folder}/{self.id}/{slug}"


@lru_cache(maxsize=8)
def build_listings(count: int = LISTING_COUNT, *, faults: bool = True) -> tuple[Listing, ...]:
    """Give the first `count` cars' listings, those of second dealers, and with `faults` those that cannot be had."""
    if not 1 <= count <= LISTING_COUNT:
        raise ValueError(f"{count} listings are not between 1 and {LISTING_COUNT}")
    cars = all_cars()[:count]
    cards_shown: set[str] = set()
    listings = [_own_listing(car, cards_shown, faults) for car in cars]
    next_id = FIRST_ID + LISTING_COUNT
    for number, dealer in RELISTED.items():
        if number < count:
            listings.append(_relisting(next_id, listings[number], dealer, cards_shown))
        next_id += 1
    if faults:
        fates: tuple[Fate, ...] = ("not_found", "gone", "forbidden")
        for offset, fate in enumerate(fates):
            listings.append(_missing_listing(next_id + offset, cars[offset % count], fate))
    return tuple(listings)


def listing_id(number: int) -> int:
    """Give the id of a car's own listing."""
    return FIRST_ID + number


def _encoding(number: int) -> Encoding:
    return "webp" if number % 4 == 1 else "jpeg"


def _slot_path(listing: int, position: int, encoding: Encoding) -> str:
    return f"/photos/{listing}/{position:02d}.{'jpg' if encoding == 'jpeg' else 'webp'}"


def _card_slot(path: str, dealer: str, cards_shown: set[str]) -> Slot:
    """Show the dealer's card; its bytes are the same in all of the dealer's listings."""
    file = f"card-{dealer.lower().replace(' ', '-')}.webp"
    relation: Relation = "exact" if dealer in cards_shown else "original"
    cards_shown.add(dealer)
    return Slot(path, Rendition(file, "none", "jpeg"), relation)


def _own_slots(car: CarFacts, cards_shown: set[str], faults: bool) -> tuple[Slot, ...]:
    identity, encoding = listing_id(car.number), _encoding(car.number)
    slots: list[Slot] = []
    for view in car.views:
        if view == "card":
            path = _slot_path(identity, len(slots), "jpeg")
            slots.append(_card_slot(path, car.subject.dealer, cards_shown))
            continue
        rendition = Rendition(picture_file(car, view), "none", encoding)
        fault = RECOVERING_PICTURES.get(car.number) if faults and len(slots) == 1 else None
        slots.append(Slot(_slot_path(identity, len(slots), encoding), rendition, "original", fault))
    for number, view, edit in COPIES:
        if number == car.number:
            copy = Rendition(picture_file(car, view), edit, encoding)
            slots.append(Slot(_slot_path(identity, len(slots), encoding), copy, edit))
    for broken in BROKEN_PICTURES.get(car.number, ()) if faults else ():
        path = _slot_path(identity, len(slots), "jpeg")
        whole = Rendition(picture_file(car, "rear"), "none", "jpeg") if broken in {"truncated", "forbidden"} else None
        slots.append(Slot(f"/private{path}" if broken == "forbidden" else path, whole, "original", broken))
    return tuple(slots)


def _own_listing(car: CarFacts, cards_shown: set[str], faults: bool) -> Listing:
    stated = state_facts(car)
    rng = random.Random(car.subject.seed)  # noqa: S311 - a fixed sequence, no secret
    markups: tuple[Markup, ...] = ("both", "html", "json_ld")
    markup = "broken_json_ld" if faults and car.number == BROKEN_JSON_LD else markups[car.number % 3]
    return Listing(
        id=listing_id(car.number),
        car=car,
        dealer=car.subject.dealer,
        price=car.price,
        title=entitle(car, stated),
        description=describe(car, stated, rng),
        stated=stated,
        markup=markup,
        slots=_own_slots(car, cards_shown, faults),
    )


def _relisting(identity: int, own: Listing, dealer: str, cards_shown: set[str]) -> Listing:
    """Let another dealer offer the same car, dearer, with pictures taken from the first listing."""
    slots: list[Slot] = []
    for slot in own.slots[: len(own.car.views) - 1]:
        assert slot.rendition is not None
        how = RELISTED_PICTURES[len(slots) % len(RELISTED_PICTURES)]
        path = _slot_path(identity, len(slots), slot.rendition.encoding)
        if how == "shared":
            slots.append(Slot(slot.path, slot.rendition, "exact", slot.fault))
        elif how == "exact":
            slots.append(Slot(path, slot.rendition, "exact"))
        else:
            edited = Rendition(slot.rendition.file, how, slot.rendition.encoding)
            slots.append(Slot(path, edited, how))
    slots.append(_card_slot(_slot_path(identity, len(slots), "jpeg"), dealer, cards_shown))
    car, stated = own.car, own.stated
    rng = random.Random(identity)  # noqa: S311 - a fixed sequence, no secret
    return Listing(
        id=identity,
        car=car,
        dealer=dealer,
        price=own.price + 450,
        title=f"{car.make} {car.model}, {stated.year or car.year}, well kept",
        description=describe(car, stated, rng),
        stated=stated,
        markup="both",
        slots=tuple(slots),
    )


def _missing_listing(identity: int, car: CarFacts, fate: Fate) -> Listing:
    """Make a listing that search results link to and that cannot be read."""
    title = f"{car.make} {car.model} - trade offer" if fate == "forbidden" else f"{car.make} {car.model} - just sold"
    stated = Statement(None, None, None, None)
    return Listing(identity, car, car.subject.dealer, car.price, title, "", stated, "html", (), fate)
