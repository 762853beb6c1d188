"""What listings say in free words: titles and descriptions in which facts are stated, left out or wrong, all known."""

import random
from dataclasses import dataclass

from tamis.demo.catalogue import CarFacts

#: Words that sellers use for each colour and body; the first is the plain one.
COLOUR_WORDS: dict[str, tuple[str, ...]] = {
    "white": ("white", "alpine white", "pearl white"),
    "silver": ("silver", "silver metallic"),
    "grey": ("grey", "anthracite grey", "gray"),
    "black": ("black", "jet black", "black metallic"),
    "red": ("red", "ruby red"),
    "blue": ("blue", "navy blue", "ocean blue"),
    "green": ("green", "racing green"),
    "yellow": ("yellow", "sun yellow"),
    "orange": ("orange", "sunset orange"),
    "brown": ("brown", "chestnut brown"),
    "beige": ("beige", "sand beige"),
}
BODY_WORDS: dict[str, tuple[str, ...]] = {
    "hatchback": ("hatchback", "3-door hatch"),
    "sedan": ("sedan", "saloon"),
    "estate": ("estate", "station wagon"),
    "suv": ("SUV", "off-roader"),
    "pickup": ("pickup", "pick-up truck"),
    "van": ("van", "panel van"),
}

# What sellers get wrong, and what they do not say; the keys are numbers of cars.
_WRONG_COLOURS = {2: "blue", 13: "silver", 24: "black", 36: "white"}
_WRONG_BODIES = {9: "estate", 20: "sedan"}
_WRONG_YEARS = {31: 2017}
_WRONG_MILEAGES = {15: 19_133}
_NO_COLOUR = {5, 12, 19, 21, 27, 31, 38}
_NO_BODY = {3, 10, 14, 23, 28, 33, 39}
_NO_YEAR = {8, 25, 34}
_NO_MILEAGE = {1, 16, 29}


@dataclass(frozen=True, slots=True)
class Statement:
    """What a listing states, right or wrong, in the classes of the truth; None where it says nothing."""

    colour: str | None
    body: str | None
    year: int | None
    mileage_km: int | None


@dataclass(frozen=True, slots=True)
class Places:
    """Where a listing states colour and body; specifications are those of the table or of JSON-LD."""

    colour_in_title: bool
    colour_in_description: bool
    colour_in_specifications: bool
    body_in_title: bool
    body_in_description: bool
    body_in_specifications: bool


def state_facts(car: CarFacts) -> Statement:
    """Tell what the listing of a car states."""
    number = car.number
    return Statement(
        None if number in _NO_COLOUR else _WRONG_COLOURS.get(number, car.subject.colour),
        None if number in _NO_BODY else _WRONG_BODIES.get(number, car.subject.body),
        None if number in _NO_YEAR else _WRONG_YEARS.get(number, car.year),
        None if number in _NO_MILEAGE else _WRONG_MILEAGES.get(number, car.subject.odometer_km),
    )


def places_of(car: CarFacts) -> Places:
    """Tell where the listing of a car states its facts: each that it states, in one place at least."""
    number = car.number
    colour_in_title, colour_in_specifications = number % 3 == 0, number % 4 != 3
    body_in_title, body_in_specifications = number % 2 == 0, number % 5 != 4
    return Places(
        colour_in_title=colour_in_title,
        colour_in_description=number % 3 == 1 or not (colour_in_title or colour_in_specifications),
        colour_in_specifications=colour_in_specifications,
        body_in_title=body_in_title,
        body_in_description=not body_in_title,
        body_in_specifications=body_in_specifications,
    )


def colour_word(car: CarFacts, stated: Statement) -> str | None:
    """Give the word that a listing uses for the colour it states."""
    return None if stated.colour is None else _word(COLOUR_WORDS[stated.colour], car.number)


def body_word(car: CarFacts, stated: Statement) -> str | None:
    """Give the word that a listing uses for the body it states."""
    return None if stated.body is None else _word(BODY_WORDS[stated.body], car.number // 2)


def _word(words: tuple[str, ...], number: int) -> str:
    return words[number % len(words)]


def entitle(car: CarFacts, stated: Statement) -> str:
    """Write the title of a listing."""
    places = places_of(car)
    name = f"{car.make} {car.model}"
    colour = colour_word(car, stated) if places.colour_in_title else None
    body = body_word(car, stated) if places.body_in_title else None
    year = str(stated.year) if stated.year else None
    if car.number % 4 == 0:
        parts = [name, year, body, colour]
        return " ".join(part for part in parts if part)
    if car.number % 4 == 1:
        return " ".join(part for part in (year, colour, name, car.fuel) if part)
    if car.number % 4 == 2:
        return ", ".join(part for part in (name, body, colour, car.gearbox, year) if part)
    extra = " - ".join(part for part in (colour, f"{car.fuel} {car.gearbox}", year) if part)
    return f"{name} ({extra})"


def describe(car: CarFacts, stated: Statement, rng: random.Random) -> str:
    """Write the description of a listing; `rng` chooses among sentences that state nothing."""
    places, sentences = places_of(car), []
    openings = (
        "A well kept {0}.",
        "For sale: our {0}.",
        "This {0} came to us in part exchange.",
        "Offered here is a tidy {0}.",
    )
    sentences.append(openings[int(rng.random() * len(openings))].format(f"{car.make} {car.model}"))
    colour, body = colour_word(car, stated), body_word(car, stated)
    if colour and places.colour_in_description:
        forms = ("The paint is {0} and shines.", "Finished in {0}.", "Colour: {0}.")
        sentences.append(forms[car.number % 3].format(colour))
    if body and places.body_in_description:
        sentences.append((f"A practical {body}.", f"This {body} has room for all.")[car.number % 2])
    if stated.mileage_km and car.number % 2:
        thousands = f"{round(stated.mileage_km / 1000)} tkm"
        sentences.append(f"It has run {f'{stated.mileage_km:,} km' if car.number % 3 else thousands}.")
    if stated.year and car.number % 3 == 2:
        sentences.append(f"First registered in {stated.year}.")
    closings = ("Two keys and the service book are there.", "Non-smoker, kept in a garage.", "New tyres last spring.",
                "A few stone chips, nothing worse.", "Test drives by appointment.")  # fmt: skip
    first = int(rng.random() * len(closings))
    sentences += [closings[first], closings[(first + 2) % len(closings)]]
    return " ".join(sentences)
