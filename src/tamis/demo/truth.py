"""The known truth about the market place: which items and pictures are there, and what each picture shows."""

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from tamis.demo.catalogue import LISTING_COUNT
from tamis.demo.copies import Rendition
from tamis.demo.faults import OUTCOMES, Outcome
from tamis.demo.gallery import Box, StoredPicture, stored_pictures
from tamis.demo.listings import PAGE_SIZE, Listing, Relation, Slot, build_listings
from tamis.demo.render.subject import View
from tamis.demo.texts import places_of


@dataclass(frozen=True, slots=True)
class ItemTruth:
    """One car that can be read from a detail page; `*_stated` is what the page says, right, wrong or None."""

    url: str
    listing: int
    car: int  # two listings of one car have the same number
    title: str
    make: str
    model: str
    year: int
    year_stated: int | None
    price: int
    currency: str
    dealer: str
    colour: str
    colour_stated: str | None
    colour_in_text: bool  # stated in the title or the description
    body: str
    body_stated: str | None
    body_in_text: bool
    mileage_km: int
    mileage_stated_km: int | None
    fuel: str
    markup: str


@dataclass(frozen=True, slots=True)
class PictureTruth:
    """One picture of one listing; a URL that two listings share is there twice."""

    url: str
    listing: int
    position: int
    outcome: Outcome
    relation: Relation
    """How it came about from the drawn picture `file`; pictures of one file show the same shot."""
    same_bytes: str | None
    """Equal for pictures whose answers have equal bytes; None where no picture comes."""
    file: str | None
    car: int | None  # whose car is seen; None for a dealer's card
    view: View | None
    colour: str | None
    body: str | None
    size_wh: tuple[int, int] | None
    box_xyxy: Box | None
    """Visible part of the car in pixels as served; in a wheel's picture a piece of the car, None where no car is."""


@dataclass(frozen=True, slots=True)
class PageTruth:
    """One page that the site links to."""

    url: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Truth:
    """All that a crawl of the market place should find."""

    items: tuple[ItemTruth, ...]
    pictures: tuple[PictureTruth, ...]
    pages: tuple[PageTruth, ...]

    def to_json(self) -> dict[str, Any]:
        """Give the truth as one document of plain values."""
        return asdict(self)


def load_truth(listings: int = LISTING_COUNT, *, faults: bool = True, base_url: str = "") -> Truth:
    """Give the truth about a site of that many cars; `base_url` (no slash at the end) is put before all paths."""
    shown = build_listings(listings, faults=faults)
    readable = [listing for listing in shown if listing.fate == "shown"]
    pages = [PageTruth(base_url + path, "ok") for path in search_paths(listings, faults=faults)]
    pages += [PageTruth(base_url + listing.path, _page_outcome(listing)) for listing in shown]
    pictures = [
        _picture_truth(listing, position, slot, base_url)
        for listing in readable
        for position, slot in enumerate(listing.slots)
    ]
    return Truth(tuple(_item_truth(listing, base_url) for listing in readable), tuple(pictures), tuple(pages))


def search_paths(listings: int = LISTING_COUNT, *, faults: bool = True) -> tuple[str, ...]:
    """Give the paths of the search pages, from the first."""
    shown = sum(listing.fate != "forbidden" for listing in build_listings(listings, faults=faults))
    last = -(-shown // PAGE_SIZE)
    return ("/cars", *(f"/cars?page={page}" for page in range(2, last + 1)))


def _page_outcome(listing: Listing) -> Outcome:
    outcomes: dict[str, Outcome] = {"shown": "ok", "not_found": "not_found", "gone": "gone", "forbidden": "robots"}
    return outcomes[listing.fate]


def _item_truth(listing: Listing, base_url: str) -> ItemTruth:
    car, stated, places = listing.car, listing.stated, places_of(listing.car)
    is_own = listing.dealer == car.subject.dealer
    return ItemTruth(
        url=base_url + listing.path,
        listing=listing.id,
        car=car.number,
        title=listing.title,
        make=car.make,
        model=car.model,
        year=car.year,
        year_stated=stated.year,
        price=listing.price,
        currency=listing.currency,
        dealer=listing.dealer,
        colour=car.subject.colour,
        colour_stated=stated.colour,
        colour_in_text=bool(stated.colour) and ((places.colour_in_title and is_own) or places.colour_in_description),
        body=car.subject.body,
        body_stated=stated.body,
        body_in_text=bool(stated.body) and ((places.body_in_title and is_own) or places.body_in_description),
        mileage_km=car.subject.odometer_km,
        mileage_stated_km=stated.mileage_km,
        fuel=car.fuel,
        markup=listing.markup,
    )


@lru_cache(maxsize=1)
def _stored_by_file() -> dict[str, StoredPicture]:
    return {picture.file: picture for picture in stored_pictures()}


def _picture_truth(listing: Listing, position: int, slot: Slot, base_url: str) -> PictureTruth:
    outcome: Outcome = "ok" if slot.fault is None else OUTCOMES[slot.fault]
    rendition = slot.rendition if outcome == "ok" else None
    stored = None if rendition is None else _stored_by_file()[rendition.file]
    is_card = stored is not None and stored.view == "card"
    return PictureTruth(
        url=base_url + slot.path,
        listing=listing.id,
        position=position,
        outcome=outcome,
        relation=slot.relation,
        same_bytes=None if rendition is None else _bytes_key(rendition),
        file=None if rendition is None else rendition.file,
        car=None if stored is None or is_card else stored.listing,
        view=None if stored is None else stored.view,
        colour=None if stored is None or is_card else stored.colour,
        body=None if stored is None or is_card else stored.body,
        size_wh=None if rendition is None else rendition.size_wh,
        box_xyxy=_served_box(rendition, stored),
    )


def _served_box(rendition: Rendition | None, stored: StoredPicture | None) -> Box | None:
    if rendition is None or stored is None or stored.box_xyxy is None:
        return None
    return rendition.map_box(stored.box_xyxy)


def _bytes_key(rendition: Rendition) -> str:
    return f"{rendition.file}:{rendition.edit}:{rendition.encoding}"
