from __future__ import annotations

import pytest

from tamis.extract.cars import car_facts, mileage_km, vehicle_attributes, year_in


@pytest.mark.parametrize(
    ("value", "kilometres"),
    [
        ("45.000 km", 45000),
        ("45 000", 45000),
        ("28,500 miles", 45866),
        ({"value": 45000, "unitCode": "KMT"}, 45000),
        ({"value": "10000", "unitCode": "SMI"}, 16093),
        ("5500 mil", 55000),
        ("0 km", 0),
        (None, None),
        ("new", None),
        ("9" * 30, None),
    ],
)
def test_mileage_is_kilometres(value: object, kilometres: int | None) -> None:
    assert mileage_km(value) == kilometres


def test_schema_org_properties_get_plain_names() -> None:
    node = {
        "@type": "Car",
        "color": "Red",
        "bodyType": {"@type": "QualitativeValue", "name": "Estate"},
        "fuelType": "Diesel",
        "vehicleTransmission": "Manual",
        "vehicleModelDate": "2019-05",
        "mileageFromOdometer": {"value": "45000", "unitCode": "KMT"},
        "numberOfDoors": 5,
    }
    assert vehicle_attributes(node) == {
        "colour": "Red",
        "body": "Estate",
        "fuel": "Diesel",
        "transmission": "Manual",
        "year": "2019",
        "mileage_km": "45000",
        "doors": "5",
    }


def test_labels_of_many_languages_are_known_and_odd_values_refused() -> None:
    found = car_facts(
        {"Kilometerstand:": "45.000 km", "Erstzulassung": "03/2019", "Kraftstoff": "Diesel", "Año": "soon"}
    )
    assert found == {"mileage_km": "45000", "year": "2019", "fuel": "Diesel"}


def test_a_year_is_of_the_age_of_cars() -> None:
    assert year_in("03/2019") == 2019
    assert year_in("1234") is None
    assert year_in("12019") is None
