"""The HTML of the market place: search results, detail pages in four kinds of markup, and their JSON-LD."""

import json
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from tamis.demo.listings import PAGE_SIZE, Listing
from tamis.demo.texts import body_word, colour_word, places_of

THUMBNAIL_WH = (320, 240)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    loader = PackageLoader("tamis.demo", "templates")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)


def page_path(page: int) -> str:
    """Give the path of a search page."""
    return "/cars" if page == 1 else f"/cars?page={page}"


def thumbnail_path(path: str) -> str:
    """Give the path of the small rendition of a picture."""
    return f"{path.rpartition('.')[0]}-{THUMBNAIL_WH[0]}x{THUMBNAIL_WH[1]}.jpg"


def render_results(listings: tuple[Listing, ...], page: int) -> str | None:
    """Render one search page; None where there is no such page."""
    public = [listing for listing in listings if listing.fate != "forbidden"]
    last_page = -(-len(public) // PAGE_SIZE)
    if not 1 <= page <= last_page:
        return None
    shown = public[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
    return (
        _environment()
        .get_template("results.html")
        .render(
            page=page,
            last_page=last_page,
            total=len(public),
            cards=[_card(listing) for listing in shown],
            trade_offers=[listing for listing in listings if listing.fate == "forbidden"],
            page_path=page_path,
        )
    )


def _card(listing: Listing) -> dict[str, str | None]:
    return {
        "path": listing.path,
        "title": listing.title,
        "price": format_price(listing),
        "dealer": listing.dealer,
        "thumbnail": thumbnail_path(listing.slots[0].path) if listing.slots else None,
    }


def render_about() -> str:
    """Render the page about the site."""
    return _environment().get_template("about.html").render()


def render_car(listing: Listing, base_url: str) -> str:
    """Render the detail page of a listing; `base_url` has no slash at its end."""
    number = listing.car.number
    return (
        _environment()
        .get_template("car.html")
        .render(
            listing=listing,
            base_url=base_url,
            price=format_price(listing),
            json_ld=_json_ld_text(listing, base_url),
            gallery=[{"full": slot.path, "thumbnail": thumbnail_path(slot.path)} for slot in listing.slots],
            gallery_form=("srcset", "data-src", "link")[number // 3 % 3],
            specs_form="dl" if number % 2 else "table",
            specs=_specifications(listing),
        )
    )


def format_price(listing: Listing) -> str:
    """Write a price as the dealers of its country do: £4,250 or 4.250 €."""
    if listing.currency == "GBP":
        return f"£{listing.price:,}"
    return f"{listing.price:,} €".replace(",", ".")


def _specifications(listing: Listing) -> list[tuple[str, str]]:
    car, stated, places = listing.car, listing.stated, places_of(listing.car)
    rows: list[tuple[str, str | None]] = [
        ("Make", car.make),
        ("Model", car.model),
        ("Year", str(stated.year) if stated.year else None),
        ("Mileage", f"{stated.mileage_km:,} km" if stated.mileage_km else None),
        ("Colour", colour_word(car, stated) if places.colour_in_specifications else None),
        ("Body type", body_word(car, stated) if places.body_in_specifications else None),
        ("Fuel", car.fuel),
        ("Gearbox", car.gearbox),
    ]
    return [(name, value) for name, value in rows if value]


def json_ld_node(listing: Listing, base_url: str) -> dict[str, Any]:
    """Describe a listing as a schema.org Car with its offer."""
    car, stated, places = listing.car, listing.stated, places_of(listing.car)
    node: dict[str, Any] = {
        "@type": ["Product", "Car"] if car.number % 2 else "Car",
        "name": listing.title,
        "sku": str(listing.id),
        "description": listing.description,
        "brand": {"@type": "Brand", "name": car.make},
        "model": car.model,
        "fuelType": car.fuel,
        "vehicleTransmission": car.gearbox,
        "image": [base_url + slot.path for slot in listing.slots],
        "offers": {
            "@type": "Offer",
            "price": listing.price if car.number % 2 else f"{listing.price}.00",
            "priceCurrency": listing.currency,
            "availability": "https://schema.org/InStock",
            "url": base_url + listing.path,
            "seller": {"@type": "AutoDealer", "name": listing.dealer},
        },
    }
    if stated.year:
        node["vehicleModelDate"] = str(stated.year)
    if stated.mileage_km:
        node["mileageFromOdometer"] = {"@type": "QuantitativeValue", "value": stated.mileage_km, "unitCode": "KMT"}
    colour, body = colour_word(car, stated), body_word(car, stated)
    if colour and places.colour_in_specifications:
        node["color"] = colour
    if body and places.body_in_specifications:
        node["bodyType"] = body
    return node


def _json_ld_text(listing: Listing, base_url: str) -> str | None:
    if listing.markup == "html":
        return None
    node = json_ld_node(listing, base_url)
    if listing.car.number % 4 == 2:
        crumbs = {"@type": "BreadcrumbList", "itemListElement": []}
        document: dict[str, Any] = {"@context": "https://schema.org", "@graph": [crumbs, node]}
    else:
        document = {"@context": "https://schema.org", **node}
    # A script element ends at its closing tag, wherever that stands.
    text = json.dumps(document, indent=1).replace("</", "<\\/")
    if listing.markup == "broken_json_ld":  # cut off in the middle of a name
        return text[: text.index('"brand"') + 4]
    return text
