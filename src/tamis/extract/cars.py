"""Facts of a vehicle under plain names, from schema.org properties and from the labels of spec tables."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from tamis.extract.prices import parse_amount, to_ascii_digits
from tamis.extract.words import label_key, phrases

KM_PER_MILE = Decimal("1.609344")
FIRST_YEAR, LAST_YEAR = 1886, 2100

_PROPERTIES = {
    "colour": ("color", "vehicleExteriorColor"),
    "interior_colour": ("vehicleInteriorColor",),
    "body": ("bodyType",),
    "fuel": ("fuelType",),
    "transmission": ("vehicleTransmission",),
    "drive": ("driveWheelConfiguration",),
    "doors": ("numberOfDoors",),
    "seats": ("vehicleSeatingCapacity", "seatingCapacity"),
    "owners": ("numberOfPreviousOwners",),
    "vin": ("vehicleIdentificationNumber",),
    "trim": ("vehicleConfiguration",),
}
_LABELS = {
    "mileage_km": """
        mileage | odometer | kilometers | kilometer | kilometres | kilometerstand | km stand | laufleistung
        kilométrage | chilometraggio | chilometri | kilometraje | kilómetros | quilometragem | quilómetros
        przebieg | пробег | körsträcka | miltal | najeto | stav tachometru | km
    """,
    "year": """
        year | model year | registration | first registration | registration year | year of manufacture | baujahr
        erstzulassung | modelljahr | année | année modèle | mise en circulation | 1ère mise en circulation
        immatricolazione | anno | año | ano | bouwjaar | rok produkcji | год выпуска | год | årsmodell | modellår
        rok výroby
    """,
    "colour": """
        colour | color | exterior colour | exterior color | body colour | farbe | außenfarbe | couleur | kleur
        couleur extérieure | colore | colore esterno | color exterior | cor | kolor | цвет | färg | farve | farge
        barva | farba
    """,
    "body": """
        body | body type | bodytype | body style | karosserie | karosserieform | fahrzeugtyp | carrosserie
        type de carrosserie | carrozzeria | carrocería | carroceria | carrosserievorm | nadwozie | typ nadwozia
        кузов | тип кузова | kaross | karosseri | karoserie
    """,
    "fuel": """
        fuel | fuel type | kraftstoff | kraftstoffart | treibstoff | carburant | énergie | alimentazione | carburante
        combustible | combustível | brandstof | paliwo | rodzaj paliwa | топливо | тип топлива | bränsle | drivmedel
        drivstoff | brændstof | palivo
    """,
    "transmission": """
        transmission | gearbox | getriebe | getriebeart | boîte de vitesses | boîte | cambio | tipo di cambio
        caja de cambios | caixa de velocidades | caixa | versnellingsbak | transmissie | skrzynia biegów
        коробка передач | коробка | кпп | växellåda | girkasse | gearkasse | převodovka
    """,
    "doors": """
        doors | number of doors | türen | anzahl türen | portes | porte | puertas | portas | deuren | liczba drzwi
        dörrar | dører
    """,
    "make": "make | marke | marque | marca | merk | marka | марка | märke | merke | značka",
    "model": "model | modell | modèle | modello | modelo | модель",
}
_NAME_OF_LABEL = {label: name for name, labels in _LABELS.items() for label in phrases(labels)}
_YEAR = re.compile(r"(?<!\d)(1[89]\d\d|20\d\d)(?!\d)")
_DISTANCE = re.compile(r"(\d[\d.,\s'’]*)\s*(k\b)?\s*(km|kilomet\w+|mi\b|miles?|kmt|mil\b|smi|км|tkm)?", re.IGNORECASE)


def vehicle_attributes(node: dict[str, Any]) -> dict[str, str]:
    """Return the vehicle facts of a schema.org node: `mileage_km`, `year`, `colour`, `body`, `fuel` and others."""
    found: dict[str, str] = {}
    for name, properties in _PROPERTIES.items():
        for key in properties:
            text = _first_text(node.get(key))
            if text and name not in found:
                found[name] = text.rsplit("/", 1)[-1] if text.startswith(("http://schema", "https://schema")) else text
    kilometres = mileage_km(node.get("mileageFromOdometer"))
    if kilometres is not None:
        found["mileage_km"] = str(kilometres)
    for key in ("vehicleModelDate", "modelDate", "dateVehicleFirstRegistered", "productionDate", "releaseDate"):
        year = year_in(_first_text(node.get(key)) or "")
        if year is not None and "year" not in found:
            found["year"] = str(year)
    return found


def car_facts(attributes: dict[str, str]) -> dict[str, str]:
    """Return plainly named facts for the labels of a spec table, in any of a dozen languages.

    Only facts whose value has the right form are taken: a year, a distance, a short text.
    """
    found: dict[str, str] = {}
    for label, value in attributes.items():
        name = _NAME_OF_LABEL.get(label_key(label))
        if name is None or name in found:
            continue
        if name == "year":
            year = year_in(value)
            if year is not None:
                found[name] = str(year)
        elif name == "mileage_km":
            kilometres = mileage_km(value)
            if kilometres is not None:
                found[name] = str(kilometres)
        elif 0 < len(value) <= 60:
            found[name] = value
    return found


def mileage_km(value: Any) -> int | None:
    """Return a distance in whole kilometres from text or a QuantitativeValue; None where it is none.

    A Scandinavian `mil` is ten kilometres; `miles`, `mi`, `SMI` are statute miles; no unit means kilometres.
    """
    unit = ""
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, dict):
        unit = str(_first_text(value.get("unitCode")) or _first_text(value.get("unitText")) or "").lower()
        value = _first_text(value.get("value"))
    match = _DISTANCE.search(to_ascii_digits(str(value))[:200]) if value is not None else None
    if match is None:
        return None
    written = match[1].strip(" .,'’")
    amount = parse_amount(written) or (Decimal(0) if written == "0" else None)
    if amount is None:
        return None
    unit = (match[3] or unit).lower()
    if match[2] or unit == "tkm":
        amount *= 1000
    if unit in {"mi", "mile", "miles", "smi"}:
        amount *= KM_PER_MILE
    elif unit == "mil":
        amount *= 10
    kilometres = int(amount.to_integral_value())
    return kilometres if kilometres <= 5_000_000 else None


def year_in(text: str) -> int | None:
    """Return the year of manufacture or registration that `text` holds, `03/2019` included."""
    match = _YEAR.search(to_ascii_digits(text[:200]))
    year = int(match[1]) if match else 0
    return year if FIRST_YEAR <= year <= LAST_YEAR else None


def _first_text(value: Any) -> str | None:
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, dict):
        value = value.get("name") or value.get("value")
        value = value[0] if isinstance(value, list) and value else value
    if isinstance(value, bool) or value is None:
        return None
    return " ".join(str(value).split())[:200] or None
