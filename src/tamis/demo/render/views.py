"""The views of a listing: how the photographer stands for each, and one function that draws any of them alone."""

from functools import lru_cache

import numpy as np

from tamis.demo.render.bodies import CarDesign, draw_design
from tamis.demo.render.camera import Stance, framing
from tamis.demo.render.car import Car
from tamis.demo.render.cards import draw_dealer_card
from tamis.demo.render.instruments import draw_instruments
from tamis.demo.render.numerics import seeded_generator
from tamis.demo.render.scene import Scene
from tamis.demo.render.studio import Photograph, Studio
from tamis.demo.render.subject import PICTURE_SIZE_WH, Subject, View

_AZIMUTHS: dict[View, float] = {
    "front": 0, "front_left": 38, "front_right": -38, "side": 90, "rear_left": 142, "rear_right": -142, "rear": 180,
}  # fmt: skip


def design_of(subject: Subject) -> CarDesign:
    """Draw the details of a listing's car; the same for all of its views."""
    return draw_design(subject.body, subject.colour, seeded_generator(subject.seed, "design"))


@lru_cache(maxsize=1)  # the views of a listing are drawn one after the other
def _studio(subject: Subject) -> Studio:
    return Studio(Car(design_of(subject)), Scene(seeded_generator(subject.seed, "scene")))


def draw_view(subject: Subject, view: View, size_wh: tuple[int, int] = PICTURE_SIZE_WH) -> Photograph:
    """Draw one view of a listing; the same arguments give the same picture, whatever was drawn before.

    The box of a wheel's picture is that of the visible part of the car; instruments and dealer's cards have none.
    """
    if view == "card":  # a dealer has one card for all listings
        return Photograph(draw_dealer_card(subject.dealer, size_wh), None)
    rng = seeded_generator(subject.seed, view)
    if view == "odometer":
        return Photograph(draw_instruments(subject.odometer_km, rng, size_wh), None)
    studio = _studio(subject)
    stance = _wheel_stance(studio.car, rng) if view == "wheel" else _exterior_stance(studio.car, view, rng)
    return studio.photograph(stance, size_wh, rng)


def _exterior_stance(car: Car, view: View, rng: np.random.Generator) -> Stance:
    is_end = view in {"front", "rear"}
    spread = 5.0 if is_end or view == "side" else 8.0
    azimuth = _AZIMUTHS[view] + rng.uniform(-spread, spread)
    if view == "side" and rng.random() < 0.5:
        azimuth = -azimuth
    field_of_view = rng.uniform(36, 48)
    if is_end:  # a tall car would not fit the height at the full share
        fill = rng.uniform(0.56, 0.74) * min(1.0, 0.88 * car.body.width / car.body.height)
    else:
        fill = rng.uniform(0.76, 0.92)
    distance, shift = framing(car, azimuth, field_of_view, fill)
    return Stance(
        azimuth_degrees=azimuth,
        distance_m=distance,
        height_m=rng.uniform(1.2, 1.8),
        aim=(0, 0, car.body.height * rng.uniform(0.40, 0.50)),
        field_of_view_degrees=field_of_view,
        shift=(shift + rng.uniform(-0.03, 0.03), rng.uniform(-0.01, 0.04)),
    )


def _wheel_stance(car: Car, rng: np.random.Generator) -> Stance:
    axle = car.axles_x[int(rng.integers(0, 2))] - car.body.length / 2
    side = -1 if rng.random() < 0.5 else 1
    return Stance(
        azimuth_degrees=-side * (90 + rng.uniform(-9, 9)),
        distance_m=car.half_width + rng.uniform(1.2, 1.8),
        height_m=rng.uniform(0.45, 0.9),
        aim=(axle, side * car.half_width, car.body.wheel_radius * 1.1),
        field_of_view_degrees=42,
    )
