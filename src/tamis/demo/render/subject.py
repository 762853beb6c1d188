"""What a picture shows: the car of a listing and the view; together they decide every pixel."""

from dataclasses import dataclass
from typing import Literal, get_args

View = Literal[
    "front", "front_left", "front_right", "side", "rear_left", "rear_right", "rear", "wheel", "odometer", "card"
]
VIEWS: tuple[View, ...] = get_args(View)
EXTERIOR_VIEWS: tuple[View, ...] = VIEWS[:7]
PICTURE_SIZE_WH = (640, 480)


@dataclass(frozen=True, slots=True)
class Subject:
    """The car of a listing and the dealer who shows it."""

    seed: int
    body: str  # a key of bodies.BODY_STYLES
    colour: str  # a key of bodies.PAINTS
    odometer_km: int
    dealer: str  # a key of cards.DEALER_CARDS
